"""Synchroniser timecode: absolute times that the files carry, from SMPTE timecode or clocks of the network.

A clock states the time, not that it is right: lists of frames and wall-clock timestamps are as good as the clocks of
the machines (``clock_s``); a timecode counts only if it is not one that begins with the recording, as of cameras that
were not set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mvcap.errors import ConfigError, InputError
from mvcap.progress import Progress, silent
from mvcap.structures.sync_evidence import CLOCK_RATE_SIGMA, SyncEvidence, UnsynchronisedTake
from mvcap.synchronisation.recorded_times import RecordedTime, recorded_time, times_apart

_MICROSECONDS_2 = 1e-12
_RECORD_RUN = (0.0, 3600.0)
"""Times of day, s, at which timecodes begin in cameras that were not set: 00:00:00:00 and 01:00:00:00."""


@dataclass(frozen=True)
class TimecodeConfig:
    """Settings of the synchroniser of absolute times."""

    clock_s: float = 0.005
    """Standard deviation of the clocks of different machines against each other, s: by NTP in a local network a few
    milliseconds, over the internet some tens."""

    def __post_init__(self) -> None:
        if not 0 <= self.clock_s <= 1000:
            raise ConfigError("config key 'synchronisers.timecode.clock_s' must be 0 to 1000")


class TimecodeSynchroniser:
    """Synchroniser timecode: absolute times that the files carry."""

    Config = TimecodeConfig

    def __init__(self, config: TimecodeConfig | None = None) -> None:
        self.config = config or TimecodeConfig()

    def find(self, take: UnsynchronisedTake, progress: Progress = silent) -> SyncEvidence:
        """Return the delays of the views whose files carry times of one kind of clock, in time of each other."""
        count = len(take.names)
        times, refused = {}, {}
        for view, path in enumerate(take.footage):
            try:
                if path is None:
                    raise InputError("has no file")
                times[view] = recorded_time(path)
            except InputError as fault:
                refused[view] = str(fault)
            progress("times of the files", view + 1, count)
        times, more = _usable(times, take.seconds)
        refused |= more
        if len(times) < 2:
            reason = "fewer than two views carry times of one clock"
            return SyncEvidence.nothing(count, reason, refused)
        return self._evidence(take, times, refused)

    def _evidence(
        self, take: UnsynchronisedTake, times: dict[int, RecordedTime], refused: dict[int, str]
    ) -> SyncEvidence:  # fmt: skip
        count, known = len(take.names), sorted(times)
        late, drift = np.full(count, np.nan), np.full(count, np.nan)
        first = times[known[0]]
        for view in known:
            # Own time 0 of the view is first_s of its file.
            late[view] = -(times_apart(first, times[view]) + float(take.first_s[view]))
        drift[known] = 0.0
        clocks = sorted({(one.kind, one.clock) for one in times.values()})
        covariance = np.full((2 * count, 2 * count), np.nan)
        both = np.concatenate([known, count + np.array(known)])
        covariance[np.ix_(both, both)] = 0.0
        for view, one in times.items():
            covariance[view, view] = one.sigma_s**2
            for other in known:
                shared = one.kind == "wall" and (one.kind, one.clock) == (times[other].kind, times[other].clock)
                covariance[view, other] += self.config.clock_s**2 * (shared or view == other) * (one.kind == "wall")
                # The rates of views that are paired by a shared clock do not differ.
                covariance[count + view, count + other] = CLOCK_RATE_SIGMA**2 * (shared or view == other)
        # What all share is not observable, and keeps the matrix positive definite.
        covariance[np.ix_(known, known)] += _MICROSECONDS_2 * np.eye(len(known))
        turning = count + np.array(known)
        covariance[np.ix_(turning, turning)] += _MICROSECONDS_2 * np.eye(len(known))
        return SyncEvidence(late, drift, covariance, refused, figures={"clocks": float(len(clocks))})


def _usable(times: dict[int, RecordedTime], seconds: float) -> tuple[dict[int, RecordedTime], dict[int, str]]:
    """The times of the kind of clock that most views have, in reach of each other, and why others are left out."""
    refused: dict[int, str] = {}
    kinds: dict[tuple[str, str], list[int]] = {}
    for view, one in times.items():
        kinds.setdefault((one.kind, one.clock if one.kind == "timecode" else ""), []).append(view)
    if not kinds:
        return {}, {}
    most = max(kinds, key=lambda kind: (len(kinds[kind]), kind))
    for kind, views in kinds.items():
        if kind != most:
            refused |= dict.fromkeys(
                views, f"its times ({' '.join(kind).strip()}) are of another kind than the others'"
            )
    kept = kinds[most]
    begins = {view: times[view].zero_s % 86400 for view in kept}
    if most[0] == "timecode" and all(any(abs(at - run) < 1 for run in _RECORD_RUN) for at in begins.values()):
        refused |= dict.fromkeys(kept, "all timecodes begin at 00:00:00 or 01:00:00: they were not set to one clock")
        return {}, refused
    near = {
        view: [other for other in kept if abs(times_apart(times[view], times[other])) < seconds] for view in kept
    }  # fmt: skip
    group = max(near.values(), key=len)
    for view in kept:
        if view not in group:
            apart = min(abs(times_apart(times[view], times[other])) for other in group)
            refused[view] = f"its time is {apart:.0f} s from that of the others, longer than the take"
    return {view: times[view] for view in group}, refused
