"""The verb ``triangulate``: rows with persons and a rig become 3D skeletons, with the evidence for every joint."""

from __future__ import annotations

from pathlib import Path

from mvcap import stages
from mvcap.config import plain
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.contracts import State
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.triangulation.calibration_error import calibration_error_px, excess_error_px, with_calibration_error
from mvcap.triangulation.robust_triangulation import TriangulateConfig, triangulate_rows

_VERSION = 3
_CHUNK_FRAMES = 200


def triangulate(session: str | Path | Session, *, redo: bool = False, progress: Progress = silent) -> Artefact[Poses3D]:
    """Triangulate the people of every frame of a session."""
    session = session if isinstance(session, Session) else Session.open(session)
    before = stages.detections(session, "associate")
    config = session.settings("triangulate", TriangulateConfig)
    if redo:
        stages.discard(session, "triangulate")
    rig = session.rig
    worth = calibration_error_px(before, rig)

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        rows = before.between(start, stop)
        return triangulate_rows(with_calibration_error(rows, excess_error_px(worth, rows)), rig, config), {}

    origin = stages.origin_of("triangulate", _VERSION, plain(config), before, session)
    place = session.artefact("triangulate", Poses3D)
    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)
