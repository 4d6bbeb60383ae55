"""The verb ``associate``: who is who across the views of each frame."""

from __future__ import annotations

from pathlib import Path

from mvcap import plugins, stages
from mvcap.association.left_right_swaps import correct_swaps
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session

_VERSION = 3
_CHUNK_FRAMES = 100


def associate(
    session: str | Path | Session, *, redo: bool = False, progress: Progress = silent
) -> Artefact[Detections2D]:
    """Fill the column ``person`` of a session's detections, frame by frame, with the associator its settings name.

    Where the views of a person contradict each other about left and right, the minority's joints are exchanged.
    """
    session = session if isinstance(session, Session) else Session.open(session)
    before = stages.detections(session, "estimate")
    associator, settings = plugins.load_plugin("associator", session.overrides)
    if redo:
        stages.discard(session, "associate")
    rig = session.rig

    def make(start: int, stop: int, state: State) -> tuple[Detections2D, State]:
        rows, state = associator.associate(before.between(start, stop), rig, session.rate_hz, state)
        return correct_swaps(rows, rig), state

    settings = {**settings, **plugins.weight_identities(associator, rig)}
    origin = stages.origin_of("associate", _VERSION, settings, before, session)
    place = session.artefact("associate", Detections2D)
    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)
