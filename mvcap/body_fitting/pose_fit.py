"""Poses of a body whose joints are nearest to measured ones, frame by frame: Levenberg-Marquardt, all frames at once.

The start is closed-form: the trunk is aligned by the rotation of least squares (W. Kabsch, Acta Crystallographica A32,
1976), then each group of bones in turn by that of its own joints, the nearest to no rotation where they leave it open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.body_fitting.pose_prior import PosePrior
from mvcap.body_fitting.posed_joints import JointModel, Pose

_STEPS = 25
_DEFINITION_M = 0.012
"""Standard deviation of a joint beyond its own uncertainty: bodies are no exact copies of people."""
_SMALLEST_TRUNK_M = 0.1
_STILL = 1e-7


@dataclass(frozen=True, eq=False)
class Measured:
    """Joints of a person in T frames."""

    xyz: Floats
    """(T, J, 3) m, 0 where missing."""
    weight: Floats
    """(T, J) 1 / m, of a coordinate's residual; 0 where missing."""

    @classmethod
    def of(cls, xyz: Floats, variance: Floats) -> Measured:
        """Make it of positions (T, J, 3) m, NaN where missing, and variances (T, J) m^2 of a coordinate or NaN."""
        known: Bools = np.asarray(np.isfinite(xyz).all(-1))
        sigma = np.sqrt(_DEFINITION_M**2 + np.nan_to_num(variance))
        return cls(np.where(known[..., None], xyz, 0.0), np.where(known, 1 / sigma, 0.0))

    def __getitem__(self, chosen: Bools | Ints | slice) -> Measured:
        return Measured(self.xyz[chosen], self.weight[chosen])

    def followed_by(self, later: Measured) -> Measured:
        """Return these frames and later ones."""
        return Measured(np.concatenate([self.xyz, later.xyz]), np.concatenate([self.weight, later.weight]))


def trunk_known(model: JointModel, measured: Measured) -> Bools:
    """Return in which frames (T,) the trunk's known joints, at rest, extend in two directions: three are enough."""
    on_trunk = np.isin(model.carrier, _trunk_bones(model))
    rest = model.joints[on_trunk]
    weight = measured.weight[:, on_trunk] > 0
    mean = (weight[..., None] * rest).sum(1) / np.maximum(weight.sum(1), 1)[:, None]
    spread = np.where(weight[..., None], rest - mean[:, None], 0)
    size = np.linalg.svd(spread, compute_uv=False)
    return np.asarray(size[:, 1] > _SMALLEST_TRUNK_M)


def _trunk_bones(model: JointModel) -> list[int]:
    """Bones between which and the first there is no limb and no neck."""
    names = ("", *model.groups)
    free = {-1, *(at - 1 for at, name in enumerate(names) if name == "spine" or name.endswith("_shoulder"))}
    out: list[int] = []
    for bone, (parent, group) in enumerate(zip(model.parents, model.group, strict=True)):
        if group in free and (parent < 0 or parent in out):
            out.append(bone)
    return out


def first_pose(model: JointModel, measured: Measured, shape: Floats, offset: Floats) -> Pose:
    """Return poses to start from, in closed form."""
    count = len(measured.xyz)
    on_trunk = np.isin(model.carrier, _trunk_bones(model))
    heads, joints = model.rest(shape)
    weight = measured.weight * on_trunk
    total = np.maximum(weight.sum(1), 1e-12)[:, None]
    rest = joints + offset
    mean, middle = (weight[..., None] * rest).sum(1) / total, (weight[..., None] * measured.xyz).sum(1) / total
    turn = _aligned(rest - mean[:, None], measured.xyz - middle[:, None], weight)
    pose = Pose(turn, middle + np.einsum("tab,tb->ta", turn, heads[0] - mean), np.zeros((count, len(model.groups), 3)))
    for group in range(len(model.groups)):
        pose = _group_aligned(model, measured, pose, (shape, offset), group)
    return pose


def _group_aligned(model: JointModel, measured: Measured, pose: Pose, form: tuple[Floats, Floats], group: int) -> Pose:
    """The poses with one group turned so that its own joints are near the measured ones."""
    from scipy.spatial.transform import Rotation

    mine = [bone for bone, one in enumerate(model.group) if one == group]
    if not mine or model.groups[group].endswith("_shoulder"):
        return pose
    found, turn, at = model.place(pose, *form)
    own = np.isin(model.carrier, mine)
    if not own.any():
        return pose
    outer = turn[:, model.parents[mine[0]]]
    pivot = at[:, None, mine[0]]
    local = [np.einsum("tba,tjb->tja", outer, one - pivot)[:, own] for one in (found, measured.xyz)]
    step = Rotation.from_matrix(_aligned(local[0], local[1], measured.weight[:, own])).as_rotvec()
    out = pose.turn.copy()
    out[:, group] = step / sum(model.share[bone] for bone in mine)
    return Pose(pose.rotation, pose.root, out)


def _aligned(one: Floats, other: Floats, weight: Floats) -> Floats:
    """Rotations (T, 3, 3) of least squares from points (T, N, 3) to others; what they leave open is not turned."""
    outer = np.einsum("tn,tna,tnb->tab", weight, other, np.broadcast_to(one, other.shape))
    size = np.sqrt((outer**2).sum((-1, -2)))[:, None, None]
    u, _, vt = np.linalg.svd(outer + (1e-3 * size + 1e-9) * np.eye(3))
    u[..., -1] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return np.asarray(u @ vt)


def fit_poses(
    model: JointModel, prior: PosePrior, measured: Measured, shape: Floats, offset: Floats, start: Pose | None = None
) -> Pose:
    """Return the poses (T) of a shape (S,) with joint offsets (J, 3) m that fit the measured joints best."""
    pose = first_pose(model, measured, shape, offset) if start is None else start
    damping = np.full(len(measured.xyz), 1e-3)
    problem = _problem(model, prior, measured, shape, offset)
    cost, slope, curve = problem(pose)
    for _ in range(_STEPS):
        scale = np.einsum("tii->ti", curve) + 1e-6
        damped = curve + (damping[:, None] * scale)[..., None] * np.eye(curve.shape[-1])
        step = -np.linalg.solve(damped, slope[..., None])[..., 0]
        tried = pose.moved(step)
        new_cost, new_slope, new_curve = problem(tried)
        better = new_cost <= cost
        pose = tried.where(better, pose)
        gain = np.where(better, cost - new_cost, 0)
        slope, curve = (np.where(better[(...,) + (None,) * (one.ndim - 1)], one, old)
                        for one, old in ((new_slope, slope), (new_curve, curve)))  # fmt: skip
        cost = np.where(better, new_cost, cost)
        damping = np.clip(np.where(better, damping / 5, damping * 8), 1e-9, 1e9)
        if (better & (gain <= _STILL * cost) | (damping > 1e6)).all():
            break
    return pose


def _problem(
    model: JointModel, prior: PosePrior, measured: Measured, shape: Floats, offset: Floats
) -> Callable[[Pose], tuple[Floats, Floats, Floats]]:
    """Function of a pose: cost (T,), gradient (T, P) and Gauss-Newton matrix (T, P, P)."""

    def at(pose: Pose) -> tuple[Floats, Floats, Floats]:
        residual, slope = pose_residuals(model, prior, measured, pose, shape, offset)
        return (
            np.asarray((residual**2).sum(-1)), np.einsum("trp,tr->tp", slope, residual),
            np.asarray(np.swapaxes(slope, -1, -2) @ slope),
        )  # fmt: skip

    return at


def pose_residuals(
    model: JointModel, prior: PosePrior, measured: Measured, pose: Pose, shape: Floats, offset: Floats
) -> tuple[Floats, Floats]:
    """Return residuals (T, R) in standard deviations, 3 J of joints first, and their derivative (T, R, P) by pose."""
    residual, slope = joint_residuals(model, measured, pose, shape, offset)
    likely, likely_slope = prior.residuals(pose.turn)
    by_prior = np.concatenate([np.zeros((*likely.shape, 6)), likely_slope], -1)
    return np.concatenate([residual, likely], -1), np.concatenate([slope, by_prior], 1)


def joint_residuals(
    model: JointModel, measured: Measured, pose: Pose, shape: Floats, offset: Floats
) -> tuple[Floats, Floats]:
    """Return the residuals (T, 3 J) of the joints, in standard deviations, and their derivative (T, 3 J, P) by pose."""
    found, turn, at = model.place(pose, shape, offset)
    residual = ((found - measured.xyz) * measured.weight[..., None]).reshape(len(found), -1)
    slope = model.by_pose(pose, found, turn, at) * measured.weight[..., None, None]
    return residual, slope.reshape(len(found), -1, slope.shape[-1])
