"""The least-squares problem of one person in a window, and its Gauss-Newton steps; see ``mvcap.refiners.bones``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.refinement import acceleration, block_banded, body_constraints, lasting_noise
from mvcap.refinement.initial_poses import initial_points
from mvcap.refinement.observations import Observations2D
from mvcap.refinement.view_offsets import at_refined_times
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

if TYPE_CHECKING:
    from mvcap.refiners.bones import BonesConfig

_KERNEL_RATIO = 1.4  # kernel scale over the outlier threshold
_WIDE = (8.0, 4.0, 2.0)  # factors of the kernel scale in the first steps, for joints without an initial point
_CONVERGED_M = 1e-3  # the next step is a fraction of it
_ALONE_VARIANCE_M2 = 0.02**2  # of an initial point that no view agrees with


@dataclass(frozen=True)
class WindowProblem:
    """The least-squares problem of one person in a window."""

    config: BonesConfig
    skeleton: Skeleton
    observations: Observations2D
    noise_scale: float
    measured: Bools
    """(T, J) whether there is a triangulated initial point."""
    start: Floats
    """(T, J, 3) m"""
    rate_hz: float
    stiffness: Floats
    """(T, J) weight of the squared second difference, 1/m^2"""
    bones: body_constraints.BoneLengths
    floor: bool
    prior: body_constraints.UsualPlaces | None
    off: Floats
    """(C, T, J, 2) residuals of the triangulated points, in standard deviations; NaN where there is none."""
    agree: Bools
    """(C, T, J) whether a view agrees with the triangulated point."""
    rejected: Bools
    """(T, J) whether views agree on a position that no human motion or limb reaches."""
    held: Bools
    """(T, J) whether the joint is held where its views agree: without a robust kernel, and without other views."""
    target: tuple[Floats, Floats] | None = None
    """Target positions (T, J, 3) m from elsewhere, and their information (T, J, 3, 3), 1/m^2."""

    @classmethod
    def of(cls, poses: Poses3D, evidence: Evidence, config: BonesConfig) -> WindowProblem:
        """Set up the problem from one person's rows."""
        sigma_frames = np.broadcast_to(evidence.offset_sigma_frames, len(evidence.rig))
        observations, rate_hz = Observations2D.of(poses, evidence), evidence.rate_hz
        observations = at_refined_times(observations, sigma_frames)
        scale = observations.noise_scale()
        sigma_px = scale * observations.noise_px
        off = (observations.rig.project(observations.point) - observations.xy) / sigma_px[..., None]
        agree = (off**2).sum(-1) <= config.outlier_sigma**2
        variance = _variance(observations.information(observations.point, scale, agree))
        outliers = acceleration.impossible_points(observations.point, variance, rate_hz)
        point = np.where(outliers[..., None], np.nan, observations.point)
        strength = acceleration.accelerations(poses.skeleton, point, variance, rate_hz)
        sigma = np.hypot(config.limb_sigma, np.broadcast_to(evidence.limb_sigma, evidence.limb_length_m.shape))
        bones = body_constraints.bone_lengths(poses.skeleton, evidence.limb_length_m, point, variance, sigma, rate_hz)
        floor = body_constraints.floor_at_zero(poses.skeleton, point)
        measured = np.asarray(np.isfinite(point[..., 0]))
        stiffness = rate_hz**4 / strength**2
        return cls(
            config,
            poses.skeleton,
            observations,
            scale,
            measured,
            initial_points(poses.skeleton, observations, point, scale, rate_hz),
            rate_hz,
            stiffness,
            bones,
            floor,
            body_constraints.usual_places_of(poses.skeleton, evidence.limb_length_m, ~measured, config.usual, rate_hz),
            off,
            agree,
            outliers,
            np.zeros(measured.shape, np.bool_),
        )

    def residuals(self, x: Floats) -> Floats:
        """Residuals (C, T, J) of joints x (T, J, 3), in standard deviations; NaN if unseen."""
        return self.observations.residuals(x, self.noise_scale)

    def lost_agreement(self, off: Floats) -> Bools:
        """Triangulated joints (T, J) on which views agree, of which fewer than two still do at residuals (C, T, J)."""
        still = self.agree & (off <= self.config.outlier_sigma)
        return np.asarray(self.measured & ~self.rejected & (self.agree.sum(0) > 1) & (still.sum(0) < 2))

    def holding(self, joints: Bools, x: Floats) -> WindowProblem:
        """Return the problem with joints (T, J) held where their views agree, or rejected where no limb reaches.

        x (T, J, 3) m is the solution without, whose distance shows how fast the joint moves there.
        """
        point = np.where(self.measured[..., None], self.observations.point, np.nan)
        variance = np.trace(self.observations.cov, axis1=-2, axis2=-1) / 3
        far = joints & body_constraints.beyond_limbs(point, variance, self.bones)
        held = self.held | (joints & ~far)
        others = held & ~self.agree
        xy = np.where(others[..., None], np.nan, self.observations.xy)
        observations, measured = replace(self.observations, xy=xy), self.measured & ~far
        prior = None if self.prior is None else replace(self.prior, lost=~measured)
        away = np.where(joints & ~far, np.linalg.norm(point - x, axis=-1), 0)
        least = acceleration.to_leave_path(away, self.rate_hz)
        stiffness = np.minimum(self.stiffness, self.rate_hz**4 / np.maximum(least, 1e-9) ** 2)
        return replace(
            self, observations=observations, held=held, rejected=self.rejected | far, measured=measured, prior=prior,
            stiffness=stiffness,
        )  # fmt: skip

    def put_back(self, x: Floats, cov: Floats, joints: Bools) -> tuple[Floats, Floats]:
        """Joints x (T, J, 3) and covariances (T, J, 3, 3), of which some joints (T, J) are where their views agree."""
        point = np.where(joints[..., None], self.observations.point, x)
        alone, _ = self.observations.view_covariances(point, self.noise_scale, self.agree)
        return point, np.where(joints[..., None, None], alone, cov)

    def noise_correlation(self) -> Floats:
        """Autocorrelation (K,) of the residuals of triangulated points at lags of 1 to K frames that were looked at."""
        used, looked = self.agree & (self.agree.sum(0) > 1), self.observations.looked_at
        rate_hz = self.rate_hz / self.observations.step
        return lasting_noise.autocorrelation(self.off[:, looked], used[:, looked], rate_hz)

    def move_body(self, x: Floats, steps: range) -> bool:
        """Move the limbs and the torso of x (T, J, 3) m in place by the Gauss-Newton steps of these numbers.

        Returns whether they have converged.
        """
        first = body_constraints.solve_order(self.skeleton, self.bones)[0]
        return self._move(x, np.zeros(x.shape[:2]), first, steps)[1]

    def solved(self, x: Floats, steps: range, first_steps: range) -> tuple[Floats, Floats]:
        """Joints x (T, J, 3), moved in place, and covariances (T, J, 3, 3).

        The steps have these numbers, those of the limbs and the torso ``first_steps``.
        """
        cov, variance = np.full((*x.shape, 3), np.nan), np.zeros(x.shape[:2])
        for number, joints in enumerate(body_constraints.solve_order(self.skeleton, self.bones)):
            smooth, _ = self._move(x, variance, joints, steps if number else first_steps)
            cov[:, joints] = self._covariance(x, variance, joints, smooth)
            variance[:, joints] = np.trace(cov[:, joints], axis1=-2, axis2=-1) / 3
        return x, cov

    def _move(self, x: Floats, variance: Floats, joints: Ints, steps: range) -> tuple[Floats, bool]:
        """Move some joints of x (T, J, 3), the others fixed with variance (T, J).

        Returns the smoothness band, and whether the steps have converged.
        """
        observations = self.observations.of_joints(joints)
        smooth = block_banded.smoothness_band(np.repeat(self.stiffness[:, joints], 3, axis=1))
        unmeasured = observations.seen.any(0) & ~self.measured[:, joints]
        least_steps = 1 + len(_WIDE) if unmeasured.any() else 1
        for step in steps:
            wide = _WIDE[step] if step < len(_WIDE) else 1.0
            kernel = _KERNEL_RATIO * self.config.outlier_sigma * np.where(self.measured[:, joints], 1.0, wide)
            kernel = np.where(self.held[:, joints], np.inf, kernel)
            own = observations.normal(x[:, joints], self.noise_scale, kernel)
            if self.target is not None:
                place, known = (values[:, joints] for values in self.target)
                own = own[0] + known, own[1] + (known @ (place - x[:, joints])[..., None])[..., 0]
            blocks, right = _stack_blocks(*own)
            if step:  # far from the solution bones would rotate the wrong way, reprojection does not
                self._add_anatomy(blocks, right, x, variance, joints)
            right -= block_banded.smoothness_force(smooth, x[:, joints].reshape(right.shape))
            step_m = block_banded.solve_banded(block_banded.add_blocks(smooth, blocks), right).reshape(len(x), -1, 3)
            x[:, joints] += step_m
            if step >= least_steps and np.abs(step_m).max() < _CONVERGED_M:
                return smooth, True
        return smooth, False

    def _covariance(self, x: Floats, variance: Floats, joints: Ints, smooth: Floats) -> Floats:
        """Covariance (T, K, 3, 3) m^2 of some joints of x (T, J, 3), the others fixed with variance (T, J)."""
        observations = self.observations.of_joints(joints)
        used = observations.residuals(x[:, joints], self.noise_scale) <= self.config.outlier_sigma
        information = observations.information(x[:, joints], self.noise_scale, used)
        blocks, right = _stack_blocks(information, np.zeros(information.shape[:-1]))
        body_constraints.add_bones(blocks, right, x, variance, joints, self.bones)
        if self.prior is not None:
            body_constraints.add_usual_places(blocks, right, x, joints, self.prior)
        inverse = block_banded.diagonal_of_inverse(block_banded.add_blocks(smooth, blocks), right.shape[1])
        at = np.arange(len(joints))
        return inverse.reshape(len(x), len(joints), 3, len(joints), 3)[:, at, :, at].swapaxes(0, 1)

    def _add_anatomy(self, blocks: Floats, right: Floats, x: Floats, variance: Floats, joints: Ints) -> None:
        body_constraints.add_bones(blocks, right, x, variance, joints, self.bones)
        body_constraints.add_limits(blocks, right, x, joints, self.skeleton)
        if self.floor:
            body_constraints.add_floor(blocks, right, x, joints)
        if self.prior is not None:
            body_constraints.add_usual_places(blocks, right, x, joints, self.prior)


def _stack_blocks(information: Floats, gradient: Floats) -> tuple[Floats, Floats]:
    """Blocks (T, 3J, 3J) and right-hand sides (T, 3J) from those of single joints (T, J, 3, 3) and (T, J, 3)."""
    frames, joints = gradient.shape[:2]
    blocks = np.zeros((frames, joints, 3, joints, 3))
    at = np.arange(joints)
    blocks[:, at, :, at] = information.swapaxes(0, 1)
    return blocks.reshape(frames, 3 * joints, 3 * joints), gradient.reshape(frames, -1).copy()


def _variance(information: Floats) -> Floats:
    """Mean variance (T, J) m^2 of the coordinates of points with information (T, J, 3, 3)."""
    eigenvalues = np.linalg.eigvalsh(information)
    known = eigenvalues[..., 0] > 1e-3
    return np.where(known, (1 / np.where(known[..., None], eigenvalues, 1)).mean(-1), _ALONE_VARIANCE_M2)
