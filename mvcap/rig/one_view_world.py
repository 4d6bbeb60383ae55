"""The world of a take of one view: that of its calibration where it is level, else z up from the people in it."""

from __future__ import annotations

import shutil

from calib.errors import CalibrationError
from mvcap import stages
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.reporting.world_frame import WorldFrame
from mvcap.rig.level import evenly
from mvcap.rig.level_world import level_world
from mvcap.rig.moved_session import finish_move, move_session
from mvcap.structures.assumed_camera import lens_of
from mvcap.structures.npz import written_whole
from mvcap.structures.session import GIVEN_RIG, Session

WORLD = "world"
"""Key of the manifest of ``refine`` that says where the world of a session of one view comes from."""


def level_one_view(session: Session, progress: Progress = silent) -> Session:
    """Return a refined session of one view in a world with z up and the floor at z = 0, once for each refinement.

    A calibration whose world is level stays as it is. Otherwise z points along people who stand, and z = 0 is below
    their feet; where too few stand, the world stays. The manifest of ``refine`` says which.
    """
    finish_move(session)  # of a run that was killed
    session = Session.open(session.folder)
    refined = stages.poses(session, "refine")
    if WORLD in (refined.manifest or {}):
        return session
    rows = evenly(refined)
    world = WorldFrame(refined.skeleton)
    for part in rows:
        world.add(part)
    facts = world.facts(session.rig)
    if lens_of(session.notes).source == "rig" and (facts is None or facts["turned_nats"] <= 0):
        refined.note(**{WORLD: {"up": "rig", "lines": []}})
        return session
    try:
        found = level_world(session.rig, rows, session.rate_hz)
    except (CalibrationError, InputError) as fault:
        refined.note(**{WORLD: {"up": "unknown", "lines": [str(fault)]}})
        return session
    if not (session.folder / GIVEN_RIG).exists():
        with written_whole(session.folder / GIVEN_RIG) as temporary:
            shutil.copyfile(session.folder / "rig.yaml", temporary)
    move_session(session, found.new_from_old, 1.0, progress)
    moved = Session.open(session.folder)
    stages.poses(moved, "refine").note(**{WORLD: {"up": "people", "lines": list(found.lines)}})
    return moved
