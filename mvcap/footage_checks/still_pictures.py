"""Finds frozen pictures: runs of equal or nearly equal ones that are longer than the take's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.footage_checks.findings import FootageFinding, Severity
from mvcap.footage_checks.picture_series import PictureFacts

Floats = NDArray[np.float64]
_FAR_BELOW = 0.05  # of the usual difference between neighbours: sensor noise and its coding are never so small
_CHANCE = 1e-6  # of a run as long in the whole take, if pictures repeat each by itself
_MOVES = 0.5  # of its usual difference: from here on another view changes as usual
_SHORT_S = 0.25
_JUMP = 1.5  # of the usual difference
_SPREAD = 6  # pictures over which B-frames may spread a jump
_PERIODS = (2, 3, 4, 5, 6)
_LOW = 0.35  # of the largest difference in a period: the pattern of B-frames is far above it


@dataclass(frozen=True)
class StillRun:
    """Pictures first to last that do not differ; equal: in every pixel; expected: runs as long by chance."""

    first: int
    last: int
    equal: bool
    expected: float


def still_runs(facts: PictureFacts) -> list[StillRun]:
    """Return the runs that are longer than those that a view has by chance.

    A picture repeats if its difference from the one before is a twentieth of the usual (the median) or less; if half of
    them do, only if it is 0. With the share p of repeats outside of a run, L repeats in a row among N pictures are
    expected N p^L times; runs with less than 1e-6 are returned. Two that one change parts, as key frames make, are one
    if the picture behind it is that before it.
    """
    difference = facts.difference
    known = np.isfinite(difference)
    if known.sum() < 2:
        return []
    limit = _FAR_BELOW * float(np.median(difference[known]))
    still = known & (difference <= limit)
    runs = _joined(facts, _runs(still, facts.stretch))
    out = []
    for first, last in runs:
        inside = np.zeros(len(still), bool)
        inside[first + 1 : last + 1] = True
        rest = known & ~inside
        share = (float((still & rest).sum()) + 1) / (float(rest.sum()) + 2)
        length = int((still & inside).sum())
        expected = float(known.sum() * share**length)
        if expected < _CHANCE:
            out.append(StillRun(first, last, not np.nan_to_num(difference[first + 1 : last + 1]).any(), expected))
    return out


def _runs(still: NDArray[np.bool_], stretch: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return first and last picture of each run: the first is that which the others repeat."""
    edges = np.flatnonzero(np.diff(np.r_[False, still, False].astype(np.int8)))
    return [(int(a) - 1, int(b) - 1) for a, b in edges.reshape(-1, 2) if a > 0]


def _joined(facts: PictureFacts, runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join runs that a single small change parts, smaller than the usual difference, as a new key frame makes.

    So are runs in two stretches, if the second shows what the first did.
    """
    change = np.where(np.isfinite(facts.difference), facts.difference, facts.leap)
    usual = float(np.nanmedian(facts.difference))
    moving = facts.difference[np.isfinite(facts.difference) & (facts.difference > _FAR_BELOW * usual)]
    small = float(np.median(moving)) if len(moving) else 0.0
    out: list[tuple[int, int]] = []
    for first, last in runs:
        between = change[out[-1][1] + 1 : first + 1] if out else np.zeros(0)
        lengths = (out[-1][1] - out[-1][0], last - first) if out else (0, 0)
        near = len(between) == 1 and min(lengths) >= 3 and between[0] <= small
        if near:
            out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out


def check_frozen(views: Mapping[str, PictureFacts]) -> list[FootageFinding]:
    """Return the frozen spans of each view, with what the other views do meanwhile."""
    out = []
    for name, facts in views.items():
        for run in still_runs(facts):
            start_s, stop_s = float(facts.time_s[run.first]), float(facts.time_s[run.last])
            others = {other: moving_share(one, start_s, stop_s) for other, one in views.items() if other != name}
            out.append(_frozen(name, facts, run, {other: x for other, x in others.items() if np.isfinite(x)}))
        if finding := _repeats(name, facts):
            out.append(finding)
    return out


def moving_share(facts: PictureFacts, start_s: float, stop_s: float) -> float:
    """Return the median difference between neighbours in a span, in units of the view's usual; NaN if unknown."""
    inside = facts.difference[(facts.time_s > start_s) & (facts.time_s <= stop_s)]
    inside, known = inside[np.isfinite(inside)], facts.difference[np.isfinite(facts.difference)]
    usual = float(np.median(known)) if len(known) else 0.0
    if not len(inside):
        return np.nan
    return float(np.median(inside)) / usual if usual > 0 else 0.0


def jump_behind(facts: PictureFacts, run: StillRun) -> float:
    """Return the largest difference between pictures just behind a run, in units of the usual where the view changes.

    Behind pictures that were frozen while people moved it is large; people who come into an empty picture begin with
    little. NaN if there is none, infinite if the view never changes elsewhere.
    """
    behind = facts.difference[run.last + 1 : run.last + 1 + _SPREAD]
    behind = behind[facts.stretch[run.last + 1 : run.last + 1 + _SPREAD] == facts.stretch[run.last]]
    if not np.isfinite(behind).any():
        return float("nan")
    rest = np.r_[facts.difference[: run.first + 1], facts.difference[run.last + 1 :]]
    rest = rest[np.isfinite(rest) & (rest > 0)]
    return float(np.nanmax(behind) / np.median(rest)) if len(rest) else float("inf")


def begins_at_once(facts: PictureFacts, run: StillRun) -> bool:
    """Return whether the view changed as usual just before a run; people who leave the picture do so less and less."""
    rows = slice(max(0, run.first - _SPREAD + 1), run.first + 1)
    before = facts.difference[rows][facts.stretch[rows] == facts.stretch[run.first]]
    rest = np.r_[facts.difference[: run.first + 1], facts.difference[run.last + 1 :]]
    rest = rest[np.isfinite(rest) & (rest > 0)]
    return not np.isfinite(before).any() or not len(rest) or float(np.nanmean(before)) > _MOVES * float(np.median(rest))


def _moves_elsewhere(facts: PictureFacts) -> bool:
    """Return whether anything but noise ever moves in the view; it is so if there is nothing to tell by."""
    if len(facts.bursts) < 2:
        return True
    spread = facts.bursts[:, 0].astype(np.float32).std(0)
    return bool((spread > 4 * np.median(spread) + 2).sum() >= 20) or not spread.any()


def _frozen(name: str, facts: PictureFacts, run: StillRun, others: Mapping[str, float]) -> FootageFinding:
    start_s, stop_s = float(facts.time_s[run.first]), float(facts.time_s[run.last])
    pictures = run.last - run.first + 1
    inside = facts.difference[run.first + 1 : run.last + 1]
    rest = np.r_[facts.difference[: run.first + 1], facts.difference[run.last + 1 :]]
    usual = float(np.nanmedian(rest)) if np.isfinite(rest).any() else 0.0
    moving = [other for other, share in others.items() if share > _MOVES]
    how = "not in one pixel" if run.equal else f"{np.nanmean(inside):.2g} levels of 256; elsewhere {usual:.2g}"
    if moving:
        what = f"while {', '.join(moving)} {'change' if len(moving) > 1 else 'changes'} as usual"
    else:
        what = "; the other views stand still, too" if others else ""
    jump, lasts = jump_behind(facts, run), stop_s - start_s
    quiet = not _moves_elsewhere(facts) or jump < _JUMP or (np.isnan(jump) and not begins_at_once(facts, run))
    if quiet:
        what += "; it goes on without a jump, as where nothing moves and strong compression removes the noise"
    elif jump < np.inf:
        what += f"; behind it the picture jumps by {jump:.1f} times the usual"
    severity: Severity = "note" if lasts < _SHORT_S or quiet or (others and not moving) else "warning"
    return FootageFinding(
        "frozen", severity, (name,),
        f"{pictures} pictures in {lasts:.2f} s do not differ ({how}) {what}".strip().replace(" ;", ";"),
        "leave this part out (--from, --to), or this view; see that the camera, its cable and the recorder keep up",
        start_s, stop_s, {"pictures": pictures, "seconds": lasts, "difference": float(np.nanmean(inside)),
                          "usual_difference": usual, "expected_by_chance": run.expected, "jump": jump},
    )  # fmt: skip


def repeat_share(facts: PictureFacts) -> float:
    """Return the share of pictures that repeat the one before at every so many (2 to 6), as conversion to a higher rate
    makes them; 0 if none do.
    """
    difference = facts.difference
    for period in _PERIODS:
        phase = np.arange(len(difference)) % period
        if len(difference) < 8 * period:
            break
        parts = [difference[(phase == one) & np.isfinite(difference)] for one in range(period)]
        if min(map(len, parts)) < 4:
            continue
        limit = _LOW * max(float(np.median(part)) for part in parts)
        low = [part for part in parts if np.median(part) < limit]
        if low and min(float((part < limit).mean()) for part in low) > 0.75:
            return len(low) / period
    return 0.0


def _repeats(name: str, facts: PictureFacts) -> FootageFinding | None:
    share = repeat_share(facts)
    if not share:
        return None
    return FootageFinding(
        "repeated pictures", "note", (name,),
        f"{100 * share:.0f} % of the pictures, at equal distances, hardly differ from the one before: the camera is "
        "slower than the file says",
        "record at the camera's own rate; a repeated picture is late by one frame",
        None, None, {"share": share},
    )  # fmt: skip
