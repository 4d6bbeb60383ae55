"""Time errors of cameras: the constant offset of each, and the jitter of single images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calib import bundle
from calib.arrays import Floats
from calib.bundle import common_time
from calib.bundle.problem import Solution
from calib.calibration import Finding
from calib.quality.uncertainty import trusted_covariance

_SURE = 5.0  # standard deviations of a significant time offset
_HINT = 3.0  # standard deviations below which no offset is fitted
_LEAST_MOVING = 20  # moments with neighbours in time, below which time offsets are not estimated
_GAP_S = 0.5
_JITTERS_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
_TURNS = 3
_FAR_STEPS = 0.5  # of the time from one moment to the next: a larger offset is corrected only roughly
_OUTLIERS, _OUTLIER_S = 0.02, 0.1  # share of images whose delay is an outlier, and how widely these are spread
_TELLING = 20.0  # nats by which a jitter has to explain the images' delays better than none


def with_time_offsets(solution: Solution) -> tuple[Solution, list[Finding]]:
    """The solution with the time offset of every camera and the jitter of single images, and findings on them."""
    problem, views = solution.problem, solution.problem.observations.views
    step = np.diff(common_time(problem.observations.time_s)[problem.used.any((0, 2))])
    if len(views) < 2 or problem.observations.target.still or ((step > 0) & (step < _GAP_S)).sum() < _LEAST_MOVING:
        return solution, []
    if not _has_time_errors(solution):
        return solution, []
    free = np.ones(len(views), bool)
    free[0] = False
    is_free = problem.free_points is not None  # their positions absorb the delay of an image
    trial, jitter_s = solution, 0.0 if is_free else _JITTERS_S[-2]
    for _ in range(_TURNS):
        noisy = replace(trial.continued(), offsets_free=free, jitter_s=jitter_s, noise=noise_of(trial))
        trial = bundle.adjust(noisy, iterations=15, tolerance=1e-5)
        if not np.isfinite(trial.cost):
            return solution, []
        if not is_free:
            jitter_s = _jitter(*bundle.lateness(replace(trial.continued(), jitter_s=max(jitter_s, _JITTERS_S[0]))))
    spread = np.sqrt(np.maximum(np.diagonal(trusted_covariance(trial)), 0))
    sigmas = np.array([spread[at.stop - 1] if free[view] else 0.0 for view, at in enumerate(trial.columns)])
    sure = np.abs(trial.offset_s) > _SURE * np.maximum(sigmas, 1e-5)
    if not sure.any() and jitter_s == 0:
        return solution, []
    final = replace(trial.continued(), jitter_s=jitter_s)
    if not sure.any():
        final = replace(final, offsets_free=None, offset_s=None)
    return bundle.adjust(final, tolerance=1e-4), [
        *_about_offsets(views, trial.offset_s, sigmas if sure.any() else np.full(len(views), np.inf), step),
        *_about_jitter(jitter_s),
    ]


def _has_time_errors(solution: Solution) -> bool:
    """Whether a camera or single images show a time error at all, before anything is fitted."""
    noisy = replace(solution.continued(), jitter_s=_JITTERS_S[-2], noise=noise_of(solution))
    delay, sigma = bundle.lateness(noisy)
    weight = np.where(np.isfinite(delay) & (sigma < 1.0), 1 / sigma**2, 0.0)
    mean = (weight * np.nan_to_num(delay)).sum(1) / np.maximum(weight.sum(1), 1e-300)
    return bool((np.abs(mean) * np.sqrt(weight.sum(1)) > _HINT).any() or _jitter(delay, sigma) > 0)


def _jitter(delay: Floats, sigma: Floats) -> float:
    """The jitter (s) that best explains the images' delays (C, T) with errors sigma (C, T); 0 where none does."""
    known = np.isfinite(delay) & (sigma < 1.0)
    spread = np.array([0.0, *_JITTERS_S])[:, None] ** 2 + sigma[known] ** 2
    normal = np.exp(-0.5 * delay[known] ** 2 / spread) / np.sqrt(spread)
    outlier = np.exp(-0.5 * (delay[known] / _OUTLIER_S) ** 2) / _OUTLIER_S
    likelihood = np.log((1 - _OUTLIERS) * normal + _OUTLIERS * outlier + np.finfo(np.float64).tiny).sum(-1)
    best = int(np.argmax(likelihood))
    return float(_JITTERS_S[best - 1]) if best and likelihood[best] - likelihood[0] > _TELLING else 0.0


def _about_offsets(views: tuple[str, ...], offset_s: Floats, sigmas: Floats, step: Floats) -> list[Finding]:
    middle, findings = float(np.median(offset_s)), []
    for name, offset, sigma in zip(views, offset_s - middle, sigmas, strict=True):
        if abs(offset) > _SURE * max(sigma, float(sigmas.max())):
            side = "later" if offset > 0 else "earlier"
            what = (
                f"its images are {1000 * abs(offset):.1f} ms {side} than their timestamps, relative to the other "
                "cameras; this offset is corrected here"
            )
            todo = "synchronise the cameras, or shift its timestamps by as much before reconstructing"
            far = abs(offset) > _FAR_STEPS * float(np.median(step[step > 0]))
            findings.append(Finding("limit" if far else "note", name, what, todo, rank=2))
    return findings


def _about_jitter(jitter_s: float) -> list[Finding]:
    if jitter_s == 0:
        return []
    what = (
        f"single images are up to about {2000 * jitter_s:.0f} ms late or early; fast motion therefore has less weight"
    )
    return [Finding("note", "the rig", what, "use cameras with a common trigger, or hold the board still now and then")]


def noise_of(solution: Solution) -> Floats:
    """Noise of each camera's observations over the detector's sigma (C,), from the median of their residuals."""
    problem = solution.problem
    seen = problem.observations
    square = (solution.residual**2).sum(-1) / seen.sigma**2
    square = np.where(problem.used, square, np.nan)
    measured = 2 * np.isfinite(square).sum()
    unknowns = len(solution.information) + 6 * problem.used.any((0, 2)).sum()
    if problem.free_points is not None:
        unknowns = len(solution.information) + 3 * problem.used.any(0).sum()
    share = max(1 - unknowns / max(measured, 1), 0.1)
    if problem.free_points is not None:  # residuals of points with few views may vanish in one camera: pooled
        every = square[np.isfinite(square)]
        pooled = np.sqrt(max(np.median(every) / (2 * np.log(2)) / share, 1e-4)) if every.size > 8 else 1.0
        return np.full(len(seen.views), pooled)
    out = np.ones(len(seen.views))
    for view in range(len(out)):
        own = square[view][np.isfinite(square[view])]
        if own.size > 8:
            out[view] = np.sqrt(max(np.median(own) / (2 * np.log(2)) / share, 1e-4))
    return out
