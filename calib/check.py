"""Checks whether an old rig still holds: which camera moved, by how much and since when, or why that is undecided.

There is no threshold in pixels: residuals are compared with their own drift in time, and with the errors expected of an
untouched calibration. A change is reported where noise alone would produce it less often than `false_alarms`, and where
it matters in the volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from calib.arrays import Bools, Floats
from calib.changes.events import Event, apply_change, in_volume
from calib.changes.evidence import CHANGE, columns
from calib.changes.search import Search, Trust, search
from calib.errors import CalibrationError
from calib.observations import Observations
from calib.rig import Rig

FALSE_ALARMS = 1e-3  # share of untouched takes with an alarm
MATTERS_M = 0.002
_FEW = 8  # moments; with fewer, the drift of the noise cannot be estimated
_BLIND_M = 0.02  # a camera whose smallest detectable change is larger counts as not checked

Kind: TypeAlias = Literal["moved", "drifted", "zoomed"]
Status: TypeAlias = Literal["still", "moved", "drifted", "zoomed", "unclear", "not seen enough"]
CheckVerdict: TypeAlias = Literal["unmoved", "moved", "wrong", "cannot tell"]

ASSUMES = (
    "all cameras turned and shifted together, as on one beam, look the same as before: that is not detected",
    "fewer than half of the cameras moved at once: the others are assumed to stand where they stood",
    "the views are synchronised: a time offset looks like noise that depends on the motion",
)


@dataclass(frozen=True, eq=False)
class Change:
    """A camera whose pose or zoom is different since a moment.

    since: index of the first moment after the change began, 0 where it was before the take; until: first moment at
    which it is complete, later than since for a slow drift; earliest, latest: 95 % interval of its beginning; moment,
    time_s: name and time of `since`, NaN without timestamps. rotation_deg, moved_m (of its position) and zoom (new
    focal length over old), each with one standard deviation; in_volume_m: RMS displacement of what the camera sees at
    the positions of the target. rivals: cameras whose change would explain the take as well. chance: probability that
    noise alone produces as much. motion (7,): rotation (rad) and shift (m) in the camera's frame, log of the zoom.
    """

    camera: str
    kind: Kind
    since: int
    until: int
    earliest: int
    latest: int
    moment: str
    time_s: float
    rotation_deg: float
    rotation_sigma_deg: float
    moved_m: float
    moved_sigma_m: float
    zoom: float
    zoom_sigma: float
    in_volume_m: float
    rivals: tuple[str, ...]
    chance: float
    motion: Floats

    def __str__(self) -> str:
        """In words: which camera, how far, since when."""
        who = " or ".join((self.camera, *self.rivals))
        parts = []
        if self.kind != "zoomed":
            turned = f"turned by {self.rotation_deg:.2f} (± {self.rotation_sigma_deg:.2g}) degrees"
            parts.append(f"{turned} and moved by {1000 * self.moved_m:.1f} (± {1000 * self.moved_sigma_m:.2g}) mm")
        if self.zoom != 1:
            parts.append(f"zoomed by {100 * (self.zoom - 1):+.2f} (± {100 * self.zoom_sigma:.2g}) %")
        when = "since before the take" if self.since == 0 else f"since {self.moment}"
        if self.latest - self.earliest > 1:
            when += f" (moment {self.since}, between {self.earliest} and {self.latest})"
        how = "drifted: " if self.kind == "drifted" else ""
        return f"{who} {how}{' and '.join(parts)} {when}, {1000 * self.in_volume_m:.1f} mm in the volume"


@dataclass(frozen=True)
class CameraCheck:
    """The result for one camera: RMS residuals px along each axis with the rig as given and with the changes found.

    shared: moments at which it saw points that another camera saw too; noise_px: measured noise of its observations;
    detectable_m: the smallest rotation in the middle of the take that would have been detected, as a displacement at
    the positions of the target.
    """

    name: str
    status: Status
    shared: int
    noise_px: float
    before_px: float
    after_px: float
    detectable_m: float


@dataclass(frozen=True, eq=False)
class Check:
    """A rig compared with a take.

    changes: those that matter, in the order of time; small: found, but too small to matter. off: factor on the trusted
    standard deviations that the whole rig needs, moved cameras aside; 1 where it is as good as trusted.
    """

    cameras: tuple[CameraCheck, ...]
    changes: tuple[Change, ...]
    small: tuple[Change, ...]
    off: float
    verdict: CheckVerdict
    reason: str
    next_action: str
    assumes: tuple[str, ...] = ASSUMES

    @property
    def moved(self) -> tuple[str, ...]:
        """Names of the cameras whose change is unambiguous."""
        return tuple(dict.fromkeys(change.camera for change in self.changes if not change.rivals))

    def summary(self) -> str:
        """One line: verdict, reason, and what to do."""
        return f"{self.verdict}: {self.reason}; next: {self.next_action}"


def check(
    rig: Rig,
    observations: Observations,
    *,
    trust: Trust | None = None,
    matters_m: float = MATTERS_M,
    false_alarms: float = FALSE_ALARMS,
) -> Check:
    """Compare a rig with a take of a board, a wand or free points, whose moments are in the order of time.

    trust: expected errors of the rig when it was new. matters_m: a smaller displacement of what a camera sees at the
    positions of the target is no alarm. Raises CalibrationError where the rig lacks a camera of the take, or there is
    one view.
    """
    mine = of_views(rig, observations)
    if not _has_shared_points(observations):
        return _without_shared(mine, observations)
    found = search(mine, observations, trust or Trust(), false_alarms)
    changes = [_change(found, row, false_alarms) for row in range(len(found.events))]
    floor = {name: float(np.hypot(matters_m, least)) for name, least in zip(mine.names, _bias_m(found), strict=True)}
    big = tuple(sorted((c for c in changes if c.in_volume_m > floor[c.camera]), key=lambda c: c.since))
    small = tuple(c for c in changes if c.in_volume_m <= floor[c.camera])
    cameras = _cameras(found, big, false_alarms)
    return Check(cameras, big, small, found.off, *_verdict(found, cameras, big))


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
        rotation_sigma_deg=float(np.rad2deg(_along(turn, spread[:3, :3]))),
        moved_m=float(np.linalg.norm(shift)),
        moved_sigma_m=_along(shift, by_shift @ spread[:6, :6] @ by_shift.T),
        zoom=zoom,
        zoom_sigma=zoom * float(np.sqrt(max(spread[6, 6], 0))),
        in_volume_m=in_volume(motion, found.found.spread[event.camera]),
        rivals=tuple(rig.names[camera] for camera in found.rivals[row]),
        chance=found.chances[row],
        motion=motion,
    )


def _along(vector: Floats, covariance: Floats) -> float:
    """Standard deviation along a vector; along the worst direction where it is zero."""
    size = float(np.linalg.norm(vector))
    if size == 0:
        return float(np.sqrt(max(np.linalg.eigvalsh(covariance)[-1], 0)))
    return float(np.sqrt(np.maximum(vector @ covariance @ vector, 0))) / size


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


def given_zero(motion: Floats, spread: Floats, kept: Bools) -> tuple[Floats, Floats]:
    """A normal motion (7,) and its covariance (7, 7) where the numbers that are not kept are known to be zero."""
    gone = ~kept
    pull = spread[np.ix_(kept, gone)] @ np.linalg.inv(spread[np.ix_(gone, gone)])
    out, covariance = np.zeros(CHANGE), np.zeros((CHANGE, CHANGE))
    out[kept] = motion[kept] - pull @ motion[gone]
    covariance[np.ix_(kept, kept)] = spread[np.ix_(kept, kept)] - pull @ spread[np.ix_(gone, kept)]
    return out, covariance


def _cameras(found: Search, changes: Sequence[Change], false_alarms: float) -> tuple[CameraCheck, ...]:
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


def _verdict(found: Search, cameras: Sequence[CameraCheck], changes: Sequence[Change]) -> tuple[CheckVerdict, str, str]:
    """Verdict, reason and next action."""
    sure = [change for change in changes if not change.rivals]
    ambiguous = [change for change in changes if change.rivals]
    blind = [camera.name for camera in cameras if camera.status == "not seen enough"]
    if sure:
        return "moved", "; ".join(map(str, (*sure, *ambiguous))), _repair_action(sure, ambiguous)
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
