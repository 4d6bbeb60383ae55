"""Checks whether an old rig still holds: which camera moved, by how much and since when, or why that is undecided.

There is no threshold in pixels: residuals are compared with their own drift in time, and with the errors expected of an
untouched calibration. A change is reported where noise alone would produce it less often than `false_alarms`, and where
it matters in the volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from calib.arrays import Floats
from calib.changes.events import Event, apply_change, in_volume
from calib.changes.evidence import CHANGE, columns
from calib.changes.free_check import check_free
from calib.changes.lags import estimate_lags, shift_times
from calib.changes.outcome import (
    SYNCHRONISE,
    CameraCheck,
    Change,
    Check,
    CheckVerdict,
    Kind,
    LateView,
    Status,
    along_vector,
    given_zero,
    late_views,
)
from calib.changes.search import Search, Trust, search
from calib.errors import CalibrationError
from calib.observations import Observations
from calib.rig import Rig

FALSE_ALARMS = 1e-3  # share of untouched takes with an alarm
MATTERS_M = 0.002
_FEW = 8  # moments; with fewer, the drift of the noise cannot be estimated
_BLIND_M = 0.02  # a camera whose smallest detectable change is larger counts as not checked


def check(
    rig: Rig,
    observations: Observations,
    *,
    trust: Trust | None = None,
    matters_m: float = MATTERS_M,
    false_alarms: float = FALSE_ALARMS,
    alike: ArrayLike | None = None,
) -> Check:
    """Compare a rig with a take of a board, a wand or free points, whose moments are in the order of time.

    Views with a significant time offset are synchronised first, and named. trust: expected errors of the rig when it
    was new. matters_m: a smaller displacement of what a camera sees at the positions of the target is no alarm. alike
    (N,): free points with the same number have errors in common, as one joint of several people; by default each has
    its own. Raises CalibrationError where the rig lacks a camera of the take, or there is one view.
    """
    mine = of_views(rig, observations)
    if not _has_shared_points(observations):
        return _without_shared(mine, observations)
    lags = estimate_lags(mine, observations)
    late = late_views(mine.names, lags)
    observations = shift_times(observations, lags.sure)
    trust = trust or Trust()
    if observations.target.free:
        group = np.arange(len(observations.target)) if alike is None else np.unique(alike, return_inverse=True)[1]
        return check_free(mine, observations, group, trust, matters_m, false_alarms, late)
    found = search(mine, observations, trust, false_alarms)
    changes = [_change(found, row, false_alarms) for row in range(len(found.events))]
    floor = {name: float(np.hypot(matters_m, least)) for name, least in zip(mine.names, _bias_m(found), strict=True)}
    big = tuple(sorted((c for c in changes if c.in_volume_m > floor[c.camera]), key=lambda c: c.since))
    small = tuple(c for c in changes if c.in_volume_m <= floor[c.camera])
    cameras = _cameras(found, big, false_alarms, late)
    return Check(cameras, big, small, found.off, *_verdict(found, cameras, big, late), late)


def of_views(rig: Rig, observations: Observations) -> Rig:
    """The cameras of the views, in their order; CalibrationError where there are too few or one is lacking."""
    if lost := [view for view in observations.views if view not in rig]:
        raise CalibrationError(
            f"no camera for view {', '.join(lost)}; the rig has {', '.join(rig.names)}; give the views their names"
        )
    if len(observations.views) < 2:
        raise CalibrationError("one view alone does not show whether its camera moved; give two or more")
    return rig.select(observations.views)


def _has_shared_points(observations: Observations) -> bool:
    return bool((observations.seen.sum(0) >= 2).sum() >= 4)


def _without_shared(rig: Rig, observations: Observations) -> Check:
    nan = float("nan")
    cameras = tuple(CameraCheck(name, "not seen enough", 0, nan, nan, nan, nan) for name in rig.names)
    reason = f"no two cameras see the {observations.target.name} at the same moment"
    return Check(cameras, (), (), 1.0, "cannot tell", reason, "film the target where two or more cameras see it")


def _bias_m(found: Search) -> Floats:
    """Constant error (C,) m at the positions of the target that is possible without any camera having moved."""
    return np.asarray(found.bias_rad * np.sqrt(found.found.spread[:, 0, 0]))


def _change(found: Search, row: int, false_alarms: float) -> Change:
    event = found.events[row]
    rig, seen = found.take.rig, found.take.all.observations
    motion, spread, kind = _simplest(event, found.fit.spread(row), found.found.spread[event.camera], false_alarms)
    before, after = rig[event.camera], apply_change(rig[event.camera], motion)
    turn = motion[:3]
    shift = after.position - before.position
    # The rotation is about the camera and leaves its position.
    by_shift = np.concatenate([np.zeros((3, 3)), -after.cam_from_world[:3, :3].T], 1)
    times = seen.time_s[:, event.since]
    times = times[np.isfinite(times)]
    zoom = float(np.exp(motion[6]))
    return Change(
        camera=rig.names[event.camera],
        kind=kind,
        since=event.since,
        until=event.until,
        earliest=event.earliest,
        latest=event.latest,
        moment=seen.moments[event.since],
        time_s=float(np.median(times)) if len(times) else float("nan"),
        rotation_deg=float(np.rad2deg(np.linalg.norm(turn))),
        rotation_sigma_deg=float(np.rad2deg(along_vector(turn, spread[:3, :3]))),
        moved_m=float(np.linalg.norm(shift)),
        moved_sigma_m=along_vector(shift, by_shift @ spread[:6, :6] @ by_shift.T),
        zoom=zoom,
        zoom_sigma=zoom * float(np.sqrt(max(spread[6, 6], 0))),
        in_volume_m=in_volume(motion, found.found.spread[event.camera]),
        rivals=tuple(rig.names[camera] for camera in found.rivals[row]),
        chance=found.chances[row],
        motion=motion,
    )


def _simplest(event: Event, spread: Floats, volume: Floats, false_alarms: float) -> tuple[Floats, Floats, Kind]:
    """The change without a zoom, or with nothing but a zoom, where that explains as much; its covariance (7, 7)."""
    from scipy.special import chdtrc

    motion = event.motion
    zoom = (
        chdtrc(1, motion[6] ** 2 / spread[6, 6]) < false_alarms and abs(motion[6]) * np.sqrt(volume[6, 6]) > MATTERS_M
    )
    if not zoom:
        return *given_zero(motion, spread, np.arange(CHANGE) < 6), "drifted" if event.until > event.since else "moved"
    pose = chdtrc(6, float(motion[:6] @ np.linalg.solve(spread[:6, :6], motion[:6]))) < false_alarms
    if pose:
        return motion, spread, "drifted" if event.until > event.since else "moved"
    return *given_zero(motion, spread, np.arange(CHANGE) == 6), "zoomed"


def _cameras(
    found: Search, changes: Sequence[Change], false_alarms: float, late: Sequence[LateView]
) -> tuple[CameraCheck, ...]:
    take = found.take
    before = take.evidence((), blocks=1).rms_px
    after = found.found.rms_px
    shared, detectable = take.all.shared, _detectable(found, false_alarms)
    out = []
    for view, name in enumerate(take.rig.names):
        mine = [change.kind for change in changes if change.camera == name and not change.rivals]
        ambiguous = view in found.undecided or any(name in (c.camera, *c.rivals) for c in changes if c.rivals)
        status: Status = "still"
        if mine:
            status = mine[-1]
        elif ambiguous:
            status = "unclear"
        elif shared[view] < _FEW or not detectable[view] < _BLIND_M:
            status = "not seen enough"
        elif name in {one.camera for one in late}:
            status = "late"
        numbers = (take.all.sigma_px[view], before[view], after[view], detectable[view])
        out.append(CameraCheck(name, status, int(shared[view]), *map(float, numbers)))
    return tuple(out)


def _detectable(found: Search, false_alarms: float) -> Floats:
    """The smallest rotation (C,) in the middle of the take that would be detected, m at the target's positions."""
    from scipy.special import fdtri

    evidence, D = found.found, found.found.score.shape[1]
    cov = found.wide.covariance
    free = cov[:D, :D] - cov[:D, D:] @ np.linalg.solve(cov[D:, D:], cov[D:, :D])  # the changes found being known
    blocks = len(evidence.score)
    out = np.full(len(found.take.rig), np.nan)
    for view in range(len(out)):
        mine = columns(view, 2)
        H = evidence.information
        sum_ = np.cumsum(H[:, mine, mine], axis=0)
        if not sum_[-1].any() or blocks < 2:
            continue
        half = int(np.argmin(abs(sum_.trace(axis1=1, axis2=2) - sum_[-1].trace() / 2))) + 1
        own, cross = H[half:, mine, mine].sum(0), H[half:, mine].sum(0)
        least = float(np.linalg.eigvalsh(own - cross @ free @ cross.T)[0])
        tried = false_alarms / (blocks * len(out))
        need = CHANGE * fdtri(CHANGE, max(found.freedom[view], 1.0), 1 - tried) * found.excess[view]
        if least > 0:
            out[view] = np.sqrt(need / least * evidence.spread[view, 0, 0])
    return out


def _verdict(
    found: Search, cameras: Sequence[CameraCheck], changes: Sequence[Change], late: Sequence[LateView]
) -> tuple[CheckVerdict, str, str]:
    """Verdict, reason and next action."""
    sure = [change for change in changes if not change.rivals]
    ambiguous = [change for change in changes if change.rivals]
    blind = [camera.name for camera in cameras if camera.status == "not seen enough"]
    if sure:
        return "moved", "; ".join(map(str, (*sure, *ambiguous, *late))), _repair_action(sure, ambiguous)
    if ambiguous:
        names = " and ".join((ambiguous[0].camera, *ambiguous[0].rivals))
        why = "two cameras alone do not show" if len(cameras) == 2 else "the take does not show"
        return (
            "cannot tell",
            f"{ambiguous[0]}; {why} which of them it was",
            f"inspect {names}, and calibrate them again",
        )
    errors_m = _errors_m(found)
    if found.undecided and errors_m > MATTERS_M:
        names = " and ".join(cameras[camera].name for camera in found.undecided)
        reason = f"{names} disagree by {1000 * errors_m:.1f} mm; two cameras alone do not show which of them moved"
        return "cannot tell", reason, "calibrate them again, or film with a third camera"
    if found.off > 1 and errors_m > MATTERS_M:
        reason = f"the cameras disagree by about {1000 * errors_m:.1f} mm, and no few of them explain it"
        return "wrong", reason, "check that this is the rig's own file; else calibrate again"
    if len(blind) == len(cameras):
        return "cannot tell", "the take is too short, or cameras share the target too rarely", "film the target longer"
    worst = max(camera.detectable_m for camera in cameras if camera.name not in blind)
    reason = f"no camera moved; rotations of {1000 * worst:.2g} mm in the volume or more would have been detected"
    if blind:
        return (
            "unmoved",
            f"{reason}, but {', '.join(blind)} saw too little",
            f"film the target in view of {', '.join(blind)}",
        )
    if late:
        return "unmoved", "; ".join((reason, *map(str, late))), SYNCHRONISE
    return "unmoved", reason, "go on"


def _repair_action(sure: Sequence[Change], ambiguous: Sequence[Change]) -> str:
    names = ", ".join(dict.fromkeys(change.camera for change in sure))
    if ambiguous or any(change.kind == "drifted" for change in sure):
        return f"fasten {names}, and calibrate again"
    return f"repair the rig from there on (only {names}), and fasten {names}"


def _errors_m(found: Search) -> float:
    """The largest constant error of a camera, m at the positions of the target."""
    errors = found.fit.errors.reshape(len(found.take.rig), -1)[:, :CHANGE]
    return max(in_volume(error, spread) for error, spread in zip(errors, found.found.spread, strict=True))
