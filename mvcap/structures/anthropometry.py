"""Human body measures: limb lengths, their spreads and limits.

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
"""Longest possible limb, relative to a typical adult's, as detected joints are not exactly at the ends of bones."""
TORSO_DEPTH_M = 0.2
"""Smallest possible distance of two torsos: a chest is 0.2 m to 0.3 m deep."""
REACH_M = 1.3
"""Largest distance of a joint from the centre of its body: an arm stretched up, or a leg, of the tallest people."""
SMALLEST, LARGEST = 0.4, 1.35
"""Range of human stature, as a share of ``STATURE_M``: 0.7 m to 2.3 m."""
LIMB_SPREAD, HIPS_SPREAD = 0.1, 0.4
"""Standard deviation of a limb's share of stature between people, including different joint definitions of the
estimators: hips are 0.1 m apart in motion capture, and 0.3 m apart if annotators mark the outside."""
SIDES_SPREAD = 0.025
"""Standard deviation of the difference between a left and a right limb of one person, as a share of the length."""
HYPEREXTENDED_SINE = 0.17
"""Knees extend at most about 10 degrees beyond straight (Norkin and White, "Measurement of Joint Motion", 5th ed.)."""
FOLDED_COSINE = -0.94
"""Elbows and knees flex at most 160 degrees from straight, which includes 10 degrees of tolerance for joint definitions
of the estimators (Norkin and White: 150 for both)."""


def limb_lengths(skeleton: Skeleton, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return lengths (..., B') m of ``skeleton.limbs`` for joints (..., J, 3) m; NaN where an end is missing."""
    ends = xyz[..., skeleton.limbs, :].astype(np.float64)
    return np.asarray(np.linalg.norm(ends[..., 1, :] - ends[..., 0, :], axis=-1))


def too_long_limbs(skeleton: Skeleton, xyz: NDArray[np.floating], variance: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which joints (..., J) make a limb too long for a human: of its two ends the one of larger variance.

    variance (..., J): sum over the axes, m^2; three standard deviations of both ends are tolerated.
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
    """Return lengths (B',) m of ``skeleton.limbs`` of an adult of ``STATURE_M``."""
    kinds = [frozenset(skeleton.joints[j].split("_")[1] for j in pair) for pair in skeleton.limbs]
    return np.array([_SHARE[kind] * STATURE_M for kind in kinds])


def limb_spreads(skeleton: Skeleton) -> NDArray[np.float64]:
    """Return standard deviations (B',) of limb lengths between bodies of one size, as shares of the length."""
    return np.array([HIPS_SPREAD if "hip" in skeleton.joints[a] and "hip" in skeleton.joints[b] else LIMB_SPREAD
                     for a, b in skeleton.limbs])  # fmt: skip


def mirror_limbs(skeleton: Skeleton) -> NDArray[np.int64]:
    """Return the index (B',) of the limb on the other side of the body; a limb without one has its own index."""
    pairs = skeleton.limbs.tolist()
    order = {frozenset(pair): at for at, pair in enumerate(pairs)}
    return np.array(
        [order.get(frozenset(skeleton.mirror[pair].tolist()), at) for at, pair in enumerate(pairs)], np.int64
    )


def limb_prior(skeleton: Skeleton, length_m: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return limb lengths (B',) m without NaN, and their standard deviations as shares of the length.

    Known lengths are kept and taken as exact. An unknown limb has the length of the limb on the other side, otherwise
    the typical length for the body size that the known limbs give; without known limbs the size may be any human's.
    """
    length = np.array(length_m, dtype=np.float64)
    share = np.where(np.isfinite(length), 0.0, limb_spreads(skeleton))
    other = length[mirror_limbs(skeleton)]
    use = ~np.isfinite(length) & np.isfinite(other)
    length[use], share[use] = other[use], SIDES_SPREAD
    typical = typical_limbs(skeleton)
    known = np.isfinite(length)
    if not known.all():
        scale = float(np.median(length[known] / typical[known])) if known.any() else 1.0
        length[~known] = scale * typical[~known]
        if not known.any():
            share = np.hypot(limb_spreads(skeleton), (LARGEST - SMALLEST) / 4)
    return length, share


def body_scale(skeleton: Skeleton, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the size (...,) of bodies (..., J, 3) m relative to ``STATURE_M``, median over limbs; NaN if unknown."""
    return _median(limb_lengths(skeleton, xyz) / typical_limbs(skeleton))


def _median(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Median (...,) of the finite values of (..., N), NaN without any; NumPy's own is slow for few values."""
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(np.where(np.isfinite(values), values, np.nan), axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(-1, keepdims=True)
    low, high = (np.take_along_axis(ordered, np.maximum(at, 0) // 2, axis=-1) for at in (count - 1, count))
    return np.asarray(np.where(count > 0, 0.5 * (low + np.where(count > 0, high, low)), np.nan)[..., 0], np.float64)


def scale_noise(skeleton: Skeleton, variance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the standard deviation (...,) of the logarithm of ``body_scale``; 0 without any limb.

    variance (..., J): of each coordinate of a joint, m^2, NaN = unknown.
    """
    spread = np.sqrt(variance)[..., skeleton.limbs].sum(-1) / typical_limbs(skeleton)  # of both ends, relative
    known = np.isfinite(spread)
    count = np.maximum(known.sum(-1), 1)
    return np.asarray(np.where(known, spread, 0).sum(-1) / count**1.5)


def plausible_size(
    skeleton: Skeleton, xyz: NDArray[np.floating], variance: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """Return whether each body (..., J, 3) m is of human size; True for bodies without known limbs.

    variance (..., J): of each coordinate of a joint, m^2; three standard deviations of the size are tolerated.
    """
    scale = body_scale(skeleton, xyz)
    room = 1.0 if variance is None else np.exp(3 * scale_noise(skeleton, variance))
    return np.asarray(~(scale < SMALLEST / room) & ~(scale > LARGEST * room))
