"""One person in one view over time, and the same person lifted to three dimensions in that camera's frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats
from calib.camera import Lens
from mvcap.structures.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class ViewTrack:
    """T frames of one person in the pixels of one view, in order of time."""

    skeleton: Skeleton
    lens: Lens
    time_s: Floats
    """(T,) s, ascending."""
    xy: Floats
    """(T, J, 2) px, NaN where missing."""
    score: Floats
    """(T, J) 0..1, 0 where missing."""
    noise_px: Floats
    """(T, J) px, standard deviation of xy along each axis, NaN where missing."""
    metric: Floats | None = None
    """(T, J, 3) m, what the 2D estimator itself says of depth: joints about the middle of the hips, along the camera's
    axes; NaN where it says nothing. None if it never does."""

    def __post_init__(self) -> None:
        shape = (len(self.time_s), len(self.skeleton))
        given = {"xy": (self.xy, (*shape, 2)), "score": (self.score, shape), "noise_px": (self.noise_px, shape)}
        if self.metric is not None:
            given["metric"] = (self.metric, (*shape, 3))
        for name, (array, wanted) in given.items():
            if array.shape != wanted:
                raise ValueError(f"{name} must have the shape {wanted}, not {array.shape}")
        if not (np.isfinite(self.time_s).all() and (np.diff(self.time_s) > 0).all()):
            raise ValueError("time_s must be finite and ascending")

    @property
    def known(self) -> Bools:
        """(T, J) whether a joint was detected."""
        return np.asarray(np.isfinite(self.xy).all(-1))

    def rays(self) -> Floats:
        """Return (T, J, 3) unit vectors from the camera through the joints, NaN where missing."""
        return _rays(self.lens, self.xy)

    def noise_rad(self) -> Floats:
        """Return (T, J) rad, the standard deviation of the rays along each axis across them, NaN where missing.

        It is ``noise_px`` times the root of the solid angle of a pixel at the joint.
        """
        here = self.rays()
        right, down = (_rays(self.lens, self.xy + np.array(step)) - here for step in ((1.0, 0.0), (0.0, 1.0)))
        return np.asarray(self.noise_px * np.sqrt(np.linalg.norm(np.cross(right, down), axis=-1)))


def _rays(lens: Lens, xy: Floats) -> Floats:
    flat = lens.undistort(xy)
    rays = np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], -1)
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class LiftedBody:
    """A person's joints about their root, from one view."""

    joints: Floats
    """(T, J, 3) m along the camera's axes, about the root; NaN where not estimated. The root is the middle of the hips,
    and need not be a joint of the skeleton."""
    covariance: Floats
    """(T, J, 3, 3) m^2 of ``joints``, without the error of the scale below; NaN where not estimated."""
    scale_sigma: float
    """Relative standard deviation of the size of the body: an error that all frames share, because one view does not
    tell a small person from a large one farther away."""


@dataclass(frozen=True, eq=False)
class RootDistances:
    """How far a person's root is from a camera."""

    root: Floats
    """(T, 3) m in the camera's frame, NaN where not estimated."""
    along_sigma: Floats
    """(T,) m, standard deviation along the ray, of errors that differ from frame to frame."""
    across_sigma: Floats
    """(T,) m, the same across the ray."""
    scale_sigma: float
    """Relative standard deviation of the distance that all frames share, mostly the unknown stature."""
