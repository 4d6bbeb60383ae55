"""People as the target of a calibration: their joints are free points that all views observe.

From 2D detections and lenses alone: tracks within views, association across views with an initial rig
(`incremental_rig.first_rig`), correction of left-right swaps, and then the same `calib.calibrate` as for boards, with
free points. The scale comes from a stated height or, without one, from the population mean; the floor is below the
feet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib import Lens, Rig
from calib.arrays import Floats
from calib.calibrate import calibrate
from calib.calibration import Calibration, Finding
from calib.geometry import invert, similarity
from calib.observations import Observations
from mvcap.association.common_times import at_common_times
from mvcap.association.left_right_swaps import correct_swaps
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.self_calibration.cross_view_matches import MovingPeople
from mvcap.self_calibration.floor_and_scale import move_points, upright_world
from mvcap.self_calibration.incremental_rig import (
    GrownRig,
    PeopleViews,
    first_rig,
    joints_3d,
    pose_view,
    refit_matches,
    rig_from_old,
)
from mvcap.self_calibration.single_view_tracks import view_tracks
from mvcap.self_calibration.time_offsets import estimate_late_frames, shift_is_significant, synchronise
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session

_MOST_FRAMES = 150  # most frames in the adjustment: neighbouring ones are redundant
_STAGE = "people"
_OFTEN = 10  # least moments of a joint in a view to estimate the constant part of its residuals
_UNUSABLE = 0.02  # of the distance: error above which the rig is not usable
_WALK_MORE = "film people who walk all about the room, longer, or film a board"
_FILM_A_BOARD = "film a board where millimetres matter"


@dataclass(frozen=True, eq=False)
class PeopleTarget:
    """Observations of associated people, and an initial rig.

    observations: free points, N = persons x joints, of the views in the rig; person (K,): the person of each track, -1
    for none; rows: the detections with persons, left-right swaps corrected, synchronised; late (C,): delay of each
    view, frames; findings: messages to the user.
    """

    observations: Observations
    rig: Rig
    rows: Detections2D
    person: NDArray[np.int64]
    late: Floats
    findings: tuple[Finding, ...]


def people_target(
    rows: Detections2D, lenses: Sequence[Lens], *, rate_hz: float, start: Rig | None = None, progress: Progress = silent
) -> PeopleTarget:
    """Associate people across views and find an initial rig, from detections of views with these lenses, in order.

    start: an old rig of some or all of the views. Raises InputError where no two views share a person.
    """
    tracks = view_tracks(rows)
    people = PeopleViews(rows, tuple(lenses), tracks, MovingPeople.of(rows, tuple(lenses)))
    if len({track.view for track in tracks}) < 2:
        raise InputError("fewer than two views show a person for ten frames; film people who walk in all views")
    grown = None if start is None else rig_from_old(people, _old_poses(people, start))
    if grown is None:
        grown = first_rig(people, lambda done, whole: progress(_STAGE, done, whole))
    if grown is None or len(grown.poses) < 2:
        raise InputError(
            "no two views see the same person: film somebody who walks about where all views see them, with "
            "synchronised cameras, and check that the lenses are right"
        )
    people, late = _synchronise_views(people, grown)
    grown = refit_matches(people, grown.poses) or grown
    people = replace(people, rows=_correct_rows(people, grown))
    rig = pose_view(people, grown.poses)
    frames = people.frames_of(grown.person, _MOST_FRAMES)
    seen = people.observations(grown.person, frames, rate_hz).of(rig.names)
    return PeopleTarget(seen, rig, people.rows, grown.person, late, _findings(people, grown, late))


def calibrate_from_people(
    source: Session | Detections2D,
    lenses: Sequence[Lens] | Rig,
    *,
    rate_hz: float | None = None,
    height_m: float | None = None,
    start: Rig | None = None,
    fix_lenses: bool = True,
    progress: Progress = silent,
) -> Calibration:
    """Calibrate the views of a session with detections, or of detections, from the people in them.

    lenses in the order of the views (or the rig that has them). height_m: stature of the person who walks about, the
    mean of several; without it the scale is that of `start`, or of the population mean. start: an old rig, whose world
    the new one keeps. The lenses are held fixed unless fix_lenses is off. Raises InputError or CalibrationError.
    """
    rows, rate = _rows(source, rate_hz)
    known_lenses = [camera.lens for camera in lenses] if isinstance(lenses, Rig) else list(lenses)
    if rows.view.max(initial=0) >= len(known_lenses):
        raise InputError(
            f"detections are of {int(rows.view.max()) + 1} views, lenses of {len(known_lenses)}; give one for each view"
        )
    if height_m is not None and not 0.5 < height_m < 2.5:
        raise InputError(f"a person is not {height_m:g} m tall; give their height in metres, such as 1.75")
    target = people_target(rows, known_lenses, rate_hz=rate, start=start, progress=progress)
    made = calibrate(target.observations, rig=target.rig, fix_lenses=fix_lenses)
    scale, new_from_old = _world(made, target, height_m, start)
    notes = target.findings if height_m is not None or start is not None else (*target.findings, _UNKNOWN_SIZE)
    made = with_repeating_errors(place_in_world(made, scale, new_from_old))
    return replace(made, findings=(*made.findings, *notes))


_UNKNOWN_SIZE = Finding(
    "limit",
    "size",
    "people are assumed to have the population's mean size, so all lengths may have an error of 7 %",
    "state the height of the person who walks about with --height",
)


def _rows(source: Session | Detections2D, rate_hz: float | None) -> tuple[Detections2D, float]:
    if isinstance(source, Detections2D):
        return source, 30.0 if rate_hz is None else rate_hz
    artefact = source.artefact("estimate", Detections2D)
    start, stop = artefact.ranges()[0][0], artefact.ranges()[-1][1]
    if source.offsets is None:
        return artefact.between(start, stop), source.rate_hz
    late = source.offsets.late_frames(np.arange(start, stop), source.rate_hz)
    return at_common_times(artefact, start, stop, late, source.rate_hz), source.rate_hz


def _old_poses(people: PeopleViews, start: Rig) -> dict[int, Floats]:
    names = [lens.name for lens in people.lenses]
    return {view: start[name].cam_from_world for view, name in enumerate(names) if name in start}


def _synchronise_views(people: PeopleViews, grown: GrownRig) -> tuple[PeopleViews, Floats]:
    """The people with delayed views synchronised, and the delays (C,), frames, estimated in up to three rounds."""
    whole = np.zeros(len(people.lenses))
    first = people.rows
    for _ in range(3):
        late = shift_is_significant(
            *estimate_late_frames(people.moving, people.tracks, grown.person, grown.poses, len(people.lenses))
        )
        if not late.any():
            break
        whole = whole + late
        rows = synchronise(first, people.tracks, whole)
        people = replace(people, rows=rows, moving=MovingPeople.of(rows, people.lenses))
        grown = refit_matches(people, grown.poses) or grown
    return people, whole


def _correct_rows(people: PeopleViews, grown: GrownRig) -> Detections2D:
    """The rows with persons, and left-right swaps corrected from the other views."""
    person = np.full(len(people.rows), -1, np.int32)
    for track, who in zip(people.tracks, grown.person.tolist(), strict=True):
        person[track.row] = who if track.view in grown.poses else -1
    mine = np.flatnonzero(person >= 0)
    view = np.searchsorted(sorted(grown.poses), people.rows.view[mine])
    named = people.rows.with_columns(person=person)
    corrected = correct_swaps(named[mine].with_columns(view=view), pose_view(people, grown.poses))
    columns = named.arrays()
    for name in ("xy", "score", "noise_px"):
        columns[name] = columns[name].copy()
        columns[name][mine] = getattr(corrected, name)
    return named.with_columns(**columns)


def _findings(people: PeopleViews, grown: GrownRig, late: Floats) -> tuple[Finding, ...]:
    found = [
        Finding(
            "limit",
            people.lenses[view].name,
            f"it is {late[view]:+.1f} frames later than the others; its detections were shifted in time to calibrate",
            "synchronise the cameras, or shift the footage in time before reconstructing",
        )
        for view in np.flatnonzero(late)
    ]
    found += [
        Finding(
            "limit",
            lens.name,
            "it is left out, no person in it could be matched with one of the other views",
            "film somebody who walks about where this view and another see them",
        )
        for view, lens in enumerate(people.lenses)
        if view not in grown.poses
    ]
    return tuple(found)


def _world(made: Calibration, target: PeopleTarget, height_m: float | None, start: Rig | None) -> tuple[float, Floats]:
    """Scale, and new_from_old after it, to the world given by people or by the old rig."""
    kind = target.rows.skeleton
    assert made.free_points is not None
    bodies = joints_3d(made.free_points, kind)
    ahead = made.rig.cam_from_world[0, 2, :3]
    scale, new_from_old = upright_world(kind, bodies, ahead, height_m)
    shared = [name for name in made.rig.names if start is not None and name in start]
    if start is None or len(shared) < 2:
        return scale, new_from_old
    # In the old rig's world: the best fit of the cameras to their old poses.
    old, new = start.select(shared), made.rig.select(shared)
    ends = [np.concatenate([rig.positions, rig.positions + rig.cam_from_world[:, 2, :3]]) for rig in (new, old)]
    if height_m is None:
        scale = _extent(old.positions) / _extent(new.positions)
    ends[0][: len(new)] *= scale
    ends[0][len(new) :] = ends[0][: len(new)] + new.cam_from_world[:, 2, :3]
    _, R, t = similarity(*ends, scale=False)
    new_from_old = np.eye(4)
    new_from_old[:3, :3], new_from_old[:3, 3] = R, t
    return scale, new_from_old


def with_repeating_errors(made: Calibration) -> Calibration:
    """The calibration from people with its predicted error increased for errors that are constant over time.

    The residuals of a joint in a view have a constant part, which does not average out over moments (the design effect
    of cluster samples, Kish 1965). The verdict is "usable with limits" at best.
    """
    factor = np.sqrt(_design_effect(made))
    was = made.accuracy
    accuracy = replace(was, predicted_m=factor * was.predicted_m)
    error = float(np.nanmax([accuracy.predicted_rms_m, was.halves_rms_m, 0.0]))
    made = replace(made, accuracy=accuracy, covariance=factor**2 * made.covariance)
    if made.verdict == "do not use":
        return made
    distance = np.linalg.norm(made.rig.positions[:, None] - was.places[None], axis=-1)
    far = float(np.median(distance)) if distance.size else float("nan")
    message = f"points have an error of about {1000 * error:.0f} mm at {far:.1f} m, estimated from joints"
    if error > _UNUSABLE * far:
        return replace(made, verdict="do not use", reason=message, next_action=_WALK_MORE)
    return replace(made, verdict="usable with limits", reason=message, next_action=_FILM_A_BOARD)


def _design_effect(made: Calibration) -> float:
    """Variance of the estimates over that for independent errors (design effect), at least 1."""
    residual = np.where(made.used[..., None], made.residual, np.nan)
    count = np.isfinite(residual[..., 0]).sum(1)
    often = count >= _OFTEN
    if not often.any():
        return 1.0
    series = np.moveaxis(residual, 1, -1)[often]  # (K, 2, T)
    number = count[often][:, None]
    mean, every = np.nanmean(series, -1), np.nanvar(series, -1, ddof=1)
    same = np.median(np.maximum(mean**2 - every / number, 0)), np.median(every)
    share = same[0] / max(same[0] + same[1], 1e-300)
    return float(max(1.0, 1 + (float(np.mean(number)) - 1) * share))


def _extent(positions: Floats) -> float:
    return float(np.sqrt(((positions - positions.mean(0)) ** 2).sum()))


def place_in_world(made: Calibration, scale: float, new_from_old: Floats) -> Calibration:
    """The calibration with every length scaled, and then moved to another world frame."""
    back = invert(new_from_old)
    scaled = made.rig.scaled_world(scale)
    cameras = tuple(replace(camera, cam_from_world=camera.cam_from_world @ back) for camera in scaled)
    bodies = np.array(made.world_from_body)
    bodies[:, :3, 3] *= scale
    unit = np.ones(len(made.covariance))
    for columns in made.columns.values():
        unit[columns.start + 3 : columns.start + 6] = scale
    was = made.accuracy
    accuracy = replace(
        was,
        places=move_points(scale, new_from_old, was.places),
        predicted_m=scale * was.predicted_m,
        halves_m=scale * was.halves_m,
        held_out_m=scale * was.held_out_m,
        held_out_places=move_points(scale, new_from_old, was.held_out_places),
        held_out_errors_m=scale * was.held_out_errors_m,
    )
    return replace(
        made,
        rig=replace(made.rig, cameras=cameras),
        world_from_body=new_from_old @ bodies,
        free_points=None if made.free_points is None else move_points(scale, new_from_old, made.free_points),
        covariance=made.covariance * unit * unit[:, None],
        pairs=tuple(replace(pair, error_m=scale * pair.error_m, loop_m=scale * pair.loop_m) for pair in made.pairs),
        accuracy=accuracy,
    )
