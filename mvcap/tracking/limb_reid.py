"""Re-identification by limb lengths: evidence in nats for the same person, against another one of the population.

Lengths are compared by their logarithm, left and right limbs of a kind together. The uncertainty of a mean length
follows from its scatter over time. That scatter is not independent noise of single frames: a limb's error depends on
the pose, so frames close in time are correlated. What remains after any number of frames is the estimator's bias.
"""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats
from mvcap.structures.anthropometry import limb_lengths, typical_limbs
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

MOMENTS = 4
_NOISE = 0.03  # least deviation of a length's logarithm in one frame: it depends on the pose, whatever the covariance
_RANGE = (0.3, 2.0)  # times an adult's length; others are not used
_POSE_S = 0.4  # correlation time of the pose, and with it of the error of limb lengths
_BIAS = 0.02  # of a length's logarithm, however long it was measured: it depends on the body's position and orientation
_STATURE, _BUILD = 0.06, 0.03  # deviation between adults, of all limbs together and of each kind (ANSUR II, both sexes)
_UNKNOWN = 1e4  # variance of a limb that was not seen


def limb_sums(rows: Poses3D) -> Floats:
    """Sums (M, B', 4) of each limb in each row: 1, weight, weight x log of the length, weight x its square."""
    kind = rows.skeleton
    with np.errstate(invalid="ignore"):  # joints at infinity
        length = limb_lengths(kind, rows.xyz)
    variance = rows.cov[..., [0, 3, 5]].astype(np.float64).mean(-1)[:, kind.limbs].sum(-1)
    share = length / typical_limbs(kind)
    known = (share > _RANGE[0]) & (share < _RANGE[1])
    length = np.where(known, length, 1.0)
    weight = known / (np.nan_to_num(np.maximum(variance, 0), posinf=1e6) / length**2 + _NOISE**2)
    log = np.log(length)
    return np.stack([known, weight, weight * log, weight * log**2], axis=-1)


def limb_scatter(sums: Floats) -> Floats:
    """Standard deviation (..., B') over time of the logarithm of limb lengths, from ``limb_sums``; NaN = unknown."""
    count, weight, first, second = np.moveaxis(sums, -1, 0)
    total = np.where(count > 1, weight, np.nan)
    return np.asarray(np.sqrt(np.maximum(second / total - (first / total) ** 2, 0)))


class LimbProfile:
    """Mean logarithm (..., L) of the length of each kind of limb, and its variance; leading axes are free."""

    def __init__(self, skeleton: Skeleton, sums: Floats, rate_hz: float) -> None:
        spread = np.maximum(np.nan_to_num(limb_scatter(sums)), _NOISE)
        count, weight, first, _ = np.moveaxis(sums, -1, 0)
        samples = np.maximum(count / (_POSE_S * rate_hz), 1e-9)
        precision = np.where(count > 0, samples / spread**2, 0.0)
        mean = np.where(count > 0, first / np.maximum(weight, 1e-30), 0.0)
        kinds = _kinds(skeleton)
        total = precision @ kinds
        self.mean: Floats = np.asarray((precision * mean) @ kinds / np.maximum(total, 1e-30))
        self.variance: Floats = np.asarray(np.where(total > 0, 1 / np.maximum(total, 1e-30) + _BIAS**2, _UNKNOWN))


def _kinds(skeleton: Skeleton) -> Floats:
    """Matrix (B', L) of limbs and their kinds: left and right are the same kind."""
    names = [frozenset(skeleton.joints[j].removeprefix("left_").removeprefix("right_") for j in pair)
             for pair in skeleton.limbs.tolist()]  # fmt: skip
    kinds = sorted(set(names), key=sorted)
    return np.array([[float(name == kind) for kind in kinds] for name in names]).reshape(len(names), len(kinds))


def same_person_nats(a: LimbProfile, b: LimbProfile) -> Floats:
    """Evidence (N, K) in nats that bodies a (N, L) and b (K, L) are one person, against two of the population."""
    off = a.mean[:, None] - b.mean[None]
    variance = a.variance[:, None] + b.variance[None]
    off = np.where(variance < _UNKNOWN, off, 0.0)
    # The covariance of two people is a diagonal plus a rank-one stature term: closed inverse and determinant.
    other = variance + 2 * _BUILD**2
    shared = 2 * _STATURE**2
    stature = 1 + shared * (1 / other).sum(-1)
    squares = (off**2 / other).sum(-1) - shared * (off / other).sum(-1) ** 2 / stature
    volume = np.log(other / variance).sum(-1) + np.log(stature)
    return np.asarray((volume + squares - (off**2 / variance).sum(-1)) / 2)


def limb_distance(a: LimbProfile, b: LimbProfile) -> tuple[Floats, Floats]:
    """Difference (N, K) of limbs: as a share of their length, the mean over kinds, and in standard deviations."""
    off = a.mean[:, None] - b.mean[None]
    variance = a.variance[:, None] + b.variance[None]
    precision = np.where(variance < _UNKNOWN, 1 / variance, 0.0)
    known = np.maximum((precision > 0).sum(-1), 1)
    share = np.abs(off * precision).sum(-1) / np.maximum(precision.sum(-1), 1e-30)
    return np.asarray(share), np.asarray(np.sqrt((off**2 * precision).sum(-1) / known))
