"""Anatomical constraints on joint positions: bone lengths, limits of knees and elbows, and the floor.

Each constraint adds normal equations, linear in the number of frames, to those of the measurements. A body is solved in
parts: first the limbs and the torso that joins them, then head, hands and feet against the limbs they are attached to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.structures.anthropometry import FOLDED_COSINE, HYPEREXTENDED_SINE, limb_prior, typical_limbs
from mvcap.structures.body_frame import CORNERS, body_frames
from mvcap.structures.body_prior import known_joints, usual_places
from mvcap.structures.skeleton import Skeleton

_SOFT_SHARE = 0.08  # deviation of a soft bone, such as shoulder to hip, as a share of its length in the window
_POSTURE_SHARE = 0.2  # of a soft bone's length from a single posture
_BEND_SIGMA = 0.05  # of the sine or cosine of a joint angle at its limit
_FLOOR_SIGMA_M = 0.01  # of a joint below the floor
_FEET = ("ankle", "heel", "toe")
_FLOOR_NEAR_M = (-0.03, 0.12)  # height of a standing person's lowest foot joint if the floor is at z = 0
_LOST_M = 0.3  # standard deviation of a torso joint that is not measured
_LENGTH_SHARE, _FAR_SIGMA = 0.25, 3.0  # of a bone that is far too long or short: share, and standard deviations beyond
_POSTURE_S = 0.5  # correlation time of a posture, and with it of a bone's error


@dataclass(frozen=True)
class BoneLengths:
    """Bones of a person with their lengths."""

    ends: Ints
    """(B, 2) joints."""
    length_m: Floats
    """(B,)"""
    sigma_m: Floats
    """(B,) standard deviation of the length in a frame, scaled as if frames were independent."""

    def __getitem__(self, which: NDArray[np.bool_]) -> BoneLengths:
        return BoneLengths(self.ends[which], self.length_m[which], self.sigma_m[which])


def bone_lengths(
    skeleton: Skeleton, limb_length_m: Floats, point: Floats, variance: Floats, limb_sigma: Floats, rate_hz: float
) -> BoneLengths:
    """Limbs of the given lengths, unknown ones from the prior, and soft bones of their length in the window.

    ``point`` (T, J, 3) m with ``variance`` (T, J); ``limb_sigma`` (B',) is the variation of each limb as a share of its
    length. A posture lasts, so errors of consecutive frames are correlated: the deviation of one frame is scaled by the
    square root of the number of correlated frames.
    """
    correlation = np.sqrt(1 + 2 * _POSTURE_S * rate_hz)
    length, share = limb_prior(skeleton, limb_length_m)
    limbs = BoneLengths(skeleton.limbs, length, np.maximum(share, limb_sigma) * length * correlation)
    limb_pairs = {frozenset(pair) for pair in skeleton.limbs.tolist()}
    ends = np.array([pair for pair in skeleton.bones.tolist() if frozenset(pair) not in limb_pairs], np.int64).reshape(
        -1, 2
    )
    length, frames = _typical_lengths(ends, point, variance)
    share = np.hypot(_SOFT_SHARE, _POSTURE_SHARE / np.sqrt(np.maximum(frames, 1) / correlation**2))
    soft = BoneLengths(ends, length, np.minimum(share, 1) * length * correlation)[length > 0]
    both = zip((limbs.ends, limbs.length_m, limbs.sigma_m), (soft.ends, soft.length_m, soft.sigma_m), strict=True)
    return BoneLengths(*(np.concatenate(pair) for pair in both))


def _typical_lengths(ends: Ints, point: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Median lengths (B,) m of bones over the frames, weighted by precision, and in how many frames (B,) they are seen.

    NaN where never seen.
    """
    out, frames = np.full(len(ends), np.nan), np.zeros(len(ends))
    for bone, (a, b) in enumerate(ends):
        length = np.linalg.norm(point[:, b] - point[:, a], axis=-1)
        known = np.isfinite(length)
        if known.any():
            length, weight = length[known], 1 / (variance[known, a] + variance[known, b])
            order = np.argsort(length)
            upto = np.cumsum(weight[order])
            out[bone] = length[order][np.searchsorted(upto, upto[-1] / 2)]
            frames[bone] = known.sum()
    return out, frames


def solve_order(skeleton: Skeleton, bones: BoneLengths) -> list[Ints]:
    """Joints of the parts in the order of solving: limbs and torso, then attached joints, then the rest.

    Single joints, attached to a limb or to nothing, together form one part.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joints = len(skeleton)
    core = np.zeros(joints, np.bool_)
    core[skeleton.limbs] = True
    inner = core[bones.ends].all(-1) | ~core[bones.ends].any(-1)
    ends = bones.ends[inner]
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(joints, joints))
    count, label = connected_components(graph, directed=False)
    parts = [np.flatnonzero(label == number) for number in range(count)]
    connected = sorted((part for part in parts if len(part) > 1), key=lambda part: (not core[part].any(), part[0]))
    single = [part for part in parts if len(part) == 1]
    return [*connected, *([np.sort(np.concatenate(single))] if single else [])]


def beyond_limbs(point: Floats, variance: Floats, bones: BoneLengths) -> NDArray[np.bool_]:
    """Points (T, J, 3) that make one of the person's bones far too long or too short: both ends (T, J) of it.

    ``variance`` (T, J) m^2 of each coordinate. Lengths vary by a quarter between postures and definitions of joints.
    """
    out = np.zeros(point.shape[:2], np.bool_)
    for (a, b), length, sigma in zip(bones.ends.tolist(), bones.length_m, bones.sigma_m, strict=True):
        off = np.abs(np.linalg.norm(point[:, b] - point[:, a], axis=-1) - length)
        spread = np.sqrt(sigma**2 + variance[:, a] + variance[:, b])
        far = off > _LENGTH_SHARE * length + _FAR_SIGMA * spread
        out[:, a] |= far
        out[:, b] |= far
    return out


def add_bones(
    blocks: Floats, right: Floats, x: Floats, fixed_variance: Floats, joints: Ints, bones: BoneLengths
) -> None:
    """Add the bones' normal equations to blocks (T, n, n) and right (T, n) of a part's joints (K,), n = 3 K.

    ``x`` (T, J, 3) m are the current positions of all joints. An end outside the part is fixed, with uncertainty
    ``fixed_variance`` (T, J) m^2.
    """
    place = {int(joint): at for at, joint in enumerate(joints)}
    for (a, b), length, sigma in zip(bones.ends.tolist(), bones.length_m, bones.sigma_m, strict=True):
        if a not in place and b not in place:
            continue
        apart = x[:, b] - x[:, a]
        current = np.maximum(np.linalg.norm(apart, axis=-1), 1e-6)
        along = apart / current[:, None]
        outside = [end for end in (a, b) if end not in place]
        weight = 1 / (sigma**2 + sum(fixed_variance[:, end] for end in outside) + np.zeros(len(x)))
        slope = np.concatenate([sign * along for end, sign in ((a, -1), (b, 1)) if end in place], axis=-1)
        at = np.concatenate([3 * place[end] + np.arange(3) for end in (a, b) if end in place])
        blocks[:, at[:, None], at] += (weight[:, None] * slope)[:, :, None] * slope[:, None]
        right[:, at] += (weight * (length - current))[:, None] * slope


def add_limits(blocks: Floats, right: Floats, x: Floats, joints: Ints, skeleton: Skeleton) -> None:
    """Add the limits that keep knees from bending forward, and knees and elbows from folding through themselves."""
    place = {int(joint): at for at, joint in enumerate(joints)}
    names = {name: at for at, name in enumerate(skeleton.joints)}
    hips = [names.get(f"{side}_hip") for side in ("left", "right")]
    for side in ("left", "right"):
        for chain in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            at = [names.get(f"{side}_{joint}", -1) for joint in chain]
            if any(joint not in place for joint in at):
                continue
            upper, lower = (_unit(x[:, at[one + 1]] - x[:, at[one]]) for one in (0, 1))
            cosine = (upper[0] * lower[0]).sum(-1)
            folded = cosine - FOLDED_COSINE
            slope_up = (lower[0] - cosine[:, None] * upper[0]) / upper[1]
            slope_low = (upper[0] - cosine[:, None] * lower[0]) / lower[1]
            columns = np.concatenate([3 * place[joint] + np.arange(3) for joint in at])
            _add_hinge(blocks, right, columns, folded, slope_up, slope_low)
            if chain[0] == "hip" and None not in hips:
                # The hips define which way a knee bends; no other joint does so for an elbow.
                left = _unit(x[:, hips[0]] - x[:, hips[1]])[0]
                bent = (np.cross(upper[0], lower[0]) * left).sum(-1) + HYPEREXTENDED_SINE
                slope_up, slope_low = np.cross(lower[0], left) / upper[1], np.cross(left, upper[0]) / lower[1]
                _add_hinge(blocks, right, columns, bent, slope_up, slope_low)


def _unit(vectors: Floats) -> tuple[Floats, Floats]:
    """Directions (T, 3) and lengths (T, 1)."""
    length = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-3)
    return vectors / length, length


def _add_hinge(
    blocks: Floats, right: Floats, columns: Ints, value: Floats, slope_up: Floats, slope_low: Floats
) -> None:
    """Add the residual of three joints (upper end, middle, lower end) where its value (T,) is below 0."""
    frames = np.flatnonzero(value < 0)
    if not len(frames):
        return
    up, low = slope_up[frames], slope_low[frames]
    slope = np.concatenate([-up, up - low, low], axis=-1) / _BEND_SIGMA
    at = frames[:, None]
    blocks[frames[:, None, None], columns[:, None], columns] += slope[:, :, None] * slope[:, None]
    right[at, columns] -= (value[frames] / _BEND_SIGMA)[:, None] * slope


@dataclass(frozen=True)
class UsualPlaces:
    """Prior positions of joints within a body, for joints that are not measured."""

    joints: Ints
    """(K,) joints that have a prior position."""
    place_m: Floats
    """(K, 3) in the body's frame."""
    sigma_m: Floats
    """(K,) standard deviation of the position in a frame, scaled as if frames were independent."""
    torso: Ints
    """(4,) joints that define the body's frame."""
    lost: NDArray[np.bool_]
    """(T, J) joints that are not measured."""
    rate_hz: float


def usual_places_of(
    skeleton: Skeleton, limb_length_m: Floats, lost: NDArray[np.bool_], share: float, rate_hz: float
) -> UsualPlaces | None:
    """Prior positions, their deviation times ``share``; None for a skeleton without a torso, or share 0."""
    names = {name: at for at, name in enumerate(skeleton.joints)}
    if not share or any(name not in names for name in CORNERS):
        return None
    kind = known_joints(skeleton)
    place, spread = usual_places([skeleton.joints[at] for at in kind])
    length, _ = limb_prior(skeleton, limb_length_m)
    size = float(np.median(length / typical_limbs(skeleton)))
    correlation = np.sqrt(1 + 2 * _POSTURE_S * rate_hz)
    torso = np.array([names[name] for name in CORNERS])
    return UsualPlaces(kind, size * place, share * size * spread * correlation, torso, lost, rate_hz)


def add_usual_places(blocks: Floats, right: Floats, x: Floats, joints: Ints, prior: UsualPlaces) -> None:
    """Add the prior positions, ``prior``, of joints that are not measured."""
    at = {int(joint): place for place, joint in enumerate(joints)}
    variance = np.where(prior.lost[:, prior.torso], _LOST_M**2, 0)
    turn, origin = body_frames(x[:, prior.torso], variance, prior.rate_hz)
    for joint, place, sigma in zip(prior.joints.tolist(), prior.place_m, prior.sigma_m, strict=True):
        frames = np.flatnonzero(prior.lost[:, joint]) if joint in at else np.zeros(0, np.int64)
        if not len(frames):
            continue
        column = 3 * at[joint] + np.arange(3)
        goal = origin[frames] + place @ turn[frames]
        blocks[frames[:, None], column, column] += 1 / sigma**2
        right[frames[:, None], column] += (goal - x[frames, joint]) / sigma**2


def floor_at_zero(skeleton: Skeleton, point: Floats) -> bool:
    """Whether the floor is at z = 0: in most frames the lowest foot joint is as high as when standing."""
    feet = [at for at, joint in enumerate(skeleton.joints) if any(part in _FEET for part in joint.split("_"))]
    height = point[:, feet, 2]
    height = height[np.isfinite(height).any(-1)] if feet else np.zeros((0, 1))
    if not len(height):
        return False
    low, middle = np.percentile(np.nanmin(height, axis=-1), (10, 50))
    return bool(low > _FLOOR_NEAR_M[0] and middle < _FLOOR_NEAR_M[1])


def add_floor(blocks: Floats, right: Floats, x: Floats, joints: Ints) -> None:
    """Add the constraint that joints are not below z = 0."""
    frame, joint = np.nonzero(x[:, joints, 2] < 0)
    column = 3 * joint + 2
    blocks[frame, column, column] += 1 / _FLOOR_SIGMA_M**2
    right[frame, column] -= x[frame, joints[joint], 2] / _FLOOR_SIGMA_M**2
