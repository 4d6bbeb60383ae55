"""What a take says about the cameras of a rig that is given, once the places of the target are taken out.

Near the given rig, sightings are linear in small changes of the cameras and in the target's places. The places, a rigid
body or free points at every moment, are eliminated moment by moment (the Schur complement); what is left, an
information matrix and a score a block of moments, holds all that the take says about the cameras.
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
CHANGE = 7  # of which a bump or a zoom changes the first
_OUT = 6.0  # robust standard deviations from what a camera usually shows at that time
_LEAST_SIGMA_PX = 1e-3
_STEPS = 2  # Gauss-Newton on the target's places: they begin near
_AT_ONCE = 40_000  # sightings whose derivatives are held together
_WINDOW, _TOGETHER = 40, 15  # sightings of a camera, and moments, that tell what is usual for it
_RIGID_POINTS = 4  # that two views have to share before a body's pose is begun from them


@dataclass(frozen=True, eq=False)
class Sightings:
    """What is used of a take: places to begin from and the weight of every sighting.

    start (T, N, 3) m; weight (C, T, N) 1/px^2, 0 where not used; sigma_px (C,) the noise of a camera's sightings as
    measured; bodies: for each rigid piece of the target its points' columns, for free points none, and poses (T, 4, 4)
    to begin from, NaN where too little of it is seen; free: columns of points that are on no rigid piece.
    """

    observations: Observations
    start: Floats
    weight: Floats
    sigma_px: Floats
    bodies: tuple[NDArray[np.intp], ...]
    poses: tuple[Floats, ...]
    free: NDArray[np.intp]

    def at(self, moments: NDArray[np.intp]) -> Sightings:
        """The same of some moments only."""
        some = self.observations.at(moments)
        poses = tuple(of[moments] for of in self.poses)
        start, weight = self.start[moments], self.weight[:, moments]
        return replace(self, observations=some, start=start, weight=weight, poses=poses)

    @property
    def shared(self) -> NDArray[np.intp]:
        """Moments at which each camera sees points that another one sees too, (C,)."""
        there = self.weight > 0
        return np.asarray((there & (there.sum(0) > 1)).any(-1).sum(-1))


@dataclass(frozen=True, eq=False)
class Evidence:
    """B blocks of moments. information (B, D, D) and score (B, D) of D = 12 C numbers of the cameras; first (B + 1,)
    moments at which they begin, and the end; square (C,) and count (C,): sum of squared residuals px^2 and how many;
    cost: sum of squared residuals in units of the noise; spread (C, 7, 7) m^2: how far a change of a camera's first
    seven numbers moves what it sees, across its line of sight, at the places of the target: mean square d^T spread d.
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
    """Start every place of the target, leave wild sightings out, and measure each camera's noise.

    rigs, since: see `evidence`. A sighting is wild where it is far from what the same camera shows at that time: a
    camera that has moved is off in all it sees, and stays.
    """
    target, moments = observations.target, len(observations.moments)
    sigma = np.maximum(observations.sigma, _LEAST_SIGMA_PX)
    start, normal = np.full((*sigma.shape[1:], 3), np.nan), np.full(observations.xy.shape, np.nan)
    for rig, (low, high) in zip(rigs, pairwise([*since, moments]), strict=True):
        start[low:high], normal[:, low:high] = _places(rig, observations.xy[:, low:high], sigma[:, low:high])
    wild, scale = _wild(normal)
    views = np.isfinite(normal).all(-1).sum(0)
    mean = float(views[views >= 2].mean()) if (views >= 2).any() else 2.0
    scale = scale * np.sqrt(2 * mean / (2 * mean - 3))  # what a point's own place has taken up
    weight = np.where(np.isfinite(sigma) & ~wild, 1 / (sigma * scale[:, None, None]) ** 2, 0)
    usual = np.array([np.nanmedian(of) if np.isfinite(of).any() else np.nan for of in sigma])
    pieces = [np.flatnonzero(target.of_piece == piece) for piece in range(len(target.pieces))]
    rigid = [not target.free and not target.still and target.rank(piece) >= 2 for piece in range(len(pieces))]
    bodies = tuple(points for points, whole in zip(pieces, rigid, strict=True) if whole)
    loose = [points for points, whole in zip(pieces, rigid, strict=True) if not whole]
    free = np.concatenate(loose) if loose else np.zeros(0, np.intp)
    poses = tuple(_begin(target.points[body], start[:, body], weight[..., body]) for body in bodies)
    return Sightings(observations, start, weight, usual * scale, bodies, poses, free)


def _places(rig: Rig, xy: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Places (T, N, 3) of points by the views that agree, or by all, and normalised residuals (C, T, N, 2)."""
    plain = rig.triangulate(xy, 1 / sigma**2)
    off = np.linalg.norm(rig.project(plain) - xy, axis=-1) / sigma
    size = max(float(np.nanmedian(off)), 1.0) if np.isfinite(off).any() else 1.0
    robust = triangulate_robust(rig, xy, size * sigma).xyz
    places = np.where(np.isfinite(robust), robust, plain)
    return places, (xy - rig.project(places)) / sigma[..., None]


def _wild(normal: Floats) -> tuple[Bools, Floats]:
    """Which of normalised residuals (C, T, N, 2) are far from what is usual for their camera, and the spread (C,).

    Usual is the middle of the stretch they are in, or of the one before or after it: what is left of a camera that
    moves in the middle of a stretch is not wild, and a body that for a moment is taken for another one is.
    """
    seen = np.asarray(np.isfinite(normal).all(-1))
    wild, scale = np.zeros(seen.shape, bool), np.ones(len(seen))
    for view in range(len(seen)):
        moment, _ = np.nonzero(seen[view])
        shown = normal[view][seen[view]]
        if not len(shown):
            continue
        window = max(_WINDOW, _TOGETHER * len(shown) // len(np.unique(moment)))
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
        wild[view][seen[view]] = far > _OUT
        scale[view] = np.median(spread)
    return wild, scale


def collect_evidence(rigs: Sequence[Rig], since: Sequence[int], seen: Sightings, blocks: int) -> Evidence:
    """Evidence about cameras that stand as rigs[k] says from moment since[k] on; since[0] = 0.

    There are about `blocks` blocks of equally many moments, cut where the rig changes.
    """
    moments = len(seen.observations.moments)
    edges = np.unique(np.linspace(0, moments, blocks + 1).round().astype(int))
    edges = np.union1d(edges, [min(at, moments) for at in since])
    D, C = CAMERA * len(rigs[0]), len(rigs[0])
    sums = [_Sums.none(D, C) for _ in edges[1:]]
    for rig, (start, stop) in zip(rigs, pairwise([*since, moments]), strict=True):
        for found, eliminated, held, moment, owner in _parts(rig, seen, start, stop):
            at, of = np.searchsorted(moment, edges), np.searchsorted(owner, edges)
            for block in np.flatnonzero(np.diff(at)).tolist():
                some = found.part(slice(at[block], at[block + 1]))
                mine = slice(of[block], of[block + 1])
                sums[block].add(some, eliminated[:, mine], held[mine])
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
    for found, _, held, moment, owner in _parts(rig, seen, start, stop):
        out += np.bincount(moment - start, (found.off**2).sum((0, 2)), stop - start)
        out -= np.bincount(owner - start, held**2, stop - start)
    return out


_Part = tuple["_Linear", Floats, Floats, NDArray[np.intp], NDArray[np.intp]]


def _parts(rig: Rig, seen: Sightings, start: int, stop: int) -> Iterator[_Part]:
    """Sightings and what to take out of them, not all moments at a time, and the moments of both."""
    step = max(1, _AT_ONCE // max(len(rig) * len(seen.observations.target), 1))
    for low in range(start, stop, step):
        at = slice(low, min(low + step, stop))
        for body, begun in zip(seen.bodies, seen.poses, strict=True):
            kept = np.flatnonzero(np.isfinite(begun[at]).all((1, 2)))
            if len(kept):
                yield _rigid(rig, seen, body, low + kept, begun[at][kept])
        if len(seen.free):
            yield _loose(rig, seen, at)


@dataclass(frozen=True, eq=False)
class _Linear:
    """Sightings (C, M) and their derivatives, all times the root of the weight: off (C, M, 2), by the camera
    (C, M, 2, 12), by the point (C, M, 2, 3); what a change is worth there, m (C, M, 2, 7)."""

    off: Floats
    by_camera: Floats
    by_point: Floats
    worth: Floats
    root: Floats

    def part(self, at: slice) -> _Linear:
        """Some of the sightings of all cameras."""
        every = (self.off, self.by_camera, self.by_point, self.worth, self.root)
        return _Linear(*(one[:, at] for one in every))


def _off(rig: Rig, points: Floats, xy: Floats, weight: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Whitened residuals (C, M, 2) and their derivatives (C, M, 2, 3) by places (M, 3); pixels, root of the weight."""
    projected, slope = rig.project_with_jacobian(points)
    good = np.isfinite(projected[..., 0]) & (weight > 0)
    root = np.where(good, np.sqrt(weight), 0)
    off = np.where(good[..., None], xy - projected, 0) * root[..., None]
    return off, np.where(good[..., None, None], slope, 0) * root[..., None, None], projected, root


def _linear(rig: Rig, points: Floats, xy: Floats, weight: Floats) -> _Linear:
    """About places (M, 3) of pixels (C, M, 2) with weights (C, M)."""
    off, by_point, projected, root = _off(rig, points, xy, weight)
    good = root > 0
    inside = transform(rig.cam_from_world[:, None], points)
    by_inside = by_point @ np.swapaxes(rig.cam_from_world[:, None, :3, :3], -1, -2)
    by_camera = np.empty((*off.shape, CAMERA))
    by_camera[..., :3] = by_inside @ _turning(inside)
    by_camera[..., 3:6] = by_inside
    by_camera[..., 6:] = _by_lens(rig, inside, projected, good) * root[..., None, None]
    metres = np.where(good, inside[..., 2] / np.where(good, root, 1), 0) / rig.focal[:, None]
    return _Linear(off, by_camera, by_point, metres[..., None, None] * by_camera[..., :CHANGE], root)


def _turning(points: Floats) -> Floats:
    """Derivatives (..., 3, 3) of points (..., 3) by a small turn about the origin."""
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
    """What is summed over the sightings of a block; see `Evidence`."""

    information: Floats
    score: Floats
    square: Floats
    count: Floats
    spread: Floats
    cost: float

    @classmethod
    def none(cls, D: int, C: int) -> _Sums:
        return cls(np.zeros((D, D)), np.zeros(D), np.zeros(C), np.zeros(C), np.zeros((C, CHANGE, CHANGE)), 0.0)

    def add(self, found: _Linear, eliminated: Floats, held: Floats) -> None:
        """Add M sightings a camera, `eliminated` (D, K), whitened, taken out, with what is left to gain there (K,)."""
        for view in range(len(found.off)):
            J = found.by_camera[view].reshape(-1, CAMERA)
            at = columns(view)
            self.information[at, at] += J.T @ J
            self.score[at] += J.T @ found.off[view].ravel()
            worth = found.worth[view].reshape(-1, CHANGE)
            self.spread[view] += worth.T @ worth
        self.information -= eliminated @ eliminated.T
        self.score -= eliminated @ held
        root = np.where(found.root > 0, found.root, 1)
        self.square += ((found.off / root[..., None]) ** 2).sum((1, 2))
        self.count += (found.root > 0).sum(1)
        self.cost += float((found.off**2).sum() - (held**2).sum())


def _whitened(matrix: Floats) -> Floats:
    """W (..., k, k) with W W^T = the inverse of a symmetric matrix (..., k, k), zero along what is not known."""
    values, vectors = np.linalg.eigh(matrix)
    known = values > 1e-9 * np.maximum(values[..., -1:], 1e-300)
    return np.asarray(vectors * np.where(known, 1 / np.sqrt(np.where(known, values, 1)), 0)[..., None, :])


def _loose(rig: Rig, seen: Sightings, at: slice) -> _Part:
    """Free points: each is where its sightings want it most."""
    xy = seen.observations.xy[:, at, seen.free].reshape(len(rig), -1, 2)
    weight = seen.weight[:, at, seen.free].reshape(len(rig), -1)
    points = seen.start[at, seen.free].reshape(-1, 3).copy()
    kept = np.flatnonzero(((weight > 0).sum(0) >= 2) & np.isfinite(points).all(-1))
    xy, weight, points = xy[:, kept], weight[:, kept], points[kept]
    for _ in range(_STEPS):
        off, by_point, *_ = _off(rig, points, xy, weight)
        points = points + _step(_flat(by_point, len(points), 3), _flat(off, len(points)))
    found = _linear(rig, points, xy, weight)
    moment = at.start + kept // len(seen.free)
    by_point = _flat(found.by_point, len(points), 3)
    W = _whitened(np.swapaxes(by_point, -1, -2) @ by_point)
    mixed = np.swapaxes(found.by_camera, -1, -2) @ (found.by_point @ W)  # (C, M, 12, 3)
    eliminated = mixed.swapaxes(1, 2).reshape(CAMERA * len(rig), -1)
    return found, eliminated, _held(W, by_point, found.off), moment, np.repeat(moment, 3)


def _rigid(rig: Rig, seen: Sightings, body: NDArray[np.intp], moments: NDArray[np.intp], pose: Floats) -> _Part:
    """A rigid body: its pose (T, 4, 4) at each of the moments (T,) is where all of its sightings want it most."""
    shape, count = seen.observations.target.points[body], len(moments)
    at = np.ix_(np.arange(len(rig)), moments, body)
    weight, xy = seen.weight[at].reshape(len(rig), -1), seen.observations.xy[at].reshape(len(rig), -1, 2)
    for _ in range(_STEPS):
        points, by_turn = _placed(pose, shape)
        off, by_point, *_ = _off(rig, points, xy, weight)
        step = _step(_flat(_by_pose(by_point, by_turn), count, 6), _flat(off, count))
        pose[:, :3, :3] = rotation_from_vector(step[:, :3]) @ pose[:, :3, :3]
        pose[:, :3, 3] += step[:, 3:]
    points, by_turn = _placed(pose, shape)
    found = _linear(rig, points, xy, weight)
    by_pose = _flat(_by_pose(found.by_point, by_turn), count, 6)  # (T, C N 2, 6)
    W = _whitened(np.swapaxes(by_pose, -1, -2) @ by_pose)
    by_camera = found.by_camera.reshape(len(rig), count, -1, CAMERA)
    mixed = np.swapaxes(by_camera, -1, -2) @ by_pose.reshape(count, len(rig), -1, 6).swapaxes(0, 1)  # (C, T, 12, 6)
    eliminated = (mixed @ W).swapaxes(1, 2).reshape(CAMERA * len(rig), -1)
    held = _held(W, by_pose, found.off)
    return found, eliminated, held, np.repeat(moments, len(shape)), np.repeat(moments, 6)


def _flat(parts: Floats, count: int, by: int | None = None) -> Floats:
    """What C cameras say of `count` moments, or points, (C, M, 2[, k]) as (count, rows[, k])."""
    split = parts.reshape(len(parts), count, -1, *([by] if by else []))
    return split.swapaxes(0, 1).reshape(count, -1, *([by] if by else []))


def _held(W: Floats, slope: Floats, off: Floats) -> Floats:
    """What n small problems (see `_step`), whitened by W (n, k, k), would still gain from: roots (n k,)."""
    pull = np.swapaxes(slope, -1, -2) @ _flat(off, len(slope))[..., None]
    return np.asarray((np.swapaxes(W, -1, -2) @ pull)[..., 0].ravel())


def _step(slope: Floats, off: Floats) -> Floats:
    """Gauss-Newton steps (n, k) of n small problems with derivatives (n, rows, k)."""
    back = np.swapaxes(slope, -1, -2)
    W = _whitened(back @ slope)
    return np.asarray((W @ (np.swapaxes(W, -1, -2) @ (back @ off[..., None])))[..., 0])


def _placed(pose: Floats, shape: Floats) -> tuple[Floats, Floats]:
    """A body's points (T N, 3) in the world and their derivatives (T N, 3, 3) by a turn about its origin."""
    turned = np.einsum("tij,nj->tni", pose[:, :3, :3], shape)
    return (turned + pose[:, None, :3, 3]).reshape(-1, 3), _turning(turned).reshape(-1, 3, 3)


def _by_pose(by_point: Floats, by_turn: Floats) -> Floats:
    """Derivatives (C, M, 2, 6) by a turn and a shift of the body in the world."""
    return np.concatenate([by_point @ by_turn, by_point], -1)


def _begin(shape: Floats, points: Floats, weight: Floats) -> Floats:
    """Poses (T, 4, 4) of a body (N, 3) by its points (T, N, 3) that two views share; NaN where they are too few."""
    out = np.full((len(points), 4, 4), np.nan)
    shared = ((weight > 0).sum(0) >= 2) & np.isfinite(points).all(-1)
    for moment in np.flatnonzero(shared.sum(1) >= _RIGID_POINTS):
        known = shared[moment]
        spread = np.linalg.svd(shape[known] - shape[known].mean(0), compute_uv=False)
        if spread[1] < 1e-3 * spread[0]:  # on one line: the body may still turn about it
            continue
        _, R, t = similarity(shape[known], points[moment, known], scale=False)
        out[moment] = np.eye(4)
        out[moment, :3, :3], out[moment, :3, 3] = R, t
    return out
