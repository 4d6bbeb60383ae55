"""Updates the poses of a rig's moved cameras from a take; the other cameras stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Floats
from calib.changes.events import ChangeTake, Event, apply_change, rigs_over_time
from calib.changes.evidence import CHANGE, sightings
from calib.changes.search import Trust
from calib.changes.steps import residual_drift
from calib.check import Change, Check, given_zero, of_views
from calib.errors import CalibrationError
from calib.observations import Observations
from calib.rig import Rig

_LEAST_MOMENTS = 3


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


def repair(rig: Rig, observations: Observations, found: Check, *, trust: Trust | None = None) -> Repair:
    """Move the cameras that `check` found moved, by the same take before and after the change; see `Repair`.

    The other cameras, and all lenses that did not zoom, have the errors of `trust` and stay in the rig as they are.
    Raises CalibrationError where nothing moved, where the moved camera is ambiguous, or too little is seen afterwards.
    """
    changes = [change for change in found.changes if not change.rivals]
    if not changes:
        raise CalibrationError(f"there is nothing to repair: {found.reason}; {found.next_action}")
    mine, moments = of_views(rig, observations), len(observations.moments)
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
