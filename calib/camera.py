"""The intrinsics of a camera (`Lens`), and a camera with its pose (`Camera`)."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from calib import geometry
from calib.arrays import Floats
from calib.errors import CalibrationError
from calib.geometry import COEFFICIENTS, Model

_ROTATION_TOLERANCE = 1e-4  # error that a file's rounded digits may cause; beyond it the matrix is no rotation
_ROTATION_EXACT = 1e-9
_LARGEST_SIDE_PX = 1_000_000
_LARGEST_PX = 1e9  # of K: a focal length of 1 km on pixels of 1 micrometre
_FARTHEST_M = 1e12


def _frozen(values: ArrayLike) -> Floats:
    out = np.array(values, np.float64)
    out.setflags(write=False)
    return out


@dataclass(frozen=True, eq=False)
class Lens:
    """How one camera maps directions to pixels.

    size (w, h) px; K (3, 3) px; distortion (k,) of the `model`, see `calib.distortion`. Raises CalibrationError, which
    names the camera, for values that no lens can have.
    """

    name: str
    size: tuple[int, int]
    K: Floats
    distortion: Floats
    model: Model = "pinhole"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise CalibrationError(f"a camera needs a name, not {self.name!r}; name it as its view is named")
        object.__setattr__(self, "size", self._checked_size())
        object.__setattr__(self, "K", self._checked_matrix())
        object.__setattr__(self, "distortion", self._checked_distortion())

    def _refuse(self, what: str, todo: str = "calibrate it again or correct the file") -> CalibrationError:
        return CalibrationError(f"camera {self.name!r}: {what}; {todo}")

    def _checked_size(self) -> tuple[int, int]:
        size = np.asarray(self.size, np.float64).ravel()
        if size.shape != (2,) or not np.isfinite(size).all() or (size < 1).any() or (size % 1 != 0).any():
            sides = ", ".join(f"{side:.7g}" for side in size)
            raise self._refuse(f"the image size is ({sides})", "give whole pixels (width, height)")
        if (size > _LARGEST_SIDE_PX).any():
            raise self._refuse(f"the image size is {size[0]:.7g} x {size[1]:.7g}", "no image is so large")
        return int(size[0]), int(size[1])

    def _checked_matrix(self) -> Floats:
        K = _frozen(self.K)
        if K.shape != (3, 3) or not np.isfinite(K).all():
            raise self._refuse(f"K has to be 3x3 finite numbers, not {_short(K)}")
        if abs(K[2] - (0, 0, 1)).max() > 1e-9 or abs(K[1, 0]) > 1e-9:
            raise self._refuse(f"K is not of the form fx s cx / 0 fy cy / 0 0 1 but {_short(K)}")
        if K[0, 0] <= 0 or K[1, 1] <= 0:
            raise self._refuse(f"the focal lengths {K[0, 0]:g}, {K[1, 1]:g} px have to be positive (K is singular)")
        if abs(K[:2]).max() > _LARGEST_PX:
            raise self._refuse(f"K holds {abs(K[:2]).max():g} px, a focal length or centre beyond any camera")
        return K

    def _checked_distortion(self) -> Floats:
        if self.model not in COEFFICIENTS:
            raise self._refuse(f"the lens model {self.model!r} is not known", f"use one of {', '.join(COEFFICIENTS)}")
        given = _frozen(np.ravel(self.distortion))
        if not np.isfinite(given).all():
            raise self._refuse(f"the distortion {_short(given)} is not finite")
        if given.size not in COEFFICIENTS[self.model]:
            counts = " or ".join(map(str, COEFFICIENTS[self.model]))
            raise self._refuse(f"{given.size} distortion coefficients, a {self.model} lens takes {counts}")
        return given

    @cached_property
    def valid_radius(self) -> float:
        """Undistorted radius on the plane at z = 1 up to which the model is valid; infinite if everywhere."""
        return float(geometry.valid_radius(self.distortion, self.model))

    def distort(self, normalised: ArrayLike) -> Floats:
        """Pixels (..., 2) of undistorted normalised coordinates (..., 2), NaN beyond the valid radius."""
        flat = np.asarray(normalised, np.float64)
        with np.errstate(invalid="ignore"):
            flat = np.where(np.linalg.norm(flat, axis=-1, keepdims=True) < self.valid_radius, flat, np.nan)
        return geometry.pixels(geometry.distort(flat, self.distortion, self.model), self.K)

    def undistort(self, xy: ArrayLike) -> Floats:
        """Undistorted normalised coordinates (..., 2) of pixels (..., 2), NaN where the lens cannot be inverted."""
        bent = geometry.normalise(xy, self.K)
        return geometry.undistort(bent, self.distortion, self.model, limit=self.valid_radius)

    def cropped(self, size: tuple[int, int]) -> "Lens":
        """The lens of images cut, or padded, at the right and the bottom to size (w, h) px."""
        return replace(self, size=size)

    def scaled(self, factor: float) -> "Lens":
        """The lens of images resized by a factor; a pixel's centre moves as x -> (x + 0.5) * factor - 0.5."""
        K = np.array(self.K)
        K[:2] *= factor
        K[:2, 2] += 0.5 * factor - 0.5
        width, height = (round(side * factor) for side in self.size)
        return replace(self, K=K, size=(width, height))


@dataclass(frozen=True, eq=False)
class Camera:
    """A lens with a pose in the world: cam_from_world (4, 4), rigid, metres.

    Raises CalibrationError, which names the camera, where the matrix is not a rotation and a translation.
    """

    lens: Lens
    cam_from_world: Floats

    def __post_init__(self) -> None:
        given = np.array(self.cam_from_world, np.float64)
        if given.shape != (4, 4) or not np.isfinite(given).all() or abs(given[3] - (0, 0, 0, 1)).max() > 1e-9:
            raise CalibrationError(
                f"camera {self.name!r}: cam_from_world has to be a finite 4x4 with last row 0 0 0 1, not "
                f"{_short(given)}; calibrate it again or correct the file"
            )
        if abs(given[:3, 3]).max() > _FARTHEST_M:
            raise CalibrationError(
                f"camera {self.name!r}: its translation is {abs(given[:3, 3]).max():g} m, farther than any camera; "
                "calibrate it again or correct the file"
            )
        given[:3, :3] = self._checked_rotation(given[:3, :3])
        object.__setattr__(self, "cam_from_world", _frozen(given))

    def _checked_rotation(self, R: Floats) -> Floats:
        skewed = abs(R @ R.T - np.eye(3)).max()
        if skewed > _ROTATION_TOLERANCE or np.linalg.det(R) < 0:
            what = "is a reflection" if skewed <= _ROTATION_TOLERANCE else f"deviates from orthonormal by {skewed:.2g}"
            raise CalibrationError(
                f"camera {self.name!r}: its rotation matrix {what}; check for swapped axes or a damaged file"
            )
        if skewed <= _ROTATION_EXACT:
            return R
        U, _, Vt = np.linalg.svd(R)  # the nearest rotation: a file's rounded digits
        return np.asarray(U @ Vt)

    @property
    def name(self) -> str:
        """The lens's name."""
        return self.lens.name

    @property
    def size(self) -> tuple[int, int]:
        """Image size (w, h) px."""
        return self.lens.size

    @cached_property
    def position(self) -> Floats:
        """The camera's position (3,) m in the world."""
        return _frozen(geometry.invert(self.cam_from_world)[:3, 3])

    def project(self, points: ArrayLike) -> Floats:
        """Pixels (..., 2) of world points (..., 3), NaN behind the camera and beyond its lens' valid radius."""
        lens = self.lens
        limit = lens.valid_radius
        return geometry.project(points, lens.K, self.cam_from_world, lens.distortion, lens.model, limit=limit)

    def rays(self, xy: ArrayLike) -> tuple[Floats, Floats]:
        """Origin (3,) m and unit directions (..., 3) in the world of pixels (..., 2)."""
        return geometry.rays(self.lens.undistort(xy), self.cam_from_world)


def _short(matrix: Floats) -> str:
    """A matrix in one line."""
    return np.array2string(matrix, precision=4, max_line_width=10**6, threshold=16).replace("\n", "")
