"""Checks on times of pictures: gaps, jitter, changes of rate in a view; rate, drift and length between views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mvcap.footage_checks.findings import FootageFinding, Severity, counted, listed_times
from mvcap.structures.frame_clock import FrameClock

Floats = NDArray[np.float64]
_REACH = 25  # intervals whose median is the rate at a place: a gap or two do not change it
_OTHER_RATE = 0.08  # relative: rates that differ by less are seen as drift
_GAP_S = 0.2  # within which a hand at 5 m/s moves by 1 m
_GAP_SHARE = 0.05
_JITTER = 0.1  # of the interval, as ``mvcap init`` has it
_CERTAIN = 4.0  # standard deviations
_PAIRED = 0.005  # relative difference of rates that are still paired, by time


@dataclass(frozen=True)
class RateSegment:
    """Pictures start to stop (exclusive) of one rate, Hz."""

    start: int
    stop: int
    rate_hz: float


def rate_segments(time_s: Floats) -> list[RateSegment]:
    """Split the times (F,) of pictures, s, where the rate changes by 8 % or more for 25 pictures or more.

    The rate at a place is that of the median of 25 intervals.
    """
    interval = np.diff(time_s)
    if len(interval) < 2 * _REACH:
        return [RateSegment(0, len(time_s), _rate(interval))] if len(time_s) else []
    from scipy.ndimage import median_filter

    local = np.log(median_filter(interval, _REACH, mode="nearest"))
    starts, usual = [0], float(np.median(local[:_REACH]))
    at = 0
    while at < len(local):
        away = np.flatnonzero(np.abs(local[at:] - usual) > _OTHER_RATE)
        if not len(away):
            break
        at += int(away[0])
        ahead = local[at : at + _REACH]
        if len(ahead) < _REACH // 2:
            break
        if (np.abs(ahead - usual) > _OTHER_RATE).all():
            usual = float(np.median(ahead))
            starts.append(at)
        at += 1
    bounds = [*starts, len(time_s)]
    return [RateSegment(a, b, _rate(interval[a : max(b - 1, a + 1)])) for a, b in pairwise(bounds)]


def _rate(interval_s: Floats) -> float:
    if not len(interval_s):
        return 0.0
    median_s = float(np.median(interval_s))
    usual = interval_s[np.abs(interval_s - median_s) <= max(0.3 * median_s, 0.0015)]
    return 1 / float(usual.mean())


def check_times(view: str, time_s: Floats) -> list[FootageFinding]:
    """Return what is wrong with the times (F,) of a view's pictures, s, which increase strictly."""
    segments = rate_segments(time_s)
    out = []
    if len(segments) > 1:
        out.append(_rate_change(view, time_s, segments))
    gaps: list[tuple[float, float, int]] = []
    usual_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0  # a burst after a gap has a rate of its own
    for segment in segments:
        part_s = time_s[segment.start : segment.stop]
        clock = FrameClock.of(part_s)
        if not clock.interval_s:
            continue
        kept = np.flatnonzero(clock.tick >= 0)
        steps = np.diff(clock.tick[kept])
        gaps += [
            (start_s, stop_s, lost)
            for place in np.flatnonzero(steps > 1).tolist()
            for start_s, stop_s in [(float(part_s[kept[place]]), float(part_s[kept[place + 1]]))]
            if (lost := min(int(steps[place]), round((stop_s - start_s) / usual_s)) - 1) > 0
        ]
        if len(part_s) > 2 and clock.jitter_s > _JITTER * clock.interval_s:
            out.append(_jitter(view, part_s, clock))
    if gaps:
        out.append(_gaps(view, time_s, gaps))
    return out


def _rate_change(view: str, time_s: Floats, segments: list[RateSegment]) -> FootageFinding:
    rates = [segment.rate_hz for segment in segments]
    at = [float(time_s[segment.start]) for segment in segments[1:]]
    listed = " then ".join(f"{rate:.4g}" for rate in rates[:4]) + (" ..." if len(rates) > 4 else "")
    return FootageFinding(
        "rate change", "warning", (view,),
        f"the rate changes at {listed_times(at)}: {listed} Hz; "
        "cameras do so when light is low, and phones as they like",
        "set a fixed rate and exposure in the camera; pictures that are missing at the lower rate are dropped frames",
        at[0], float(time_s[-1]), {"changes": len(at), "lowest_hz": min(rates), "highest_hz": max(rates)},
    )  # fmt: skip


def _jitter(view: str, time_s: Floats, clock: FrameClock) -> FootageFinding:
    return FootageFinding(
        "jitter", "note", (view,),
        f"its times vary by {1e3 * clock.jitter_s:.1f} ms (standard deviation) about a regular "
        f"{1 / clock.interval_s:.5g} Hz",
        "nothing to do if the camera itself is regular: mvcap takes its pictures to be so",
        float(time_s[0]), float(time_s[-1]), {"jitter_ms": 1e3 * clock.jitter_s, "rate_hz": 1 / clock.interval_s},
    )  # fmt: skip


def _gaps(view: str, time_s: Floats, gaps: list[tuple[float, float, int]]) -> FootageFinding:
    lost = sum(gap[2] for gap in gaps)
    longest = max(gaps, key=lambda gap: gap[2])
    length_s = longest[1] - longest[0]
    share = lost / (lost + len(time_s))
    severity: Severity = "warning" if length_s > _GAP_S or share > _GAP_SHARE else "note"
    return FootageFinding(
        "gap", severity, (view,),
        f"{counted(lost, 'picture')} missing ({100 * share:.2g} %) in {counted(len(gaps), 'gap')} of its times, at "
        f"{listed_times([gap[0] for gap in gaps])}; the longest lasts {length_s:.3g} s",
        "short gaps are bridged; against long ones: a faster disk or cable, a lower rate, or fewer cameras on one port",
        gaps[0][0], gaps[-1][1], {"missing": lost, "gaps": len(gaps), "longest_s": length_s, "share": share},
    )  # fmt: skip


# Between views


def compare_times(times: Mapping[str, Floats], shared_clock: bool) -> list[FootageFinding]:
    """Return what differs between the times (F,) of views, s: their rate, a slow drift, their length.

    shared_clock: the times are of one clock, so that views may begin and end at different ones.
    """
    clocks = {
        name: FrameClock.of(time_s)
        for name, time_s in times.items()
        if len(time_s) > 2 and len(rate_segments(time_s)) == 1
    }
    out = _rates(clocks) if len(clocks) > 1 else []
    if not shared_clock:
        out += _lengths(times, clocks)
    return out


def _rates(clocks: Mapping[str, FrameClock]) -> list[FootageFinding]:
    every = np.array([clock.interval_s for clock in clocks.values()])
    error = np.array([clock.interval_error_s for clock in clocks.values()])
    usual = int(np.argsort(every)[(len(every) - 1) // 2])
    listed = ", ".join(f"{name} {1 / clock.interval_s:.5g} Hz" for name, clock in clocks.items())
    out = []
    for column, (name, clock) in enumerate(clocks.items()):
        off = every[column] / every[usual] - 1
        certain = _CERTAIN * float(np.hypot(error[column], error[usual])) / every[usual]
        frames = abs(off) * (int(clock.tick.max()) + 1)
        if abs(off) - certain > _PAIRED:
            out.append(_other_rate(name, listed, 1 / clock.interval_s, 1 / every[usual]))
        elif abs(off) > certain and frames > 0.5:
            out.append(
                FootageFinding(
                    "drift", "note", (name,),
                    f"its clock and that of most views part by {frames:.1f} frames over the take ({listed})",
                    "pictures are paired by time; if one trigger releases all cameras, give --rate to pair by count",
                    None, None, {"frames": frames, "relative": abs(off)},
                )
            )  # fmt: skip
    return out


def _other_rate(name: str, listed: str, rate_hz: float, usual_hz: float) -> FootageFinding:
    return FootageFinding(
        "rate difference", "error", (name,), f"it has {rate_hz:.5g} Hz, most views {usual_hz:.5g} Hz ({listed})",
        "set all cameras to one rate; for this take, convert it: ffmpeg -i FILE -r RATE out.mp4",
        None, None, {"rate_hz": rate_hz, "usual_hz": usual_hz},
    )  # fmt: skip


def _lengths(times: Mapping[str, Floats], clocks: Mapping[str, FrameClock]) -> list[FootageFinding]:
    span_s = {name: float(time_s[-1] - time_s[0]) for name, time_s in times.items() if len(time_s) > 1}
    if len(span_s) < 2:
        return []
    usual_s = float(np.median(list(span_s.values())))
    intervals = [clock.interval_s for clock in clocks.values() if clock.interval_s]
    interval_s = max(intervals, default=0.0) or usual_s / max(len(time_s) for time_s in times.values())
    odd = [name for name, span in span_s.items() if abs(span - usual_s) > 0.75 * interval_s]
    if not odd:
        return []
    listed = ", ".join(f"{name} {span:.2f} s" for name, span in span_s.items())
    spread_s = max(span_s.values()) - min(span_s.values())
    return [
        FootageFinding(
            "length", "warning", tuple(odd), f"the views are not equally long ({listed})",
            "give --trim if they begin together; otherwise cut them to a common start, or they are not synchronised",
            None, None, {"spread_s": spread_s, "spread_frames": spread_s / interval_s},
        )
    ]  # fmt: skip
