"""Which joints a camera cannot see because a body is in the way: bodies are capsules of human size."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from mvcap.structures.skeleton import Skeleton

Floats = NDArray[np.float64]

_SHOULDERS, _HIPS, _EARS = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("left_ear", "right_ear"))
# Both ends of a capsule, each the middle of the named joints, and its radius in metres: half the thickness of that part
# of a grown body. Those of the limbs are there twice, left and right.
_MIDDLE = (
    (_SHOULDERS, _HIPS, 0.13),
    (_SHOULDERS[:1], _SHOULDERS[1:], 0.07),
    (_HIPS[:1], _HIPS[1:], 0.11),
    (_SHOULDERS, _EARS, 0.06),
    (_EARS, _EARS, 0.11),
)
_SIDES = (
    ("shoulder", "elbow", 0.05),
    ("elbow", "wrist", 0.04),
    ("hip", "knee", 0.08),
    ("knee", "ankle", 0.055),
    ("ankle", "big_toe", 0.04),
)
_LIMBS = ("elbow", "wrist", "knee", "ankle")
_NEAREST_M = 0.1
"""What is closer to the camera than this hides nothing: it is in the lens."""


def hidden(camera: Camera, skeleton: Skeleton, xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each joint (P, J) of people xyz (P, J, 3) m is behind a body in the camera's picture.

    A joint is behind another person where its ray comes closer to the axis of one of their capsules than the radius
    and the axis is nearer to the camera there; elbows, wrists, knees and ankles also where they are behind the far side
    of their own trunk. Joints and capsules whose place is not known neither hide nor are hidden.
    """
    ends, radius, limbs = _capsules(skeleton)
    pose = camera.cam_from_world
    seen = np.asarray(xyz, np.float64) @ pose[:3, :3].T + pose[:3, 3]
    axes = seen[:, ends].mean(-2)  # (P, S, 2 ends, 3)
    axes = np.where((axes[..., 2] > _NEAREST_M).all(-1)[..., None, None], axes, np.nan)
    behind, front = _pairs(seen, axes, radius)
    out = np.zeros(seen.shape[:2], bool)
    np.logical_or.at(out, behind, _covered(seen[behind], axes[front], radius, 0.0))
    out[:, limbs] |= _covered(seen[:, limbs], axes[:, :1], radius[:1], radius[0])
    return out


def _pairs(seen: Floats, axes: Floats, radius: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Persons, and who may hide some of them: those whose rectangles in the picture overlap and who are not behind."""
    depth = np.where(seen[..., 2] > _NEAREST_M, seen[..., 2], np.nan)
    joints = np.nan_to_num(seen[..., :2] / depth[..., None], nan=np.inf)
    ends = (axes[..., :2] / axes[..., 2:]).reshape(len(axes), 2 * len(radius), 2)
    reach = np.repeat(radius / axes[..., 2].min(-1), 2, axis=-1)[..., None]
    low, high = joints.min(1), np.where(np.isinf(joints), -np.inf, joints).max(1)
    capsule_low = np.where(np.isnan(ends), np.inf, ends - reach).min(1)
    capsule_high = np.where(np.isnan(ends), -np.inf, ends + reach).max(1)
    overlap = ((low[:, None] < capsule_high) & (capsule_low < high[:, None])).all(-1)
    farthest = np.where(np.isnan(depth), -np.inf, depth).max(1)
    nearest = np.where(np.isnan(axes[..., 2]), np.inf, axes[..., 2]).min((1, 2))
    overlap &= nearest < farthest[:, None]
    np.fill_diagonal(overlap, False)
    behind, front = np.nonzero(overlap)
    return behind, front


def _covered(joints: Floats, axes: Floats, radius: Floats, behind_m: float) -> NDArray[np.bool_]:
    """Whether one of K bodies' capsules, its axis more than ``behind_m`` nearer, covers joints (K, J, 3) -> (K, J).

    axes (K, S, 2, 3) in camera coordinates, radius (S,) m. The distance is taken in the plane of the picture, at the
    depth of the axis there.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (joints[:, :, None, axis] / joints[:, :, None, 2] for axis in (0, 1))
        near, inverse = axes[..., :2] / axes[..., 2:], 1 / axes[:, None, ..., 2]
        start_x, start_y, stop_x, stop_y = near.reshape(len(near), 1, len(radius), 4).transpose(3, 0, 1, 2)
        way_x, way_y, off_x, off_y = stop_x - start_x, stop_y - start_y, x - start_x, y - start_y
        along = (off_x * way_x + off_y * way_y) / np.maximum(way_x**2 + way_y**2, 1e-12)
        along = np.clip(along, 0, 1)
        nearness = inverse[..., 0] + along * (inverse[..., 1] - inverse[..., 0])
        square = (off_x - along * way_x) ** 2 + (off_y - along * way_y) ** 2
        inside = square < (radius * nearness) ** 2
        return np.asarray((inside & (1 / nearness + behind_m < joints[:, :, None, 2])).any(-1))


@cache
def _capsules(skeleton: Skeleton) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Joints (S, 2 ends, 2) whose middles are capsules' ends, the trunk's first; radii (S,) m; the limbs' joints."""
    sides = [((f"{side}_{a}",), (f"{side}_{b}",), radius) for side in ("left", "right") for a, b, radius in _SIDES]
    have = [one for one in (*_MIDDLE, *sides) if {*one[0], *one[1]} <= set(skeleton.joints)]
    ends = [[[skeleton.index(end[0]), skeleton.index(end[-1])] for end in one[:2]] for one in have]
    limbs = [j for j, joint in enumerate(skeleton.joints) if joint.rpartition("_")[2] in _LIMBS]
    return np.array(ends), np.array([one[2] for one in have]), np.array(limbs)
