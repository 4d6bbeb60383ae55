"""The plots of a calibration's report; each returns the bytes of an SVG or PNG, or None where there are no data."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from calib.arrays import Floats
from calib.calibration import Calibration
from calib.report.facts import AGREES, every_camera, plot_from_world, shape_estimated
from calib.report.glyphs import draw_all_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
INK, FAINT, BLUE, RED, GREEN = "#303030", "#d8d8d8", "#0072b2", "#b3261e", "#009e73"
WIDTH = 9.6  # inches, of a plot as wide as the page
_LABELLED = 12  # most pairs that are labelled with their number of moments
_MOMENTS = 600  # most columns of the plot of moments; more are merged
STYLE = {
    "font.size": 10, "axes.edgecolor": "#909090", "axes.labelcolor": INK, "axes.titlesize": 11,
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": FAINT, "grid.linewidth": 0.6, "xtick.color": INK, "ytick.color": INK, "text.color": INK,
    "legend.frameon": False, "legend.fontsize": 9, "svg.hashsalt": "calib", "lines.linewidth": 1.3,
    "axes.axisbelow": True,
    "text.parse_math": False,  # a $ in a name is only a $
}  # fmt: skip


def in_report_style(plot: Callable[P, bytes | None]) -> Callable[P, bytes | None]:
    """Decorate a plot to be drawn in the report's style, without changing matplotlib's settings."""

    @wraps(plot)
    def inner(*args: P.args, **kwargs: P.kwargs) -> bytes | None:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):  # type: ignore[arg-type]
            return plot(*args, **kwargs)

    return inner


def figure_bytes(figure: Figure, kind: str = "png", dpi: int = 110) -> bytes:
    """The figure as the bytes of a file; equal figures make equal files."""
    draw_all_names(figure)
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=dpi, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def new_figure(
    height: float, rows: int = 1, columns: int = 1, *, width: float = WIDTH, layout: Any = "constrained", **more: Any
) -> tuple[Figure, Any]:
    """A figure, by default as wide as the page, in inches, and its panels (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    panels = figure.subplots(rows, columns, squeeze=False, **more)
    for axes in panels.flat:
        axes.locator_params(nbins=5)
    return figure, panels


@in_report_style
def predicted_and_measured(calibration: Calibration) -> bytes | None:
    """Predicted error against that between halves, place by place, and the spread of each kind of error."""
    accuracy = calibration.accuracy
    predicted, halves = 1000 * accuracy.predicted_m, 1000 * accuracy.halves_m
    held_out = 1000 * accuracy.held_out_errors_m[np.isfinite(accuracy.held_out_errors_m)]
    both = np.isfinite(predicted) & np.isfinite(halves) & (predicted > 0) & (halves > 0)
    kinds = [
        ("predicted", predicted[np.isfinite(predicted)], BLUE),
        ("between halves", halves[np.isfinite(halves)], "#e69f00"),
        ("target, held-out moments", held_out, GREEN),
    ]
    kinds = [kind for kind in kinds if len(kind[1]) > 1]
    if not kinds:
        return None
    figure, panels = new_figure(3.4, 1, 1 + bool(both.any()))
    if both.any():
        _scatter(panels[0, 0], predicted[both], halves[both])
    axes = panels[0, -1]
    for name, values, tint in kinds:
        values = np.sort(values)
        axes.plot(values, 100 * np.arange(1, len(values) + 1) / len(values), color=tint, label=name)
    axes.set_xlabel("error / mm")
    axes.set_ylabel("places or points below it / %")
    axes.set_xlim(0, 1.1 * max(float(np.percentile(values, 97)) for _, values, _ in kinds))
    axes.set_ylim(0, 101)
    axes.set_title("distribution of the errors")
    axes.legend(loc="lower right")
    return figure_bytes(figure, "svg")


def _scatter(axes: Axes, predicted: Floats, halves: Floats) -> None:
    low, high = 0.8 * min(predicted.min(), halves.min()), 1.25 * max(predicted.max(), halves.max())
    ends = np.array([low, high])
    axes.fill_between(ends, ends / AGREES, ends * AGREES, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(ends, ends, color=INK, linewidth=0.8)
    step = -(-len(predicted) // 800)
    axes.plot(predicted[::step], halves[::step], ".", color=BLUE, markersize=3, alpha=0.6)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted / mm", ylabel="between halves / mm")
    axes.set_title(f"place by place; band: a factor of {AGREES:g}")
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        plain_log(axis, high / low)


def plain_log(axis: Any, range_of: float) -> None:
    """Ticks of a logarithmic axis as plain numbers, few enough to be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if range_of < 100 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@in_report_style
def pair_graph(calibration: Calibration) -> bytes | None:
    """Cameras on a ring, connected where they share moments; the spanning tree of the initial poses is bold."""
    names = _ring_order(calibration)
    if len(names) < 2:
        return None
    figure, panels = new_figure(4.2, width=6.4)
    axes = panels[0, 0]
    place = dict(zip(names, _ring(len(names)), strict=True))
    most = max((pair.moments for pair in calibration.pairs), default=1)
    for pair in sorted(calibration.pairs, key=lambda pair: pair.in_tree):
        if pair.a not in place or pair.b not in place:
            continue
        ends = np.stack([place[pair.a], place[pair.b]])
        tint, width = (
            (INK, 1.5 + 3.5 * pair.moments / most) if pair.in_tree else ("#8fb8d6", 0.5 + 2 * pair.moments / most)
        )
        axes.plot(*ends.T, color=tint, linewidth=width, solid_capstyle="round", zorder=2 + pair.in_tree)
        if pair.in_tree or len(calibration.pairs) <= _LABELLED:
            spot = ends[0] + (0.5 if pair.in_tree else 0.42) * (ends[1] - ends[0])
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
            axes.text(*spot, str(pair.moments), fontsize=8, ha="center", va="center", bbox=box, zorder=5)
    for name, spot in place.items():
        lost = name in calibration.unconnected or name not in calibration.rig
        axes.plot(*spot, "o", markersize=13, color=RED if lost else BLUE, markeredgecolor="white", zorder=6)
        side = "center" if abs(spot[0]) < 0.2 else "left" if spot[0] > 0 else "right"
        text = f"{name} (not connected)" if lost else name
        axes.annotate(text, 1.13 * spot, ha=side, va="center", color=RED if lost else INK, zorder=7)
    axes.set_aspect("equal")
    axes.set(xlim=(-2.1, 2.1), ylim=(-1.35, 1.35))
    axes.axis("off")
    return figure_bytes(figure, "svg")


def _ring_order(calibration: Calibration) -> list[str]:
    """The cameras in their order around the rig's middle, then those without a position."""
    turn = plot_from_world(calibration)[0]
    flat = (calibration.rig.positions @ turn.T)[:, :2]
    centred = flat - flat.mean(0)
    angle = dict(zip(calibration.rig.names, np.arctan2(centred[:, 1], centred[:, 0]).tolist(), strict=True))
    return sorted(every_camera(calibration), key=lambda name: angle.get(name, 9.0))


def _ring(count: int) -> Sequence[Floats]:
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    return list(np.stack([np.cos(angle), np.sin(angle)], -1))


@in_report_style
def moments(calibration: Calibration) -> bytes | None:
    """Points of the target that each camera saw at each moment."""
    seen, used = calibration.observations, calibration.used
    if not len(seen.moments) or not len(seen.views):
        return None
    share = used.sum(-1) / max(len(seen.target), 1)
    unused = seen.seen.any(-1) & ~used.any(-1)
    step = -(-share.shape[1] // _MOMENTS)
    starts = np.arange(0, share.shape[1], step)
    share, lost = (
        np.maximum.reduceat(share, starts, 1),
        np.logical_or.reduceat(unused, starts, 1) & ~np.logical_or.reduceat(used.any(-1), starts, 1),
    )
    figure, panels = new_figure(0.9 + 0.26 * len(seen.views))
    axes = panels[0, 0]
    extent = (-0.5, share.shape[1] * step - 0.5, len(seen.views) - 0.5, -0.5)
    shown = {"aspect": "auto", "interpolation": "nearest", "extent": extent}
    axes.imshow(np.where(share > 0, 0.25 + 0.75 * share, np.nan), cmap="Blues", vmin=0, vmax=1.35, **shown)
    axes.imshow(np.where(lost, 1.0, np.nan), cmap="Reds", vmin=0, vmax=1.4, **shown)
    axes.set_yticks(range(len(seen.views)), seen.views)
    axes.set_xlabel("moment")
    axes.grid(visible=False)
    return figure_bytes(figure)


@in_report_style
def target_shape(calibration: Calibration) -> bytes | None:
    """Differences of the first piece's estimated points from the given ones: arrows in the plane, colours across it."""
    target = calibration.observations.target
    if target.free or not shape_estimated(calibration):
        return None
    given, moved_by = target.points, calibration.points - target.points
    first = target.of_piece == 0
    given, moved_by = given[first], moved_by[first]
    size = float(np.linalg.norm(np.ptp(given, axis=0))) or 1.0
    most = float(np.linalg.norm(moved_by[:, :2], axis=-1).max())
    factor = 0.08 * size / max(most, 1e-9)
    figure, panels = new_figure(3.8, width=6.4)
    axes = panels[0, 0]
    bound = max(1000 * float(np.abs(moved_by[:, 2]).max()), 1e-6)
    spots = axes.scatter(
        *given[:, :2].T,
        c=1000 * moved_by[:, 2],
        cmap="RdBu",
        vmin=-bound,
        vmax=bound,
        s=36,
        edgecolors=INK,
        linewidths=0.4,
    )
    moved = factor * moved_by[:, :2].T
    axes.quiver(*given[:, :2].T, *moved, angles="xy", scale_units="xy", scale=1, width=0.003, color=INK)
    figure.colorbar(spots, ax=axes, label="out of the plane / mm")
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_yaxis()
    axes.set(xlabel="x / m", ylabel="y / m")
    axes.set_title(f"{target.pieces[0]}: longest arrow {1000 * most:.2g} mm")
    return figure_bytes(figure, "svg")
