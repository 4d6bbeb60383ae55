"""Checks a calibration against a new take of a board or of people, and repairs it: ``mvcap rig check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calib import CalibrationError, Rig, load_rig, save_rig
from calib.boards import Board, board_from
from calib.changes.outcome import Check
from calib.check import check as checked
from calib.observations import Observations
from calib.repair import Repair
from calib.repair import repair as repaired
from mvcap.calibration.destination import destination_of
from mvcap.calibration.moments import Moments, find_moments, rig_for_images
from mvcap.calibration.people_observations import people_observations
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.structures.session import Session


@dataclass(frozen=True, eq=False)
class RigCheck:
    """The rig with the cameras of the take, the result of the check, and the repair where requested and possible.

    refused: why a camera that has moved was not repaired, empty where it was or where nothing was to be repaired.
    """

    rig: Rig
    check: Check
    repair: Repair | None = None
    refused: str = ""


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
) -> RigCheck:
    """Compare a calibration with a take: which camera moved, how much, since when.

    take: a folder of videos or images in which a board is carried about, or a session; without a board it has to be a
    session, and the people in it are the target. every_s, frames: which moments are used. repair_to: the file for the
    rig with corrected poses of the cameras that moved, written if any moved without ambiguity and the repaired rig fits
    better at moments that its fit left out. Raises InputError or CalibrationError: one line, with what to do.
    """
    if repair_to is not None and Path(repair_to).exists() and not force:
        raise InputError(f"{repair_to} exists already; choose another name or give --force")
    loaded = rig if isinstance(rig, Rig) else load_rig(rig, unit=unit)
    place = destination_of(take)
    material = find_moments(place.session or Path(str(take)), every_s, frames)
    mine = rig_for_images(loaded, material)
    alike = None
    if board is not None:
        filmed = board_from(board) if isinstance(board, str | Path) else board
        seen = _board(material, filmed, place.folder, progress)
    elif place.session is not None:
        seen, kind = people_observations(place.session, mine, progress)
        alike = np.arange(len(seen.target)) % len(kind)
    else:
        raise InputError(f"{take}: give the board that was filmed with --board; for people, give a session")
    found = checked(mine, seen, alike=alike)
    if repair_to is None or not found.moved:
        return RigCheck(mine, found)
    try:
        result = repaired(mine, seen, found, alike=alike)
    except CalibrationError as refusal:
        return RigCheck(mine, found, refused=str(refusal))
    save_rig(result.rig, repair_to)
    return RigCheck(mine, found, result)


def _board(material: Moments, board: Board, folder: Path, progress: Progress) -> Observations:
    from mvcap.calibration.observer import Observer

    return Observer(folder, progress).board(material, board)
