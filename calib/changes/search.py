"""Which cameras of a rig are not where it says, since when: the fewest that make a whole take consistent.

First changes in the middle of the take, whatever the rig is worth; then cameras that have been elsewhere all the time:
the smallest set without which the others agree as well as a good rig does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from calib.arrays import Floats
from calib.changes.events import ChangeTake, Event, find_changes, gain_of, rigs_over_time, whole_cost
from calib.changes.evidence import CAMERA, CHANGE, Evidence, columns, sightings
from calib.changes.steps import Fit, false_alarm_probability, likelihood_gains, residual_drift
from calib.observations import Observations
from calib.rig import Rig

_LOOSE = 30.0  # times further off than trusted: what holds all through a take is no change
_LENS = 5.0  # the same for lenses, which no bump changes
_TIE = 14.0  # twice the log likelihood by which the right camera has to be better than another
_LINEAR = 0.02  # of what the rig's own errors explain may be wrong because they are taken as small
_NEAR = 0.5  # share of the gain from which on another camera is tried in its place
_MOST_BEFORE = 3  # cameras that are tried together as moved before the take
_TRIED = 3  # sets of cameras that are tried to the end
_BIAS = 1.0  # of the noise of free points may be the same for long: a joint is a surface, seen from one side


@dataclass(frozen=True)
class Trust:
    """How far a camera may be from the truth in a rig that nobody has touched: standard deviations along each axis."""

    rotation_deg: float = 0.03
    position_m: float = 0.001
    focal: float = 0.001
    """Share of the focal length."""
    centre_px: float = 1.0
    distortion: float = 0.003

    def precision(self, bias_rad: Floats, pose: float = 1.0, lens: float = 1.0) -> Floats:
        """Of the numbers (12 C,) of C cameras, in whose directions there may be a bias (C,) of what they see.

        pose, lens: how many times further off than trusted they may be.
        """
        out = np.empty((len(bias_rad), CAMERA))
        out[:, :3] = np.hypot(np.deg2rad(self.rotation_deg), bias_rad)[:, None]
        out[:, 3:6], out[:, 6], out[:, 7:9], out[:, 9] = self.position_m, self.focal, self.centre_px, self.focal
        out[:, 10:] = self.distortion
        out[:, :6] *= pose
        out[:, 6:] *= lens
        return np.asarray(out.ravel() ** -2)


@dataclass(frozen=True, eq=False)
class Search:
    """What was found: the take, the changes, the cameras (by number) that would explain each of them as well.

    found: evidence beside the changes; wide, fit: fits where the rig may be far off, and where it is as trusted;
    chances (E,) of noise making a change up; excess, freedom (C,): see `wandering`; off: times further off than
    trusted that the rest of the rig is; undecided: cameras that do not agree although none of them can be blamed;
    bias_rad (C,) that directions may be off for long.
    """

    take: ChangeTake
    events: tuple[Event, ...]
    rivals: tuple[tuple[int, ...], ...]
    found: Evidence
    wide: Fit
    fit: Fit
    chances: tuple[float, ...]
    excess: Floats
    freedom: Floats
    off: float
    undecided: tuple[int, ...]
    bias_rad: Floats


def search(rig: Rig, observations: Observations, trust: Trust, false_alarms: float) -> Search:
    """Find the changes of a rig, whose cameras are in the order of the views, in a take."""
    seen = sightings([rig], [0], observations)
    take = ChangeTake(rig, seen)
    bias = _BIAS * np.nan_to_num(seen.sigma_px) / rig.focal if len(seen.free) else np.zeros(len(rig))
    loose, tight = trust.precision(bias, _LOOSE, _LENS), trust.precision(bias)
    events = find_changes(take, loose, tight, false_alarms)
    before = _before(take, events, (tight, loose), false_alarms)
    if before.events:
        events = find_changes(take, loose, tight, false_alarms, before.events)
    if events:  # whose sightings are wild is better told when it is known where the cameras stood
        take = ChangeTake(rig, sightings(*rigs_over_time(rig, events, len(observations.moments)), observations))
        events = find_changes(take, loose, tight, false_alarms, take.refined(events, loose)[0])
    events = _needed(take, events, loose, false_alarms)
    events, rivals = _rivals(take, events, loose)
    kept = tuple(before.rivals if event.since == 0 else others for event, others in zip(events, rivals, strict=True))
    found = take.evidence(events)
    wide = take.fit(found, events, loose)
    excess, freedom = residual_drift(found, wide)
    tried = len(rig) * len(found.score)
    chances = tuple(
        false_alarm_probability(gain_of(wide, events, row), excess[e.camera], freedom[e.camera], tried)
        for row, e in enumerate(events)
    )
    worst = max(1.0, float(np.median(excess)), *(float(excess[event.camera]) for event in events))
    fit = take.fit(found, events, tight / before.off**2, worst)
    return Search(take, events, kept, found, wide, fit, chances, excess, freedom, before.off, before.undecided, bias)


def _needed(take: ChangeTake, events: tuple[Event, ...], prior: Floats, false_alarms: float) -> tuple[Event, ...]:
    """The changes without those that the others make needless."""
    while any(event.since > 0 for event in events):
        events, found, fit = take.refined(events, prior)
        excess, freedom = residual_drift(found, fit)
        tried = len(take.rig) * len(found.score)
        worth = [
            false_alarm_probability(gain_of(fit, events, row), excess[e.camera], freedom[e.camera], tried)
            if e.since > 0
            else 0.0
            for row, e in enumerate(events)
        ]
        if max(worth) <= false_alarms:
            break
        events = tuple(event for row, event in enumerate(events) if row != int(np.argmax(worth)))
    return events


def _rivals(
    take: ChangeTake, events: tuple[Event, ...], prior: Floats
) -> tuple[tuple[Event, ...], list[tuple[int, ...]]]:
    """The changes, each of the camera that explains most, and other cameras that explain as much."""
    out: list[tuple[int, ...]] = []
    for row, event in enumerate(events):
        if event.since == 0:
            out.append(())
            continue
        others = events[:row] + events[row + 1 :]
        near = take.put_right(
            take.fit(take.evidence(events), events, prior)
        )  # or what is not linear in its errors counts
        found = near.evidence(others)
        fit = near.fit(found, others, prior)
        gain = likelihood_gains(found, fit, event.share((found.first[:-1] + found.first[1:] - 1) / 2))
        trials = {}
        for camera in {event.camera, *np.flatnonzero(gain > _NEAR * gain[event.camera]).tolist()}:
            own = camera == event.camera
            trial = replace(event, camera=camera, motion=event.motion if own else np.zeros(CHANGE))
            changed, found, fit = near.refined((*events[:row], trial, *events[row + 1 :]), prior)
            room = _TIE * max(float(np.median(residual_drift(found, fit)[0])), 1.0) + _LINEAR * fit.gained
            trials[camera] = whole_cost(found, fit), changed, room
        best = min(trials, key=lambda camera: trials[camera][0])
        least, events, room = trials[best]
        out.append(tuple(camera for camera in trials if camera != best and trials[camera][0] < least + room))
    return events, out


@dataclass(frozen=True, eq=False)
class _Before:
    """Cameras that were elsewhere before the take began; see `Search`."""

    events: tuple[Event, ...] = ()
    rivals: tuple[int, ...] = ()
    off: float = 1.0
    undecided: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class _Trial:
    """A set of cameras taken as moved: what the others are off, in units of what is trusted, and how likely so much.

    off2: mean square, freedom: from so many numbers, surprise: how likely it is in a good rig; cost: twice the negative
    log likelihood, the trust in the others included.
    """

    cameras: tuple[int, ...]
    events: tuple[Event, ...]
    off2: float
    freedom: float
    surprise: float
    cost: float


def _before(take: ChangeTake, events: tuple[Event, ...], priors: tuple[Floats, Floats], false_alarms: float) -> _Before:
    """The fewest cameras that must have moved before the take for the others to be as good as trusted."""
    found = take.evidence(events)
    prior, loose = priors
    fit = take.fit(found, events, loose)
    from scipy.special import chdtrc

    excess = max(float(np.median(residual_drift(found, fit)[0])), 1.0)
    cameras = range(len(take.rig))
    whole = _trial(take, events, prior, excess, (), found)
    best: _Trial | None = None
    for size in range(1, min((len(cameras) - 1) // 2, _MOST_BEFORE) + 1):
        sets = sorted(
            (_trial(take, events, prior, excess, some, found) for some in combinations(cameras, size)),
            key=lambda trial: trial.cost,
        )
        plain = chdtrc(CHANGE * size, max(whole.cost - sets[0].cost, 0.0)) * len(sets) > false_alarms
        if size == 1 and plain and whole.surprise > false_alarms:
            return _Before()
        trials = sorted((_trial(take, events, prior, excess, t.cameras) for t in sets[:_TRIED]), key=lambda t: t.cost)
        good = [trial for trial in trials if trial.surprise > false_alarms / len(sets)]
        if good:
            ties = {c for t in good[1:] if t.cost < good[0].cost + _TIE for c in t.cameras} - set(good[0].cameras)
            return _Before(good[0].events, tuple(sorted(ties)))
        if best is None and _stands_out(whole, trials[0], len(sets), false_alarms):
            best = trials[0]
    if whole.surprise > false_alarms:
        return _Before()
    if best is not None:
        return _Before(best.events, (), float(np.sqrt(best.off2)))
    undecided = tuple(cameras) if len(cameras) == 2 else ()
    return _Before((), (), float(np.sqrt(max(whole.off2, 1.0))), undecided)


def _stands_out(whole: _Trial, trial: _Trial, tried: int, false_alarms: float) -> bool:
    """Whether the cameras of a trial are off by much more than the others are."""
    from scipy.special import fdtrc

    gone = max(whole.freedom - trial.freedom, 1.0)
    ratio = (whole.off2 * whole.freedom - trial.off2 * trial.freedom) / gone / trial.off2
    return bool(tried * fdtrc(gone, trial.freedom, max(ratio, 0.0)) < false_alarms)


def _trial(
    take: ChangeTake,
    events: tuple[Event, ...],
    prior: Floats,
    excess: float,
    cameras: Sequence[int],
    found: Evidence | None = None,
) -> _Trial:
    """Try cameras as moved before the take: to first order in evidence that is there, else to the end."""
    free = np.zeros(len(prior), bool)
    for camera in cameras:
        free[columns(camera, CHANGE)] = True
    open_ = np.where(free, prior / 1e6, prior)
    before = tuple(Event(camera, 0, 0, np.zeros(CHANGE), 0, 0) for camera in cameras)
    if found is None:
        for _ in range(3):
            found = take.evidence((*before, *events), blocks=1)
            fit = take.fit(found, events, open_, excess)
            errors = fit.errors
            before = tuple(replace(e, motion=e.motion + errors[columns(e.camera, CHANGE)]) for e in before)
        found = take.evidence((*before, *events), blocks=1)
    fit = take.fit(found, events, open_, excess)
    told = np.sqrt(prior[~free])
    numbers = fit.errors[~free] * told
    D = len(prior)
    known = np.eye(len(numbers)) - fit.covariance[:D, :D][np.ix_(~free, ~free)] * told * told[:, None]
    first, second = float(np.trace(known)), float((known**2).sum())
    freedom = max(first**2 / max(second, 1e-12), 1e-6)
    from scipy.special import chdtrc

    surprise = float(chdtrc(freedom, float(numbers @ numbers) * first / max(second, 1e-12)))
    off2 = float(numbers @ numbers) / max(first, 1e-9)
    return _Trial(tuple(cameras), before, off2, freedom, surprise, found.cost / excess - fit.gained)
