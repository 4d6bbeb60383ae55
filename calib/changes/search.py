"""Finds which cameras of a rig have moved and when: the fewest changes that make a whole take consistent.

First come changes within the take, however accurate the rig is; then cameras displaced during the whole take: the
smallest set without which the others agree as well as the cameras of a good rig.
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

_LOOSE = 30.0  # factor on the trusted standard deviations: an error that holds during a whole take is no change
_LENS = 5.0  # the same for lenses, which no bump changes
_TIE = 14.0  # twice the log likelihood ratio by which the best camera has to exceed another
_LINEAR = 0.02  # share of the gain from the rig's own errors that linearisation may get wrong
_NEAR = 0.5  # share of the gain above which another camera is tried instead
_MOST_BEFORE = 3  # most cameras tried together as moved before the take
_TRIED = 3  # sets of cameras that are refined fully
_BIAS = 1.0  # of the noise of free points may be constant over time: joints are seen from one side of the body


@dataclass(frozen=True)
class Trust:
    """Expected errors of the cameras of an untouched rig: standard deviations along each axis."""

    rotation_deg: float = 0.03
    position_m: float = 0.001
    focal: float = 0.001
    """Share of the focal length."""
    centre_px: float = 1.0
    distortion: float = 0.003

    def precision(self, bias_rad: Floats, pose: float = 1.0, lens: float = 1.0) -> Floats:
        """Precisions (12 C,) of the numbers of C cameras, whose directions may have a bias (C,) rad.

        pose, lens: factors on the trusted standard deviations.
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
    """The result: the take, the changes, and for each the cameras (by number) that would explain it as well.

    found: evidence given the changes; wide, fit: fits with loose and with trusted priors on the rig; chances (E,):
    probability that noise alone produces a change; excess, freedom (C,): see `residual_drift`; off: factor on the
    trusted standard deviations that the rest of the rig needs; undecided: cameras that disagree, none of which can be
    singled out; bias_rad (C,): constant error that directions may have.
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
    before = _moved_before(take, events, (tight, loose), false_alarms)
    if before.events:
        events = find_changes(take, loose, tight, false_alarms, before.events)
    if events:  # outliers are found more reliably with the poses that the cameras had
        take = ChangeTake(rig, sightings(*rigs_over_time(rig, events, len(observations.moments)), observations))
        events = find_changes(take, loose, tight, false_alarms, take.refined(events, loose)[0])
    events = _prune(take, events, loose, false_alarms)
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


def _prune(take: ChangeTake, events: tuple[Event, ...], prior: Floats, false_alarms: float) -> tuple[Event, ...]:
    """The changes without those that are not significant given the others."""
    while any(event.since > 0 for event in events):
        events, found, fit = take.refined(events, prior)
        excess, freedom = residual_drift(found, fit)
        tried = len(take.rig) * len(found.score)
        chances = [
            false_alarm_probability(gain_of(fit, events, row), excess[e.camera], freedom[e.camera], tried)
            if e.since > 0
            else 0.0
            for row, e in enumerate(events)
        ]
        if max(chances) <= false_alarms:
            break
        events = tuple(event for row, event in enumerate(events) if row != int(np.argmax(chances)))
    return events


def _rivals(
    take: ChangeTake, events: tuple[Event, ...], prior: Floats
) -> tuple[tuple[Event, ...], list[tuple[int, ...]]]:
    """The changes, each of the camera that explains it best, and the other cameras that explain it as well."""
    out: list[tuple[int, ...]] = []
    for row, event in enumerate(events):
        if event.since == 0:
            out.append(())
            continue
        others = events[:row] + events[row + 1 :]
        near = take.put_right(take.fit(take.evidence(events), events, prior))  # keeps linearisation errors small
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
class _MovedBefore:
    """Cameras that had moved before the take began; see `Search`."""

    events: tuple[Event, ...] = ()
    rivals: tuple[int, ...] = ()
    off: float = 1.0
    undecided: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class _Trial:
    """A set of cameras assumed to have moved: the errors of the others in units of the trusted standard deviations.

    off2: mean square error; freedom: its degrees of freedom; surprise: its tail probability in a good rig; cost: twice
    the negative log likelihood, the prior of the others included.
    """

    cameras: tuple[int, ...]
    events: tuple[Event, ...]
    off2: float
    freedom: float
    surprise: float
    cost: float


def _moved_before(
    take: ChangeTake, events: tuple[Event, ...], priors: tuple[Floats, Floats], false_alarms: float
) -> _MovedBefore:
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
            return _MovedBefore()
        trials = sorted((_trial(take, events, prior, excess, t.cameras) for t in sets[:_TRIED]), key=lambda t: t.cost)
        good = [trial for trial in trials if trial.surprise > false_alarms / len(sets)]
        if good:
            ties = {c for t in good[1:] if t.cost < good[0].cost + _TIE for c in t.cameras} - set(good[0].cameras)
            return _MovedBefore(good[0].events, tuple(sorted(ties)))
        if best is None and _is_significant(whole, trials[0], len(sets), false_alarms):
            best = trials[0]
    if whole.surprise > false_alarms:
        return _MovedBefore()
    if best is not None:
        return _MovedBefore(best.events, (), float(np.sqrt(best.off2)))
    undecided = tuple(cameras) if len(cameras) == 2 else ()
    return _MovedBefore((), (), float(np.sqrt(max(whole.off2, 1.0))), undecided)


def _is_significant(whole: _Trial, trial: _Trial, tried: int, false_alarms: float) -> bool:
    """Whether the errors of a trial's cameras are significantly larger than the others' (F test)."""
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
    """Try cameras as moved before the take: to first order in given evidence, else refined fully."""
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
    root = np.sqrt(prior[~free])
    numbers = fit.errors[~free] * root
    D = len(prior)
    known = np.eye(len(numbers)) - fit.covariance[:D, :D][np.ix_(~free, ~free)] * root * root[:, None]
    first, second = float(np.trace(known)), float((known**2).sum())
    freedom = max(first**2 / max(second, 1e-12), 1e-6)
    from scipy.special import chdtrc

    surprise = float(chdtrc(freedom, float(numbers @ numbers) * first / max(second, 1e-12)))
    off2 = float(numbers @ numbers) / max(first, 1e-9)
    return _Trial(tuple(cameras), before, off2, freedom, surprise, found.cost / excess - fit.gained)
