"""The verdict on whether a take can be trusted, with reasons, from the numbers of its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from statistics import median
from typing import Any

from mvcap.reporting.accuracy import accuracy_reasons, alone_place, coarse_place, one_view_reasons
from mvcap.reporting.dropped_people import all_dropped
from mvcap.reporting.joint_sources import overruled_measurements
from mvcap.reporting.one_camera import one_camera_places, one_camera_reasons
from mvcap.reporting.reason import LIMITS, REFUSE, TRUST, Reason
from mvcap.reporting.residual_split import rig_reasons
from mvcap.reporting.single_view_joints import single_joint_place
from mvcap.reporting.time_spans import span_in_words
from mvcap.reporting.unconfirmed_tracks import unconfirmed_place, unconfirmed_reasons
from mvcap.reporting.view_support import calibration_reasons, false_person
from mvcap.reporting.world_frame import world_reasons

# Residuals in units of the expected noise; the median for Gaussian 2D errors of exactly that noise is 1.18.
_NOISY, _WRONG = 3.0, 6.0
_ODD_VIEW = 2.0
_ODD_VIEW_AT_LEAST = 1.5  # a view with a smaller normalised residual is good even if the others are much better
_UNMATCHED_VIEW = 0.25
_AGREEING_VIEW = 0.5  # share of the people of other views that a view confirms from which it is not wrong
_MOMENT_FRAMES = 2  # ids of so few frames on average are those of single moments, not fragments of tracks
_LOOSE_BONES, _BROKEN_BONES = 0.10, 0.25
_TWO_VIEWS_SHARE = 0.5
_MISSING_SHARE = 0.3
_IDS_PER_PERSON = 3
_NEARLY_ALL = 0.995
_SHORT_S = 1.0
_LINES = 20  # maximum number of entries in where_not

# Typical adult limb lengths, m; a two-year-old has about half, a very tall adult 1.3 times these lengths.
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
    10.0: "millimetres were read as centimetres, or decimetres as metres: give the rig's unit with --rig-unit",
    0.1: "centimetres were read as millimetres: give the rig's unit with --rig-unit",
    0.01: "metres were read as centimetres: run again with --rig-unit m",
    0.001: "metres were read as millimetres: run again with --rig-unit m",
}


def verdict(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdict on a summary: ``{"level", "reasons", "where_not"}``; the level is that of the worst finding.

    level: "trust", "limits" or "do not trust"; reasons: sentences; where_not: people, time spans and views whose
    results should be checked before use.
    """
    asked = REASONS_OF_ONE_VIEW if summary.get("one_camera") else REASONS
    findings = [finding for reasons in asked for finding in reasons(summary)]
    findings.sort(key=lambda finding: finding.level != REFUSE)  # stable: the order of REASONS within a level
    levels = [finding.level for finding in findings]
    level = REFUSE if REFUSE in levels else LIMITS if levels else TRUST
    reasons = [finding.reason for finding in findings] or [_no_findings(summary)]
    return {"level": level, "reasons": reasons, "where_not": list(islice(_where_not(summary), _LINES))}


def human_scale(summary: Mapping[str, Any]) -> float | None:
    """Return the ratio of the limb lengths to an adult's, the median over arms and legs; None if unknown."""
    ratios = []
    for name, length in summary["limb_length_m"].items():
        a, _, b = name.partition(" to ")
        typical = _HUMAN_M.get((a.rpartition("_")[2], b.rpartition("_")[2]))
        if length and typical and a.rpartition("_")[0] == b.rpartition("_")[0]:
            ratios.append(length / typical)
    return median(ratios) if ratios else None


def _no_findings(summary: Mapping[str, Any]) -> str:
    noise, accuracy = summary["normalised_residual"], summary.get("accuracy") or {}
    error = f" (reprojection error {noise:.1f} times the expected noise)" if noise is not None else ""
    within = accuracy.get("share_within")
    reported = accuracy.get("share_reported")
    part = f" ({reported:.0%} of all)" if reported is not None and reported < _NEARLY_ALL else ""
    wanted = accuracy.get("wanted_mm", 0)
    fine = f"; {within:.0%} of the reported joints{part} are within {wanted:g} mm" if within is not None else ""
    return f"body proportions are human and the views are consistent{error}{fine}"


def _people(summary: Mapping[str, Any]) -> Iterator[Reason]:
    people = summary["people"]
    dropped = list(all_dropped(summary))
    yield from dropped
    if not people and not dropped:
        yield Reason(
            "do not trust",
            "no people were reconstructed: check the overlays; if there are no 2D detections, check the estimator, "
            "otherwise the calibration, the order of the cameras and the synchronisation",
        )
    elif _fragmented(summary):
        yield Reason(
            "limits",
            f"{len(people)} ids for at most {summary['people_at_once']} people at once: tracks are fragmented, so one "
            f"person may have several ids",
        )


def _fragmented(summary: Mapping[str, Any]) -> bool:
    """Whether there are many ids for few people; single moments far apart, as in photographs, cannot share ids."""
    people = summary["people"]
    moments = sum(person["frames"] for person in people) <= _MOMENT_FRAMES * len(people)
    return len(people) > _IDS_PER_PERSON * summary["people_at_once"] and not moments


def _scale(summary: Mapping[str, Any]) -> Iterator[Reason]:
    scale = human_scale(summary)
    if scale is None or _HUMAN_RANGE[0] <= scale <= _HUMAN_RANGE[1]:
        return
    size = f"{scale:.3g} times as long as an adult's" if scale >= 1 else f"{1 / scale:.3g} times too short"
    for factor, why in _UNITS.items():
        if _HUMAN_RANGE[0] <= scale / factor <= _HUMAN_RANGE[1]:
            big = f"{factor:g} times too big" if factor > 1 else f"{1 / factor:g} times too small"
            yield Reason("do not trust", f"people are about {big}, as if {why}")
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
        f"the reprojection error is {noise:.1f} times the expected noise (up to {_NOISY:g} is good): the calibration "
        f"is wrong (a moved camera, another zoom or image size) or the views are not synchronised",
    )


def _time_offsets(summary: Mapping[str, Any]) -> Iterator[Reason]:
    for name, frames in summary.get("late_frames", {}).items():
        when = "late" if frames > 0 else "early"
        yield Reason(
            "limits",
            f"view {name} is {when} by at least {abs(frames):.1f} frames "
            f"({abs(frames) / summary['rate_hz'] * 1000:.0f} ms): fast motion is less accurate; synchronise the videos",
        )


def _views(summary: Mapping[str, Any]) -> Iterator[Reason]:
    confirms = (summary.get("confirmation") or {}).get("per_view") or [None] * len(summary["per_view"])
    idle = [
        (view["name"], view["share_matched"], agrees)
        for view, agrees in zip(summary["per_view"], confirms, strict=True)
        if view.get("share_matched") is not None and view["share_matched"] < _UNMATCHED_VIEW and summary["people"]
    ]
    wrong = {name: agrees for name, _, agrees in idle if agrees is not None and agrees < _AGREEING_VIEW}
    for name, ratio in _odd_views(summary):
        if name not in wrong:
            yield Reason(
                "limits",
                f"view {name} has {ratio:.1f} times the reprojection error of the others: check that this camera has "
                f"not moved and that it is synchronised",
            )
    if any(reason.level == REFUSE for reason in calibration_reasons(summary)):
        return  # which explains the views without people
    if wrong:
        listed = ", ".join(f"{name} ({agrees:.0%})" for name, agrees in wrong.items())
        yield Reason(
            "limits",
            f"of the people whom other views see in its picture, too few are seen in view {listed}, so its calibration "
            f"is wrong, or its pictures are of another camera or time: calibrate it again or leave it out",
        )
    if apart := [f"{name} ({matched:.0%})" for name, matched, agrees in idle if agrees is None]:
        yield Reason(
            "limits",
            f"only few detections were assigned to people in view {', '.join(apart)}: it shows people whom no other "
            f"view sees, or its calibration is wrong: check it in the overlays",
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
            f"limb lengths vary by {median(spreads):.0%} over time (up to {_LOOSE_BONES:.0%} is good)",
        )
    if (summary.get("confirmation") or {}).get("share", 0) != 0 or any(calibration_reasons(summary)):
        return  # further views confirm the people, nobody else looks there, or the reason was given
    shares = [person["share_two_views"] for person in long if person["share_two_views"] is not None]
    if shares and median(shares) > _TWO_VIEWS_SHARE:
        yield Reason(
            "limits",
            f"{median(shares):.0%} of the joints come from two views only, where outliers cannot be distinguished "
            f"from inliers",
        )


def _raw_spread(person: Mapping[str, Any]) -> float | None:
    """Return the limb length variation before refinement (which makes lengths constant), or after if unknown."""
    raw: float | None = person["bone_spread_raw"]
    spread: float | None = person["bone_spread"]
    return spread if raw is None else raw


def _where_not(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary.get("one_camera"):
        yield from one_camera_places(summary)
        return
    for one in (summary.get("confirmation") or {}).get("false", []):
        yield false_person(one)
    for place in (summary.get("one_view") or {}).get("places", []):
        yield alone_place(place)
    unconfirmed = summary.get("unconfirmed") or {}
    for place in [*unconfirmed.get("places", []), *unconfirmed.get("nobody", [])]:
        yield unconfirmed_place(place)
    for one in (summary.get("one_view") or {}).get("joints", []):
        yield single_joint_place(one)
    for place in (summary.get("accuracy") or {}).get("places", []):
        yield coarse_place(place, summary["accuracy"]["wanted_mm"])
    if summary["people"] and summary["views"] == 2:
        yield "all results rest on two views: an error along the line of sight of both cannot be found"
    for person in summary["people"]:
        name = f"person {person['id']}"
        for span in person["two_views_only"]:
            yield f"{name} {span_in_words(span)}: seen by two views only"
        if (_raw_spread(person) or 0) > _LOOSE_BONES:
            yield f"{name}: limb lengths vary by {_raw_spread(person):.0%} before refinement"
        if person["share_joints_missing"] > _MISSING_SHARE:
            yield f"{name}: {person['share_joints_missing']:.0%} of the joints are missing"
    for name, _ in _odd_views(summary):
        yield f"results that depend mainly on view {name}"


REASONS: tuple[Callable[[Mapping[str, Any]], Iterable[Reason]], ...] = (
    _people,
    _scale,
    calibration_reasons,
    world_reasons,
    _residual,
    rig_reasons,
    one_view_reasons,
    unconfirmed_reasons,
    accuracy_reasons,
    _time_offsets,
    _views,
    overruled_measurements,
    _bodies,
)
"""What can be wrong, in the order of what matters most: each function yields the reasons that a summary gives."""

REASONS_OF_ONE_VIEW: tuple[Callable[[Mapping[str, Any]], Iterable[Reason]], ...] = (
    _people,
    one_camera_reasons,
    world_reasons,
)
"""The same for a take of one view, in which no view confirms another."""
