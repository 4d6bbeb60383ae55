"""DeepLabCut's tables: one CSV or HDF5 file per view, of one or several people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvcap.estimation.deeplabcut_files import read_deeplabcut
from mvcap.estimation.point_tables import PointTable, one_file_each
from mvcap.estimation.prediction_files import existing_folder, match_views
from mvcap.estimation.view_files import PointTableConfig, PointTableFiles
from mvcap.structures.contracts import View

_SUFFIXES = (".h5", ".hdf5", ".csv")


@dataclass(frozen=True)
class DeepLabCutConfig(PointTableConfig):
    """Settings of the estimator ``deeplabcut``."""

    folder: str = ""
    """Folder with one file per view: ``<video>DLC_...csv`` or ``.h5``, or ``<view>.csv`` or ``.h5``; labels may be in
    a folder of the view (``CollectedData_...``)."""


class DeepLabCut(PointTableFiles):
    """Estimator ``deeplabcut``: DeepLabCut's tables of points, CSV or HDF5 (needs h5py), a file for each view."""

    Config = DeepLabCutConfig

    def files_of(self, views: tuple[View, ...]) -> dict[str, Path]:
        """Return the file of each view, by its name; InputError if one is missing."""
        folder = existing_folder(self.config.folder, "deeplabcut")
        names = [view.name for view in views]
        files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
        labels = [path for path in folder.glob("*/CollectedData_*") if path.suffix.lower() in _SUFFIXES]
        labels.sort(key=lambda path: _SUFFIXES.index(path.suffix.lower()), reverse=True)  # the first suffix wins
        found = {path.parent.name: path for path in labels}
        found |= one_file_each(files, _SUFFIXES)
        return match_views(names, found, "file", folder, "deeplabcut")

    def table_of(self, path: Path) -> PointTable:
        """Return the points of a file; InputError if it is broken."""
        return read_deeplabcut(path)
