"""Plots of the report, drawn from ``SeriesCollector``; each returns the bytes of one SVG or PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.report.glyphs import draw_all_names
from mvcap.drawing.colours import hexadecimal
from mvcap.reporting.series import SeriesCollector
from mvcap.structures.joint_angles import ANGLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
Kind = Literal["svg", "png"]
_INK, _FAINT = "#303030", "#d8d8d8"
_PEOPLE_AT_MOST = 12  # per plot; the people seen longest
_LINES = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b")
_LINES_AT_MOST = 8  # views as lines, which is the number of colours; more are rows of a map
_ROWS_AT_MOST = 200  # rows of views in all panels together
_ROW_IN = 0.16  # height of a row, in
_BRIGHTEST = 98  # percentile of the errors at the end of the scale of colours
_NAME_AT_MOST = 24  # letters of a view's name
_NAMES_AT_MOST = 3  # names in one label
_SEGMENTS = ("hip to hip", "hip to knee", "knee to ankle", "shoulder to elbow", "elbow to wrist")
_SIDES = {"left": ("#0072b2", "-"), "right": ("#d55e00", "--")}
_ERROR_POINTS = 300  # more points would hide the lines of other views
_BRIDGED_S = 0.5  # s; paths are drawn across gaps up to this length
_STYLE = {
    "font.size": 11, "axes.edgecolor": "#909090", "axes.labelcolor": _INK, "axes.titlesize": 12,
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": _FAINT, "grid.linewidth": 0.6, "xtick.color": _INK, "ytick.color": _INK, "text.color": _INK,
    "legend.frameon": False, "legend.fontsize": 10, "svg.hashsalt": "mvcap", "lines.linewidth": 1.3,
    "text.parse_math": False,  # a $ in a name is only a $
    "legend.handlelength": 1.6, "legend.labelspacing": 0.25, "axes.axisbelow": True,
}  # fmt: skip


def _styled(plot: Callable[P, bytes]) -> Callable[P, bytes]:
    """Decorate a plot to be drawn in the style of the report, leaving matplotlib's global settings unchanged."""

    @wraps(plot)
    def inner(*args: P.args, **kwargs: P.kwargs) -> bytes:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
            return plot(*args, **kwargs)

    return inner


@_styled
def plan_plot(series: SeriesCollector, rig: Rig | None = None, kind: Kind = "svg") -> bytes:
    """Plot the paths of people from above (x, y in m), with the cameras and their viewing directions."""
    return _trajectories(series, rig, (0, 1), kind)


@_styled
def elevation_plot(series: SeriesCollector, rig: Rig | None = None, kind: Kind = "svg") -> bytes:
    """Plot the paths of people along y (x, z in m): the height of the hips above the floor at z = 0."""
    return _trajectories(series, rig, (0, 2), kind)


@_styled
def limb_length_plot(series: SeriesCollector, kind: Kind = "svg") -> bytes:
    """Plot each limb's length over time, one panel per person, with its median and its spread in percent."""
    shown = _longest(series)
    names = [_limb_name(series, a, b) for a, b in series.skeleton.limbs.tolist()]
    figure, panels = _panels(len(shown), 2.6)
    for axes, person in zip(panels, shown, strict=True):
        for limb in sorted(range(len(names)), key=names.__getitem__):
            _limb(axes, series.time_s, series.people[person].limbs[:, limb], names[limb])
        axes.set_title(f"person {person}", color=_readable(person))
        axes.set_ylabel("length / m")
        axes.set_ylim(bottom=0)
        _legend(axes)
    return _time_axis(figure, panels, series, kind)


@_styled
def error_plot(series: SeriesCollector, views: tuple[str, ...] = (), kind: Kind = "svg") -> bytes:
    """Plot the reprojection error over time, one panel per person, by view if residuals were collected.

    A view is a line; of more than ``_LINES_AT_MOST`` views, each is a row in which the colour is the error.
    """
    shown = _longest(series)
    by_view = series.error_by_view()
    if len(views) > _LINES_AT_MOST:
        return _error_map(series, views, shown[: max(1, _ROWS_AT_MOST // len(views))], kind)
    (figure, panels), labels = _panels(len(shown), 1.9), _labels(views)
    for axes, person in zip(panels, shown, strict=True):
        lines = {labels[view]: values for view, values in by_view[person].items()} if views else {}
        for index, (name, values) in enumerate(lines.items() or [("all views", series.people[person].error_px)]):
            axes.plot(*_coarse(series.time_s, values), "-", color=_LINES[index % len(_LINES)], label=name)
        axes.set_title(f"person {person}", color=_readable(person))
        axes.set_ylabel("error / px")
        axes.set_ylim(bottom=0)
        _legend(axes)
    return _time_axis(figure, panels, series, kind)


def _error_map(series: SeriesCollector, views: tuple[str, ...], shown: list[int], kind: Kind) -> bytes:
    """Plot the errors of many views: a row per view, time along it, one panel per person, one scale of colours."""
    by_view = series.error_by_view()
    length_s = series.frames / series.rate_hz
    unknown, labels = np.full(series.samples, np.nan), _labels(views)
    maps = [
        np.stack([_coarse(series.time_s, by_view[person].get(view, unknown))[1] for view in range(len(views))])
        for person in shown
    ]
    known = np.concatenate([rows[np.isfinite(rows)] for rows in maps]) if maps else np.zeros(0)
    # The median at half of the scale at most: what is usual is not red.
    largest = float(max(np.percentile(known, _BRIGHTEST), 2 * np.median(known))) if len(known) else 1.0
    figure, panels = _panels(len(shown), _ROW_IN * len(views) + 0.45)
    for axes, person, rows in zip(panels, shown, maps, strict=True):
        picture = axes.imshow(
            rows, aspect="auto", interpolation="nearest", extent=(0, length_s, len(views) - 0.5, -0.5), vmin=0,
            vmax=largest, cmap="YlOrRd",
        )  # fmt: skip
        axes.set_facecolor(_FAINT)
        axes.grid(visible=False)
        axes.set_yticks(range(len(views)), labels, fontsize=8)
        axes.set_title(f"person {person}", color=_readable(person))
        figure.colorbar(picture, ax=axes, label="error / px", aspect=max(8, len(views)), pad=0.01, extend="max")
    return _time_axis(figure, panels, series, kind)


_PARTS = {
    "rig_px": ("rig: all joints of the view alike", "#d55e00"),
    "joint_px": ("detector: each joint in its own direction", "#56b4e9"),
    "scatter_px": ("detector: scatter", "#0072b2"),
}


@_styled
def residual_parts_plot(views: Sequence[Mapping[str, Any]], kind: Kind = "svg") -> bytes:
    """Plot the parts of each view's residuals as bars; views: those of ``residual_parts`` of a report."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 0.9 + max(len(views), 1) * 3.6 * _ROW_IN), layout="constrained")
    axes = figure.subplots()
    for number, (key, (label, colour)) in enumerate(_PARTS.items()):
        place = [view + (number - 1) * 0.26 for view in range(len(views))]
        axes.barh(place, [one[key] or 0.0 for one in views], 0.24, color=colour, label=label)
    axes.set_yticks(range(len(views)), _labels(tuple(str(one["name"]) for one in views)))
    axes.set_ylim(max(len(views), 1) - 0.5, -0.5)
    axes.set_xlabel("px")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    return _bytes(figure, kind)


@_styled
def presence_plot(series: SeriesCollector, kind: Kind = "svg") -> bytes:
    """Plot the time spans in which each person is present, one bar row per person."""
    people = series.people
    figure, (axes,) = _panels(1, max(1.2, 0.5 + 0.34 * len(people)))
    length_s = series.stride / series.rate_hz
    for row, (person, one) in enumerate(people.items()):
        spans = _spans(one.present > 0) * length_s
        bars = [(start, stop - start) for start, stop in spans.tolist()]
        axes.broken_barh(bars, (row - 0.32, 0.64), facecolors=hexadecimal(person), edgecolors="none")
    axes.set_yticks(range(len(people)), [f"person {person}" for person in people])
    axes.set_ylim(max(len(people), 1) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    return _time_axis(figure, [axes], series, kind)


@_styled
def uncertainty_plot(series: SeriesCollector, kind: Kind = "svg") -> bytes:
    """Plot the standard deviation of the joints over time, one panel per person: their median, and 95 % of them."""
    shown = _longest(series)
    figure, panels = _panels(len(shown), 1.7)
    for axes, person in zip(panels, shown, strict=True):
        sigma = series.people[person].sigma_mm
        time_s, middle = _coarse(series.time_s, sigma[:, 0])
        most = _coarse(series.time_s, sigma[:, 1])[1]
        axes.fill_between(
            time_s, 0, most, color=hexadecimal(person), alpha=0.25, linewidth=0, label="95 % of the joints"
        )
        axes.plot(time_s, middle, color=_readable(person), label="median of the joints")
        known = sigma[np.isfinite(sigma).all(-1)]
        means = f": {np.median(known[:, 0]):.0f} mm, 95 % within {np.median(known[:, 1]):.0f} mm" if len(known) else ""
        axes.set_title(f"person {person}{means}", color=_readable(person))
        axes.set_ylabel("sigma / mm")
        axes.set_ylim(0, 1.2 * float(np.nanpercentile(known[:, 1], _BRIGHTEST)) if len(known) else 1)
    if panels:
        _legend(panels[0])
    return _time_axis(figure, panels, series, kind)


@_styled
def joint_angle_plot(series: SeriesCollector, kind: Kind = "svg") -> bytes:
    """Plot the flexion of knees, elbows and hips over time, one row of panels per person, left and right together."""
    from matplotlib.figure import Figure

    shown = _longest(series)
    joints = list(dict.fromkeys(name.partition("_")[2] for name in ANGLES))
    figure = Figure(figsize=(9.6, max(len(shown), 1) * 1.7 + 0.5), layout="constrained")
    grid = figure.subplots(max(len(shown), 1), len(joints), squeeze=False, sharex=True, sharey=True)
    for row, person in zip(grid, shown, strict=False):
        for axes, joint in zip(row, joints, strict=True):
            for side, (tint, style) in _SIDES.items():
                values = series.people[person].angles_deg[:, ANGLES.index(f"{side}_{joint}")]
                axes.plot(series.time_s, values, style, color=tint, linewidth=1.1, label=side)
            axes.set_title(f"person {person}: {joint}" if axes is row[0] else joint, color=_readable(person))
        row[0].set_ylabel("flexion / °")
    grid[0, 0].set_ylim(0, 180)
    grid[0, 0].set_yticks([0, 60, 120, 180])
    grid[0, 0].set_xlim(0, max(series.frames / series.rate_hz, 1e-3))
    for axes in grid[-1]:
        axes.set_xlabel("time / s")
    _legend(grid[0, -1])
    return _bytes(figure, kind)


def _trajectories(series: SeriesCollector, rig: Rig | None, use: tuple[int, int], kind: Kind) -> bytes:
    figure, (axes,) = _panels(1, 5.2 if use == (0, 1) else 3.0)
    for person in _longest(series):
        path = _bridged(series.people[person].root, round(_BRIDGED_S * series.rate_hz / series.stride))[:, use]
        axes.plot(path[:, 0], path[:, 1], color=hexadecimal(person), label=f"person {person}", solid_capstyle="round")
        known = path[np.isfinite(path).all(-1)]
        for place, mark in zip(known[[0, -1]] if len(known) else (), "os", strict=False):
            axes.plot(*place, mark, color=hexadecimal(person), markersize=7, markeredgecolor=_INK, zorder=5)
    if rig is not None:
        _cameras(axes, rig, use)
    if use == (0, 2):
        axes.axhline(0, color=_INK, linewidth=1)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12, 0.08)
    axes.set_xlabel("x / m")
    axes.set_ylabel("xyz"[use[1]] + " / m")
    _legend(axes, "circle: start\nsquare: end")
    return _bytes(figure, kind)


def _cameras(axes: Axes, rig: Rig, use: tuple[int, int]) -> None:
    """Draw each camera as a triangle that opens in its viewing direction, with its name behind it."""
    places = rig.positions[:, use]
    directions = rig.cam_from_world[:, 2, :3][:, use]
    reach = 0.05 * max(float(np.ptp(rig.positions[:, :2], axis=0).max()), 1.0)
    named: list[int] = []
    for index, (place, direction) in enumerate(zip(places, directions, strict=True)):
        across = np.array([-direction[1], direction[0]]) / max(float(np.linalg.norm(direction)), 1e-9)
        tip = place + 1.4 * reach * direction
        corners = np.stack([place, tip + 0.6 * reach * across, tip - 0.6 * reach * across, place])
        axes.fill(corners[:, 0], corners[:, 1], facecolor="#bdbdbd", edgecolor=_INK, linewidth=0.8)
        # One label for cameras that overlap in the plot; from the side many overlap, and the plan names them all.
        if index not in named and (use == (0, 1) or len(places) <= _LINES_AT_MOST):
            same = [at for at in range(len(places)) if np.linalg.norm(places[at] - place) < reach]
            text = ", ".join(_short(rig.names[at]) for at in same[:_NAMES_AT_MOST])
            text += f" and {len(same) - _NAMES_AT_MOST} more" if len(same) > _NAMES_AT_MOST else ""
            away = (0, 9) if use == (0, 2) else (-8 * direction[0], -14 * direction[1] - 3)
            size = 9 if len(places) <= 2 * _LINES_AT_MOST else 7
            axes.annotate(text, place, xytext=away, textcoords="offset points", ha="center", fontsize=size)
            named += same


def _limb(axes: Axes, time_s: NDArray[np.float64], lengths: NDArray[np.float64], name: str) -> None:
    known = lengths[np.isfinite(lengths)]
    if not len(known):
        return
    segment, _, side = name.partition(", ")
    tint = _LINES[_SEGMENTS.index(segment) if segment in _SEGMENTS else -1]
    middle, spread = float(np.median(known)), float(known.std() / known.mean())
    width, alpha = (1.0, 0.5) if side == "right" else (1.4, 0.95)
    axes.plot(time_s, lengths, color=tint, label=f"{name}  {middle:.2f} m ± {spread:.1%}", linewidth=width, alpha=alpha)
    axes.axhline(middle, color=tint, linewidth=0.8, linestyle=":")


def _limb_name(series: SeriesCollector, a: int, b: int) -> str:
    joints = series.skeleton.joints
    side, _, start = joints[a].partition("_")
    return f"{start} to {joints[b].removeprefix(f'{side}_')}, {side}" if side in joints[b] else "hip to hip"


def _longest(series: SeriesCollector) -> list[int]:
    """Return the ids of the people seen longest, in ascending order."""
    people = series.people
    return sorted(sorted(people, key=lambda person: -float(people[person].present.sum()))[:_PEOPLE_AT_MOST])


def _coarse(
    time_s: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average neighbouring points so that at most ``_ERROR_POINTS`` remain."""
    step = max(1, -(-len(values) // _ERROR_POINTS))
    starts = np.arange(0, len(values), step)
    known = np.isfinite(values)
    count = np.add.reduceat(known, starts, dtype=np.int64)
    total = np.add.reduceat(np.where(known, values, 0), starts)
    return time_s[starts], np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _bridged(path: NDArray[np.float64], gap: int) -> NDArray[np.float64]:
    """Return the path (N, D) with gaps of at most ``gap`` points interpolated linearly."""
    out = path.copy()
    for start, stop in _spans(np.asarray(np.isnan(path).any(-1))).tolist():
        if start > 0 and stop < len(path) and stop - start <= gap:
            share = np.arange(1, stop - start + 1)[:, None] / (stop - start + 1)
            out[start:stop] = path[start - 1] + share * (path[stop] - path[start - 1])
    return out


def _spans(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the starts and ends (K, 2), end exclusive, of the runs of True."""
    padded = np.concatenate([[False], mask, [False]])
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)


def _short(name: str) -> str:
    """A name with its middle left out if it would take the plot's place."""
    if len(name) <= _NAME_AT_MOST:
        return name
    half = (_NAME_AT_MOST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _labels(names: tuple[str, ...]) -> list[str]:
    """Short names that are still different from each other."""
    short = [_short(name) for name in names]
    return [one if short.count(one) == 1 else f"{number} {one}" for number, one in enumerate(short, 1)]


def _readable(person: int) -> str:
    """Return the person's colour, darkened for text on white."""
    value = hexadecimal(person)
    return "#" + "".join(f"{int(int(value[i : i + 2], 16) * 0.65):02x}" for i in (1, 3, 5))


def _legend(axes: Axes, title: str | None = None) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title=title)


def _panels(count: int, height: float) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, max(count, 1) * height + 0.5), layout="constrained")
    return figure, list(figure.subplots(max(count, 1), 1, squeeze=False, sharex=True)[:count, 0])


def _time_axis(figure: Figure, panels: list[Any], series: SeriesCollector, kind: Kind) -> bytes:
    if panels:
        panels[-1].set_xlabel("time / s")
        panels[-1].set_xlim(0, max(series.frames / series.rate_hz, 1e-3))
    return _bytes(figure, kind)


def _bytes(figure: Figure, kind: Kind) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}  # no date, so that the same take gives identical files
    draw_all_names(figure)
    figure.savefig(buffer, format=kind, dpi=130, facecolor="white", metadata=metadata)
    return buffer.getvalue()
