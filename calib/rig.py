"""Cameras in one world, in an order, each with a name."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from calib import geometry
from calib.arrays import Floats
from calib.camera import Camera, Lens
from calib.distortion import padded
from calib.errors import CalibrationError
from calib.geometry import Model

_FAR_APART_M = 100.0


@dataclass(frozen=True)
class _Family:
    """Cameras that share a lens formula, stacked: limit (c, 1), distortion (c, 1, k)."""

    model: Model
    at: list[int]
    distortion: Floats
    limit: Floats


@dataclass(frozen=True, eq=False)
class Rig:
    """Named, posed cameras in a fixed order; `source` says where they came from.

    `unplaced`: names of the cameras that the file holds without a pose or a lens, which are left out.
    Raises CalibrationError where there is no camera or two share a name.
    """

    cameras: tuple[Camera, ...]
    source: str = ""
    unplaced: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", tuple(self.cameras))
        if not self.cameras:
            raise CalibrationError("a rig needs at least one camera; calibrate one or give another file")
        names = [camera.name for camera in self.cameras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CalibrationError(
                f"more than one camera is named {', '.join(map(repr, twice))}; give each its own name"
            )

    @classmethod
    def from_opencv(
        cls,
        K: ArrayLike,
        dist: Sequence[ArrayLike] | None,
        rvec: ArrayLike,
        tvec: ArrayLike,
        size: ArrayLike,
        names: Sequence[str] | None = None,
        *,
        fisheye: bool = False,
    ) -> "Rig":
        """Return the rig of C cameras as OpenCV describes them.

        K (C, 3, 3) px. dist: coefficients of each camera as `cv2.calibrateCamera` orders them (0, 4, 5, 8 or 12 of
        them, 14 where the tilt is zero), or the four of `cv2.fisheye` with `fisheye`; None for lenses without
        distortion. rvec: rotation vectors (C, 3) or matrices (C, 3, 3), camera from world; tvec (C, 3) m. size: image
        size (w, h) px of all cameras, or (C, 2). names: `cam1`, `cam2` ... when left out. Raises CalibrationError,
        which names the camera, for what no camera can be.
        """
        matrices = np.asarray(K, np.float64)
        matrices = matrices[None] if matrices.shape == (3, 3) else matrices
        count = len(matrices)
        if matrices.shape != (count, 3, 3) or not count:
            raise CalibrationError(f"K must be (C, 3, 3) px for C cameras, not {np.shape(K)}")
        if np.shape(size) not in ((2,), (count, 2)):
            raise CalibrationError(f"size must be (w, h) px or ({count}, 2), not {np.shape(size)}")
        parts: dict[str, Any] = {
            "dist": [np.zeros(0)] * count if dist is None else [np.asarray(one, np.float64).ravel() for one in dist],
            "rvec": _vectors("rvec", rvec, count, matrices_too=True),
            "tvec": _vectors("tvec", tvec, count),
            "size": np.broadcast_to(np.asarray(size), (count, 2)).tolist(),
            "names": [f"cam{index + 1}" for index in range(count)] if names is None else list(names),
        }
        if wrong := [f"{name} of {len(part)}" for name, part in parts.items() if len(part) != count]:
            raise CalibrationError(f"K is of {count} cameras, but {', '.join(wrong)}; give one of each a camera")
        cameras = []
        for matrix, lens, turn, place, (width, height), name in zip(matrices, *parts.values(), strict=True):
            coefficients, model = _opencv_lens(name, lens, fisheye)
            rotation = turn.reshape(3, 3) if turn.size == 9 else geometry.rotation_from_vector(turn)
            posed = geometry.pose(rotation, place)
            cameras.append(Camera(Lens(name, (width, height), matrix, coefficients, model), posed))
        _warn_of_unit(cameras)
        return cls(tuple(cameras), "OpenCV arrays")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The cameras' names in order."""
        return tuple(camera.name for camera in self.cameras)

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, key: str | int) -> Camera:
        if not isinstance(key, str):
            return self.cameras[key]
        if key not in self.names:
            raise CalibrationError(f"no camera is named {key!r}; there are {', '.join(self.names)}")
        return self.cameras[self.names.index(key)]

    @cached_property
    def K(self) -> Floats:  # noqa: N802
        """Camera matrices (C, 3, 3) px."""
        return _stacked([camera.lens.K for camera in self])

    @cached_property
    def cam_from_world(self) -> Floats:
        """Poses (C, 4, 4) m."""
        return _stacked([camera.cam_from_world for camera in self])

    @cached_property
    def P(self) -> Floats:  # noqa: N802
        """Projection matrices (C, 3, 4) without distortion: world metres to homogeneous pixels."""
        return _stacked(self.K @ self.cam_from_world[:, :3])

    @cached_property
    def positions(self) -> Floats:
        """Positions of the cameras (C, 3) m."""
        return _stacked([camera.position for camera in self])

    @cached_property
    def focal(self) -> Floats:
        """Mean focal lengths (C,) px."""
        return _stacked(np.sqrt(self.K[:, 0, 0] * self.K[:, 1, 1]))

    @cached_property
    def _families(self) -> tuple[_Family, ...]:
        """The cameras by lens formula: a pinhole is a rational lens whose other coefficients are zero."""
        groups: dict[Model, list[int]] = {}
        for index, camera in enumerate(self):
            groups.setdefault("fisheye" if camera.lens.model == "fisheye" else "rational", []).append(index)
        return tuple(self._family(model, at) for model, at in groups.items())

    def _family(self, model: Model, at: list[int]) -> _Family:
        lenses = [self.cameras[index].lens for index in at]
        stacked = np.stack([padded(lens.distortion, lens.model) for lens in lenses])[:, None]
        limit = np.array([[lens.valid_radius] for lens in lenses])
        return _Family(model, at, stacked, limit)

    def project(self, points: ArrayLike) -> Floats:
        """Pixels (C, ..., 2) of world points (..., 3) m, NaN where a camera cannot see one."""
        points = np.asarray(points, np.float64)
        flat = points.reshape(-1, 3)
        out = np.empty((len(self), len(flat), 2))
        for family in self._families:
            K, pose = self.K[family.at, None], self.cam_from_world[family.at, None]
            out[family.at] = geometry.project(flat, K, pose, family.distortion, family.model, limit=family.limit)
        return out.reshape(len(self), *points.shape[:-1], 2)

    def project_with_jacobian(self, points: ArrayLike) -> tuple[Floats, Floats]:
        """Pixels (C, ..., 2) of world points (..., 3) and their derivatives (C, ..., 2, 3), px/m."""
        points = np.asarray(points, np.float64)
        flat = points.reshape(-1, 3)
        xy, slope = np.empty((len(self), len(flat), 2)), np.empty((len(self), len(flat), 2, 3))
        for family in self._families:
            K, pose = self.K[family.at, None], self.cam_from_world[family.at, None]
            xy[family.at], slope[family.at] = geometry.project_with_jacobian(
                flat, K, pose, family.distortion, family.model, limit=family.limit
            )
        lead = (len(self), *points.shape[:-1])
        return xy.reshape(*lead, 2), slope.reshape(*lead, 2, 3)

    def pixels_per_ray(self, undistorted: ArrayLike) -> Floats:
        """Derivatives (C, ..., 2, 2) px of pixels by undistorted coordinates (C, ..., 2)."""
        flat = self._per_camera(undistorted).reshape(len(self), -1, 2)
        out = np.empty((*flat.shape, 2))
        for family in self._families:
            bent = geometry.distort_with_jacobian(flat[family.at], family.distortion, family.model)[1]
            out[family.at] = self.K[family.at, None, :2, :2] @ bent
        return out.reshape(*np.shape(undistorted), 2)

    def undistort(self, xy: ArrayLike) -> Floats:
        """Undistorted normalised coordinates (C, ..., 2) of pixels (C, ..., 2), NaN where a lens cannot be inverted."""
        xy = self._per_camera(xy)
        flat = xy.reshape(len(self), -1, 2)
        out = np.empty(flat.shape)
        for family in self._families:
            for place, view in enumerate(family.at):
                bent = geometry.normalise(flat[view], self.K[view])
                lens, limit = family.distortion[place, 0], family.limit[place, 0]
                out[view] = geometry.undistort(bent, lens, family.model, limit=limit)
        return out.reshape(xy.shape)

    def rays(self, xy: ArrayLike) -> tuple[Floats, Floats]:
        """Origins (C, 3) m and unit directions (C, ..., 3) in the world of pixels (C, ..., 2)."""
        flat = self.undistort(xy)
        poses = self.cam_from_world.reshape(len(self), *[1] * (flat.ndim - 2), 4, 4)
        return self.positions, geometry.rays(flat, poses)[1]

    def triangulate(self, xy: ArrayLike, weight: ArrayLike | None = None) -> Floats:
        """World points (..., 3) m of pixels (C, ..., 2) with weights (C, ...); see `geometry.triangulate`.

        NaN where fewer than two views see a point, the rays are nearly parallel, or it would lie behind a camera.
        """
        return geometry.triangulate(self.undistort(xy), weight, self.cam_from_world, self.focal)

    def reprojection_error(self, xyz: ArrayLike, xy: ArrayLike) -> Floats:
        """Distances (C, ...) px between pixels xy (C, ..., 2) and the projections of world points xyz (..., 3) m.

        NaN where a pixel or a point is missing, or the camera cannot see the point.
        """
        return np.asarray(np.linalg.norm(self.project(xyz) - self._per_camera(xy), axis=-1))

    def _per_camera(self, xy: ArrayLike) -> Floats:
        xy = np.asarray(xy, np.float64)
        if xy.ndim < 2 or xy.shape[0] != len(self) or xy.shape[-1] != 2:
            raise ValueError(f"pixels of {len(self)} cameras are (C, ..., 2), not {xy.shape}")
        return xy

    def select(self, names: Sequence[str]) -> "Rig":
        """The rig of the named cameras only, in the order given."""
        return replace(self, cameras=tuple(self[name] for name in names))

    def reordered(self, names: Sequence[str]) -> "Rig":
        """The same cameras in another order; every one has to be named once."""
        if sorted(names) != sorted(self.names):
            raise CalibrationError(f"an order of {', '.join(self.names)} has to name each of them once")
        return self.select(names)

    def moved(self, new_from_old: ArrayLike) -> "Rig":
        """The rig in another world frame: new_from_old (4, 4), rigid, metres; what a camera sees stays the same."""
        back = geometry.invert(new_from_old)
        return replace(self, cameras=tuple(Camera(camera.lens, camera.cam_from_world @ back) for camera in self))

    def scaled_world(self, factor: float) -> "Rig":
        """The rig with every length multiplied, as for another unit; what a camera sees stays the same."""
        if not np.isfinite(factor) or factor <= 0:
            raise CalibrationError(f"the world cannot be scaled by {factor}; give a positive number")
        poses = np.array(self.cam_from_world)
        poses[:, :3, 3] *= factor
        return replace(self, cameras=tuple(Camera(camera.lens, pose) for camera, pose in zip(self, poses, strict=True)))


def _vectors(what: str, values: ArrayLike, count: int, matrices_too: bool = False) -> Floats:
    """Vectors (C, 3), also given as (C, 3, 1) or (C, 1, 3), or where allowed matrices (C, 3, 3)."""
    given = np.asarray(values, np.float64)
    if count == 1 and given.shape in ((3,), (3, 1), (3, 3)):
        given = given.reshape(1, *((3, 3) if given.size == 9 else (3,)))
    if matrices_too and given.shape == (count, 3, 3):
        return given
    if given.shape not in ((count, 3), (count, 3, 1), (count, 1, 3)):
        raise CalibrationError(f"{what} must be (C, 3) for C = {count} cameras, not {given.shape}")
    return given.reshape(count, 3)


def _warn_of_unit(cameras: Sequence[Camera]) -> None:
    """Warn of cameras so far from each other that their positions are likely millimetres."""
    place = np.array([camera.position for camera in cameras])
    apart = np.linalg.norm(place[1:] - place[:1], axis=-1)
    if len(apart) and np.median(apart) > _FAR_APART_M:
        warnings.warn(
            f"the cameras stand {np.median(apart):.0f} m apart: is tvec in millimetres? Divide it by 1000",
            stacklevel=3,
        )


def _opencv_lens(name: str, coefficients: ArrayLike, fisheye: bool) -> tuple[Floats, Model]:
    """Coefficients in the length that a lens model takes, and the model."""
    given = np.ravel(np.asarray(coefficients, np.float64))
    if fisheye:
        return given, "fisheye"
    if given.size == 14:
        if given[12:].any():
            raise CalibrationError(f"camera {name!r}: tilted sensors are not modelled; leave out CALIB_TILTED_MODEL")
        given = given[:12]
    return given, "rational" if given.size > 5 else "pinhole"


def _stacked(parts: ArrayLike) -> Floats:
    out = np.array(parts, np.float64)
    out.setflags(write=False)
    return out
