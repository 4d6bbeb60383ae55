"""Changes of cameras during a take: the rig at each moment, and when and how it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.camera import Camera
from calib.changes.evidence import CAMERA, CHANGE, Evidence, Sightings, collect_evidence, moment_costs
from calib.changes.steps import Fit, Step, fit_changes, next_step, residual_drift
from calib.geometry import pose, rotation_from_vector
from calib.rig import Rig

_DRIFT_PARTS = 50  # steps that approximate a slow drift
_ROUNDS = 5
_SETTLED_M = 2e-5  # largest update in the volume at which the changes have converged
_FAR = 0.2  # rad, m, or log of a zoom: largest correction of a camera in one round
_BENT = 0.2  # of the noise: largest linearisation error of the observations
_STANDING = 0.3  # share of the cost that may remain where cameras had constant errors during the whole take
_REWEIGHTED = 10
_BLOCKS = 96
_MOMENTS = 600  # most moments evaluated; of a longer take every second, third ... one
_NUMBERS = 6_000_000  # most numbers in the information of all blocks
_LIKELY = 0.95


@dataclass(frozen=True, eq=False)
class Event:
    """A change of one camera: motion (7,), a small rotation (rad) and shift (m) in its own frame and log of the zoom.

    since: first moment after the change began; until: first moment at which it is complete, later than since for a slow
    drift. earliest, latest: 95 % interval of its beginning.
    """

    camera: int
    since: int
    until: int
    motion: Floats
    earliest: int
    latest: int

    def share(self, moment: Floats) -> Floats:
        """Share of the change that has happened at moments, 0 to 1."""
        if self.until <= self.since:
            return np.where(moment >= self.since, 1.0, 0.0)
        return np.clip((moment + 0.5 - self.since) / (self.until - self.since), 0, 1)


def apply_change(camera: Camera, numbers: Floats) -> Camera:
    """The camera with its pose, focal length, centre and aspect changed by the first of its 12 numbers (`Evidence`)."""
    given = np.zeros(CAMERA)
    given[: len(numbers)] = numbers
    K = np.array(camera.lens.K)
    K[:2, :2] *= np.exp(given[6])
    K[1, 1] *= np.exp(given[9])
    K[:2, 2] += given[7:9]
    motion = pose(rotation_from_vector(given[:3]), given[3:6])
    return Camera(replace(camera.lens, K=K), motion @ camera.cam_from_world)


def rigs_over_time(rig: Rig, events: Sequence[Event], moments: int) -> tuple[list[Rig], list[int]]:
    """The rigs of a take in order of time, and the first moment of each; the first is 0."""
    cuts = {0}
    for event in events:
        parts = min(event.until - event.since, _DRIFT_PARTS) + 1
        cuts |= {round(at) for at in np.linspace(event.since, event.until, parts)}
    since = sorted(cut for cut in cuts if cut < moments)
    rigs = []
    for start, stop in zip(since, [*since[1:], moments], strict=True):
        cameras = list(rig.cameras)
        for view in {event.camera for event in events}:
            mine = [event for event in events if event.camera == view]
            motion = sum(float(event.share(np.array((start + stop - 1) / 2))) * event.motion for event in mine)
            cameras[view] = apply_change(rig[view], np.asarray(motion))
        rigs.append(replace(rig, cameras=tuple(cameras)))
    return rigs, since


class ChangeTake:
    """A rig and a take of it, evaluated under hypothesised changes."""

    def __init__(self, rig: Rig, seen: Sightings) -> None:
        self.rig = rig
        self.all = seen
        moments = len(seen.observations.moments)
        self.index: NDArray[np.intp] = np.arange(0, moments, max(1, -(-moments // _MOMENTS)))
        self.some = seen if len(self.index) == moments else seen.at(self.index)
        self.blocks = int(min(_BLOCKS, max(_NUMBERS // (CAMERA * len(rig)) ** 2, 24)))

    def evidence(self, events: Sequence[Event], blocks: int | None = None) -> Evidence:
        """Evidence of the take given the changes; blocks begin at moments of the take."""
        rigs, since = rigs_over_time(self.rig, events, len(self.all.observations.moments))
        thin = np.searchsorted(self.index, since)
        # Of several rigs between two sampled moments, the last.
        last = {int(at): rig for at, rig in zip(thin, rigs, strict=True)}
        found = collect_evidence(list(last.values()), list(last), self.some, blocks or self.blocks)
        ends = np.append(self.index, len(self.all.observations.moments))
        return replace(found, first=ends[found.first])

    def fit(self, found: Evidence, events: Sequence[Event], prior: Floats, excess: float = 1.0) -> Fit:
        """Errors that hold during the whole take, and corrections of the changes."""
        return fit_changes(found, prior, change_steps(events, found), excess)

    def refined(self, events: Sequence[Event], prior: Floats) -> tuple[tuple[Event, ...], Evidence, Fit]:
        """The changes that fit the observations best (Gauss-Newton), with the evidence and the fit there."""
        events = tuple(events)
        for _ in range(_ROUNDS):
            found = self.evidence(events)
            fit = self.fit(found, events, prior)
            step_m = [in_volume(change, found.spread[e.camera]) for e, change in zip(events, fit.changes, strict=True)]
            if max(step_m, default=0.0) < _SETTLED_M:
                break
            events = apply_corrections(events, fit)
        return events, found, fit

    def settled(self, events: Sequence[Event], trusted: Floats) -> tuple[ChangeTake, tuple[Event, ...], Evidence]:
        """The take with a rig corrected until its remaining errors are linear within the noise; the evidence there.

        As few cameras as possible are corrected, or one moved camera would rotate the whole world. No correction is
        made where much of the cost would remain: a change within the take must not be spread over the whole take.
        """
        take, events = self, tuple(events)
        found = take.evidence(events)
        for _ in range(_ROUNDS):
            fit = take.sparse(found, events, trusted)
            errors = fit.errors.reshape(-1, CAMERA)[:, :CHANGE]
            off_m = np.array([in_volume(error, spread) for error, spread in zip(errors, found.spread, strict=True)])
            angle = off_m / np.sqrt(np.maximum(found.spread[:, 0, 0], 1e-12))
            bent = (angle**2 / 2 * take.rig.focal > _BENT * take.all.sigma_px).any()
            if not bent or found.cost - fit.gained > _STANDING * found.cost:
                break
            cameras = tuple(
                apply_change(camera, error) for camera, error in zip(take.rig, map(_bounded, errors), strict=True)
            )
            nearer, changed = ChangeTake(replace(take.rig, cameras=cameras), take.all), apply_corrections(events, fit)
            trial = nearer.evidence(changed)
            if trial.cost > _STANDING * found.cost:
                break
            take, events, found = nearer, changed, trial
        return take, events, found

    def sparse(self, found: Evidence, events: Sequence[Event], trusted: Floats) -> Fit:
        """Errors as small as trusted for all but a few cameras: a heavy-tailed prior (Student's t, by reweighting)."""
        prior = trusted.reshape(-1, CAMERA)
        fit = self.fit(found, events, trusted)
        for _ in range(_REWEIGHTED):
            size = (fit.errors.reshape(-1, CAMERA) ** 2 * prior)[:, :CHANGE].mean(-1)
            fit = self.fit(found, events, (prior / np.maximum(size, 1.0)[:, None]).ravel())
        return fit

    def put_right(self, fit: Fit) -> ChangeTake:
        """The take with the rig corrected by the fitted errors, distortion excepted."""
        pairs = zip(self.rig, fit.errors.reshape(-1, CAMERA), strict=True)
        return ChangeTake(
            replace(self.rig, cameras=tuple(apply_change(camera, errors) for camera, errors in pairs)), self.all
        )

    def dated(self, events: Sequence[Event], which: int, fit: Fit, spread: float) -> Event:
        """The change with its moment, the median of the likelihood over all moments, and a 95 % interval."""
        event, moments = events[which], len(self.all.observations.moments)
        others = [other for row, other in enumerate(events) if row != which]
        base = self.put_right(fit).rig
        reach = max(30, 3 * moments // self.blocks)
        while True:
            low, high = max(event.since - reach, 0), min(event.since + reach, moments)
            without = _costs(base, self.all, others, low, high)
            there = _costs(base, self.all, [*others, replace(event, since=0, until=0)], low, high)
            gain = np.concatenate([np.cumsum(((without - there) / 2)[::-1])[::-1], [0.0]]) / spread
            share = np.exp(gain - gain.max())
            share /= share.sum()
            upto = np.cumsum(share)
            first, last = np.searchsorted(upto, ((1 - _LIKELY) / 2, (1 + _LIKELY) / 2))
            if ((first > 2 or low == 0) and (last < len(share) - 3 or high == moments)) or reach >= moments:
                break
            reach *= 3
        since = int(np.clip(low + int(np.searchsorted(upto, 0.5)), 1, moments - 1))
        return replace(event, since=since, until=since, earliest=low + int(first), latest=low + int(last))


def apply_corrections(events: Sequence[Event], fit: Fit) -> tuple[Event, ...]:
    """The changes with the corrections of a fit, each limited to what one round allows."""
    pairs = zip(events, fit.changes, strict=True)
    return tuple(replace(event, motion=event.motion + _bounded(change)) for event, change in pairs)


def _bounded(change: Floats) -> Floats:
    size = max(float(np.linalg.norm(change[:3])), float(np.linalg.norm(change[3:6])), abs(float(change[6])), 1e-300)
    return np.asarray(change * min(1.0, _FAR / size))


def _costs(rig: Rig, seen: Sightings, events: Sequence[Event], low: int, high: int) -> Floats:
    rigs, since = rigs_over_time(rig, events, len(seen.observations.moments))
    parts = []
    for one, start, stop in zip(rigs, since, [*since[1:], high], strict=True):
        if max(start, low) < min(stop, high):
            parts.append(moment_costs(one, seen, max(start, low), min(stop, high)))
    return np.concatenate(parts)


def change_steps(events: Sequence[Event], found: Evidence) -> tuple[Step, ...]:
    """The changes as steps: their share in each block."""
    middle = (found.first[:-1] + found.first[1:] - 1) / 2
    return tuple(Step(event.camera, event.share(middle), event.since, event.until) for event in events)


def find_changes(
    take: ChangeTake, prior: Floats, trusted: Floats, false_alarms: float, known: Sequence[Event] = ()
) -> tuple[Event, ...]:
    """Changes within a take in addition to the known ones, found one after the other, the most significant first.

    prior, trusted: precisions (D,) of errors that hold during the whole take: loose, and as in an untouched rig.
    """
    events = tuple(known)
    for _ in range(len(take.rig) + 2):
        take, events, found = take.settled(events, trusted)
        step = next_step(found, prior, change_steps(events, found), false_alarms)
        if step is None:
            break
        before, shares = take.fit(found, events, prior), (*change_steps(events, found), step)
        fit = fit_changes(found, prior, shares)
        since, until = (int(found.first[at]) for at in (step.since, step.until))
        event = Event(step.camera, since, until, fit.changes[-1], since, since)
        trial, better, fit = take.refined((*events, event), prior)
        if whole_cost(better, fit) > whole_cost(found, before):  # the refined change fits worse than none
            break
        events, found = trial, better
        if step.until == step.since:
            spread = residual_drift(found, fit)[0][step.camera]
            event = take.dated(events, len(events) - 1, fit, spread)
            events = take.refined((*events[:-1], event), prior)[0]
        else:
            half = (until - since) // 4
            events = (*events[:-1], replace(events[-1], earliest=max(since - half, 0), latest=since + half))
    return events


def whole_cost(found: Evidence, fit: Fit) -> float:
    """Twice the negative log likelihood of the take at the best small corrections."""
    return found.cost - fit.gained


def gain_of(fit: Fit, events: Sequence[Event], row: int) -> float:
    """Twice the log likelihood ratio of a change, from its size and covariance (Wald)."""
    motion = events[row].motion
    return float(np.dot(motion, np.linalg.solve(fit.spread(row), motion)))


def in_volume(motion: Floats, spread: Floats) -> float:
    """RMS displacement, m, by a motion (7,) of what the camera sees at the positions of the target."""
    return float(np.sqrt(np.maximum(motion @ spread[: len(motion), : len(motion)] @ motion, 0)))
