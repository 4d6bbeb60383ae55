"""Occlusion of joints by bodies, which are modelled as capsules of human size."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Floats
from mvcap.structures.skeleton import Skeleton

_SHOULDERS, _HIPS, _EARS = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("left_ear", "right_ear"))
# Both ends of a capsule, each the middle of the named joints, and its radius in metres: half the thickness of that part
# of an adult body. Those of the limbs exist twice, left and right.
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
"""Bodies closer to the camera than this are ignored."""


def occluded(camera: Camera, skeleton: Skeleton, xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each joint (..., P, J) of people xyz (..., P, J, 3) m is occluded by a body in the camera's picture.

    A joint is occluded by another person where its ray passes the axis of one of their capsules closer than the radius
    and the axis is nearer to the camera there; elbows, wrists, knees and ankles also where they are behind the far side
    of their own trunk. Joints and capsules with unknown positions neither occlude nor are occluded. The axes before P
    are moments: people occlude each other only at the same moment.
    """
    ends, radius, limbs = _capsules(skeleton)
    pose = camera.cam_from_world
    shape = np.shape(xyz)[:-1]
    people = np.asarray(xyz, np.float64).reshape(-1, *shape[-1:], 3) @ pose[:3, :3].T + pose[:3, 3]
    axes = people[:, ends].mean(-2)  # (N, S, 2 ends, 3)
    axes[~(axes[..., 2] > _NEAREST_M).all(-1)] = np.nan
    bodies = _Capsules(axes, radius)
    with np.errstate(invalid="ignore", divide="ignore"):
        flat = people[..., :2] / people[..., 2:]
    out, depth = np.zeros(people.shape[:2], bool), people[..., 2]
    _mark_covered(out, flat, depth, bodies, _candidates(flat, depth, bodies, shape[-2]))
    own, limb = (side.ravel() for side in np.meshgrid(np.arange(len(people)), limbs, indexing="ij"))
    _mark_covered(out, flat, depth, bodies, (own, own, limb), 1, radius[0])
    return out.reshape(shape)


class _Capsules:
    """Bodies of capsules as a camera sees them: axes (N, S, 2 ends, 3) m in its frame, radius (S,) m."""

    def __init__(self, axes: Floats, radius: Floats) -> None:
        self.start, stop = axes[:, :, 0, :2] / axes[:, :, 0, 2:], axes[:, :, 1, :2] / axes[:, :, 1, 2:]
        self.way, self.radius = stop - self.start, radius
        self.length = np.maximum((self.way**2).sum(-1), 1e-12)
        self.nearness, far = 1 / axes[:, :, 0, 2], 1 / axes[:, :, 1, 2]
        self.drop = far - self.nearness
        # The nearer end of the axis is its nearest point, so the projected radius is largest there.
        reach = (radius * np.maximum(self.nearness, far))[..., None]
        self.low, self.high = np.minimum(self.start, stop) - reach, np.maximum(self.start, stop) + reach
        self.depth = axes[..., 2].min(-1)


Which = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]


def _candidates(flat: Floats, depth: Floats, bodies: _Capsules, people: int) -> Which:
    """Candidate occlusions: body, occluding body and joint (n,) each, where the joint is in the other's rectangle."""
    low = np.where(np.isnan(bodies.low), np.inf, bodies.low).min(1)
    high = np.where(np.isnan(bodies.high), -np.inf, bodies.high).max(1)
    nearest = np.where(np.isnan(bodies.depth), np.inf, bodies.depth).min(1)
    found = []
    for step in range(1, people):
        me = np.arange(len(flat))
        other = me - me % people + (me + step) % people
        with np.errstate(invalid="ignore"):
            inside = ((low[other, None] < flat) & (flat < high[other, None])).all(-1)
            inside &= (depth > nearest[other, None]) & (depth > _NEAREST_M)
        one, joint = np.nonzero(inside)
        found.append((one, other[one], joint))
    found.append((np.zeros(0, np.intp),) * 3)
    one, other, joint = (np.concatenate(side) for side in zip(*found, strict=True))
    return one, other, joint


def _mark_covered(
    out: NDArray[np.bool_],
    flat: Floats,
    depth: Floats,
    bodies: _Capsules,
    which: Which,
    first: int = 0,
    behind_m: float = 0.0,
) -> None:
    """Mark in ``out`` (N, J) the joints that one of the other body's capsules covers, its axis ``behind_m`` nearer.

    which: body, covering body and joint (n,) each; of the capsules only the ``first`` few count, 0 = all. The distance
    is taken in the plane of the picture, at the depth of the axis there.
    """
    one, other, joint = which
    point, parts = flat[one, joint][:, None], slice(first or None)
    with np.errstate(invalid="ignore"):
        inside = ((bodies.low[other, parts] < point) & (point < bodies.high[other, parts])).all(-1)
    at, part = np.nonzero(inside)
    one, joint, body = one[at], joint[at], (other[at], part)
    off_x, off_y = (flat[one, joint] - bodies.start[body]).T
    way_x, way_y = bodies.way[body].T
    along = np.clip((off_x * way_x + off_y * way_y) / bodies.length[body], 0, 1)
    nearness = bodies.nearness[body] + along * bodies.drop[body]
    square = (off_x - along * way_x) ** 2 + (off_y - along * way_y) ** 2
    covered = (square < (bodies.radius[part] * nearness) ** 2) & (1 / nearness + behind_m < depth[one, joint])
    out[one[covered], joint[covered]] = True


def body_capsules(skeleton: Skeleton) -> tuple[NDArray[np.int64], Floats]:
    """Return joints (S, 2 ends, 2) whose middles are the ends of a body's capsules, and radii (S,) m of an adult."""
    return _capsules(skeleton)[:2]


@cache
def _capsules(skeleton: Skeleton) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Joints (S, 2 ends, 2) whose middles are capsules' ends, the trunk's first; radii (S,) m; the limbs' joints."""
    sides = [((f"{side}_{a}",), (f"{side}_{b}",), radius) for side in ("left", "right") for a, b, radius in _SIDES]
    have = [one for one in (*_MIDDLE, *sides) if {*one[0], *one[1]} <= set(skeleton.joints)]
    ends = [[[skeleton.index(end[0]), skeleton.index(end[-1])] for end in one[:2]] for one in have]
    limbs = [j for j, joint in enumerate(skeleton.joints) if joint.rpartition("_")[2] in _LIMBS]
    return np.array(ends), np.array([one[2] for one in have]), np.array(limbs)
