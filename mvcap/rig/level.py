"""Turns a finished take so that z points up and its floor is z = 0, without computing it anew: ``mvcap rig level``.

Poses, covariances and cameras are moved together, so pictures, reprojection errors and limb lengths stay as they are.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calib import Rig, load_rig
from calib.align import Alignment
from calib.arrays import Floats
from calib.geometry import pose
from mvcap import plugins, stages
from mvcap.errors import InputError, MvcapError, SessionError
from mvcap.export import ExportConfig, export
from mvcap.progress import Progress, silent
from mvcap.report import report
from mvcap.rig.level_world import level_world
from mvcap.rig.moved_session import copy_session, finish_move, move_session
from mvcap.structures.artefact import Artefact
from mvcap.structures.pose_stream import move_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_checks import check_rate
from mvcap.structures.session import Session

_MOST_CHUNKS = 40
_NAMED = 5  # files named in a message
_SAME_DEG, _SAME_M = 0.02, 0.001  # how far cameras of one calibration may be off each other in another world
_ANOTHER = "it is another calibration, with which the take has to be reconstructed anew"


@dataclass(frozen=True, eq=False)
class Levelling:
    """A take in its new world: the session, how it was moved, the files written, and messages to the user.

    new_from_old (4, 4) is rigid and applies after lengths are multiplied by `scale`.
    """

    session: Session
    new_from_old: Floats
    scale: float
    files: tuple[Path, ...]
    lines: tuple[str, ...]


def level(
    session: str | Path | Session,
    *,
    like: str | Path | Rig | None = None,
    out: str | Path | None = None,
    unit: str | float | None = None,
    progress: Progress = silent,
) -> Levelling:
    """Move a finished session to another world: its rig, poses and covariances; files and report are written again.

    By default z points along people who stand, and z = 0 is the floor below their feet; x and the place of the origin
    stay as far as that allows. like: a calibration of the same cameras in the world that is wanted, as ``rig align``
    writes it, with `unit` if it states none; lengths may differ too. out: a new folder, in which a copy is moved
    instead. Nothing is detected, calibrated or refined again, and every stage counts as done.
    Raises InputError for another calibration or a folder that exists, SessionError for an unfinished session,
    CalibrationError where too few people stand; the session is then as it was.
    """
    opened = _opened(session)
    finish_move(opened)  # of a run that was killed
    opened = Session.open(opened.folder)
    refined = stages.poses(opened, "refine")
    if like is None:
        found = level_world(opened.rig, evenly(refined), opened.rate_hz)
        scale, new_from_old, lines = 1.0, found.new_from_old, list(found.lines)
    else:
        wanted = like if isinstance(like, Rig) else load_rig(like, unit=unit)
        scale, new_from_old = change_of_world(opened.rig, wanted)
        lines = [f"the world is that of {wanted.source or 'the given calibration'}"]
    target = opened if out is None else copy_session(opened, Path(out))
    try:
        move_session(target, new_from_old, scale, progress)
    except MvcapError:
        if out is not None:
            shutil.rmtree(target.folder, ignore_errors=True)
        raise
    target = Session.open(target.folder)
    files, problems = _write_again(target, opened.folder, progress)
    return Levelling(target, new_from_old, scale, files, (_moved_words(new_from_old, scale), *lines, *problems))


def level_poses(poses: Poses3D, rig: Rig, *, rate_hz: float | None = None) -> tuple[Poses3D, Rig, Alignment]:
    """Return poses and rig in a world with z up and the floor at z = 0, and how they were moved; see ``level``.

    rate_hz: frames per second, default that of the poses. Raises InputError without one or for a skeleton without
    feet, CalibrationError where too few people stand.
    """
    rate = poses.rate_hz if rate_hz is None else rate_hz
    if rate is None:
        raise InputError("levelling poses needs their frame rate; give rate_hz")
    found = level_world(rig, [poses], check_rate(rate))
    return move_poses(poses, found.new_from_old), found.rig, found


def evenly(poses: Artefact[Poses3D]) -> list[Poses3D]:
    """Chunks of poses evenly over the take, at most ``_MOST_CHUNKS``, which bounds the memory."""
    starts = [start for start, _ in poses.ranges()]
    return [poses.read(start) for start in starts[:: -(-len(starts) // _MOST_CHUNKS)]]


def change_of_world(old: Rig, new: Rig) -> tuple[float, Floats]:
    """Scale, and new_from_old (4, 4) after it, between the worlds of one calibration.

    Raises InputError where a camera is missing or the cameras stand differently to each other.
    """
    if missing := [name for name in old.names if name not in new]:
        raise InputError(f"{new.source or 'the calibration'} has no camera {', '.join(missing)}")
    there = new.select(old.names)
    turns = np.einsum("cji,cjk->ik", there.cam_from_world[:, :3, :3], old.cam_from_world[:, :3, :3])
    U, _, Vt = np.linalg.svd(turns)
    R = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))]) @ Vt
    middle, middle_new = old.positions.mean(0), there.positions.mean(0)
    spread = (old.positions - middle) @ R.T
    scale = float((spread * (there.positions - middle_new)).sum() / max((spread**2).sum(), 1e-300))
    if not scale > 0:
        raise InputError(f"{new.source or 'the calibration'}: its cameras stand differently; {_ANOTHER}")
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    new_from_old = pose(R, middle_new - scale * R @ middle)
    moved = old.scaled_world(scale).moved(new_from_old)
    off_m = np.linalg.norm(moved.positions - there.positions, axis=-1)
    relative = moved.cam_from_world[:, :3, :3] @ there.cam_from_world[:, :3, :3].transpose(0, 2, 1)
    off_deg = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    worst = int(np.argmax(off_m / _SAME_M + off_deg / _SAME_DEG))
    if off_m[worst] > _SAME_M or off_deg[worst] > _SAME_DEG:
        raise InputError(
            f"{new.source or 'the calibration'}: camera {old.names[worst]} stands {1000 * off_m[worst]:.1f} mm and "
            f"{off_deg[worst]:.2f} degrees off the session's, relative to the others; {_ANOTHER}"
        )
    return scale, new_from_old


def _opened(session: str | Path | Session) -> Session:
    if isinstance(session, str | Path) and Path(session).is_file():
        raise InputError(
            f"{session} is a file, not a finished session; level a calibration by the people of a session: `mvcap rig "
            f"align {session} OUT --people SESSION`"
        )
    return Session.of(session)


def _moved_words(new_from_old: Floats, scale: float) -> str:
    angle = np.degrees(np.arccos(np.clip((np.trace(new_from_old[:3, :3]) - 1) / 2, -1, 1)))
    place = ", ".join(f"{value + 0.0:.3f}" for value in new_from_old[:3, 3].round(3))
    lengths = "" if scale == 1 else f"; lengths were multiplied by {scale:.6g}"
    return f"the take was turned by {angle:.1f} degrees; its old origin is at ({place}) m{lengths}"


def _write_again(session: Session, before: Path, progress: Progress) -> tuple[tuple[Path, ...], list[str]]:
    """Write the files and the report that the session has again; return files, and what could not be written."""
    files: list[Path] = []
    try:
        if (before / "poses.npz").exists() or (before / "exports").exists():
            files += export(session, _formats(session, before / "exports"))
        if (before / "report.json").exists():
            report(session, progress=progress)
            files += [session.folder / "report.html", session.folder / "report.json"]
    except SessionError:
        raise
    except MvcapError as fault:
        return tuple(files), [f"not written again: {fault}"]
    return tuple(files), _old_exports(session.folder / "exports", files)


def _old_exports(folder: Path, files: list[Path]) -> list[str]:
    """Return a line that names the exported files which were not written again, so that they are of the old world."""
    there = sorted(path.name for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    new = {path.name for path in files if path.parent == folder}
    if not (old := [name for name in there if name not in new]):
        return []
    listed = ", ".join([*old[:_NAMED], *([f"{len(old) - _NAMED} more"] if len(old) > _NAMED else [])])
    return [f"not written again, so still in the old world: {listed} in {folder}; delete what you do not need"]


def _formats(session: Session, folder: Path) -> list[str]:
    """Formats of the session's settings, and those of which files are in its exports."""
    asked = session.settings("export", ExportConfig).formats
    there = {path.suffix.removeprefix(".") for path in folder.glob("*")} if folder.is_dir() else set()
    return [*asked, *(name for name in plugins.TABLE["exporter"] if name in there and name not in asked)]
