"""The stages of a reconstruction in order, and how one is run: by chunks, resumed where it stood, refused if stale."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from mvcap.errors import SessionError
from mvcap.progress import Progress
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.table import Table

T = TypeVar("T", bound=Table)
Make = Callable[[int, int, State], tuple[T, State]]
"""Rows of frames start to stop (exclusive) from the state at their beginning, and the state at their end."""

STAGES: tuple[str, ...] = ("estimate", "associate", "triangulate", "track", "refine")
"""Each needs the one before it; each leaves an artefact of its own name."""

CHUNK_FRAMES = 50
"""Frames that are lost at most when a stage is killed; the images of a chunk are never held together."""


def discard(session: Session, stage: str) -> None:
    """Remove what a stage made, and what later stages made of it."""
    for name in reversed(STAGES[STAGES.index(stage) :]):
        session.artefact(name, Table).remove()


def detections(session: Session, stage: str) -> Artefact[Detections2D]:
    """Return the finished detections of ``estimate`` or ``associate``; SessionError where they are not there."""
    return _finished(session.artefact(stage, Detections2D))


def poses(session: Session, stage: str) -> Artefact[Poses3D]:
    """Return the finished poses of ``triangulate``, ``track`` or ``refine``; SessionError where they are not there."""
    return _finished(session.artefact(stage, Poses3D))


def _finished(artefact: Artefact[T]) -> Artefact[T]:
    if not artefact.complete:
        folder = artefact.folder.parent.parent
        raise SessionError(f"{folder}: stage {artefact.name!r} is not done; run `mvcap {artefact.name} {folder}` first")
    return artefact


def run_stage(
    session: Session,
    place: Artefact[T],
    origin: Origin,
    skeleton: str,
    make: Make[T],
    progress: Progress,
    chunk_frames: int = CHUNK_FRAMES,
) -> Artefact[T]:
    """Fill an artefact chunk by chunk; what is there already is kept. StaleError where another one stands."""
    place.begin(origin, skeleton, session.frames, chunk_frames)
    if place.complete:
        return place
    seconds = float((place.manifest or {}).get("seconds", 0.0))
    state: State = {}
    resumed = False
    for start, stop in place.ranges():
        if place.has(start):
            resumed, last = True, start
            continue
        if resumed:
            state, resumed = place.state(last), False
        begun = time.perf_counter()
        with threadpool_limits(1, user_api="blas"):  # matrices are small: threads would wait for each other
            rows, state = make(start, stop, state)
        place.write(start, rows, state)
        seconds += time.perf_counter() - begun
        place.note(seconds=round(seconds, 3))
        progress(place.name, stop, session.frames)
    place.finish()
    return place


def origin_of(stage: str, version: int, settings: Mapping[str, Any], before: Artefact[Any], session: Session) -> Origin:
    """Origin of a stage that works on the artefact of the one before it, with the session's rig."""
    return Origin(stage, version, settings, {before.name: before.fingerprint, "rig": session.rig_identity})
