"""Matching of estimated to true people, frame by frame, with the distance that all metrics share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.poses import Poses3D

GATE_M = 0.5
"""Bodies farther apart than this are not matched (VoxelPose's recall@500)."""
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matching:
    """K pairs of a true and an estimated person, one to one within a frame."""

    truth: Rows
    """(K,) rows of the ground truth."""
    found: Rows
    """(K,) rows of the estimate."""
    distance_m: NDArray[np.float64]
    """(K,) mean joint distance, m."""


def joint_distances(truth: NDArray[np.floating], found: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return mean joint distances (A, B) m of true bodies (A, J, 3) to estimated ones (B, J, 3), over the true joints.

    A missing estimated joint counts with ``GATE_M``, so that a single accurate joint does not beat a whole body; bodies
    without a common joint have infinite distance.
    """
    apart = np.linalg.norm(truth[:, None].astype(np.float64) - found[None], axis=-1)  # (A, B, J)
    both, counted = np.isfinite(apart), np.isfinite(truth).all(-1)[:, None]
    total = np.where(both, apart, np.where(counted, GATE_M, 0.0)).sum(-1)
    return np.where(both.any(-1), total / np.maximum(counted.sum(-1), 1), np.inf)


def same_joints(truth: Poses3D, found: Poses3D) -> None:
    """Raise ValueError if the tables have different skeletons."""
    if truth.skeleton.joints != found.skeleton.joints:
        raise ValueError(f"estimated poses are {found.skeleton.name}, the truth is {truth.skeleton.name}; convert one")


def rows_by_frame(truth: Poses3D, found: Poses3D) -> Iterator[tuple[int, Rows, Rows]]:
    """Yield every frame that has rows in either table, with its rows of the ground truth and of the estimate."""
    sides = []
    for table in (truth, found):
        order = np.argsort(table.frame, kind="stable").astype(np.int64)
        sides.append((order, table.frame[order]))
    for frame in np.union1d(truth.frame, found.frame).tolist():
        rows = []
        for order, sorted_frames in sides:
            start, stop = np.searchsorted(sorted_frames, (frame, frame + 1))
            rows.append(order[start:stop])
        yield frame, rows[0], rows[1]


def assign(distance_m: NDArray[np.float64], gate_m: float = GATE_M) -> tuple[Rows, Rows]:
    """Assign rows to columns of distances (A, B) m one to one, below the gate: most pairs, then the least sum."""
    from scipy.optimize import linear_sum_assignment

    far = gate_m * (1 + min(distance_m.shape, default=0))  # an additional pair always outweighs all distances
    row, column = linear_sum_assignment(np.where(distance_m < gate_m, distance_m, far))
    near = distance_m[row, column] < gate_m
    return row[near].astype(np.int64), column[near].astype(np.int64)


def match(truth: Poses3D, found: Poses3D, gate_m: float = GATE_M) -> Matching:
    """Match people frame by frame, one to one (Hungarian algorithm on ``joint_distances``), only within the gate."""
    same_joints(truth, found)
    pairs: list[tuple[Rows, Rows, NDArray[np.float64]]] = []
    for _, true, near in rows_by_frame(truth, found):
        distance = joint_distances(truth.xyz[true], found.xyz[near])
        row, column = assign(distance, gate_m)
        pairs.append((true[row], near[column], distance[row, column]))
    if not pairs:
        return Matching(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Matching(*(np.concatenate(part) for part in zip(*pairs, strict=True)))


def nearest_people(truth: Poses3D, found: Poses3D) -> tuple[Rows, NDArray[np.float64]]:
    """Return the estimated person (M,) nearest to each true one in its frame, -1 for none, and the distance (M,) m.

    VoxelPose's rule for PCP and recall (lib/dataset/shelf.py): no gate and no one-to-one constraint.
    """
    same_joints(truth, found)
    nearest, apart = np.full(len(truth), -1, np.int64), np.full(len(truth), np.inf)
    for _, true, near in rows_by_frame(truth, found):
        if len(true) and len(near):
            distance = joint_distances(truth.xyz[true], found.xyz[near])
            best = np.argmin(distance, axis=1)
            apart[true] = distance[np.arange(len(true)), best]
            nearest[true] = np.where(np.isfinite(apart[true]), near[best], -1)
    return nearest, apart
