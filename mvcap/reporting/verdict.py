"""Whether a take can be trusted, in plain words and with reasons, from the numbers of its summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from statistics import median
from typing import Any, Literal, NamedTuple

TRUST, LIMITS, REFUSE = "trust", "limits", "do not trust"

# Residuals in units of the expected noise: 1.2 is the median of a two-dimensional error of just that noise.
_NOISY, _WRONG = 3.0, 6.0
_ODD_VIEW = 2.0
_ODD_VIEW_AT_LEAST = 1.5  # a view within this many times its noise is good, however good the others are
_UNMATCHED_VIEW = 0.25
_LOOSE_BONES, _BROKEN_BONES = 0.10, 0.25
_TWO_VIEWS_SHARE = 0.5
_MISSING_SHARE = 0.3
_IDS_PER_PERSON = 3
_SHORT_S = 1.0
_LINES = 20  # a reader stops earlier

# Middle of what is found in adults, m; a child of two has about half of it, a very tall adult 1.3 times.
_HUMAN_M = {
    ("hip", "knee"): 0.42,
    ("knee", "ankle"): 0.40,
    ("shoulder", "elbow"): 0.29,
    ("elbow", "wrist"): 0.25,
}
_HUMAN_RANGE = (0.55, 1.45)
_UNITS = {
    1000.0: "millimetres were read as metres: run again with --rig-unit mm",
    100.0: "centimetres were read as metres: run again with --rig-unit cm",
    10.0: "millimetres were read as centimetres, or decimetres as metres: name the rig's unit with --rig-unit",
    0.1: "centimetres were read as millimetres: name the rig's unit with --rig-unit",
    0.01: "metres were read as centimetres: run again with --rig-unit m",
    0.001: "metres were read as millimetres: run again with --rig-unit m",
}


class Reason(NamedTuple):
    """One thing found: how grave it is, and the sentence for the user."""

    level: Literal["limits", "do not trust"]
    reason: str


def verdict(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a summary: ``{"level", "reasons", "where_not"}``; the level is the gravest of what was found.

    level is "trust", "limits" or "do not trust"; reasons are sentences; where_not names people, times and views whose
    numbers should not be used without a look.
    """
    findings = [
        *_nobody(summary),
        *_scale(summary),
        *_residual(summary),
        *_step(summary),
        *_views(summary),
        *_bodies(summary),
    ]
    levels = [finding.level for finding in findings]
    level = REFUSE if REFUSE in levels else LIMITS if levels else TRUST
    reasons = [finding.reason for finding in findings] or [_praise(summary)]
    return {"level": level, "reasons": reasons, "where_not": list(islice(_where_not(summary), _LINES))}


def human_scale(summary: Mapping[str, Any]) -> float | None:
    """How many times as long as an adult's the limbs are, the median over arms and legs; None where unknown."""
    ratios = []
    for name, length in summary["limb_length_m"].items():
        a, _, b = name.partition(" to ")
        usual = _HUMAN_M.get((a.rpartition("_")[2], b.rpartition("_")[2]))
        if length and usual and a.rpartition("_")[0] == b.rpartition("_")[0]:
            ratios.append(length / usual)
    return median(ratios) if ratios else None


def _praise(summary: Mapping[str, Any]) -> str:
    noise = summary["normalised_residual"]
    told = f" (reprojection error {noise:.1f} times the expected noise)" if noise is not None else ""
    return f"people have human proportions and the views agree about where they are{told}"


def _nobody(summary: Mapping[str, Any]) -> Iterator[Reason]:
    people = summary["people"]
    if not people:
        yield Reason(
            "do not trust",
            "nobody was found in 3D: look at the overlays; no detections points at the estimator, detections without "
            "3D at the calibration, the order of the cameras, or the synchronisation",
        )
    elif len(people) > _IDS_PER_PERSON * summary["people_at_once"]:
        yield Reason(
            "limits",
            f"{len(people)} ids for at most {summary['people_at_once']} people at once: ids break, so one person may "
            f"have several",
        )


def _scale(summary: Mapping[str, Any]) -> Iterator[Reason]:
    scale = human_scale(summary)
    if scale is None or _HUMAN_RANGE[0] <= scale <= _HUMAN_RANGE[1]:
        return
    size = f"{scale:.3g} times as long as an adult's" if scale >= 1 else f"{1 / scale:.3g} times too short"
    for factor, why in _UNITS.items():
        if _HUMAN_RANGE[0] <= scale / factor <= _HUMAN_RANGE[1]:
            big = f"{factor:g} times too big" if factor > 1 else f"{1 / factor:g} times too small"
            yield Reason("do not trust", f"people come out about {big}, as if {why}")
            return
    yield Reason(
        "do not trust",
        f"arms and legs are {size}: the scale of the calibration is wrong (the size of the board's squares, or the "
        f"rig's unit: --rig-unit)",
    )


def _residual(summary: Mapping[str, Any]) -> Iterator[Reason]:
    noise = summary["normalised_residual"]
    if noise is None or noise <= _NOISY:
        return
    yield Reason(
        "do not trust" if noise > _WRONG else "limits",
        f"the views disagree by {noise:.1f} times the expected noise (up to {_NOISY:g} is good): the calibration is "
        f"off (a moved camera, another zoom or image size) or the views are not synchronous",
    )


def _step(summary: Mapping[str, Any]) -> Iterator[Reason]:
    for name, frames in summary.get("late_frames", {}).items():
        when = "late" if frames > 0 else "ahead"
        yield Reason(
            "limits",
            f"view {name} is {when} by at least {abs(frames):.1f} frames "
            f"({abs(frames) / summary['rate_hz'] * 1000:.0f} ms): what moves fast is less accurate; synchronise the "
            f"videos",
        )


def _views(summary: Mapping[str, Any]) -> Iterator[Reason]:
    for name, ratio in _odd_views(summary):
        yield Reason(
            "limits",
            f"view {name} disagrees {ratio:.1f} times as much as the others: check that this camera has not moved and "
            f"that it is synchronous",
        )
    for view in summary["per_view"]:
        matched = view.get("share_matched")
        if matched is not None and matched < _UNMATCHED_VIEW and summary["people"]:
            yield Reason(
                "limits",
                f"view {view['name']}: only {matched:.0%} of what it saw belongs to somebody in 3D; it shows people "
                f"whom no other view sees, or its calibration is off",
            )


def _odd_views(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    known = {v["name"]: v["median_normalised"] for v in summary["per_view"] if v.get("median_normalised") is not None}
    for name, value in known.items():
        others = [other for key, other in known.items() if key != name]
        if len(others) > 1 and value > _ODD_VIEW_AT_LEAST and value > _ODD_VIEW * median(others):
            yield name, value / median(others)


def _bodies(summary: Mapping[str, Any]) -> Iterator[Reason]:
    long = [person for person in summary["people"] if person["last_s"] - person["first_s"] >= _SHORT_S]
    spreads = [spread for person in long if (spread := _raw_spread(person)) is not None]
    if spreads and median(spreads) > _LOOSE_BONES:
        broken = median(spreads) > _BROKEN_BONES
        yield Reason(
            "do not trust" if broken else "limits",
            f"limbs change their length by {median(spreads):.0%} over time (up to {_LOOSE_BONES:.0%} is good)",
        )
    if summary["views"] <= 2 and long:
        yield Reason("limits", "two views only: a wrong detection cannot be told from a right one")
    shares = [person["share_two_views"] for person in long if person["share_two_views"] is not None]
    if shares and median(shares) > _TWO_VIEWS_SHARE:
        yield Reason(
            "limits",
            f"{median(shares):.0%} of the joints come from two views only, where a wrong detection cannot be told "
            f"from a right one",
        )


def _raw_spread(person: Mapping[str, Any]) -> float | None:
    """How much limbs change before refinement, which holds them at one length; what there is where that is unknown."""
    raw: float | None = person["bone_spread_raw"]
    spread: float | None = person["bone_spread"]
    return spread if raw is None else raw


def _where_not(summary: Mapping[str, Any]) -> Iterator[str]:
    for person in summary["people"]:
        name = f"person {person['id']}"
        for span in person["two_views_only"]:
            yield f"{name} from {span['from_s']:.1f} s to {span['to_s']:.1f} s: seen by two views only"
        if (_raw_spread(person) or 0) > _LOOSE_BONES:
            yield f"{name}: limb lengths vary by {_raw_spread(person):.0%} before refinement"
        if person["share_joints_missing"] > _MISSING_SHARE:
            yield f"{name}: {person['share_joints_missing']:.0%} of the joints are missing"
    for name, _ in _odd_views(summary):
        yield f"whatever rests on view {name}"
