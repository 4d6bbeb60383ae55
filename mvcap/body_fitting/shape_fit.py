"""The shape of each person and the joint definitions of a take, from some frames of every person.

A detector's joints lie elsewhere in the body than a model's: a hip on the side of the thigh rather than in its joint.
The difference is one offset per joint in the axes of the bone that carries it, the same for all people of a take and
mirrored between the sides. Shape and offsets are found together with the poses by least squares; the poses are
eliminated (Schur complement), so the cost grows with the number of frames only linearly. Both have normal priors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.body_fitting.motion_fit import fit_motion
from mvcap.body_fitting.pose_fit import Measured, fit_poses, pose_residuals
from mvcap.body_fitting.pose_prior import PosePrior, pose_prior, posed_groups
from mvcap.body_fitting.posed_joints import JointModel, Pose, scaled_shapes
from mvcap.structures.skinned_body import SkinnedBody, carrier

_ROUNDS = 12
_STILL = 1e-3  # of a coefficient, in standard deviations
_OFFSET_M = {"pelvis": 0.03, "spine": 0.03, "shoulder": 0.03, "foot": 0.02}
_OTHER_OFFSET_M = 0.015
_INDEPENDENT = 4
"""Frames that those of one person count as at most: a detector's errors last, and do not average out over frames."""


@dataclass(frozen=True, eq=False)
class FittedPeople:
    """What is constant in a take, and what poses are fitted with."""

    body: SkinnedBody
    """Its last coefficient of the shape is the scale of the whole body, if it is scalable."""
    model: JointModel
    prior: PosePrior
    names: tuple[str, ...]
    """(J,) names of the joints that are fitted."""
    offset: Floats
    """(J, 3) m from the model's joints to the detector's, in the axes of the bones at rest."""
    shapes: Mapping[int, Floats]
    """Person -> coefficients (S,) of the shape."""

    def columns_of(self, joints: Sequence[str]) -> Ints:
        """Return which joints of a skeleton (J,) are fitted."""
        return np.array([joints.index(name) for name in self.names], np.int64)

    def poses(self, person: int, measured: Measured, seconds: Floats, before: tuple[Pose, float] | None = None) -> Pose:
        """Return the poses (T) of a person with these joints at ascending times (T,) s; see ``fit_motion``."""
        return fit_motion(self.model, self.prior, measured, (self.shapes[person], self.offset), seconds, before)

    def joints(self, person: int, pose: Pose) -> Floats:
        """Return the detector's joints (T, J, 3) m of a person in these poses."""
        return self.model.place(pose, self.shapes[person], self.offset)[0]


def fitted_joints(body: SkinnedBody, joints: Sequence[str]) -> tuple[JointModel, Ints, tuple[str, ...]]:
    """Return the model of those joints of a skeleton that a body has, which they are (J,), and their names."""
    columns = np.array([index for index, name in enumerate(joints) if name in body.joint_names], np.int64)
    names = tuple(joints[index] for index in columns)
    chosen = np.array([body.joint_names.index(name) for name in names], np.int64)
    return JointModel(scaled_shapes(body), posed_groups(body), chosen), columns, names


def fit_people(body: SkinnedBody, joints: Sequence[str], samples: Mapping[int, Measured]) -> FittedPeople:
    """Fit shape and joint definitions to samples of frames of each person, whose trunks are known.

    joints: names of the joints (J,) of the samples; those that the body lacks are left out.
    """
    model, columns, names = fitted_joints(body, joints)
    body = scaled_shapes(body)
    prior = pose_prior(body, model.groups)
    spread = offset_basis(names)
    chosen = {who: Measured(one.xyz[:, columns], one.weight[:, columns]) for who, one in samples.items()}
    shapes = {who: np.zeros(len(model.heads_basis)) for who in chosen}
    freedom = np.zeros(spread.shape[-1])
    poses: dict[int, Pose] = {}
    for _ in range(_ROUNDS):
        offset = spread @ freedom
        poses = {who: fit_poses(model, prior, one, shapes[who], offset, poses.get(who)) for who, one in chosen.items()}
        steps, common = _constant_step(model, prior, chosen, poses, shapes, freedom, spread)
        shapes = {who: shape + steps[who] for who, shape in shapes.items()}
        freedom = freedom + common
        if max([np.abs(common).max(initial=0), *(np.abs(step).max(initial=0) for step in steps.values())]) < _STILL:
            break
    return FittedPeople(body, model, prior, names, spread @ freedom, shapes)


def offset_basis(names: Sequence[str]) -> Floats:
    """Return the directions (J, 3, Q) m of the joints' offsets: mirrored pairs move together, each has deviation 1."""
    found: dict[str, int] = {}
    columns = []
    for index, name in enumerate(names):
        swap = {"left": "right", "right": "left"}
        twin = "_".join(swap.get(part, part) for part in name.split("_"))
        if twin in found:
            continue
        found[name] = index
        part = carrier(name).rpartition("_")[2]
        for axis in range(3):
            column = np.zeros((len(names), 3))
            column[index, axis] = _OFFSET_M.get(part, _OTHER_OFFSET_M)
            if twin != name and twin in names:
                column[names.index(twin), axis] = column[index, axis] * (-1 if axis == 0 else 1)
            elif twin == name and axis == 0:
                continue  # of a joint on the midline
            columns.append(column)
    return np.stack(columns, -1) if columns else np.zeros((len(names), 3, 0))


def _constant_step(
    model: JointModel,
    prior: PosePrior,
    samples: Mapping[int, Measured],
    poses: Mapping[int, Pose],
    shapes: Mapping[int, Floats],
    freedom: Floats,
    spread: Floats,
) -> tuple[dict[int, Floats], Floats]:
    """Gauss-Newton steps of each person's shape, and of the offsets (Q,) that all share, poses eliminated."""
    shared, common = len(model.heads_basis), len(freedom)
    matrix, right = np.eye(common), -freedom.copy()
    held = {}
    for who, one in samples.items():
        own_matrix, own_right = _eliminated(model, prior, one, poses[who], shapes[who], (spread @ freedom, spread))
        share = min(1.0, _INDEPENDENT / len(one.xyz))
        own_matrix, own_right = share * own_matrix, share * own_right
        own_matrix[:shared, :shared] += np.eye(shared)
        own_right[:shared] -= shapes[who]
        upper, side = own_matrix[:shared, :shared], own_matrix[:shared, shared:]
        solved = np.linalg.solve(upper, np.concatenate([side, own_right[:shared, None]], 1))
        matrix += own_matrix[shared:, shared:] - side.T @ solved[:, :-1]
        right += own_right[shared:] - side.T @ solved[:, -1]
        held[who] = solved
    step = np.asarray(np.linalg.solve(matrix, right), np.float64)
    return {who: solved[:, -1] - solved[:, :-1] @ step for who, solved in held.items()}, step


def _eliminated(
    model: JointModel, prior: PosePrior, measured: Measured, pose: Pose, shape: Floats, offsets: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Normal equations (S + Q, S + Q), (S + Q,) of shape and offsets over all frames, without the poses."""
    offset, spread = offsets
    residual, by_pose = pose_residuals(model, prior, measured, pose, shape, offset)
    _, turn, _ = model.place(pose, shape, offset)
    by_offset = np.einsum("tjab,jbq->tjaq", turn[:, model.carrier], spread)
    constant = np.concatenate([model.by_shape(turn), by_offset], -1) * measured.weight[..., None, None]
    constant = constant.reshape(len(residual), -1, constant.shape[-1])
    rows = constant.shape[1]
    own = np.swapaxes(by_pose, -1, -2) @ by_pose + 1e-9 * np.eye(by_pose.shape[-1])
    cross = np.swapaxes(by_pose[:, :rows], -1, -2) @ constant
    slope = np.einsum("trp,tr->tp", by_pose, residual)
    solved = np.linalg.solve(own, np.concatenate([cross, slope[..., None]], -1))
    matrix = np.einsum("tra,trb->ab", constant, constant) - np.einsum("tpa,tpb->ab", cross, solved[..., :-1])
    right = np.einsum("tra,tr->a", constant, residual[:, :rows]) - np.einsum("tpa,tp->a", cross, solved[..., -1])
    return matrix, -right
