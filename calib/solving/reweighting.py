"""Bundle adjustment in rounds: time offsets, the noise of every camera, and outliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calib import bundle
from calib.arrays import Bools, Floats
from calib.bundle.problem import Problem, Solution
from calib.calibration import Finding
from calib.observations import Refusal
from calib.solving.time_offsets import noise_of, with_time_offsets

_OUTLIER = 4.5  # residual norm in sigmas: one of 25 000 inliers is as large
_ROUNDS = 6
_FALSE = 0.5  # of a view's points at a moment: with more outliers the whole detection is false


def solve_reweighted(problem: Problem) -> tuple[Solution, list[Refusal], list[Finding]]:
    """Fit in rounds: each estimates the noise of every camera again and leaves out the outliers."""
    solution = bundle.adjust(problem, tolerance=1e-4)
    solution, findings = with_time_offsets(solution)
    false = np.zeros(problem.used.shape[:2], bool)
    for turn in range(_ROUNDS):
        noise = noise_of(solution)
        far, false = _unexplained(solution, problem.used, false, noise)
        used = problem.used & ~(far | false[..., None])
        final = turn == _ROUNDS - 1 or (turn > 0 and np.array_equal(used, solution.problem.used))
        again = replace(solution.continued(), used=used, noise=noise)
        solution = bundle.adjust(again, tolerance=1e-8 if final else 1e-5)
        if final:
            break
    seen = problem.observations
    refused = [
        Refusal(seen.views[view], seen.moments[moment], "the other cameras see the target elsewhere")
        for view, moment in zip(*np.nonzero(false), strict=True)
    ]
    return replace(solution, problem=replace(solution.problem, used=solution.fitted)), refused, findings


def _unexplained(solution: Solution, wanted: Bools, false: Bools, noise: Floats) -> tuple[Bools, Bools]:
    """Outliers (C, T, N), and detections (C, T) that are false because most of their points are outliers.

    At each moment only the worst view becomes false in one round, and the other views get no outliers, as it has pulled
    the target's pose away from their observations. They are tested in the next round, without it. false (C, T) are
    those of the rounds before, which count again where they fit now.
    """
    times = np.linalg.norm(solution.residual, axis=-1) / (solution.problem.observations.sigma * noise[:, None, None])
    with np.errstate(invalid="ignore"):
        far = np.asarray((times > _OUTLIER) & wanted)
    count = np.maximum(wanted.sum(-1), 1)
    mostly = np.asarray(far.sum(-1) > _FALSE * count)
    new = np.asarray(mostly & ~false)
    typical = np.where(new, np.nansum(np.where(wanted, times, 0), -1) / count, -1.0)
    new = np.asarray(new & (typical >= typical.max(0)))
    affected = np.asarray(new.any(0))[None, :, None]
    return np.asarray(far & ~affected), np.asarray((false & mostly) | new)
