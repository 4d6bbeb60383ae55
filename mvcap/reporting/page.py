"""The report of a take as one HTML file that works offline and without scripts."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from mvcap.drawing.colours import hexadecimal
from mvcap.reporting.dropped_people import dropped_sentence

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_PICTURES = {
    "scene": (
        "Moments in 3D",
        "The skeletons at moments spread evenly over the take, from the same place: from negative y, x to the right. "
        "The floor is z = 0, with a line at every metre and a shadow below everybody.",
    ),
    "presence": ("Presence over time", "One bar per person over the length of the take."),
    "above": (
        "Paths from above",
        "Path of the midpoint of each person's hips; grey triangles are cameras, open in viewing direction.",
    ),
    "side": ("Paths from the side", "Height of the hips above the floor; cameras as in the view from above."),
    "uncertainty": (
        "Uncertainty",
        "Standard deviation of the joints from their covariances, root mean square over the axes: median of the joints "
        "at each moment, and what 95 % of them are within.",
    ),
    "angles": (
        "Joint angles",
        "Flexion of the refined poses: 0° is straight. Unsigned: a hip bent backwards or sideways counts as flexed.",
    ),
    "bones": (
        "Bone lengths",
        "Before refinement. True limb lengths are constant, so all variation is error. Dotted: the median.",
    ),
    "errors": ("Reprojection error", "Distance between the reprojected 3D joints and the detections of each view."),
    "parts": (
        "Rig or detector",
        "Displacement of all joints of a view alike, which is the rig's; of each joint in its own direction at all "
        "times, which is how the detector takes it from that side; and median scatter.",
    ),
}
_VERDICTS = {
    "trust": ("good", "✓", "This take can be trusted"),
    "limits": ("fair", "!", "This take can be trusted with limits"),
    "do not trust": ("bad", "✗", "Do not trust this take"),
}

FIRST_REASONS = 4
"""Reasons of the verdict that stand on the first screen; the others are folded."""
_FIRST_PLACES = 6
_SOURCES = {"views": "two views or more", "one_view": "one view", "no_view": "no view"}

_CHANGES = {
    "joined": "tracklets linked across a gap",
    "returned": "re-identified by limb lengths after an absence",
    "merged": "duplicate tracks merged",
    "exchanged": "identity switch corrected",
    "split": "separated from the track of another body",
    "dropped": "rejected as a false positive",
}


def render(
    summary: Mapping[str, Any],
    pictures: Mapping[str, bytes],
    videos: Mapping[str, str],
    title: str = "take",
    settings: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Return the report as HTML.

    summary: the result of ``pose_quality.summarise``. pictures: SVG, PNG or JPEG files by name: "contact_sheet",
    "scene", "presence", "above", "side", "uncertainty", "angles", "bones", "errors", "parts"; missing ones are left
    out. videos: path of each view's overlay relative to the page, with forward slashes. settings, provenance: flat or
    nested mappings, shown unchanged.
    """
    from jinja2 import Environment, StrictUndefined

    from calib.report.page import style

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=_number, percent=_percent, seconds=_seconds, colour=hexadecimal)
    page = environment.from_string((files("mvcap.reporting") / "page.html").read_text(encoding="utf-8"))

    return page.render(
        title=title,
        style=style(),
        s=summary,
        verdict=_VERDICTS[summary["verdict"]["level"]],
        first_reasons=FIRST_REASONS,
        first_places=_FIRST_PLACES,
        **_accuracy(summary),
        joint_errors=_joint_errors(summary),
        changes=_changes(summary),
        dropped=dropped_sentence(summary) if summary["people"] else None,
        parts=summary.get("residual_parts"),
        calibration_px=summary.get("association", {}).get("calibration_px"),
        contact_sheet=_inlined(pictures["contact_sheet"]) if "contact_sheet" in pictures else None,
        plots=[(key, *_PICTURES[key], _inlined(pictures[key])) for key in _PICTURES if key in pictures],
        videos=[(name, _link(path)) for name, path in videos.items()],
        settings=_flat(settings or {}),
        provenance=_flat(provenance or {}),
    )


def _accuracy(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accuracy, its rows by source, and the share of person-frames that one view or none sees."""
    accuracy, one_view = summary.get("accuracy"), summary.get("one_view") or {}
    one, none = one_view.get("share_rows"), one_view.get("share_rows_no_view")
    by_source = (accuracy or {}).get("by_source", {})
    sources = [(_SOURCES[name], part) for name, part in by_source.items() if part["share_joints"]]
    alone = one + none if one is not None and none is not None else None
    return {"accuracy": accuracy, "sources": sources, "alone": alone}


def _inlined(picture: bytes) -> str:
    """Return the picture as a data URI; anything that is neither PNG nor JPEG is treated as SVG."""
    kind = next((kind for start, kind in _KINDS.items() if picture.startswith(start)), "image/svg+xml")
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _link(path: str) -> str:
    """Return a relative path as a link; ValueError for a path outside the folder of the page."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in pure.parts[0]:
        raise ValueError(f"{path!r} is not a path below the report's folder")
    return quote(str(pure))


def _joint_errors(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per joint: its name, its overall numbers, and its median residual in each view."""
    table = summary["per_view_joint_px"]
    return [{**joint, "views": [row[index] for row in table]} for index, joint in enumerate(summary["per_joint"])]


def _changes(summary: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the tracks that tracking merged, repaired or dropped: persons, time, change and reason."""
    found = summary.get("identities") or {"changes": []}
    rows = []
    for change in found["changes"]:
        numbers = [str(number) for number in dict.fromkeys((change["person"], change["other"])) if number]
        when = f"{change['frame'] / summary['rate_hz']:.2f} s (frame {change['frame']})"
        rows.append((" and ".join(numbers) or "–", when, _CHANGES[change["what"]], change["why"]))
    return rows


def _flat(nested: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return nested keys joined by dots, with their values as text."""
    rows: list[tuple[str, str]] = []
    for key, value in nested.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{above}{key}.")
        else:
            rows.append((f"{above}{key}", value if isinstance(value, str) else json.dumps(value, default=str)))
    return rows


def _number(value: float | None) -> str:
    """Format a number with about three significant digits and at most two decimals; a dash for None."""
    return "–" if value is None else f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"
