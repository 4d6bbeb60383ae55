"""One verdict on a calibration, with its reason and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from calib.bundle.problem import Solution
from calib.calibration import SYMPTOM, Accuracy, Calibration, Finding, Verdict
from calib.rig import Rig

# Of the distance between cameras and target: joints are found to about half a percent of it.
_GOOD, _USABLE = 0.001, 0.005
_STRANGE, _WRONG = 5.0, 15.0  # times the expected detection error: residuals at held-out moments contradict the rig
_UNLIKE = 10.0  # times the least residual of the rig's cameras, for a camera that does not fit
_NEAR_M, _FAR_M = 0.02, 500.0  # a target nearer or farther than this means a wrong unit
LEFT_OUT = "it is left out"  # beginning of a finding about a camera that is not part of the rig
_FAR_APART = 2.5  # times the predicted error, for a difference between halves that is too large
_SLIGHT = 0.0001  # of the distance between cameras and target: halves of few moments differ by as much


def decide_verdict(
    rig: Rig, solution: Solution, accuracy: Accuracy, findings: Sequence[Finding]
) -> tuple[Verdict, str, str, tuple[Finding, ...]]:
    """Verdict, reason, next action, and further findings."""
    distance = _distance(rig, accuracy)
    more = [
        *_about_units(rig, distance),
        *_about_misfits(rig, solution),
        *_about_noise(solution, accuracy, distance),
        *_about_scenes(solution),
    ]
    every = [*findings, *more]
    error = np.nanmax([accuracy.headline_m, 0.0])
    known = (*rig.names, "the rig", "the board")
    limits = [one for one in every if one.severity == "limit" and (one.about in known or one.what.startswith(LEFT_OUT))]
    limits.sort(key=lambda one: (not one.what.startswith(LEFT_OUT), one.rank))
    main = main_reason(every) if any(one.severity == "refuse" for one in every) else None
    if main is not None:
        return "do not use", f"{main.about}: {main.what}", main.todo, tuple(more)
    if not np.isfinite(accuracy.predicted_rms_m):
        if len(rig) == 1:
            return (
                "usable with limits",
                "one camera alone, so only its lens is known",
                "film with the others too",
                tuple(more),
            )
        return "do not use", "no place is seen by two cameras", "film the target where two cameras see it", tuple(more)
    if error > _USABLE * distance:
        what = f"points have an error of {1000 * error:.0f} mm at {distance:.1f} m"
        return "do not use", what, _film_more(accuracy), tuple(more)
    if error > _GOOD * distance:
        what = f"points have an error of {1000 * error:.1f} mm at {distance:.1f} m"
        return "usable with limits", what, _film_more(accuracy), tuple(more)
    if limits:
        return "usable with limits", f"{limits[0].about}: {limits[0].what}", limits[0].todo, tuple(more)
    return "good", f"points are accurate to {1000 * error:.2g} mm at {distance:.1f} m", "record", tuple(more)


def main_reason(findings: Sequence[Finding]) -> Finding | None:
    """The finding to name as the reason of "do not use": causes before symptoms; None where no finding is one.

    A limit counts too where it is a cause, as a camera that is late.
    """
    telling = [one for one in findings if one.severity == "refuse" or (one.severity == "limit" and one.rank < SYMPTOM)]
    return min(telling, key=lambda one: (one.rank, one.about != "the rig"), default=None)


def with_findings(made: Calibration, more: Sequence[Finding]) -> Calibration:
    """The calibration with more findings, which lower its verdict, and are its reason where they matter most."""
    made = replace(made, findings=(*made.findings, *more))
    if made.verdict == "do not use" or any(one.severity == "refuse" for one in more):
        main = main_reason(made.findings)
        return made if main is None else _with_verdict(made, "do not use", main)
    limits = sorted((one for one in more if one.severity == "limit"), key=lambda one: one.rank)
    if not limits or (made.verdict != "good" and limits[0].rank >= SYMPTOM):
        return made
    return _with_verdict(made, "usable with limits", limits[0])


def _with_verdict(made: Calibration, verdict: Verdict, main: Finding) -> Calibration:
    return replace(made, verdict=verdict, reason=f"{main.about}: {main.what}", next_action=main.todo)


def _distance(rig: Rig, accuracy: Accuracy) -> float:
    if not len(accuracy.places):
        return 1.0
    return float(np.median(np.linalg.norm(rig.positions[:, None] - accuracy.places[None], axis=-1)))


def _film_more(accuracy: Accuracy) -> str:
    """The advice to film where the error is largest."""
    worst = accuracy.places[np.nanargmax(accuracy.predicted_m)]
    where = ", ".join(f"{value:+.1f}" for value in worst)
    return f"film the board longer and tilted, also near ({where}) m, where the error is largest"


def _about_units(rig: Rig, distance: float) -> list[Finding]:
    if len(rig) < 2 or _NEAR_M < distance < _FAR_M:
        return []
    what = f"the estimated distance of the target from the cameras is {distance:.3g} m"
    return [Finding("refuse", "the rig", what, "check the unit of the target's size: metres, or millimetres?", 1)]


def _about_misfits(rig: Rig, solution: Solution) -> list[Finding]:
    """Findings on cameras whose observations fit far worse than those of the others."""
    seen, used = solution.problem.observations, solution.problem.used
    square = np.where(used, (solution.residual**2).sum(-1), np.nan)
    findings, times = [], np.full(len(rig), np.nan)
    for view in range(len(rig)):
        if np.isfinite(square[view]).any():
            times[view] = np.sqrt(np.nanmean(square[view]) / 2 / np.mean(seen.sigma[view][used[view]] ** 2))
    for bad in np.flatnonzero(times > np.maximum(_STRANGE, _UNLIKE * np.nanmin(times, initial=np.inf))):
        rms_px = float(np.sqrt(np.nanmean(square[bad]) / 2))
        what = f"its images do not fit those of the other cameras: the RMS residual is {rms_px:.1f} px"
        todo = (
            "check whether it was moved during the take (mvcap rig check), or its images are of other moments, "
            "mirrored, or from another lens"
        )
        findings.append(Finding("refuse", rig[int(bad)].name, what, todo, 4))
    return findings


def _about_scenes(solution: Solution) -> list[Finding]:
    """A finding for measured points: all of them are used for the rig, so none is left to check it."""
    target = solution.problem.observations.target
    if not target.still:
        return []
    what = f"all {len(target)} measured points are used for the rig, so only their own fit shows how good it is"
    return [Finding("limit", "the rig", what, "film a board or people too, and run mvcap rig check on it")]


def _about_noise(solution: Solution, accuracy: Accuracy, distance: float) -> list[Finding]:
    findings = []
    sigma = solution.problem.observations.sigma[solution.problem.used]
    times = accuracy.held_out_px / float(np.sqrt((sigma**2).mean())) if sigma.size else float("nan")
    if times > _STRANGE:
        findings.append(
            Finding(
                "refuse" if times > _WRONG else "limit",
                "the rig",
                f"at held-out moments the residuals are {times:.0f} times the expected detection error",
                "check for a camera that moved during the take, time offsets of views, or a board that is not flat",
            )
        )
    if accuracy.halves_rms_m > max(_FAR_APART * accuracy.predicted_rms_m, _SLIGHT * distance):
        findings.append(
            Finding(
                "limit",
                "the rig",
                f"two halves of the take differ by {1000 * accuracy.halves_rms_m:.2g} mm where noise alone would give "
                f"{1000 * accuracy.predicted_rms_m:.2g} mm",
                "check for a camera that moved, time offsets of views, or a board that is not flat",
            )
        )
    return findings
