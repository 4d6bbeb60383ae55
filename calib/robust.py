"""Points from the pixels of several cameras where some of the pixels are wrong, with what is known of their error.

A point starts from all its views; where a view disagrees, from the pair of views that the most others agree with
(exhaustive consensus over pairs). Gauss-Newton steps on the exact projection follow, each residual in units of its
expected noise and weighted by the kernel of Geman and McClure (1987), which forgets what is far off.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib import geometry
from calib.geometry import Floats
from calib.rig import Rig

GATE = 3.5  # standard deviations: of two-dimensional normal residuals, 0.2 % are larger
_STEPS = 5
_SOFTNESS = 1.4  # kernel scale over gate: sharper ones jump between subsets of views that disagree slightly
_MOST_TRIALS = 100_000  # points tried at once, so that memory is bounded
_MOST_PAIRS = 28  # all pairs of 8 views; with more views, those of the least noise


@dataclass(frozen=True, eq=False)
class RobustPoints:
    """Triangulated points and the evidence for them."""

    xyz: Floats
    """(..., 3) m, NaN where fewer than two views agree."""
    cov: Floats
    """(..., 3, 3) m^2, from the noise, the geometry, and the spread of the residuals where that is larger."""
    residual_px: Floats
    """(C, ...) distance from each pixel to the reprojected point, NaN where unseen."""
    used: NDArray[np.bool_]
    """(C, ...) whether the pixel agrees with the point."""


def triangulate_robust(rig: Rig, xy: ArrayLike, noise_px: ArrayLike, gate: float = GATE) -> RobustPoints:
    """Points of pixels (C, ..., 2) whose expected noise is (C, ...) px along each axis; NaN pixels are unseen.

    A pixel more than ``gate`` standard deviations off is not used.
    """
    pixels = np.asarray(xy, np.float64)
    lead = pixels.shape[1:-1]
    flat = pixels.reshape(len(rig), -1, 2)
    noise = np.broadcast_to(np.asarray(noise_px, np.float64), pixels.shape[:-1]).reshape(len(rig), -1)
    seen = np.isfinite(flat).all(-1) & (noise > 0)
    weight = np.where(seen, 1 / np.where(seen, noise, 1) ** 2, 0)
    start = _start(rig, flat, weight, gate)
    points, precision, residual = _descend(rig, start, flat, weight, gate)
    normal = np.where(seen, residual, 0) * np.sqrt(weight)
    used = seen & (normal <= gate)
    alone = used.sum(0) < 2
    cov = _covariance(precision, normal, used)
    points[alone], cov[alone] = np.nan, np.nan
    used[:, alone] = False
    return RobustPoints(
        points.reshape(*lead, 3),
        cov.reshape(*lead, 3, 3),
        np.where(seen, residual, np.nan).reshape(len(rig), *lead),
        used.reshape(len(rig), *lead),
    )


def _start(rig: Rig, xy: Floats, weight: Floats, gate: float) -> Floats:
    """Points to start from (N, 3): from all views where they agree, else from the best pair of views."""
    bare = rig.undistort(xy)
    points = geometry.triangulate(bare, weight, rig.cam_from_world, rig.focal)
    cost = _cost(rig, points, xy, weight, gate)
    views = (weight > 0).sum(0)
    worst = np.nanmax(_normal(rig, points, xy, weight), axis=0, initial=0)
    doubtful = np.flatnonzero((views > 2) & ~(worst < gate))
    if not len(doubtful):
        return points
    few = max(1, _MOST_TRIALS // len(doubtful))
    pairs = _pairs(weight[:, doubtful])
    for first in range(0, len(pairs), few):
        trial, trial_cost = _best_pair(
            rig, xy[:, doubtful], bare[:, doubtful], weight[:, doubtful], pairs[first : first + few], gate
        )
        better = trial_cost < cost[doubtful]
        points[doubtful[better]], cost[doubtful[better]] = trial[better], trial_cost[better]
    return points


def _best_pair(
    rig: Rig, xy: Floats, bare: Floats, weight: Floats, pairs: list[list[int]], gate: float
) -> tuple[Floats, Floats]:
    """Of points made by each pair of views alone, the one (N, 3) that all views agree with best, and its cost (N,)."""
    count, number = weight.shape[1], len(pairs)
    only = np.zeros((len(rig), number, count))
    for trial, pair in enumerate(pairs):
        only[pair, trial] = weight[pair]
    every = np.broadcast_to(bare[:, None], (len(rig), number, count, 2)).reshape(len(rig), -1, 2)
    trials = geometry.triangulate(every, only.reshape(len(rig), -1), rig.cam_from_world, rig.focal)
    seen_xy = np.broadcast_to(xy[:, None], (len(rig), number, count, 2)).reshape(len(rig), -1, 2)
    seen_weight = np.broadcast_to(weight[:, None], only.shape).reshape(len(rig), -1)
    cost = _cost(rig, trials, seen_xy, seen_weight, gate).reshape(number, count)
    best = np.argmin(cost, axis=0)
    at = np.arange(count)
    return trials.reshape(number, count, 3)[best, at], cost[best, at]


def _pairs(weight: Floats) -> list[list[int]]:
    """Pairs of views to try, the ones with the most weight first."""
    total = weight.sum(1)
    pairs = [[a, b] for a, b in combinations(range(len(weight)), 2)]
    return sorted(pairs, key=lambda pair: -min(total[pair]))[:_MOST_PAIRS]


def _normal(rig: Rig, points: Floats, xy: Floats, weight: Floats) -> Floats:
    """Residuals (C, N) in standard deviations; infinite in a view that sees the pixel but cannot see the point."""
    off = np.linalg.norm(rig.project(points) - xy, axis=-1) * np.sqrt(weight)
    return np.where(weight > 0, np.where(np.isfinite(off), off, np.inf), 0)


def _cost(rig: Rig, points: Floats, xy: Floats, weight: Floats, gate: float) -> Floats:
    """Sum over views of squared residuals (N,), each cut off at the gate."""
    return np.asarray((np.minimum(_normal(rig, points, xy, weight), gate) ** 2).sum(0))


def _descend(rig: Rig, points: Floats, xy: Floats, weight: Floats, gate: float) -> tuple[Floats, Floats, Floats]:
    """Robust Gauss-Newton: points (N, 3), precision (N, 3, 3) of the unit-weight kernel, residuals (C, N) px."""
    scale = _SOFTNESS * gate
    points = points.copy()
    for _ in range(_STEPS):
        projected, slope = rig.project_with_jacobian(points)
        off = xy - projected
        square = (off**2).sum(-1) * weight
        kernel = np.where(np.isfinite(square), weight / (1 + square / scale**2) ** 2, 0)
        slope, off = np.nan_to_num(slope), np.nan_to_num(off)
        weighted = kernel[..., None, None] * slope
        information = np.einsum("cnki,cnkj->nij", weighted, slope)
        gradient = np.einsum("cnki,cnk->ni", weighted, off)
        points += _solve(information, gradient)
    projected, slope = rig.project_with_jacobian(points)
    residual = np.linalg.norm(xy - projected, axis=-1)
    residual = np.where(np.isfinite(residual), residual, np.inf)
    inside = np.where(np.where(weight > 0, residual, 0) * np.sqrt(weight) <= gate, weight, 0)
    slope = np.nan_to_num(slope)
    precision = np.einsum("cnki,cnkj->nij", inside[..., None, None] * slope, slope)
    return points, precision, residual


def _solve(matrix: Floats, right: Floats) -> Floats:
    """Solutions (N, 3) of damped 3x3 systems; zero where a system says nothing."""
    size = np.trace(matrix, axis1=-2, axis2=-1)
    blank = ~(size > 0)
    damped = matrix + np.eye(3) * np.where(blank, 1, 1e-6 * size)[:, None, None]
    return np.where(blank[:, None], 0, np.linalg.solve(damped, right[..., None])[..., 0])


def _covariance(precision: Floats, normal: Floats, used: NDArray[np.bool_]) -> Floats:
    """Covariance (N, 3, 3): the inverse precision, widened where residuals are larger than the noise explains."""
    size = np.trace(precision, axis1=-2, axis2=-1)
    safe = precision + np.eye(3) * np.where(size > 0, 1e-9 * size, 1)[:, None, None]
    freedom = np.maximum(2 * used.sum(0) - 3, 1)
    spread = np.where(used, normal**2, 0).sum(0) / freedom
    return np.asarray(np.linalg.inv(safe) * np.maximum(spread, 1)[:, None, None])
