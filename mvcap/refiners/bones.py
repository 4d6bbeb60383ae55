"""Sparse least squares over a window: what the views saw in units of its noise, bones, joint limits, smoothness.

The unknowns are all joints of one person at all frames of the window. Residuals, each divided by its standard
deviation: a joint's projection from where each view saw it, through the exact lens (robust: the kernel of Geman and
McClure, wide at first where there is no triangulated point to start from); a limb from the person's own length of it;
other bones, softly, from theirs; knees and elbows from their limits; the floor, where the feet show that there is one;
and each joint's acceleration from zero, in units of how strongly this joint accelerates at this moment (``agility``).

Bones tie joints together within a frame and acceleration ties a joint to itself two frames on, so with time as the
outer order the normal equations of each part of the body are a narrow band, solved exactly in time linear in the frames
(Gauss-Newton, banded Cholesky). The inverse's diagonal is each joint's covariance, which says what can be filled in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.errors import ConfigError
from mvcap.refinement import acceleration, block_banded, body_constraints
from mvcap.refinement.initial_poses import initial_points
from mvcap.refinement.observations import Observations2D
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D, Provenance, packed_covariance
from mvcap.structures.skeleton import Skeleton

_SOFTNESS = 1.4  # kernel scale over the outliers' distance
_WIDE = (8.0, 4.0, 2.0)  # how much wider the kernel is in the first steps for joints without a point to start from
_SETTLED_M = 1e-3  # the next step is a fraction of it
# Variance over that of the linear system, measured on motion capture with pixel noise: bodies move more smoothly than
# random acceleration of the strength that fits best; and what one view sees might as well be tilted the other way.
_SMOOTHER, _AMBIGUOUS = 0.86, 2.5
_STEPS_AGAIN = 3
_ALONE_VARIANCE_M2 = 0.02**2  # of a point to start from that no view agrees with


@dataclass(frozen=True)
class BonesConfig:
    """Settings of the refiner ``bones``."""

    limb_sigma: float = 0.005
    """Standard deviation of a limb's length while a posture lasts, as a share of it; what the take shows adds to it."""
    outlier_sigma: float = 3.5
    """Distance of a view's joint, in standard deviations, from which on it is not used."""
    fill_m: float = 0.12
    """Joints not seen by two views are kept while their standard deviation in the worst direction is below this."""
    steps: int = 10
    """Gauss-Newton steps at most."""
    usual: float = 0.0
    """Joints that are not measured are drawn to where they usually are in a body: that many times the usual deviation
    counts as one. 0 = they are not."""

    def __post_init__(self) -> None:
        if min(self.limb_sigma, self.outlier_sigma) <= 0 or min(self.fill_m, self.usual) < 0 or self.steps < 1:
            raise ConfigError(
                "bones: limb_sigma and outlier_sigma are above 0, fill_m and usual are 0 or more, steps at least 1"
            )


class Bones:
    """Refiner ``bones``."""

    Config = BonesConfig

    def __init__(self, config: BonesConfig) -> None:
        self.config = config

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Move one person's rows; fill joints and frames in gaps as far as their covariance allows."""
        if not np.isfinite(poses.xyz).any():
            return poses
        return rows_from(poses, solve_window(poses, evidence, self.config))


@dataclass(frozen=True)
class Solution:
    """Every joint at every frame from the first row to the last, those that nobody should believe among them."""

    problem: WindowProblem
    x: Floats
    """(T, J, 3) m"""
    cov: Floats
    """(T, J, 3, 3) m^2, without the error of the calibration"""


def solve_window(poses: Poses3D, evidence: Evidence, config: BonesConfig) -> Solution:
    """Solve the window of one person's rows, at least one joint of which is there."""
    problem = WindowProblem.of(poses, evidence, config)
    x, cov = problem.solved(problem.start.copy())
    observations = problem.observations
    views = (observations.residuals(x, problem.noise_scale) <= config.outlier_sigma).sum(0)
    cov = cov * np.where(observations.given | (views > 1), _SMOOTHER, _AMBIGUOUS)[..., None, None]
    return Solution(problem, x, cov)


def solve_from(solution: Solution, x: Floats, information: Floats) -> Floats:
    """Joints (T, J, 3) m in few steps from places x (T, J, 3) told with information (T, J, 3, 3) 1/m^2."""
    config = replace(solution.problem.config, steps=_STEPS_AGAIN)
    measured = np.ones(x.shape[:2], np.bool_)
    problem = replace(solution.problem, config=config, measured=measured, habits=None, told=(x, information))
    return problem.solved(x.copy())[0]


@dataclass(frozen=True)
class WindowProblem:
    """All that is known about one person in a window."""

    config: BonesConfig
    skeleton: Skeleton
    observations: Observations2D
    noise_scale: float
    measured: Bools
    """(T, J) whether there is a point to start from."""
    start: Floats
    """(T, J, 3) m"""
    rate_hz: float
    stiffness: Floats
    """(T, J) weight of the squared second difference, 1/m^2"""
    bones: body_constraints.BoneLengths
    floor: bool
    habits: body_constraints.UsualPlaces | None
    told: tuple[Floats, Floats] | None = None
    """Places (T, J, 3) m from elsewhere, and how sure they are (T, J, 3, 3), 1/m^2."""

    @classmethod
    def of(cls, poses: Poses3D, evidence: Evidence, config: BonesConfig) -> WindowProblem:
        """Gather what is known of one person's rows."""
        observations, rate_hz = Observations2D.of(poses, evidence), evidence.rate_hz
        scale = observations.noise_scale()
        agree = observations.residuals(observations.point, scale) <= config.outlier_sigma
        variance = _variance(observations.information(observations.point, scale, agree))
        strange = acceleration.impossible_points(observations.point, variance, rate_hz)
        point = np.where(strange[..., None], np.nan, observations.point)
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
        )

    def solved(self, x: Floats) -> tuple[Floats, Floats]:
        """Joints (T, J, 3), moved in place from where they are, and covariances (T, J, 3, 3)."""
        cov, variance = np.full((*x.shape, 3), np.nan), np.zeros(x.shape[:2])
        for joints in body_constraints.solve_order(self.skeleton, self.bones):
            cov[:, joints] = self.solve(x, variance, joints)
            variance[:, joints] = np.trace(cov[:, joints], axis1=-2, axis2=-1) / 3
        return x, cov

    def solve(self, x: Floats, variance: Floats, joints: Ints) -> Floats:
        """Move some joints of x (T, J, 3), the others fixed with variance (T, J); their covariance (T, K, 3, 3)."""
        observations = self.observations.of_joints(joints)
        smooth = block_banded.smoothness_band(np.repeat(self.stiffness[:, joints], 3, axis=1))
        lost = observations.seen.any(0) & ~self.measured[:, joints]
        hurry = 1 + len(_WIDE) if lost.any() else 1
        for step in range(self.config.steps):
            wide = _WIDE[step] if step < len(_WIDE) else 1.0
            kernel = _SOFTNESS * self.config.outlier_sigma * np.where(self.measured[:, joints], 1.0, wide)
            own = observations.normal(x[:, joints], self.noise_scale, kernel)
            if self.told is not None:
                place, sure = (values[:, joints] for values in self.told)
                own = own[0] + sure, own[1] + (sure @ (place - x[:, joints])[..., None])[..., 0]
            blocks, right = _stacked(*own)
            if step:  # bones turn wrongly from a start that is far off; the pictures do not
                self._add_anatomy(blocks, right, x, variance, joints)
            right -= block_banded.smoothness_force(smooth, x[:, joints].reshape(right.shape))
            moved = block_banded.solve_banded(block_banded.add_blocks(smooth, blocks), right).reshape(len(x), -1, 3)
            x[:, joints] += moved
            if step >= hurry and np.abs(moved).max() < _SETTLED_M:
                break
        used = observations.residuals(x[:, joints], self.noise_scale) <= self.config.outlier_sigma
        information = observations.information(x[:, joints], self.noise_scale, used)
        blocks, right = _stacked(information, np.zeros(information.shape[:-1]))
        body_constraints.add_bones(blocks, right, x, variance, joints, self.bones)
        if self.habits is not None:
            body_constraints.add_usual_places(blocks, right, x, joints, self.habits)
        inverse = block_banded.diagonal_of_inverse(block_banded.add_blocks(smooth, blocks), right.shape[1])
        at = np.arange(len(joints))
        return inverse.reshape(len(x), len(joints), 3, len(joints), 3)[:, at, :, at].swapaxes(0, 1)

    def _add_anatomy(self, blocks: Floats, right: Floats, x: Floats, variance: Floats, joints: Ints) -> None:
        body_constraints.add_bones(blocks, right, x, variance, joints, self.bones)
        body_constraints.add_limits(blocks, right, x, joints, self.skeleton)
        if self.floor:
            body_constraints.add_floor(blocks, right, x, joints)
        if self.habits is not None:
            body_constraints.add_usual_places(blocks, right, x, joints, self.habits)


def _stacked(information: Floats, gradient: Floats) -> tuple[Floats, Floats]:
    """Blocks (T, 3J, 3J) and right-hand sides (T, 3J) of joints' own (T, J, 3, 3) and (T, J, 3)."""
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


def rows_from(poses: Poses3D, solution: Solution) -> Poses3D:
    """Table of the frames that had a row or have a joint now, of the joints that can be believed."""
    problem, x, cov = solution.problem, solution.x, solution.cov
    observations, config = problem.observations, problem.config
    off = observations.residuals(x, problem.noise_scale)
    used = off <= config.outlier_sigma
    views = used.sum(0)
    seen = observations.given | (views > 0)
    sigma = np.sqrt(np.maximum(np.linalg.eigvalsh(cov)[..., -1], 0))
    provenance = np.where(views == 1, Provenance.ONE_VIEW, Provenance.MEASURED)
    provenance = np.where(seen, provenance, _unseen(seen, problem.stiffness, config.fill_m))
    kept = (provenance == Provenance.MEASURED) | (sigma < config.fill_m)
    kept = _believed(kept, seen, provenance == Provenance.ONE_VIEW, config.fill_m, problem.rate_hz)
    cov = cov + observations.common_covariance(x, problem.noise_scale, used)
    score, error_px, given_views = _evidence(
        poses, observations, used, np.where(seen, off * problem.noise_scale, np.nan)
    )
    near = _nearest_value(score, seen)
    unsure = 0.5 * near * np.clip(1 - sigma / max(config.fill_m, 1e-9), 0.02, 1)
    score = np.where(provenance == Provenance.MEASURED, score, unsure)
    frames = np.flatnonzero(kept.any(-1) | (observations.row >= 0))
    row, kept = observations.row[frames], kept[frames]
    return Poses3D(
        poses.skeleton,
        frame=observations.first + frames,
        person=np.full(len(frames), poses.person[0]),
        group=np.where(row >= 0, poses.group[row], -1),
        xyz=np.where(kept[..., None], x[frames], np.nan),
        score=np.where(kept, np.maximum(score[frames], 1e-3), 0),
        error_px=np.where(kept & seen[frames], error_px[frames], np.nan),
        views=np.where(kept, given_views[frames], 0),
        cov=np.where(kept[..., None], packed_covariance(cov[frames]), np.nan),
        provenance=np.where(kept, provenance[frames], Provenance.MISSING),
    )


def _evidence(poses: Poses3D, observations: Observations2D, used: Bools, off: Floats) -> tuple[Floats, Floats, Floats]:
    """Score, mean error px and number of views (T, J) of what is seen; what comes as a point keeps its own.

    The score of a joint that was triangulated stays; of one that was not it is the mean of its views.
    """
    there, given = observations.row >= 0, observations.given
    before = {}
    for name in ("score", "error_px", "views"):
        values = getattr(poses, name)
        before[name] = np.zeros(given.shape)
        before[name][there] = values[observations.row[there]]
    count = used.sum(0)
    some = np.maximum(count, 1)
    score = np.where(before["score"] > 0, before["score"], np.where(used, observations.score, 0).sum(0) / some)
    error = np.where(used, off * observations.noise_px, 0).sum(0) / some
    return score, np.where(given, before["error_px"], error), np.where(given, before["views"], count)


def _unseen(seen: Bools, stiffness: Floats, fill_m: float) -> Ints:
    """Provenance (T, J) of joints where they are not seen: between observations, before or after them, or far from any.

    Where a joint's acceleration alone leaves too much open, what is known of it comes from the rest of the body.
    """
    before, after, between = acceleration.frames_since_seen(seen)
    span = np.where(between, before * after / np.maximum(before + after, 1), np.minimum(before, after))
    far = acceleration.random_acceleration_growth(span) / stiffness > fill_m**2
    return np.where(far, Provenance.PRIOR, np.where(between, Provenance.INTERPOLATED, Provenance.PREDICTED))


def _believed(kept: Bools, seen: Bools, alone: Bools, fill_m: float, rate_hz: float) -> Bools:
    """Which joints (T, J) stay of those kept, by what a body may have done between frames.

    Of frames at which nobody sees the person: where observations before and after are close in time (the middle of the
    gap is the worst) and most of the body is known. Of joints that one view alone sees: where frames follow one another
    closely, since only those around it tell which of two ways a limb is tilted.
    """
    sighted = np.asarray(seen.any(-1, keepdims=True))
    before, after, between = acceleration.frames_since_seen(sighted)
    span = np.where(between, (before + after) / 4, np.minimum(before, after))
    near = acceleration.unseen_variance(span, rate_hz) < fill_m**2
    count = kept.sum(-1, keepdims=True)
    whole = 2 * count >= _nearest_value(count, sighted)
    followed = acceleration.unseen_variance(np.ones(1), rate_hz) < fill_m**2
    return np.asarray(kept & (sighted | (near & whole)) & (~alone | followed))


def _nearest_value(values: Floats, seen: Bools) -> Floats:
    """Value (T, J) of each joint at the nearest frame at which it was seen; 0 for a joint that never was."""
    frames = np.arange(len(seen))[:, None]
    before = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, frames, len(seen))[::-1], axis=0)[::-1]
    use = (before >= 0) & ((frames - before <= after - frames) | (after >= len(seen)))
    nearest = np.where(use, before, np.minimum(after, len(seen) - 1))
    return np.where(seen.any(0), np.take_along_axis(values, nearest, axis=0), 0)
