"""A problem of bundle adjustment and its solution, with the covariance of the estimates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from calib.camera import Lens
from calib.observations import Observations

HUBER = 2.5  # residual norm in sigmas above which the kernel is linear; its expected value is 1.25


@dataclass(frozen=True, eq=False)
class Problem:
    """Observations and initial estimates of all unknowns; see `Calibration` for the shapes.

    world_from_body NaN: a moment that is not used. lens_free (C, 16) of fx fy cx cy and coefficients; a prior is a
    Gaussian: prior_mean (C, 16), prior_information (C, 16, 16); pose_mean (C, 4, 4), pose_information (C, 6, 6) of a
    small rotation and shift of the camera in its own frame. poses_free (C,); bodies_free: whether the target moves;
    shape_sigma_m above 0: the target's points are free, with this prior; offsets_free (C,): one time offset per camera,
    which needs consecutive moments, as does jitter_s, the standard deviation of the time error of a single image. noise
    (C,) multiplies the sigma of a camera's observations.
    """

    observations: Observations
    lenses: tuple[Lens, ...]
    cam_from_world: Floats
    world_from_body: Floats
    body_from_piece: Floats
    used: Bools
    lens_free: Bools
    poses_free: Bools
    bodies_free: bool = True
    free_points: Floats | None = None
    points: Floats | None = None
    prior_mean: Floats | None = None
    prior_information: Floats | None = None
    pose_mean: Floats | None = None
    pose_information: Floats | None = None
    pieces_free: bool = True
    shape_sigma_m: float = 0.0
    offset_s: Floats | None = None
    offsets_free: Bools | None = None
    jitter_s: float = 0.0
    noise: Floats | None = None
    huber: float = HUBER


@dataclass(frozen=True, eq=False)
class Solution:
    """The best fit: the problem's shapes; columns[c] are a camera's places among the D unknowns, free[c] their kind.

    fitted (C, T, N): observations used. free[c]: indices among rotation (3), translation (3), fx fy cx cy, 12
    coefficients, offset. information (D, D) after the moving blocks are eliminated, priors included; scores (T, D):
    each moment's gradient, whose scatter gives the empirical covariance. cost: half the sum of squared residuals in
    sigmas, robust, priors included.
    """

    problem: Problem
    lenses: tuple[Lens, ...]
    cam_from_world: Floats
    world_from_body: Floats
    body_from_piece: Floats
    points: Floats
    free_points: Floats | None
    offset_s: Floats
    residual: Floats
    fitted: Bools
    columns: tuple[slice, ...]
    free: tuple[NDArray[np.intp], ...]
    information: Floats
    scores: Floats
    cost: float
    iterations: int
    converged: bool

    def continued(self) -> Problem:
        """The same problem with this solution as the initial estimate."""
        return replace(
            self.problem,
            lenses=self.lenses,
            cam_from_world=self.cam_from_world,
            world_from_body=self.world_from_body,
            body_from_piece=self.body_from_piece,
            points=self.points,
            free_points=self.free_points,
            offset_s=self.offset_s,
        )

    def covariance(self, *, scatter: bool = True) -> Floats:
        """Covariance (D, D) of the shared unknowns; scatter: from the scatter between moments, else from the model.

        It is zero along undetermined directions (the pose of the whole rig; its scale where no length is known).
        """
        bread = _inverse(self.information)
        return _sandwich(bread, self.scores) if scatter else bread


def _inverse(information: Floats) -> Floats:
    """Pseudo-inverse of a symmetric (D, D): zero along undetermined directions."""
    if not len(information):
        return information
    if not np.isfinite(information).all():
        return np.zeros(information.shape)
    diagonal = np.diagonal(information)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information * scale * scale[:, None])
    good = values > 1e-10 * values[-1]
    half = vectors[:, good] / np.sqrt(values[good])
    return np.asarray((half @ half.T) * scale * scale[:, None])


def _sandwich(bread: Floats, scores: Floats) -> Floats:
    """The sandwich covariance from the scatter of the moments' gradients (T, D), corrected for few moments."""
    active = np.abs(scores).max(-1, initial=0.0) > 0
    count, unknown = int(active.sum()), int((np.diagonal(bread) > 0).sum())
    if count < 2:
        return bread
    spread = scores[active].T @ scores[active] * (count / max(count - 1, 1))
    return np.asarray(bread @ spread @ bread) * (1 + unknown / (6 * count))
