"""Who was near whom: meetings, in which people may have been taken for each other, and people who share one place."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.structures.anthropometry import TORSO_DEPTH_M
from mvcap.tracking.kalman_tracker import FrameInput, KalmanTracker

NEAR_M = 0.5
"""Bodies whose torsos are so near may be taken for each other: an arm's length between their middles."""
_UNSURE_M = 0.5  # a place that is less sure than that is not near to anything
_OVER_S = 0.5  # a meeting is over when people have been apart for so long
_PEOPLE = 64  # whose meetings are looked at: those who were seen longest
_PAIRS = 256  # a frame


@dataclass
class Encounter:
    """Two tracklets that are near each other."""

    start: int
    closest: int
    closest_m: float
    last: int


class Encounters:
    """All meetings and shared places of a take so far."""

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.shared: defaultdict[int, Counter[int]] = defaultdict(Counter)
        """By tracklet and another: frames in which they were seen closer than two torsos can be."""
        self.near: defaultdict[int, Counter[int]] = defaultdict(Counter)
        """The same of frames in which they were seen near each other."""
        self._now: dict[tuple[int, int], Encounter] = {}

    def see(self, idents: Ints, frame_input: FrameInput) -> None:
        """Count the people of one frame who are in one place, or near each other."""
        seen = np.flatnonzero((idents >= 0) & frame_input.there)
        a, b, apart, sigma = _pairs(frame_input.middle[seen], frame_input.middle_cov[seen])
        for at in np.flatnonzero(apart < NEAR_M + sigma)[:_PAIRS].tolist():
            pair = int(idents[seen[a[at]]]), int(idents[seen[b[at]]])
            one_place = apart[at] < TORSO_DEPTH_M + min(float(sigma[at]), TORSO_DEPTH_M)
            for counts in (self.near, self.shared) if one_place else (self.near,):
                for one, other in (pair, pair[::-1]):
                    counts[one][other] += 1

    def step(self, frame: int, tracker: KalmanTracker) -> list[tuple[int, int, int, int]]:
        """Meetings that are over, as first and closest frame and the two tracklets; others begin or go on."""
        who = np.flatnonzero(tracker.count * 10 >= self.rate_hz)
        who = who[np.argsort(-tracker.count[who], kind="stable")[:_PEOPLE]]
        a, b, apart, sigma = _pairs(tracker.mean[who, :3], tracker.cov[who, :3, :3])
        for at in np.flatnonzero(apart < NEAR_M + sigma)[:_PAIRS].tolist():
            pair = tuple(sorted((int(tracker.ident[who[a[at]]]), int(tracker.ident[who[b[at]]]))))
            one = self._now.setdefault(pair, Encounter(frame, frame, np.inf, frame))  # type: ignore[arg-type]
            one.last = frame
            least = float(apart[at] - 2 * sigma[at])  # who is not seen may be nearer than it seems
            if least < one.closest_m:
                one.closest, one.closest_m = frame, least
        there = set(tracker.ident.tolist())
        return self._over([pair for pair, one in self._now.items()
                           if frame - one.last > _OVER_S * self.rate_hz or not there.issuperset(pair)])  # fmt: skip

    def end(self) -> list[tuple[int, int, int, int]]:
        """All meetings that are still going on when the take ends."""
        return self._over(list(self._now))

    def in_meeting(self, idents: Ints, frame: int) -> NDArray[np.bool_]:
        """Which tracklets (M,) are near another one in this frame."""
        busy = {ident for pair, one in self._now.items() if one.last == frame for ident in pair}
        return np.array([ident in busy for ident in idents.tolist()], np.bool_)

    def _over(self, pairs: list[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
        ended = [(pair, self._now.pop(pair)) for pair in pairs]
        return [(one.start, one.closest, *pair) for pair, one in ended]


def _pairs(middle: Floats, cov: Floats) -> tuple[Ints, Ints, Floats, Floats]:
    """Pairs a < b, their distance, m, and how well it is known, m, as far as it says anything."""
    a, b = np.triu_indices(len(middle), 1)
    variance = np.trace(cov, axis1=-2, axis2=-1) / 3
    sigma = np.sqrt(np.maximum(variance[a] + variance[b], 0))
    return a, b, np.linalg.norm(middle[a] - middle[b], axis=-1), np.minimum(sigma, _UNSURE_M)
