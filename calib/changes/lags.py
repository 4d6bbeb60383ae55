"""Time offsets of views whose target moves, and their observations brought to common times.

A view that is late shows where a point was before: its residual is proportional to the velocity of the point. Residual
and velocity are compared after their means over a stretch of time are taken away, point by point, so that a camera that
has moved, whose residual is nearly constant, is not taken for a late one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Bools, Floats, Ints
from calib.changes.soft_points import soft_points
from calib.observations import Observations
from calib.rig import Rig

SURE = 4.0
"""Standard deviations of a significant offset."""
_LONGEST_STEP_S = 0.15  # between moments, for velocities
_ROUNDS = 4
_REWEIGHTED = 5
_STRETCH_S = 2.0  # time over which means are taken away
_LEAST_STRETCHES = 4
_LEAST_MOMENTS = 12
_MOST_SEEN = 60_000  # observations; of more, every second, third ... column
_FASTEST, _MOST = 4.0, 0.9  # times the speed that this share of the points do not exceed
_REACH = 4.0  # moments, largest offset
_LEAST = 0.15  # moments: smaller offsets are not corrected
_SYSTEMATIC = 0.02  # moments: standard deviation of errors that do not average out
_SOFT = 3.0  # robust standard deviations from which residuals lose weight
_SAME = 0.02  # moments: largest update at which the offsets have converged


@dataclass(frozen=True, eq=False)
class Lags:
    """Time offsets (C,) s of views against their median, later is positive, and standard deviations (C,).

    NaN where the motion does not show them. sure: mask (C,) of those that are significant.
    """

    late_s: Floats
    sigma_s: Floats
    step_s: float

    @property
    def sure(self) -> Floats:
        """Offsets (C,) s that are significant, 0 for the other views."""
        late, sigma = np.nan_to_num(self.late_s), np.nan_to_num(self.sigma_s, nan=np.inf)
        return np.where((abs(late) > SURE * sigma) & (abs(late) > _LEAST * self.step_s), late, 0.0)


def estimate_lags(rig: Rig, seen: Observations) -> Lags:
    """Time offsets of a rig's views from a target whose points have the same column at all moments.

    Two views show only their difference, of which half goes to each.
    """
    nan = np.full(len(rig), np.nan)
    time = _moment_times(seen)
    steps = np.diff(time)
    steps = steps[(steps > 0) & (steps < _LONGEST_STEP_S)]
    if seen.target.still or len(steps) < _LEAST_MOMENTS:
        return Lags(nan, nan, float("nan"))
    step = float(np.median(steps))
    seen = _thinned(seen)
    late, sigma = np.zeros(len(rig)), nan
    for _ in range(_ROUNDS):
        change, sigma = _offsets(rig, shift_times(seen, late), time, step)
        known = np.isfinite(change)
        if known.sum() < 2:
            return Lags(nan, nan, step)
        late = np.clip(late + np.where(known, change, 0), -_REACH * step, _REACH * step)
        if np.abs(change[known]).max() < _SAME * step:
            break
    late, sigma = np.where(np.isfinite(sigma), late, np.nan), np.hypot(sigma, _SYSTEMATIC * step)
    return Lags(late - np.nanmedian(late), sigma, step)


def shift_times(seen: Observations, late_s: Floats) -> Observations:
    """The observations with those of late views (C,) s interpolated to the times of the others."""
    if not np.any(late_s):
        return seen
    time = _moment_times(seen)
    steps = np.diff(time)
    longest = 1.5 * float(np.median(steps[steps > 0]))
    xy, sigma = np.array(seen.xy), np.array(seen.sigma)
    for view in np.flatnonzero(late_s):
        wanted = time + late_s[view]
        right = np.clip(np.searchsorted(time, wanted), 1, len(time) - 1)
        left = right - 1
        gap = time[right] - time[left]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (wanted - time[left]) / gap
        near = (gap > 0) & (gap <= longest) & (share >= 0) & (share <= 1)
        part = np.where(near, share, np.nan)[:, None]
        xy[view] = (1 - part[..., None]) * seen.xy[view, left] + part[..., None] * seen.xy[view, right]
        sigma[view] = np.where(near[:, None], np.maximum(seen.sigma[view, left], seen.sigma[view, right]), np.nan)
    return replace(seen, xy=xy, sigma=sigma)


def _moment_times(seen: Observations) -> Floats:
    """Time (T,) s of each moment, the median of its views."""
    known = np.isfinite(seen.time_s)
    out = np.full(seen.time_s.shape[1], np.nan)
    out[known.any(0)] = np.nanmedian(seen.time_s[:, known.any(0)], axis=0)
    return out


def _thinned(seen: Observations) -> Observations:
    every = -(-seen.sigma.size // _MOST_SEEN)
    if every <= 1:
        return seen
    sigma = np.full_like(seen.sigma, np.nan)
    sigma[:, :, ::every] = seen.sigma[:, :, ::every]
    return replace(seen, sigma=sigma)


def _offsets(rig: Rig, seen: Observations, time: Floats, step: float) -> tuple[Floats, Floats]:
    """Offsets (C,) s of the views against their mean, to first order, and standard deviations (C,); NaN: unknown."""
    count = len(rig)
    points = _positions(rig, seen).reshape(-1, 3)
    there, slope = rig.project_with_jacobian(points)
    shape = seen.sigma.shape
    speed = _speeds(there.reshape(*shape, 2), time, step)
    noise = np.maximum(seen.sigma.reshape(count, -1), 1e-3)
    residual = (seen.xy.reshape(count, -1, 2) - there) / noise[..., None]
    speed = speed.reshape(count, -1, 2) / noise[..., None]
    pace = np.linalg.norm(speed, axis=-1)
    moving = np.isfinite(pace)
    fastest = _FASTEST * float(np.quantile(pace[moving], _MOST)) if moving.any() else 0.0  # beyond, positions jump
    good = moving & (pace <= fastest) & np.isfinite(residual).all(-1) & np.isfinite(slope).all((-1, -2))
    kept = np.flatnonzero(good.sum(0) >= 2)
    good, residual, speed = good[:, kept], residual[:, kept], speed[:, kept]
    slope = np.where(good[..., None, None], slope[:, kept] / noise[:, kept, None, None], 0)
    moment, point = np.divmod(kept, shape[2])
    if len(kept) < 10 * _LEAST_STRETCHES:
        return np.full(count, np.nan), np.full(count, np.nan)
    stretch = _stretches(moment, time)
    cell = np.unique(stretch * shape[2] + point, return_inverse=True)[1]
    return _regress(residual, speed, slope, good, cell, stretch)


def _speeds(there: Floats, time: Floats, step: float) -> Floats:
    """Velocities (C, T, N, 2) px/s of projected points, from the moments before and after."""
    gap = time[2:] - time[:-2]
    out = np.full_like(there, np.nan)
    gap = np.where((gap > 0) & (gap < 2.5 * step), gap, np.nan)
    out[:, 1:-1] = (there[:, 2:] - there[:, :-2]) / gap[:, None, None]
    return out


def _stretches(moment: Ints, time: Floats) -> Ints:
    """Stretch of time (M,) of each moment, at least four of them."""
    out: Ints = ((time[moment] - time[moment].min()) / _STRETCH_S).astype(np.int64)
    if out.max() + 1 >= _LEAST_STRETCHES:
        return out
    present = np.unique(moment)
    place: Ints = np.searchsorted(present, moment).astype(np.int64)
    return np.asarray(place * _LEAST_STRETCHES // len(present), np.int64)


def _positions(rig: Rig, seen: Observations) -> Floats:
    """Positions (T, N, 3), without a choice among views, which would jump from moment to moment."""
    flat, sigma = seen.xy.reshape(len(rig), -1, 2), seen.sigma.reshape(len(rig), -1)
    plain = rig.triangulate(flat, 1 / sigma**2)
    residual = np.linalg.norm(rig.project(plain) - flat, axis=-1) / sigma
    size = max(float(np.nanmedian(residual)), 1.0) if np.isfinite(residual).any() else 1.0
    return soft_points(rig, flat, size * sigma, plain).xyz.reshape(*seen.xy.shape[1:3], 3)


def _regress(
    residual: Floats, speed: Floats, slope: Floats, good: Bools, cell: Ints, stretch: Ints
) -> tuple[Floats, Floats]:
    """Robust regression of residuals (C, M, 2) on speeds, positions eliminated by their slopes (C, M, 2, 3).

    Residuals and speeds have means of their own in every view and cell (M,). Offsets and standard deviations (C,).
    """
    count = len(residual)
    weight, late = good.astype(np.float64), np.zeros(count)
    for _ in range(_REWEIGHTED):
        r, v = (_without_means(np.where(good[..., None], of, 0), weight, cell) for of in (residual, speed))
        size = np.linalg.norm(r + late[:, None, None] * v, axis=-1)
        middle = max(float(np.median(size[good])) / 1.18, 1e-9)
        weight = np.where(good, 1 / (1 + (size / (_SOFT * middle)) ** 2), 0)
        normal = np.einsum("cm,cmki,cmkj->mij", weight, slope, slope)
        normal += 1e-9 * np.maximum(np.trace(normal, axis1=-2, axis2=-1), 1e-12)[:, None, None] * np.eye(3)
        by_view = np.einsum("cm,cmki,cmk->mic", weight, slope, v)
        inverse = np.linalg.solve(normal, by_view)
        information = np.diag((weight * (v**2).sum(-1)).sum(1)) - np.einsum("mic,mid->cd", by_view, inverse)
        known = np.diag(information) > 1e-3 * max(float(np.diag(information).max()), 1e-9)
        if known.sum() < 2:
            return np.full(count, np.nan), np.full(count, np.nan)
        # All views late by the same is not seen: the mean is zero.
        covariance = np.zeros((count, count))
        some = np.ix_(known, known)
        gauge = float(np.diag(information).max()) * np.ones((int(known.sum()),) * 2)
        covariance[some] = np.linalg.inv(information[some] + gauge)
        late = late - covariance @ _scores(r + late[:, None, None] * v, v, weight, slope, inverse).sum(1)
    score = _scores(r + late[:, None, None] * v, v, weight, slope, inverse)
    spread = np.zeros((count, count))
    for cluster in (stretch, cell):  # errors last in time, and are those of a joint
        parts = np.stack([np.bincount(cluster, of) for of in score])
        spread += parts @ parts.T * parts.shape[1] / max(parts.shape[1] - 1, 1)
    sigma = np.sqrt(np.diag(covariance @ spread @ covariance))
    return np.where(known, late, np.nan), np.where(known, sigma, np.nan)


def _scores(left: Floats, speed: Floats, weight: Floats, slope: Floats, inverse: Floats) -> Floats:
    """Derivative (C, M) of half the squared residuals by each offset, positions eliminated."""
    pull = np.einsum("cm,cmki,cmk->mi", weight, slope, left)
    return np.asarray(weight * (left * speed).sum(-1) - np.einsum("mi,mic->cm", pull, inverse))


def _without_means(values: Floats, weight: Floats, cell: Ints) -> Floats:
    out = np.array(values)
    for view in range(len(values)):
        total = np.maximum(np.bincount(cell, weight[view]), 1e-300)
        mean = [np.bincount(cell, weight[view] * values[view, :, axis]) / total for axis in (0, 1)]
        out[view] -= np.stack(mean, -1)[cell]
    return out
