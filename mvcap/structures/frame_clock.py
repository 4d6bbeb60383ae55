"""The regular clock behind a view's timestamps: which tick each image is of, although times jitter and images drop."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_REACH = 2  # ticks on either side of the nearest one that are considered for an image
_IRREGULAR = 6.0  # nats that a dropped or a doubled image costs: 1 in 400
_CERTAIN = 0.4  # intervals: nearest ticks are right if no image is farther from its own
_MANY = 100  # images from which on the interval is known well enough for that
_USUAL_JITTER = 0.02  # intervals
_LEAST_SIGMA = 0.05  # intervals: jitter is never taken for smaller than this
_NOMINAL = 0.15  # relative difference of a rate that is tried
_CHANGES = 2 * _REACH + 1
_RATES_HZ = (10, 12.5, 15, 20, 24, 25, 30, 50, 60, 90, 100, 120, 200, 240)  # a trial start; the fit goes on from there


@dataclass(frozen=True, eq=False)
class FrameClock:
    """The regular grid that fits a view's frame times best.

    tick (F,) i64: number of each image's tick from 0; -1 for the second of two images on one tick. interval_s: time
    between ticks, s, 0 if unknown (fewer than two times); interval_error_s: its standard deviation. start_s: time of
    tick 0. jitter_s: standard deviation of the times about the grid.
    """

    tick: Ints = field(repr=False)
    interval_s: float
    interval_error_s: float
    start_s: float
    jitter_s: float

    @classmethod
    def of(cls, time_s: Floats) -> FrameClock:
        """Fit the clock to frame times (F,) s, which increase strictly; ValueError if they do not."""
        time_s = np.asarray(time_s, np.float64)
        tick, interval_s = ticks(time_s)
        if len(time_s) < 2:
            return cls(tick, interval_s, np.inf, float(time_s[0]) if len(time_s) else 0.0, 0.0)
        used = np.flatnonzero(tick >= 0)
        centred = tick[used] - tick[used].mean()
        off = time_s[used] - time_s[used].mean() - interval_s * centred
        # Two intervals' worth of a usual jitter: a few times may lie on a grid by chance.
        jitter_s = float(np.sqrt(((off**2).sum() + 2 * (_USUAL_JITTER * interval_s) ** 2) / len(used)))
        error_s = jitter_s / float(np.sqrt((centred**2).sum()))
        start_s = float(time_s[used].mean() - interval_s * tick[used].mean())
        return cls(tick, interval_s, error_s, start_s, jitter_s)


def ticks(time_s: Floats) -> tuple[Ints, float]:
    """Assign a view's frame times (F,) s to a regular grid: tick (F,) i64 from 0, and the interval dt_s of the grid, s.

    Dropped images become missing ticks. Of two images on one tick the first is kept and the other gets -1, so
    ``(tick < 0).sum()`` counts them. Times rounded to the millisecond cause no drift, because the grid is fitted to all
    times together instead of adding up rounded intervals. Times that jitter by a good part of the interval are assigned
    together, so that an early image takes no tick of its neighbour. dt_s is 0 if it is unknown (fewer than two times).
    """
    time_s = np.asarray(time_s, np.float64)
    if len(time_s) < 2:
        return np.zeros(len(time_s), np.int64), 0.0
    if not (np.diff(time_s) > 0).all():
        raise ValueError("frame times must increase strictly")
    since_s = time_s - time_s[0]
    first_s = _typical_interval_s(time_s)
    # The interval becomes more precise with growing spans; with the whole span at once, a small error of the first
    # estimate could add up to whole ticks.
    spans = [8 << doubling for doubling in range(32) if 8 << doubling < len(time_s)] + [len(time_s)]
    dt_s = first_s
    for frames in spans:
        tick, dt_s = _nearest_ticks(since_s[:frames], dt_s)
    certain_s = dt_s * (_CERTAIN if len(time_s) > _MANY else _CERTAIN / 2)
    if (np.diff(tick) == 0).any() or np.abs(_off_grid(since_s, tick)).max() > certain_s:
        tick = _jointly(since_s, first_s, tick)
        dt_s = _interval(since_s, tick) or dt_s
    tick[1:][np.diff(tick) == 0] = -1
    return tick, dt_s


def _nearest_ticks(since_s: Floats, dt_s: float) -> tuple[Ints, float]:
    """Round times (F,) s to a regular grid; return the ticks and the interval that fits them best."""
    position = since_s / dt_s
    # The first time may be an outlier: the phase of the grid is the circular mean of all times.
    phase = np.angle(np.exp(2j * np.pi * position).mean()) / (2 * np.pi)
    tick = np.rint(position - phase).astype(np.int64)
    tick -= tick[0]
    return tick, _interval(since_s, tick) or dt_s


def _interval(since_s: Floats, tick: Ints) -> float:
    """Return the interval that fits ticks (F,) to their times best, s; 0 if all are of one tick."""
    centred = tick - tick.mean()
    spread = float(centred @ centred)
    return float(centred @ since_s) / spread if spread else 0.0


def _off_grid(since_s: Floats, tick: Ints) -> Floats:
    """Return the distances (F,) s of times from the grid that fits them best."""
    centred = tick - tick.mean()
    return np.asarray(since_s - since_s.mean() - _interval(since_s, tick) * centred)


def _typical_interval_s(time_s: Floats) -> float:
    """Return the mean of the intervals that are one tick long, which averages out rounding, unlike the median."""
    interval_s = np.diff(time_s)
    median_s = float(np.median(interval_s))
    jitter_s = 3 * 1.4826 * float(np.median(np.abs(interval_s - median_s)))
    # Wide enough for times rounded to the millisecond, and for jitter, but not for two intervals in one.
    slack_s = min(max(0.1 * median_s, 0.0015, jitter_s), 0.45 * median_s)
    return float(interval_s[np.abs(interval_s - median_s) <= slack_s].mean())


# Jitter: the ticks of all images together


def _jointly(since_s: Floats, dt_s: float, nearest: Ints) -> Ints:
    """Return the ticks (F,) that explain the times best: normal jitter, and few images dropped or doubled."""
    interval = np.diff(since_s) / dt_s
    spread = 1.4826 * float(np.median(np.abs(interval - np.median(interval)))) / np.sqrt(2)
    sigma = max(spread, _LEAST_SIGMA)
    tick = np.arange(min(16, len(since_s)))
    for frames in [*(16 << doubling for doubling in range(32) if 16 << doubling < len(since_s)), len(since_s)]:
        span = since_s[:frames]
        dt_s = _interval(span[: len(tick)], tick) or dt_s
        steps = np.maximum(np.rint(np.diff(span[len(tick) - 1 :]) / dt_s - 0.25), 1).astype(np.int64)
        plain = np.concatenate([tick, tick[-1] + np.cumsum(steps)]) if len(steps) else tick
        options = [plain, np.arange(frames), *([nearest] if frames == len(since_s) else [])]
        options += [_nearest_ticks(span, 1 / rate)[0] for rate in _RATES_HZ if abs(rate * dt_s - 1) < _NOMINAL]
        options += [_best_path(span, option, sigma) for option in options]
        tick = min(options, key=lambda option: _cost(span, option))
    return np.asarray(tick - tick[0])


def _cost(since_s: Floats, tick: Ints) -> float:
    """Return minus the log-likelihood of ticks, nats, with the jitter that they leave."""
    dt_s = _interval(since_s, tick)
    if not dt_s > 0 or (np.diff(tick) < 0).any():
        return float("inf")
    sigma = max(float(np.sqrt((_off_grid(since_s, tick) ** 2).mean())) / dt_s, _LEAST_SIGMA)
    return len(tick) * float(np.log(sigma)) + _IRREGULAR * int((np.diff(tick) != 1).sum())


def _best_path(since_s: Floats, tick: Ints, sigma: float) -> Ints:
    """Return the best ticks near the grid that fits given ones (Viterbi's algorithm), refitted until they stay."""
    for _ in range(4):
        dt_s = _interval(since_s, tick)
        if not dt_s > 0:
            return tick
        position = (since_s - since_s.mean()) / dt_s + tick.mean()
        found = _viterbi(position, sigma)
        if np.array_equal(found, tick):
            break
        tick = found
    return tick


def _viterbi(position: Floats, sigma: float) -> Ints:
    """Return the ticks (F,) of positions (F,), in intervals, that never decrease and cost least."""
    near = np.rint(position).astype(np.int64)
    change = np.arange(-_REACH, _REACH + 1)
    costs = (position[:, None] - near[:, None] - change) ** 2 / (2 * sigma**2)
    moves: dict[int, Floats] = {}
    total, back = costs[0], np.zeros(costs.shape, np.int64)
    columns = np.arange(_CHANGES)
    for frame, gap in enumerate(np.diff(near).tolist(), 1):
        if gap not in moves:
            step = gap + change[None] - change[:, None]
            moves[gap] = np.where(step < 0, np.inf, np.where(step == 1, 0.0, _IRREGULAR))
        ways = total[:, None] + moves[gap]
        back[frame] = ways.argmin(0)
        total = ways[back[frame], columns] + costs[frame]
    best = int(total.argmin())
    chosen = np.zeros(len(position), np.int64)
    for frame in range(len(position) - 1, -1, -1):
        chosen[frame] = near[frame] + change[best]
        best = int(back[frame, best])
    return chosen
