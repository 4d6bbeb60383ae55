"""A take's report as one HTML file that opens from disk, without a network and without scripts."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from mvcap.drawing.colours import hexadecimal

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_PICTURES = {
    "presence": ("Who is there when", "A bar for each person over the length of the take."),
    "above": ("From above", "The path of each person's hips; grey triangles are cameras, open where they look."),
    "side": ("From the side", "The height of the hips over the floor; cameras as above."),
    "bones": (
        "Bone lengths",
        "Before refinement. A limb does not change its length: what moves here is error. Dotted: the median.",
    ),
    "errors": ("Reprojection error", "How far the joints lie from where each view saw them."),
}
_VERDICTS = {
    "trust": ("good", "✓", "This take can be trusted"),
    "limits": ("fair", "!", "This take can be trusted with limits"),
    "do not trust": ("bad", "✗", "Do not trust this take"),
}


_CHANGES = {
    "joined": "was out of sight and goes on",
    "returned": "came back and is known by their limbs",
    "merged": "was followed twice",
    "exchanged": "had been taken for another",
    "split": "was taken apart from another body",
    "dropped": "is nobody",
}


def render(
    summary: Mapping[str, Any],
    pictures: Mapping[str, bytes],
    videos: Mapping[str, str],
    title: str = "take",
    settings: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Return the page.

    summary is what ``quality.summarise`` gives; pictures are SVG, PNG or JPEG files by name: "contact_sheet",
    "presence", "above", "side", "bones", "errors"; missing ones are left out. videos gives the path of each view's
    overlay relative to the page, with forward slashes; settings and provenance are shown as they are, nested or not.
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
        joint_errors=_joint_errors(summary),
        changes=_changes(summary),
        calibration_px=summary.get("association", {}).get("calibration_px"),
        contact_sheet=_inlined(pictures["contact_sheet"]) if "contact_sheet" in pictures else None,
        plots=[(key, *_PICTURES[key], _inlined(pictures[key])) for key in _PICTURES if key in pictures],
        videos=[(name, _link(path)) for name, path in videos.items()],
        settings=_flat(settings or {}),
        provenance=_flat(provenance or {}),
    )


def _inlined(picture: bytes) -> str:
    """The picture as a data URI; what is neither PNG nor JPEG is taken for SVG."""
    kind = next((kind for start, kind in _KINDS.items() if picture.startswith(start)), "image/svg+xml")
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _link(path: str) -> str:
    """A relative path as a link; ValueError for one that would leave the folder of the page or the machine."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in pure.parts[0]:
        raise ValueError(f"{path!r} is not a path below the report's folder")
    return quote(str(pure))


def _joint_errors(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a joint: its name, its overall numbers, and its median residual in each view."""
    table = summary["per_view_joint_px"]
    return [{**joint, "views": [row[index] for row in table]} for index, joint in enumerate(summary["per_joint"])]


def _changes(summary: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """What tracking merged, repaired and dropped: who, when, what and why."""
    found = summary.get("identities") or {"changes": []}
    rows = []
    for change in found["changes"]:
        numbers = [str(number) for number in dict.fromkeys((change["person"], change["other"])) if number]
        when = f"{change['frame'] / summary['rate_hz']:.2f} s (frame {change['frame']})"
        rows.append((" and ".join(numbers) or "–", when, _CHANGES[change["what"]], change["why"]))
    return rows


def _flat(nested: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Keys joined by dots and values as text."""
    rows: list[tuple[str, str]] = []
    for key, value in nested.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{above}{key}.")
        else:
            rows.append((f"{above}{key}", value if isinstance(value, str) else json.dumps(value, default=str)))
    return rows


def _number(value: float | None) -> str:
    """About three digits, with as many decimals as neighbours of the same size."""
    return "–" if value is None else f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"
