"""Sets the world of a rig from measured points, a board on the floor, or the people of a session: ``rig align``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from calib import Rig, load_rig, save_rig
from calib.align import Alignment, align_to_board, align_to_people, align_to_points
from calib.arrays import Floats
from calib.boards import Board, board_from
from calib.geometry import pose, similarity
from calib.observations import Observations
from calib.robust_triangulation import triangulate_robust
from mvcap.calibration.control_points import control_point_observations, read_control_points
from mvcap.calibration.moments import find_moments, rig_for_images
from mvcap.calibration.observer import Observer
from mvcap.calibration.people_observations import people_observations
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.rig.level import change_of_world, evenly
from mvcap.rig.level_world import level_world
from mvcap.structures.feet_and_heads import feet_and_bodies
from mvcap.structures.pose_stream import move_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session

_LEAST_POINTS = 4


def align(
    rig: str | Path | Rig,
    out: str | Path,
    *,
    points: str | Path | None = None,
    pixels: str | Path | None = None,
    people: str | Path | Session | None = None,
    board: str | Path | Board | None = None,
    take: str | Path | None = None,
    moment: int = 0,
    origin: Literal["board", "middle"] = "board",
    scale: bool = True,
    unit: str | float | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Alignment:
    """Align a rig to another world, write it to `out`, and return the residuals; one of points, people, board.

    rig: a calibration, or a session, whose own rig stays as it is until ``level`` moves the session to the new world.
    points: a file of measured points (name, x_m, y_m, z_m); pixels: a file of their pixels in the views, where `points`
    has none; scale: whether these points may change lengths too. people: a session whose people walk on the floor.
    board: a board on the floor in the pictures of `take`, a folder, at one of its moments (counted among those that
    show it). Raises InputError or CalibrationError: one line, with what to do.
    """
    if Path(out).exists() and not force:
        raise InputError(f"{out} exists already; choose another name or give --force")
    given = [way for way in (points, people, board) if way is not None]
    if len(given) != 1:
        raise InputError("give one of --points, --people and --board to define the new world")
    loaded = rig if isinstance(rig, Rig) else _loaded(Path(rig), unit)
    if points is not None:
        aligned = _by_points(loaded, Path(points), None if pixels is None else Path(pixels), scale)
    elif people is not None:
        session = people if isinstance(people, Session) else Session.open(people)
        aligned = _by_people(loaded, session, progress)
    else:
        if take is None:
            raise InputError("a board on the floor has to be found in pictures: give their folder with --take")
        filmed = board_from(board) if isinstance(board, str | Path) else board
        assert filmed is not None  # one of the three was given
        aligned = _by_board(loaded, filmed, Path(take), moment, origin, progress)
    save_rig(aligned.rig, out)
    return aligned


def _loaded(path: Path, unit: str | float | None) -> Rig:
    """The rig of a calibration file, or of a session."""
    return Session.open(path).rig if (path / "session.yaml").exists() else load_rig(path, unit=unit)


def _by_points(rig: Rig, file: Path, pixels: Path | None, scale: bool) -> Alignment:
    found = read_control_points(file, pixels)
    if not found.pixels:
        raise InputError(f"{file}: has no pixels of the points in the views; add `pixels:` or give --pixels FILE")
    views = [view for view in rig.names if view in found.pixels]
    seen = control_point_observations(found, views, [rig[view].size for view in views])
    xy = np.full((len(rig), len(found.xyz), 2), np.nan)
    xy[[rig.names.index(view) for view in views]] = seen.xy[:, 0]
    return align_to_points(rig, list(found.xyz.values()), xy=xy, names=list(found.xyz), scale=scale)


def _by_people(rig: Rig, session: Session, progress: Progress) -> Alignment:
    """Align to the poses of a finished session, as ``level`` does, else to what the rig triangulates of its people."""
    mine = rig_for_images(rig, find_moments(session))
    poses = session.artefact("refine", Poses3D)
    if poses.complete:
        try:
            scale, new_from_old = change_of_world(session.rig, mine)
        except InputError:
            pass  # the session was reconstructed with another calibration
        else:
            rows = [move_poses(part, new_from_old, scale) for part in evenly(poses)]
            found = level_world(mine, rows, session.rate_hz)
            return replace(found, rig=rig.moved(found.new_from_old))
    seen, kind = people_observations(session, mine, progress)
    points = triangulate_robust(mine, seen.xy, seen.sigma).xyz
    found = align_to_people(mine, *feet_and_bodies(kind, points.reshape(-1, len(kind), 3)))
    return replace(found, rig=rig.moved(found.new_from_old))


def _by_board(
    rig: Rig, board: Board, take: Path, moment: int, origin: Literal["board", "middle"], progress: Progress
) -> Alignment:
    material = find_moments(take)
    mine = rig_for_images(rig, material)
    seen = Observer(take, progress).board(material, board)
    found = align_to_board(mine, board.target, board_place(mine, seen, moment), origin=origin)
    return replace(found, rig=rig.moved(found.new_from_old))


def board_place(rig: Rig, seen: Observations, moment: int) -> Floats:
    """world_from_board (4, 4) at one of the moments (counted from 0) at which two views share a board's corners."""
    mine = np.flatnonzero(seen.target.of_piece == 0)
    shared = np.flatnonzero((seen.seen[:, :, mine].sum(0) >= 2).sum(-1) >= _LEAST_POINTS)
    if not 0 <= moment < len(shared):
        raise InputError(
            f"there is no moment {moment}: {len(shared)} moments, counted from 0, show the board to two views at once"
        )
    at = shared[moment]
    points = triangulate_robust(rig, seen.xy[:, at, mine], seen.sigma[:, at, mine]).xyz
    _, R, t = similarity(seen.target.points[mine], points, scale=False)
    if not np.isfinite(t).all():
        raise InputError(
            f"the views give no common pose of the board at {seen.moments[at]}; check the rig with it first"
        )
    return pose(R, t)
