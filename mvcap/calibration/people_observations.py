"""The joints of a session's people as observations of a rig's views."""

from __future__ import annotations

import numpy as np

from calib import Rig
from calib.observations import Observations
from calib.targets import free_points
from mvcap import stages
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import Skeleton

_MOMENTS = 2000  # most frames used; neighbouring ones are almost redundant


def people_observations(
    session: Session, rig: Rig, progress: Progress = silent, most: int = _MOMENTS
) -> tuple[Observations, Skeleton]:
    """The joints of a session's people as free points in the rig's views, at up to `most` frames.

    Persons come from `associate` where it has run; else they are matched across views here.
    """
    from mvcap.estimate import estimate
    from mvcap.self_calibration.target import people_target

    if session.artefact("associate", Detections2D).complete:
        rows = _whole(stages.detections(session, "associate"))
        return joint_observations(rows[rows.person >= 0], rig, session.rate_hz, most), rows.skeleton
    rows = _whole(estimate(session, progress=progress))
    lenses = [camera.lens for camera in rig]
    found = people_target(rows, lenses, rate_hz=session.rate_hz, start=rig, progress=progress)
    return found.observations, found.rows.skeleton


def _whole(artefact: Artefact[Detections2D]) -> Detections2D:
    return artefact.between(0, artefact.ranges()[-1][1])


def joint_observations(rows: Detections2D, rig: Rig, rate_hz: float, most: int = _MOMENTS) -> Observations:
    """Joints of associated rows at up to `most` frames as free points: N = most people at once x joints.

    Identity over time does not matter, so the people of a frame take the slots in their order. Raises InputError where
    no two views see the same person.
    """
    frames = np.unique(rows.frame)
    frames = frames[:: max(1, -(-len(frames) // most))]
    rows = rows[np.isin(rows.frame, frames)]
    keys, row_of = np.unique(np.stack([rows.frame, rows.person], -1), axis=0, return_inverse=True)
    moment = np.searchsorted(frames, keys[:, 0])
    slot = np.arange(len(keys)) - np.searchsorted(moment, moment)
    if not len(keys):
        raise InputError(
            "no person is seen by two views in this take; film somebody who walks where all views see them"
        )
    people, joints = int(slot.max()) + 1, len(rows.skeleton)
    shape = (len(rig), len(frames), people, joints)
    xy, sigma = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    at = rows.view.astype(np.int64), moment[row_of.ravel()], slot[row_of.ravel()]
    xy[at], sigma[at] = rows.xy, rows.noise_px
    flat = (*shape[:2], people * joints)
    time_s = np.broadcast_to(frames / rate_hz, flat[:2])
    names = tuple(f"{frame / rate_hz:.2f} s" for frame in frames.tolist())
    sizes = tuple(camera.size for camera in rig)
    points = free_points(flat[2])
    return Observations(points, rig.names, sizes, xy.reshape(*flat, 2), sigma.reshape(flat), time_s, names)
