"""The evidence of a take about the cameras of a given rig, with the positions of the target eliminated.

Near the given rig, observations are linear in small changes of the cameras and in the target's positions. The
positions, of a rigid body or of free points at every moment, are eliminated moment by moment (the Schur complement); an
information matrix and a score for each block of moments remain, and hold all information about the cameras.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from calib.geometry import pixels, rotation_from_vector, similarity, transform
from calib.observations import Observations
from calib.rig import Rig
from calib.robust_triangulation import triangulate_robust

CAMERA = 12  # rotation 3, translation 3 (the camera's own frame), log focal length, centre 2, log aspect, k1, k2
CHANGE = 7  # the first of them, which a bump or a zoom changes
_OUT = 6.0  # robust standard deviations from a camera's local median residual, for an outlier
_LEAST_SIGMA_PX = 1e-3
_STEPS = 2  # Gauss-Newton steps on the target's positions: their start is close
_AT_ONCE = 40_000  # observations whose derivatives are held in memory together
_LEAST_WINDOWS = 4  # windows of a camera in a take, however short
_WINDOW, _TOGETHER = 40, 15  # observations of a camera, and moments, in a window of the local median
_RIGID_POINTS = 4  # points that two views have to share for an initial pose of a body


@dataclass(frozen=True, eq=False)
class Sightings:
    """The observations used of a take: initial positions of the target and the weight of every observation.

    start (T, N, 3) m; weight (C, T, N) 1/px^2, 0 where not used; sigma_px (C,) the measured noise of a camera's
    observations; bodies: for each rigid piece of the target its points' columns, for free points none, and initial
    poses (T, 4, 4), NaN where too little of it is seen; free: columns of points that are on no rigid piece.
    """

    observations: Observations
    start: Floats
    weight: Floats
    sigma_px: Floats
    bodies: tuple[NDArray[np.intp], ...]
    poses: tuple[Floats, ...]
    free: NDArray[np.intp]

    def at(self, moments: NDArray[np.intp]) -> Sightings:
        """The observations at some moments only."""
        some = self.observations.at(moments)
        poses = tuple(of[moments] for of in self.poses)
        start, weight = self.start[moments], self.weight[:, moments]
        return replace(self, observations=some, start=start, weight=weight, poses=poses)

    @property
    def shared(self) -> NDArray[np.intp]:
        """Number (C,) of moments at which each camera sees points that another one sees too."""
        there = self.weight > 0
        return np.asarray((there & (there.sum(0) > 1)).any(-1).sum(-1))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence about the cameras in B blocks of moments.

    information (B, D, D) and score (B, D) of D = 12 C numbers of the cameras; first (B + 1,) moments at which blocks
    begin, and the end; square (C,) and count (C,): sum of squared residuals px^2 and their number; cost: sum of squared
    residuals in units of the noise; spread (C, 7, 7) m^2: a change d of a camera's first seven numbers displaces what
    it sees, across its line of sight at the positions of the target, by d^T spread d in the mean square.
    """

    information: Floats
    score: Floats
    first: NDArray[np.intp]
    square: Floats
    count: Floats
    spread: Floats
    cost: float

    @property
    def rms_px(self) -> Floats:
        """RMS residual (C,) px along each axis, NaN for a camera that sees nothing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.sqrt(self.square / np.where(self.count > 0, 2 * self.count, np.nan)))


def columns(camera: int, count: int = CAMERA) -> slice:
    """The columns of a camera's numbers, or of the first of them."""
    return slice(CAMERA * camera, CAMERA * camera + count)


def sightings(rigs: Sequence[Rig], since: Sequence[int], observations: Observations) -> Sightings:
    """Triangulate initial positions of the target, reject outliers, and measure each camera's noise.

    rigs, since: see `collect_evidence`. An outlier is far from the local median residual of the same camera: a camera
    that has moved has a residual in all its observations, which stay.
    """
    target, moments = observations.target, len(observations.moments)
    sigma = np.maximum(observations.sigma, _LEAST_SIGMA_PX)
    start, normal = np.full((*sigma.shape[1:], 3), np.nan), np.full(observations.xy.shape, np.nan)
    for rig, (low, high) in zip(rigs, pairwise([*since, moments]), strict=True):
        start[low:high], normal[:, low:high] = _places(rig, observations.xy[:, low:high], sigma[:, low:high])
    outlier, scale = _find_outliers(normal)
    views = np.isfinite(normal).all(-1).sum(0)
    mean = float(views[views >= 2].mean()) if (views >= 2).any() else 2.0
    scale = scale * np.sqrt(2 * mean / (2 * mean - 3))  # for the degrees of freedom of the points' positions
    weight = np.where(np.isfinite(sigma) & ~outlier, 1 / (sigma * scale[:, None, None]) ** 2, 0)
    typical = np.array([np.nanmedian(of) if np.isfinite(of).any() else np.nan for of in sigma])
    pieces = [np.flatnonzero(target.of_piece == piece) for piece in range(len(target.pieces))]
    rigid = [not target.free and not target.still and target.rank(piece) >= 2 for piece in range(len(pieces))]
    bodies = tuple(points for points, whole in zip(pieces, rigid, strict=True) if whole)
    free_parts = [points for points, whole in zip(pieces, rigid, strict=True) if not whole]
    free = np.concatenate(free_parts) if free_parts else np.zeros(0, np.intp)
    poses = tuple(_initial_poses(target.points[body], start[:, body], weight[..., body]) for body in bodies)
    return Sightings(observations, start, weight, typical * scale, bodies, poses, free)


def _places(rig: Rig, xy: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Positions (T, N, 3) of points from the views that agree, else from all; normalised residuals (C, T, N, 2)."""
    plain = rig.triangulate(xy, 1 / sigma**2)
    residual = np.linalg.norm(rig.project(plain) - xy, axis=-1) / sigma
    size = max(float(np.nanmedian(residual)), 1.0) if np.isfinite(residual).any() else 1.0
    robust = triangulate_robust(rig, xy, size * sigma).xyz
    places = np.where(np.isfinite(robust), robust, plain)
    return places, (xy - rig.project(places)) / sigma[..., None]


def _find_outliers(normal: Floats) -> tuple[Bools, Floats]:
    """Mask (C, T, N) of outliers among normalised residuals (C, T, N, 2), and the noise scale (C,).

    The reference is the median of the window an observation is in, or of the one before or after it: the residuals of a
    camera that moves within a window stay, and a body confused with another one for a moment is rejected.
    """
    seen = np.asarray(np.isfinite(normal).all(-1))
    outlier, scale = np.zeros(seen.shape, bool), np.ones(len(seen))
    for view in range(len(seen)):
        moment, _ = np.nonzero(seen[view])
        shown = normal[view][seen[view]]
        if not len(shown):
            continue
        window = max(_WINDOW, _TOGETHER * len(shown) // len(np.unique(moment)))
        window = min(window, max(len(shown) // _LEAST_WINDOWS, 1))  # in a short take, too, a move is not an outlier
        stretch = np.minimum(np.arange(len(shown)) // window, max(len(shown) // window - 1, 0))
        stretch = stretch[np.searchsorted(moment, moment)]  # a moment is in one stretch only
        found = np.flatnonzero(np.bincount(stretch))
        middle = np.array([np.median(shown[stretch == one], axis=0) for one in found])
        place = np.searchsorted(found, stretch)
        near = [np.median(abs(shown[stretch == one] - middle[at])) for at, one in enumerate(found)]
        spread = np.maximum(1.48 * np.array(near), 0.05)
        far = np.full(len(shown), np.inf)
        for other in (place - 1, place, place + 1):
            other = np.clip(other, 0, len(found) - 1)
            far = np.minimum(far, abs(shown - middle[other]).max(-1) / spread[other])
        outlier[view][seen[view]] = far > _OUT
        scale[view] = np.median(spread)
    return outlier, scale


def collect_evidence(rigs: Sequence[Rig], since: Sequence[int], seen: Sightings, blocks: int) -> Evidence:
    """Evidence about cameras with the poses of rigs[k] from moment since[k] on; since[0] = 0.

    There are about `blocks` blocks of equally many moments, split where the rig changes.
    """
    moments = len(seen.observations.moments)
    edges = np.unique(np.linspace(0, moments, blocks + 1).round().astype(int))
    edges = np.union1d(edges, [min(at, moments) for at in since])
    D, C = CAMERA * len(rigs[0]), len(rigs[0])
    sums = [_Sums.none(D, C) for _ in edges[1:]]
    for rig, (start, stop) in zip(rigs, pairwise([*since, moments]), strict=True):
        for found, eliminated, whitened_gradient, moment, owner in _parts(rig, seen, start, stop):
            at, of = np.searchsorted(moment, edges), np.searchsorted(owner, edges)
            for block in np.flatnonzero(np.diff(at)).tolist():
                some = found.part(slice(at[block], at[block + 1]))
                mine = slice(of[block], of[block + 1])
                sums[block].add(some, eliminated[:, mine], whitened_gradient[mine])
    square, count, spread = (sum(getattr(one, name) for one in sums) for name in ("square", "count", "spread"))
    return Evidence(
        np.array([one.information for one in sums]).reshape(-1, D, D),
        np.array([one.score for one in sums]).reshape(-1, D),
        np.asarray(edges, np.intp),
        np.asarray(square),
        np.asarray(count),
        spread / np.maximum(count, 1)[:, None, None],
        sum(one.cost for one in sums),
    )


def moment_costs(rig: Rig, seen: Sightings, start: int, stop: int) -> Floats:
    """Sum of squared residuals, in units of the noise, at each of the moments start to stop (exclusive)."""
    out = np.zeros(stop - start)
    for found, _, whitened_gradient, moment, owner in _parts(rig, seen, start, stop):
        out += np.bincount(moment - start, (found.residual**2).sum((0, 2)), stop - start)
        out -= np.bincount(owner - start, whitened_gradient**2, stop - start)
    return out


_Part = tuple["_Linear", Floats, Floats, NDArray[np.intp], NDArray[np.intp]]


def _parts(rig: Rig, seen: Sightings, start: int, stop: int) -> Iterator[_Part]:
    """Linearised observations, the terms to eliminate from them, and the moments of both, in chunks of moments."""
    step = max(1, _AT_ONCE // max(len(rig) * len(seen.observations.target), 1))
    for low in range(start, stop, step):
        at = slice(low, min(low + step, stop))
        for body, initial in zip(seen.bodies, seen.poses, strict=True):
            kept = np.flatnonzero(np.isfinite(initial[at]).all((1, 2)))
            if len(kept):
                yield _linearise_bodies(rig, seen, body, low + kept, initial[at][kept])
        kept = _kept_free(seen, at)
        if len(kept):
            yield _linearise_free(rig, seen, at, kept)


@dataclass(frozen=True, eq=False)
class _Linear:
    """Observations (C, M) and their derivatives, all times the root of the weight: residual (C, M, 2), by_camera
    (C, M, 2, 12), by_point (C, M, 2, 3); shift_m (C, M, 2, 7): displacement of the point by a change; root (C, M)."""

    residual: Floats
    by_camera: Floats
    by_point: Floats
    shift_m: Floats
    root: Floats

    def part(self, at: slice) -> _Linear:
        """Some of the observations of all cameras."""
        every = (self.residual, self.by_camera, self.by_point, self.shift_m, self.root)
        return _Linear(*(one[:, at] for one in every))


def _residuals(rig: Rig, points: Floats, xy: Floats, weight: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Whitened residuals (C, M, 2), derivatives (C, M, 2, 3) by positions (M, 3); pixels, root of the weight."""
    projected, slope = rig.project_with_jacobian(points)
    good = np.isfinite(projected[..., 0]) & (weight > 0)
    root = np.where(good, np.sqrt(weight), 0)
    residual = np.where(good[..., None], xy - projected, 0) * root[..., None]
    return residual, np.where(good[..., None, None], slope, 0) * root[..., None, None], projected, root


def _linearise(rig: Rig, points: Floats, xy: Floats, weight: Floats) -> _Linear:
    """Linearise about positions (M, 3) for pixels (C, M, 2) with weights (C, M)."""
    residual, by_point, projected, root = _residuals(rig, points, xy, weight)
    good = root > 0
    inside = transform(rig.cam_from_world[:, None], points)
    by_inside = by_point @ np.swapaxes(rig.cam_from_world[:, None, :3, :3], -1, -2)
    by_camera = np.empty((*residual.shape, CAMERA))
    by_camera[..., :3] = by_inside @ _by_rotation(inside)
    by_camera[..., 3:6] = by_inside
    by_camera[..., 6:] = _by_lens(rig, inside, projected, good) * root[..., None, None]
    metres = np.where(good, inside[..., 2] / np.where(good, root, 1), 0) / rig.focal[:, None]
    return _Linear(residual, by_camera, by_point, metres[..., None, None] * by_camera[..., :CHANGE], root)


def _by_rotation(points: Floats) -> Floats:
    """Derivatives (..., 3, 3) of points (..., 3) by a small rotation about the origin."""
    x, y, z = np.moveaxis(points, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).reshape(*x.shape, 3, 3)


def _by_lens(rig: Rig, inside: Floats, projected: Floats, good: Bools) -> Floats:
    """Derivatives (C, M, 2, 6) of pixels by log focal length, centre, log aspect (of y) and two radial terms."""
    flat = np.where(good[..., None], inside[..., :2] / np.where(good, inside[..., 2], 1)[..., None], 0)
    radius2 = (flat**2).sum(-1, keepdims=True)
    centre = rig.K[:, None, :2, 2]
    bent = np.where(good[..., None], projected - centre, 0)
    out = np.zeros((*flat.shape, 6))
    out[..., 0] = bent
    out[..., 0, 1] = out[..., 1, 2] = good
    out[..., 1, 3] = bent[..., 1]
    origin = np.zeros(2)
    for place, power in ((4, 1), (5, 2)):
        push = flat * radius2**power
        out[..., place] = pixels(push, rig.K[:, None]) - pixels(origin, rig.K[:, None])
    return out


@dataclass(eq=False)
class _Sums:
    """Sums over the observations of a block; see `Evidence`."""

    information: Floats
    score: Floats
    square: Floats
    count: Floats
    spread: Floats
    cost: float

    @classmethod
    def none(cls, D: int, C: int) -> _Sums:
        return cls(np.zeros((D, D)), np.zeros(D), np.zeros(C), np.zeros(C), np.zeros((C, CHANGE, CHANGE)), 0.0)

    def add(self, found: _Linear, eliminated: Floats, whitened_gradient: Floats) -> None:
        """Add M observations of each camera; eliminate `eliminated` (D, K), whitened, with its gradient (K,)."""
        for view in range(len(found.residual)):
            J = found.by_camera[view].reshape(-1, CAMERA)
            at = columns(view)
            self.information[at, at] += J.T @ J
            self.score[at] += J.T @ found.residual[view].ravel()
            shift_m = found.shift_m[view].reshape(-1, CHANGE)
            self.spread[view] += shift_m.T @ shift_m
        self.information -= eliminated @ eliminated.T
        self.score -= eliminated @ whitened_gradient
        root = np.where(found.root > 0, found.root, 1)
        self.square += ((found.residual / root[..., None]) ** 2).sum((1, 2))
        self.count += (found.root > 0).sum(1)
        self.cost += float((found.residual**2).sum() - (whitened_gradient**2).sum())


def _inverse_root(matrix: Floats) -> Floats:
    """W (..., k, k) with W W^T the inverse of a symmetric matrix (..., k, k), zero along undetermined directions."""
    values, vectors = np.linalg.eigh(matrix)
    known = values > 1e-9 * np.maximum(values[..., -1:], 1e-300)
    return np.asarray(vectors * np.where(known, 1 / np.sqrt(np.where(known, values, 1)), 0)[..., None, :])


def _kept_free(seen: Sightings, at: slice) -> NDArray[np.intp]:
    """Free points, numbered over moments and columns, that two views see and that have a position."""
    known = np.isfinite(seen.start[at, seen.free]).all(-1)
    return np.flatnonzero(((seen.weight[:, at, seen.free] > 0).sum(0) >= 2) & known)


def _linearise_free(rig: Rig, seen: Sightings, at: slice, kept: NDArray[np.intp]) -> _Part:
    """Free points, each refined to the least squares of its observations."""
    xy = seen.observations.xy[:, at, seen.free].reshape(len(rig), -1, 2)
    weight = seen.weight[:, at, seen.free].reshape(len(rig), -1)
    points = seen.start[at, seen.free].reshape(-1, 3).copy()
    xy, weight, points = xy[:, kept], weight[:, kept], points[kept]
    for _ in range(_STEPS):
        residual, by_point, *_ = _residuals(rig, points, xy, weight)
        points = points + _step(_stack(by_point, len(points), 3), _stack(residual, len(points)))
    found = _linearise(rig, points, xy, weight)
    moment = at.start + kept // len(seen.free)
    by_point = _stack(found.by_point, len(points), 3)
    W = _inverse_root(np.swapaxes(by_point, -1, -2) @ by_point)
    mixed = np.swapaxes(found.by_camera, -1, -2) @ (found.by_point @ W)  # (C, M, 12, 3)
    eliminated = mixed.swapaxes(1, 2).reshape(CAMERA * len(rig), -1)
    return found, eliminated, _whitened_gradient(W, by_point, found.residual), moment, np.repeat(moment, 3)


def _linearise_bodies(
    rig: Rig, seen: Sightings, body: NDArray[np.intp], moments: NDArray[np.intp], pose: Floats
) -> _Part:
    """A rigid body, its pose (T, 4, 4) at each of the moments (T,) refined to the least squares of its observations."""
    shape, count = seen.observations.target.points[body], len(moments)
    at = np.ix_(np.arange(len(rig)), moments, body)
    weight, xy = seen.weight[at].reshape(len(rig), -1), seen.observations.xy[at].reshape(len(rig), -1, 2)
    for _ in range(_STEPS):
        points, by_turn = _body_points(pose, shape)
        residual, by_point, *_ = _residuals(rig, points, xy, weight)
        step = _step(_stack(_by_pose(by_point, by_turn), count, 6), _stack(residual, count))
        pose[:, :3, :3] = rotation_from_vector(step[:, :3]) @ pose[:, :3, :3]
        pose[:, :3, 3] += step[:, 3:]
    points, by_turn = _body_points(pose, shape)
    found = _linearise(rig, points, xy, weight)
    by_pose = _stack(_by_pose(found.by_point, by_turn), count, 6)  # (T, C N 2, 6)
    W = _inverse_root(np.swapaxes(by_pose, -1, -2) @ by_pose)
    by_camera = found.by_camera.reshape(len(rig), count, -1, CAMERA)
    mixed = np.swapaxes(by_camera, -1, -2) @ by_pose.reshape(count, len(rig), -1, 6).swapaxes(0, 1)  # (C, T, 12, 6)
    eliminated = (mixed @ W).swapaxes(1, 2).reshape(CAMERA * len(rig), -1)
    whitened_gradient = _whitened_gradient(W, by_pose, found.residual)
    return found, eliminated, whitened_gradient, np.repeat(moments, len(shape)), np.repeat(moments, 6)


def _stack(parts: Floats, count: int, by: int | None = None) -> Floats:
    """Values of C cameras at `count` moments, or points, (C, M, 2[, k]) stacked as (count, rows[, k])."""
    split = parts.reshape(len(parts), count, -1, *([by] if by else []))
    return split.swapaxes(0, 1).reshape(count, -1, *([by] if by else []))


def _whitened_gradient(W: Floats, slope: Floats, residual: Floats) -> Floats:
    """Gradients (n k,) of n small problems (see `_step`), whitened by W (n, k, k); squared, the cost still to gain."""
    gradient = np.swapaxes(slope, -1, -2) @ _stack(residual, len(slope))[..., None]
    return np.asarray((np.swapaxes(W, -1, -2) @ gradient)[..., 0].ravel())


def _step(slope: Floats, residual: Floats) -> Floats:
    """Gauss-Newton steps (n, k) of n small problems with derivatives (n, rows, k)."""
    back = np.swapaxes(slope, -1, -2)
    W = _inverse_root(back @ slope)
    return np.asarray((W @ (np.swapaxes(W, -1, -2) @ (back @ residual[..., None])))[..., 0])


def _body_points(pose: Floats, shape: Floats) -> tuple[Floats, Floats]:
    """A body's points (T N, 3) in the world and their derivatives (T N, 3, 3) by a rotation about its origin."""
    turned = np.einsum("tij,nj->tni", pose[:, :3, :3], shape)
    return (turned + pose[:, None, :3, 3]).reshape(-1, 3), _by_rotation(turned).reshape(-1, 3, 3)


def _by_pose(by_point: Floats, by_turn: Floats) -> Floats:
    """Derivatives (C, M, 2, 6) by a rotation and a shift of the body in the world."""
    return np.concatenate([by_point @ by_turn, by_point], -1)


def _initial_poses(shape: Floats, points: Floats, weight: Floats) -> Floats:
    """Poses (T, 4, 4) of a body (N, 3) from its points (T, N, 3) that two views share; NaN where there are too few."""
    out = np.full((len(points), 4, 4), np.nan)
    shared = ((weight > 0).sum(0) >= 2) & np.isfinite(points).all(-1)
    for moment in np.flatnonzero(shared.sum(1) >= _RIGID_POINTS):
        known = shared[moment]
        spread = np.linalg.svd(shape[known] - shape[known].mean(0), compute_uv=False)
        if spread[1] < 1e-3 * spread[0]:  # collinear: the rotation about the line is undetermined
            continue
        _, R, t = similarity(shape[known], points[moment, known], scale=False)
        out[moment] = np.eye(4)
        out[moment, :3, :3], out[moment, :3, 3] = R, t
    return out
