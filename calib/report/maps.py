"""The maps of a calibration's report: error by place, with the cameras. Each returns the bytes of a PNG, or None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.calibration import Calibration
from calib.report.facts import plot_from_world
from calib.report.plots import INK, WIDTH, figure_bytes, in_report_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ERROR, _COUNT = "YlGnBu", "Purples"  # lighter is less
_LEAST_SPAN_M = 1.0  # of a map without any place
_LEVELS = 12  # distinct heights up to which places count as a grid
_NAMED = 8  # most cameras whose names are also in the small panels from the side


@dataclass(frozen=True)
class _Cells:
    """Places sorted into cells of a grid: at (G, 3) cell indices; edges, an array an axis, m."""

    at: NDArray[np.intp]
    edges: tuple[Floats, ...]

    def levels(self) -> list[int]:
        """Up to three heights that hold places, low to high."""
        there = np.unique(self.at[:, 2])
        return sorted({int(there[round(share * (len(there) - 1))]) for share in (0.1, 0.5, 0.9)})

    def height(self, level: int) -> float:
        """The middle of a height, m."""
        return float(self.edges[2][level : level + 2].mean())

    def map(self, values: Floats, use: tuple[int, int], keep: NDArray[np.bool_] | None = None) -> Floats:
        """RMS of the values (G,) along the third axis in each cell of two axes, (rows, columns); NaN where empty."""
        known = np.isfinite(values) & (True if keep is None else keep)
        shape = len(self.edges[use[1]]) - 1, len(self.edges[use[0]]) - 1
        flat = self.at[known, use[1]] * shape[1] + self.at[known, use[0]]
        total = np.bincount(flat, values[known] ** 2, shape[0] * shape[1])
        count = np.bincount(flat, minlength=shape[0] * shape[1])
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return np.asarray(np.sqrt(mean).reshape(shape))


def _cells(places: Floats) -> _Cells:
    parts = [_axis_cells(column, len(places)) for column in places.T]
    return _Cells(np.stack([at for at, _ in parts], -1), tuple(edges for _, edges in parts))


def _axis_cells(values: Floats, count: int) -> tuple[NDArray[np.intp], Floats]:
    """Index (G,) and edges of the cells along one axis: the places' own levels where they have few."""
    levels = np.unique(values.round(6))
    if len(levels) > max(_LEVELS, 3 * round(count ** (1 / 3))):
        edges = np.linspace(values.min(), values.max(), max(3, round(count ** (1 / 3))) + 1)
        return np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 2), edges
    gaps = np.diff(levels)
    half = (float(gaps.min()) if len(gaps) else 0.2) / 2
    # Levels on a lattice, so that a level without places is a gap in the plot and not a wide cell.
    at = np.rint((values - levels[0]) / (2 * half)).astype(np.intp)
    return at, levels[0] + half * (2 * np.arange(at.max() + 2) - 1)


@in_report_style
def volume_map(calibration: Calibration) -> bytes | None:
    """Predicted error by place from above and from two sides, with the cameras and their directions."""
    turn, level = plot_from_world(calibration)
    figure, panels = new_figure(5.6, 2, 2, width_ratios=(1.45, 1))
    grid = panels[0, 0].get_gridspec()
    for axes in panels[:, 0]:
        axes.remove()
    accuracy = calibration.accuracy
    places = accuracy.places @ turn.T
    known = np.isfinite(accuracy.predicted_m)
    mesh = None
    title = "from above" if level else "from above (level as the cameras are)"
    views = ((figure.add_subplot(grid[:, 0]), (0, 1)), (panels[0, 1], (0, 2)), (panels[1, 1], (1, 2)))
    for axes, use in views:
        if known.any():
            mesh = _mesh(axes, _cells(places), 1000 * accuracy.predicted_m, use, _limits(accuracy.predicted_m))
        else:
            middle = (calibration.rig.positions @ turn.T).mean(0)[list(use)]
            axes.update_datalim([middle - _LEAST_SPAN_M / 2, middle + _LEAST_SPAN_M / 2])
        _cameras(axes, calibration, turn, use)
        axes.use_sticky_edges = False
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.16, 0.14)
        axes.set_xlabel(f"{'xy'[use[0]]} / m")
        axes.set_ylabel(f"{'xyz'[use[1]]} / m")
        axes.set_title({(0, 1): title, (0, 2): "from the side, along y", (1, 2): "from the side, along x"}[use])
    if mesh is not None:
        figure.colorbar(mesh, ax=[view[0] for view in views], label="predicted error / mm", extend="max", shrink=0.7)
    return figure_bytes(figure)


@in_report_style
def slices(calibration: Calibration) -> bytes | None:
    """Slices of the shared volume at three heights: predicted error, and how many cameras share each place."""
    accuracy = calibration.accuracy
    if not len(accuracy.places):
        return None
    places = accuracy.places @ plot_from_world(calibration)[0].T
    cells = _cells(places)
    levels = cells.levels()
    known = bool(np.isfinite(accuracy.predicted_m).any())
    height = _panel_height(places, len(levels))
    figure, panels = new_figure(0.3 + height * (1 + known), 1 + known, len(levels), sharex=True, sharey=True)
    most = int(accuracy.shared_by.max())
    for column, level in enumerate(levels):
        keep = cells.at[:, 2] == level
        at = f"z = {cells.height(level):.2f} m"
        if known:
            top = panels[0, column]
            error = _mesh(top, cells, 1000 * accuracy.predicted_m, (0, 1), _limits(accuracy.predicted_m), keep)
            top.set_title(at)
        bottom = panels[-1, column]
        shared = cells.map(accuracy.shared_by.astype(np.float64), (0, 1), keep)
        colours = _steps(_COUNT, most + 1)
        count = bottom.pcolormesh(*cells.edges[:2], shared, cmap=colours, vmin=-0.5, vmax=most + 0.5)
        bottom.set_title("" if known else at)
        bottom.set_xlabel("x / m")
    for axes in panels.flat:
        axes.set_aspect("equal", adjustable="box")
        axes.grid(visible=False)
    for axes in panels[:, 0]:
        axes.set_ylabel("y / m")
    if known:
        figure.colorbar(error, ax=list(panels[0]), label="predicted error / mm", extend="max")
    ticks = np.unique(np.linspace(0, most, min(most, 8) + 1).round())
    figure.colorbar(count, ax=list(panels[-1]), label="cameras that share a place", ticks=ticks)
    return figure_bytes(figure)


def _panel_height(places: Floats, columns: int) -> float:
    """Height in inches of a panel that shows places from above, `columns` side by side."""
    wide, high = np.maximum(np.ptp(places[:, :2], axis=0), 0.1)
    return float(np.clip(0.8 * WIDTH / columns * high / wide, 1.2, 3.6)) + 0.45


def _mesh(
    axes: Axes,
    cells: _Cells,
    values: Floats,
    use: tuple[int, int],
    limits: float,
    keep: NDArray[np.bool_] | None = None,
) -> Any:
    table = cells.map(values, use, keep)
    return axes.pcolormesh(cells.edges[use[0]], cells.edges[use[1]], table, cmap=_ERROR, vmin=0, vmax=limits)


def _limits(error_m: Floats) -> float:
    """Upper end of the colour scale, mm, robust to a few bad places at the rim."""
    return 1000 * float(np.nanpercentile(error_m, 95)) * 1.05 or 1e-3


def _steps(name: str, count: int) -> Any:
    """`count` colours, none of them very dark."""
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    return ListedColormap(mpl.colormaps[name](np.linspace(0.03, 0.72, count)))


def _cameras(axes: Axes, calibration: Calibration, turn: Floats, use: tuple[int, int]) -> None:
    """Each camera as a triangle that opens in its viewing direction, with its name; names avoid each other.

    In the small panels from the side, a name that would cover another camera or its name is left out.
    """
    rig = calibration.rig
    places = (rig.positions @ turn.T)[:, use]
    looks = (rig.cam_from_world[:, 2, :3] @ turn.T)[:, use]
    around = np.concatenate([places, (calibration.accuracy.places @ turn.T)[:, use]])
    span = max(float(np.ptp(around, axis=0).max()), 1.0)
    reach = 0.045 * span
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.65, "pad": 0.6}
    line, letter = (0.045, 0.0145) if use[1] == 1 else (0.085, 0.026)  # of the span; panels from the side are smaller
    taken: list[tuple[float, float, float]] = []
    named = use[1] == 1 or len(rig) <= _NAMED
    for name, place, look in zip(rig.names, places, looks, strict=True):
        across = np.array([-look[1], look[0]]) / max(float(np.linalg.norm(look)), 1e-9)
        tip = place + 1.4 * reach * look
        corners = np.stack([place, tip + 0.6 * reach * across, tip - 0.6 * reach * across, place])
        axes.fill(corners[:, 0], corners[:, 1], facecolor="#f4d9a6", edgecolor=INK, linewidth=0.8, zorder=4)
        if not named:
            continue
        away = -1.6 * line * span * look if use[1] == 1 else np.array([0, 0.9 * line * span])
        x, y, half = float(place[0] + away[0]), float(place[1] + away[1]), 0.5 * letter * span * (len(name) + 1)
        others = [(float(a), float(b), 0.5 * reach) for a, b in places if (a, b) != tuple(place)]
        if use[1] == 2 and any(_near((x, y, half), other, 0.8 * line * span) for other in [*taken, *others]):
            continue
        while any(_near((x, y, half), other, line * span) for other in taken):
            y += 0.5 * line * span
        taken.append((x, y, half))
        axes.text(x, y, name, ha="center", va="center", fontsize=8 if len(rig) <= 8 else 7, bbox=box, zorder=5)


def _near(one: tuple[float, float, float], other: tuple[float, float, float], height: float) -> bool:
    """Whether two labels (x, y, half their width) of a height overlap."""
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < height


@in_report_style
def measured_by_place(calibration: Calibration) -> bytes | None:
    """Predicted error, that between halves, and that of held-out board points, each from above on one scale."""
    accuracy, turn = calibration.accuracy, plot_from_world(calibration)[0]
    kinds = [
        ("predicted", accuracy.places, accuracy.predicted_m),
        ("between halves", accuracy.places, accuracy.halves_m),
        ("target, held-out moments", accuracy.held_out_places, accuracy.held_out_errors_m),
    ]
    kinds = [kind for kind in kinds if np.isfinite(kind[2]).any()]
    if len(kinds) < 2:
        return None
    height = 0.3 + _panel_height(accuracy.places @ turn.T, len(kinds))
    figure, panels = new_figure(height, 1, len(kinds), sharex=True, sharey=True)
    limits = max(_limits(values) for _, _, values in kinds)
    for axes, (title, places, values) in zip(panels[0], kinds, strict=True):
        known = np.isfinite(values) & np.isfinite(places).all(-1)
        mesh = _mesh(axes, _cells(places[known] @ turn.T), 1000 * values[known], (0, 1), limits)
        axes.set_aspect("equal", adjustable="box")
        axes.set(title=title, xlabel="x / m")
    panels[0, 0].set_ylabel("y / m")
    figure.colorbar(mesh, ax=list(panels[0]), label="error / mm", extend="max")
    return figure_bytes(figure)
