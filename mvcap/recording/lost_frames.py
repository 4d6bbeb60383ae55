"""Frames that a source lost, from its numbers or from the times between its frames; and its delivered rate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_RECENT = 90  # intervals of which the usual one is the median
_LEAST = 8  # intervals from which on it is known
_TWICE = 1.6  # of the usual interval: between one and two, nearer to two, as times jitter more often to be late
_GAPS_KEPT = 10_000


@dataclass(frozen=True)
class Gap:
    """A place in a recording where frames are missing."""

    start_s: float
    stop_s: float
    lost: int
    why: str
    """By what it is known: "number" or "interval" of the frames; or why they were not written: the "queue" was full,
    the "source" was away, there was "no key frame" after it came back, or a packet was "damaged"."""


class LostFrames:
    """Counts what a source delivered and what is missing, frame by frame; memory is constant but for the gaps."""

    def __init__(self, exact: bool = True) -> None:
        self.delivered = 0
        self.lost = 0
        self.gaps: list[Gap] = []
        self.exact = exact
        """Whether the times are the source's own; those of arrival wait for a busy machine now and then."""
        self._intervals: deque[float] = deque(maxlen=_RECENT)
        self._last: tuple[float, int | None] | None = None
        self._first_s = 0.0

    @property
    def interval_s(self) -> float | None:
        """The usual time between frames, s."""
        return float(np.median(self._intervals)) if len(self._intervals) >= _LEAST else None

    @property
    def rate_hz(self) -> float | None:
        """The rate of late: 1 / the usual interval. None before it is known."""
        return None if not self.interval_s else 1 / self.interval_s

    @property
    def last_s(self) -> float | None:
        """Time of the last frame, s; None before the first."""
        return self._last[0] if self._last else None

    @property
    def mean_rate_hz(self) -> float | None:
        """Frames delivered a second, from the first to the last, with all gaps."""
        span = self._last[0] - self._first_s if self._last else 0.0
        return (self.delivered - 1) / span if span > 0 else None

    def add(self, at_s: float, number: int | None = None) -> int:
        """Take note of a frame that was delivered; return how many are missing before it."""
        self.delivered += 1
        if self._last is None:
            self._first_s = at_s
            self._last = (at_s, number)
            return 0
        before_s, before = self._last
        interval = at_s - before_s
        if number is not None and before is not None and number > before:
            lost, why = number - before - 1, "number"
        else:
            usual = self.interval_s
            far = _TWICE if self.exact else 2 * _TWICE
            lost = max(round(interval / usual) - 1, 1) if usual and interval > far * usual else 0
            why = "interval"
        if lost:
            self.note_gap(Gap(before_s, at_s, lost, why))
        else:
            self._intervals.append(interval)
        self._last = (at_s, number)
        return lost

    def note_gap(self, gap: Gap) -> None:
        """Take note of frames that are missing."""
        self.lost += gap.lost
        if len(self.gaps) < _GAPS_KEPT:
            self.gaps.append(gap)

    def interrupted(self, at_s: float) -> None:
        """Let the next frame count from now on: what lies before was lost with the source, and is noted by itself."""
        usual = self.interval_s
        if self._last is not None:
            missing = round((at_s - self._last[0]) / usual) - 1 if usual else 0
            self.note_gap(Gap(self._last[0], at_s, max(missing, 0), "source"))
        self._last = None if self._last is None else (at_s - (usual or 0.0), None)
