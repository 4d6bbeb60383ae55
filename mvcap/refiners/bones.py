"""Sparse least squares over a window: reprojection residuals, bone lengths, joint limits and smoothness.

The unknowns are all joints of one person at all frames of the window. The residuals, each divided by its standard
deviation, are: a joint's reprojection residual in each view, with the full lens model (robust: the kernel of Geman and
McClure, wide at first for joints without a triangulated initial point); a limb's deviation from the person's own limb
length; that of other bones, softly, from their length in the window; knees and elbows beyond their limits; joints below
the floor, if the feet show that it is at z = 0; and each joint's acceleration, in units of its acceleration scale at
this moment (``mvcap.refinement.acceleration``).

Bones couple joints within a frame, and acceleration couples a joint to itself two frames later. So with time as the
outer order, the normal equations of each part of the body are block-banded and are solved exactly in time linear in the
frames (Gauss-Newton, banded Cholesky). The diagonal of the inverse gives each joint's covariance, which decides what is
filled in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.errors import ConfigError
from mvcap.refinement import acceptance, joint_covariance, lasting_noise
from mvcap.refinement.observations import Observations2D
from mvcap.refiners.bones_problem import WindowProblem
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D, Provenance, packed_covariance

# Variance over that of the linear system, measured on motion capture data with pixel noise. With two or more views it
# is smaller, as bodies move more smoothly than the best-fitting random acceleration; with fewer it is larger, as a limb
# may be tilted either way.
_SMOOTHER, _AMBIGUOUS = 0.86, 2.5
_STEPS_AGAIN = 3
_HOLD_STEP = 5  # step before which joints that left their views are held


@dataclass(frozen=True)
class BonesConfig:
    """Settings of the refiner ``bones``."""

    limb_sigma: float = 0.005
    """Standard deviation of a limb's length while a posture lasts, as a share of it: estimators do not place joints
    alike in every pose. Lower: more rigid. The variation measured over the take is added."""
    outlier_sigma: float = 3.5
    """Distance of a view's joint from the person, in standard deviations, above which the view is not used for it."""
    fill_m: float = 0.12
    """Joints that fewer than two views see are kept while their standard deviation in the worst direction, m, is below
    this. 0 = none. The provenance of a joint tells measured ones from others."""
    steps: int = 10
    """Most Gauss-Newton steps; the solver stops when no joint moves by more than a millimetre."""
    usual: float = 1.0
    """Prior that draws joints that no two views measure to their mean position in a body: how many of the population's
    standard deviations count as one. 0 = off."""

    def __post_init__(self) -> None:
        if min(self.limb_sigma, self.outlier_sigma) <= 0 or min(self.fill_m, self.usual) < 0 or self.steps < 1:
            raise ConfigError(
                "bones: limb_sigma and outlier_sigma must be above 0, fill_m and usual 0 or more, steps at least 1"
            )


class Bones:
    """Refiner ``bones``: one least-squares problem over all joints of a person in a window, with reprojection
    residuals, limbs of constant length and smooth motion."""

    Config = BonesConfig

    def __init__(self, config: BonesConfig) -> None:
        self.config = config

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Refine one person's rows; fill joints and frames in gaps as far as their covariance allows."""
        if not np.isfinite(poses.xyz).any():
            return poses
        return rows_from(poses, solve_window(poses, evidence, self.config))


@dataclass(frozen=True)
class Solution:
    """Every joint at every frame from the first row to the last, including those too uncertain to be kept."""

    problem: WindowProblem
    x: Floats
    """(T, J, 3) m"""
    cov: Floats
    """(T, J, 3, 3) m^2 of the linear system, or of a network"""
    learned: Bools | None = None
    """(T, J) whether a network states the covariance; None = nowhere"""
    alone: Bools | None = None
    """(T, J) whether position and covariance are those by the views of the frame alone; None = nowhere"""


def solve_window(poses: Poses3D, evidence: Evidence, config: BonesConfig) -> Solution:
    """Solve the window of one person's rows, of which at least one joint is triangulated.

    A joint on which views agree and which the rest of the body draws away from them is held where they agree, and the
    window is solved again, unless one of the person's limbs cannot reach it.
    """
    problem = WindowProblem.of(poses, evidence, config)
    x = problem.start.copy()
    converged = problem.move_body(x, range(min(_HOLD_STEP, config.steps)))
    lost = problem.lost_agreement(problem.residuals(x))
    if lost.any():
        problem = problem.holding(lost, x)
        x = np.where(problem.held[..., None], problem.observations.point, x)
    rest = range(_HOLD_STEP, _HOLD_STEP if converged and not lost.any() else max(config.steps, _HOLD_STEP + 1))
    x, cov = problem.solved(x, range(config.steps), rest)
    off = problem.residuals(x)
    lost, alone = problem.lost_agreement(off), None
    if lost.any():
        problem = problem.holding(lost, x)
        alone = lost & problem.held
        x, cov = problem.put_back(x, cov, alone)
        off = problem.residuals(x)
    views = problem.observations.with_skipped((off <= config.outlier_sigma).sum(0))
    cov = cov * np.where(problem.observations.given | (views > 1), _SMOOTHER, _AMBIGUOUS)[..., None, None]
    return Solution(problem, x, cov, alone=alone)


def solve_from(solution: Solution, x: Floats, information: Floats) -> Floats:
    """Joints (T, J, 3) m after a few more steps from target positions x (T, J, 3) of information (T, J, 3, 3) 1/m^2."""
    measured = np.ones(x.shape[:2], np.bool_)
    problem = replace(solution.problem, measured=measured, prior=None, target=(x, information))
    return problem.solved(x.copy(), range(_STEPS_AGAIN), range(_STEPS_AGAIN))[0]


def rows_from(poses: Poses3D, solution: Solution) -> Poses3D:
    """Table of the frames that had a row or now have a joint, with the joints that are certain enough."""
    problem, x = solution.problem, solution.x
    observations, config = problem.observations, problem.config
    off = problem.residuals(x)
    used = off <= config.outlier_sigma
    views = used.sum(0)
    seen = observations.given | (views > 0)
    cov, frame_cov = stated_covariance(solution, off)
    sigma = np.sqrt(np.maximum(np.linalg.eigvalsh(cov)[..., -1], 0))
    provenance = _provenance(solution, used, frame_cov)
    kept = (provenance == Provenance.MEASURED) | (sigma < config.fill_m)
    kept |= acceptance.joints_between(kept, sigma, observations.looked_at, config.fill_m)
    kept = acceptance.accepted_joints(kept, seen, provenance == Provenance.ONE_VIEW, config.fill_m, problem.rate_hz)
    score, error_px, given_views = _score_and_error(
        poses, observations, used, np.where(seen, off * problem.noise_scale, np.nan)
    )
    nearest_score = acceptance.nearest_values(score, seen)
    uncertain_score = 0.5 * nearest_score * np.clip(1 - sigma / max(config.fill_m, 1e-9), 0.02, 1)
    score = np.where(provenance == Provenance.MEASURED, score, uncertain_score)
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


def stated_covariance(solution: Solution, off: Floats) -> tuple[Floats, Floats]:
    """Covariances (T, J, 3, 3) m^2 with everything that is known to err, and those by the views of each frame alone.

    off: (C, T, J) normalised residuals.
    """
    problem, x = solution.problem, solution.x
    observations, config = problem.observations, problem.config
    used = off <= config.outlier_sigma
    views = observations.with_skipped(np.where(observations.given, 2, used.sum(0)))
    frame_cov, systematic = observations.view_covariances(x, problem.noise_scale, used)
    trace = np.trace(solution.cov, axis1=-2, axis2=-1) / _SMOOTHER
    averaged = np.trace(frame_cov, axis1=-2, axis2=-1) / np.maximum(trace, 1e-12)
    lasting = lasting_noise.variance_factor(problem.noise_correlation(), np.where(views > 1, averaged, 1.0))
    factor = lasting * joint_covariance.contradiction(off, config.outlier_sigma, x, problem.bones, views)
    ray, distance = joint_covariance.viewing_rays(observations.rig, observations.seen, off, x)
    body = np.unique(problem.skeleton.limbs)
    two = (views > 1) & problem.measured
    depth = np.where(views > 1, 0, joint_covariance.depth_variance(two, body, distance, problem.rate_hz))
    if solution.alone is not None:
        factor = np.where(solution.alone, 1.0, factor)
    if solution.learned is not None:
        views = np.where(solution.learned, -1, views)
        factor = np.where(solution.learned, 1.0, factor)
        depth = np.where(solution.learned, joint_covariance.LEARNED_DEPTH * depth, depth)
    return joint_covariance.compose_covariance(solution.cov, systematic, ray, depth, factor, views), frame_cov


def _provenance(solution: Solution, used: Bools, frame_cov: Floats) -> Ints:
    """Provenance (T, J) of each joint; used: (C, T, J) views that agree with it; frame_cov: (T, J, 3, 3) m^2 by them.

    A joint that was not triangulated counts as measured only where its views determine it as well as a filled joint.
    """
    problem, config = solution.problem, solution.problem.config
    observations, views = problem.observations, used.sum(0)
    determined = np.linalg.eigvalsh(frame_cov)[..., -1] < config.fill_m**2
    two = (views > 1) & (problem.measured | determined) | observations.given
    seen = observations.given | (views > 0)
    out = np.where(two, Provenance.MEASURED, Provenance.ONE_VIEW)
    out = np.where(seen, out, acceptance.gap_provenance(seen, problem.stiffness, config.fill_m))
    return np.where(problem.rejected & (out != Provenance.MEASURED), Provenance.REJECTED, out)


def _score_and_error(
    poses: Poses3D, observations: Observations2D, used: Bools, off: Floats
) -> tuple[Floats, Floats, Floats]:
    """Score, mean error px and number of views (T, J) of seen joints; joints given as points keep their own.

    The score of a triangulated joint is unchanged; that of another joint is the mean score of its views.
    """
    has_row, given = observations.row >= 0, observations.given
    before = {}
    for name in ("score", "error_px", "views"):
        values = getattr(poses, name)
        before[name] = np.zeros(given.shape)
        before[name][has_row] = values[observations.row[has_row]]
    count = used.sum(0)
    some = np.maximum(count, 1)
    score = np.where(before["score"] > 0, before["score"], np.where(used, observations.score, 0).sum(0) / some)
    error = np.where(used, off * observations.noise_px, 0).sum(0) / some
    return score, np.where(given, before["error_px"], error), np.where(given, before["views"], count)
