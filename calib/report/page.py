"""A calibration's report as one HTML file that opens from disk, without a network and without scripts."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from calib.calibration import Calibration
from calib.errors import RigFileError
from calib.formats.parts import write_text
from calib.report import maps, plots
from calib.report.facts import SEVERITIES, every_camera, millimetres, report
from calib.report.view_plots import view_picture
from calib.report.views import view_evidence

NAMES = ("calibration.json", "calibration.html")
_VERDICTS = {
    "good": ("good", "✓", "Good"),
    "usable with limits": ("fair", "!", "Usable with limits"),
    "do not use": ("bad", "✗", "Do not use"),
}
_SEVERITIES = {"refuse": "Do not use before this is done", "limit": "Limits", "note": "Notes"}
_OPEN_VIEWS = 6  # most cameras whose sections are open at first
_SHARP = 8  # most cameras whose plots are drawn at full size


def write_report(calibration: Calibration, folder: str | Path, *, title: str = "", force: bool = False) -> list[Path]:
    """Write `calibration.json` and `calibration.html` into a folder; the paths of both.

    Raises RigFileError, one line, where one exists already and not `force`, or they cannot be written.
    """
    paths = [Path(folder) / name for name in NAMES]
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise RigFileError(f"{', '.join(there)} would be overwritten; choose another folder, or pass --force")
    summary = report(calibration)
    html = page(calibration, title or Path(folder).resolve().name, summary)
    write_text(paths[0], json.dumps(summary, indent=1, allow_nan=False) + "\n")
    write_text(paths[1], html)
    return paths


def style() -> str:
    """The CSS that all reports share."""
    return (files("calib.report") / "style.css").read_text(encoding="utf-8").rstrip()


def page(calibration: Calibration, title: str = "Calibration", summary: dict[str, Any] | None = None) -> str:
    """The HTML page; `summary` is the result of `report` for the same calibration, if already computed."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        degrees=_degrees, number=_number, percent=_percent, mm=_mm, deviation=_deviation, sentence=_sentence
    )
    template = environment.from_string((files("calib.report") / "page.html").read_text(encoding="utf-8"))
    s = summary or report(calibration)
    return template.render(
        title=title,
        style=style(),
        s=s,
        verdict=_VERDICTS[s["verdict"]["level"]],
        reason=_reason(s),
        pictures=_pictures(calibration),
        view_pictures=_view_pictures(calibration),
        findings=[(key, _SEVERITIES[key], _by_todo(s["findings"], key)) for key in SEVERITIES],
        open_views=len(s["cameras"]) <= _OPEN_VIEWS,
    )


def _by_todo(findings: list[dict[str, str]], severity: str) -> dict[str, list[dict[str, str]]]:
    """Findings of one severity grouped by what to do, so that the same advice appears once."""
    out: dict[str, list[dict[str, str]]] = {}
    for finding in findings:
        if finding["severity"] == severity:
            out.setdefault(finding["todo"], []).append(finding)
    return out


def _pictures(calibration: Calibration) -> dict[str, str]:
    """The available plots of the whole rig as data URIs."""
    alone = len(every_camera(calibration)) < 2
    made = {
        "volume": None if alone else maps.volume_map(calibration),
        "slices": maps.slices(calibration),
        "measured": plots.predicted_and_measured(calibration),
        "by_place": maps.measured_by_place(calibration),
        "pairs": plots.pair_graph(calibration),
        "moments": plots.moments(calibration),
        "shape": plots.target_shape(calibration),
    }
    return {name: _inlined(picture) for name, picture in made.items() if picture is not None}


def _view_pictures(calibration: Calibration) -> list[str | None]:
    """The plot of each camera as a data URI; None for one that saw nothing."""
    count, absent = len(calibration.observations.views), len(every_camera(calibration))
    views = [view_evidence(calibration, view) for view in range(count)]
    made = [view_picture(view, 110 if count <= _SHARP else 80) for view in views]
    return [*(None if picture is None else _inlined(picture) for picture in made), *(absent - count) * [None]]


def _inlined(picture: bytes) -> str:
    kind = "image/png" if picture.startswith(b"\x89PNG") else "image/svg+xml"
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _number(value: float | None) -> str:
    """About three digits, with a number of decimals that depends on the size."""
    if value is None:
        return "–"
    size = abs(value)
    if 0 < size < 0.095:
        return f"{value:.2g}" if size >= 5e-5 else "0"
    return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def _deviation(value: float | None) -> str:
    """A standard deviation; zero means held fixed."""
    return "" if value is None else "held" if value == 0 else f"± {_number(value)}"


def _sentence(text: str) -> str:
    """The text with a full stop; its first word stays as it is, as it may be a camera's name."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _reason(s: dict[str, Any]) -> str:
    """The reason of the verdict as a sentence; a camera's name at its start stays as it is."""
    text = _sentence(s["verdict"]["reason"])
    named = any(text.startswith(camera["name"]) for camera in s["cameras"])
    return text if named else text[:1].upper() + text[1:]


def _degrees(value: float | None) -> str:
    return "–" if value is None else f"{_number(value)}°"


def _mm(value: float | None) -> str:
    return "–" if value is None else millimetres(value)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2g}%" if 0 < value < 0.095 else f"{value:.0%}"
