"""Detections from a file in mvcap's own layout (``mvcap.structures.detection_table``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.estimation.detection_files import open_table
from mvcap.estimation.parquet_table import Columns
from mvcap.estimation.prediction_files import (
    check_frames,
    fingerprint,
    is_skeleton_file,
    skeleton_files,
    without_empty_rows,
)
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import FARTHEST_PX, Detections2D, joint_box, without_missing
from mvcap.structures.pixels import check_pixels
from mvcap.structures.skeleton import skeleton
from mvcap.structures.skeleton_file import load_skeleton

_SAMPLED_ROWS = 1000
_FARTHEST_M = 10.0  # of a joint from the middle of its body's hips


@dataclass(frozen=True)
class DetectionTableConfig:
    """Settings of the estimator ``table``."""

    file: str = ""
    """The npz or parquet file."""
    # As for OpenPose, where it was measured.
    noise: float = 0.35
    """Expected noise, see ``blazepose``; used only where the file holds none."""
    skeleton: str = ""
    """Skeleton of the rows, a name or a skeleton file (.yaml); empty = the one that the file names."""


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
        kind = load_skeleton(config.skeleton) if is_skeleton_file(config.skeleton) else None
        self._file = open_table(Path(config.file), kind or (skeleton(config.skeleton) if config.skeleton else None))
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
            sample = self._file.sample(view.name, _SAMPLED_ROWS)
            if sample:
                check_pixels(*without_missing(sample["xy"], sample["score"]), view.size, f"{path}, view {view.name}")
        return fingerprint([path, *skeleton_files(self.config.skeleton)])

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the number of frames up to the last one of the file."""
        check_frames((self._file.last_frame,), views[0], Path(self.config.file))
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
        xy, score = without_missing(columns["xy"], columns["score"])
        ids = {name: _ids(columns.get(name, np.full(count, -1))) for name in ("person", "carried")}
        box = joint_box(xy)
        if "box" in columns:
            given = columns["box"]
            straight = (given[:, 2:] >= given[:, :2]).all(-1, keepdims=True)  # False for NaN
            box = np.where(straight & (np.abs(given) < FARTHEST_PX).all(-1, keepdims=True), given, box)
        stated = columns.get("noise_px")
        metric = _metres(columns.get("metric"), score)
        if stated is None or not _is_noise(stated[score > 0]).all():
            factor = self.config.noise
            rows = Detections2D.build(self.skeleton, frame, view.index, xy, score, factor, ids["carried"], box)
            rows = rows.with_columns(person=ids["person"], **metric)
            if stated is None:
                return rows
            stated = np.where(_is_noise(stated), stated, rows.noise_px)
        return Detections2D.from_arrays(
            self.skeleton,
            {
                "frame": columns["frame"],
                "view": np.full(count, view.index),
                **ids,
                "box": box,
                "xy": xy,
                "score": np.clip(score, 0, 1),
                "noise_px": np.where(score > 0, stated, np.nan),
                **metric,
            },
        )


def _metres(given: NDArray[Any] | None, score: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the column of metric joints, NaN where it has no place of a body; {} without it."""
    if given is None:
        return {}
    good = (np.abs(given) < _FARTHEST_M).all(-1) & (score > 0)
    return {"metric": np.where(good[..., None], given, np.nan)}


def _is_noise(values: NDArray[Any]) -> NDArray[np.bool_]:
    return (values >= 0) & (values < FARTHEST_PX)  # False for NaN


def _ids(values: NDArray[Any]) -> NDArray[np.int32]:
    """Return ids as whole numbers; -1 for what is none."""
    known = (values >= -1) & (values < 2**31)  # False for NaN
    return np.where(known, np.where(known, values, 0), -1).astype(np.int32)
