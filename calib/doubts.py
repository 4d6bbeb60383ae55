"""What a fit alone does not tell: moments that fit no one rig, and a board of another size than was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from calib.calibration import Calibration, Finding, Verdict
from calib.distortion import Floats
from calib.observations import Observations
from calib.rig import Rig

_LEAST_POINTS = 4
_FITTING = 0.8  # share of the sightings at common moments that fit, where there is one rig and it stands still
_SAME_DEG = 1.0  # cameras that nobody has turned
_SAME_SCALE = 0.03  # better than a ruler measures a square; worse than a rig drifts


def with_doubts(made: Calibration, seen: Observations, old: Rig | None) -> Calibration:
    """The calibration with what speaks against it; of pictures that fit no one rig the verdict is "do not use".

    seen: what it was made from; old: an earlier rig of some of the cameras, if any.
    """
    doubts = [*_of_one_left(made), *(() if seen.target.free else _of_several_rigs(made, seen))]
    doubts += _of_another_size(made.rig, old) if old is not None else ()
    made = replace(made, findings=(*made.findings, *doubts))
    bad = next((doubt for doubt in doubts if doubt.severity == "refuse"), None)
    worse = bad or next(iter(doubts), None)
    if worse is None or (bad is None and made.verdict != "good"):
        return made
    verdict: Verdict = "usable with limits" if bad is None else "do not use"
    return replace(made, verdict=verdict, reason=f"{worse.about}: {worse.what}", next_action=worse.todo)


def _of_one_left(made: Calibration) -> Iterator[Finding]:
    """Why a single camera is no rig: the others were left out."""
    others = [
        finding for finding in made.findings if finding.about not in made.rig.names and finding.severity != "note"
    ]
    if len(made.rig) == 1 and others:
        what = f"{others[0].what}, and only {made.rig.names[0]} is left"
        yield Finding("refuse", others[0].about, what, others[0].todo)


def _of_several_rigs(made: Calibration, seen: Observations) -> Iterator[Finding]:
    """Sightings at moments that cameras share, of which too many had to be left out."""
    used = made.observations
    views = [seen.views.index(view) for view in used.views]
    moments = [seen.moments.index(moment) for moment in used.moments]
    sees = (seen.seen.sum(2) >= _LEAST_POINTS)[np.ix_(views, moments)]
    sees &= sees.sum(0) >= 2
    fits = sees & (made.used.sum(2) >= _LEAST_POINTS)
    fits &= fits.sum(0) >= 2  # one view alone at a moment agrees with nobody
    if not sees.any() or fits.sum() >= _FITTING * sees.sum():
        return
    lost = np.flatnonzero((sees & ~fits).any(0))
    yield Finding(
        "refuse",
        "the rig",
        f"only {fits.sum()} of {sees.sum()} sightings at common moments fit one rig, the others are from "
        f"{used.moments[lost[0]]} to {used.moments[lost[-1]]}",
        "look for pictures of another rig among them, a camera that was moved, or views out of step",
    )


def _of_another_size(rig: Rig, old: Rig) -> Iterator[Finding]:
    """Cameras that look as they did, but farther apart or nearer together, all of them alike."""
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
            f"cameras look as they did in {old.source or 'the earlier rig'}, but stand {times:.3g} times as far apart",
            f"measure the board: its lengths may be {1 / times:.3g} times what was said",
        )


def _turn(rig: Rig, a: str, b: str) -> Floats:
    return rig[b].cam_from_world[:3, :3] @ rig[a].cam_from_world[:3, :3].T
