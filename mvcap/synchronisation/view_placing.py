"""Whole-frame offsets of all views from the scores of pairs, or the reason why they are ambiguous.

The pair with the clearest peak comes first; then the view whose scores against all views placed so far are clearest.
A peak counts only if it is likelier than every other by far, with errors correlated in time and between joints. Where
no pair is clear by itself, as in a short take, all views together may be: offsets of all views that start from any of
the best peaks of the best pairs are compared as wholes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Floats
from mvcap.synchronisation.epipolar_evidence import OUTLIER_NATS, ShiftScores

INDEPENDENT_PER_S = 6.0
"""Independent observations of a person a second: errors last for half a second, and joints move together."""
SURE_NATS = 12.0
_ALONE_NATS = 25.0  # of a pair by itself, with which all others begin: unrelated people reached 17
"""Nats by which a peak has to be likelier than any other: 1 wrong in 160 000 if the model holds."""
_TWO_NATS, _TWO_FITTING = 50.0, 0.75
"""Of the only pair of two views, which no third view confirms: unrelated people reached 36 nats and a fit of 0.61."""
_BESIDE_S = 0.12  # shifts nearer to the peak belong to it
_FITTING, _FITTING_ALONE = 0.35, 0.25
"""Share of the nats of perfect joints at a true offset: at least the first, and more by the second over the number of
pairs of views. Unrelated people in two views reached 0.54; a recording of people who hide each other has 0.47."""


@dataclass(frozen=True)
class Peak:
    """The best shift, the best other one, frames; nats between them, and the share of perfect agreement at the best."""

    shift: int
    rival: int
    margin_nats: float
    fit: float
    pairs: int = 1

    @property
    def fits(self) -> bool:
        """Whether people agree as well as they do at true offsets."""
        return self.fit >= _FITTING + _FITTING_ALONE / self.pairs


@dataclass(frozen=True)
class Placed:
    """Whole frames by which each view is late, by view; peaks by view; refused: reasons by view."""

    late: dict[int, int]
    peak: dict[int, Peak]
    refused: dict[int, str]


def _evidence(one: ShiftScores) -> Floats:
    """Nats (S,) by which each shift is likelier than that the views are unrelated, with errors correlated."""
    compared = one.seconds > 0
    usual = float(np.median(one.nats[compared])) if compared.any() else 0.0
    return np.asarray((one.nats - usual) * one.seconds * INDEPENDENT_PER_S)


def clearest_peak(scores: list[tuple[ShiftScores, int]], rate_hz: float) -> Peak | None:
    """Return the peak of the summed scores, each moved by a number of frames; None where nothing is compared."""
    first = min(int(one.shift[0]) + moved for one, moved in scores)
    last = max(int(one.shift[-1]) + moved for one, moved in scores)
    total, weight, nats = np.zeros((3, last - first + 1))
    most = sum(float(one.seconds.max()) for one, _ in scores)
    for one, moved in scores:
        span = slice(int(one.shift[0]) + moved - first, int(one.shift[-1]) + moved - first + 1)
        total[span] += _evidence(one)
        nats[span] += one.nats * one.seconds
        weight[span] += one.seconds
    usable = weight > max(0.3 * most, 0.5)
    if not usable.any():
        return None
    evidence = np.where(usable, total, -np.inf)
    at = int(evidence.argmax())
    beside = max(2, round(_BESIDE_S * rate_hz))
    others = evidence.copy()
    others[max(at - beside, 0) : at + beside + 1] = -np.inf
    rival = int(others.argmax())
    if not np.isfinite(others[rival]):
        return None
    margin = evidence[at] - evidence[rival]
    fit = float(nats[at] / max(weight[at], 1e-9) / OUTLIER_NATS)
    return Peak(at + first, rival + first, float(margin), fit, len(scores))


def is_sure(peak: Peak | None, least: float = SURE_NATS) -> bool:
    """Whether a peak is clearly above all others, and people agree at it."""
    return peak is not None and peak.margin_nats >= least and peak.fits


def place_views(pairs: list[ShiftScores], views: int, rate_hz: float) -> Placed:
    """Return whole-frame offsets of as many views as can be placed without ambiguity."""
    alone = [(one, clearest_peak([(one, 0)], rate_hz)) for one in pairs]
    sure = [(one, peak) for one, peak in alone if peak is not None and is_sure(peak, _ALONE_NATS)]
    if views == 2:
        sure = [(one, peak) for one, peak in sure if peak.margin_nats >= _TWO_NATS and peak.fit >= _TWO_FITTING]
    if not sure and views == 2:  # there is no other pair that could confirm it
        return Placed({}, {}, {view: _reason(alone[0][1] if alone else None, rate_hz) for view in range(views)})
    if not sure:
        return _placed_together(alone, views, rate_hz)
    first, peak = max(sure, key=lambda pair: pair[1].margin_nats)
    late, peaks = {first.a: 0, first.b: peak.shift}, {first.a: peak, first.b: peak}
    refused: dict[int, str] = {}
    while left := [view for view in range(views) if view not in late]:
        found = {view: clearest_peak(_towards(pairs, view, late), rate_hz) for view in left}
        ready = [view for view in left if is_sure(found[view])]
        if not ready:
            refused = {view: _reason(found[view], rate_hz) for view in left}
            break
        chosen = max(ready, key=lambda view: _margin(found[view]))
        best = found[chosen]
        assert best is not None
        late[chosen], peaks[chosen] = best.shift, best
    return Placed(late, peaks, refused)


def _placed_together(alone: list[tuple[ShiftScores, Peak | None]], views: int, rate_hz: float) -> Placed:
    """All views, where the best offsets of all are likelier than any others by far; else nothing, and why."""
    ranked = sorted(((one, peak) for one, peak in alone if peak), key=lambda pair: -pair[1].margin_nats)
    pairs = [one for one, _ in alone]
    wholes = []
    for one, _ in ranked[:3]:
        for shift in _local_peaks(one, rate_hz):
            late = _completed(pairs, {one.a: 0, one.b: shift}, views, rate_hz)
            if late is not None:
                wholes.append((_agreement(pairs, late), late))
    if not wholes:
        return Placed({}, {}, {view: _reason(ranked[0][1] if ranked else None, rate_hz) for view in range(views)})
    wholes.sort(key=lambda whole: -whole[0])
    best, late = wholes[0]
    beside = max(2, round(_BESIDE_S * rate_hz))
    others = [whole for whole in wholes if max(abs(whole[1][view] - late[view]) for view in range(views)) > beside]
    margin = min((best - one for one, _ in others), default=np.inf)
    peaks = {}
    for view in range(views):
        peak = clearest_peak(_towards(pairs, view, {v: at for v, at in late.items() if v != view}), rate_hz)
        if peak is None:
            return Placed({}, {}, {one: _reason(None, rate_hz) for one in range(views)})
        peaks[view] = replace(peak, margin_nats=min(peak.margin_nats, float(margin)))
    if all(is_sure(peak) and abs(peak.shift - late[view]) <= 1 for view, peak in peaks.items()):
        return Placed(late, peaks, {})
    worst = min(peaks.values(), key=lambda peak: peak.margin_nats)
    return Placed({}, {}, {view: _reason(worst, rate_hz) for view in range(views)})


def _local_peaks(one: ShiftScores, rate_hz: float, most: int = 8) -> list[int]:
    """The best shifts of a pair, no two of them beside each other."""
    beside = max(2, round(_BESIDE_S * rate_hz))
    left = np.where(one.seconds > 0.3 * one.seconds.max(), one.nats, -np.inf)
    out: list[int] = []
    while len(out) < most and np.isfinite(left.max()):
        at = int(left.argmax())
        out.append(int(one.shift[at]))
        left[max(at - beside, 0) : at + beside + 1] = -np.inf
    return out


def _completed(
    pairs: list[ShiftScores], late: dict[int, int], views: int, rate_hz: float
) -> dict[int, int] | None:  # fmt: skip
    """Offsets of all views: those given, and each other view where it fits best, relative to view 0."""
    for view in range(views):
        if view not in late:
            peak = clearest_peak(_towards(pairs, view, late), rate_hz)
            if peak is None:
                return None
            late = {**late, view: peak.shift}
    return {view: late[view] - late[0] for view in range(views)}


def _agreement(pairs: list[ShiftScores], late: dict[int, int]) -> float:
    """Evidence of all pairs for these offsets, nats."""
    nats = 0.0
    for one in pairs:
        at = late[one.b] - late[one.a] - int(one.shift[0])
        nats += float(_evidence(one)[at]) if 0 <= at < len(one.shift) else 0.0
    return nats


def _margin(peak: Peak | None) -> float:
    return peak.margin_nats if peak is not None else -np.inf


def _towards(pairs: list[ShiftScores], view: int, late: dict[int, int]) -> list[tuple[ShiftScores, int]]:
    """Scores of a view against all placed ones, as functions of its own offset; others give a flat nothing."""
    out = []
    for one in pairs:
        if one.b == view and one.a in late:
            out.append((one, late[one.a]))
        if one.a == view and one.b in late:
            turned = ShiftScores(one.b, one.a, -one.shift[::-1], one.nats[::-1], one.seconds[::-1])
            out.append((turned, late[one.b]))
    return out


def _reason(peak: Peak | None, rate_hz: float) -> str:
    if peak is None:
        return "no people are seen together with other views long enough"
    if not peak.fits:
        return f"the people do not fit those of other views at any offset (best: {100 * peak.fit:.0f} % agreement)"
    one, other = (shift / rate_hz for shift in (peak.shift, peak.rival))
    return f"offsets of {one:+.3f} s and {other:+.3f} s are about equally likely ({peak.margin_nats:.1f} nats apart)"
