"""Estimators that read one file for each view: read once, checked before the work starts, then a frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.estimation.point_tables import PointTable, point_rows, same_points, skeleton_of_points
from mvcap.estimation.prediction_files import fingerprint, skeleton_files
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.pixels import check_pixels
from mvcap.structures.skeleton import SKELETONS, Skeleton


class ViewFiles:
    """Part of an estimator that is the same for all formats of one file per view.

    A format says where the files are (``files_of``), what is in one (``read``), and the files beside them that count
    (``files_beside``).
    """

    needs_images = False

    def __init__(self, skeleton_setting: str) -> None:
        self._skeleton_setting = skeleton_setting
        self._rows: dict[str, Detections2D] = {}

    def files_of(self, views: tuple[View, ...]) -> dict[str, Path]:
        """Return the file of each view, by its name; InputError if one is missing."""
        raise NotImplementedError

    def read(self, path: Path, view: View) -> Detections2D:
        """Return the rows of a view's file, in the order of frames; InputError if it is broken or of other frames."""
        raise NotImplementedError

    def files_beside(self, files: dict[str, Path]) -> list[Path]:
        """Return further files that the result depends on."""
        return []

    def prepare(self, views: tuple[View, ...]) -> str:
        """Read all files; return their fingerprint. InputError if one is missing, broken or has other frames."""
        files = self.files_of(views)
        for view in views:
            self._rows[view.name] = self.read(files[view.name], view)
        own = skeleton_files(self._skeleton_setting)
        return fingerprint([*(files[view.name] for view in views), *self.files_beside(files), *own])

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the frames up to the last one in which a view shows a person."""
        files = self.files_of(views)
        return max(int(self.read(files[view.name], view).frame.max(initial=-1)) for view in views) + 1

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Return the people of one frame; needs no image."""
        if view.name not in self._rows:
            self._rows[view.name] = self.read(self.files_of((view,))[view.name], view)
        rows = self._rows[view.name]
        start, stop = np.searchsorted(rows.frame, (frame, frame + 1))
        return Estimate(rows[start:stop], state)


@dataclass(frozen=True)
class PointTableConfig:
    """Settings that the formats of named points share."""

    folder: str = ""
    """Folder with one file per view."""
    skeleton: str = "auto"
    """``auto`` = by the names of the points, such as ``left_hip``, ``LHip`` or ``hip_l``; the name of a skeleton; or a
    skeleton file (.yaml) that says which point is which joint."""
    # As for OpenPose, where it was measured; not measured for the networks that people train.
    noise: float = 0.35
    """Expected noise, see ``blazepose``. Not measured for this format."""
    first_frame: int = 0
    """Number in the files of the session's first frame."""


class PointTableFiles(ViewFiles):
    """Part of an estimator that is the same for all formats of named points (``table_of``)."""

    def __init__(self, config: PointTableConfig) -> None:
        super().__init__(config.skeleton)
        self.config = config
        self.skeleton: Skeleton = SKELETONS["coco17"]
        if config.skeleton != "auto":
            self.skeleton = skeleton_of_points((), config.skeleton, Path(config.folder))
        self._names: dict[str, tuple[str, ...]] = {}

    def table_of(self, path: Path) -> PointTable:
        """Return the points of a file; InputError if it is broken."""
        raise NotImplementedError

    def read(self, path: Path, view: View) -> Detections2D:
        """Return the rows of a view's file; with the skeleton ``auto``, all views must have the same points."""
        table = self.table_of(path)
        if self.config.skeleton == "auto":
            others = {name: names for name, names in self._names.items() if name != view.name}
            same_points(table, others, path)
            if not others:
                self.skeleton = skeleton_of_points(table.names, "auto", path)
            self._names[view.name] = table.names
        rows = point_rows(table, self.skeleton, view, self.config.noise, self.config.first_frame, path)
        check_pixels(rows.xy, rows.score, view.size, path)
        return rows
