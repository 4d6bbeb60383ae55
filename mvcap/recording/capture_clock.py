"""When a frame was captured, from when it arrived and what its source says of its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

_WINDOW_S = 30.0  # over which the shortest way is looked for: long against congestion, short against drift
_BUCKET_S = 1.0
_JUMP_S = 1.0  # a source whose time jumps by more has begun anew
_STEP_S = 1e-4  # least time between frames


class CaptureClock:
    """Capture times of one source on the monotonic clock, up to the constant delay of the shortest way.

    A frame that travels without waiting arrives soonest after the time that its source states, so the least difference
    of the two within half a minute is the offset of their clocks (as the minimum filter of NTP, Mills 1991); queues and
    a busy machine only add. It follows clocks that drift. Without stated times it is the time of arrival.
    """

    def __init__(self) -> None:
        self._least: deque[tuple[int, float]] = deque()  # number of a bucket, its least difference s
        self._last_s = float("-inf")

    @property
    def offset_s(self) -> float | None:
        """The offset of the clocks, s; None before the first stated time."""
        return min((least for _, least in self._least), default=None)

    def capture_s(self, received_s: float, source_s: float | None) -> float:
        """Return when a frame was captured, s, always later than the one before."""
        at = received_s
        if source_s is not None:
            difference = received_s - source_s
            offset = self.offset_s
            if offset is not None and abs(difference - offset) > _JUMP_S and self._begun_anew(difference, offset):
                self._least.clear()
            self._note(received_s, difference)
            at = source_s + (self.offset_s or 0.0)
        self._last_s = max(at, self._last_s + _STEP_S)
        return self._last_s

    def settle(self, pairs: Iterable[tuple[float, float]]) -> None:
        """Learn the offset from times of arrival and stated times, s, of frames whose times are asked for afterwards.

        A stream that was just opened often sends what it had kept all at once, so that the first to arrive are late.
        """
        for received_s, source_s in pairs:
            self._note(received_s, received_s - source_s)

    @staticmethod
    def _begun_anew(difference: float, offset: float) -> bool:
        """Whether the source's clock was set: back in any case, forward only beyond what waiting explains."""
        return difference < offset - _JUMP_S or difference > offset + 10 * _JUMP_S

    def _note(self, received_s: float, difference: float) -> None:
        bucket = int(received_s / _BUCKET_S)
        if self._least and self._least[-1][0] == bucket:
            bucket, before = self._least.pop()
            difference = min(difference, before)
        self._least.append((bucket, difference))
        while self._least[0][0] < bucket - _WINDOW_S / _BUCKET_S:
            self._least.popleft()
