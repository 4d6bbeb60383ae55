"""The joints of a session's people as observations of a rig's views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.observations import Observations
from mvcap import stages
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import Skeleton
from mvcap.triangulation.joint_observations import MOST_MOMENTS, joint_observations

_LOST, _MATCHED = 0.5, 0.8  # a view that shares less of its rows, where others share so many, has lost its people
_STRETCH = 30  # least frames of a stretch of a take
_STRETCHES, _LEAST_STRETCHES = 8, 2  # most of a take, and those in which a view has to have lost its people


def people_observations(
    session: Session, rig: Rig, progress: Progress = silent, most: int = MOST_MOMENTS
) -> tuple[Observations, Skeleton]:
    """The joints of a session's people as free points in the rig's views, at up to `most` frames.

    Persons come from `associate` where it has run, and are matched again where a view has lost most of them, as one
    whose camera has turned by degrees; else they are matched across views here.
    """
    from mvcap.estimate import estimate
    from mvcap.self_calibration.target import people_target

    if session.artefact("associate", Detections2D).complete:
        rows = match_lost_views(_whole(stages.detections(session, "associate")), rig)
        return joint_observations(rows[rows.person >= 0], rig, session.rate_hz, most), rows.skeleton
    rows = _whole(estimate(session, progress=progress))
    lenses = [camera.lens for camera in rig]
    found = people_target(rows, lenses, rate_hz=session.rate_hz, start=rig, progress=progress)
    return found.observations, found.rows.skeleton


def _whole(artefact: Artefact[Detections2D]) -> Detections2D:
    return artefact.between(0, artefact.ranges()[-1][1])


def match_lost_views(rows: Detections2D, rig: Rig) -> Detections2D:
    """Associated rows, with the persons of single-view tracks while a view shares few of its rows with other views.

    The tracks are matched without trust in the pose of such a view (`self_calibration.incremental_rig`).
    """
    if not len(rows) or len(rig) < 3:
        return rows
    frames = int(rows.frame.max()) + 1
    count = int(np.clip(frames // _STRETCH, 1, _STRETCHES))
    edges = np.linspace(0, frames, count + 1).astype(np.int64)
    stretch = np.searchsorted(edges, rows.frame, "right") - 1
    shared = np.array([_shared_shares(rows[stretch == one], len(rig)) for one in range(count)])
    known = np.isfinite(shared)
    typical = float(np.median(shared[known])) if known.any() else 0.0
    lost = known & (np.nan_to_num(shared) < min(_LOST, _LOST * typical / _MATCHED))
    lost &= lost.sum(0) >= min(_LEAST_STRETCHES, count)
    person, most = np.array(rows.person), int(rows.person.max(initial=0)) + 1
    for views in np.unique(lost[lost.any(1)], axis=0):
        some = np.isin(stretch, np.flatnonzero((lost == views).all(1)))
        again = _matched_again(rows[some], rig, np.flatnonzero(views).tolist())
        person[some] = np.where(again >= 0, again + most, -1) if again is not None else person[some]
    return rows.with_columns(person=person)


def _matched_again(rows: Detections2D, rig: Rig, lost: list[int]) -> NDArray[np.int32] | None:
    """Persons (M,) of rows by their single-view tracks; None where the lost views do not share more than before."""
    from mvcap.self_calibration.cross_view_matches import MovingPeople
    from mvcap.self_calibration.incremental_rig import PeopleViews, rig_from_old
    from mvcap.self_calibration.single_view_tracks import view_tracks

    lenses = tuple(camera.lens for camera in rig)
    people = PeopleViews(rows, lenses, view_tracks(rows), MovingPeople.of(rows, lenses))
    kept = {view: at for view, at in enumerate(rig.cam_from_world) if view not in lost}
    grown = rig_from_old(people, kept) if len(kept) > 1 else None
    if grown is None:
        return None
    person = np.full(len(rows), -1, np.int32)
    for track, who in zip(people.tracks, grown.person.tolist(), strict=True):
        person[track.row] = who if track.view in grown.poses else -1
    before, after = (_shared_shares(of, len(rig))[lost] for of in (rows, rows.with_columns(person=person)))
    return person if np.nansum(after) > np.nansum(before) else None


def _shared_shares(rows: Detections2D, views: int) -> NDArray[np.float64]:
    """Share (C,) of each view's rows whose person another view sees at the same time; NaN for a view without rows."""
    keys, at = np.unique(np.stack([rows.frame, rows.person], -1), axis=0, return_inverse=True)
    count = np.bincount(at.ravel(), minlength=len(keys))[at.ravel()]
    together = (rows.person >= 0) & (count > 1)
    every = np.bincount(rows.view, minlength=views)
    return np.where(every > 0, np.bincount(rows.view, together, views) / np.maximum(every, 1), np.nan)
