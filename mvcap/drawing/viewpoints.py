"""Where a picture of a scene is looked at from: a viewpoint, and the paths of viewpoints that are known by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from mvcap.errors import InputError
from mvcap.structures.poses import Poses3D

CAMERA_PATHS = ("front", "side", "top", "orbit", "follow")
"""Names of the paths: three that stand still, one that turns once around the people, one that stays at them."""
_FIELD_DEG = 32.0  # vertical field of view: long enough that near people do not look like giants
_AZIMUTH_DEG = {"front": -90.0, "side": 0.0, "orbit": -60.0, "follow": -60.0}  # from which the people are looked at
_ELEVATION_DEG = {"front": 9.0, "side": 9.0, "orbit": 17.0, "follow": 15.0}
_FARTHEST_M = 15.0  # cameras further away from the people are not looked for
_FILLED = 0.8  # of the picture's half width and height, by the box of the people
_MARGIN_M = 0.25
_STATURE_M = 1.8
_NEAREST_M = 0.05  # a point nearer to the eye than this is not in the picture
_TURNS = 12  # directions for which the whole orbit must be far enough away


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A perspective view in the world frame (z up)."""

    eye: Floats
    """(3,) m."""
    target: Floats
    """(3,) m, the point in the middle of the picture."""
    field_deg: float = _FIELD_DEG
    """Vertical field of view."""

    @property
    def axes(self) -> Floats:
        """Unit vectors (3, 3) in the world, by row: to the right in the picture, down, and forward.

        z is up in the picture; of a view straight down or up, y is.
        """
        forward = (self.target - self.eye) / max(float(np.linalg.norm(self.target - self.eye)), 1e-9)
        upward = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
        right = np.cross(forward, upward)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    def focal_px(self, height: int) -> float:
        """Return the focal length of a picture of so many rows."""
        return float(height / 2 / np.tan(np.deg2rad(self.field_deg) / 2))

    def project(self, points: NDArray[np.floating], size: tuple[int, int]) -> Floats:
        """Return x px, y px and depth m (..., 3) of points (..., 3) m in a picture (w, h); NaN where behind the eye."""
        seen = (points.astype(np.float64) - self.eye) @ self.axes.T
        depth = np.where(seen[..., 2] > _NEAREST_M, seen[..., 2], np.nan)
        scale = self.focal_px(size[1]) / depth
        x, y = seen[..., 0] * scale + (size[0] - 1) / 2, seen[..., 1] * scale + (size[1] - 1) / 2
        return np.stack([x, y, depth], -1)


def people_box(chunks: Iterable[Poses3D]) -> Floats:
    """Return the box (2, 3) m, lowest and highest corner, in which people are: from the floor to above their heads.

    Of every chunk the outermost percent is left out. Without anybody it is a box of 2 m around the origin.
    """
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for chunk in chunks:
        points = chunk.xyz[np.isfinite(chunk.xyz).all(-1)].astype(np.float64)
        if len(points):
            low = np.minimum(low, np.percentile(points, 1, axis=0))
            high = np.maximum(high, np.percentile(points, 99, axis=0))
    if not np.isfinite(low).all():
        low, high = np.array([-1.0, -1.0, 0.0]), np.array([1.0, 1.0, _STATURE_M])
    low[2], high[2] = min(low[2], 0.0), max(high[2], low[2] + _STATURE_M)
    return np.stack([low - [_MARGIN_M, _MARGIN_M, 0], high + _MARGIN_M])


def viewpoint_on(
    camera_path: str,
    box: Floats,
    share: float = 0.0,
    size: tuple[int, int] = (1280, 720),
    rig: Rig | None = None,
) -> Viewpoint:
    """Return the viewpoint of a path that has a box (2, 3) m in the picture, at a share of the take from 0 to 1.

    box: of the whole take, see ``people_box``; for ``follow``, of the people at this moment. size: of the picture (w,
    h), px. rig: cameras that ``top`` has in the picture too. Only ``orbit`` depends on the share. InputError for an
    unknown path.
    """
    if camera_path not in CAMERA_PATHS:
        raise InputError(f"unknown camera path {camera_path!r}; available: {', '.join(CAMERA_PATHS)}")
    middle = box.mean(0)
    if camera_path == "top":
        if rig is not None:
            places = rig.positions[np.abs(rig.positions - middle).max(-1) < _FARTHEST_M]
            known = np.concatenate([box, places])
            box = np.stack([known.min(0), known.max(0)])
        return _fitted(np.array([0.0, 0.0, 1.0]), box.mean(0), box, size)
    azimuth, elevation = np.deg2rad(_AZIMUTH_DEG[camera_path]), np.deg2rad(_ELEVATION_DEG[camera_path])
    if camera_path != "orbit":
        return _fitted(_towards(azimuth, elevation), middle, box, size)
    turns = azimuth + 2 * np.pi * np.arange(_TURNS) / _TURNS
    distance = max(
        float(np.linalg.norm(_fitted(_towards(turn, elevation), middle, box, size).eye - middle)) for turn in turns
    )
    return Viewpoint(middle + distance * _towards(azimuth + 2 * np.pi * share, elevation), middle)


def _towards(azimuth: float, elevation: float) -> Floats:
    return np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])


def _fitted(direction: Floats, middle: Floats, box: Floats, size: tuple[int, int]) -> Viewpoint:
    """Return the nearest viewpoint in a direction from the middle that has all corners of the box in the picture."""
    at = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    corners = np.take_along_axis(box, at, axis=0)
    view = Viewpoint(middle + direction, middle)
    across = (corners - middle) @ view.axes.T
    half = _FILLED * (np.array(size) - 1) / 2
    # A corner at (x, y) across and z beyond the middle is inside where focal * |x| <= half * (distance + z).
    needed = view.focal_px(size[1]) * np.abs(across[:, :2]) / half - across[:, 2:]
    distance = max(float(needed.max()), float(-across[:, 2].min()) + 2 * _NEAREST_M)
    return Viewpoint(middle + distance * direction, middle)
