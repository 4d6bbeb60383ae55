"""Triangulates points from the pixels of several cameras, robust to outliers, with covariances.

A point starts from all its views; where a view disagrees, from the pair of views that the most others agree with
(exhaustive consensus over pairs). Gauss-Newton steps on the exact projection follow, each residual in units of its
expected noise and weighted by the kernel of Geman and McClure (1987), which gives outliers almost no weight.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib import geometry
from calib.arrays import Floats
from calib.rig import Rig

RESIDUAL_GATE = 3.5  # standard deviations: of two-dimensional normal residuals, 0.2 % are larger
_STATED = 4.0  # degrees of freedom of the stated noise, as a prior on the variance of the residuals, which may be few
_STEPS = 4
_MORE_STEPS = 6  # for points that start far from the optimum
_AGREE = 0.7  # share of a point's views that have to agree so that pairs of views need not be tried
_SOFTNESS = 1.4  # kernel scale over gate: sharper kernels jump between subsets of views that disagree slightly
_MOST_VIEWS = 8  # views of which every pair is tried; where more see a point, those of the least noise


@dataclass(frozen=True, eq=False)
class RobustPoints:
    """Triangulated points with covariances, residuals and inliers."""

    xyz: Floats
    """(..., 3) m, NaN where fewer than two views agree."""
    cov: Floats
    """(..., 3, 3) m^2, from the noise, the geometry, and the spread of the residuals where that is larger."""
    residual_px: Floats
    """(C, ...) distance from each pixel to the reprojected point, NaN where unseen."""
    used: NDArray[np.bool_]
    """(C, ...) whether the pixel agrees with the point."""


def triangulate_robust(rig: Rig, xy: ArrayLike, noise_px: ArrayLike, gate: float = RESIDUAL_GATE) -> RobustPoints:
    """Triangulate pixels (C, ..., 2) whose expected noise is (C, ...) px along each axis; NaN pixels are unseen.

    A pixel with a residual above ``gate`` standard deviations is not used.
    """
    pixels = np.asarray(xy, np.float64)
    lead = pixels.shape[1:-1]
    flat = pixels.reshape(len(rig), -1, 2)
    noise = np.broadcast_to(np.asarray(noise_px, np.float64), pixels.shape[:-1]).reshape(len(rig), -1)
    observed = _Rays.of(rig, flat, noise)
    points, precision, residual = _refine(rig, _start(rig, observed, gate), flat, observed, gate)
    seen = observed.weight > 0
    normal = np.where(seen, residual, 0) * np.sqrt(observed.weight)
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


@dataclass(frozen=True)
class _Rays:
    """Rays of the views to N points."""

    undistorted: Floats
    """(C, N, 2) undistorted coordinates."""
    direction: Floats
    """(C, N, 3) of the rays in the world, unit vectors."""
    jacobian: Floats
    """(C, N, 2, 2) px by undistorted coordinates."""
    weight: Floats
    """(C, N) 1/px^2, 0 where unseen."""

    @classmethod
    def of(cls, rig: Rig, xy: Floats, noise_px: Floats) -> "_Rays":
        undistorted = rig.undistort(xy)
        seen = np.isfinite(undistorted).all(-1) & (noise_px > 0)
        weight = np.where(seen, 1 / np.where(seen, noise_px, 1) ** 2, 0)
        direction = geometry.rays(undistorted, rig.cam_from_world[:, None])[1]
        return cls(undistorted, direction, rig.pixels_per_ray(undistorted), weight)

    def __getitem__(self, points: NDArray[np.int64]) -> "_Rays":
        every = (self.undistorted, self.direction, self.jacobian, self.weight)
        return _Rays(*(part[:, points] for part in every))

    def by(self, rig: Rig, views: list[int]) -> Floats:
        """Points (N, 3) by some of the views alone."""
        places, focal = rig.positions[views], rig.focal[views]
        return geometry.meeting_points(places, self.direction[views], self.weight[views], focal, passes=2)


def pair_points(rig: Rig, xy: ArrayLike, noise_px: ArrayLike, gate: float = RESIDUAL_GATE) -> Floats:
    """Points (N, K, 3) that each of K pairs of views triangulates from pixels (C, N, 2) with noise (C, N).

    NaN where one of the two does not see the point or they do not agree. Where a point rests on two views and another
    pair agrees too, the pixels alone cannot decide which pair is right.
    """
    seen = _Rays.of(rig, np.asarray(xy, np.float64), np.asarray(noise_px, np.float64))
    tried = list(_pairs(seen.weight))
    out = np.full((seen.weight.shape[1], len(tried), 3), np.nan)
    for number, (two, at) in enumerate(tried):
        some = seen[at]
        points = some.by(rig, two)
        agree = np.asarray((_normalised_residuals(rig, points, some)[two] <= gate).all(0))
        out[at, number] = np.where(agree[:, None], points, np.nan)
    return out


def _start(rig: Rig, seen: _Rays, gate: float) -> Floats:
    """Points to start from (N, 3): from all views where they agree, else from the best pair of views.

    Where the robust steps alone keep most views as inliers, pairs are not tried.
    """
    points = seen.by(rig, list(range(len(rig))))
    normal = _normalised_residuals(rig, points, seen)
    disagreeing = np.flatnonzero(((seen.weight > 0).sum(0) > 2) & ~(normal.max(0, initial=0) < gate))
    if not len(disagreeing):
        return points
    near = _linear_steps(rig, points[disagreeing], seen[disagreeing], gate, _MORE_STEPS)
    size = _normalised_residuals(rig, near, seen[disagreeing])
    views, inside = (
        (seen.weight[:, disagreeing] > 0).sum(0),
        (size <= gate).sum(0) - (seen.weight[:, disagreeing] <= 0).sum(0),
    )
    accepted = (inside > 2) & (inside >= np.ceil(_AGREE * views))
    points[disagreeing[accepted]] = near[accepted]
    disagreeing = disagreeing[~accepted]
    undecided = seen[disagreeing]
    best = np.asarray((np.minimum(normal[:, disagreeing], gate) ** 2).sum(0))
    for two, at in _pairs(undecided.weight):
        some = undecided[at]
        trial = some.by(rig, two)
        cost = _cost(rig, trial, some, gate)
        better = cost < best[at]
        points[disagreeing[at[better]]], best[at[better]] = trial[better], cost[better]
    return points


def _pairs(weight: Floats) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
    """Pairs of views to try for points that both see, weight (C, N), and which points of N."""
    rank = np.argsort(np.argsort(-weight, axis=0, kind="stable"), axis=0)
    kept = (weight > 0) & (rank < _MOST_VIEWS)
    for a, b in combinations(range(len(weight)), 2):
        at = np.flatnonzero(kept[a] & kept[b])
        if len(at):
            yield [a, b], at


def _normalised_residuals(rig: Rig, points: Floats, seen: _Rays) -> Floats:
    """Residuals (C, N) in standard deviations; infinite in a view with a pixel to which the point does not project."""
    off = _residuals(rig, points, seen)[0]
    size = np.sqrt((off[..., 0] ** 2 + off[..., 1] ** 2) * seen.weight)
    return np.where(seen.weight > 0, np.where(np.isfinite(size), size, np.inf), 0)


def _cost(rig: Rig, points: Floats, seen: _Rays, gate: float) -> Floats:
    """Sum over views of squared residuals (N,), each truncated at the gate."""
    return np.asarray((np.minimum(_normalised_residuals(rig, points, seen), gate) ** 2).sum(0))


def _refine(rig: Rig, points: Floats, xy: Floats, seen: _Rays, gate: float) -> tuple[Floats, Floats, Floats]:
    """Robust Gauss-Newton: points (N, 3), precision (N, 3, 3) of the unit-weight kernel, residuals (C, N) px.

    The lens is linearised about each pixel in all steps but the last, which uses the full model: residuals are small
    compared with the scale on which distortion varies.
    """
    scale2, weight = (_SOFTNESS * gate) ** 2, seen.weight
    points = _linear_steps(rig, points, seen, gate, _STEPS - 1)
    projected, slope = rig.project_with_jacobian(points)
    off = xy - projected
    last = _step(off, slope, weight, scale2)
    points += last
    off = off - np.einsum("cnki,ni->cnk", slope, last)  # linear is exact enough for so small a step
    residual = np.sqrt(off[..., 0] ** 2 + off[..., 1] ** 2)
    residual = np.where(np.isfinite(residual), residual, np.inf)
    inside = np.where(np.where(weight > 0, residual, 0) * np.sqrt(weight) <= gate, weight, 0)
    xx, xy_, xz, yy, yz, zz = _information(np.nan_to_num(slope), inside)
    return points, np.stack([xx, xy_, xz, xy_, yy, yz, xz, yz, zz], -1).reshape(-1, 3, 3), residual


def _linear_steps(rig: Rig, points: Floats, seen: _Rays, gate: float, steps: int) -> Floats:
    """Points (N, 3) after robust Gauss-Newton steps, the lens linearised about each pixel."""
    points = points.copy()
    for _ in range(steps):
        points += _step(*_residuals_and_slopes(rig, points, seen), seen.weight, (_SOFTNESS * gate) ** 2)
    return points


def _residuals(rig: Rig, points: Floats, seen: _Rays) -> tuple[Floats, Floats, Floats, Floats]:
    """Residuals (C, N, 2) px, the lens linearised about the pixel; x/z, y/z and 1/z (C, N) of points in cameras."""
    pose, jacobian = rig.cam_from_world, seen.jacobian
    inside = pose[:, :3, :3] @ points.T + pose[:, :3, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        near = 1 / np.where(inside[:, 2] > 0, inside[:, 2], np.nan)
    u, v = inside[:, 0] * near, inside[:, 1] * near
    off_u, off_v = seen.undistorted[..., 0] - u, seen.undistorted[..., 1] - v
    off = np.stack([jacobian[..., row, 0] * off_u + jacobian[..., row, 1] * off_v for row in range(2)], -1)
    return off, u, v, near


def _residuals_and_slopes(rig: Rig, points: Floats, seen: _Rays) -> tuple[Floats, Floats]:
    """Residuals (C, N, 2) px as `_off` and their derivative (C, N, 2, 3) by the point."""
    off, u, v, near = _residuals(rig, points, seen)
    pose, jacobian = rig.cam_from_world, seen.jacobian
    by_u = [pose[:, 0, axis, None] - u * pose[:, 2, axis, None] for axis in range(3)]
    by_v = [pose[:, 1, axis, None] - v * pose[:, 2, axis, None] for axis in range(3)]
    slope = np.empty((*u.shape, 2, 3))
    for row in range(2):
        a, b = jacobian[..., row, 0] * near, jacobian[..., row, 1] * near
        for axis in range(3):
            slope[..., row, axis] = a * by_u[axis] + b * by_v[axis]
    return off, slope


def _step(off: Floats, slope: Floats, weight: Floats, scale2: float) -> Floats:
    """Step (N, 3) from residuals (C, N, 2) and their derivative (C, N, 2, 3); zero where no residual is finite."""
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
    """Covariance (N, 3, 3): the inverse precision times the variance of the normalised residuals.

    Few residuals estimate that variance only roughly: the stated noise counts as ``_STATED`` degrees of freedom.
    """
    size = np.trace(precision, axis1=-2, axis2=-1)
    safe = precision + np.eye(3) * np.where(size > 0, 1e-9 * size, 1)[:, None, None]
    freedom = np.maximum(2 * used.sum(0) - 3, 0)
    factor = (_STATED + np.where(used, normal**2, 0).sum(0)) / (_STATED + freedom)
    return np.asarray(np.linalg.inv(safe) * factor[:, None, None])
