"""Percentage of correct parts (PCP) of Shelf and Campus, by the rules of the two programs that others report with.

Ten parts of a body of skeleton shelf15: nine limbs, and the torso from the pelvis to the head's lower end. Both rules
here are stricter than their programs in one point: a true person without any counterpart has ten wrong parts. (In an
empty frame VoxelPose's program fails and MMPose's leaves the frame out; 4D Association's never counts a missed person.)
A part with an end that was not found is wrong. A part whose true end is not known does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.metrics.matching import joint_distances, nearest_people, rows_by_frame, same_joints
from mvcap.structures.poses import Poses3D

PARTS = np.array([(0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (12, 13), (12, 14)])
"""(10, 2) ends of the parts, joints of shelf15."""
GROUPS = {
    "head": (8,), "torso": (9,), "upper_arms": (5, 6), "lower_arms": (4, 7), "upper_legs": (1, 2), "lower_legs": (0, 3),
}  # fmt: skip
_AVERAGED = 3
"""The average is that of the first three actors, not weighted by their frames (VoxelPose, MMPose)."""


@dataclass(frozen=True, eq=False)
class Pcp:
    """Parts counted."""

    actors: tuple[int, ...]
    """Person numbers of the truth, in order."""
    right: NDArray[np.int64]
    """(A, 10) parts of each actor that are right."""
    counted: NDArray[np.int64]
    """(A, 10) parts of each actor that count."""

    @property
    def percent(self) -> NDArray[np.float64]:
        """(A,) percent of each actor's parts that are right; NaN for an actor of no parts."""
        return _percent(self.right.sum(1), self.counted.sum(1))

    @property
    def average(self) -> float:
        """Plain mean of the first three actors' percent; NaN without actors."""
        known = self.percent[:_AVERAGED]
        return float(np.mean(known)) if len(known) else float("nan")

    @property
    def groups(self) -> dict[str, float]:
        """Percent of each group of parts, all actors together."""
        right, counted = self.right.sum(0), self.counted.sum(0)
        return {name: float(_percent(right[[*at]].sum(), counted[[*at]].sum())) for name, at in GROUPS.items()}


def _percent(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, 100.0 * part / np.maximum(whole, 1), np.nan)


def pcp_voxelpose(truth: Poses3D, found: Poses3D) -> Pcp:
    """PCP by VoxelPose's rule: tables of shelf15, persons of the truth are the actors.

    Each true person, on its own, is compared with the found one of smallest mean error over the 14 joints (without
    pelvis), however far. A part is right where the mean of its ends' errors is at most half its true length.
    Source: microsoft/voxelpose-pytorch, lib/dataset/shelf.py.
    """
    whole = len(truth.skeleton) - 1
    who, _ = nearest_people(_first(truth, whole), _first(found, whole))
    return _count(truth, found, who, strict=False)


def pcp_4da(truth: Poses3D, found: Poses3D) -> Pcp:
    """PCP by 4D Association's rule: tables of shelf15, persons of the truth are the actors.

    True and found people of a frame are matched one to one by the least sum of the distances of 15 joints, without a
    gate. A part is right where the sum of its ends' errors is less than its true length.
    Source: zhangyux15/4d_association, evaluate_shelf/main.cpp.
    """
    from scipy.optimize import linear_sum_assignment

    same_joints(truth, found)
    who = np.full(len(truth), -1, np.int64)
    for _, true, near in rows_by_frame(truth, found):
        distance = joint_distances(truth.xyz[true], found.xyz[near])
        row, column = linear_sum_assignment(np.where(np.isfinite(distance), distance, 1e3))
        there = np.isfinite(distance[row, column])
        who[true[row[there]]] = near[column[there]]
    return _count(truth, found, who, strict=True)


def _first(table: Poses3D, joints: int) -> Poses3D:
    """The same rows where the joints after the first so many are missing."""
    keep = np.arange(len(table.skeleton)) < joints
    return table.with_columns(xyz=np.where(keep[:, None], table.xyz, np.nan), score=np.where(keep, table.score, 0))


def _count(truth: Poses3D, found: Poses3D, who: NDArray[np.int64], strict: bool) -> Pcp:
    same_joints(truth, found)
    there = who >= 0
    other = np.full(truth.xyz.shape, np.nan)
    other[there] = found.xyz[who[there]]
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
