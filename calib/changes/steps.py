"""Finds changes of cameras within a take by likelihood, and tests them against noise correlated in time.

All cameras may have small constant errors, as in every calibration. A change is a step, or a ramp between two moments,
in the first seven numbers of one camera. Its likelihood gain is compared with the drift of the same camera's residuals
from block to block, so that noise correlated in time is not overrated, and with the number of cameras and moments that
were tried (Andrews, "Tests for parameter instability and structural change with unknown change point", Econometrica 61,
1993; here with Bonferroni's bound).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from calib.arrays import Floats
from calib.changes.evidence import CAMERA, CHANGE, Evidence, columns

_WIDE = np.array([0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 0.5])  # prior standard deviations of a change: rad, m, 1
_LEAST_BLOCKS = 10  # from which the drift of residuals is estimated
_LOST = 1e-6  # share of the information that may be rounding
_SHORT = 3  # blocks; a shorter ramp counts as a step
_ALIKE = 0.8  # largest assumed correlation of neighbouring stretches
_SLOPES = 16  # knots between which slow drifts are tried
_STRAIGHTER = 30.0  # twice the log likelihood by which a drift has to exceed a step


@dataclass(frozen=True, eq=False)
class Step:
    """A change of a camera: share (B,) of it that has happened in each block, 0 to 1; since, until: blocks.

    wide (7,): prior standard deviations of the change: rad, m, 1.
    """

    camera: int
    share: Floats
    since: int
    until: int
    wide: Floats = field(default_factory=lambda: _WIDE)


@dataclass(frozen=True, eq=False)
class Fit:
    """Small constant errors of the rig and changes, fitted together.

    errors (D,); changes (E, 7); covariance (D + 7 E, D + 7 E); left (B, D): remaining scores; gained: twice the log
    likelihood gained over no fit at all.
    """

    steps: tuple[Step, ...]
    errors: Floats
    changes: Floats
    covariance: Floats
    left: Floats
    gained: float

    def spread(self, step: int) -> Floats:
        """Covariance (7, 7) of one of the changes."""
        at = len(self.errors) + CHANGE * step
        return self.covariance[at : at + CHANGE, at : at + CHANGE]


def fit_changes(found: Evidence, prior: Floats, steps: Sequence[Step], excess: float = 1.0) -> Fit:
    """Fit errors with precision `prior` (D,) and changes; the noise variance is `excess` times the stated one."""
    H, g = found.information, found.score
    D, extra = H.shape[1], CHANGE * len(steps)
    normal, right = np.zeros((D + extra, D + extra)), np.zeros(D + extra)
    normal[:D, :D], right[:D] = H.sum(0), g.sum(0)
    for row, step in enumerate(steps):
        mine, at = columns(step.camera, CHANGE), slice(D + CHANGE * row, D + CHANGE * (row + 1))
        shared = np.einsum("b,bij->ij", step.share, H[:, mine])
        normal[at, :D], normal[:D, at] = shared, shared.T
        right[at] = step.share @ g[:, mine]
        for column, other in enumerate(steps):
            theirs = columns(other.camera, CHANGE)
            both = np.einsum("b,bij->ij", step.share * other.share, H[:, mine, theirs])
            normal[at, D + CHANGE * column : D + CHANGE * (column + 1)] = both
    normal, right = normal / excess, right / excess
    normal += np.diag(np.concatenate([prior, *(step.wide**-2 for step in steps)]))
    covariance = _inverse(normal)
    solution = covariance @ right
    errors, changes = solution[:D], solution[D:].reshape(-1, CHANGE)
    left = g - np.einsum("bij,j->bi", H, errors)
    for step, change in zip(steps, changes, strict=True):
        left -= step.share[:, None] * np.einsum("bij,j->bi", H[:, :, columns(step.camera, CHANGE)], change)
    return Fit(tuple(steps), errors, changes, covariance, left, float(right @ solution))


def _inverse(matrix: Floats) -> Floats:
    """Inverse of a symmetric positive matrix whose numbers have very different units."""
    scale = 1 / np.sqrt(np.diag(matrix))
    return np.asarray(np.linalg.inv(matrix * scale[:, None] * scale) * scale[:, None] * scale)


def likelihood_gains(found: Evidence, fit: Fit, share: Floats | None = None) -> Floats:
    """Twice the log likelihood gained by a change of each camera with `share` (B,) of it in each block, (C,).

    Without a share, by a step before each block, (C, B); column 0, before all blocks, is 0.
    """
    H, D = found.information, found.information.shape[1]
    out = []
    for camera in range(D // CAMERA):
        mine = columns(camera, CHANGE)
        right = _sum_blocks(fit.left[:, mine], share)
        own = _sum_blocks(H[:, mine, mine], None if share is None else share**2) + np.diag(_WIDE**-2)
        shared = [_sum_blocks(H[:, mine], share)]
        for step in fit.steps:
            theirs = columns(step.camera, CHANGE)
            shared.append(_sum_blocks(step.share[:, None, None] * H[:, mine, theirs], share))
        cross = np.concatenate(shared, -1)
        out.append(_quadratic(own - cross @ fit.covariance @ np.swapaxes(cross, -1, -2), right, own))
        out[-1][0] *= share is not None
    gained = np.array(out)
    return gained if share is None else gained[:, 0]


def _sum_blocks(parts: Floats, share: Floats | None) -> Floats:
    """Sums (B, ...) of parts from each block to the end, or (1, ...) of parts by their share."""
    if share is not None:
        return np.asarray(np.einsum("b,b...->...", share, parts)[None])
    return np.asarray(np.cumsum(parts[::-1], axis=0)[::-1])


def _quadratic(matrix: Floats, vector: Floats, own: Floats) -> Floats:
    """v^T M^-1 v (B,), without directions that M (B, k, k) has lost against `own`, as a common motion of all."""
    scale = 1 / np.sqrt(np.maximum(np.diagonal(own, axis1=-2, axis2=-1), 1e-30))
    even = matrix * scale[..., :, None] * scale[..., None, :] + _LOST * np.eye(matrix.shape[-1])
    scaled = vector * scale
    return np.asarray(np.einsum("bi,bi->b", scaled, np.linalg.solve(even, scaled[..., None])[..., 0]))


def residual_drift(found: Evidence, fit: Fit) -> tuple[Floats, Floats]:
    """Variance of each camera's residuals over the stated noise, with slow drift (C,), and its degrees of freedom (C,).

    It comes from sums over stretches of blocks that double in length: they grow until a stretch is longer than the
    correlation time of the noise. Where they still grow at the longest, the correlation of consecutive stretches
    extrapolates them.
    """
    cameras = found.information.shape[1] // CAMERA
    out, freedom = np.ones(cameras), np.full(cameras, float(CHANGE))
    for camera in range(cameras):
        mine = columns(camera, CHANGE)
        own = found.information[:, mine, mine]
        there = np.flatnonzero(np.trace(own, axis1=-2, axis2=-1) > 0)
        taken = CHANGE * (1 + sum(step.camera == camera for step in fit.steps))
        whole = own.sum(0)[None]
        sizes: list[float] = []
        length = 1
        while length == 1 or len(there) // length >= _LEAST_BLOCKS:
            groups = np.array_split(there, max(len(there) // length, 1))
            sums = np.array([fit.left[group][:, mine].sum(0) for group in groups])
            free = max(CHANGE * len(groups) - taken, CHANGE)
            sizes.append(float(_quadratic(whole, sums, whole).sum()))
            sizes[-1] *= len(groups) / free
            freedom[camera] = free
            length *= 2
        correlation = min(max(sizes[-1] / sizes[-2] - 1, 0), _ALIKE) if len(sizes) > 1 and sizes[-2] > 0 else 0.0
        # With a lag-one correlation a, the factor is (1 + a) / (1 - a) in total.
        out[camera] = max([*sizes, sizes[-1] / (1 - correlation), 1e-3])
        freedom[camera] *= (1 - correlation) / (1 + correlation)
    return out, freedom


def false_alarm_probability(gain: float, spread: float, freedom: float, tried: int) -> float:
    """Probability that noise alone gains as much in any of the `tried` trials (F test)."""
    from scipy.special import fdtrc

    return float(min(1.0, tried * fdtrc(CHANGE, max(freedom, 1.0), gain / spread / CHANGE)))


def next_step(found: Evidence, prior: Floats, known: Sequence[Step], false_alarms: float) -> Step | None:
    """The change, besides the known ones, that explains most; None where noise alone is too likely to produce it."""
    fit = fit_changes(found, prior, known)
    gain = likelihood_gains(found, fit)
    camera, block = (int(at) for at in np.unravel_index(int(gain.argmax()), gain.shape))
    blocks = len(found.score)
    if false_alarm_probability(float(gain.max()), 1.0, 1e6, gain.size) > false_alarms:
        return None
    step = Step(camera, (np.arange(blocks) >= block).astype(float), block, block)
    drift, gained, tried = _best_drift(found, prior, known, step)
    spread, freedom = residual_drift(found, fit_changes(found, prior, (*known, drift)))
    if gained > fit.gained + float(gain.max()) + _STRAIGHTER * spread[camera]:
        step, most = drift, gained - fit.gained
    else:
        most = float(gain.max())
        spread, freedom = residual_drift(found, fit_changes(found, prior, (*known, step)))
    tried += gain.size
    return step if false_alarm_probability(most, spread[camera], freedom[camera], tried) <= false_alarms else None


def _best_drift(found: Evidence, prior: Floats, known: Sequence[Step], step: Step) -> tuple[Step, float, int]:
    """The slow drift of a step's camera that explains most, the gain of the fit with it, and the number tried."""
    blocks = len(found.score)
    knots = np.unique(np.linspace(0, blocks, _SLOPES + 1).round().astype(int)).tolist()
    pairs = [(one, other) for one in knots for other in knots if other - one >= _SHORT] or [(0, blocks)]
    best, most = step, -np.inf
    for since, until in pairs:
        share = np.clip((np.arange(blocks) + 0.5 - since) / (until - since), 0, 1)
        trial = replace(step, share=share, since=since, until=until)
        gained = fit_changes(found, prior, (*known, trial)).gained
        if gained > most:
            best, most = trial, gained
    return best, most, len(pairs)
