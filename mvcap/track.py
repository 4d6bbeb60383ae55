"""The verb ``track``: one id per person through time.

Two passes over the take, both of flat memory. The first links each frame's people to the ones followed so far: a
constant-velocity Kalman filter of the torso predicts where each body is, and people are assigned to predictions one to
one, at a typical joint distance in standard deviations. The second looks at whole tracklets: those too short to be a
person are dropped, a tracklet that continues another is joined to it, and people are numbered 1, 2, 3 ... as they
appear.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap import stages
from mvcap.config import plain
from mvcap.progress import Progress, silent
from mvcap.stages import State
from mvcap.structures.artefact import Artefact
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton
from mvcap.tracklets import Followed, TrackConfig, Tracklets

_VERSION = 1
_CHUNK_FRAMES = 250


def track(session: str | Path | Session, *, redo: bool = False, progress: Progress = silent) -> Artefact[Poses3D]:
    """Rename the people of a session's poses so that each has one number through time."""
    session = session if isinstance(session, Session) else Session.open(session)
    before = stages.poses(session, "triangulate")
    config = session.settings("track", TrackConfig)
    if redo:
        stages.discard(session, "track")
    place = session.artefact("track", Poses3D)
    origin = stages.origin_of("track", _VERSION, plain(config), before, session)
    place.begin(origin, before.skeleton_name, session.frames, _CHUNK_FRAMES)
    if place.complete:
        return place
    links, persons = _link_all(before, config, session.rate_hz)
    source = _Renamed(before, [persons[ident] for ident in links])

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        return source.rows(start, stop), {}

    return stages.run(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def _link_all(
    before: Artefact[Poses3D], config: TrackConfig, rate_hz: float
) -> tuple[list[NDArray[np.int32]], NDArray[np.int32]]:
    """First pass: tracklet number of every row by chunk (four bytes a row), and the person each tracklet is."""
    followed, tracklets = Followed(skeleton(before.skeleton_name)), Tracklets()
    links = []
    for rows in before.chunks():
        idents = np.full(len(rows), -1, np.int32)
        for frame in np.unique(rows.frame):
            mine = np.flatnonzero((rows.frame == frame) & (rows.score > 0).any(-1))
            if len(mine):
                idents[mine] = followed.link(rows[mine], config, rate_hz)
                tracklets.add(rows[mine], idents[mine])
        links.append(idents)
    return links, np.append(tracklets.persons(config, rate_hz), 0)  # -1, a body without joints, is nobody


class _Renamed:
    """Second pass: rows with persons, read from front to back in other ranges than they were written in."""

    def __init__(self, before: Artefact[Poses3D], persons: list[NDArray[np.int32]]) -> None:
        self._chunks = zip(before.chunks(), persons, strict=True)
        self._held = Poses3D.empty(skeleton(before.skeleton_name))
        self._read_to = iter(stop for _, stop in before.ranges())
        self._to = 0

    def rows(self, start: int, stop: int) -> Poses3D:
        """Rows of frames start to stop; ranges are asked for in order, and some may be left out."""
        parts = [self._held]
        while self._to < stop:
            rows, person = next(self._chunks)
            self._to = next(self._read_to)
            parts.append(rows.with_columns(person=person)[person > 0])
        held = Poses3D.concatenate(parts, self._held.skeleton)
        self._held = held[held.frame >= stop]
        return held[(held.frame >= start) & (held.frame < stop)]
