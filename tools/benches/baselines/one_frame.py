"""What the baselines have in common: rows of one frame at a time, epipolar distances, and groups as person numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from mvcap.structures.detections import Detections2D

Groups = list[list[int]]
"""Rows of one frame that are one body; at most one a view."""


def frame_by_frame(rows: Detections2D, rig: Rig, min_score: float, match: Callable[..., Groups]) -> Detections2D:
    """Rows with ``person`` as ``match(xy (M, J, 2), view (M,), rig)`` groups the rows of each frame.

    The pixels are without distortion, NaN where a joint's score is below ``min_score``. Rows that stay
    alone are false positives.
    """
    person = np.full(len(rows), -1, np.int32)
    bare = without_distortion(rows, rig)
    bare[rows.score < max(min_score, 1e-6)] = np.nan
    for frame in np.unique(rows.frame):
        mine = np.flatnonzero(rows.frame == frame)
        groups = [group for group in match(bare[mine], rows.view[mine], rig) if len(group) > 1]
        for number, group in enumerate(sorted(groups, key=lambda group: (-len(group), min(group)))):
            person[mine[group]] = number
    return rows.with_columns(person=person)


def without_distortion(rows: Detections2D, rig: Rig) -> Floats:
    """Pixels (M, J, 2) of the rows as a pinhole camera of the same matrix would have them."""
    stacked = np.full((len(rig), *rows.xy.shape), np.nan)
    stacked[rows.view, np.arange(len(rows))] = rows.xy
    normal = rig.undistort(stacked)[rows.view, np.arange(len(rows))]
    K = rig.K[rows.view]
    homogeneous = np.concatenate([normal, np.ones((*normal.shape[:-1], 1))], axis=-1)
    return np.asarray(np.einsum("mij,mkj->mki", K, homogeneous)[..., :2])


def fundamental(rig: Rig) -> Floats:
    """Matrices (C, C, 3, 3): at [b, a] the one that makes of a point in view a its line in view b."""
    pose = rig.cam_from_world
    relative = pose[:, None] @ np.linalg.inv(pose)[None]
    x, y, z = np.moveaxis(relative[..., :3, 3], -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    inverse = np.linalg.inv(rig.K)
    return np.asarray(inverse.transpose(0, 2, 1)[:, None] @ cross @ relative[..., :3, :3] @ inverse[None])


def epipolar_distance(xy: Floats, view: NDArray[np.integer], rig: Rig, min_joints: int) -> Floats:
    """Mean symmetric distances (M, M) px between rows' joints (M, J, 2) and each other's epipolar lines.

    Infinite within a view and where two rows have fewer than ``min_joints`` in common.
    """
    points = np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1)
    matrices = fundamental(rig)[view[:, None], view[None]]  # (M, M, 3, 3): line in the row's view of the column's point
    lines = np.einsum("abij,bkj->abki", matrices, points)
    normal = np.maximum(np.hypot(lines[..., 0], lines[..., 1]), 1e-9)
    off = np.abs(np.einsum("abki,aki->abk", lines, points)) / normal
    known = np.isfinite(off) & np.isfinite(off.transpose(1, 0, 2))
    both = (off + off.transpose(1, 0, 2)) / 2
    mean = np.where(known, both, 0).sum(-1) / np.maximum(known.sum(-1), 1)
    return np.where((known.sum(-1) >= min_joints) & (view[:, None] != view[None]), mean, np.inf)
