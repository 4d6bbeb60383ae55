"""Length of each limb of a person over the take, and its variation: in one pass and constant memory."""

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
_POSTURE_S = 1.0  # correlation time of a limb's apparent length
_LEVELS_M: Floats = 0.0015 * np.sqrt(2.0) ** np.arange(14)  # noise levels of a length, 1.5 mm to 0.14 m
_MOST_VARIATION = 0.2  # largest deviation of a limb, as a share of its length
_CANDIDATES: Floats = np.concatenate([[0.0], np.geomspace(0.004, _MOST_VARIATION, 40)])


@dataclass(frozen=True)
class PersonLimbs:
    """Limbs of one person."""

    length_m: Floats
    """(B',) NaN for a limb that is never seen on either side."""
    sigma: Floats
    """(B',) deviation of a limb within one posture, as a share of its length: the variation measured beyond the noise,
    and the uncertainty of the length."""


def person_limbs(poses: RowSource[Poses3D], rate_hz: float) -> dict[int, PersonLimbs]:
    """Limbs of each person over the take.

    Each observation is weighted by its precision, so that a limb seen by two cameras at a bad angle weighs less than
    one that four cameras surround. The result is combined with the same limb on the other side of the body and with the
    population mean for a person of this size.
    """
    kind = poses.skeleton
    histograms: dict[int, _LengthHistograms] = {}
    for rows in poses.chunks():
        length, variance = _measure_limbs(rows)
        known = np.isfinite(length) & (variance > 0)
        for person in np.unique(rows.person):
            mine = (rows.person == person)[:, None] & known
            histograms.setdefault(int(person), _LengthHistograms(len(kind.limbs))).add(length, variance, mine)
    out = {}
    for person, observations in histograms.items():
        length, uncertainty = _combine_estimates(kind, *observations.medians(rate_hz))
        # The uncertainty of a length is constant over time, not variation, so it counts as the error of one frame.
        sigma = np.hypot(observations.inconstancy(), uncertainty / np.sqrt(1 + _POSTURE_S * rate_hz))
        out[person] = PersonLimbs(length, np.minimum(sigma, _MOST_VARIATION))
    return out


def _measure_limbs(rows: Poses3D) -> tuple[Floats, Floats]:
    """Lengths (M, B') m of the limbs and their variance m^2, that of the two ends along the limb."""
    ends, length = rows.skeleton.limbs, limb_lengths(rows.skeleton, rows.xyz)
    apart = (rows.xyz[:, ends[:, 1]] - rows.xyz[:, ends[:, 0]]).astype(np.float64)
    along = apart / np.maximum(length, 1e-6)[..., None]
    cov = full_covariance(rows.cov[:, ends].astype(np.float64).sum(2))
    return length, np.einsum("mbi,mbij,mbj->mb", along, cov, along)


class _LengthHistograms:
    """Histograms of the lengths of one person's limbs."""

    def __init__(self, limbs: int) -> None:
        self.weight = np.zeros((limbs, round(_LONGEST_M * _BINS_PER_M)))
        """(B', N) precision of the observations of each length"""
        self.square = np.zeros(limbs)
        self.count = np.zeros((limbs, round(_LONGEST_M * _COARSE_PER_M), len(_LEVELS_M)), np.float32)
        """(B', N', K) number of observations of each length and noise level"""

    def add(self, length: Floats, variance: Floats, known: NDArray[np.bool_]) -> None:
        """Add lengths (M, B') m with variance (M, B') m^2 where known."""
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

        The deviation of the median of independent normal numbers is 1.25 times that of their mean; observations within
        one posture count as one. The deviation is at least that of the noise averaged over all observations.
        """
        low, middle, high = (_quantiles(self.weight, share) for share in (0.16, 0.5, 0.84))
        total = self.weight.sum(1)
        postures = np.maximum(total**2 / np.maximum(self.square, 1e-30) / (1 + _POSTURE_S * rate_hz), 1)
        spread = np.maximum((high - low) / 2, 1 / _BINS_PER_M)
        sigma = 1.25 * np.maximum(spread / np.sqrt(postures), 1 / np.sqrt(np.maximum(total, 1e-30)))
        return middle, np.where(np.isfinite(middle), sigma, np.nan)

    def inconstancy(self) -> Floats:
        """Variation (B',) of each limb's length beyond the noise, as a share of it, at most ``_MOST_VARIATION``.

        For normal numbers divided by their standard deviation, the mean of exp(-z^2 / 2) is the square root of a half,
        and outliers hardly affect it (Welsch). The result is the smallest deviation that explains the data together
        with the noise, the noise taken at the upper end of its uncertainty. 0 with too few observations.
        """
        observations = self.count.sum((1, 2))
        middle = _quantiles(self.weight, 0.5)
        place = (np.arange(self.count.shape[1]) + 0.5) / _COARSE_PER_M
        noise = _LEVELS_M**2 + 1 / (12 * _COARSE_PER_M**2)
        out = np.zeros(len(observations))
        for limb in np.flatnonzero(observations > 1):
            used = np.flatnonzero(self.count[limb].any(-1))
            count, off = self.count[limb, used].astype(np.float64), (place[used] - middle[limb])[:, None, None]
            noise_factor = 1 + 1 / np.sqrt(observations[limb])
            variance = noise_factor**2 * noise[:, None] + (_CANDIDATES * middle[limb]) ** 2
            means = (np.exp(-(off**2) / (2 * variance)) * count[..., None]).sum((0, 1)) / observations[limb]
            explained = means >= np.sqrt(0.5)
            out[limb] = _CANDIDATES[explained.argmax()] if explained.any() else _MOST_VARIATION
        return out


def _quantiles(counts: Floats, share: float) -> Floats:
    """Quantiles (B',) m of weighted histograms (B', N); NaN for an empty one."""
    below = np.cumsum(counts, axis=1)
    wanted = below[:, -1:] * share
    bin_ = np.argmax(below >= wanted, axis=1)
    limb = np.arange(len(counts))
    inside = (wanted[:, 0] - (below[limb, bin_] - counts[limb, bin_])) / np.maximum(counts[limb, bin_], 1e-30)
    return np.asarray(np.where(below[:, -1] > 0, (bin_ + inside) / _BINS_PER_M, np.nan))


def _combine_estimates(kind: Skeleton, length: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Lengths (B',) m combined from measurement, mirror limb and population mean by precision; NaN if never seen.

    Also their standard deviation as a share of the length, 0 where there is none.
    """
    typical, known = typical_limbs(kind), np.isfinite(length)
    if not known.any():
        return length, np.zeros(len(length))
    ratio, certain_first = length / typical, np.argsort(np.where(known, sigma / typical, np.inf))
    scale = float(np.median(ratio[certain_first[: max(1, known.sum() // 2)]]))
    twin = mirror_limbs(kind)
    sides = np.hypot(sigma[twin], SIDES_SPREAD * length[twin])
    estimates = np.stack([length, length[twin], scale * typical])
    sides = np.where(twin == np.arange(len(twin)), np.nan, sides)
    precision = 1 / np.stack([sigma, sides, limb_spreads(kind) * estimates[2]]) ** 2
    precision = np.where(np.isfinite(estimates) & np.isfinite(precision), precision, 0)
    total = precision.sum(0)
    mean, known = (np.nan_to_num(estimates) * precision).sum(0) / total, known | known[twin]
    return np.where(known, mean, np.nan), np.where(known, 1 / np.sqrt(total) / mean, 0)
