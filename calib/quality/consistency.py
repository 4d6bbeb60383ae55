"""Checks that the fit alone does not make: moments that fit no single rig, and a board of another size than given."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from calib.arrays import Bools, Floats
from calib.calibration import Calibration, Finding
from calib.observations import Observations
from calib.quality.verdict import with_findings
from calib.rig import Rig

_LEAST_POINTS = 4
_FITTING = 0.8  # least share of the detections at common moments that fit, for a single rig that does not move
_STRETCH, _PART = 5, 0.05  # detections at an end of a take, and their share of all, that indicate a moved camera
_NEARLY_ALL = 0.8
_SAME_DEG = 1.0  # largest rotation of unmoved cameras
_SAME_SCALE = 0.03  # above the error of measuring a square with a ruler, and above the drift of a rig


def check_consistency(made: Calibration, seen: Observations, old: Rig | None) -> Calibration:
    """The calibration with findings on inconsistencies; for images that fit no single rig it is "do not use".

    seen: the observations it was made from; old: an earlier rig of some of the cameras, if any.
    """
    issues = [*_single_camera_left(made)]
    if not seen.target.free:
        issues += [*_several_rigs(made, seen)] or [*_moved_camera(made, seen)]
    issues += _other_scale(made.rig, old) if old is not None else ()
    return with_findings(made, issues)


def _single_camera_left(made: Calibration) -> Iterator[Finding]:
    """A finding where only one camera is left: why the others were left out."""
    others = [
        finding for finding in made.findings if finding.about not in made.rig.names and finding.severity != "note"
    ]
    if len(made.rig) == 1 and others:
        what = f"{others[0].what}, and only {made.rig.names[0]} is left"
        yield Finding("refuse", others[0].about, what, others[0].todo, min(others[0].rank, 2))


def _several_rigs(made: Calibration, seen: Observations) -> Iterator[Finding]:
    """A finding where too many detections at shared moments had to be left out."""
    used = made.observations
    sees, fits = _sees_and_fits(made, seen)
    fits &= fits.sum(0) >= 2  # a single view at a moment has no other to agree with
    if not sees.any() or fits.sum() >= _FITTING * sees.sum():
        return
    lost = np.flatnonzero((sees & ~fits).any(0))
    yield Finding(
        "refuse",
        "the rig",
        f"only {fits.sum()} of {sees.sum()} detections at common moments fit one rig, the others are from "
        f"{used.moments[lost[0]]} to {used.moments[lost[-1]]}",
        "check for images of another rig among them, a camera that was moved, or time offsets between views",
        4,
    )


def _sees_and_fits(made: Calibration, seen: Observations) -> tuple[Bools, Bools]:
    """Masks (C, T) of views that see the target at a moment when another does too, and of those that fit the rig."""
    views = [seen.views.index(view) for view in made.observations.views]
    moments = [seen.moments.index(moment) for moment in made.observations.moments]
    sees = (seen.seen.sum(2) >= _LEAST_POINTS)[np.ix_(views, moments)]
    sees &= sees.sum(0) >= 2
    return sees, np.asarray(sees & (made.used.sum(2) >= _LEAST_POINTS))


def _moved_camera(made: Calibration, seen: Observations) -> Iterator[Finding]:
    """A finding on a camera that fits the rig for a part of the take only: it was moved before or after.

    Of two views that disagree, either may have been left out, so every moment with any left out counts.
    """
    sees, fits = _sees_and_fits(made, seen)
    lost = np.asarray((sees & ~fits).any(0))
    for side, way in (("until", 1), ("from", -1)):
        best, most, last = 0, 0, 0
        for view in range(len(sees)):
            at = np.flatnonzero(sees[view])[::way]
            mostly = np.flatnonzero(np.cumsum(lost[at]) >= _NEARLY_ALL * np.arange(1, len(at) + 1))
            count = int(mostly[-1]) + 1 if mostly.size else 0
            own = int((~fits[view, at[:count]]).sum())
            if own > most and count >= max(_STRETCH, _PART * len(at)):
                best, most, last = view, own, int(at[np.flatnonzero(lost[at[:count]])[-1]])
        if most:
            what = f"{side} {made.observations.moments[last]} its images do not fit the rig, which is of the rest"
            todo = "if it was moved then, calibrate from the footage of one side and use the rig for that side only"
            yield Finding("limit", made.rig[best].name, what, todo)


def _other_scale(rig: Rig, old: Rig) -> Iterator[Finding]:
    """A finding on cameras with the same directions as before, but all distances scaled by one factor."""
    names = [name for name in rig.names if name in old]
    ratios = []
    for a, b in combinations(names, 2):
        turn = _turn(rig, a, b) @ _turn(old, a, b).T
        apart, before = (float(np.linalg.norm(one[a].position - one[b].position)) for one in (rig, old))
        if before > 0 and np.rad2deg(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < _SAME_DEG:
            ratios.append(apart / before)
    if not ratios or len(ratios) < len(names) * (len(names) - 1) / 2:
        return
    times = float(np.median(ratios))
    if abs(times - 1) > _SAME_SCALE and np.ptp(ratios) < _SAME_SCALE * times:
        yield Finding(
            "limit",
            "the size of the board",
            f"cameras point as they did in {old.source or 'the earlier rig'}, but stand {times:.3g} times as far apart",
            f"measure the board: its lengths may be {1 / times:.3g} times the given ones",
        )


def _turn(rig: Rig, a: str, b: str) -> Floats:
    return rig[b].cam_from_world[:3, :3] @ rig[a].cam_from_world[:3, :3].T
