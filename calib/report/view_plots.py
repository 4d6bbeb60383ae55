"""The plot of one camera in a calibration's report: coverage, residuals, and distance and tilt of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from calib.arrays import Floats
from calib.report.plots import BLUE, INK, RED, figure_bytes, in_report_style, new_figure
from calib.report.views import ViewEvidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS = 2500  # more would only cover each other
_ARROWS = 350
_BINS = 12
_ARROW_SHARE = 0.035  # of the image's diagonal: length of the arrow of one RMS residual
_NICE = (1.0, 2.0, 5.0)


@in_report_style
def view_picture(view: ViewEvidence, dpi: int = 110) -> bytes | None:
    """Four panels of one camera: corners over the image, residual vectors, residual by radius, tilt by distance."""
    if not len(view.xy):
        return None
    # A fixed layout: the panels are the same for all cameras, and measuring every label takes as long as drawing.
    figure, panels = new_figure(6.2, 2, 2, layout=None, height_ratios=(1.25, 1))
    figure.subplots_adjust(left=0.07, right=0.975, top=0.95, bottom=0.075, wspace=0.16, hspace=0.2)
    _coverage(panels[0, 0], view)
    _vectors(panels[0, 1], view)
    _by_radius(panels[1, 0], view)
    _plot_poses(panels[1, 1], view)
    return figure_bytes(figure, "png", dpi)


def _subsample(count: int, most: int) -> Any:
    """Indices of at most `most` of `count`, the same ones every time."""
    return np.random.default_rng(0).permutation(count)[:most]


def _image(axes: Axes, view: ViewEvidence, title: str) -> None:
    width, height = view.size
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", title=title)
    axes.set_xticks([0, width])
    axes.set_yticks([0, height])
    axes.grid(visible=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _coverage(axes: Axes, view: ViewEvidence) -> None:
    """Corners over the image; cells without one are hatched."""
    counts = view.coverage().counts
    rows, columns = counts.shape
    width, height = view.size
    for row, column in np.argwhere(counts == 0):
        corner = (column * width / columns - 0.5, row * height / rows - 0.5)
        _rectangle(axes, corner, width / columns, height / rows)
    dots = view.xy[_subsample(len(view.xy), _DOTS)]
    axes.plot(*dots.T, ".", color=BLUE, markersize=3, alpha=0.5, markeredgewidth=0)
    _image(axes, view, "where corners were seen (hatched: nowhere)")


def _rectangle(axes: Axes, corner: tuple[float, float], width: float, height: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(corner, width, height, facecolor="#fbf1ef", edgecolor="#e5b8b2", hatch="///", linewidth=0))


def _vectors(axes: Axes, view: ViewEvidence) -> None:
    """Residuals as arrows, magnified: single ones faint, the mean of each cell bold."""
    fitted = view.fitted
    xy, residual = view.xy[fitted], view.residual[fitted]
    _image(axes, view, "residuals, magnified (red: mean of a cell)")
    if not len(xy):
        return
    rms = max(float(np.sqrt((residual**2).sum(-1).mean())), 1e-9)
    diagonal = float(np.hypot(*view.size))
    factor = _ARROW_SHARE * diagonal / rms
    some = _subsample(len(xy), _ARROWS)
    common: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1 / factor}
    axes.quiver(*xy[some].T, *residual[some].T, **common, color="#9db7c9", width=0.0022)
    places, means = _cell_means(view, xy, residual)
    axes.quiver(*places.T, *means.T, **common, color=RED, width=0.0042, zorder=4)
    length = _nice(0.12 * diagonal / factor)
    start, end = np.array([0.04, 0.94]) * view.size, np.array([0.04, 0.94]) * view.size + (length * factor, 0)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axes.plot(*np.stack([start, end]).T, color=INK, linewidth=2.2, solid_capstyle="butt", zorder=6)
    axes.annotate(
        f"{length:g} px",
        (float(end[0]), float(end[1])),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        bbox=box,
        zorder=6,
    )


def _cell_means(view: ViewEvidence, xy: Floats, residual: Floats) -> tuple[Floats, Floats]:
    """Mean position and mean residual of the observations in every cell that has five or more."""
    rows, columns = view.coverage().counts.shape
    cell = (xy + 0.5) / view.size * (columns, rows)
    flat = np.clip(cell[:, 1].astype(int), 0, rows - 1) * columns + np.clip(cell[:, 0].astype(int), 0, columns - 1)
    count = np.bincount(flat, minlength=rows * columns)
    enough = count >= 5

    def mean(values: Floats) -> Floats:
        return np.bincount(flat, values, rows * columns)[enough] / count[enough]

    return np.stack([mean(part) for part in xy.T], -1), np.stack([mean(part) for part in residual.T], -1)


def _nice(length: float) -> float:
    power = 10.0 ** np.floor(np.log10(length))
    return float(max((step * power for step in _NICE if step * power <= length), default=power))


def _by_radius(axes: Axes, view: ViewEvidence) -> None:
    """The radial part of the residual by distance from the principal point: a slope or a wave is a lens error."""
    radius, outward = view.radius()
    known = np.isfinite(outward)
    radius, outward = radius[known], outward[known]
    axes.set(title="residual outward, by distance from the centre", xlabel="distance / px", ylabel="outward / px")
    if len(radius) < 2:
        return
    some = _subsample(len(radius), _DOTS)
    axes.plot(radius[some], outward[some], ".", color="#9db7c9", markersize=2, markeredgewidth=0)
    edges = np.linspace(0, float(radius.max()) * (1 + 1e-9), _BINS + 1)
    at = np.searchsorted(edges, radius, "right") - 1
    count = np.bincount(at, minlength=_BINS)[:_BINS]
    mean = np.bincount(at, outward, _BINS)[:_BINS] / np.maximum(count, 1)
    spread = np.sqrt(np.bincount(at, outward**2, _BINS)[:_BINS] / np.maximum(count, 1))
    middle, enough = (edges[1:] + edges[:-1]) / 2, count >= 5
    axes.fill_between(middle[enough], -spread[enough], spread[enough], color=BLUE, alpha=0.15, linewidth=0, label="RMS")
    axes.plot(middle[enough], mean[enough], "o-", color=RED, markersize=3, label="mean")
    axes.axhline(0, color=INK, linewidth=0.7)
    corner = float(np.hypot(*view.size)) / 2
    reach = 1.15 * float(np.percentile(np.abs(outward), 99)) or 1.0
    axes.set(xlim=(0, corner), ylim=(-reach, reach))
    if enough.any():
        axes.legend(loc="upper left", ncols=2)


def _plot_poses(axes: Axes, view: ViewEvidence) -> None:
    """Distances and tilts at which the target was seen; distances alone where it has no plane."""
    distance, tilt = view.distance_m, view.tilt_deg
    axes.set_xlabel("distance / m")
    if not len(distance):
        axes.set_title("distance and tilt of the target")
        words = "not known: the camera has no pose in the rig" if not view.connected else "not known"
        axes.text(0.5, 0.5, words, ha="center", transform=axes.transAxes, color="#5b646d")
        axes.set(xticks=[], yticks=[])
        return
    if np.isfinite(tilt).any():
        axes.plot(distance, tilt, "o", color=BLUE, markersize=3.5, alpha=0.5, markeredgewidth=0)
        axes.set(ylim=(0, 90), ylabel="tilt / degrees", title="distance and tilt of the target (0: facing)")
        axes.set_yticks([0, 30, 60, 90])
    else:
        axes.hist(distance, bins=min(24, max(4, len(distance) // 4)), color=BLUE, alpha=0.7)
        axes.set(ylabel="moments", title="distance of the target")
    axes.set_xlim(0, 1.08 * float(distance.max()))
