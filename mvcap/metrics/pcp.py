"""Percentage of correct parts (PCP) on Shelf and Campus, by the rules of the two programs used in publications.

A body of skeleton shelf15 has ten parts: nine limbs, and the torso from the pelvis to the lower end of the head. Both
rules here are stricter than their programs in one point: a true person without a match has ten wrong parts. (In an
empty frame VoxelPose's program fails and MMPose's skips the frame; 4D Association's never counts a missed person.)
A part with a missing estimated end is wrong. A part with an unknown true end does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.metrics.matching import joint_distances, nearest_people, rows_by_frame, same_joints
from mvcap.structures.poses import Poses3D

PARTS = np.array([(0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (12, 13), (12, 14)])
"""(10, 2) ends of the parts, as joints of shelf15."""
GROUPS = {
    "head": (8,), "torso": (9,), "upper_arms": (5, 6), "lower_arms": (4, 7), "upper_legs": (1, 2), "lower_legs": (0, 3),
}  # fmt: skip
_AVERAGED = 3
"""The average is over the first three actors, not weighted by their frames (VoxelPose, MMPose)."""


@dataclass(frozen=True, eq=False)
class Pcp:
    """Counts of body parts of A actors."""

    actors: tuple[int, ...]
    """Person numbers of the ground truth, ascending."""
    right: NDArray[np.int64]
    """(A, 10) correct parts of each actor."""
    counted: NDArray[np.int64]
    """(A, 10) parts of each actor that count."""

    @property
    def percent(self) -> NDArray[np.float64]:
        """(A,) percent of each actor's parts that are correct; NaN for an actor without parts."""
        return _percent(self.right.sum(1), self.counted.sum(1))

    @property
    def average(self) -> float:
        """Unweighted mean of the first three actors' percent; NaN without actors."""
        known = self.percent[:_AVERAGED]
        return float(np.mean(known)) if len(known) else float("nan")

    @property
    def groups(self) -> dict[str, float]:
        """Percent of correct parts in each group of parts, all actors together."""
        right, counted = self.right.sum(0), self.counted.sum(0)
        return {name: float(_percent(right[[*at]].sum(), counted[[*at]].sum())) for name, at in GROUPS.items()}


def _percent(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, 100.0 * part / np.maximum(whole, 1), np.nan)


def pcp_voxelpose(truth: Poses3D, found: Poses3D) -> Pcp:
    """Return PCP by VoxelPose's rule; tables of shelf15, persons of the truth are the actors.

    Each true person is compared with the estimated one of smallest mean error over the 14 joints without pelvis, with
    no gate. A part is correct if the mean error of its ends is at most half its true length.
    Source: microsoft/voxelpose-pytorch, lib/dataset/shelf.py.
    """
    compared = len(truth.skeleton) - 1
    matched, _ = nearest_people(_first(truth, compared), _first(found, compared))
    return _count(truth, found, matched, strict=False)


def pcp_4da(truth: Poses3D, found: Poses3D) -> Pcp:
    """Return PCP by 4D Association's rule; tables of shelf15, persons of the truth are the actors.

    True and estimated people of a frame are matched one to one with the least sum of mean distances of 15 joints,
    without a gate. A part is correct if the sum of its ends' errors is less than its true length.
    Source: zhangyux15/4d_association, evaluate_shelf/main.cpp.
    """
    from scipy.optimize import linear_sum_assignment

    same_joints(truth, found)
    matched = np.full(len(truth), -1, np.int64)
    for _, true, near in rows_by_frame(truth, found):
        distance = joint_distances(truth.xyz[true], found.xyz[near])
        row, column = linear_sum_assignment(np.where(np.isfinite(distance), distance, 1e3))
        finite = np.isfinite(distance[row, column])
        matched[true[row[finite]]] = near[column[finite]]
    return _count(truth, found, matched, strict=True)


def _first(table: Poses3D, joints: int) -> Poses3D:
    """Return the table with only the first so many joints; the others are set to missing."""
    keep = np.arange(len(table.skeleton)) < joints
    return table.with_columns(xyz=np.where(keep[:, None], table.xyz, np.nan), score=np.where(keep, table.score, 0))


def _count(truth: Poses3D, found: Poses3D, matched: NDArray[np.int64], strict: bool) -> Pcp:
    """Count correct parts; matched (M,): row of the estimate for each true row, -1 for none."""
    same_joints(truth, found)
    known = matched >= 0
    other = np.full(truth.xyz.shape, np.nan)
    other[known] = found.xyz[matched[known]]
    true = truth.xyz.astype(np.float64)
    error = np.linalg.norm(other - true, axis=-1)[:, PARTS].sum(-1)  # (M, 10)
    length = np.linalg.norm(true[:, PARTS[:, 0]] - true[:, PARTS[:, 1]], axis=-1)
    right = error < length if strict else error <= length
    actors = tuple(np.unique(truth.person).tolist())
    mine = [truth.person == actor for actor in actors]
    shape = (len(actors), len(PARTS))
    return Pcp(
        actors,
        np.array([right[rows].sum(0) for rows in mine], np.int64).reshape(shape),
        np.array([np.isfinite(length[rows]).sum(0) for rows in mine], np.int64).reshape(shape),
    )
