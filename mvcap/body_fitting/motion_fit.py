"""Poses of a person in consecutive frames, which measured joints and the motion itself tell together: least squares.

A rotation that few joints tell in one frame (a foot whose toe is missing, the twist of a straight leg) is told by the
frames around it. Prior of a rotation over time: an Ornstein-Uhlenbeck process (G. Uhlenbeck and L. Ornstein, Physical
Review 36, 1930), whose distribution in any one frame is that of ``PosePrior`` and which forgets within seconds. Frames
far apart are thus independent, and a limb that is not seen returns slowly to rest. The trunk moves by Brownian motion,
fast enough for any person. Errors of joints have Student's t distribution (K. Lange et al., Journal of the American
Statistical Association 84, 1989), as a detector is at times wrong by far more than it says: such joints pull less. All
frames are found at once by Levenberg-Marquardt steps with a banded Cholesky factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats
from mvcap.body_fitting.pose_fit import Measured, fit_poses, joint_residuals
from mvcap.body_fitting.pose_prior import PosePrior
from mvcap.body_fitting.posed_joints import JointModel, Pose

_FORGETS_S = 2.0
"""Time after which a rotation's correlation with itself is 1 / e; of a knee, 1.5 rad times sqrt(2 / 25 / 2 s) a frame
of 1 / 25 s, or 0.3 rad: the knee of a runner turns by 10 rad / s."""
_TRUNK_SPREAD = (1.0, 1.0)
"""Standard deviation of the trunk's rotation, rad, and position, m, after a second of Brownian motion."""
_FREEDOM = 5.0
"""Degrees of freedom of the distribution of a joint's error; its scale is the joint's standard deviation."""
_STEPS = 30
_STILL = 1e-6


@dataclass(frozen=True, eq=False)
class _Links:
    """What joins each frame to the one before it, T - 1 times or, from a pose before the first, T times."""

    keep: Floats
    """(L,) share of a rotation that is expected to remain."""
    precision: Floats
    """(L, 3 G, 3 G) rad^-2 of the rotations of the groups."""
    trunk: Floats
    """(L, 6) precision of the trunk's rotation, rad^-2, and position, m^-2."""


def fit_motion(
    model: JointModel,
    prior: PosePrior,
    measured: Measured,
    form: tuple[Floats, Floats],
    seconds: Floats,
    before: tuple[Pose, float] | None = None,
) -> Pose:
    """Return the poses (T) of a person at ascending times (T,) s that fit the measured joints and the motion best.

    form: the shape (S,) and the joints' offsets (J, 3) m. before: a pose (1) that stays, and its time, s.
    """
    problem = MotionCost(model, prior, measured, form, seconds, before)
    pose = problem.near(fit_poses(model, prior, measured, *form))
    cost, slope, band = problem.at(pose)
    damping = 1e-4
    for _ in range(_STEPS):
        tried = pose.moved(-_solved(band, slope, damping))
        new_cost, new_slope, new_band = problem.at(tried)
        gain = cost - new_cost
        damping = min(max(damping / 5 if gain >= 0 else damping * 8, 1e-9), 1e9)
        if gain >= 0:
            pose, cost, slope, band = tried, new_cost, new_slope, new_band
        if 0 <= gain <= _STILL * cost or damping > 1e6:
            break
    return pose


class MotionCost:
    """The sum of squares as a function of the poses of all frames."""

    def __init__(
        self,
        model: JointModel,
        prior: PosePrior,
        measured: Measured,
        form: tuple[Floats, Floats],
        seconds: Floats,
        before: tuple[Pose, float] | None,
    ) -> None:
        """Of the arguments of ``fit_motion``."""
        self._model, self._prior, self._measured, self._form = model, prior, measured, form
        self._before = None if before is None else before[0]
        times = seconds if before is None else np.concatenate([[before[1]], seconds])
        self._links = _linked(prior, np.diff(times))
        self._rest = _block(prior)

    def near(self, pose: Pose) -> Pose:
        """Return the poses with the trunk's rotations as they are, and others by the shorter way from the frame before.

        A rotation vector is the same rotation after a full turn.
        """
        turn = pose.turn.copy()
        last = turn[0] if self._before is None else self._before.turn[0]
        held = np.bincount([one for one in self._model.group if one >= 0], minlength=turn.shape[1])
        single = held == 1  # groups of more bones share a rotation
        for one in turn:
            angle = np.linalg.norm(one, axis=-1, keepdims=True)
            other = one * (1 - 2 * np.pi / np.maximum(angle, 1e-9))
            nearer = np.linalg.norm(other - last, axis=-1) < np.linalg.norm(one - last, axis=-1)
            one[nearer & single] = other[nearer & single]
            last = one
        return Pose(pose.rotation, pose.root, turn)

    def at(self, pose: Pose) -> tuple[float, Floats, Floats]:
        """Return the cost, its gradient (T, P) and the upper band (P + 3, T P) of the Gauss-Newton matrix."""
        count, size = len(pose.root), 6 + pose.turn[0].size
        residual, jacobian = joint_residuals(self._model, self._measured, pose, *self._form)
        over, over_slope = self._prior.limits(pose.turn)
        square = (residual.reshape(count, -1, 3) ** 2).sum(-1)
        pull = np.sqrt(np.repeat((_FREEDOM + 3) / (_FREEDOM + square), 3, axis=-1))
        weighted = pull[..., None] * jacobian
        slope = np.einsum("trp,tr->tp", weighted, pull * residual)
        diagonal = np.swapaxes(weighted, -1, -2) @ weighted
        slope[:, 6:] += np.einsum("trp,tr->tp", over_slope, over)
        diagonal[:, 6:, 6:] += np.swapaxes(over_slope, -1, -2) @ over_slope
        cost = float((_FREEDOM + 3) * np.log1p(square / _FREEDOM).sum() + (over**2).sum())
        coupling = np.zeros((count - 1, size, size))
        cost += self._add_motion(pose, slope, diagonal, coupling)
        return cost, slope, _banded(diagonal, coupling)

    def _add_motion(self, pose: Pose, slope: Floats, diagonal: Floats, coupling: Floats) -> float:
        """Add what the motion says to gradient and matrix, and return its cost."""
        links, first = self._links, 1 if self._before is None else 0
        chain = pose if self._before is None else self._before.followed_by(pose)
        turn = chain.turn.reshape(len(chain.root), -1)
        cost = 0.0
        if self._before is None:
            pull = self._rest @ turn[0]
            cost += float(turn[0] @ pull)
            slope[0, 6:] += pull
            diagonal[0, 6:, 6:] += self._rest
        if not len(links.keep):
            return cost
        step = turn[1:] - links.keep[:, None] * turn[:-1]
        pull = np.einsum("lab,lb->la", links.precision, step)
        trunk = np.concatenate([_vectors(chain.rotation[1:] @ np.swapaxes(chain.rotation[:-1], -1, -2)),
                                chain.root[1:] - chain.root[:-1]], -1)  # fmt: skip
        cost += float((step * pull).sum() + (links.trunk * trunk**2).sum())
        both = np.concatenate([links.trunk * trunk, pull], -1)
        slope[first:] += both
        kept = np.concatenate([np.ones((len(step), 6)), np.repeat(links.keep[:, None], turn.shape[1], 1)], -1)
        slope[: len(slope) - 1] -= (kept * both)[1 - first :]
        whole = np.zeros((len(step), slope.shape[1], slope.shape[1]))
        whole[:, range(6), range(6)] = links.trunk
        whole[:, 6:, 6:] = links.precision
        diagonal[first:] += whole
        diagonal[: len(slope) - 1] += (kept[..., None] * whole * kept[:, None])[1 - first :]
        coupling -= (kept[..., None] * whole)[1 - first :]
        return cost


def _linked(prior: PosePrior, apart: Floats) -> _Links:
    keep = np.exp(-apart / _FORGETS_S)
    precision = _block(prior) / -np.expm1(-2 * apart / _FORGETS_S)[:, None, None]
    trunk = 1 / (np.repeat(_TRUNK_SPREAD, 3) ** 2 * apart[:, None])
    return _Links(keep, precision, trunk)


def _block(prior: PosePrior) -> Floats:
    """Precision (3 G, 3 G) rad^-2 of the rotations in any one frame."""
    groups = len(prior.spread)
    out = np.zeros((groups, 3, groups, 3))
    own = np.einsum("gai,ga,gaj->gij", prior.axes, 1 / prior.spread**2, prior.axes)
    out[range(groups), :, range(groups)] = own
    return out.reshape(3 * groups, 3 * groups)


def _vectors(turns: Floats) -> Floats:
    """Rotation vectors (T, 3) of rotations (T, 3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(turns).as_rotvec()) if len(turns) else np.zeros((0, 3))


def _banded(diagonal: Floats, coupling: Floats) -> Floats:
    """Upper band (P + 3, T P), as LAPACK has it, of a matrix of blocks on the diagonal and above it.

    Blocks above it couple the axes of one group only, so they reach two places beyond their own diagonal.
    """
    count, size = diagonal.shape[:2]
    wide = size + 2
    out = np.zeros((wide + 1, count, size))
    rows, columns = np.triu_indices(size)
    out[wide + rows - columns, :, columns] = diagonal[:, rows, columns].T
    rows, columns = np.nonzero(np.abs(np.subtract.outer(np.arange(size), np.arange(size))) <= 2)
    out[wide + rows - columns - size, 1:, columns] = coupling[:, rows, columns].T
    return out.reshape(wide + 1, count * size)


def _solved(band: Floats, slope: Floats, damping: float) -> Floats:
    """Steps (T, P) that solve the damped equations."""
    from scipy.linalg import solveh_banded

    damped = band.copy()
    damped[-1] += damping * (band[-1] + 1e-6)
    return np.asarray(solveh_banded(damped, slope.ravel(), overwrite_ab=True, check_finite=False)).reshape(slope.shape)
