"""Identity metrics over time: MOTA, IDF1, coverage and identity switches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.metrics.matching import GATE_M, Rows, assign, joint_distances, rows_by_frame, same_joints
from mvcap.structures.poses import Poses3D


@dataclass(frozen=True)
class Identity:
    """Counts over a take; every person counts once per frame."""

    true: int
    """True people."""
    missed: int
    """Missed detections: true people without a matched estimate."""
    false: int
    """False positives: estimated people without a matched true person."""
    switches: int
    """Identity switches: times that a true person is matched to another id than at their last match."""
    same: int
    """True people matched to the id that is theirs over the whole take (IDTP)."""
    found: int
    """Estimated people."""

    @property
    def mota(self) -> float:
        """1 - (missed + false + switches) / true (Bernardin and Stiefelhagen, CLEAR MOT, 2008), NaN without truth."""
        return 1 - (self.missed + self.false + self.switches) / self.true if self.true else float("nan")

    @property
    def idf1(self) -> float:
        """2 IDTP / (true + found) (Ristani et al., 2016); NaN without any person."""
        return 2 * self.same / (self.true + self.found) if self.true + self.found else float("nan")

    @property
    def coverage(self) -> float:
        """Percent of the true people that are matched; NaN without ground truth."""
        return 100.0 * (1 - self.missed / self.true) if self.true else float("nan")


def identity(truth: Poses3D, found: Poses3D, gate_m: float = GATE_M) -> Identity:
    """Count matches as CLEAR MOT does: bodies with a mean joint distance below the gate can be the same person.

    In every frame a true person keeps the id of their last match if that one is within the gate; all others are matched
    one to one with the least sum of distances. An identity switch is counted if the id differs from the last match,
    however long ago that was, as HOTA's reference code (TrackEval) counts IDSW. IDF1 pairs whole identities one to one
    so that the number of frames that agree within the gate is largest.
    """
    same_joints(truth, found)
    last: dict[int, int] = {}
    together: dict[tuple[int, int], int] = {}
    switches = matched = 0
    for _, true, near in rows_by_frame(truth, found):
        distance = joint_distances(truth.xyz[true], found.xyz[near])
        persons, ids = truth.person[true].tolist(), found.person[near].tolist()
        for row, column in zip(*np.nonzero(distance < gate_m), strict=True):
            pair = (persons[row], ids[column])
            together[pair] = together.get(pair, 0) + 1
        for row, column in _kept_then_nearest(distance, persons, ids, last, gate_m):
            switches += last.get(persons[row], ids[column]) != ids[column]
            last[persons[row]] = ids[column]
            matched += 1
    agreeing = _most_agreeing_frames(together)
    return Identity(len(truth), len(truth) - matched, len(found) - matched, switches, agreeing, len(found))


def _kept_then_nearest(
    distance: NDArray[np.float64], persons: list[int], ids: list[int], last: dict[int, int], gate_m: float
) -> list[tuple[int, int]]:
    """Return the matched (row, column) pairs of a frame: ids of the last match are kept, the rest is assigned."""
    kept: list[tuple[int, int]] = []
    rest = distance.copy()
    for row, person in enumerate(persons):
        column = ids.index(last[person]) if last.get(person) in ids else -1
        if column >= 0 and rest[row, column] < gate_m:
            kept.append((row, column))
            rest[row], rest[:, column] = np.inf, np.inf
    rows, columns = assign(rest, gate_m)
    return [*kept, *zip(rows.tolist(), columns.tolist(), strict=True)]


def _most_agreeing_frames(together: dict[tuple[int, int], int]) -> int:
    """Return the largest number of agreeing frames over all one-to-one pairings of identities."""
    from scipy.optimize import linear_sum_assignment

    if not together:
        return 0
    rows, columns = (sorted({pair[side] for pair in together}) for side in (0, 1))
    frames_of: Rows = np.zeros((len(rows), len(columns)), np.int64)
    for (person, number), count in together.items():
        frames_of[rows.index(person), columns.index(number)] = count
    row, column = linear_sum_assignment(frames_of, maximize=True)
    return int(frames_of[row, column].sum())
