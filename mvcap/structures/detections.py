"""2D detections: one row is one person in one view at one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mvcap.structures.skeleton import Skeleton
from mvcap.structures.skeleton import skeleton as named_skeleton
from mvcap.structures.table import Table, column, optional_column

FARTHEST_PX = 1e9
"""A coordinate beyond it is no place in or near an image."""


@dataclass(frozen=True, eq=False)
class Detections2D(Table):
    """People in images. A missing joint has xy NaN and score 0, always together."""

    frame: NDArray[Any] = column(dtype=np.int32)
    view: NDArray[Any] = column(dtype=np.int16)
    """Index of the view in the session's (and the rig's) order."""
    person: NDArray[Any] = column(dtype=np.int32)
    """Person number across views, filled by association; -1 = unassigned."""
    carried: NDArray[Any] = column(dtype=np.int32)
    """Id given by the estimator's own tracker within the view; -1 = not tracked."""
    box: NDArray[Any] = column(4)
    """left, top, right, bottom, px."""
    xy: NDArray[Any] = column("J", 2)
    """px, NaN where missing."""
    score: NDArray[Any] = column("J")
    """0..1."""
    noise_px: NDArray[Any] = column("J")
    """Expected standard deviation of xy along each axis, px; NaN where missing."""
    metric: NDArray[Any] | None = optional_column("J", 3, dtype=np.float16)
    """What the estimator itself says of depth: joints in m about the middle of the hips, along the axes of a camera
    that is turned to the hips by the shortest way: x right, y down, z away. NaN where it says nothing, None if in no
    row. Half precision: 0.5 mm at 1 m."""

    def __post_init__(self) -> None:
        super().__post_init__()
        missing = np.isnan(self.xy).any(-1)
        if not np.array_equal(missing, self.score == 0):
            raise ValueError("Detections2D: a missing joint must have xy NaN and score 0, both together")

    @classmethod
    def build(
        cls,
        skeleton: Skeleton,
        frame: ArrayLike,
        view: ArrayLike,
        xy: ArrayLike,
        score: ArrayLike,
        noise_factor: float,
        carried: ArrayLike | None = None,
        box: ArrayLike | None = None,
    ) -> Self:
        """Return the rows of one image from xy (M, J, 2) px and score (M, J), with consistent boxes and noise.

        frame and view: a number, or one a row. A joint is missing if its xy is not finite or exactly (0, 0), which many
        programs write for a joint that they did not find, whatever its score; or if its score is below 0.001. The noise
        is ``noise_factor`` times the joint's annotator sigma times the body's size (square root of the area of its
        box), divided by the score, so that joints with a low score have more noise.
        """
        points: NDArray[Any] = np.array(xy, dtype=np.float64).reshape(-1, len(skeleton), 2)
        given = np.nan_to_num(np.array(score, dtype=np.float64))
        scores: NDArray[Any] = np.clip(given.reshape(-1, len(skeleton)), 0, 1)
        points, scores = without_missing(points, np.where(scores < 1e-3, 0, scores))
        missing = scores == 0
        boxes = joint_box(points) if box is None else np.array(box, dtype=np.float64).reshape(-1, 4)
        noise = noise_factor * skeleton.sigma * body_size(boxes)[:, None] / np.where(missing, np.nan, scores)
        rows = len(points)
        ids = np.full(rows, -1) if carried is None else np.asarray(carried)
        where = np.full(rows, frame), np.full(rows, view), np.full(rows, -1)
        return cls(skeleton, *where, ids, boxes, points, scores, noise)

    @classmethod
    def from_dense(
        cls,
        xy: ArrayLike,
        score: ArrayLike | None,
        skeleton: Skeleton | str,
        *,
        noise: float = 0.3,
        noise_px: ArrayLike | None = None,
        carried: bool = False,
    ) -> Self:
        """Make rows of keypoints xy (T, C, P, J, 2) px and scores (T, C, P, J) 0..1 of T frames and C views.

        P counts the people in a view; the same index may be another person in another view or frame. A joint is missing
        if xy is not finite or exactly (0, 0), or if the score is not above 0; a person without any joint has no row.
        score: default 1 for every joint. noise: expected noise in units of a careful annotator's (see
        ``Skeleton.sigma``), which grows with the size of the body and falls with the score; noise_px (T, C, P, J)
        states it in pixels instead. carried: index p is the same person in all frames of a view, as of a 2D tracker.
        Raises ValueError if shapes do not fit, InputError for an unknown skeleton.
        """
        kind = named_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
        points = np.array(xy, np.float64)
        if points.ndim != 5 or points.shape[3:] != (len(kind), 2):
            raise ValueError(f"xy must be (T, C, P, J, 2) with J = {len(kind)} for {kind.name}, not {points.shape}")
        given = np.ones(points.shape[:-1]) if score is None else np.array(score, np.float64)
        if given.shape != points.shape[:-1]:
            raise ValueError(f"score must be (T, C, P, J) as xy, {points.shape[:-1]}, not {given.shape}")
        if not (np.isfinite(noise) and noise > 0):
            raise ValueError(f"noise must be a finite number above 0, not {noise}")
        points, given = without_missing(points, given)
        frame, view, place = np.nonzero((given > 0).any(-1))
        at = frame, view, place
        rows = cls.build(kind, 0, 0, points[at], given[at], noise, place if carried else None)
        rows = rows.with_columns(frame=frame, view=view)
        if noise_px is None:
            return rows
        stated = np.broadcast_to(np.asarray(noise_px, np.float64), given.shape)[at]
        if not (np.isfinite(stated[rows.score > 0]).all() and (stated[rows.score > 0] > 0).all()):
            raise ValueError("noise_px must be finite and above 0 wherever there is a joint")
        return rows.with_columns(noise_px=np.where(rows.score > 0, stated, np.nan))

    def of(self, view: int | None = None, frame: int | None = None, person: int | None = None) -> Self:
        """Return the rows of one view, one frame, one person, or of several of these."""
        kept = np.ones(len(self), np.bool_)
        for values, wanted in ((self.view, view), (self.frame, frame), (self.person, person)):
            if wanted is not None:
                kept &= values == wanted
        return self[kept]

    def of_body(self) -> Self:
        """Return the rows with only the joints of ``Skeleton.body``, which identify bodies."""
        columns = self.arrays()
        by_joint = ("xy", "score", "noise_px", "metric")
        of_joints = {name: columns[name][:, self.skeleton.body] for name in by_joint if name in columns}
        return type(self)(self.skeleton.body_part, **{**columns, **of_joints})


def without_missing(xy: NDArray[Any], score: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return xy (..., J, 2) px and score (..., J) with NaN and 0 for every joint that is missing.

    These are: xy not finite or no place near an image, xy exactly (0, 0), a score that is not above 0.
    """
    missing = ~(np.abs(xy) < FARTHEST_PX).all(-1) | (xy == 0).all(-1) | ~(score > 0)
    return np.where(missing[..., None], np.nan, xy), np.where(missing, 0, score)


def joint_box(xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the box (M, 4) around the finite joints of xy (M, J, 2); NaN for a row without any."""
    known = np.isfinite(xy).all(-1).any(-1)
    boxes = np.full((len(xy), 4), np.nan)
    if known.any():
        boxes[known, :2] = np.nanmin(xy[known], axis=1)
        boxes[known, 2:] = np.nanmax(xy[known], axis=1)
    return boxes


def body_size(box: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the size (M,) px of bodies: the square root of the box area, with a side ratio of at least 1 to 3.

    The limit avoids too small sizes for bodies seen from the side or with all joints in one line.
    """
    width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    long = np.maximum(width, height)
    return np.asarray(np.sqrt(np.maximum(width, long / 3) * np.maximum(height, long / 3)), dtype=np.float64)
