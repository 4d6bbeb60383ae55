"""Whether the cameras still stand as a calibration says, by a new take of a board or of people, and its repair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calib import Rig, load_rig, save_rig
from calib.boards import Board, board_from
from calib.check import Check
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
) -> RigCheck:
    """Compare a calibration with a take: which camera moved, how much, since when.

    take: a folder of videos or images in which a board is carried about, or a session; without a board it has to be a
    session, and the people in it are the target. every_s, frames: which moments are looked at. repair_to: where the
    rig is written with the cameras that moved put right, if any moved for sure.
    Raises InputError or CalibrationError: one line, with the way out.
    """
    if repair_to is not None and Path(repair_to).exists() and not force:
        raise InputError(f"{repair_to} is there already; choose another name or say --force")
    loaded = rig if isinstance(rig, Rig) else load_rig(rig, unit=unit)
    place = destination_of(take)
    material = find_moments(place.session or Path(str(take)), every_s, frames)
    mine = rig_for_images(loaded, material)
    if board is not None:
        shown = board_from(board) if isinstance(board, str | Path) else board
        seen = _board(material, shown, place.folder, progress)
    elif place.session is not None:
        seen, _ = people_observations(place.session, mine, progress)
    else:
        raise InputError(f"{take}: say the board that was filmed, --board; by people alone it has to be a session")
    found = checked(mine, seen)
    mended = None
    if repair_to is not None and found.moved:
        mended = repaired(mine, seen, found)
        save_rig(mended.rig, repair_to)
    return RigCheck(mine, found, mended)


def _board(material: Moments, board: Board, folder: Path, progress: Progress) -> Observations:
    from mvcap.calibration.observer import Observer

    return Observer(folder, progress).board(material, board)
