"""The verb ``triangulate``: associated detections and a rig become 3D skeletons, with the evidence for every joint."""

from __future__ import annotations

from pathlib import Path

from calib import Rig
from calib.arrays import Floats
from mvcap import plugins, stages
from mvcap.config import plain
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.assumed_camera import lens_of
from mvcap.structures.contracts import Lifter, RootDepth, State
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_source import RowsInMemory, RowSource
from mvcap.structures.session import Session
from mvcap.triangulation.calibration_error import calibration_error_px
from mvcap.triangulation.lifted_people import LIFT_REACH_S, lifted_rows
from mvcap.triangulation.robust_triangulation import TriangulateConfig, triangulate_rows

_VERSION = 3
_CHUNK_FRAMES = 200


def triangulate(session: str | Path | Session, *, redo: bool = False, progress: Progress = silent) -> Artefact[Poses3D]:
    """Triangulate the people of every frame of a session; of a session of one view, lift them from their tracks."""
    session = Session.of(session)
    before = stages.detections(session, "associate")
    config = session.settings("triangulate", TriangulateConfig)
    rig = session.rig
    if len(rig) == 1:
        lifter, root_depth, settings = plugins.lifting_of(session.overrides, rig)
    if redo:
        stages.discard(session, "triangulate")
    place = session.artefact("triangulate", Poses3D)
    if len(rig) == 1:
        reach, focal_sigma = round(LIFT_REACH_S * session.rate_hz), lens_of(session.notes).focal_sigma

        def lift(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
            seen = before.between(start - reach, stop + reach)
            made = lifted_rows(seen, rig, session.rate_hz, lifter, root_depth, focal_sigma)
            return made[(made.frame >= start) & (made.frame < stop)], {}

        origin = stages.origin_of("triangulate", _VERSION, settings, before, session)
        return stages.run_stage(session, place, origin, before.skeleton_name, lift, progress, _CHUNK_FRAMES)
    error_px = calibration_error_px(before, rig)

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        return triangulate_rows(_with_people(before, start, stop), rig, config, error_px), {}

    origin = stages.origin_of("triangulate", _VERSION, plain(config), before, session)
    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def triangulate_source(
    found: RowSource[Detections2D], rig: Rig, config: TriangulateConfig, calibration_px: Floats, frames: int
) -> Poses3D:
    """Triangulate a whole take in the same chunks as a session."""
    ranges = RowsInMemory(Poses3D.empty(found.skeleton), frames, _CHUNK_FRAMES).ranges()
    parts = [triangulate_rows(_with_people(found, start, stop), rig, config, calibration_px) for start, stop in ranges]
    return Poses3D.concatenate(parts, found.skeleton)


def lift_source(
    found: RowSource[Detections2D], rig: Rig, rate_hz: float, lifter: Lifter, root_depth: RootDepth, frames: int
) -> Poses3D:
    """Lift a whole take of one view in the same chunks as a session."""
    reach, parts = round(LIFT_REACH_S * rate_hz), []
    for start, stop in RowsInMemory(Poses3D.empty(found.skeleton), frames, _CHUNK_FRAMES).ranges():
        made = lifted_rows(found.between(start - reach, stop + reach), rig, rate_hz, lifter, root_depth)
        parts.append(made[(made.frame >= start) & (made.frame < stop)])
    return Poses3D.concatenate(parts, found.skeleton)


def _with_people(found: RowSource[Detections2D], start: int, stop: int) -> Detections2D:
    """Return the rows of frames start to stop (exclusive); none if nobody is among them, of which it would warn."""
    rows = found.between(start, stop)
    return rows if (rows.person >= 0).any() else rows[:0]
