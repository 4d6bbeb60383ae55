"""Finds cameras that have moved by free points, as the joints of people, whose errors last and are not normal.

Detectors have outliers, and their errors have parts that last in time and parts that a joint has at all times. So the
points are fitted with Student's t, hypotheses of single moved cameras are refined to their best, and what they explain
is compared with how much the evidence of stretches of time and of groups of joints differs (covariance clustered in two
ways: Cameron, Gelbach and Miller, "Robust inference with multiway clustering", J. Business & Economic Statistics 29,
2011), and with what it explains at moments that were not used to fit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from calib.arrays import Bools, Floats, Ints
from calib.changes.events import Event, apply_change, in_volume, rigs_over_time
from calib.changes.evidence import CAMERA, CHANGE, Evidence, Sightings, collect_evidence, columns
from calib.changes.soft_points import FREEDOM, SoftPoints, soft_points, soft_scale
from calib.changes.steps import Fit, Step, fit_changes
from calib.geometry import transform
from calib.observations import Observations
from calib.rig import Rig

MODELS = {
    "turned": np.array([0.5, 0.5, 0.5, 1e-3, 1e-3, 1e-3, 3e-4]),
    "shifted": np.array([1e-4, 1e-4, 1e-4, 1.0, 1.0, 1.0, 3e-4]),
    "moved": np.array([0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 3e-4]),
    "zoomed": np.array([1e-4, 1e-4, 1e-4, 1e-3, 1e-3, 1e-3, 0.5]),
}
"""What a camera may have done: prior standard deviations (7,) of its change, rad, m, 1."""
_LEAST_SHARE = 0.05  # of the variance by the fit alone, added to that by clusters
_LOCKED = 0.01  # smaller prior standard deviations are no change
_MOST_SEEN = 12_000  # observations used; of more, every second, third ... moment
_BLOCKS, _GROUPS, _NUMBERS = 24, 24, 6_000_000
_ROUNDS, _SETTLED_M = 6, 5e-4
_FAR = 0.2  # rad, m: largest correction of a camera in one round
_ANNEALED = 10  # reweighted steps of a resection, whose scale starts at the residuals' own
EDGE = 1 / 5
"""Share of a take, at either end, in which no change is dated."""

_LEAST_POINTS, _RESECTED = 30, 1500  # points of a resection: least and most


@dataclass(frozen=True, eq=False)
class Soft:
    """A take under hypothesised changes: points, and the cost (T,) of each moment."""

    seen: Sightings
    cost: Floats
    size2: Floats
    rigs: list[Rig]
    since: list[int]


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """Changes with the models of each, refined: cost (T,) of each moment, evidence in blocks of moments, fit."""

    events: tuple[Event, ...]
    models: tuple[str, ...]
    cost: Floats
    cells: Evidence
    fit: Fit
    soft: Soft


@dataclass(frozen=True, eq=False)
class Clustered:
    """Evidence in cells, all blocks of moments for the first group of points, then for the second, ...; its fit.

    covariance (E, 7, 7) of the changes; share (E,) of it that is estimated from how cells differ, the rest being the
    trusted errors of the rig.
    """

    cells: Evidence
    fit: Fit
    covariance: Floats
    share: Floats


class FreeTake:
    """A rig and a take of free points, evaluated under hypothesised changes.

    group (N,): points with the same number have errors in common. prior (D,): precisions of the rig's own errors.
    """

    def __init__(self, rig: Rig, observations: Observations, group: Ints, prior: Floats, scale: float | None = None):
        self.rig, self.prior = rig, prior
        moments = len(observations.moments)
        every = max(1, -(-int(observations.seen.sum()) // _MOST_SEEN))
        self.index: Ints = np.arange(0, moments, every)
        self.observations = observations.at(self.index) if every > 1 else observations
        views = self.observations.seen.sum(0) >= 2
        room = max(_NUMBERS // (CAMERA * len(rig)) ** 2, 40)
        used = np.unique(group[views.any(0)])
        self.groups = min(len(used), _GROUPS, max(room // 8, 4))
        self.group = np.searchsorted(used, group) % max(self.groups, 1)
        self.blocks = int(np.clip(room // max(self.groups, 1), 6, _BLOCKS))
        self.scale = 1.0
        self.scale = scale or max(soft_scale(self.soft(()).size2), 0.3)
        self.excess = 1.0
        self.excess = self.excess_of(self.soft(()))

    def soft(self, events: Sequence[Event], start: Floats | None = None) -> Soft:
        """Positions, weights and costs under changes."""
        seen = self.observations
        rigs, since = rigs_over_time(self.rig, events, len(self.index))
        stops = [*since[1:], len(self.index)]
        parts: list[SoftPoints] = []
        for rig, low, high in zip(rigs, since, stops, strict=True):
            xy, sigma = seen.xy[:, low:high].reshape(len(rig), -1, 2), seen.sigma[:, low:high].reshape(len(rig), -1)
            begin = None if start is None else start[low:high].reshape(-1, 3)
            parts.append(soft_points(rig, xy, self.scale * sigma, begin))
        shape = (len(self.rig), len(self.index), len(seen.target))
        weight, cost, size2 = (
            np.concatenate([getattr(part, name) for part in parts], 1).reshape(shape)
            for name in ("weight", "cost", "size2")
        )
        xyz = np.concatenate([part.xyz for part in parts]).reshape(*shape[1:], 3)
        typical = np.array([np.nanmedian(of) if np.isfinite(of).any() else np.nan for of in seen.sigma])
        none: tuple[()] = ()
        sightings = Sightings(seen, xyz, weight, self.scale * typical, none, none, np.arange(shape[2]))
        return Soft(sightings, cost.sum((0, 2)), size2, rigs, since)

    def cells(self, soft: Soft, clustered: bool = True) -> Evidence:
        """The evidence in cells of blocks of moments and groups of points, or of blocks alone."""
        if not clustered:
            return collect_evidence(soft.rigs, soft.since, soft.seen, self.blocks)
        parts = [
            collect_evidence(
                soft.rigs, soft.since, replace(soft.seen, free=np.flatnonzero(self.group == of)), self.blocks
            )
            for of in range(self.groups)
        ]
        square, count = (np.sum([getattr(part, of) for part in parts], axis=0) for of in ("square", "count"))
        spread = np.sum([part.spread * part.count[:, None, None] for part in parts], axis=0)
        spread /= np.maximum(count, 1)[:, None, None]
        information, score = (np.concatenate([getattr(part, of) for part in parts]) for of in ("information", "score"))
        return Evidence(information, score, parts[0].first, square, count, spread, sum(part.cost for part in parts))

    def steps(self, events: Sequence[Event], models: Sequence[str], cells: Evidence) -> tuple[Step, ...]:
        """The changes as steps, with their share in each cell."""
        middle = (cells.first[:-1] + cells.first[1:] - 1) / 2
        tiles = len(cells.score) // len(middle)
        return tuple(
            Step(event.camera, np.tile(event.share(middle), tiles), event.since, event.until, MODELS[model])
            for event, model in zip(events, models, strict=True)
        )

    def refine(self, events: Sequence[Event], models: Sequence[str], start: Floats | None = None) -> Hypothesis:
        """The changes, each within its model, that fit best (Gauss-Newton on Student's t)."""
        events = tuple(
            replace(event, motion=event.motion * free_dimensions(model))
            for event, model in zip(events, models, strict=True)
        )
        for turn in range(_ROUNDS):
            soft = self.soft(events, start)
            start = soft.seen.start
            cells = self.cells(soft, clustered=False)
            fit = fit_changes(cells, self.prior, self.steps(events, models, cells), self.excess)
            moves = [in_volume(change, cells.spread[e.camera]) for e, change in zip(events, fit.changes, strict=True)]
            if not max(moves, default=0.0) >= _SETTLED_M or turn == _ROUNDS - 1:
                break
            events = tuple(
                replace(event, motion=(event.motion + _bounded(change)) * free_dimensions(model))
                for event, model, change in zip(events, models, fit.changes, strict=True)
            )
        return Hypothesis(events, tuple(models), soft.cost, cells, fit, soft)

    def clustered(self, hypothesis: Hypothesis) -> Clustered:
        """The evidence of a hypothesis in cells, and the covariances of its changes."""
        cells = self.cells(hypothesis.soft)
        fit = fit_changes(cells, self.prior, self.steps(hypothesis.events, hypothesis.models, cells), self.excess)
        return Clustered(cells, fit, *self.covariances(fit))

    def covariances(self, fit: Fit) -> tuple[Floats, Floats]:
        """Covariances (E, 7, 7) of the changes from how cells differ, and their estimated share; see `Clustered`."""
        left = [fit.left, *(step.share[:, None] * fit.left[:, columns(step.camera, CHANGE)] for step in fit.steps)]
        spread = self._clustered(np.concatenate(left, 1)) / self.excess**2
        D = len(fit.errors)
        trusted = np.zeros_like(spread)
        trusted[:D, :D] = np.diag(self.prior)
        estimated, trusted = (fit.covariance @ of @ fit.covariance for of in (spread, trusted))
        covers, shares = [], []
        for row, step in enumerate(fit.steps):
            at = slice(D + CHANGE * row, D + CHANGE * (row + 1))
            kept = step.wide > _LOCKED
            values, vectors = np.linalg.eigh(np.where(kept & kept[:, None], estimated[at, at], 0))
            least = np.diag(_LEAST_SHARE * np.diag(fit.covariance)[at] * kept)
            mine = (vectors * np.maximum(values, 0)) @ vectors.T + least
            covers.append(mine + np.where(kept & kept[:, None], trusted[at, at], 0))
            some = np.ix_(kept, kept)
            shares.append(float(np.trace(np.linalg.solve(covers[-1][some], mine[some]))) / int(kept.sum()))
        return np.array(covers).reshape(-1, CHANGE, CHANGE), np.array(shares)

    def _clustered(self, scores: Floats) -> Floats:
        """Covariance (K, K) of the sum of scores (B G, K) of cells, with errors that blocks or groups share."""
        split = scores.reshape(self.groups, -1, scores.shape[-1])
        out = np.zeros((scores.shape[-1],) * 2)
        for parts in (split.sum(0), split.sum(1)):
            out += parts.T @ parts * len(parts) / max(len(parts) - 1, 1)
        return out - scores.T @ scores

    def excess_of(self, soft: Soft) -> float:
        """Variance of what a camera's points say about its direction over that for independent errors, at least 1."""
        cells = self.cells(soft)
        found = []
        for view in range(len(self.rig)):
            mine = columns(view, 3)
            own = cells.information[:, mine, mine]
            whole = own.sum(0)
            if np.linalg.eigvalsh(whole)[0] <= 0:
                continue
            left = cells.score[:, mine] - own @ np.linalg.solve(whole, cells.score[:, mine].sum(0))
            found.append(float(np.trace(np.linalg.solve(whole, self._clustered(left)))) / 3)
        return max(1.0, float(np.median(found))) if found else 1.0


def free_dimensions(model: str) -> Bools:
    """Mask (7,) of the numbers that a model changes."""
    return np.asarray(MODELS[model] > _LOCKED)


def _bounded(change: Floats) -> Floats:
    size = max(float(np.linalg.norm(change[:3])), float(np.linalg.norm(change[3:6])), abs(float(change[6])), 1e-300)
    return np.asarray(change * min(1.0, _FAR / size))


@dataclass(frozen=True, eq=False)
class Guess:
    """A camera that may have turned since a moment: the motion by resection, and the cost that it takes away."""

    event: Event
    gained: float


def guesses(take: FreeTake, base: Soft) -> list[Guess]:
    """Changes of single cameras in addition to the known ones, by resection from the points that others see."""
    out = []
    for camera in range(len(take.rig)):
        points, cover = _points_of_others(take, base, camera)
        for since in (0, _step_of(take, base, camera, points)):
            if since is None:
                continue
            found = _resected(take, base, camera, since, points, cover, MODELS["turned"])
            if found is not None:
                out.append(Guess(Event(camera, since, since, found[0], since, since), found[1]))
    return sorted(out, key=lambda guess: -guess.gained)


def _points_of_others(take: FreeTake, base: Soft, camera: int) -> tuple[Floats, Floats]:
    """Points (T, N, 3) as the other cameras see them, and their covariance (T, N, 3, 3)."""
    from calib.robust_triangulation import triangulate_robust

    seen = take.observations
    others = [view for view in range(len(take.rig)) if view != camera]
    xyz = np.full((*seen.sigma.shape[1:], 3), np.nan)
    cov = np.full((*xyz.shape, 3), np.nan)
    if len(others) < 2:  # of two views, each shows half of what the other has moved
        return base.seen.start, np.zeros_like(cov)
    there = seen.seen[camera] & (seen.seen.sum(0) >= 3)
    for rig, low, high in zip(base.rigs, base.since, [*base.since[1:], len(take.index)], strict=True):
        moment, point = np.nonzero(there[low:high])
        at = np.array(others)[:, None], low + moment, point
        xy, sigma = seen.xy[at], seen.sigma[at]
        found = triangulate_robust(rig.select([rig.names[view] for view in others]), xy, take.scale * sigma)
        xyz[at[1], point], cov[at[1], point] = found.xyz, found.cov
    if (np.isfinite(xyz).all(-1)).sum() < _LEAST_POINTS:  # it shares points with one view at a time
        return base.seen.start, np.zeros_like(cov)
    return xyz, cov


def _pixels(take: FreeTake, base: Soft, camera: int, points: Floats) -> Floats:
    """Pixels (T, N, 2) of points in a camera as it was at each moment."""
    out = np.full((*points.shape[:2], 2), np.nan)
    known = np.isfinite(points).sum(-1) == 3
    for rig, low, high in zip(base.rigs, base.since, [*base.since[1:], len(take.index)], strict=True):
        there = rig.select([rig.names[camera]]).project(points[low:high][known[low:high]])
        out[low:high][known[low:high]] = there[0]
    return out


def _step_of(take: FreeTake, base: Soft, camera: int, points: Floats) -> int | None:
    """The moment at which the residuals of a camera change most; None where there is too little of them."""
    residual = take.observations.xy[camera] - _pixels(take, base, camera, points)
    good = np.isfinite(residual[..., 0]) & np.isfinite(residual[..., 1])
    edges = np.unique(np.linspace(0, len(take.index), 2 * take.blocks + 1).round().astype(int))
    middle, amount = [], []
    for low, high in pairwise(edges.tolist()):
        shown = residual[low:high][good[low:high]]
        middle.append(np.median(shown, axis=0) if len(shown) >= 5 else np.zeros(2))
        amount.append(min(len(shown), 5 * _LEAST_POINTS) if len(shown) >= 5 else 0)
    value, weight = np.array(middle), np.array(amount, np.float64)
    if (weight > 0).sum() < 6:
        return None
    total, sums = np.cumsum(weight), np.cumsum(weight[:, None] * value, axis=0)
    rest, others = total[-1] - total, sums[-1] - sums
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = others / rest[:, None] - sums / total[:, None]
        gain = (apart**2).sum(-1) * rest * total / total[-1]
    blocks = np.arange(len(gain))
    ends = max(int(EDGE * len(gain)), 1)  # fewer moments on one side do not show how much blocks differ
    gain[~np.isfinite(gain) | (blocks < ends) | (blocks > len(gain) - 1 - ends)] = -1
    return int(edges[int(gain.argmax()) + 1])


def _resected(
    take: FreeTake, base: Soft, camera: int, since: int, points: Floats, cover: Floats, wide: Floats
) -> tuple[Floats, float] | None:
    """Motion (7,) of a camera since a moment that fits points (T, N, 3) best, and the cost that it takes away."""
    late = slice(since, None)
    xy, sigma = take.observations.xy[camera, late].reshape(-1, 2), take.observations.sigma[camera, late].ravel()
    xyz, cov = points[late].reshape(-1, 3), cover[late].reshape(-1, 3, 3)
    good = np.flatnonzero(np.isfinite(xyz).all(-1) & np.isfinite(sigma) & np.isfinite(cov).all((-1, -2)))
    if len(good) < _LEAST_POINTS:
        return None
    every = max(1, len(good) // _RESECTED)
    good = good[::every]
    xy, sigma, xyz, cov = xy[good], sigma[good], xyz[good], cov[good]
    old = base.rigs[-1][camera]
    motion, first = np.zeros(CHANGE), np.inf
    precision = wide**-2.0
    for turn in range(_ANNEALED):
        camera_now = Rig((apply_change(old, motion),))
        there, by_point = camera_now.project_with_jacobian(xyz)
        residual, slope = xy - there[0], by_point[0]
        known = np.isfinite(residual).all(-1) & np.isfinite(slope).all((-1, -2))
        residual, slope = np.where(known[:, None], residual, 0), np.where(known[:, None, None], slope, 0)
        variance = (take.scale * sigma) ** 2 + np.einsum("nki,nij,nkj->n", slope, cov, slope) / 2
        known &= np.isfinite(variance)
        variance = np.where(known, variance, 1)
        size2 = np.where(known, (residual**2).sum(-1) / variance, 1e6)
        cost = float(((FREEDOM + 2) * np.log1p(size2 / FREEDOM)).sum())
        first = cost if turn == 0 else first
        soft = max(1.0, float(np.median(size2)) / 2) * 0.4 ** max(turn - 3, 0)
        weight = (FREEDOM + 2) / (FREEDOM + size2 / max(soft, 1.0)) / variance * known
        J = _by_motion(camera_now, xyz, there[0], slope)
        normal = np.einsum("n,nki,nkj->ij", weight, J, J) + np.diag(precision)
        motion = motion + _bounded(
            np.linalg.solve(normal, np.einsum("n,nki,nk->i", weight, J, residual) - precision * motion)
        )
        if not np.isfinite(motion).all():
            return None
    return motion, (first - cost) * max(
        1.0, len(np.flatnonzero(np.isfinite(take.observations.sigma[camera]))) / len(good)
    )


def _by_motion(rig: Rig, xyz: Floats, there: Floats, slope: Floats) -> Floats:
    """Derivatives (N, 2, 7) of pixels by a rotation and shift of the camera, and the log of its focal length."""
    pose = rig.cam_from_world[0]
    inside = np.nan_to_num(transform(pose, xyz))
    by_inside = slope @ pose[:3, :3].T
    x, y, z = inside.T
    zero = np.zeros_like(x)
    turn = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).reshape(-1, 3, 3)
    centre = np.nan_to_num(there - rig.K[0, :2, 2])
    return np.concatenate([by_inside @ turn, by_inside, centre[..., None]], -1)
