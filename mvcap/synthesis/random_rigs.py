"""Random rigs in typical arrangements, and the same rigs with calibration errors.

The cameras look at a shared volume about the origin, on a floor at z = 0; metres, z up.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Lens, Rig
from calib.arrays import Floats
from calib.geometry import pose, rotation_from_vector

_SIZES = ((360, 288), (640, 480), (1032, 776), (1280, 720), (1920, 1080), (2704, 2028), (3840, 2160))
_SIZE_SHARES = (0.06, 0.16, 0.14, 0.22, 0.26, 0.06, 0.1)
_PORTRAIT = 0.2
"""Share of the rigs with a camera in portrait orientation."""
_ONE_LENS = 0.6
"""Share of the rigs whose cameras are all of one model."""
_FIELD_DEG = ((32.0, 48.0), (50.0, 78.0), (80.0, 112.0))
"""Field of view along the longer side of the picture: tele, normal, wide."""
_FIELD_SHARES = (0.2, 0.5, 0.3)
_FISHEYE = 0.15
"""Share of the wide lenses that follow the fisheye model."""
_ROOM_M = (3.0, 8.0)
_HEIGHT_M = (0.5, 3.2)
_LEAST_SEEN_M = 1.3
"""Least half width of the view at the middle of the room, along the shorter side of the picture."""
_CAMERA_COUNT, _CAMERA_SHARE = np.arange(2, 17), np.array([8, 13, 19, 18, 12, 8, 7, 3, 3, 1.5, 2, 0.7, 0.7, 0.6, 1.0])


def camera_count(rng: np.random.Generator, least: int = 2, most: int = 16) -> int:
    """Return a random number of cameras: about five on average, small rigs frequent, many cameras rare."""
    share = np.where((least <= _CAMERA_COUNT) & (most >= _CAMERA_COUNT), _CAMERA_SHARE, 0.0)
    return int(rng.choice(_CAMERA_COUNT, p=share / share.sum())) if share.any() else least


def random_rig(rng: np.random.Generator, cameras: int | None = None) -> Rig:
    """Return a random rig of ``cameras`` cameras or a random number: on a ring, along walls, in corners, on tripods."""
    count = camera_count(rng) if cameras is None else cameras
    width = float(rng.uniform(*_ROOM_M))
    layout = rng.choice(["ring", "arc", "corners", "mixed"], p=[0.35, 0.25, 0.2, 0.2])
    places = _PLACES[str(layout)](rng, count, width)
    same, kind = rng.random() < _ONE_LENS, _random_optics(rng)
    on_side = rng.random() < _PORTRAIT
    cams = []
    for index, position in enumerate(places):
        size, field, fisheye = kind if same else _random_optics(rng)
        if on_side and (same or rng.random() < 0.5):
            size = size[::-1]
        aim = np.array([*rng.normal(0, 0.08 * width, 2), rng.uniform(0.7, 1.2)])
        least = 2 * np.arctan(_LEAST_SEEN_M / np.linalg.norm(position - aim) * max(size) / min(size))
        field = float(np.clip(field * rng.uniform(0.96, 1.04), min(least, 2.1), 2.1))
        lens = _lens(rng, f"cam{index + 1:02d}", size, field, fisheye)
        cams.append(Camera(lens, _look_at(position, aim, rng.normal(0, np.deg2rad(2)))))
    return Rig(tuple(cams), source=f"generated: {layout}, {count} cameras, room of {width:.1f} m")


def random_calibration_error(rng: np.random.Generator) -> tuple[float, float]:
    """Random errors of a calibration, degrees and metres: mostly 0.05 to 0.2 degrees, rarely up to 1."""
    turned = float(np.exp(rng.normal(np.log(0.1), 0.5)) if rng.random() < 0.85 else rng.uniform(0.2, 1.0))
    return turned, turned * float(rng.uniform(0.01, 0.05))


def disturb_rig(rng: np.random.Generator, rig: Rig, turned_deg: float, moved_m: float) -> Rig:
    """Return the rig with random calibration errors: every camera turned and moved.

    The numbers are standard deviations about, and along, each axis for an average camera; some cameras are better and
    some worse. Focal lengths get an error that moves the edge of the picture about as much as the rotation does. A
    shift of a camera does not rotate it.
    """
    cameras = []
    for camera in rig:
        scale = np.exp(rng.normal(0, 0.4))
        R, angle = camera.cam_from_world[:3, :3], np.deg2rad(turned_deg) * scale
        R = rotation_from_vector(rng.normal(0, angle, 3)) @ R
        position = camera.position + rng.normal(0, moved_m * scale, 3)
        K = np.array(camera.lens.K)
        K[[0, 1], [0, 1]] *= 1 + rng.normal(0, angle * np.hypot(*K[[0, 1], [0, 1]]) / np.hypot(*camera.size))
        cameras.append(Camera(replace(camera.lens, K=K), pose(R, -R @ position)))
    return Rig(tuple(cameras), source=rig.source)


def shared_volume(rig: Rig, height_m: float = 1.0, reach_m: float = 15.0) -> tuple[Floats, float]:
    """Centre (2,) and radius, m, of the area that the rig sees best at this height, within ``reach_m`` of its cameras.

    It is the area that 60 % of the cameras (at least two, or as many as see any place together) share; where there is
    none, the mean position of the cameras and 1 m.
    """
    around = np.arange(-reach_m, reach_m + 0.1, 0.5 if reach_m > 8 else 0.25)
    centre = rig.positions[:, :2].mean(0)
    x, y = np.meshgrid(around + centre[0], around + centre[1])
    grid = np.stack([x.ravel(), y.ravel(), np.full(x.size, height_m)], -1)
    seen = in_picture(rig, grid).sum(0)
    some = seen >= min(max(2, int(np.ceil(0.6 * len(rig)))), len(rig), max(int(seen.max()), 1))
    near = np.linalg.norm(grid[:, None] - rig.positions, axis=-1).mean(1)
    some &= near < 1.5 * max(float(near[some].min()), 2.0) if some.any() else some
    if not some.any():
        return centre, 1.0
    area = float(some.sum()) * (around[1] - around[0]) ** 2
    return np.asarray(grid[some, :2].mean(0)), float(np.sqrt(area / np.pi))


def in_picture(rig: Rig, points: Floats) -> NDArray[np.bool_]:
    """Whether each camera's picture shows points (..., 3) m -> (C, ...)."""
    xy = rig.project(points)
    last = np.array([camera.size for camera in rig]).reshape(len(rig), *[1] * (xy.ndim - 2), 2) - 0.5
    with np.errstate(invalid="ignore"):
        return np.asarray(((xy > -0.5) & (xy < last)).all(-1))


# --- camera positions ------------------------------------------------------------------------------------------------


def _ring(rng: np.random.Generator, count: int, width: float) -> Floats:
    """Around the volume, about evenly, at one height or at several."""
    span = 2 * np.pi if count > 3 else rng.uniform(0.5, 1.3) * np.pi * (count - 1) / 2
    step = span / (count if count > 3 else count - 1) if count > 1 else 0.0
    angle = rng.uniform(0, 2 * np.pi) + step * (np.arange(count) + rng.uniform(-0.25, 0.25, count))
    return _around(rng, angle, width / 2 * rng.uniform(0.9, 1.3, count) + 0.6)


def _arc(rng: np.random.Generator, count: int, width: float) -> Floats:
    """Along one wall, or on an arc about the volume, all on one side of it."""
    span = rng.uniform(0.35, 1.0) * np.pi * min(1.0, 0.5 + count / 8)
    angle = rng.uniform(0, 2 * np.pi) + np.linspace(-0.5, 0.5, count) * span + rng.normal(0, 0.05, count)
    way = width / 2 + rng.uniform(0.5, 1.5)
    straight = rng.random() < 0.5
    middle = angle.mean()
    return _around(rng, angle, np.minimum(way / np.cos(np.clip(angle - middle, -1.1, 1.1)) if straight else way, 7.0))


def _corners(rng: np.random.Generator, count: int, width: float) -> Floats:
    """Under the ceiling in the corners of the room, then at the middles of its walls, then anywhere along them."""
    long = width * rng.uniform(0.7, 1.0)
    corner = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1], [1, 0], [-1, 0], [0, 1], [0, -1]], float)
    extra = rng.uniform(-1, 1, (max(count - 8, 0), 2))
    extra /= np.maximum(np.abs(extra).max(-1, keepdims=True), 1e-6)
    order = rng.permutation(4) if count < 4 else np.arange(4)
    flat = np.concatenate([corner[order], corner[4:], extra])[:count] * np.array([width, long]) / 2 * 1.1
    flat *= np.maximum(1.0, 1.8 / np.linalg.norm(flat, axis=-1, keepdims=True))
    return np.column_stack([flat + rng.normal(0, 0.1, flat.shape), rng.uniform(2.2, 3.2) + rng.normal(0, 0.1, count)])


def _mixed(rng: np.random.Generator, count: int, width: float) -> Floats:
    """On tripods anywhere: any direction, no two cameras in the same place."""
    angle = rng.uniform(0, 2 * np.pi, 1)
    while len(angle) < count:
        more = rng.uniform(0, 2 * np.pi, 8)
        apart = np.abs((more[:, None] - angle + np.pi) % (2 * np.pi) - np.pi).min(-1)
        angle = np.append(angle, more[int(apart.argmax()) if rng.random() < 0.5 else 0])
    return _around(rng, angle, rng.uniform(0.45, 0.8, count) * width + 0.6)


_PLACES = {"ring": _ring, "arc": _arc, "corners": _corners, "mixed": _mixed}


def _around(rng: np.random.Generator, angle: Floats, way: Floats | float) -> Floats:
    """Positions (C, 3) in these directions, at distances ``way`` from the middle, at one height or at several."""
    way = np.maximum(way, 1.8)
    base = rng.uniform(*_HEIGHT_M)
    spread = rng.choice([0.05, 0.3, 1.0])
    height = np.clip(base + rng.normal(0, spread, len(angle)), *_HEIGHT_M)
    return np.column_stack([way * np.cos(angle), way * np.sin(angle), height])


def _look_at(position: Floats, aim: Floats, roll: float) -> Floats:
    """Pose (4, 4) of a camera at a position that looks at a point, upright apart from the roll, rad."""
    z = (aim - position) / np.linalg.norm(aim - position)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    R = rotation_from_vector(np.array([0.0, 0.0, roll])) @ np.stack([x, np.cross(z, x), z])
    return np.asarray(pose(R, -R @ position))


# --- lenses ----------------------------------------------------------------------------------------------------------


def _random_optics(rng: np.random.Generator) -> tuple[tuple[int, int], float, bool]:
    """Size (w, h) px, field of view of the longer side, rad, and whether the lens is a fisheye."""
    size = _SIZES[int(rng.choice(len(_SIZES), p=_SIZE_SHARES))]
    kind = int(rng.choice(3, p=_FIELD_SHARES))
    return size, float(np.deg2rad(rng.uniform(*_FIELD_DEG[kind]))), bool(kind == 2 and rng.random() < _FISHEYE)


def _lens(rng: np.random.Generator, name: str, size: tuple[int, int], field: float, fisheye: bool) -> Lens:
    """Return a lens of this field of view, with distortion that never folds within the picture."""
    half = max(size) / 2
    focal = half / (field / 2 if fisheye else np.tan(field / 2))
    shift = rng.normal(0, 0.01, 2) * size
    K = np.array([[focal, 0, size[0] / 2 + shift[0]], [0, focal * (1 + rng.normal(0, 0.002)), size[1] / 2 + shift[1]],
                  [0, 0, 1]])  # fmt: skip
    if fisheye:
        return Lens(name, size, K, np.append(rng.normal(0, (0.03, 0.01)), (0.0, 0.0)), "fisheye")
    k1 = rng.choice([0.0, rng.normal(-0.06, 0.05), rng.uniform(-0.33, -0.1)], p=[0.2, 0.5, 0.3])
    bent = np.array([k1, -0.35 * k1 * rng.uniform(0.4, 1.0), *rng.normal(0, 0.001, 2), 0.0])
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (np.array(size) - 1.0)
    lens = Lens(name, size, K, bent)
    while np.isnan(lens.undistort(corners)).any():
        bent = bent * 0.7
        lens = Lens(name, size, K, bent)
    return lens
