"""Conversion of any skeleton to the 15 joints of Shelf and Campus, with the head rules of two published programs.

The ground truth has the lower and upper end of the head, which detectors do not give. Each program computes them from
nose, ears, shoulders and hips with its own rule, so scores are comparable only with the rule stated. A skeleton that
has both ends keeps them. Notation: n is the midpoint of the shoulders, e the midpoint of the ears, and f the unit
vector of the facing direction, (neck - pelvis) x (right - left shoulder); without a pelvis, up replaces neck - pelvis.

Missing joints, the same for all rules: with one ear, e is that ear moved along the shoulder line to the body's median
plane; without ears, e is 0.11 m behind the nose along f; without a nose, the nose is 0.11 m in front of e. Without
shoulders, or without nose and ears, there is no head, and parts that need it are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton, skeleton

Points = NDArray[np.float64]
_NOSE_BEFORE_EARS_M = 0.11
_UP = np.array([0.0, 0.0, 1.0])


def read_as_shelf(poses: Poses3D, rule: str) -> Poses3D:
    """Return the poses as shelf15; rule: "4da", "voxelpose" (as for Shelf) or "voxelpose-campus"."""
    kind, target = poses.skeleton, skeleton("shelf15")
    xyz = poses.xyz.astype(np.float64)
    out = kind.apply(target, xyz)
    if rule != "4da":
        out[:, target.index("pelvis")] = out[:, [target.index("right_hip"), target.index("left_hip")]].mean(1)
    if not {"head_bottom", "head_top"} <= set(kind.joints):
        ends = _RULES[rule](_Head(kind, xyz))
        out[:, target.index("head_bottom")], out[:, target.index("head_top")] = ends
    return poses.with_joints(target, out)


def read_as_shelf14(poses: Poses3D, rule: str) -> Poses3D:
    """Return the poses as shelf14, that is shelf15 without the pelvis."""
    whole, target = read_as_shelf(poses, rule), skeleton("shelf14")
    return whole.with_joints(target, whole.skeleton.apply(target, whole.xyz))


def read_as_mvor(poses: Poses3D) -> Poses3D:
    """Return the poses as mvor10, whose head is the midpoint of the ears."""
    kind, target = poses.skeleton, skeleton("mvor10")
    xyz = poses.xyz.astype(np.float64)
    out = kind.apply(target, xyz)
    if "head" not in kind.joints:
        out[:, target.index("head")] = _Head(kind, xyz).ears
    return poses.with_joints(target, out)


class _Head:
    """Midpoint of the shoulders, facing direction, ears and nose, (M, 3) each; missing ones are computed."""

    def __init__(self, kind: Skeleton, xyz: Points) -> None:
        def joint(name: str) -> Points:
            return xyz[:, kind.index(name)] if name in kind.joints else np.full((len(xyz), 3), np.nan)

        def middle(name: str) -> Points:
            return (joint(f"left_{name}") + joint(f"right_{name}")) / 2

        across = joint("right_shoulder") - joint("left_shoulder")
        self.shoulders = middle("shoulder")
        pelvis = _or(joint("pelvis"), middle("hip"))
        trunk = _or(_or(joint("neck"), self.shoulders) - pelvis, np.broadcast_to(_UP, pelvis.shape))
        self.facing = _unit(np.cross(trunk, across))
        side = _unit(across)
        ears = middle("ear")
        for name in ("left_ear", "right_ear"):
            away = ((joint(name) - self.shoulders) * side).sum(-1, keepdims=True)
            ears = _or(ears, joint(name) - away * side)
        self.ears = _or(ears, joint("nose") - _NOSE_BEFORE_EARS_M * self.facing)
        self.nose = _or(joint("nose"), self.ears + _NOSE_BEFORE_EARS_M * self.facing)


def _or(first: Points, second: Points) -> Points:
    return np.where(np.isfinite(first).all(-1, keepdims=True), first, second)


def _unit(vector: Points) -> Points:
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9))


def _as_4da(head: _Head) -> tuple[Points, Points]:
    """Return lower end n + (e - n) / 2; upper end 0.125 m in front of it and 0.145 m above it."""
    bottom = head.shoulders + 0.5 * (head.ears - head.shoulders)
    return bottom, bottom + 0.125 * head.facing + 0.145 * _UP


def _as_campus(head: _Head) -> tuple[Points, Points]:
    """Return lower end (n + e) / 2; upper end as far above e as e is above the lower end."""
    bottom = (head.shoulders + head.ears) / 2
    return bottom, bottom + 2 * (head.ears - bottom)


def _as_voxelpose(head: _Head) -> tuple[Points, Points]:
    """Return 3/4 of n + (nose - n) * 0.5 and of n + (nose - n) * (0.75, 0.75, 1.5), plus 1/4 of Campus' ends."""
    bottom, top = _as_campus(head)
    neck, face = head.shoulders, head.nose - head.shoulders
    return 0.75 * (neck + 0.5 * face) + 0.25 * bottom, 0.75 * (neck + face * np.array([0.75, 0.75, 1.5])) + 0.25 * top


_RULES: Mapping[str, Callable[[_Head], tuple[Points, Points]]] = {
    "4da": _as_4da,
    "voxelpose": _as_voxelpose,
    "voxelpose-campus": _as_campus,
}
