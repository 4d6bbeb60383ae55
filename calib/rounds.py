"""Bundle adjustment in rounds: clocks, the noise of every camera, and what no noise explains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calib import bundle
from calib.accuracy import trusted_covariance
from calib.bundle import common_time
from calib.bundle_problem import Problem, Solution
from calib.calibration import Finding
from calib.distortion import Bools, Floats
from calib.observations import Refusal

_OUTLIER = 4.5  # sigmas of a sighting's distance: one of 25 000 good ones is as far
_ROUNDS = 4
_FALSE = 0.5  # of a view's points at a moment: if more are outliers the whole sighting is false
_SURE = 5.0  # standard deviations of a clock's offset
_LEAST_MOVING = 20  # moments with neighbours in time, below which clocks are not looked at
_GAP_S = 0.5


def refined(problem: Problem) -> tuple[Solution, list[Refusal], list[Finding]]:
    """The fit in rounds: each knows the noise of every camera, and leaves out what no noise explains."""
    solution = bundle.adjust(problem, tolerance=1e-4)
    solution, findings = _with_clocks(solution)
    false = np.zeros(problem.used.shape[:2], bool)
    for turn in range(_ROUNDS):
        noise = _noise(solution)
        far, strange = _unexplained(solution, problem.used, noise)
        false |= strange
        used = problem.used & ~(far | strange[..., None])
        final = turn == _ROUNDS - 1 or (turn > 0 and np.array_equal(used, solution.problem.used))
        again = replace(continued(solution), used=used, noise=noise)
        solution = bundle.adjust(again, tolerance=1e-8 if final else 1e-5)
        if final:
            break
    seen = problem.observations
    refused = [
        Refusal(seen.views[view], seen.moments[moment], "the other cameras see the target elsewhere")
        for view, moment in zip(*np.nonzero(false & ~solution.problem.used.any(-1)), strict=True)
    ]
    return solution, refused, findings


def continued(solution: Solution) -> Problem:
    """The problem again, from where its solution stands."""
    return replace(
        solution.problem,
        lenses=solution.lenses,
        cam_from_world=solution.cam_from_world,
        world_from_body=solution.world_from_body,
        body_from_piece=solution.body_from_piece,
        points=solution.points,
        free_points=solution.free_points,
        offset_s=solution.offset_s,
    )


def _unexplained(solution: Solution, wanted: Bools, noise: Floats) -> tuple[Bools, Bools]:
    """Sightings (C, T, N) farther off than noise explains, and views' moments (C, T) of which most are."""
    distance = np.linalg.norm(solution.residual, axis=-1)
    far = ~(distance <= _OUTLIER * solution.problem.observations.sigma * noise[:, None, None])
    known = np.isfinite(distance)
    strange = (far & wanted & known).sum(-1) > _FALSE * np.maximum(wanted.sum(-1), 1)
    return np.asarray(far & known), np.asarray(strange)


def _with_clocks(solution: Solution) -> tuple[Solution, list[Finding]]:
    """The solution with the clock of every camera set right, if any is surely off."""
    problem, views = solution.problem, solution.problem.observations.views
    time_s = common_time(problem.observations.time_s)
    step = np.diff(time_s[problem.used.any((0, 2))])
    if len(views) < 2 or problem.observations.target.still or ((step > 0) & (step < _GAP_S)).sum() < _LEAST_MOVING:
        return solution, []
    free = np.ones(len(views), bool)
    free[0] = False
    trial = solution
    for _ in range(3):
        noisy = replace(continued(trial), offsets_free=free, noise=_noise(trial))
        trial = bundle.adjust(noisy, iterations=15, tolerance=1e-5)
    spread = np.sqrt(np.maximum(np.diagonal(trusted_covariance(trial)), 0))
    unsure = np.array([spread[at.stop - 1] if free[view] else 0.0 for view, at in enumerate(trial.columns)])
    middle = float(np.median(trial.offset_s))
    sure = np.abs(trial.offset_s) > _SURE * np.maximum(unsure, 1e-5)
    if not np.isfinite(trial.cost) or not sure.any():
        return solution, []
    findings = []
    for view, name in enumerate(views):
        late = float(trial.offset_s[view] - middle)
        if abs(late) > _SURE * max(unsure[view], unsure[sure].min()):
            findings.append(
                Finding(
                    "note",
                    name,
                    f"its pictures are {1000 * abs(late):.1f} ms {'later' if late > 0 else 'earlier'} than its clock "
                    "says, against the other cameras; that is allowed for here",
                    "start the cameras in step, or shift its time by as much before reconstructing",
                )
            )
    return trial, findings


def _noise(solution: Solution) -> Floats:
    """By how much each camera's sightings are noisier (C,) than detection said, from the middle of their residuals."""
    problem = solution.problem
    seen = problem.observations
    square = (solution.residual**2).sum(-1) / seen.sigma**2
    square = np.where(problem.used, square, np.nan)
    sightings = 2 * np.isfinite(square).sum()
    unknowns = len(solution.information) + 6 * problem.used.any((0, 2)).sum()
    if problem.free_points is not None:
        unknowns = len(solution.information) + 3 * problem.used.any(0).sum()
    share = max(1 - unknowns / max(sightings, 1), 0.1)
    out = np.ones(len(seen.views))
    for view in range(len(out)):
        own = square[view][np.isfinite(square[view])]
        if own.size > 8:
            out[view] = np.sqrt(max(np.median(own) / (2 * np.log(2)) / share, 1e-4))
    return out
