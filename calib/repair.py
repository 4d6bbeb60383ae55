"""Updates the poses of a rig's moved cameras from a take; the other cameras stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib.arrays import Floats
from calib.changes.events import ChangeTake, Event, apply_change, rigs_over_time
from calib.changes.evidence import CHANGE, moment_costs, sightings
from calib.changes.free_check import typical_px
from calib.changes.free_points import FreeTake
from calib.changes.free_search import held_out_chance
from calib.changes.lags import shift_times
from calib.changes.outcome import Change, Check, given_zero
from calib.changes.search import Trust
from calib.changes.steps import residual_drift
from calib.check import of_views
from calib.errors import CalibrationError
from calib.observations import Observations
from calib.rig import Rig

_LEAST_MOMENTS = 3
_HELD_OUT = 12  # blocks of moments, every second of which a fit leaves out
_BETTER = 2.0  # standard errors by which moments left out have to fit better
_BY_ACCIDENT = 0.05  # the same for free points, as a probability


@dataclass(frozen=True, eq=False)
class Repair:
    """The rig from a moment of the take on, and its accuracy.

    rig: all cameras of the given one, those of `cameras` moved; since: first moment at which it holds, before that the
    old one does. zoom (k,): new focal length over old. covariance (k, 6, 6) of each moved camera: a small rotation
    (rad) and shift (m) in its own frame, from the errors of the change and of the old pose. in_volume_sigma_m (k,): the
    same at the positions of the target. before_px, after_px (k,): RMS residuals along each axis since then.
    """

    rig: Rig
    cameras: tuple[str, ...]
    since: int
    zoom: Floats
    covariance: Floats
    in_volume_sigma_m: Floats
    before_px: Floats
    after_px: Floats

    @property
    def rotation_sigma_deg(self) -> Floats:
        """Standard deviation (k,) of the angle."""
        return np.asarray(np.rad2deg(np.sqrt(self.covariance[:, [0, 1, 2], [0, 1, 2]].sum(-1))))

    @property
    def position_sigma_m(self) -> Floats:
        """Standard deviation (k,) of the error of the camera's position, m."""
        return np.asarray(np.sqrt(self.covariance[:, [3, 4, 5], [3, 4, 5]].sum(-1)))

    def summary(self) -> str:
        """One line: which cameras were moved, since when, how accurately."""
        figures = zip(self.cameras, self.before_px, self.after_px, self.in_volume_sigma_m, strict=True)
        parts = [
            f"{name}: residual {before:.2f} -> {after:.2f} px, known to {1000 * sigma:.2g} mm in the volume"
            for name, before, after, sigma in figures
        ]
        return f"repaired from moment {self.since} on; " + "; ".join(parts)


def repair(
    rig: Rig, observations: Observations, found: Check, *, trust: Trust | None = None, alike: ArrayLike | None = None
) -> Repair:
    """Move the cameras that `check` found moved, by the same take before and after the change; see `Repair`.

    The other cameras, and all lenses that did not zoom, have the errors of `trust` and stay in the rig as they are.
    alike: as in `check`. Raises CalibrationError where nothing moved, where the moved camera is ambiguous, where too
    little is seen afterwards, or where the repaired rig does not fit better at moments that its fit left out.
    """
    changes = [change for change in found.changes if not change.rivals]
    if not changes:
        raise CalibrationError(f"there is nothing to repair: {found.reason}; {found.next_action}")
    mine, moments = of_views(rig, observations), len(observations.moments)
    late_of = {one.camera: one.late_s for one in found.late}
    observations = shift_times(observations, np.array([late_of.get(name, 0.0) for name in mine.names]))
    if observations.target.free:
        return _repair_free(rig, mine, observations, changes, trust or Trust(), alike)
    events = tuple(Event(mine.names.index(c.camera), c.since, c.until, c.motion, c.earliest, c.latest) for c in changes)
    take = ChangeTake(mine, sightings(*rigs_over_time(mine, events, moments), observations))
    names = tuple(name for name in mine.names if name in found.moved)
    views = [mine.names.index(name) for name in names]
    since = min(max(change.until if change.kind == "drifted" else change.latest for change in changes), moments - 1)
    after = ChangeTake(mine, take.all.at(np.arange(since, moments)))
    if after.all.shared[views].min() < _LEAST_MOMENTS:
        raise CalibrationError(
            f"{', '.join(names)} and the other cameras see too little of the {observations.target.name} together after "
            "the change; film it again and check that take"
        )
    if not _held_out_gain(take, events, changes, trust or Trust(), since) > _BETTER:
        raise CalibrationError(_no_better(names))
    events, covariance = _fit_changes(take, events, changes, trust or Trust())
    cameras, motions = list(rig.cameras), np.zeros((len(names), CHANGE))
    own = np.append(1 / (trust or Trust()).precision(np.zeros(1))[: CHANGE - 1], 0.0)
    pose_covariance = np.repeat(np.diag(own)[None], len(names), 0)
    for event, spread in zip(events, covariance, strict=True):
        row = views.index(event.camera)
        motions[row] += event.motion
        pose_covariance[row] += spread
    for name, motion in zip(names, motions, strict=True):
        cameras[rig.names.index(name)] = apply_change(rig[name], motion)
    final = [Event(view, 0, 0, motion, 0, 0) for view, motion in zip(views, motions, strict=True)]
    evidence = after.evidence(final, blocks=1)
    spreads = evidence.spread[views]
    return Repair(
        replace(rig, cameras=tuple(cameras)),
        names,
        since,
        np.exp(motions[:, 6]),
        pose_covariance[:, :6, :6],
        np.sqrt(np.maximum(np.einsum("kij,kji->k", pose_covariance, spreads), 0)),
        after.evidence((), blocks=1).rms_px[views],
        evidence.rms_px[views],
    )


def _no_better(names: Sequence[str]) -> str:
    return (
        f"with {', '.join(names)} moved, the rig fits no better at moments that were not used to move it, so it is "
        "not repaired; film a longer take that all cameras see, or calibrate again"
    )


def _among(event: Event, used: NDArray[np.intp]) -> Event:
    """The event in a take of some moments only."""
    since, until, first, last = np.searchsorted(used, [event.since, event.until, event.earliest, event.latest]).tolist()
    return Event(event.camera, since, until, event.motion, first, last)


def _held_out_gain(
    take: ChangeTake, events: tuple[Event, ...], changes: list[Change], trust: Trust, since: int
) -> float:
    """Mean cost that the changes take away from blocks of moments that their fit left out, in standard errors."""
    moments = len(take.all.observations.moments)
    at = np.arange(moments)
    block = np.where(at < since, -1, (at - since) * _HELD_OUT // max(moments - since, 1))
    gain = []
    for fold in (0, 1):
        used = np.flatnonzero((block < 0) | (block % 2 != fold))
        thin = tuple(_among(event, used) for event in events)
        fitted, _ = _fit_changes(ChangeTake(take.rig, take.all.at(used)), thin, changes, trust)
        cameras = list(take.rig.cameras)
        for event in fitted:
            cameras[event.camera] = apply_change(cameras[event.camera], event.motion)
        for one in range(fold, _HELD_OUT, 2):
            rest = np.flatnonzero(block == one)
            if len(rest):
                seen = take.all.at(rest)
                cost = [moment_costs(rig, seen, 0, len(rest)).sum() for rig in (take.rig, Rig(tuple(cameras)))]
                gain.append(cost[0] - cost[1])
    gains = np.array(gain)
    if len(gains) < 2:
        return 0.0
    return float(gains.mean() / max(gains.std(ddof=1) / np.sqrt(len(gains)), 1e-12))


def _repair_free(
    rig: Rig, mine: Rig, observations: Observations, changes: list[Change], trust: Trust, alike: ArrayLike | None
) -> Repair:
    """The repair by free points; the whole take is fitted, as in the search for the changes."""
    group = np.arange(len(observations.target)) if alike is None else np.unique(alike, return_inverse=True)[1]
    take = FreeTake(mine, observations, group, trust.precision(np.zeros(len(mine))))
    base = take.refine((), ())
    since = [int(np.searchsorted(take.index, change.since)) for change in changes]
    events = [
        Event(mine.names.index(change.camera), at, at, change.motion, at, at)
        for change, at in zip(changes, since, strict=True)
    ]
    fitted = take.refine(events, [_model_of(change) for change in changes], base.soft.seen.start)
    names = tuple(name for name in mine.names if name in {change.camera for change in changes})
    if held_out_chance(take, base, fitted) > _BY_ACCIDENT:
        raise CalibrationError(_no_better(names))
    covariance = take.clustered(fitted).covariance
    own = np.append(1 / trust.precision(np.zeros(1))[: CHANGE - 1], 0.0)
    cameras, zooms, spreads = list(rig.cameras), [], []
    for name in names:
        rows = [row for row, event in enumerate(fitted.events) if mine.names[event.camera] == name]
        motion = np.sum([fitted.events[row].motion for row in rows], axis=0)
        cameras[rig.names.index(name)] = apply_change(rig[name], motion)
        zooms.append(np.exp(motion[6]))
        spreads.append(np.diag(own) + covariance[rows].sum(0))
    views, spread = [mine.names.index(name) for name in names], np.array(spreads)
    volume = np.maximum(np.einsum("kij,kji->k", spread, fitted.cells.spread[views]), 0)
    before, after = (typical_px(take, soft, max(since))[views] for soft in (base.soft, fitted.soft))
    first = max(change.latest for change in changes)
    return Repair(
        replace(rig, cameras=tuple(cameras)), names, first, np.array(zooms), spread[:, :6, :6], np.sqrt(volume), before,
        after,
    )  # fmt: skip


def _model_of(change: Change) -> str:
    if change.kind == "zoomed":
        return "zoomed"
    if change.rotation_deg == 0:
        return "shifted"
    return "turned" if change.moved_m == 0 else "moved"


def _fit_changes(
    take: ChangeTake, events: tuple[Event, ...], changes: list[Change], trust: Trust
) -> tuple[tuple[Event, ...], Floats]:
    """The changes fitted to the whole take with the rest of the rig as good as trusted; covariances (E, 7, 7)."""
    prior = trust.precision(np.zeros(len(take.rig)))
    events, found, fit = take.refined(events, prior)
    spreads = residual_drift(found, fit)[0]
    excess = max(1.0, float(np.median(spreads)), *(float(spreads[event.camera]) for event in events))
    fit = take.fit(found, events, prior, excess)
    motions, covariances = [], []
    for row, (event, change) in enumerate(zip(events, changes, strict=True)):
        motion, spread = event.motion, fit.spread(row)
        if change.kind != "zoomed" and change.zoom == 1:
            motion, spread = given_zero(motion, spread, np.arange(CHANGE) < CHANGE - 1)
        elif change.kind == "zoomed":
            motion, spread = given_zero(motion, spread, np.arange(CHANGE) == CHANGE - 1)
        motions.append(replace(event, motion=motion))
        covariances.append(spread)
    return tuple(motions), np.array(covariances)
