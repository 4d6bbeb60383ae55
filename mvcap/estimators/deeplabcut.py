"""DeepLabCut's tables: one CSV or HDF5 file per view, of one or several people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.estimation.deeplabcut_files import read_deeplabcut
from mvcap.estimation.point_tables import one_file_each, point_rows, same_points, skeleton_of_points
from mvcap.estimation.prediction_files import existing_folder, fingerprint, match_views, skeleton_files
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.pixels import check_pixels
from mvcap.structures.skeleton import SKELETONS, Skeleton

_SUFFIXES = (".h5", ".hdf5", ".csv")


@dataclass(frozen=True)
class DeepLabCutConfig:
    """Settings of the estimator ``deeplabcut``."""

    folder: str = ""
    """Folder with one file per view: ``<video>DLC_...csv`` or ``.h5``, or ``<view>.csv`` or ``.h5``; labels may be in
    a folder of the view (``CollectedData_...``)."""
    skeleton: str = "auto"
    """``auto`` = by the names of the points, such as ``left_hip``, ``LHip`` or ``hip_l``; the name of a skeleton; or a
    skeleton file (.yaml) that says which point is which joint."""
    # As for OpenPose, where it was measured; not measured for the networks that people train.
    noise: float = 0.35
    """Expected noise, see ``blazepose``. Not measured for this format."""
    first_frame: int = 0
    """Number in the files of the session's first frame."""


class DeepLabCut:
    """Estimator ``deeplabcut``: DeepLabCut's tables of points, CSV or HDF5 (needs h5py), a file for each view."""

    Config = DeepLabCutConfig
    needs_images = False

    def __init__(self, config: DeepLabCutConfig) -> None:
        self.config = config
        self.skeleton: Skeleton = SKELETONS["coco17"]
        if config.skeleton != "auto":
            self.skeleton = skeleton_of_points((), config.skeleton, Path(config.folder))
        self._rows: dict[str, Detections2D] = {}
        self._names: dict[str, tuple[str, ...]] = {}

    def prepare(self, views: tuple[View, ...]) -> str:
        """Read all files; return their fingerprint. InputError if one is missing, broken or has other frames."""
        files = self._files(views)
        for view in views:
            self._rows[view.name] = self._read(files[view.name], view)
        return fingerprint([*(files[view.name] for view in views), *skeleton_files(self.config.skeleton)])

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the frames up to the last one in which a view shows a person."""
        files = self._files(views)
        return max(int(self._read(files[view.name], view).frame.max(initial=-1)) for view in views) + 1

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Return the people of one frame; needs no image."""
        if view.name not in self._rows:
            self._rows[view.name] = self._read(self._files((view,))[view.name], view)
        rows = self._rows[view.name]
        start, stop = np.searchsorted(rows.frame, (frame, frame + 1))
        return Estimate(rows[start:stop], state)

    def _files(self, views: tuple[View, ...]) -> dict[str, Path]:
        folder = existing_folder(self.config.folder, "deeplabcut")
        names = [view.name for view in views]
        files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
        labels = [path for path in folder.glob("*/CollectedData_*") if path.suffix.lower() in _SUFFIXES]
        found = {path.parent.name: path for path in sorted(labels, key=lambda path: _SUFFIXES.index(path.suffix))[::-1]}
        found |= one_file_each(files, _SUFFIXES)
        return match_views(names, found, "file", folder, "deeplabcut")

    def _read(self, path: Path, view: View) -> Detections2D:
        table = read_deeplabcut(path)
        if self.config.skeleton == "auto":
            others = {name: names for name, names in self._names.items() if name != view.name}
            same_points(table, others, path)
            if not others:
                self.skeleton = skeleton_of_points(table.names, "auto", path)
            self._names[view.name] = table.names
        rows = point_rows(table, self.skeleton, view, self.config.noise, self.config.first_frame, path)
        check_pixels(rows.xy, rows.score, view.size, path)
        return rows
