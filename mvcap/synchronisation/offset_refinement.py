"""Offsets between frames and drifts of all views together, by least squares on the epipolar constraint.

Gauss-Newton with an instrument: the velocities come from other frames than the positions, so that noise in both cannot
pull offsets towards half a frame. Standard deviations are clustered by seconds, as errors of detectors last.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calib.arrays import Floats
from mvcap.structures.sync_evidence import CLOCK_RATE_SIGMA
from mvcap.synchronisation.epipolar_evidence import OUTLIER_NATS, best_people, homogeneous
from mvcap.synchronisation.joint_tracks import ViewJoints

_STEPS = 12
_MOST = 1500  # frames used
_ALIKE = 40.0  # residuals that count as one independent one, beside the prior
_LASTING = 3.0
"""Times the variance between seconds: errors of calibration and of joints' definitions last for the whole take. On
generated takes, errors were 1.1 to 2.2 standard deviations without it."""
_GAUGE = 1e9


@dataclass(frozen=True, eq=False)
class OffsetFit:
    """late (C,) frames at the middle of the take, drift (C,) frames a frame, and their covariance (2C, 2C)."""

    late: Floats
    drift: Floats
    covariance: Floats
    middle: float
    residual: float
    """Root mean square of the residuals that count, in standard deviations."""


@dataclass(frozen=True, eq=False)
class TakePart:
    """People of all views in a part of a take that begins at the frame `first`."""

    first: int
    views: list[ViewJoints]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return min(view.frames for view in self.views)


def refine_offsets(
    parts: list[TakePart], late: Floats, essentials: dict[tuple[int, int], Floats], middle: float, rate_hz: float
) -> OffsetFit:  # fmt: skip
    """Refine whole-frame delays (C,) of views at the frame `middle`; their mean stays.

    essentials: E (3, 3) of each pair a < b.
    """
    count, stride = len(late), max(sum(part.frames for part in parts) // _MOST, 1)
    value = np.concatenate([late.astype(np.float64), np.zeros(count)])
    start = late.mean()
    prior = np.zeros((2 * count, 2 * count))
    prior[count:, count:] = np.eye(count) / CLOCK_RATE_SIGMA**2
    gauge = np.kron(np.eye(2), np.ones((count, count))) * _GAUGE
    normal, right, blocks, square = prior, np.zeros(2 * count), np.zeros((1, 2 * count)), 0.0
    for _ in range(_STEPS):
        sums = [_equations(part, value, stride, middle, essentials, rate_hz) for part in parts]
        normal, right = np.sum([one[0] for one in sums], 0), np.sum([one[1] for one in sums], 0)
        squares, weights = np.sum([one[3] for one in sums], 0)
        blocks, square = np.concatenate([one[2] for one in sums]), squares / max(weights, 1e-9)
        pull = prior @ value
        pull[:count] += _GAUGE * (value[:count].sum() - count * start)
        pull[count:] += _GAUGE * value[count:].sum()
        step = np.linalg.solve(normal / _ALIKE + prior + gauge, -right / _ALIKE - pull)
        value = value + np.clip(step, -1, 1)
        if np.abs(step[:count]).max() < 1e-4:
            break
    inverse = np.linalg.inv(normal / _ALIKE + prior + gauge)
    scattered = blocks.T @ blocks / _ALIKE**2
    covariance = inverse @ (_LASTING * scattered + prior) @ inverse
    return OffsetFit(value[:count], value[count:], covariance, middle, float(np.sqrt(square)))


def _equations(
    part: TakePart, value: Floats, stride: int, middle: float, essentials: dict[tuple[int, int], Floats],
    rate_hz: float,
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Normal matrix (2C, 2C), gradient (2C,), gradient of each second (B, 2C), sums of squares and of weights."""
    views, count = part.views, len(part.views)
    moment = np.arange(0, part.frames, stride).astype(np.float64)
    since = moment + part.first - middle
    at = [view.at(moment + value[v] + value[count + v] * since) for v, view in enumerate(views)]
    normal, right = np.zeros((2 * count, 2 * count)), np.zeros(2 * count)
    second = (moment / rate_hz).astype(np.int64)
    blocks, squares, weights = np.zeros((second.max() + 1, 2 * count)), 0.0, 0.0
    for a, b in combinations(range(count), 2):
        E = essentials[a, b]
        residual, slope_a, slope_b = _pair_rows(at[a], at[b], E)
        weight = np.exp(-0.5 * residual**2)
        weight = weight / (weight + np.exp(-OUTLIER_NATS))
        ago = since[:, None, None]
        slopes = {a: slope_a, b: slope_b, count + a: slope_a * ago, count + b: slope_b * ago}
        known = np.isfinite(residual * slope_a * slope_b)
        weight, residual = np.where(known, weight, 0), np.where(known, residual, 0)
        slopes = {key: np.where(known, slope, 0) for key, slope in slopes.items()}
        for i, one in slopes.items():
            each = (weight * one * residual).sum((1, 2))
            right[i] += each.sum()
            np.add.at(blocks[:, i], second, each)
            for j, other in slopes.items():
                normal[i, j] += (weight * one * other).sum()
        squares, weights = squares + (weight * residual**2).sum(), weights + weight.sum()
    return normal, right, blocks, np.array([squares, weights])


def _pair_rows(
    one: tuple[Floats, Floats, Floats], other: tuple[Floats, Floats, Floats], E: Floats
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Residuals (N, P, J) in standard deviations of a's people with the best of b's, and their changes a frame."""
    (x, v, s), (y, w, r) = one, other
    _, _, best = best_people(x, y, (s, r), E)
    pick = best[..., None]
    y, w = (np.take_along_axis(part, pick[..., None], 1) for part in (y, w))
    r = np.take_along_axis(r, pick, 1)
    ahead, back = homogeneous(x) @ E.T, homogeneous(y) @ E
    spread = np.sqrt((ahead[..., :2] ** 2).sum(-1) * r**2 + (back[..., :2] ** 2).sum(-1) * s**2)
    residual = (ahead * homogeneous(y)).sum(-1) / spread
    return residual, (back[..., :2] * v).sum(-1) / spread, (ahead[..., :2] * w).sum(-1) / spread
