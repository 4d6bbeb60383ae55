"""Whether the cameras still stand as a calibration says, by a new take of a board or of people, and its repair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calib import Rig, load_rig, save_rig
from calib.boards import Board, board_from
from calib.check import Check
from calib.check import check as checked
from calib.observations import Observations
from calib.repair import Repair
from calib.repair import repair as repaired
from calib.targets import free_points
from mvcap import stages
from mvcap.calibrate import place_of
from mvcap.calibration_footage import Material, find, fitted
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import Skeleton

_MOMENTS = 2000  # frames of people that are looked at; neighbouring ones tell nearly the same


@dataclass(frozen=True, eq=False)
class Checked:
    """What a check found, the rig with the cameras of the take, and the repair where one was asked for and possible."""

    rig: Rig
    check: Check
    repair: Repair | None = None


def check(
    rig: str | Path | Rig,
    take: str | Path | Session,
    *,
    board: str | Path | Board | None = None,
    unit: str | float | None = None,
    every_s: float | None = None,
    frames: int | None = None,
    repair_to: str | Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Checked:
    """Compare a calibration with a take: which camera moved, how much, since when.

    take: a folder of videos or images in which a board is carried about, or a session; without a board it has to be a
    session, and the people in it are the target. every_s, frames: which moments are looked at. repair_to: where the
    rig is written with the cameras that moved put right, if any moved for sure.
    Raises InputError or CalibrationError: one line, with the way out.
    """
    if repair_to is not None and Path(repair_to).exists() and not force:
        raise InputError(f"{repair_to} is there already; choose another name or say --force")
    loaded = rig if isinstance(rig, Rig) else load_rig(rig, unit=unit)
    place = place_of(take)
    material = find(place.session or Path(str(take)), every_s, frames)
    mine = fitted(loaded, material)
    if board is not None:
        shown = board_from(board) if isinstance(board, str | Path) else board
        seen = _board(material, shown, place.folder, progress)
    elif place.session is not None:
        seen, _ = people_seen(place.session, mine, progress)
    else:
        raise InputError(f"{take}: say the board that was filmed, --board; by people alone it has to be a session")
    found = checked(mine, seen)
    mended = None
    if repair_to is not None and found.moved:
        mended = repaired(mine, seen, found)
        save_rig(mended.rig, repair_to)
    return Checked(mine, found, mended)


def _board(material: Material, board: Board, folder: Path, progress: Progress) -> Observations:
    from mvcap.calibration_observed import Observer

    return Observer(folder, progress).board(material, board)


def people_seen(
    session: Session, rig: Rig, progress: Progress = silent, most: int = _MOMENTS
) -> tuple[Observations, Skeleton]:
    """The joints of a session's people as free points of the rig's views, at up to so many frames.

    People are those that `associate` told apart where it has been done; else they are told apart here.
    """
    from mvcap.estimate import estimate
    from mvcap.people_target import people_target

    if session.artefact("associate", Detections2D).complete:
        rows = _whole(stages.detections(session, "associate"))
        return joints_seen(rows[rows.person >= 0], rig, session.rate_hz, most), rows.skeleton
    rows = _whole(estimate(session, progress=progress))
    lenses = [camera.lens for camera in rig]
    found = people_target(rows, lenses, rate_hz=session.rate_hz, start=rig, progress=progress)
    return found.observations, found.rows.skeleton


def _whole(artefact: Artefact[Detections2D]) -> Detections2D:
    return artefact.between(0, artefact.ranges()[-1][1])


def joints_seen(rows: Detections2D, rig: Rig, rate_hz: float, most: int = _MOMENTS) -> Observations:
    """Joints of associated rows at up to `most` frames as free points: N = most people at once x joints.

    Who is who through time does not matter, so the people of a frame take the places in their order. InputError where
    no two views see the same person.
    """
    frames = np.unique(rows.frame)
    frames = frames[:: max(1, -(-len(frames) // most))]
    rows = rows[np.isin(rows.frame, frames)]
    keys, row_of = np.unique(np.stack([rows.frame, rows.person], -1), axis=0, return_inverse=True)
    moment = np.searchsorted(frames, keys[:, 0])
    slot = np.arange(len(keys)) - np.searchsorted(moment, moment)
    if not len(keys):
        raise InputError("nobody is seen by two views in this take; film somebody who walks where all views see them")
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
