"""Offset and drift between two sound recordings: GCC-PHAT in windows of 5 s, and a robust line through their peaks.

Generalised cross-correlation with phase transform: Knapp and Carter, "The generalized correlation method for estimation
of time delay", 1976. A first search over all offsets sums the windows' correlations; where its peak is hardly above the
next one, as for unrelated sound and for music that repeats, there is no answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.structures.sync_evidence import CLOCK_RATE_SIGMA

WINDOW_S = 5.0
LEAST_RATIO = 1.25
"""Peak over the next one: measured 1.45 and more for the same sound with echo, 1.07 at most for unrelated sound."""
_BIN_S = 0.001
_COARSE_HZ = 8000.0
_BESIDE_S = 0.004  # offsets nearer to the peak are no others
_NEAR_S = 0.015  # offsets of a window around that of the first search
_MOST_WINDOWS = 40
_LEAST_WINDOWS = 3
_FLOOR_S = 1e-5
_OVERLAP_S = 8.0


@dataclass(frozen=True, eq=False)
class SoundOffset:
    """Delay of recording b: what a has at t, b has at t + offset_s + drift * (t - middle_s); or why there is none.

    ratio: peak of the first search over the next one. lag_s (L,), curve (L,): that search, for a picture.
    windows (W, 2): time and delay, s, of each window.
    """

    offset_s: float
    drift: float
    offset_sigma_s: float
    drift_sigma: float
    middle_s: float
    ratio: float
    reason: str = ""
    lag_s: Floats = field(repr=False, default_factory=lambda: np.zeros(0))
    curve: Floats = field(repr=False, default_factory=lambda: np.zeros(0))
    windows: Floats = field(repr=False, default_factory=lambda: np.zeros((0, 2)))


def audio_offset(a: NDArray[np.floating], b: NDArray[np.floating], rate_hz: float) -> SoundOffset:
    """Return the offset of mono samples b (M,) against a (N,), both at rate_hz; with a reason if it is ambiguous."""
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    for name, sound in (("first", one), ("second", other)):
        if len(sound) < _OVERLAP_S * rate_hz:
            return _none(f"the {name} recording is shorter than {_OVERLAP_S:.0f} s")
        if not np.isfinite(sound).all() or sound.std() < 1e-7:
            return _none(f"the {name} recording is silent")
    lag_s, curve = _search(one, other, rate_hz)
    at = int(curve.argmax())
    rest = curve.copy()
    beside = round(_BESIDE_S / _BIN_S)
    rest[max(at - beside, 0) : at + beside + 1] = 0
    rival = int(rest.argmax())
    ratio = float(curve[at] / max(rest[rival], 1e-12))
    if ratio < LEAST_RATIO:
        why = f"offsets of {lag_s[at]:+.3f} s and {lag_s[rival]:+.3f} s fit about equally (peak ratio {ratio:.2f})"
        return _none(why, ratio, lag_s, curve)
    windows = _windows(one, other, rate_hz, float(lag_s[at]))
    if len(windows) < _LEAST_WINDOWS:
        return _none("the sound overlaps for too short a time", ratio, lag_s, curve)
    return _line(windows, ratio, lag_s, curve)


def _none(reason: str, ratio: float = np.nan, lag_s: Floats | None = None, curve: Floats | None = None) -> SoundOffset:
    empty = np.zeros(0)
    lag_s, curve = (empty if part is None else part for part in (lag_s, curve))
    return SoundOffset(np.nan, np.nan, np.nan, np.nan, np.nan, ratio, reason, lag_s, curve)


def _phat(a: Floats, b: Floats, size: int) -> Floats:
    """Correlation (size,) with whitened phases: lag n of b against a at n modulo size."""
    from scipy.fft import irfft, rfft

    cross = np.conj(rfft(a, size)) * rfft(b, size)
    return np.asarray(irfft(cross / (np.abs(cross) + 1e-9 * np.abs(cross).max() + 1e-300), size))


def _search(a: Floats, b: Floats, rate_hz: float) -> tuple[Floats, Floats]:
    """Lags (L,) s in bins of a millisecond, and the mean over windows of the largest correlation in each."""
    from scipy.fft import next_fast_len
    from scipy.signal import resample_poly

    down = max(int(rate_hz // _COARSE_HZ), 1)
    a, b = (resample_poly(sound, 1, down) if down > 1 else sound for sound in (a, b))
    rate = rate_hz / down
    length = int(WINDOW_S * rate)
    size = next_fast_len(len(b) + length, real=True)
    step = max(1, round(_BIN_S * rate))
    reach = (len(a) // step + 1, len(b) // step + 1)
    total, count = np.zeros(sum(reach)), np.zeros(sum(reach))
    for start in _starts(len(a), length):
        found = np.abs(_phat(a[start : start + length], b, size))[: len(b) - length // 2]
        found = found / np.sqrt((found**2).mean())
        bins = (np.arange(len(found)) - start) // step + reach[0]
        pooled = np.zeros(sum(reach))
        np.maximum.at(pooled, bins, found)
        total += pooled
        count += pooled > 0
    smooth = np.maximum(total, np.maximum(np.roll(total, 1), np.roll(total, -1)))
    enough = count >= max(2, 0.25 * count.max())
    curve = np.where(enough, smooth / np.maximum(count, 1), 0)
    return np.asarray((np.arange(sum(reach)) - reach[0] + 0.5) * step / rate), np.asarray(curve, np.float64)


def _starts(samples: int, length: int) -> list[int]:
    """First samples of at most so many windows, evenly over a recording."""
    count = min(max(2 * (samples // length) - 1, 1), _MOST_WINDOWS)
    return np.linspace(0, samples - length, count).astype(int).tolist() if samples > length else [0]


def _windows(a: Floats, b: Floats, rate_hz: float, offset_s: float) -> Floats:
    """Time of the middle and delay (W, 2), s, of each window of a that b overlaps."""
    length, near = int(WINDOW_S * rate_hz), int(_NEAR_S * rate_hz)
    shift = round(offset_s * rate_hz)
    out = []
    for start in _starts(len(a), length):
        if start + shift < 0 or start + shift + length > len(b):
            continue
        found = _phat(a[start : start + length], b[start + shift : start + shift + length], 2 * length)
        around = np.concatenate([found[-near:], found[: near + 1]])
        at = int(np.clip(around.argmax(), 1, len(around) - 2))
        left, top, right = around[at - 1 : at + 2]
        bend = left - 2 * top + right
        part = 0.5 * (left - right) / bend if bend < 0 else 0.0
        out.append(((start + length / 2) / rate_hz, (at - near + part + shift) / rate_hz))
    return np.array(out).reshape(-1, 2)


def _line(windows: Floats, ratio: float, lag_s: Floats, curve: Floats) -> SoundOffset:
    """A line through most of the windows' delays: median of slopes (Theil and Sen), then weighted least squares."""
    time, delay = windows.T
    middle = float(time.mean())
    i, j = np.triu_indices(len(time), 1)
    slope = float(np.median((delay[j] - delay[i]) / (time[j] - time[i])))
    level = float(np.median(delay - slope * (time - middle)))
    for _ in range(10):
        away = delay - level - slope * (time - middle)
        scale = max(1.4826 * float(np.median(np.abs(away))), _FLOOR_S)
        weight = np.where(np.abs(away) < 4 * scale, (1 - (away / (4 * scale)) ** 2) ** 2, 0)
        table = np.stack([np.ones(len(time)), time - middle], 1)
        normal = table.T @ (weight[:, None] * table) + np.diag([0, (scale / CLOCK_RATE_SIGMA) ** 2])
        level, slope = (float(one) for one in np.linalg.solve(normal, table.T @ (weight * delay)))
    kept = int((weight > 0.1).sum())
    if kept < max(_LEAST_WINDOWS, 0.5 * len(time)) or scale > 1e-3:
        return _none(f"only {kept} of {len(time)} windows of {WINDOW_S:.0f} s agree", ratio, lag_s, curve)
    spread = np.linalg.inv(normal) * scale**2 * 2  # windows overlap by half
    sigma = np.sqrt(np.diag(spread) + np.array([_FLOOR_S**2, 0.0]))
    return SoundOffset(
        level, slope, float(sigma[0]), float(sigma[1]), middle, ratio, "", lag_s, curve, windows
    )  # fmt: skip
