"""Positions of free points by least squares in which outliers have little weight: Student's t, by reweighting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats
from calib.rig import Rig
from calib.robust_triangulation import triangulate_robust

FREEDOM = 4.0
"""Degrees of freedom of Student's t."""
_STEPS = 4
_LEAST_VIEWS = 2
_DAMPING = 1e-6


@dataclass(frozen=True, eq=False)
class SoftPoints:
    """Positions xyz (N, 3) m, NaN where fewer than two views see a point; size2 (C, N): squared residuals over the
    noise's variance, weight (C, N) 1/px^2, cost (C, N): twice the negative log likelihood; 0 where not seen."""

    xyz: Floats
    size2: Floats
    weight: Floats
    cost: Floats


def soft_points(rig: Rig, xy: Floats, sigma: Floats, start: Floats | None = None) -> SoftPoints:
    """Positions of points from pixels (C, N, 2) whose noise is sigma (C, N) px, NaN where not seen.

    start (N, 3): initial positions; by default those on which views agree, else those of all views.
    """
    seen = np.isfinite(sigma) & np.isfinite(xy[..., 0]) & np.isfinite(xy[..., 1])
    seen &= seen.sum(0) >= _LEAST_VIEWS
    kept = np.flatnonzero(seen.any(0))
    if len(kept) < len(sigma[0]):
        xyz, size2, weight, cost = np.full((len(sigma[0]), 3), np.nan), *np.zeros((3, *sigma.shape))
        if not len(kept):
            return SoftPoints(xyz, size2, weight, cost)
        some = soft_points(rig, xy[:, kept], sigma[:, kept], None if start is None else start[kept])
        xyz[kept] = some.xyz
        size2[:, kept], weight[:, kept], cost[:, kept] = some.size2, some.weight, some.cost
        return SoftPoints(xyz, size2, weight, cost)
    if start is None:
        robust = triangulate_robust(rig, xy, sigma).xyz
        start = np.where(np.isfinite(robust), robust, rig.triangulate(xy, 1 / sigma**2))
    points = np.where(np.asarray(seen.any(0))[:, None], start, np.nan)
    precision = np.where(seen, 1 / np.where(seen, sigma, 1) ** 2, 0)
    for _ in range(_STEPS):
        residual, slope, size2, good = _residuals(rig, points, xy, precision)
        weight = np.where(good, precision * (FREEDOM + 2) / (FREEDOM + size2), 0)
        root = np.sqrt(weight)[..., None]
        J = (slope * root[..., None]).swapaxes(0, 1).reshape(len(points), -1, 3)
        back = np.ascontiguousarray(J.swapaxes(1, 2))
        normal = back @ J
        normal += _DAMPING * np.maximum(np.trace(normal, axis1=-2, axis2=-1), 1e-9)[:, None, None] * np.eye(3)
        right = back @ (residual * root).swapaxes(0, 1).reshape(len(points), -1, 1)
        points = points + np.linalg.solve(normal, right)[..., 0]
    _, _, size2, good = _residuals(rig, points, xy, precision)
    weight = np.where(good, precision * (FREEDOM + 2) / (FREEDOM + size2), 0)
    size2 = np.where(seen, np.where(good, size2, 1e6), 0)  # behind a camera: far off
    return SoftPoints(points, size2, weight, (FREEDOM + 2) * np.log1p(size2 / FREEDOM))


def _residuals(rig: Rig, points: Floats, xy: Floats, precision: Floats) -> tuple[Floats, Floats, Floats, Bools]:
    projected, slope = rig.project_with_jacobian(points)
    residual = xy - projected
    good = (precision > 0) & np.isfinite(residual).all(-1) & np.isfinite(slope).all((-1, -2))
    residual = np.where(good[..., None], residual, 0)
    size2 = np.asarray(precision * (residual**2).sum(-1))
    return residual, np.where(good[..., None, None], slope, 0), size2, np.asarray(good)


def soft_scale(size2: Floats) -> float:
    """Factor on the stated noise that the squared residuals (C, N) show, 0 = not seen, from their median."""
    views = (size2 > 0).sum(0)
    if not views.any():
        return 1.0
    mean = float(views[views > 0].mean())
    share = max(1 - 1.5 / mean, 0.25)  # degrees of freedom that the positions leave
    return float(np.sqrt(max(np.median(size2[size2 > 0]) / (2 * np.log(2)) / share, 1e-4)))
