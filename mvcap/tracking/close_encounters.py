"""Close encounters, in which identities may be switched, and tracklets that occupy the same position."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.structures.anthropometry import TORSO_DEPTH_M
from mvcap.tracking.kalman_tracker import FrameInput, KalmanTracker

NEAR_M = 0.5
"""Identities may be switched between bodies whose torsos are this near: an arm's length between their middles."""
_WITHIN_M = 0.2  # standard deviation of the middle of a second detection of a body
_UNCERTAIN_M = 0.5  # most standard deviation of a distance that widens the threshold
_APART_S = 0.5  # an encounter ends when the two have been apart for this long
_PEOPLE = 64  # most people with encounters: those who were seen longest
_PAIRS = 256  # most pairs in a frame


@dataclass
class Encounter:
    """A close encounter of two tracklets."""

    start: int
    closest: int
    closest_m: float
    last: int


class Encounters:
    """All close encounters and shared positions of a take so far."""

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.shared: defaultdict[int, Counter[int]] = defaultdict(Counter)
        """By tracklet and other tracklet: frames in which both were seen closer than two torsos can be."""
        self.within: defaultdict[int, defaultdict[int, float]] = defaultdict(partial(defaultdict, float))
        """The same, each frame weighted 0..1 by how likely a second detection of one body is as far from the first."""
        self._now: dict[tuple[int, int], Encounter] = {}

    def see(self, idents: Ints, frame_input: FrameInput) -> None:
        """Count the people of one frame who are at the same position, or near each other."""
        seen = np.flatnonzero((idents >= 0) & frame_input.there)
        a, b, apart, sigma = _pairs(frame_input.middle[seen], frame_input.middle_cov[seen])
        for at in np.flatnonzero(apart < NEAR_M + sigma)[:_PAIRS].tolist():
            pair = int(idents[seen[a[at]]]), int(idents[seen[b[at]]])
            weight = float(np.exp(-(apart[at] ** 2) / (2 * (_WITHIN_M**2 + sigma[at] ** 2))))
            same_position = apart[at] < TORSO_DEPTH_M + min(float(sigma[at]), TORSO_DEPTH_M)
            for one, other in (pair, pair[::-1]):
                self.within[one][other] += weight
                if same_position:
                    self.shared[one][other] += 1

    def step(self, frame: int, tracker: KalmanTracker) -> list[tuple[int, int, int, int]]:
        """Update the encounters by one frame; return those that end: first and closest frame, and the two tracklets."""
        who = np.flatnonzero(tracker.count * 10 >= self.rate_hz)
        who = who[np.argsort(-tracker.count[who], kind="stable")[:_PEOPLE]]
        a, b, apart, sigma = _pairs(tracker.mean[who, :3], tracker.cov[who, :3, :3])
        for at in np.flatnonzero(apart < NEAR_M + sigma)[:_PAIRS].tolist():
            pair = tuple(sorted((int(tracker.ident[who[a[at]]]), int(tracker.ident[who[b[at]]]))))
            one = self._now.setdefault(pair, Encounter(frame, frame, np.inf, frame))  # type: ignore[arg-type]
            one.last = frame
            nearest = float(apart[at] - 2 * sigma[at])  # an unseen person may be nearer than predicted
            if nearest < one.closest_m:
                one.closest, one.closest_m = frame, nearest
        tracked = set(tracker.ident.tolist())
        return self._close([pair for pair, one in self._now.items()
                           if frame - one.last > _APART_S * self.rate_hz or not tracked.issuperset(pair)])  # fmt: skip

    def end(self) -> list[tuple[int, int, int, int]]:
        """End all encounters that are still open when the take ends, and return them."""
        return self._close(list(self._now))

    def in_encounter(self, idents: Ints, frame: int) -> NDArray[np.bool_]:
        """Which tracklets (M,) are in a close encounter in this frame."""
        busy = {ident for pair, one in self._now.items() if one.last == frame for ident in pair}
        return np.array([ident in busy for ident in idents.tolist()], np.bool_)

    def _close(self, pairs: list[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
        ended = [(pair, self._now.pop(pair)) for pair in pairs]
        return [(one.start, one.closest, *pair) for pair, one in ended]


def _pairs(middle: Floats, cov: Floats) -> tuple[Ints, Ints, Floats, Floats]:
    """Pairs a < b, their distance in m, and its standard deviation in m, at most ``_UNCERTAIN_M``."""
    a, b = np.triu_indices(len(middle), 1)
    variance = np.trace(cov, axis1=-2, axis2=-1) / 3
    sigma = np.sqrt(np.maximum(variance[a] + variance[b], 0))
    return a, b, np.linalg.norm(middle[a] - middle[b], axis=-1), np.minimum(sigma, _UNCERTAIN_M)
