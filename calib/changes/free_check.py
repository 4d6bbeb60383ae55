"""The check of a rig against free points: what `free_search` found, in the words of a check."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calib.arrays import Floats, Ints
from calib.changes.events import apply_change, in_volume
from calib.changes.free_points import FreeTake, Soft
from calib.changes.free_search import FoundChange, FreeSearch, moment_of, search_free
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
)
from calib.changes.search import Trust
from calib.observations import Observations
from calib.rig import Rig

_FEW = 8  # shared moments, below which a camera counts as not seen enough
_BLIND_DEG = 3.0  # the same for the smallest turn that would have been found


def check_free(
    rig: Rig,
    observations: Observations,
    group: Ints,
    trust: Trust,
    matters_m: float,
    false_alarms: float,
    late: tuple[LateView, ...] = (),
) -> Check:
    """Compare a rig with synchronised free points whose groups (N,) have errors in common; see `calib.check.check`."""
    take = FreeTake(rig, observations, group, trust.precision(np.zeros(len(rig))))
    found = search_free(take, false_alarms, matters_m)
    changes = () if found.many else tuple(_change(found, one, observations) for one in found.changes)
    changes = tuple(sorted(changes, key=lambda change: change.since))
    shared = (observations.seen & (observations.seen.sum(0) > 1)).any(-1).sum(-1)
    cameras = _cameras(found, shared, changes, late)
    return Check(cameras, changes, (), 1.0, *_verdict(found, cameras, changes, late), late)


def _change(found: FreeSearch, one: FoundChange, observations: Observations) -> Change:
    take, moments = found.take, len(observations.moments)
    event, motion, names = one.event, one.event.motion, found.take.rig.names
    since, earliest, latest = (
        min(moment_of(take, at, moments), moments - 1) for at in (event.since, event.earliest, event.latest)
    )
    before = take.rig[event.camera]
    after = apply_change(before, motion)
    shift = after.position - before.position
    by_shift = np.concatenate([np.zeros((3, 3)), -after.cam_from_world[:3, :3].T], 1)
    times = observations.time_s[:, since]
    times = times[np.isfinite(times)]
    zoom = float(np.exp(motion[6]))
    kind: Kind = "zoomed" if one.model == "zoomed" else "moved"
    return Change(
        camera=names[event.camera],
        kind=kind,
        since=since,
        until=since,
        earliest=earliest,
        latest=latest,
        moment=observations.moments[since],
        time_s=float(np.median(times)) if len(times) else float("nan"),
        rotation_deg=float(np.rad2deg(np.linalg.norm(motion[:3]))),
        rotation_sigma_deg=float(np.rad2deg(along_vector(motion[:3], one.covariance[:3, :3]))),
        moved_m=float(np.linalg.norm(motion[3:6])) and float(np.linalg.norm(shift)),
        moved_sigma_m=along_vector(shift, by_shift @ one.covariance[:6, :6] @ by_shift.T),
        zoom=zoom,
        zoom_sigma=zoom * float(np.sqrt(max(one.covariance[6, 6], 0))),
        in_volume_m=in_volume(motion, found.found.cells.spread[event.camera]),
        rivals=tuple(names[camera] for camera in one.rivals),
        chance=one.chance,
        motion=motion,
    )


def typical_px(take: FreeTake, soft: Soft, since: int = 0) -> Floats:
    """Typical residual (C,) px along each axis from a moment of the thinned take on, from the median."""
    px2 = np.where(soft.size2 > 0, soft.size2 * (take.scale * take.observations.sigma) ** 2, np.nan)[:, since:]
    medians = [np.nanmedian(of) if np.isfinite(of).any() else np.nan for of in px2]
    return np.asarray(np.sqrt(np.array(medians) / (2 * np.log(2))))


def _cameras(
    found: FreeSearch, shared: Ints, changes: Sequence[Change], late: Sequence[LateView]
) -> tuple[CameraCheck, ...]:
    take = found.take
    before, after = (typical_px(take, soft) for soft in (found.before, found.found.soft))
    wide = np.sqrt(found.found.cells.spread[:, [0, 1], [0, 1]].max(-1))  # m at the points by a turn of one rad
    out = []
    for view, name in enumerate(take.rig.names):
        mine = [change.kind for change in changes if change.camera == name and not change.rivals]
        status: Status = "still"
        if mine:
            status = mine[-1]
        elif found.many or any(name in (c.camera, *c.rivals) for c in changes if c.rivals):
            status = "unclear"
        elif shared[view] < _FEW or not found.detectable_m[view] < np.deg2rad(_BLIND_DEG) * wide[view]:
            status = "not seen enough"
        elif name in {one.camera for one in late}:
            status = "late"
        numbers = (found.before.seen.sigma_px[view], before[view], after[view], found.detectable_m[view])
        out.append(CameraCheck(name, status, int(shared[view]), *map(float, numbers)))
    return tuple(out)


def _verdict(
    found: FreeSearch, cameras: Sequence[CameraCheck], changes: Sequence[Change], late: Sequence[LateView]
) -> tuple[CheckVerdict, str, str]:
    """Verdict, reason and next action."""
    sure = [change for change in changes if not change.rivals]
    unclear = [change for change in changes if change.rivals]
    if found.many:
        names = ", ".join(dict.fromkeys(found.take.rig.names[one.event.camera] for one in found.changes))
        reason = f"the cameras disagree, and no few of them explain it ({names} would all have to have moved)"
        return (
            "wrong",
            "; ".join((reason, *map(str, late))),
            "check that this is the rig's own file; else calibrate again",
        )
    if sure:
        names = ", ".join(dict.fromkeys(change.camera for change in sure))
        action = f"repair the rig from there on (only {names}), and fasten {names}"
        return (
            "moved",
            "; ".join(map(str, (*sure, *unclear, *late))),
            (f"fasten {names}, and calibrate again" if unclear else action),
        )
    if unclear:
        names = " and ".join((unclear[0].camera, *unclear[0].rivals))
        why = "two cameras alone do not show" if len(cameras) == 2 else "the take does not show"
        reason = "; ".join((f"{unclear[0]}; {why} which of them it was", *map(str, late)))
        return "cannot tell", reason, f"inspect {names}, and calibrate them again"
    blind = [camera.name for camera in cameras if camera.status == "not seen enough"]
    if len(blind) == len(cameras):
        return "cannot tell", "the take is too short, or cameras share the target too rarely", "film the target longer"
    worst = max(camera.detectable_m for camera in cameras if camera.name not in blind)
    reason = f"no camera moved; rotations of {1000 * worst:.2g} mm in the volume or more would have been detected"
    if blind:
        reason = f"{reason}, but {', '.join(blind)} saw too little"
    reason = "; ".join((reason, *map(str, late)))
    if late:
        return "unmoved", reason, SYNCHRONISE
    return "unmoved", reason, f"film the target in view of {', '.join(blind)}" if blind else "go on"
