"""Joints of a posed body and their derivatives, for many frames at once, over the bones that carry joints only.

Derivatives of rotations: J. Sola et al., "A micro Lie theory for state estimation in robotics", arXiv 1812.01537.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.structures.skinned_body import SkinnedBody

_SCALE_SPREAD = 0.12  # standard deviation of the scale of a whole body, which lets children be fitted


@dataclass(frozen=True, eq=False)
class Pose:
    """Poses of T frames."""

    rotation: Floats
    """(T, 3, 3) of the first bone, in the world."""
    root: Floats
    """(T, 3) m, its head."""
    turn: Floats
    """(T, G, 3) rotation vectors of the groups of bones, rad, shared by the bones of a group."""

    def __getitem__(self, chosen: Ints | slice) -> Pose:
        return Pose(self.rotation[chosen], self.root[chosen], self.turn[chosen])

    def followed_by(self, later: Pose) -> Pose:
        """Return these poses and later ones."""
        parts = zip((self.rotation, self.root, self.turn), (later.rotation, later.root, later.turn), strict=True)
        return Pose(*(np.concatenate(both) for both in parts))

    def moved(self, step: Floats) -> Pose:
        """Return the poses after steps (T, 6 + 3 G): rotation of the first bone (from the left), its head, groups."""
        turn = self.turn + step[:, 6:].reshape(self.turn.shape)
        return Pose(rotations(step[:, :3]) @ self.rotation, self.root + step[:, 3:6], turn)

    def where(self, chosen: Bools, other: Pose) -> Pose:
        """Return these poses where chosen (T,), and the other ones elsewhere."""
        pick = chosen[:, None, None]
        return Pose(
            np.where(pick, self.rotation, other.rotation), np.where(chosen[:, None], self.root, other.root),
            np.where(pick, self.turn, other.turn),
        )  # fmt: skip


def scaled_shapes(body: SkinnedBody) -> SkinnedBody:
    """Return the body with one more coefficient of the shape, the last: the whole body's scale, if it is scalable."""
    if not body.scalable:
        return body
    parts = {}
    for name in ("vertices", "heads", "joints"):
        points = getattr(body, name)
        scale = _SCALE_SPREAD * (points.mean - body.heads.mean[0])
        parts[name] = replace(points, basis=np.concatenate([points.basis, scale[None]]))
    return replace(body, **parts)


class JointModel:
    """Chosen joints of a body as a function of pose, shape and offsets of the joints."""

    def __init__(self, body: SkinnedBody, groups: tuple[str, ...], joints: Ints) -> None:
        self.groups = groups
        needed = {0}
        for bone in body.joint_bones[joints].tolist():
            while bone >= 0:
                needed.add(bone)
                bone = body.parents[bone]
        self.bones = sorted(needed)
        place = {bone: index for index, bone in enumerate(self.bones)}
        self.parents = [place.get(body.parents[bone], -1) for bone in self.bones]
        self.carrier = np.array([place[bone] for bone in body.joint_bones[joints].tolist()])
        self.group = [groups.index(name) if (name := body.groups[bone][0]) in groups else -1 for bone in self.bones]
        self.share = [body.groups[bone][1] for bone in self.bones]
        self.heads, self.heads_basis = body.heads.mean[self.bones], body.heads.basis[:, self.bones]
        self.joints, self.joints_basis = body.joints.mean[joints], body.joints.basis[:, joints]
        below = np.zeros((len(self.bones), len(self.bones)), np.bool_)
        for bone, parent in enumerate(self.parents):
            below[bone, bone] = True
            if parent >= 0:
                below[:, bone] |= below[:, parent]
        self.moves = below[:, self.carrier]
        """(B', J) whether a bone carries a joint."""

    def rest(self, shape: Floats) -> tuple[Floats, Floats]:
        """Return heads (B', 3) and joints (J, 3) m at rest, of a shape (S,)."""
        return (
            np.asarray(self.heads + np.tensordot(shape, self.heads_basis, 1)),
            np.asarray(self.joints + np.tensordot(shape, self.joints_basis, 1)),
        )

    def place(self, pose: Pose, shape: Floats, offset: Floats) -> tuple[Floats, Floats, Floats]:
        """Return joints (T, J, 3) m, and rotations (T, B', 3, 3) and heads (T, B', 3) m of the bones.

        offset (J, 3) m: what is added to joints at rest.
        """
        heads, joints = self.rest(shape)
        count = len(pose.root)
        turn, at = np.empty((count, len(self.bones), 3, 3)), np.empty((count, len(self.bones), 3))
        for bone, (parent, group) in enumerate(zip(self.parents, self.group, strict=True)):
            outer = pose.rotation if parent < 0 else turn[:, parent]
            turn[:, bone] = outer if group < 0 else outer @ rotations(self.share[bone] * pose.turn[:, group])
            at[:, bone] = pose.root if parent < 0 else at[:, parent] + outer @ (heads[bone] - heads[parent])
        local = joints + offset - heads[self.carrier]
        return at[:, self.carrier] + np.einsum("tjab,jb->tja", turn[:, self.carrier], local), turn, at

    def by_pose(self, pose: Pose, joints: Floats, turn: Floats, at: Floats) -> Floats:
        """Return the derivative (T, J, 3, 6 + 3 G) of the joints that ``place`` gave by steps of ``Pose.moved``."""
        count = len(joints)
        out = np.zeros((count, len(self.carrier), 3, 6 + 3 * len(self.groups)))
        out[..., :3] = -_cross_matrices(joints - pose.root[:, None])
        out[..., 3:6] = np.eye(3)
        for bone, (parent, group) in enumerate(zip(self.parents, self.group, strict=True)):
            if group < 0:
                continue
            carried = np.flatnonzero(self.moves[bone])
            axes = turn[:, parent] @ (self.share[bone] * _left_jacobian(self.share[bone] * pose.turn[:, group]))
            arm = joints[:, carried] - at[:, None, bone]
            out[:, carried, :, 6 + 3 * group : 9 + 3 * group] -= _cross_matrices(arm) @ axes[:, None]
        return out

    def by_shape(self, turn: Floats) -> Floats:
        """Return the derivative (T, J, 3, S) of the joints by the shape, for rotations (T, B', 3, 3) of the bones."""
        count, shapes = len(turn), len(self.heads_basis)
        at = np.zeros((count, len(self.bones), 3, shapes))
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                step = (self.heads_basis[:, bone] - self.heads_basis[:, parent]).T
                at[:, bone] = at[:, parent] + turn[:, parent] @ step
        local = np.moveaxis(self.joints_basis - self.heads_basis[:, self.carrier], 0, -1)
        return np.asarray(at[:, self.carrier] + turn[:, self.carrier] @ local)


def all_turns(body: SkinnedBody, groups: tuple[str, ...], pose: Pose) -> Floats:
    """Return the rotations (T, B, 3, 3) of all bones of a body relative to their parents."""
    out = np.tile(np.eye(3), (len(pose.root), len(body.parents), 1, 1))
    for bone, (group, share) in enumerate(body.groups):
        if body.parents[bone] < 0:
            out[:, bone] = pose.rotation
        elif group in groups:
            out[:, bone] = rotations(share * pose.turn[:, groups.index(group)])
    return out


def rotations(vectors: Floats) -> Floats:
    """Return the rotations (..., 3, 3) of rotation vectors (..., 3) rad."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    cross = _cross_matrices(vectors)
    return np.asarray(
        np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross @ cross
    )


def _left_jacobian(vectors: Floats) -> Floats:
    """Rotation from the left that a small change of a rotation vector (..., 3) makes, as matrices (..., 3, 3)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    cross = _cross_matrices(vectors)
    small = angle < 1e-3
    safe = np.where(small, 1.0, angle)
    rest = np.where(small, 1 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    return np.asarray(np.eye(3) + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross + rest * cross @ cross)


def _cross_matrices(vectors: Floats) -> Floats:
    """Matrices (..., 3, 3) whose product with w is the cross product of vectors (..., 3) with w."""
    out = np.zeros((*vectors.shape, 3))
    x, y, z = np.moveaxis(vectors, -1, 0)
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -z, y, -x
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = z, -y, x
    return out
