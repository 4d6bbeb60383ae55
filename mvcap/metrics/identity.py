"""Whether each person keeps one number through time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.metrics.matching import GATE_M, Rows, assign, joint_distances, rows_by_frame, same_joints
from mvcap.structures.poses import Poses3D


@dataclass(frozen=True)
class Identity:
    """Counts over a take."""

    true: int
    """True people, a count for each frame."""
    missed: int
    """Of them, those that nobody found is matched to."""
    false: int
    """Found people that are matched to nobody."""
    switches: int
    """Times that a true person goes on under another number than the last one they were matched to."""
    same: int
    """True people matched under the number that is theirs over the whole take (IDTP)."""
    found: int
    """Found people, a count for each frame."""

    @property
    def mota(self) -> float:
        """1 - (missed + false + switches) / true (Bernardin and Stiefelhagen, CLEAR MOT, 2008); NaN without truth."""
        return 1 - (self.missed + self.false + self.switches) / self.true if self.true else float("nan")

    @property
    def idf1(self) -> float:
        """2 IDTP / (true + found) (Ristani et al., 2016); NaN without anybody."""
        return 2 * self.same / (self.true + self.found) if self.true + self.found else float("nan")

    @property
    def coverage(self) -> float:
        """Percent of the true people that are matched; NaN without truth."""
        return 100.0 * (1 - self.missed / self.true) if self.true else float("nan")


def identity(truth: Poses3D, found: Poses3D, gate_m: float = GATE_M) -> Identity:
    """Count as CLEAR MOT does: bodies nearer than the gate (mean joint distance) can be one person.

    In every frame a true person keeps the number they had when last matched while that one is within the gate; the
    others are matched one to one, nearest first in sum. A switch is counted where the number differs from the last one,
    however long ago that was, as HOTA's reference code (TrackEval) counts IDSW. IDF1 pairs whole identities one to one
    so that most frames agree within the gate.
    """
    same_joints(truth, found)
    last: dict[int, int] = {}
    together: dict[tuple[int, int], int] = {}
    switches = matched = 0
    for _, true, near in rows_by_frame(truth, found):
        distance = joint_distances(truth.xyz[true], found.xyz[near])
        who, numbers = truth.person[true].tolist(), found.person[near].tolist()
        for row, column in zip(*np.nonzero(distance < gate_m), strict=True):
            pair = (who[row], numbers[column])
            together[pair] = together.get(pair, 0) + 1
        for row, column in _kept_then_nearest(distance, who, numbers, last, gate_m):
            switches += last.get(who[row], numbers[column]) != numbers[column]
            last[who[row]] = numbers[column]
            matched += 1
    return Identity(len(truth), len(truth) - matched, len(found) - matched, switches, _most(together), len(found))


def _kept_then_nearest(
    distance: NDArray[np.float64], who: list[int], numbers: list[int], last: dict[int, int], gate_m: float
) -> list[tuple[int, int]]:
    """Pairs of a frame: who can keep their number does, the rest is assigned."""
    kept: list[tuple[int, int]] = []
    rest = distance.copy()
    for row, person in enumerate(who):
        column = numbers.index(last[person]) if last.get(person) in numbers else -1
        if column >= 0 and rest[row, column] < gate_m:
            kept.append((row, column))
            rest[row], rest[:, column] = np.inf, np.inf
    rows, columns = assign(rest, gate_m)
    return [*kept, *zip(rows.tolist(), columns.tolist(), strict=True)]


def _most(together: dict[tuple[int, int], int]) -> int:
    """Most frames that agree when identities are paired one to one."""
    from scipy.optimize import linear_sum_assignment

    if not together:
        return 0
    rows, columns = (sorted({pair[side] for pair in together}) for side in (0, 1))
    frames_of: Rows = np.zeros((len(rows), len(columns)), np.int64)
    for (person, number), count in together.items():
        frames_of[rows.index(person), columns.index(number)] = count
    row, column = linear_sum_assignment(frames_of, maximize=True)
    return int(frames_of[row, column].sum())
