"""Comparison of scores of ``mvcap evaluate``: JSON files, a text table, and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calib.bounded_files import bounded_bytes, parse_json, reason_of
from mvcap.errors import InputError
from mvcap.structures.npz import write_text, written_whole

Results = Mapping[str, Mapping[str, Any]]
_LINES: Sequence[tuple[str, str, str]] = (
    ("PCP, 4D Association's rule, %", "pcp.4da.average", ".2f"),
    ("  by actor", "pcp.4da.actors", ".2f"),
    ("PCP, VoxelPose's rule, %", "pcp.voxelpose.average", ".2f"),
    ("  by actor", "pcp.voxelpose.actors", ".2f"),
    ("recall at 500 mm, %", "recall_500", ".2f"),
    ("association precision", "association.precision", ".4f"),
    ("association recall", "association.recall", ".4f"),
    ("association F1", "association.f1", ".4f"),
    ("MPJPE, mm", "mpjpe_mm", ".1f"),
    ("PA-MPJPE, mm", "pa_mpjpe_mm", ".1f"),
    ("AP at 50 mm, %", "ap.50", ".1f"),
    ("AP at 100 mm, %", "ap.100", ".1f"),
    ("id switches", "id_switches", "d"),
    ("MOTA", "mota", ".4f"),
    ("IDF1", "idf1", ".4f"),
    ("coverage, %", "coverage", ".2f"),
    ("unmatched people per frame", "unmatched_people_per_frame", ".3f"),
    ("  seen by three views", "unmatched_three_views_per_frame", ".3f"),
    ("bone length variation, %", "bone_spread_percent", ".2f"),
    ("acceleration error, m/s^2", "jitter_mps2", ".1f"),
    ("share inside the 68 % ellipsoid", "covariance_68", ".3f"),
    ("share inside the 95 % ellipsoid", "covariance_95", ".3f"),
    ("CPU s per frame", "seconds_per_frame", ".4f"),
)
_DRAWN = (
    "pcp.4da.average", "pcp.voxelpose.average", "association.f1", "mpjpe_mm", "unmatched_people_per_frame",
    "id_switches", "seconds_per_frame",
)  # fmt: skip


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write the scores of one run as JSON; SessionError if the file cannot be written."""
    write_text(path, json.dumps(result, indent=1) + "\n")


def read(paths: Sequence[str | Path]) -> dict[str, dict[str, Any]]:
    """Return the scores of files written by ``write``, by file name; InputError if one cannot be read."""
    out: dict[str, dict[str, Any]] = {}
    for path in map(Path, paths):
        try:
            held = parse_json(bounded_bytes(path))
        except (OSError, ValueError) as fault:
            why = reason_of(fault)
            raise InputError(f"{path}: cannot be read as scores ({why}); give a file of evaluate --json") from fault
        if not isinstance(held, dict) or "benchmark" not in held:
            raise InputError(f"{path}: contains no scores of a benchmark; give a file of evaluate --json")
        out[path.stem if path.stem not in out else str(path)] = held
    return out


def stages_of(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the scores of one run as two columns, refined and raw."""
    columns = {"refined" if result["raw"] else "poses": result}
    if result.get("raw"):
        columns["raw"] = {**result["raw"], "benchmark": result["benchmark"]}
    return columns


def comparison_table(results: Results) -> str:
    """Return a text table with one column per run and one line per score.

    Scores that no run has are left out; a dash marks a score that a run does not have.
    """
    lines = [["", *results]]
    if len({held.get("benchmark") for held in results.values()}) > 1:
        lines.append(["benchmark", *(str(held.get("benchmark", "-")) for held in results.values())])
    for label, key, form in _LINES:
        values = [_value(held, key) for held in results.values()]
        if any(value is not None for value in values):
            lines.append([label, *(_shown(value, form) for value in values)])
    width = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(width[0]), *(cell.rjust(size) for cell, size in zip(line[1:], width[1:], strict=True))]
        )
        for line in lines
    )


def _value(held: Mapping[str, Any], key: str) -> Any:
    value: Any = held
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _shown(value: Any, form: str) -> str:
    if isinstance(value, list):
        return " / ".join(_shown(one, form) for one in value)
    return "-" if value is None else format(int(value) if form == "d" else value, form)


def plot(results: Results, path: Path) -> None:
    """Draw the main scores as PNG, one panel per score and one bar per run; SessionError if it cannot be written."""
    import matplotlib as mpl

    with mpl.rc_context({"text.parse_math": False}):  # a $ in the name of a run is only a $
        _plot(results, path)


def _plot(results: Results, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [
        line for line in _LINES if line[1] in _DRAWN and any(_value(r, line[1]) is not None for r in results.values())
    ]
    names = list(results)
    height = 0.5 + 0.32 * len(names)
    figure = Figure(figsize=(7, max(1.5, height * len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (label, key, form) in zip(
        figure.subplots(max(len(shown), 1), 1, squeeze=False)[:, 0], shown, strict=False
    ):
        values = [_value(results[name], key) for name in names]
        bars = axes.barh(names, [value or 0 for value in values], color="#0072b2", height=0.7)
        axes.bar_label(bars, [_shown(value, form) for value in values], padding=3, fontsize=9)
        axes.set_title(label, loc="left", fontsize=10)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max([value for value in values if value] or [1]))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
