"""The stages of a reconstruction in order, and how one is run: in chunks, resumable, with an error if it is stale."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from mvcap.errors import SessionError
from mvcap.progress import Progress
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D
from mvcap.structures.own_files import folder_in_use
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.table import Table

T = TypeVar("T", bound=Table)
Make = Callable[[int, int, State], tuple[T, State]]
"""Given frames start to stop (exclusive) and the state before them, returns their rows and the state after them."""

STAGES: tuple[str, ...] = ("estimate", "associate", "triangulate", "track", "refine")
"""Each stage needs the result of the one before it and writes an artefact of its own name."""

CHUNK_FRAMES = 50
"""Frames per chunk: at most these are lost when a stage is killed. A chunk's images are never all in memory at once."""


EVERY = "estimate.every"
"""Key of the settings of the artefact ``estimate`` that was made from every N-th frame only; absent if N is 1."""


def frame_step(session: Session) -> int:
    """Return N if the finished detections of a session are those of every N-th frame, whose numbers N divides."""
    recorded = session.artefact("estimate", Detections2D).manifest or {}
    step = (recorded.get("settings") or {}).get(EVERY, 1)
    return step if isinstance(step, int) and step > 0 else 1


def origins(session: Session) -> dict[str, str]:
    """Return the fingerprints of the results that a session has, by stage."""
    held = {name: session.artefact(name, Table).manifest for name in STAGES}
    return {name: str(manifest["fingerprint"]) for name, manifest in held.items() if manifest}


@contextmanager
def sole_use(session: Session) -> Iterator[None]:
    """Keep other processes from making or removing results of a session; SessionError while one does."""
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_in_use(session.folder))
        except BlockingIOError as fault:
            raise SessionError(
                f"{session.folder}: another mvcap is working on this session; wait until it has ended, or stop it"
            ) from fault
        yield


def discard(session: Session, stage: str) -> None:
    """Remove the results of a stage and of all later stages; SessionError while another process makes some."""
    with sole_use(session):
        for name in reversed(STAGES[STAGES.index(stage) :]):
            session.artefact(name, Table).remove()


def detections(session: Session, stage: str) -> Artefact[Detections2D]:
    """Return the finished detections of ``estimate`` or ``associate``; SessionError if it is not done."""
    return _finished(session.artefact(stage, Detections2D), session.frames)


def poses(session: Session, stage: str) -> Artefact[Poses3D]:
    """Return the finished poses of ``triangulate``, ``track`` or ``refine``; SessionError if it is not done."""
    return _finished(session.artefact(stage, Poses3D), session.frames)


def _finished(artefact: Artefact[T], frames: int) -> Artefact[T]:
    if not artefact.complete:
        folder = artefact.folder.parent.parent
        raise SessionError(f"{folder}: stage {artefact.name!r} is not done; run `mvcap {artefact.name} {folder}` first")
    _check_frames(artefact, frames)
    return artefact


def _check_frames(artefact: Artefact[T], frames: int) -> None:
    made = int((artefact.manifest or {})["frames"])
    if made != frames:
        raise SessionError(
            f"{artefact.folder.parent.parent}: session.yaml has {frames} frames, stage {artefact.name!r} {made}: the "
            "file was changed; put the right number back"
        )


def run_stage(
    session: Session,
    place: Artefact[T],
    origin: Origin,
    skeleton: str,
    make: Make[T],
    progress: Progress,
    chunk_frames: int = CHUNK_FRAMES,
) -> Artefact[T]:
    """Fill an artefact chunk by chunk, keeping finished chunks and resuming from the state of the last one.

    StaleError if an artefact made with other settings or inputs exists, SessionError for one of another length, and
    while another process works on the session.
    """
    with sole_use(session):
        return _filled(session, place, origin, skeleton, make, progress, chunk_frames)


def _filled(
    session: Session,
    place: Artefact[T],
    origin: Origin,
    skeleton: str,
    make: Make[T],
    progress: Progress,
    chunk_frames: int,
) -> Artefact[T]:
    place.begin(origin, skeleton, session.frames, chunk_frames)
    _check_frames(place, session.frames)
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
        with threadpool_limits(1, user_api="blas"):  # matrices are small: BLAS threads only slow it down
            rows, state = make(start, stop, state)
        place.write(start, rows, state)
        seconds += time.perf_counter() - begun
        place.note(seconds=round(seconds, 3))
        progress(place.name, stop, session.frames)
    place.finish()
    return place


def origin_of(stage: str, version: int, settings: Mapping[str, Any], before: Artefact[Any], session: Session) -> Origin:
    """Return the origin of a stage whose inputs are the previous stage's artefact and the session's rig."""
    return Origin(stage, version, settings, {before.name: before.fingerprint, "rig": session.rig_identity})
