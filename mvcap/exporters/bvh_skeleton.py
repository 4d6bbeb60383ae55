"""The skeleton of BVH files: a tree of joints with a rest pose, and the conversion of poses to its channels.

The tree has every joint of the take's skeleton, the pelvis and the neck (midpoints of hips and shoulders if the
skeleton lacks them), and two joints that only rotate: ``spine`` at the pelvis and ``skull`` at the neck. Parents:

    pelvis -> spine -> neck (or thorax) -> skull -> nose, eyes, ears, mouth, head, head_bottom, head_top
                                        -> shoulder -> elbow -> wrist -> thumb, index, pinky
    pelvis -> hip -> knee -> ankle -> heel, big_toe, small_toe

The rest pose is a T-pose: x to the body's left, y up, z forward. The distance of each joint from its parent is the
person's median length (an adult's if it is never known), the direction is that of ``_TREE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.errors import InputError
from mvcap.structures.skeleton import Skeleton

# Joint, possible parents (the first one in the skeleton is used), direction in the rest pose, default length in m.
# Joints of the right side are mirror images of the left ones.
_CHEST = ("neck", "thorax")
_Row = tuple[str, Sequence[str], tuple[float, float, float], float]
_TREE: tuple[_Row, ...] = (
    ("pelvis", (), (0, 0, 0), 0.0),
    ("spine", ("pelvis",), (0, 0, 0), 0.0),
    ("neck", ("spine",), (0, 1, 0), 0.50),
    ("thorax", ("spine",), (0, 1, 0), 0.50),
    ("skull", _CHEST, (0, 0, 0), 0.0),
    ("nose", ("skull",), (0, 0.7, 0.7), 0.20),
    ("left_eye", ("skull",), (0.15, 0.85, 0.5), 0.22),
    ("left_eye_inner", ("skull",), (0.1, 0.85, 0.5), 0.22),
    ("left_eye_outer", ("skull",), (0.25, 0.85, 0.45), 0.22),
    ("left_ear", ("skull",), (0.4, 0.9, 0), 0.19),
    ("mouth_left", ("skull",), (0.15, 0.6, 0.8), 0.16),
    ("head", ("skull",), (0, 1, 0), 0.18),
    ("head_bottom", ("skull",), (0, 1, 0), 0.10),
    ("head_top", ("skull",), (0, 1, 0), 0.30),
    ("left_shoulder", _CHEST, (1, 0, 0), 0.18),
    ("left_elbow", ("left_shoulder",), (1, 0, 0), 0.29),
    ("left_wrist", ("left_elbow",), (1, 0, 0), 0.25),
    ("left_thumb", ("left_wrist",), (0.7, 0, 0.7), 0.06),
    ("left_index", ("left_wrist",), (1, 0, 0.2), 0.10),
    ("left_pinky", ("left_wrist",), (1, 0, -0.3), 0.09),
    ("left_hip", ("pelvis",), (1, 0, 0), 0.12),
    ("left_knee", ("left_hip",), (0, -1, 0), 0.42),
    ("left_ankle", ("left_knee",), (0, -1, 0), 0.41),
    ("left_heel", ("left_ankle",), (0, -0.7, -0.7), 0.07),
    ("left_big_toe", ("left_ankle",), (-0.1, -0.3, 1), 0.19),
    ("left_small_toe", ("left_ankle",), (0.3, -0.3, 0.9), 0.17),
)
# The joint that each joint points at (the first one that the skeleton has), with the smallest rotation that does so.
_AIMS = {
    "skull": ("head_top", "head"),
    "left_shoulder": ("left_elbow",),
    "left_elbow": ("left_wrist",),
    "left_wrist": ("left_index",),
    "left_hip": ("left_knee",),
    "left_knee": ("left_ankle",),
    "left_ankle": ("left_big_toe",),
}
_TURNING = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")


@dataclass(frozen=True, eq=False)
class Tree:
    """B joints in the order of the file, depth first: each is followed by all its descendants."""

    names: tuple[str, ...]
    parent: NDArray[np.int64]
    """(B,), -1 for the root."""
    direction: Floats
    """(B, 3) unit vectors from the parents in the rest pose; zero for joints that only rotate."""
    usual_m: Floats
    """(B,) default lengths, for joints whose length in the person is unknown."""
    aim: NDArray[np.int64]
    """(B,) joint that a joint points at, -1 for none."""
    measured: NDArray[np.bool_]
    """(B,) whether a joint has a position of its own; the others only rotate."""

    def at(self, name: str) -> int:
        """Return the index of a joint; ValueError if the tree lacks it."""
        return self.names.index(name)

    @property
    def chest(self) -> int:
        """The parent joint of arms and head."""
        return int(self.parent[self.at("skull")])

    def rest(self, length_m: NDArray[np.floating]) -> Floats:
        """Return the offsets (B, 3) m from the parents in the rest pose, for lengths (B,) m, NaN where unknown."""
        return np.asarray(self.direction * np.where(np.isnan(length_m), self.usual_m, length_m)[:, None])

    def positions(self, skeleton: Skeleton, xyz: NDArray[np.floating]) -> Floats:
        """Return the positions (..., B, 3) of the tree's joints in poses (..., J, 3), NaN where unknown.

        Joints that only rotate have no position. ``skeleton.apply`` derives pelvis and neck if the skeleton lacks them.
        """
        target = Skeleton("bvh", self.names, np.zeros((0, 2), dtype=np.int64))
        return np.asarray(skeleton.apply(target, xyz), dtype=np.float64)

    def lengths(self, xyz: Floats) -> Floats:
        """Return the distances (..., B) m of the joints from their parents at positions (..., B, 3)."""
        parent = self.parent.copy()
        while not self.measured[parent[1:]].all():
            parent[1:] = np.where(self.measured[parent[1:]], parent[1:], self.parent[parent[1:]])
        apart: Floats = np.linalg.norm(xyz - xyz[..., parent, :], axis=-1)
        apart[..., 0] = 0.0
        return apart


def tree_of(skeleton: Skeleton) -> Tree:
    """Return the tree of a skeleton's joints; ValueError for joints that ``_TREE`` lacks.

    Of a skeleton of a user's own, joints are left out that are none of a body, or whose parent in a body is missing;
    InputError if it has no hips or shoulders.
    """
    if skeleton.labels and (needs := [joint for joint in _TURNING if joint not in skeleton.joints]):
        raise InputError(f"skeleton {skeleton.name} has no {', '.join(needs)}, which BVH needs; leave the format out")
    given = set(skeleton.joints)
    needed = given | {"pelvis", "spine", "skull"} | (set() if given & set(_CHEST) else {"neck"})
    rows = _depth_first([row for row in _both_sides() if row[0] in needed])
    names = tuple(row[0] for row in rows)
    lost = given - set(names)
    if lost and not skeleton.labels:
        raise ValueError(f"the BVH tree lacks joints {', '.join(sorted(lost))} of skeleton {skeleton.name}")
    parent = [names.index(row[1][0]) if row[1] else -1 for row in rows]
    direction = np.array([row[2] for row in rows], dtype=np.float64)
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    aims = {**_AIMS, **{_right(a): tuple(map(_right, towards)) for a, towards in _AIMS.items()}}
    aim = [next((names.index(one) for one in aims.get(name, ()) if one in names), -1) for name in names]
    default, measured = np.array([row[3] for row in rows]), np.array([row[0] not in ("spine", "skull") for row in rows])
    return Tree(names, np.array(parent), direction / np.maximum(length, 1e-9), default, np.array(aim), measured)


def _depth_first(rows: list[_Row]) -> list[_Row]:
    """Return the rows with one parent each in depth-first order, as in the file."""
    names = [row[0] for row in rows]
    rows = [(row[0], [one for one in row[1] if one in names][:1], *row[2:]) for row in rows]

    def below(name: str) -> list[_Row]:
        return [one for row in rows if name in row[1] for one in (row, *below(row[0]))]

    return [rows[0], *below(rows[0][0])]


def _both_sides() -> list[_Row]:
    rows = []
    for name, parents, (x, y, z), length in _TREE:
        rows.append((name, parents, (x, y, z), length))
        if _right(name) != name:
            rows.append((_right(name), tuple(map(_right, parents)), (-x, y, z), length))
    return rows


def _right(name: str) -> str:
    return name.replace("left", "right")


@dataclass
class LastKnown:
    """Last known local positions and rotations of a person's joints, for frames in which a joint is unknown."""

    place: Floats
    """(B, 3) m, positions in the parent's axes; the root's in the world."""
    turn: Floats
    """(B, 3, 3) rotations in the parent's axes."""

    @classmethod
    def at_rest(cls, tree: Tree, rest: Floats, root: Floats) -> LastKnown:
        """Return the rest pose, with the root (3,) m at its first known position."""
        place = rest.copy()
        place[0] = np.where(np.isnan(root), 0, root)
        return cls(place, np.tile(np.eye(3), (len(tree.names), 1, 1)))


def channels(tree: Tree, xyz: Floats, held: LastKnown) -> tuple[Floats, Floats]:
    """Return positions (T, B, 3) m and rotations (T, B, 3, 3) of the joints in their parents' axes.

    xyz (T, B, 3) m: joint positions in the world, NaN where unknown. Forward kinematics of the result reproduces every
    known position exactly. Unknown values are those of ``held``, which is updated, so an unseen limb moves rigidly with
    its parent.
    """
    frames, joints = xyz.shape[:2]
    place, turn = np.zeros((frames, joints, 3)), np.zeros((frames, joints, 3, 3))
    at, axes = np.zeros((frames, joints, 3)), np.zeros((frames, joints, 3, 3))
    for joint in range(joints):
        parent = int(tree.parent[joint])
        origin = at[:, parent] if parent >= 0 else np.zeros((frames, 3))
        outer = axes[:, parent] if parent >= 0 else np.tile(np.eye(3), (frames, 1, 1))
        if tree.measured[joint]:
            local = np.einsum("tji,tj->ti", outer, xyz[:, joint] - origin)
            place[:, joint] = _filled(local, held.place[joint])
        at[:, joint] = origin + np.einsum("tij,tj->ti", outer, place[:, joint])
        turn[:, joint] = _filled(_turned(tree, joint, xyz, at[:, joint], outer), held.turn[joint])
        axes[:, joint] = outer @ turn[:, joint]
    if frames:
        held.place, held.turn = place[-1].copy(), turn[-1].copy()
    return place, turn


def _filled(values: Floats, before: Floats) -> Floats:
    """Return values (T, ...) with unknown ones replaced by the last known one, or by ``before`` (...)."""
    known = np.isfinite(values).all(tuple(range(1, values.ndim)))
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.concatenate([values, before[None]])[last]


def _turned(tree: Tree, joint: int, xyz: Floats, origin: Floats, outer: Floats) -> Floats:
    """Return the rotation (T, 3, 3) of a joint in its parent's axes, NaN where the joints it depends on are unknown."""
    axes = _axes(tree, joint, xyz)
    if axes is not None:
        return np.asarray(outer.transpose(0, 2, 1) @ axes)
    aim = int(tree.aim[joint])
    if aim < 0:
        return np.tile(np.eye(3), (len(xyz), 1, 1))
    direction = np.einsum("tji,tj->ti", outer, xyz[:, aim] - origin)
    return _swing(tree.direction[aim], direction)


def _axes(tree: Tree, joint: int, xyz: Floats) -> Floats | None:
    """Return the world axes (T, 3, 3) of a joint of the trunk or head, defined by several joints; None for others."""
    name = tree.names[joint]
    if name == "skull":
        if not {"left_ear", "right_ear", "nose"} <= set(tree.names):
            return None
        left, right, nose = (xyz[:, tree.at(one)] for one in ("left_ear", "right_ear", "nose"))
        return _basis(left - right, np.cross(nose - (left + right) / 2, left - right), "x")
    if joint not in (0, tree.at("spine"), tree.chest):
        return None
    up, part = xyz[:, tree.chest] - xyz[:, 0], "hip" if joint == 0 else "shoulder"
    across = xyz[:, tree.at(f"left_{part}")] - xyz[:, tree.at(f"right_{part}")]
    return _basis(across, up, "y" if name == "spine" else "x")


def _basis(x: Floats, y: Floats, exact: str) -> Floats:
    """Return right-handed axes (T, 3, 3), columns x, y, z; the axis ``exact`` keeps its direction. NaN if undefined."""
    first, second = (x, y) if exact == "x" else (y, x)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = first / np.linalg.norm(first, axis=-1, keepdims=True)
        second = second - (second * first).sum(-1, keepdims=True) * first
        second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    x, y = (first, second) if exact == "x" else (second, first)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _swing(start: Floats, directions: Floats) -> Floats:
    """Return the smallest rotations (T, 3, 3) that take a unit vector (3,) to the directions (T, 3)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    cos, axis = unit @ start, np.cross(start, unit)
    zero = np.zeros(len(directions))
    skew = np.stack([zero, -axis[:, 2], axis[:, 1], axis[:, 2], zero, -axis[:, 0], -axis[:, 1], axis[:, 0], zero], -1)
    skew = skew.reshape(-1, 3, 3)
    turn = np.eye(3) + skew + skew @ skew / np.maximum(1 + cos, 1e-9)[:, None, None]
    side = np.cross(start, np.roll(np.eye(3)[np.argmax(abs(start))], 1))  # axis of a half turn: any normal
    side /= np.linalg.norm(side)
    back = (cos < -1 + 1e-7)[:, None, None]
    return np.asarray(np.where(back, 2 * np.outer(side, side) - np.eye(3), turn))


def angles_zxy(turn: Floats) -> Floats:
    """Return the Euler angles (..., 3) rad about z, x, y of rotations (..., 3, 3) = Rz Rx Ry."""
    sin_x = np.clip(turn[..., 2, 1], -1, 1)
    locked = abs(sin_x) > 1 - 1e-12
    z = np.where(locked, np.arctan2(turn[..., 1, 0], turn[..., 0, 0]), np.arctan2(-turn[..., 0, 1], turn[..., 1, 1]))
    y = np.where(locked, 0, np.arctan2(-turn[..., 2, 0], turn[..., 2, 2]))
    return np.stack([z, np.arcsin(sin_x), y], axis=-1)
