"""Is an old rig still true? Which camera was bumped, by how much, since when; or that this cannot be told, and why.

There is no limit in pixels: residuals are compared with how they wander by themselves, and with how far off a
calibration may be that nobody has touched. A change is reported where noise would make one up less often than
`false_alarms` says, and where it matters in the volume.
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

FALSE_ALARMS = 1e-3  # of untouched takes
MATTERS_M = 0.002
_FEW = 8  # moments, from which no wandering of the noise can be told
_BLIND_M = 0.02  # a camera of which no smaller change would be seen is as good as not checked

Kind: TypeAlias = Literal["moved", "drifted", "zoomed"]
Status: TypeAlias = Literal["still", "moved", "drifted", "zoomed", "unclear", "not seen enough"]
CheckVerdict: TypeAlias = Literal["unmoved", "moved", "wrong", "cannot tell"]

ASSUMES = (
    "all cameras turned and shifted together, as on one beam, look the same as before and are not seen",
    "fewer than half of the cameras moved at once: the others are taken to stand where they stood",
    "the views are in step: a view that lags looks like noise that follows the motion",
)


@dataclass(frozen=True, eq=False)
class Change:
    """A camera that stands, or is zoomed, otherwise since a moment.

    since: index of the first moment at which it does, 0 where it did before the take; until: from which on it stands
    still again, later than since for a slow drift; earliest, latest: between them it began, at 95 %; moment, time_s:
    name and time of `since`, NaN where there is no clock. rotation_deg, moved_m (of where it stands) and zoom (new
    focal length over old), each with one standard deviation; in_volume_m: how far off that puts what the camera sees,
    at the places of the target, RMS. rivals: cameras whose change would explain the take as well. chance: of noise
    making up as much. motion (7,): turn (rad) and shift (m) in the camera's frame, log of the zoom.
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
        """In words: who, how far, since when."""
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
    """What is found of one camera: RMS residuals px along each axis with the rig as given and with the changes found.

    shared: moments at which it saw what another camera saw too; detectable_m: the smallest turn in the middle of the
    take that would have been found, as it shows at the places of the target.
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

    changes: those that matter, in the order of time; small: found, but too small to matter. off: how many times
    further off than trusted the whole rig is, moved cameras aside; 1 where it is as good as trusted.
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
        """Names of the cameras that have changed for sure."""
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

    trust: how good the rig was when it was new. matters_m: a smaller change, in what a camera sees at the places of
    the target, is no alarm. Raises CalibrationError where the rig lacks a camera of the take, or there is one view.
    """
    mine = of_views(rig, observations)
    if not _shared(observations):
        return _nothing(mine, observations)
    found = search(mine, observations, trust or Trust(), false_alarms)
    changes = [_change(found, row, false_alarms) for row in range(len(found.events))]
    floor = {name: float(np.hypot(matters_m, least)) for name, least in zip(mine.names, _bias_m(found), strict=True)}
    big = tuple(sorted((c for c in changes if c.in_volume_m > floor[c.camera]), key=lambda c: c.since))
    small = tuple(c for c in changes if c.in_volume_m <= floor[c.camera])
    cameras = _cameras(found, big, false_alarms)
    return Check(cameras, big, small, found.off, *_words(found, cameras, big))


def of_views(rig: Rig, observations: Observations) -> Rig:
    """The cameras of the views, in their order; CalibrationError where there are too few or one is lacking."""
    if lost := [view for view in observations.views if view not in rig]:
        raise CalibrationError(
            f"no camera for view {', '.join(lost)}; the rig has {', '.join(rig.names)}; give the views their names"
        )
    if len(observations.views) < 2:
        raise CalibrationError("one view alone cannot tell whether its camera moved; give two or more")
    return rig.select(observations.views)


def _shared(observations: Observations) -> bool:
    return bool((observations.seen.sum(0) >= 2).sum() >= 4)


def _nothing(rig: Rig, observations: Observations) -> Check:
    nan = float("nan")
    cameras = tuple(CameraCheck(name, "not seen enough", 0, nan, nan, nan, nan) for name in rig.names)
    reason = f"no two cameras see the {observations.target.name} at the same moment"
    return Check(cameras, (), (), 1.0, "cannot tell", reason, "film the target where two or more cameras see it")


def _bias_m(found: Search) -> Floats:
    """What may be the same for long without any camera having moved, (C,) m at the places of the target."""
    return np.asarray(found.bias_rad * np.sqrt(found.found.spread[:, 0, 0]))


def _change(found: Search, row: int, false_alarms: float) -> Change:
    event = found.events[row]
    rig, seen = found.take.rig, found.take.all.observations
    motion, spread, kind = _simplest(event, found.fit.spread(row), found.found.spread[event.camera], false_alarms)
    before, after = rig[event.camera], apply_change(rig[event.camera], motion)
    turn = motion[:3]
    shift = after.position - before.position
    by_shift = np.concatenate([np.zeros((3, 3)), -after.cam_from_world[:3, :3].T], 1)  # the turn is about the camera
    clock = seen.time_s[:, event.since]
    clock = clock[np.isfinite(clock)]
    zoom = float(np.exp(motion[6]))
    return Change(
        camera=rig.names[event.camera],
        kind=kind,
        since=event.since,
        until=event.until,
        earliest=event.earliest,
        latest=event.latest,
        moment=seen.moments[event.since],
        time_s=float(np.median(clock)) if len(clock) else float("nan"),
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


def _simplest(event: Event, spread: Floats, worth: Floats, false_alarms: float) -> tuple[Floats, Floats, Kind]:
    """The change without a zoom, or with nothing but a zoom, where that says as much; its covariance (7, 7)."""
    from scipy.special import chdtrc

    motion = event.motion
    zoom = chdtrc(1, motion[6] ** 2 / spread[6, 6]) < false_alarms and abs(motion[6]) * np.sqrt(worth[6, 6]) > MATTERS_M
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
        open_ = view in found.undecided or any(name in (c.camera, *c.rivals) for c in changes if c.rivals)
        status: Status = "still"
        if mine:
            status = mine[-1]
        elif open_:
            status = "unclear"
        elif shared[view] < _FEW or not detectable[view] < _BLIND_M:
            status = "not seen enough"
        numbers = (take.all.sigma_px[view], before[view], after[view], detectable[view])
        out.append(CameraCheck(name, status, int(shared[view]), *map(float, numbers)))
    return tuple(out)


def _detectable(found: Search, false_alarms: float) -> Floats:
    """The smallest turn (C,), m at the places of the target, in the middle of the take that would be found."""
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


def _words(found: Search, cameras: Sequence[CameraCheck], changes: Sequence[Change]) -> tuple[CheckVerdict, str, str]:
    """Verdict, reason and next action."""
    sure = [change for change in changes if not change.rivals]
    open_ = [change for change in changes if change.rivals]
    blind = [camera.name for camera in cameras if camera.status == "not seen enough"]
    if sure:
        return "moved", "; ".join(map(str, (*sure, *open_))), _repairing(sure, open_)
    if open_:
        names = " and ".join((open_[0].camera, *open_[0].rivals))
        why = "two cameras alone cannot tell" if len(cameras) == 2 else "the take cannot tell"
        return "cannot tell", f"{open_[0]}; {why} which of them it was", f"look at {names}, and calibrate them again"
    errors_m = _errors_m(found)
    if found.undecided and errors_m > MATTERS_M:
        names = " and ".join(cameras[camera].name for camera in found.undecided)
        reason = f"{names} do not agree, by {1000 * errors_m:.1f} mm; two cameras alone cannot tell which of them moved"
        return "cannot tell", reason, "calibrate them again, or film with a third camera"
    if found.off > 1 and errors_m > MATTERS_M:
        reason = f"the cameras do not agree with each other, by about {1000 * errors_m:.1f} mm, and no few are to blame"
        return "wrong", reason, "look whether it is this rig's file; else calibrate again"
    if len(blind) == len(cameras):
        return "cannot tell", "the take is too short or the target too seldom shared", "film the target for longer"
    worst = max(camera.detectable_m for camera in cameras if camera.name not in blind)
    reason = f"no camera moved; turns from {1000 * worst:.2g} mm in the volume on would have been found"
    if blind:
        return (
            "unmoved",
            f"{reason}, but {', '.join(blind)} saw too little",
            f"film the target before {', '.join(blind)}",
        )
    return "unmoved", reason, "go on"


def _repairing(sure: Sequence[Change], open_: Sequence[Change]) -> str:
    names = ", ".join(dict.fromkeys(change.camera for change in sure))
    if open_ or any(change.kind == "drifted" for change in sure):
        return f"fasten {names}, and calibrate again"
    return f"repair the rig from there on (only {names}), and fasten {names}"


def _errors_m(found: Search) -> float:
    """How far off the worst camera is all the time, m at the places of the target."""
    errors = found.fit.errors.reshape(len(found.take.rig), -1)[:, :CHANGE]
    return max(in_volume(error, spread) for error, spread in zip(errors, found.found.spread, strict=True))
