"""Adjusts every camera of a rig to free points, as the joints of people, with the old calibration as the prior.

Bundle adjustment over all poses, focal lengths and principal points, and the points. Points alone determine no world
and no scale, and tell a turned camera from a shifted principal point only by perspective; there the priors decide,
which say how far a calibration usually is off. Errors of one joint in one view last, so the priors count as much as the
independent observations, not as all of them (the design effect of cluster samples, Kish 1965).

"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib import bundle
from calib.arrays import Bools, Floats, Ints
from calib.bundle.equations import LENS, lens_numbers
from calib.bundle.problem import Problem
from calib.calibration import POSE
from calib.camera import Camera
from calib.changes.lags import estimate_lags, shift_times
from calib.changes.soft_points import soft_points, soft_scale
from calib.check import of_views
from calib.errors import CalibrationError
from calib.geometry import pose, similarity, vector_from_rotation
from calib.observations import Observations
from calib.rig import Rig

MOST_SEEN = 12_000
"""Observations of the fit; of more, moments and points are thinned out."""
_MOMENTS = 60  # as long as there are so many, moments are left out first, then points
_ASPECT = 2e-4  # standard deviation of the ratio of the focal lengths along x and y
_OUTLIER = 6.0  # standard deviations beyond which an observation is left out
_ROUNDS, _ITERATIONS = 3, 12
LASTING_S = 0.5
"""How long the errors of a detector of joints last (their correlation time, fitted on recordings): stretches of time
that are shorter are not independent."""
LEAST_STRETCHES = 3
"""Stretches of time below which nothing is known of how an estimate varies."""
_FOLDS, _BLOCKS = 3, 12  # parts of the observations held out in turn, and stretches of time that they are taken from
_LEAST_MOMENTS, _LEAST_POINTS, _LEAST_VIEWS = 12, 6, 3
_OFTEN = 8  # least observations of a point in a view to tell the constant part of its residuals
_ALIKE = 16.0  # joints of a body whose errors in a view go together
_SURE, _WORTH = 0.98, 0.05  # probability, and share of the residual, by which the rig has to be better
_ALIGNED = 20  # reweighted steps of the alignment
_STILL_M = 0.005  # least deviation from which a camera loses weight in the alignment


@dataclass(frozen=True)
class RigTolerance:
    """How far a calibration is usually off: standard deviations of each camera's error.

    turned_deg: rotation about each axis (a camera that was touched, a mount that gives); moved_m: position along each
    axis; focal: share of the focal length (zoom and focus); principal: principal point along each axis as a share of
    the longer side of the image (stabilised or cropped video, a lens that was taken off).
    """

    turned_deg: float = 0.5
    moved_m: float = 0.02
    focal: float = 0.005
    principal: float = 0.01


@dataclass(frozen=True, eq=False)
class RigRefit:
    """A rig adjusted to a take, beside the old one, and how well both fit observations that were held out.

    rig: in the world and scale of `old`; adjusted (C,): mask of the cameras that were, the others share too few points
    and stay as they are. before_px, after_px: median residual, px, of points that three views or more see, held out;
    view_before_px, view_after_px (C,): the same of each view, NaN where there is none. gain: by how much the held-out
    observations are more probable, in standard errors between stretches of time, of which there are `stretches`.
    better: whether the new rig fits them better by more than noise (Student's t of so few stretches) and by 5 %.
    late_s (C,): delays of views, which the fit corrected for and the figures did not. extent_m (3,): of the points
    along the axes of the world; elsewhere nothing confirms the new rig.
    """

    rig: Rig
    old: Rig
    adjusted: Bools
    moments: int
    before_px: float
    after_px: float
    view_before_px: Floats
    view_after_px: Floats
    gain: float
    stretches: int
    better: bool
    late_s: Floats
    extent_m: Floats

    @property
    def moved_m(self) -> Floats:
        """Distance (C,) m between the cameras' old and new positions."""
        return np.asarray(np.linalg.norm(self.rig.positions - self.old.positions, axis=-1))

    @property
    def turned_deg(self) -> Floats:
        """Angle (C,) between the cameras' old and new orientations."""
        change = self.rig.cam_from_world[:, :3, :3] @ self.old.cam_from_world[:, :3, :3].swapaxes(1, 2)
        return np.asarray(np.rad2deg(np.linalg.norm(vector_from_rotation(change), axis=-1)))

    @property
    def principal_px(self) -> Floats:
        """Shift (C, 2) px of the principal points."""
        return np.asarray(self.rig.K[:, :2, 2] - self.old.K[:, :2, 2])

    @property
    def focal_percent(self) -> Floats:
        """Change (C,) of the focal lengths, percent."""
        return np.asarray(100 * (self.rig.focal / self.old.focal - 1))


def refit(
    rig: Rig,
    observations: Observations,
    *,
    group: ArrayLike | None = None,
    tolerance: RigTolerance | None = None,
    most: int = MOST_SEEN,
    late_s: ArrayLike | None = None,
    progress: Callable[[int, int], None] = lambda done, whole: None,
) -> RigRefit:
    """Adjust the poses, focal lengths and principal points of a rig to free points that its views observe.

    group (N,): points with the same number are the same joint, or its left and right, whose errors are alike; they are
    held out together. most: observations used; late_s (C,): delays of the views, s, where they were estimated before;
    progress: called with the fits done and all of them. The new rig is placed in the old world by the similarity that
    brings the cameras nearest to where they were; cameras that moved further than the others hardly count in it. So
    scale, axes and floor stay. Raises CalibrationError where fewer than three views share enough points, too few
    moments are seen, or they lie so close in time that errors of the points may last as long.
    """
    from scipy.special import stdtrit

    mine = of_views(rig, observations)
    lags = np.asarray(estimate_lags(mine, observations).sure if late_s is None else late_s, np.float64)
    moments, kept = _sample(observations, most)
    free = _determined_views(observations.at(moments))
    seen, synchronised = (
        _without_points(table.at(moments), ~kept) for table in (observations, shift_times(observations, lags))
    )
    block, prior = _blocks(seen), tolerance or RigTolerance()
    new, scale = _fit(mine, synchronised, free, prior)
    progress(1, 1 + _FOLDS)
    held, fold_of = _HeldOut(mine, seen, scale, block), _folds_of_points(seen, group)
    for fold in range(_FOLDS):
        out, points = held.block % _FOLDS == fold, fold_of == fold
        rest = _without_points(synchronised.at(~out), points if fold_of.any() else np.zeros(len(points), bool))
        trial, _ = _fit(mine, rest, free, prior)
        held.add(trial, out, points if fold_of.any() else np.ones(len(points), bool))
        progress(2 + fold, 1 + _FOLDS)
    (before, view_before), (after, view_after) = held.medians()
    gain = held.gain()
    least = float(stdtrit(held.stretches - 1, _SURE))
    better = gain > least and held.better_in_all() and after < (1 - _WORTH) * before
    return RigRefit(
        replace(new, source=rig.source), mine, free, len(seen.moments), before, after, view_before, view_after, gain,
        held.stretches, bool(better), lags, _extent_m(new, seen, scale),
    )  # fmt: skip


def _extent_m(rig: Rig, seen: Observations, scale: float) -> Floats:
    """Extent (3,) m of the points along the axes of the world, without the outermost twentieth on either side."""
    points = soft_points(rig, seen.xy.reshape(len(rig), -1, 2), scale * seen.sigma.reshape(len(rig), -1)).xyz
    low, high = np.nanquantile(points, [0.05, 0.95], axis=0)
    return np.asarray(high - low)


def _sample(seen: Observations, most: int) -> tuple[NDArray[np.intp], Bools]:
    """Moments (M,) well apart and, for each, which points (M, N) are used, so that about `most` observations are.

    Where many people are seen, other points are used at each moment rather than too few moments.
    """
    shared = np.flatnonzero((seen.seen.sum(0) >= 2).any(-1))
    count, whole = len(shared), int(seen.seen[:, shared].sum())
    wanted = max(most * count // max(whole, 1), _MOMENTS)
    moments = shared[:: max(1, -(-count // wanted))]
    every = max(1, round(int(seen.seen[:, moments].sum()) / most))
    number = np.arange(len(seen.target)) + np.arange(len(moments))[:, None]
    return moments, np.asarray(number % every == 0)


def _without_points(seen: Observations, points: Bools) -> Observations:
    return replace(seen, sigma=np.where(points, np.nan, seen.sigma))


def _determined_views(seen: Observations) -> Bools:
    """Mask (C,) of the views that share enough points with others at enough moments."""
    shared = seen.seen & (seen.seen.sum(0) >= 2)
    moments = np.asarray((shared.sum(-1) >= _LEAST_POINTS).sum(-1))
    free = np.asarray(moments >= _LEAST_MOMENTS)
    if free.sum() < _LEAST_VIEWS:
        most = ", ".join(f"{name} {count}" for name, count in zip(seen.views, moments.tolist(), strict=True))
        shared = f"three views that share {_LEAST_POINTS} joints or more at {_LEAST_MOMENTS} moments"
        if len(free) < _LEAST_VIEWS:
            raise CalibrationError(
                f"adjusting a rig needs {shared}, this one has {len(free)}; calibrate it again with a board instead"
            )
        raise CalibrationError(
            f"adjusting a rig needs {shared} each, here are {most}; film people who walk where all views see them"
        )
    return free


def _fit(rig: Rig, seen: Observations, free: Bools, tolerance: RigTolerance) -> tuple[Rig, float]:
    """The rig adjusted to all observations, in the world of the old one, and the factor on their stated noise."""
    new, flat = rig, (len(rig), -1)
    lens_free = np.zeros((len(rig), LENS), bool)
    lens_free[:, :4] = free[:, None]
    none = np.full((len(seen.moments), 4, 4), np.nan)
    scale = 1.0
    for _ in range(_ROUNDS):
        xy, sigma = seen.xy.reshape(*flat, 2), seen.sigma.reshape(flat)
        scale = max(soft_scale(soft_points(new, xy, scale * sigma).size2) * scale, 0.3)
        soft = soft_points(new, xy, scale * sigma)
        near = (soft.size2 > 0) & (soft.size2 < _OUTLIER**2)
        used = (near & (near.sum(0) >= 2)).reshape(seen.sigma.shape)
        points = soft.xyz.reshape(*seen.sigma.shape[1:], 3)
        effect = _design_effect(new, seen, points, used, scale)
        pose_information, lens_information = _priors(rig, tolerance)
        problem = Problem(
            seen, tuple(camera.lens for camera in new), new.cam_from_world, none, np.eye(4)[None], used, lens_free,
            free, bodies_free=False, free_points=points, prior_mean=np.stack([lens_numbers(one.lens) for one in rig]),
            prior_information=effect * lens_information, pose_mean=rig.cam_from_world,
            pose_information=effect * pose_information, noise=np.full(len(rig), scale),
        )  # fmt: skip
        found = bundle.adjust(problem, iterations=_ITERATIONS, tolerance=1e-4)
        parts = zip(found.lenses, found.cam_from_world, strict=True)
        new = Rig(tuple(Camera(lens, placed) for lens, placed in parts))
    return _in_old_world(rig, new, free, float(np.nanmedian(_depths(rig, points)))), scale


def _priors(rig: Rig, tolerance: RigTolerance) -> tuple[Floats, Floats]:
    """Information (C, 6, 6) of the poses and (C, 16, 16) of the lenses about the old rig."""
    turn, move = 1 / np.deg2rad(tolerance.turned_deg) ** 2, 1 / tolerance.moved_m**2
    poses = np.broadcast_to(np.diag([turn] * 3 + [move] * 3), (len(rig), POSE, POSE))
    lenses = np.broadcast_to(np.eye(LENS), (len(rig), LENS, LENS)).copy()
    for row, camera in enumerate(rig):
        focal = np.diag(camera.lens.K)[:2]
        covariance = tolerance.focal**2 + _ASPECT**2 * np.eye(2)
        lenses[row, :2, :2] = np.linalg.inv(covariance * focal * focal[:, None])
        lenses[row, 2, 2] = lenses[row, 3, 3] = 1 / (tolerance.principal * max(camera.size)) ** 2
    return poses, lenses


def _design_effect(rig: Rig, seen: Observations, points: Floats, used: Bools, scale: float) -> float:
    """Observations for each independent one: residuals of a point in a view have a part that lasts over moments."""
    residual = (seen.xy - rig.project(points)) / (scale * seen.sigma)[..., None]
    count = used.sum(1)
    often = count >= _OFTEN
    if not often.any():
        return 1.0
    known = np.where(used[..., None], np.nan_to_num(residual), 0)
    mean = known.sum(1) / np.maximum(count, 1)[..., None]
    every = (np.where(used[..., None], known - mean[:, None], 0) ** 2).sum(1) / np.maximum(count - 1, 1)[..., None]
    same = np.median(np.maximum(mean**2 - every / np.maximum(count, 1)[..., None], 0)[often])
    share = same / max(same + np.median(every[often]), 1e-300)
    return float(max(1.0, 1 + (_ALIKE * count[often].mean() - 1) * share))


def _depths(rig: Rig, points: Floats) -> Floats:
    """Distance (C, ...) m of points (..., 3) from the cameras."""
    return np.asarray(np.linalg.norm(points - rig.positions.reshape(-1, *(1,) * (points.ndim - 1), 3), axis=-1))


def _in_old_world(old: Rig, new: Rig, free: Bools, depth_m: float) -> Rig:
    """The new rig after the similarity that brings its free cameras nearest to their old places and directions.

    A direction is that of the ray of the picture's centre, `depth_m` long, as a shifted principal point and a turn make
    up for each other. Cameras that are further off than the others lose weight (the kernel of Geman and McClure).
    """
    at = np.flatnonzero(free)
    ends = []
    for rig in (old, new):
        centre = np.array([[np.array(rig[int(view)].size) / 2] for view in at])
        ends.append((rig.positions[at], depth_m * rig.select([rig.names[view] for view in at]).rays(centre)[1][:, 0]))
    (position, ray), (moved, moved_ray) = ends
    weight, scale, R, t = np.ones(len(at)), 1.0, np.eye(3), np.zeros(3)
    for _ in range(_ALIGNED):
        middle, moved_middle = (np.average(of, axis=0, weights=weight) for of in (position, moved))
        spread = [float(weight @ ((of - mid) ** 2).sum(-1)) for of, mid in ((position, middle), (moved, moved_middle))]
        scale = float(np.sqrt(spread[0] / max(spread[1], 1e-12))) if spread[0] > 0 else 1.0
        source = np.concatenate([scale * moved, scale * moved + moved_ray])
        target = np.concatenate([position, position + ray])
        _, R, t = similarity(source, target, np.tile(weight, 2), scale=False)
        off = np.linalg.norm(source @ R.T + t - target, axis=-1).reshape(2, -1).max(0)
        weight = 1 / (1 + (off / max(2 * float(np.median(off)), _STILL_M)) ** 2) ** 2
    placed = new.scaled_world(scale).moved(pose(R, t))
    return Rig(tuple(placed[view] if free[view] else old[view] for view in range(len(old))))


def _folds_of_points(seen: Observations, group: ArrayLike | None) -> Ints:
    """Fold (N,) in which each point is held out; all 0 where there are too few joints to leave some out."""
    number = np.arange(len(seen.target)) if group is None else np.asarray(group)
    used = np.unique(number[seen.seen.any((0, 1))])
    if len(used) < 2 * _FOLDS:
        return np.zeros(len(number), np.int64)
    return np.asarray(np.searchsorted(used, number) % _FOLDS, np.int64)


def time_stretches(time_s: Floats, most: int) -> Ints:
    """Number (N,) of the stretch of time that each of N times lies in: up to `most` of equal length.

    They are at least as long as the errors of a detector last; times that are NaN count as one time.
    """
    known = np.isfinite(time_s)
    if not known.any():
        return np.zeros(len(time_s), np.int64)
    since = np.where(known, time_s - time_s[known].min(), 0.0)
    moments = np.unique(since)
    length = float(moments[-1] + (np.median(np.diff(moments)) if len(moments) > 1 else 0))
    count = int(np.clip(length / LASTING_S, 1, most))
    place = np.minimum((since * count / max(length, 1e-9)).astype(np.int64), count - 1)
    return np.asarray(np.unique(place, return_inverse=True)[1].reshape(-1), np.int64)


def _blocks(seen: Observations) -> Ints:
    """Stretch of time (T,) of each moment; CalibrationError where there are too few to be independent."""
    time = np.full(len(seen.moments), np.nan)
    known = np.isfinite(seen.time_s).any(0)
    time[known] = np.nanmedian(seen.time_s[:, known], axis=0)
    if not known.any() or np.ptp(time[known]) == 0:  # pictures without a clock, not a film
        return np.arange(len(time)) * min(_BLOCKS, len(time)) // len(time)
    block = time_stretches(time, _BLOCKS)
    if block.max() + 1 < LEAST_STRETCHES:
        raise CalibrationError(
            f"the points are seen for {np.ptp(time[known]):.1f} s; as errors of a detector last about {LASTING_S} s, "
            f"they are told from errors of the rig in a take of {LEAST_STRETCHES * LASTING_S} s or more only"
        )
    return block


class _HeldOut:
    """Agreement of observations that were held out with the old rig and with one adjusted without them."""

    def __init__(self, rig: Rig, seen: Observations, scale: float, block: Ints) -> None:
        self._rig, self._seen, self._scale, self.block = rig, seen, scale, block
        self.stretches = int(self.block.max()) + 1
        self._gain = np.zeros(_BLOCKS)
        self._count = np.zeros(_BLOCKS)
        self._errors: list[Floats] = []

    def add(self, trial: Rig, moments: Bools, points: Bools) -> None:
        """Add the observations of some moments and points, which the trial's fit did not use."""
        part = _without_points(self._seen.at(moments), ~points)
        shape = part.sigma.shape
        xy, sigma = part.xy.reshape(len(trial), -1, 2), part.sigma.reshape(len(trial), -1)
        sides = [soft_points(rig, xy, self._scale * sigma) for rig in (self._rig, trial)]
        cost = [side.cost.reshape(shape).sum((0, 2)) for side in sides]
        np.add.at(self._gain, self.block[moments], cost[0] - cost[1])
        np.add.at(self._count, self.block[moments], (sides[0].cost > 0).reshape(shape).sum((0, 2)))
        seen = sides[0].size2 > 0
        told = seen & (seen.sum(0) >= _LEAST_VIEWS)
        error = np.stack([np.where(told, np.sqrt(side.size2) * self._scale * sigma, np.nan) for side in sides])
        self._errors.append(error[:, :, told.any(0)])

    def gain(self) -> float:
        """Mean gain of the stretches of time in standard errors."""
        gain = (self._gain / np.maximum(self._count, 1))[self._count > 0]
        if len(gain) < 2:
            return 0.0
        return float(gain.mean() / max(gain.std(ddof=1) / np.sqrt(len(gain)), 1e-12))

    def better_in_all(self) -> bool:
        """Whether the observations of every fold are more probable."""
        return all(self._gain[fold::_FOLDS].sum() > 0 for fold in range(_FOLDS))

    def medians(self) -> list[tuple[float, Floats]]:
        """Median residual, px, before and after: of all views together, and of each (C,)."""
        error = np.concatenate(self._errors, -1)
        out = []
        for side in error:
            by_view = [np.median(of[np.isfinite(of)]) if np.isfinite(of).any() else np.nan for of in side]
            known = side[np.isfinite(side)]
            out.append((float(np.median(known)) if known.size else float("nan"), np.array(by_view)))
        return out
