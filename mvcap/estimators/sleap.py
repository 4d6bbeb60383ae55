"""SLEAP's analysis files: one HDF5 or CSV file per view, of one or several people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvcap.estimation.point_tables import PointTable, one_file_each
from mvcap.estimation.prediction_files import existing_folder, match_views
from mvcap.estimation.sleap_files import read_sleap
from mvcap.estimation.view_files import PointTableConfig, PointTableFiles
from mvcap.structures.contracts import View

_SUFFIXES = (".h5", ".hdf5", ".csv")


@dataclass(frozen=True)
class SleapConfig(PointTableConfig):
    """Settings of the estimator ``sleap``."""

    folder: str = ""
    """Folder with one file per view: ``<view>.analysis.h5`` or ``.csv``, as SLEAP exports them."""


class Sleap(PointTableFiles):
    """Estimator ``sleap``: SLEAP's analysis files, HDF5 (needs h5py) or CSV, a file for each view."""

    Config = SleapConfig

    def files_of(self, views: tuple[View, ...]) -> dict[str, Path]:
        """Return the file of each view, by its name; InputError if one is missing."""
        folder = existing_folder(self.config.folder, "sleap")
        names = [view.name for view in views]
        found = one_file_each((path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES), _SUFFIXES)
        return match_views(names, found, "file", folder, "sleap")

    def table_of(self, path: Path) -> PointTable:
        """Return the points of a file; InputError if it is broken."""
        return read_sleap(path)
