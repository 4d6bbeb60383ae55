"""Detections from a file in mvcap's own layout (``mvcap.structures.detection_table``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.estimation.detection_files import Columns, open_table
from mvcap.estimation.prediction_files import check_frames, fingerprint, without_empty_rows
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D, joint_box


@dataclass(frozen=True)
class DetectionTableConfig:
    """Settings of the estimator ``table``."""

    file: str = ""
    """The npz or parquet file."""
    # As for OpenPose, where it was measured.
    noise: float = 0.35
    """Expected noise, see ``blazepose``; used only where the file holds none."""


class DetectionTable:
    """Estimator ``table``: detections in mvcap's own layout, one npz or parquet file for all views."""

    Config = DetectionTableConfig
    needs_images = False

    def __init__(self, config: DetectionTableConfig) -> None:
        if not config.file:
            raise InputError(
                "table: no file is set; set estimators.table.file to the npz or parquet file with the detections"
            )
        self.config = config
        self._file = open_table(Path(config.file))
        self.skeleton = self._file.skeleton

    def prepare(self, views: tuple[View, ...]) -> str:
        """Check that every view is in the file; return its fingerprint. InputError lists the views of both sides."""
        path = Path(self.config.file)
        have = self._file.view_names
        lost = [view.name for view in views if view.name not in have]
        if lost and self._file.last_frame >= 0:
            raise InputError(
                f"{path}: no view {', '.join(lost)} in it (views: {', '.join(view.name for view in views)}; "
                f"in the file: {', '.join(have)}); rename the views in the file"
            )
        for view in views:
            check_frames((self._file.last_frame,), view, path)
        return fingerprint([path])

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the number of frames up to the last one of the file."""
        return self._file.last_frame + 1

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Return the people of one frame; needs no image."""
        columns = self._file.rows(frame, view.name) if view.name in self._file.view_names else {}
        if not columns:
            return Estimate(Detections2D.empty(self.skeleton), state)
        try:
            rows = self._rows(columns, frame, view)
        except ValueError as fault:
            raise InputError(
                f"{self.config.file}: frame {frame} of view {view.name}: {fault}; write it again"
            ) from fault
        return Estimate(without_empty_rows(rows), state)

    def _rows(self, columns: Columns, frame: int, view: View) -> Detections2D:
        count = len(columns["frame"])
        xy, score = np.array(columns["xy"]), np.array(columns["score"])
        missing = ~np.isfinite(xy).all(-1) | ~(score > 0)
        xy[missing], score[missing] = np.nan, 0
        box, carried = columns.get("box", joint_box(xy)), columns.get("carried", np.full(count, -1))
        if "noise_px" not in columns:
            rows = Detections2D.build(self.skeleton, frame, view.index, xy, score, self.config.noise, carried, box)
            return rows.with_columns(person=columns.get("person", rows.person))
        return Detections2D.from_arrays(
            self.skeleton,
            {
                "frame": columns["frame"],
                "view": np.full(count, view.index),
                "person": columns.get("person", np.full(count, -1)),
                "carried": carried,
                "box": box,
                "xy": xy,
                "score": np.clip(score, 0, 1),
                "noise_px": np.where(missing, np.nan, columns["noise_px"]),
            },
        )
