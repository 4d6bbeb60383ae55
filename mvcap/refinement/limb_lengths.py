"""How long each limb of a person is over the take, and how constant it stays: at flat memory, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.structures.anthropometry import SIDES_SPREAD, limb_lengths, limb_spreads, mirror_limbs, typical_limbs
from mvcap.structures.poses import Poses3D, full_covariance
from mvcap.structures.row_source import RowSource
from mvcap.structures.skeleton import Skeleton

_LONGEST_M = 1.5
_BINS_PER_M, _COARSE_PER_M = 1000, 200
_POSTURE_S = 1.0  # a limb looks as long as it does for about so long
_LEVELS_M: Floats = 0.0015 * np.sqrt(2.0) ** np.arange(14)  # of the noise of a length, 1.5 mm to 0.14 m
_LEAST_CONSTANT = 0.2
_TRIED: Floats = np.concatenate([[0.0], np.geomspace(0.004, _LEAST_CONSTANT, 40)])


@dataclass(frozen=True)
class PersonLimbs:
    """Limbs of one person."""

    length_m: Floats
    """(B',) NaN for a limb that is never seen on either side."""
    sigma: Floats
    """(B',) by what share of it a limb may be longer or shorter while a posture lasts: what it is seen to vary beyond
    the noise, and what is not known of its length."""


def person_limbs(poses: RowSource[Poses3D], rate_hz: float) -> dict[int, PersonLimbs]:
    """Limbs of each person over the take.

    Each observation counts by its precision, so that a limb seen by two cameras at a bad angle weighs less than
    one that four cameras surround. The observations are weighed against the same limb on the other side of the body
    and against what is usual for a human of this size.
    """
    kind = poses.skeleton
    held: dict[int, _Sights] = {}
    for rows in poses.chunks():
        length, variance = _measured(rows)
        known = np.isfinite(length) & (variance > 0)
        for person in np.unique(rows.person):
            mine = (rows.person == person)[:, None] & known
            held.setdefault(int(person), _Sights(len(kind.limbs))).add(length, variance, mine)
    out = {}
    for person, observations in held.items():
        length, doubt = _weighed(kind, *observations.medians(rate_hz))
        # What is not known of a length is no reason for it to change: it counts as the error of one frame.
        sigma = np.hypot(observations.inconstancy(), doubt / np.sqrt(1 + _POSTURE_S * rate_hz))
        out[person] = PersonLimbs(length, np.minimum(sigma, _LEAST_CONSTANT))
    return out


def _measured(rows: Poses3D) -> tuple[Floats, Floats]:
    """Lengths (M, B') m of the limbs and their variance m^2, that of the two ends along the limb."""
    ends, length = rows.skeleton.limbs, limb_lengths(rows.skeleton, rows.xyz)
    apart = (rows.xyz[:, ends[:, 1]] - rows.xyz[:, ends[:, 0]]).astype(np.float64)
    along = apart / np.maximum(length, 1e-6)[..., None]
    cov = full_covariance(rows.cov[:, ends].astype(np.float64).sum(2))
    return length, np.einsum("mbi,mbij,mbj->mb", along, cov, along)


class _Sights:
    """Histograms of the lengths of one person's limbs."""

    def __init__(self, limbs: int) -> None:
        self.weight = np.zeros((limbs, round(_LONGEST_M * _BINS_PER_M)))
        """(B', N) precision of the observations of each length"""
        self.square = np.zeros(limbs)
        self.count = np.zeros((limbs, round(_LONGEST_M * _COARSE_PER_M), len(_LEVELS_M)), np.float32)
        """(B', N', K) observations of each length and noise"""

    def add(self, length: Floats, variance: Floats, known: NDArray[np.bool_]) -> None:
        """Count lengths (M, B') m of variance (M, B') m^2 where known."""
        row, limb = np.nonzero(known)
        metres = np.clip(length[row, limb], 0, _LONGEST_M * (1 - 1e-9))
        weight = 1 / variance[row, limb]
        np.add.at(self.weight, (limb, (metres * _BINS_PER_M).astype(np.int64)), weight)
        np.add.at(self.square, limb, weight**2)
        level = np.rint(2 * np.log2(np.sqrt(variance[row, limb]) / _LEVELS_M[0]))
        level = np.clip(level, 0, len(_LEVELS_M) - 1).astype(np.int64)
        np.add.at(self.count, (limb, (metres * _COARSE_PER_M).astype(np.int64), level), 1)

    def medians(self, rate_hz: float) -> tuple[Floats, Floats]:
        """Median lengths (B',) m and their standard deviations; NaN for a limb never seen.

        The deviation of a median of independent normal numbers is 1.25 times that of their mean; observations
        of one posture are as good as one. No length is known better than the noise of all its observations lets it.
        """
        low, middle, high = (_quantiles(self.weight, share) for share in (0.16, 0.5, 0.84))
        total = self.weight.sum(1)
        postures = np.maximum(total**2 / np.maximum(self.square, 1e-30) / (1 + _POSTURE_S * rate_hz), 1)
        spread = np.maximum((high - low) / 2, 1 / _BINS_PER_M)
        sigma = 1.25 * np.maximum(spread / np.sqrt(postures), 1 / np.sqrt(np.maximum(total, 1e-30)))
        return middle, np.where(np.isfinite(middle), sigma, np.nan)

    def inconstancy(self) -> Floats:
        """By what share of it (B',) each limb's length differs beyond the noise, at most ``_LEAST_CONSTANT``.

        Of normal numbers divided by their standard deviation the mean of exp(-z^2 / 2), which outliers hardly move
        (Welsch), is the root of a half: the least deviation that explains this together with the noise is taken, the
        noise as large as it may well be. 0 where too few observations tell.
        """
        observations = self.count.sum((1, 2))
        middle = _quantiles(self.weight, 0.5)
        place = (np.arange(self.count.shape[1]) + 0.5) / _COARSE_PER_M
        noise = _LEVELS_M**2 + 1 / (12 * _COARSE_PER_M**2)
        out = np.zeros(len(observations))
        for limb in np.flatnonzero(observations > 1):
            used = np.flatnonzero(self.count[limb].any(-1))
            count, off = self.count[limb, used].astype(np.float64), (place[used] - middle[limb])[:, None, None]
            doubt = 1 + 1 / np.sqrt(observations[limb])
            variance = doubt**2 * noise[:, None] + (_TRIED * middle[limb]) ** 2
            fits = (np.exp(-(off**2) / (2 * variance)) * count[..., None]).sum((0, 1)) / observations[limb]
            enough = fits >= np.sqrt(0.5)
            out[limb] = _TRIED[enough.argmax()] if enough.any() else _LEAST_CONSTANT
        return out


def _quantiles(counts: Floats, share: float) -> Floats:
    """Quantiles (B',) m of weighted histograms (B', N); NaN for an empty one."""
    below = np.cumsum(counts, axis=1)
    wanted = below[:, -1:] * share
    bin_ = np.argmax(below >= wanted, axis=1)
    limb = np.arange(len(counts))
    inside = (wanted[:, 0] - (below[limb, bin_] - counts[limb, bin_])) / np.maximum(counts[limb, bin_], 1e-30)
    return np.asarray(np.where(below[:, -1] > 0, (bin_ + inside) / _BINS_PER_M, np.nan))


def _weighed(kind: Skeleton, length: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Lengths (B',) m: what is seen, the mirror image and what is usual, by their precision; NaN if never seen.

    With them their standard deviation as a share of them, 0 where there is none.
    """
    usual, known = typical_limbs(kind), np.isfinite(length)
    if not known.any():
        return length, np.zeros(len(length))
    ratio, surest = length / usual, np.argsort(np.where(known, sigma / usual, np.inf))
    scale = float(np.median(ratio[surest[: max(1, known.sum() // 2)]]))
    twin = mirror_limbs(kind)
    sides = np.hypot(sigma[twin], SIDES_SPREAD * length[twin])
    said = np.stack([length, length[twin], scale * usual])
    sides = np.where(twin == np.arange(len(twin)), np.nan, sides)
    precision = 1 / np.stack([sigma, sides, limb_spreads(kind) * said[2]]) ** 2
    precision = np.where(np.isfinite(said) & np.isfinite(precision), precision, 0)
    total = precision.sum(0)
    mean, known = (np.nan_to_num(said) * precision).sum(0) / total, known | known[twin]
    return np.where(known, mean, np.nan), np.where(known, 1 / np.sqrt(total) / mean, 0)
