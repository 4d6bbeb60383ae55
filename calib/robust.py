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
    bare = rig.undistort(flat)
    start = _start(rig, flat, bare, weight, gate)
    points, precision, residual = _descend(rig, start, flat, bare, weight, gate)
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


def pair_points(rig: Rig, xy: ArrayLike, noise_px: ArrayLike, gate: float = GATE) -> Floats:
    """Points (N, K, 3) that each of K pairs of views makes of pixels (C, N, 2) with noise (C, N).

    NaN where one of the two does not see the point or they do not agree. Where a point rests on two views and another
    pair agrees too, there is nothing in the pixels to tell which pair is right.
    """
    pixels, noise = np.asarray(xy, np.float64), np.asarray(noise_px, np.float64)
    seen = np.isfinite(pixels).all(-1) & (noise > 0)
    weight = np.where(seen, 1 / np.where(seen, noise, 1) ** 2, 0)
    bare = rig.undistort(pixels)
    out = []
    for two in _pairs(weight):
        points = geometry.triangulate(bare[two], weight[two], rig.cam_from_world[two], rig.focal[two])
        agree = np.asarray((_normal(rig, points, pixels, weight)[two] <= gate).all(0) & seen[two].all(0))
        out.append(np.where(agree[:, None], points, np.nan))
    return np.stack(out, axis=1)


def _start(rig: Rig, xy: Floats, bare: Floats, weight: Floats, gate: float) -> Floats:
    """Points to start from (N, 3): from all views where they agree, else from the best pair of views."""
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
    trials = np.stack(
        [geometry.triangulate(bare[two], weight[two], rig.cam_from_world[two], rig.focal[two]) for two in pairs]
    )
    cost = np.stack([_cost(rig, trial, xy, weight, gate) for trial in trials])
    best = np.argmin(cost, axis=0)
    return trials.reshape(number, count, 3)[best, np.arange(count)], cost[best, np.arange(count)]


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


def _descend(
    rig: Rig, points: Floats, xy: Floats, bare: Floats, weight: Floats, gate: float
) -> tuple[Floats, Floats, Floats]:
    """Robust Gauss-Newton: points (N, 3), precision (N, 3, 3) of the unit-weight kernel, residuals (C, N) px.

    The lens is linear about each pixel in all steps but the last, which takes it as it is: a residual is small beside
    the scale on which a lens bends.
    """
    scale2 = (_SOFTNESS * gate) ** 2
    points = points.copy()
    metric = rig.pixels_per_ray(bare)
    for _ in range(_STEPS - 1):
        points += _step(*_near(rig, points, bare, metric), weight, scale2)
    projected, slope = rig.project_with_jacobian(points)
    points += _step(xy - projected, slope, weight, scale2)
    projected, slope = rig.project_with_jacobian(points)
    off = xy - projected
    residual = np.sqrt(off[..., 0] ** 2 + off[..., 1] ** 2)
    residual = np.where(np.isfinite(residual), residual, np.inf)
    inside = np.where(np.where(weight > 0, residual, 0) * np.sqrt(weight) <= gate, weight, 0)
    xx, xy_, xz, yy, yz, zz = _information(np.nan_to_num(slope), inside)
    return points, np.stack([xx, xy_, xz, xy_, yy, yz, xz, yz, zz], -1).reshape(-1, 3, 3), residual


def _near(rig: Rig, points: Floats, bare: Floats, metric: Floats) -> tuple[Floats, Floats]:
    """Residuals (C, N, 2) px of points and their derivative (C, N, 2, 3), the lens taken as linear about the pixel.

    bare: undistorted coordinates (C, N, 2) of the pixels; metric (C, N, 2, 2): pixels by them.
    """
    pose = rig.cam_from_world
    seen = pose[:, :3, :3] @ points.T + pose[:, :3, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = 1 / np.where(seen[:, 2] > 0, seen[:, 2], np.nan)
    u, v = seen[:, 0] * depth, seen[:, 1] * depth
    off_u, off_v = bare[..., 0] - u, bare[..., 1] - v
    off = np.stack([metric[..., row, 0] * off_u + metric[..., row, 1] * off_v for row in range(2)], -1)
    by_u = [pose[:, 0, axis, None] - u * pose[:, 2, axis, None] for axis in range(3)]
    by_v = [pose[:, 1, axis, None] - v * pose[:, 2, axis, None] for axis in range(3)]
    slope = np.empty((*u.shape, 2, 3))
    for row in range(2):
        a, b = metric[..., row, 0] * depth, metric[..., row, 1] * depth
        for axis in range(3):
            slope[..., row, axis] = a * by_u[axis] + b * by_v[axis]
    return off, slope


def _step(off: Floats, slope: Floats, weight: Floats, scale2: float) -> Floats:
    """Step (N, 3) from residuals (C, N, 2) and their derivative (C, N, 2, 3); zero where nothing is known."""
    square = (off[..., 0] ** 2 + off[..., 1] ** 2) * weight
    known = np.isfinite(square)
    kernel = np.where(known, weight / (1 + square / scale2) ** 2, 0)
    slope, off = np.where(known[..., None, None], slope, 0), np.where(known[..., None], off, 0)
    xx, xy, xz, yy, yz, zz = _information(slope, kernel)
    gradient = np.stack(
        [
            np.einsum("cn,cn->n", kernel, slope[..., 0, i] * off[..., 0] + slope[..., 1, i] * off[..., 1])
            for i in range(3)
        ],
        -1,
    )
    size = xx + yy + zz
    blank = ~(size > 0)
    more = np.where(blank, 1.0, 1e-6 * size)
    step = geometry.solve_symmetric(xx + more, xy, xz, yy + more, yz, zz + more, gradient)
    return np.where(blank[:, None], 0, step)


def _information(slope: Floats, weight: Floats) -> tuple[Floats, ...]:
    """xx, xy, xz, yy, yz, zz (N,) of the normal matrix of derivatives (C, N, 2, 3) with weights (C, N)."""
    out = []
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        out.append(
            np.einsum("cn,cn->n", weight, slope[..., 0, i] * slope[..., 0, j] + slope[..., 1, i] * slope[..., 1, j])
        )
    return tuple(out)


def _covariance(precision: Floats, normal: Floats, used: NDArray[np.bool_]) -> Floats:
    """Covariance (N, 3, 3): the inverse precision, widened where residuals are larger than the noise explains."""
    size = np.trace(precision, axis1=-2, axis2=-1)
    safe = precision + np.eye(3) * np.where(size > 0, 1e-9 * size, 1)[:, None, None]
    freedom = np.maximum(2 * used.sum(0) - 3, 1)
    spread = np.where(used, normal**2, 0).sum(0) / freedom
    return np.asarray(np.linalg.inv(safe) * np.maximum(spread, 1)[:, None, None])
