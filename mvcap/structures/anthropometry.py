"""How large people are: the one place that knows human measures.

Segment lengths of adults as shares of stature (Winter, "Biomechanics and Motor Control of Human Movement", 4th ed.,
fig. 4.1), for a stature of 1.72 m. A single range of scales covers small children to very tall adults.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.skeleton import Skeleton

STATURE_M = 1.72
_SHARE: Mapping[frozenset[str], float] = {
    frozenset({"shoulder", "elbow"}): 0.186,
    frozenset({"elbow", "wrist"}): 0.146,
    frozenset({"hip", "knee"}): 0.245,
    frozenset({"knee", "ankle"}): 0.246,
    frozenset({"hip"}): 0.12,
}
LONGEST_LIMB = 1.6
"""Longest limb there is, as a share of a typical adult's: joints as detectors see them are not where bones end."""
TORSO_DEPTH_M = 0.2
"""Two torsos cannot be closer: a chest is 0.2 m to 0.3 m deep."""
REACH_M = 1.3
"""No joint is further from the middle of its body: an arm stretched up, or a leg, with room for the tallest."""
SMALLEST, LARGEST = 0.4, 1.35
"""Stature of the people there are, as a share of ``STATURE_M``: 0.7 m to 2.3 m."""
LIMB_SPREAD, HIPS_SPREAD = 0.1, 0.4
"""Standard deviation of a limb's share of stature between people, with what estimators mean by its ends: hips are
0.1 m apart where motion capture puts them, and 0.3 m where people mark the outside."""
SIDES_SPREAD = 0.025
"""Standard deviation of a limb's length from its mirror image's in one person, as a share of it."""
HYPEREXTENDED_SINE = 0.17
"""Knees stretch at most about 10 degrees beyond straight (Norkin and White, "Measurement of Joint Motion", 5th ed.)."""
FOLDED_COSINE = -0.94
"""Elbows and knees fold to at most 160 degrees from straight, with 10 degrees of grace for what estimators mean by
them (Norkin and White: 150 for both)."""


def limb_lengths(skeleton: Skeleton, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Lengths (..., B') m of ``skeleton.limbs`` in joints (..., J, 3) m; NaN where an end is missing."""
    ends = xyz[..., skeleton.limbs, :].astype(np.float64)
    return np.asarray(np.linalg.norm(ends[..., 1, :] - ends[..., 0, :], axis=-1))


def too_long_limbs(skeleton: Skeleton, xyz: NDArray[np.floating], variance: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Joints (..., J) that would make a limb longer than any human's: of its two ends the one less well known.

    variance (..., J): sum over the axes, m^2; three standard deviations of both ends are no stretch.
    """
    ends = skeleton.limbs
    room = 3 * np.sqrt((variance[..., ends[:, 0]] + variance[..., ends[:, 1]]) / 3)
    too_long = limb_lengths(skeleton, xyz) > LONGEST_LIMB * typical_limbs(skeleton) + np.nan_to_num(room)
    worse = np.where(variance[..., ends[:, 0]] > variance[..., ends[:, 1]], ends[:, 0], ends[:, 1])
    out = np.zeros(xyz.shape[:-1], dtype=np.bool_)
    for limb in range(len(ends)):
        for end in ends[limb]:
            out[..., end] |= too_long[..., limb] & (worse[..., limb] == end)
    return out


def typical_limbs(skeleton: Skeleton) -> NDArray[np.float64]:
    """Lengths (B',) m of ``skeleton.limbs`` in an adult of ``STATURE_M``."""
    kinds = [frozenset(skeleton.joints[j].split("_")[1] for j in pair) for pair in skeleton.limbs]
    return np.array([_SHARE[kind] * STATURE_M for kind in kinds])


def limb_spreads(skeleton: Skeleton) -> NDArray[np.float64]:
    """Standard deviations (B',) of the lengths of limbs between bodies of one size, as shares of them."""
    return np.array([HIPS_SPREAD if "hip" in skeleton.joints[a] and "hip" in skeleton.joints[b] else LIMB_SPREAD
                     for a, b in skeleton.limbs])  # fmt: skip


def mirror_limbs(skeleton: Skeleton) -> NDArray[np.int64]:
    """Index (B',) of the limb on the other side of the body; one that has none is its own."""
    pairs = skeleton.limbs.tolist()
    order = {frozenset(pair): at for at, pair in enumerate(pairs)}
    return np.array(
        [order.get(frozenset(skeleton.mirror[pair].tolist()), at) for at, pair in enumerate(pairs)], np.int64
    )


def limb_prior(skeleton: Skeleton, length_m: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths (B',) m of limbs of which some may be NaN, and how far each may be off, as a share of it.

    What is known stays and is taken as exact. An unknown limb is as long as its mirror image, else as usual for a body
    of the size that the known limbs show; of a body without known limbs the size is that of any human.
    """
    length = np.array(length_m, dtype=np.float64)
    share = np.where(np.isfinite(length), 0.0, limb_spreads(skeleton))
    other = length[mirror_limbs(skeleton)]
    use = ~np.isfinite(length) & np.isfinite(other)
    length[use], share[use] = other[use], SIDES_SPREAD
    usual = typical_limbs(skeleton)
    known = np.isfinite(length)
    if not known.all():
        scale = float(np.median(length[known] / usual[known])) if known.any() else 1.0
        length[~known] = scale * usual[~known]
        if not known.any():
            share = np.hypot(limb_spreads(skeleton), (LARGEST - SMALLEST) / 4)
    return length, share


def body_scale(skeleton: Skeleton, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Size (...,) of bodies (..., J, 3) as a share of ``STATURE_M``: the median over limbs; NaN without any limb."""
    ratio = limb_lengths(skeleton, xyz) / typical_limbs(skeleton)
    known = np.isfinite(ratio).any(-1)
    out = np.full(ratio.shape[:-1], np.nan)
    out[known] = np.nanmedian(ratio[known], axis=-1)
    return out


def scale_noise(skeleton: Skeleton, variance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standard deviation (...,) of the logarithm of ``body_scale`` from variances (..., J) m^2 of each coordinate.

    NaN = unknown; 0 without any limb.
    """
    spread = np.sqrt(variance)[..., skeleton.limbs].sum(-1) / typical_limbs(skeleton)  # both ends, as a share
    known = np.isfinite(spread)
    count = np.maximum(known.sum(-1), 1)
    return np.asarray(np.where(known, spread, 0).sum(-1) / count**1.5)


def plausible_size(
    skeleton: Skeleton, xyz: NDArray[np.floating], variance: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """Whether each body (..., J, 3) is of human size; one whose limbs are not known is given the benefit of doubt.

    variance (..., J), m^2 of each coordinate: three standard deviations of what it makes of the size are allowed.
    """
    scale = body_scale(skeleton, xyz)
    room = 1.0 if variance is None else np.exp(3 * scale_noise(skeleton, variance))
    return np.asarray(~(scale < SMALLEST / room) & ~(scale > LARGEST * room))
