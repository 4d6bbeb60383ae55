"""Floor maps of planned rigs: expected error, views of a joint, views of the whole body, with cameras and obstacles."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from calib import Rig
from calib.arrays import Floats
from mvcap.rig_design.expected_accuracy import PlanFigures
from mvcap.rig_design.plan_request import PlanRequest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REACH_M = 1.1  # length of the lines that show a field of view
_TITLES = ("expected error of a joint, mm", "views that show a joint", "views of the whole body")
_CROWDED_M = 1.5  # names of cameras nearer than this stand above each other
_WIDE_IN, _HEAD_IN, _MOST_IN = 5.2, 0.3, 8.0


def floor_maps(request: PlanRequest, layouts: Sequence[tuple[str, Rig, PlanFigures]]) -> bytes:
    """Return a PNG: a row for each layout (name, rig, figures), maps of one kind on one scale of colours."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    low, high = _extent(request, [rig for _, rig, _ in layouts])
    shape = min(max(float((high - low)[1] / (high - low)[0]), 0.3), 1.4)
    with mpl.rc_context({"font.size": 9, "axes.titlelocation": "left", "text.parse_math": False}):
        figure = Figure((3 * _WIDE_IN, len(layouts) * min(_WIDE_IN * shape + _HEAD_IN, _MOST_IN)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(layouts), 3, squeeze=False)
        scales = _scales([figures for _, _, figures in layouts], max(len(rig) for _, rig, _ in layouts))
        for row, (name, rig, figures) in zip(panels, layouts, strict=True):
            maps = figures.error_map_mm, figures.view_map, figures.whole_map
            for axes, values, title, (lowest, highest, colours) in zip(row, maps, _TITLES, scales, strict=True):
                shown = _tiles(axes, figures, values, lowest, highest, colours)
                _draw_room(axes, request, rig)
                axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xlabel="x, m", ylabel="y, m")
                axes.set_title(f"{name}: {title}" if len(layouts) > 1 else title)
                figure.colorbar(shown, ax=axes, shrink=0.8)
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=90, metadata={"Software": None})
    return held.getvalue()


def _scales(figures: Sequence[PlanFigures], cameras: int) -> list[tuple[float, float, str]]:
    """Lowest and highest value, and colours, of the three maps."""
    errors = np.concatenate([one.error_map_mm for one in figures])
    errors = errors[np.isfinite(errors)]
    ends = np.percentile(errors, (0, 98)) if len(errors) else np.array([0.0, 1.0])
    return [(float(ends[0]), float(max(ends[1], ends[0] + 1.0)), "viridis_r"), *[(0.0, float(cameras), "cividis")] * 2]


def _tiles(axes: Axes, figures: PlanFigures, values: Floats, low: float, high: float, colours: str) -> Any:
    """Draw a square for each place; those without a value are grey."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    places = figures.crowds.places
    sides = [_step(places[:, axis], figures.crowds.spacing_m) for axis in (0, 1)]
    squares = [Rectangle((x - sides[0] / 2, y - sides[1] / 2), *sides) for x, y in places]
    shown = PatchCollection(squares, cmap=colours, edgecolor="face", linewidth=0.3)
    shown.set_array(np.ma.masked_invalid(values))
    shown.set_clim(low, high)
    shown.cmap.set_bad("#d0d0d0")
    axes.add_collection(shown)
    return shown


def _step(values: Floats, otherwise: float) -> float:
    steps = np.diff(np.unique(values.round(6)))
    return float(steps.min()) if len(steps) else otherwise


def _draw_room(axes: Axes, request: PlanRequest, rig: Rig) -> None:
    from matplotlib.patches import Rectangle

    width, depth, _ = request.room_m
    axes.add_patch(Rectangle((-width / 2, -depth / 2), width, depth, fill=False, edgecolor="#303030", linewidth=1.4))
    for low, high in request.boxes():
        size = high - low
        axes.add_patch(
            Rectangle((low[0], low[1]), size[0], size[1], facecolor="#808080", edgecolor="#303030", hatch="//")
        )
    shown: list[Floats] = []
    for camera in rig:
        x, y, z = camera.position
        corners = np.array([[0, camera.size[1] / 2], [camera.size[0] - 1, camera.size[1] / 2]])
        _, ways = camera.rays(corners)
        for way in ways[np.isfinite(ways).all(-1), :2]:
            away = way / max(float(np.hypot(*way)), 1e-6) * _REACH_M
            axes.plot([x, x + away[0]], [y, y + away[1]], color="#d55e00", linewidth=1.0, clip_on=False)
        axes.plot(x, y, "o", color="#d55e00", markersize=4, clip_on=False)
        rank = sum(np.hypot(*(camera.position - other)[:2]) < _CROWDED_M for other in shown)
        shown.append(camera.position)
        side, beyond = ("right" if x > 0 else "left"), (1 if y > 0 else -1)
        axes.annotate(f"{camera.name} {z:.1f} m", (x, y), (0, beyond * (7 + 8 * rank)), ha=side, va="center",
                      textcoords="offset points", fontsize=7)  # fmt: skip


def _extent(request: PlanRequest, rigs: Sequence[Rig]) -> tuple[Floats, Floats]:
    """Low and high corner (2,) m of what is drawn: the room, and cameras outside it."""
    half = np.array(request.room_m[:2]) / 2
    points = np.concatenate([[-half, half], *(rig.positions[:, :2] for rig in rigs)])
    return points.min(0) - 0.6, points.max(0) + 0.6
