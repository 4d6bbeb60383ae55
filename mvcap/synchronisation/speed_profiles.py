"""Delays between views without a calibration: how fast each joint moves against its body, correlated between views.

What a joint's speed is in the picture depends on the direction of the view, but people set off, step and reach at the
same moments in all views. The profiles of all joints are correlated with weights that whiten their spectra (GCC-PHAT,
Knapp and Carter 1976), so that the steady rhythm of a walk does not outweigh what tells one stride from the next. Where
another delay comes near the best one, there is no answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.progress import Progress
from mvcap.self_calibration.single_view_tracks import view_tracks
from mvcap.structures.detections import Detections2D, body_size
from mvcap.structures.sync_evidence import CLOCK_RATE_SIGMA, PairCurve, SyncEvidence, UnsynchronisedTake
from mvcap.synchronisation.combination import views_from_pairs

_CHUNK = 1500  # frames
_LEAST_TRACK = 6  # frames
_SMOOTH_S = 0.05
_SLOWEST = 0.05  # body sizes a second: slower is the detector's noise
_LOCAL_S = 1.0  # speeds are compared with their mean within
_BAND_HZ = 3.0  # of people's movements
_WHITE = 0.7  # exponent of the cross spectrum's magnitude: 0 = plain correlation, 1 = phases alone
_BESIDE_S = 0.25  # delays nearer to a peak belong to it
_LEAST_S = 6.0  # seconds of people in both views
_CLEAR, _RATIO = 6.5, 1.35
"""Least height of a peak in standard deviations of the correlation, and over the next peak. Of unrelated people in 624
pairs of views, the largest height was 5.9, the next 4.7."""
_CLEAR_ALONE = 10.0
"""Of two views, which no third one confirms: runners whose laps all look alike reached 8.3 at a wrong delay."""
_REPEATED = 0.3
"""Autocorrelation of a view's profiles above which its movement repeats itself: of generated people whose pace varies
the largest was 0.29, of those who walk or run laps at one pace 0.26 to 0.73, which fitted half a lap away."""
_CONFIRMING = 5.5  # least height of the peaks of a third view
_CLOSED = 4.0  # standard deviations by which the delays of three pairs of views may miss to add up
_BLOCKS = 4
_VIEW_S = 0.008  # standard deviation of a pair, s: directions of views shift the moments of greatest speed


@dataclass(frozen=True, eq=False)
class SpeedOffset:
    """Correlation (S,) of two views at delays (S,) s of b against a; the best, the next; or why there is no answer."""

    delay_s: Floats
    correlation: Floats
    best_s: float
    rival_s: float
    sigma_s: float
    height: float = 0.0
    """Of the peak, in standard deviations of the correlation at other delays."""
    reason: str = ""


def speed_profiles(take: UnsynchronisedTake) -> Floats:
    """Return logs of the speeds (C, T, J) of joints against their bodies in each view, of body sizes a second.

    Of several people the root of the mean square; NaN where unseen. T: frames that were looked at.
    """
    assert take.rows is not None
    frames, rate_hz = take.frames // take.step, take.rate_hz / take.step
    count = len(take.names)
    out = np.full((count, frames, len(take.rows.skeleton)), np.nan, np.float32)
    for start in range(0, frames, _CHUNK):
        stop = min(start + _CHUNK, frames)
        rows = take.rows.between(start * take.step, stop * take.step)
        rows = rows.with_columns(frame=(rows.frame // take.step - start).astype(np.int32))
        out[:, start:stop] = _speeds(rows, (count, stop - start, out.shape[2]), rate_hz)
    return out.astype(np.float64)


def _speeds(rows: Detections2D, shape: tuple[int, int, int], rate_hz: float) -> Floats:
    """The speeds of a part of a take."""
    total, seen = np.zeros((2, *shape))
    size = body_size(rows.box.astype(np.float64))
    for track in view_tracks(rows, _LEAST_TRACK):
        xy = _smooth(rows.xy[track.row].astype(np.float64), _SMOOTH_S * rate_hz)
        step = np.diff(xy, axis=0) * rate_hz / max(float(np.median(size[track.row])), 1e-9)
        step[np.diff(track.frame) != 1] = np.nan
        some = np.isfinite(step).all(-1).any(-1)
        # Against the body: its own way in the picture depends on the view most of all.
        step[some] -= np.nanmedian(step[some], axis=1, keepdims=True)
        square = (step**2).sum(-1)
        total[track.view, track.frame[:-1]] += np.nan_to_num(square)
        seen[track.view, track.frame[:-1]] += np.isfinite(square)
    mean = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    return np.asarray(0.5 * np.log(mean + _SLOWEST**2))


def _smooth(xy: Floats, width: float) -> Floats:
    """Points (F, J, 2) averaged in time by a Gaussian of a width in frames; NaN where little is known."""
    from scipy.ndimage import gaussian_filter1d

    known = np.isfinite(xy)
    weight = gaussian_filter1d(known.astype(np.float64), width, axis=0, mode="nearest")
    value = gaussian_filter1d(np.where(known, xy, 0), width, axis=0, mode="nearest")
    return np.where(weight > 0.3, value / np.maximum(weight, 1e-6), np.nan)


def _centred(speed: Floats, rate_hz: float) -> Floats:
    """Profiles (T, J) about their local mean, 0 where unknown, each with a standard deviation of 1."""
    from scipy.ndimage import gaussian_filter1d

    known = np.isfinite(speed)
    mean = np.where(known, speed, 0).sum(0) / np.maximum(known.sum(0), 1)
    value = np.where(known, speed - mean, 0)
    value = (value - gaussian_filter1d(value, _LOCAL_S * rate_hz, axis=0)) * known
    return np.asarray(value / np.maximum(value.std(0), 1e-9))


def _correlation(one: Floats, other: Floats, reach: int, rate_hz: float) -> Floats:
    """Whitened correlation (2 reach + 1,) of profiles (T, J) at each delay of other against one."""
    length = len(one) + reach
    spectrum = np.conj(np.fft.rfft(one, length, axis=0)) * np.fft.rfft(other, length, axis=0)
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    band = np.exp(-0.5 * (hz / _BAND_HZ) ** 2)[:, None]
    back = np.fft.irfft((spectrum * band / np.maximum(np.abs(spectrum), 1e-9) ** _WHITE).sum(1), length)
    return np.asarray(back[np.arange(-reach, reach + 1)])


def repetition(profile: Floats, rate_hz: float) -> tuple[float, float]:
    """Return the largest autocorrelation of a view's profiles (T, J) and its delay s: how much its movement repeats."""
    from scipy.ndimage import gaussian_filter1d

    value = gaussian_filter1d(_centred(profile, rate_hz), _SMOOTH_S * rate_hz, axis=0)
    power = (np.abs(np.fft.rfft(value, 2 * len(value), axis=0)) ** 2).sum(1)
    most = int(0.75 * len(value))
    own = np.fft.irfft(power, 2 * len(value))[:most] * len(value) / (len(value) - np.arange(most))
    first = round(_BESIDE_S * rate_hz) + 1
    if most <= first or own[0] <= 0:
        return 0.0, np.nan
    at = first + int(own[first:].argmax())
    return float(own[at] / own[0]), at / rate_hz


def speed_offset(
    one: Floats, other: Floats, reach_s: float, rate_hz: float, clear: float = _CLEAR
) -> SpeedOffset:  # fmt: skip
    """Return the delay of the profiles `other` (T, J) against `one` (T, J), or why it is ambiguous.

    clear: least height of the peak in standard deviations of the correlation.
    """
    reach = min(round(reach_s * rate_hz), len(one) - 1)
    delay = np.arange(-reach, reach + 1) / rate_hz
    there = [np.isfinite(profile).any(1).sum() / rate_hz for profile in (one, other)]
    if min(there) < _LEAST_S:
        reason = f"people are seen for {min(there):.1f} s only; speeds need {_LEAST_S:g} s"
        return SpeedOffset(delay, np.zeros(len(delay)), np.nan, np.nan, np.nan, reason=reason)
    first, second = _centred(one, rate_hz), _centred(other, rate_hz)
    value = _correlation(first, second, reach, rate_hz)
    at, beside = int(value.argmax()), round(_BESIDE_S * rate_hz)
    others = np.ones(len(value), bool)
    others[max(at - beside, 0) : at + beside + 1] = False
    if not others.any() or not 0 < at < len(value) - 1:
        reason = "the best delay is at the end of what was tried"
        return SpeedOffset(delay, value, np.nan, np.nan, np.nan, reason=reason)
    rival = int(np.where(others, value, -np.inf).argmax())
    height, ratio = value[at] / max(float(value[others].std()), 1e-9), value[at] / max(float(value[rival]), 1e-9)
    best_s, sigma_s = _between(first, second, at - reach, value[at - 1 : at + 2], rate_hz)
    reason = ""
    if height < clear or ratio < _RATIO:
        reason = f"delays of {best_s:+.2f} s and {delay[rival]:+.2f} s fit about as well ({ratio:.2f} to 1)"
    return SpeedOffset(delay, value, best_s, float(delay[rival]), sigma_s, float(height), reason)


def _between(one: Floats, other: Floats, shift: int, top: Floats, rate_hz: float) -> tuple[float, float]:
    """Delay s between frames by a parabola, and its standard deviation from blocks of the take."""
    at_s = (shift + _vertex(top)) / rate_hz
    near = max(round(_BESIDE_S * rate_hz / 2), 2)
    reach, found = abs(shift) + near + 1, []
    for rows in np.array_split(np.arange(len(one)), _BLOCKS):
        block = np.zeros_like(one)
        block[rows] = one[rows]
        value = _correlation(block, other, reach, rate_hz)
        local = value[reach + shift - near : reach + shift + near + 1]
        peak = int(local.argmax())
        if 0 < peak < len(local) - 1:
            found.append((shift + peak - near + _vertex(local[peak - 1 : peak + 2])) / rate_hz)
    spread = float(np.sqrt(np.mean((np.array(found) - at_s) ** 2))) if len(found) > 1 else _BESIDE_S
    return float(at_s), float(np.hypot(spread / np.sqrt(max(len(found), 1)), _VIEW_S))


def _vertex(top: Floats) -> float:
    """Place of the maximum of a parabola through three values, -0.5 to 0.5."""
    left, middle, right = top
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def speed_evidence(take: UnsynchronisedTake, reach_s: float, progress: Progress) -> SyncEvidence:
    """Return the delays of the views whose people's speeds fit those of others."""
    count, rate_hz = len(take.names), take.rate_hz / take.step
    profiles = speed_profiles(take)
    steady = {view: repetition(profiles[view], rate_hz) for view in range(count)}
    share, lag_s = max(steady.values())
    if share > _REPEATED:
        reason = f"the movement repeats itself every {lag_s:.2f} s: without a rig, delays by multiples look alike"
        return SyncEvidence.nothing(count, reason)
    clear = _CLEAR if count > 2 else _CLEAR_ALONE
    pairs = list(combinations(range(count), 2))
    found = {}
    for done, (a, b) in enumerate(pairs, 1):
        found[a, b] = speed_offset(profiles[a], profiles[b], reach_s, rate_hz, clear)
        progress("speeds", done, len(pairs))
    sure = {pair for pair, one in found.items() if not one.reason and (count == 2 or _confirmed(pair, found, count))}
    found = {
        pair: one if pair in sure or one.reason else replace(one, reason="no third view confirms the delay of a pair")
        for pair, one in found.items()
    }
    levels = [(a, b, found[a, b].best_s, found[a, b].sigma_s) for a, b in sorted(sure)]
    late, spread = views_from_pairs(levels, count)
    covariance = np.zeros((2 * count, 2 * count))
    covariance[:count, :count] = spread
    covariance[count:, count:] = np.where(np.isfinite(spread), CLOCK_RATE_SIGMA**2 * np.eye(count), np.nan)
    refused = {
        view: _reason([one for pair, one in found.items() if view in pair]) for view in _missing(late)
    }  # fmt: skip
    drift = np.where(np.isfinite(late), 0.0, np.nan)
    curves = tuple(_curve(a, b, one) for (a, b), one in found.items())
    return SyncEvidence(late, drift, covariance, refused, curves)


def _confirmed(pair: tuple[int, int], found: dict[tuple[int, int], SpeedOffset], views: int) -> bool:
    """Whether the best delays of both views against a third one add up to that of the pair."""

    def delay(a: int, b: int) -> tuple[float, float]:
        one = found[min(a, b), max(a, b)]
        known = one.best_s if one.height > _CONFIRMING else np.nan
        return (known if a < b else -known), one.sigma_s

    a, b = pair
    direct, sigma = delay(a, b)
    for third in set(range(views)) - {a, b}:
        (first, one), (second, other) = delay(a, third), delay(third, b)
        if abs(first + second - direct) < _CLOSED * np.sqrt(sigma**2 + one**2 + other**2):
            return True
    return False


def _missing(late: Floats) -> list[int]:
    at: Ints = np.flatnonzero(np.isnan(late))
    return [int(view) for view in at]


def _reason(found: list[SpeedOffset]) -> str:
    return next((one.reason for one in found if one.reason), "is linked with too few other views")


def _curve(a: int, b: int, one: SpeedOffset) -> PairCurve:
    known = np.isfinite(one.best_s)
    score = one.correlation if known else np.zeros(len(one.delay_s))
    top = float(np.interp(one.best_s, one.delay_s, score)) if known else np.nan
    rival = float(np.interp(one.rival_s, one.delay_s, score)) if known else np.nan
    return PairCurve(a, b, one.delay_s, score, "correlation", one.best_s, one.rival_s, top / max(rival, 1e-3))
