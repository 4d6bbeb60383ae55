"""A summary of a rig: lenses, positions, directions, distances, and a plot."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calib.arrays import Floats
from calib.camera import Camera, Lens
from calib.compare import fold_radius, shared_middle
from calib.report.plots import BLUE, INK, figure_bytes, in_report_style, new_figure
from calib.rig import Rig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ARROW = 0.18  # length of a camera's frustum in the plot, of the rig's width


@dataclass(frozen=True)
class CameraFacts:
    """Summary of a camera.

    focal_px (x, y); fov_deg (horizontal, vertical) with distortion, up to where the lens folds back; bent_px: largest
    displacement of the image's corners by distortion, or of what the lens shows of the image; fold_px: distance from
    its centre at which the lens folds back inside the image, None where it does not; position_m (x, y, z), z is the
    height; forward (x, y, z) unit viewing direction; heading_deg of it about z from x, tilt_deg upwards, roll_deg of
    the camera about it, clockwise from behind, 0 where the image is level, NaN where it looks straight up or down;
    middle_m: distance to the middle of the shared volume.
    """

    name: str
    size: tuple[int, int]
    model: str
    coefficients: int
    focal_px: tuple[float, float]
    fov_deg: tuple[float, float]
    bent_px: float
    fold_px: float | None
    position_m: tuple[float, float, float]
    forward: tuple[float, float, float]
    heading_deg: float
    tilt_deg: float
    roll_deg: float
    middle_m: float


@dataclass(frozen=True, eq=False)
class RigFacts:
    """Summary of all cameras; middle_m: of the volume that they share; distances_m (C, C) between them."""

    cameras: tuple[CameraFacts, ...]
    middle_m: tuple[float, float, float]
    distances_m: Floats


def facts(rig: Rig) -> RigFacts:
    """Summary of a rig."""
    middle = shared_middle(rig)
    between = np.linalg.norm(rig.positions[:, None] - rig.positions, axis=-1)
    return RigFacts(tuple(_facts(camera, middle) for camera in rig), _three(middle), between)


def _three(vector: Floats) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _facts(camera: Camera, middle: Floats) -> CameraFacts:
    lens = camera.lens
    right, down, ahead = camera.cam_from_world[:3, :3]
    level = np.cross(ahead, (0.0, 0.0, 1.0))  # to the right, if the image were level
    roll = np.degrees(np.arctan2(down @ level, right @ level)) if np.linalg.norm(level) > 1e-9 else np.nan
    return CameraFacts(
        name=camera.name,
        size=camera.size,
        model=lens.model,
        coefficients=int(lens.distortion.size),
        focal_px=(float(lens.K[0, 0]), float(lens.K[1, 1])),
        fov_deg=_fields(camera),
        bent_px=_bent_px(camera),
        fold_px=fold_radius(lens),
        position_m=_three(camera.position),
        forward=_three(ahead),
        heading_deg=float(np.degrees(np.arctan2(ahead[1], ahead[0]))),
        tilt_deg=float(np.degrees(np.arcsin(np.clip(ahead[2], -1, 1)))),
        roll_deg=float(-roll),
        middle_m=float(np.linalg.norm(camera.position - middle)),
    )


def _fields(camera: Camera) -> tuple[float, float]:
    """Horizontal and vertical angles (degrees) between the rays of the image's edges through its principal point.

    Where the lens folds back before an edge, up to the fold.
    """
    (width, height), (cx, cy) = camera.size, camera.lens.K[:2, 2]
    edges = np.array([[-0.5, cy], [width - 0.5, cy], [cx, -0.5], [cx, height - 0.5]])
    flat = _up_to_fold(camera.lens, edges)
    rays = np.concatenate([flat, np.ones((4, 1))], 1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    angles = np.degrees(np.arccos(np.clip((rays[0::2] * rays[1::2]).sum(1), -1, 1)))
    return float(angles[0]), float(angles[1])


def _bent_px(camera: Camera) -> float:
    """Largest displacement of the corners by distortion, px, or of pixels up to where the lens folds back."""
    width, height = camera.size
    lens = camera.lens
    flat = _up_to_fold(lens, np.array([[0, 0], [width, 0], [0, height], [width, height]]) - 0.5)
    straight = flat @ lens.K[:2, :2].T + lens.K[:2, 2]
    return float(np.linalg.norm(straight - lens.distort(flat), axis=1).max())


def _up_to_fold(lens: Lens, xy: Floats) -> Floats:
    """Undistorted coordinates (N, 2) of pixels (N, 2), or of the fold of the lens on the way to them."""
    flat = lens.undistort(xy)
    way = xy - lens.K[:2, 2]
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    reach = min(lens.valid_radius, 1e6)  # of a fisheye, whose pixels may lie beyond 90 degrees
    return np.where(np.isfinite(flat), flat, reach * (1 - 1e-9) * way)


@in_report_style
def picture(rig: Rig) -> bytes | None:
    """A plan and an elevation of the rig as the bytes of a PNG: cameras, fields of view, the shared middle."""
    known = facts(rig)
    figure, panels = new_figure(4.4, 1, 2)
    wide = max(float(np.ptp(rig.positions, axis=0).max()), float(np.median([one.middle_m for one in known.cameras])))
    sides = (("Plan", "x", "y"), (0, 1)), (("Elevation", "x", "z"), (0, 2))
    for axes, ((title, along, up), use) in zip(panels[0], sides, strict=True):
        _draw(axes, rig, known, use, _ARROW * wide)
        axes.set_title(title)
        axes.set_xlabel(f"{along} (m)")
        axes.set_ylabel(f"{up} (m)")
        axes.set_aspect("equal", "datalim")
        axes.margins(0.15)
    panels[0, 1].axhline(0, color=INK, linewidth=0.8)
    return figure_bytes(figure)


def _draw(axes: "Axes", rig: Rig, known: RigFacts, use: tuple[int, int], length: float) -> None:
    """The cameras seen along the third axis: each a dot, its name, and the edges of its image."""
    for camera, one in zip(rig, known.cameras, strict=True):
        where = camera.position[list(use)]
        width, height = camera.size
        cx, cy = camera.lens.K[:2, 2]
        edges = np.array([[0, 0], [width, 0], [width, height], [0, height], [cx, cy]]) - 0.5
        rays = camera.rays(edges)[1]
        tips = where + length * rays[:, list(use)]
        for tip in tips[:4]:
            axes.plot([where[0], tip[0]], [where[1], tip[1]], color=BLUE, linewidth=0.8)
        corners = tips[[0, 1, 2, 3, 0]]
        axes.plot(corners[:, 0], corners[:, 1], color=BLUE, linewidth=0.8)
        axes.plot(*where, "o", color=INK, markersize=4)
        x, y = -np.array(one.forward)[list(use)] / max(float(np.hypot(*np.array(one.forward)[list(use)])), 1e-9)
        side = "left" if x > 0.3 else "right" if x < -0.3 else "center"
        place = (float(where[0]), float(where[1]))
        axes.annotate(one.name, place, (9 * x, 11 * y), textcoords="offset points", ha=side, va="center", fontsize=9)
    middle = np.array(known.middle_m)[list(use)]
    axes.plot(*middle, "+", color=INK, markersize=9)
