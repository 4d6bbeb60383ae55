"""Rows of one person as a time series and back: for filters, which move joints and fill no gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.structures.poses import Poses3D


def to_series(poses: Poses3D) -> Floats:
    """Positions (T, J, 3) m from the first frame to the last, NaN where missing."""
    if not len(poses):
        return np.zeros((0, len(poses.skeleton), 3))
    first = int(poses.frame.min())
    out = np.full((int(poses.frame.max()) - first + 1, len(poses.skeleton), 3), np.nan)
    out[poses.frame - first] = poses.xyz
    return out


def from_series(poses: Poses3D, series: Floats) -> Poses3D:
    """Poses with the joint positions of the series (T, J, 3); missing joints stay missing, the rest is unchanged."""
    if not len(poses):
        return poses
    moved = series[poses.frame - int(poses.frame.min())]
    there = np.isfinite(poses.xyz).all(-1, keepdims=True) & np.isfinite(moved).all(-1, keepdims=True)
    return poses.with_columns(xyz=np.where(there, moved, poses.xyz))


def runs_of(known: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and stop of each run of True in known (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
