"""The verb ``track``: one identity per person over time.

Two passes over the take, both with constant memory. The first links each frame's people to the people tracked so far.
The second uses the whole take: duplicates are merged, identity switches repaired, people who were occluded or return
are re-identified by motion and limb lengths, false positives are dropped, and people are numbered 1, 2, 3 ... in the
order in which they appear. Live, a number depends on observations up to a bounded delay later, and nothing is repaired.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Ints
from mvcap import plugins, stages
from mvcap.config import build, plain
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_checks import check_poses, check_rate, take_length
from mvcap.structures.row_source import RowsInMemory, RowSource
from mvcap.structures.session import Session
from mvcap.tracking.online_ids import OnlineIds
from mvcap.tracking.tracklet_linking import TrackletLinker
from mvcap.tracking.tracklet_merging import TrackletMerger
from mvcap.tracking.tracklets import TrackConfig
from mvcap.tracking.view_track_joining import ViewTrackJoiner, joined_persons

_VERSION = 4
_CHUNK_FRAMES = 250
_LISTED = 300  # most changes listed in the record; the rest is only counted

Names = Callable[[Ints, Ints], NDArray[np.int32]]
"""Person (M,) of tracklets (M,) at frames (M,); 0 = no person."""
Links = list[NDArray[np.int32]]
"""Tracklet (M,) of the rows of each chunk; -1 = no person."""


def track(session: str | Path | Session, *, redo: bool = False, progress: Progress = silent) -> Artefact[Poses3D]:
    """Renumber the people of a session's poses so that each has one number over the whole take.

    The manifest lists what was merged, repaired, re-identified and dropped under ``identities``; ``dropped`` in it
    counts the persons and person-frames by reason. In a session of one view, the tracks of ``associate`` are joined by
    where they are in its pictures.
    """
    session = Session.of(session)
    before = stages.poses(session, "triangulate")
    config = session.settings("track", TrackConfig)
    if redo:
        stages.discard(session, "track")
    place = session.artefact("track", Poses3D)
    origin = stages.origin_of("track", _VERSION, plain(config), before, session)
    place.begin(origin, before.skeleton_name, session.frames, _CHUNK_FRAMES)
    if place.complete:
        return place
    begun = time.perf_counter()
    step = stages.frame_step(session)
    if len(session.views) == 1:
        found = stages.detections(session, "associate")
        links, names, record = _link_view(before, found, config, session.rate_hz / step, session.views[0].size, step)
    else:
        links, names, record = _link_all(before, config, session.rate_hz, _follows(session), step)
    if "identities" not in (place.manifest or {}):
        place.note(identities=record, seconds=round(time.perf_counter() - begun, 3))
    source = _RenumberedRows(before, links, names)

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        return source.rows(start, stop), {}

    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def track_rows(
    poses: Poses3D, *, rate_hz: float = 25.0, follows: bool = True, frames: int | None = None, **settings: Any
) -> Poses3D:
    """Give each person of a take one number over time: ``person`` (M,) becomes 1, 2, 3 ... as people appear.

    Two passes, as ``track`` does: rows that are false positives or duplicates are dropped. rate_hz: frames a second.
    follows: whether ``person`` means the same from frame to frame, as ``associate_rows`` has it; False for an
    association of single frames. frames: length of the take. ``settings`` are fields of ``TrackConfig``. Raises
    ConfigError for a setting that does not exist.
    """
    count = take_length(frames, check_poses(poses))
    source = RowsInMemory(poses, count, _CHUNK_FRAMES)
    links, names, _ = _link_all(source, build(TrackConfig, settings, "track"), check_rate(rate_hz), follows)
    return _RenumberedRows(source, links, names).rows(0, count)


def track_lifted_rows(
    poses: Poses3D, found: Detections2D, size: tuple[int, int], *, rate_hz: float = 25.0, frames: int | None = None,
    **settings: Any,
) -> Poses3D:  # fmt: skip
    """Give each person of a take of one view one number over time, as ``track`` does.

    poses: lifted, with the tracks of the associated detections found in ``person``. size (w, h) px: of the picture.
    rate_hz, frames, settings: as of ``track_rows``.
    """
    count = take_length(frames, check_poses(poses), found)
    source, rows = RowsInMemory(poses, count, _CHUNK_FRAMES), RowsInMemory(found, count, _CHUNK_FRAMES)
    links, names, _ = _link_view(source, rows, build(TrackConfig, settings, "track"), check_rate(rate_hz), size)
    return _RenumberedRows(source, links, names).rows(0, count)


def _link_view(
    before: RowSource[Poses3D],
    found: RowSource[Detections2D],
    config: TrackConfig,
    rate_hz: float,
    size: tuple[int, int],
    step: int = 1,
) -> tuple[Links, Names, dict[str, Any]]:
    """The same for one view: tracks are those of its associated detections, and their places in the picture tell.

    rate_hz: of the frames that were looked at.
    """
    joiner = ViewTrackJoiner(config, rate_hz, size)
    for rows in found.chunks():
        joiner.add(rows.with_columns(frame=rows.frame // step))
    person, record = joiner.persons()
    links = [rows.person for rows in before.chunks()]

    def names(idents: Ints, frames: Ints) -> NDArray[np.int32]:
        return joined_persons(idents, person)

    record["changes"] = [{**one, "frame": one["frame"] * step} for one in record["changes"]]
    return links, names, record


def _follows(session: Session) -> bool:
    """Whether the associator's numbers mean the same person from frame to frame."""
    name = session.overrides.get("associator", plugins.DEFAULT["associator"])
    return bool(getattr(plugins.plugin_class("associator", name), "follows", False))


def _link_all(
    before: RowSource[Poses3D], config: TrackConfig, rate_hz: float, follows: bool, step: int = 1
) -> tuple[Links, Names, dict[str, Any]]:
    """First pass: tracklet of every row by chunk (four bytes a row), their persons, and the record of changes.

    step: only the frames whose number it divides were looked at; nobody is missed in the others.
    """
    linker = TrackletLinker(before.skeleton, config, rate_hz / step, follows)
    if config.live:
        return _link_live(before, OnlineIds(linker), step)
    links = [linker.link_rows(rows.with_columns(frame=rows.frame // step)) for rows in before.chunks()]
    linker.end()
    frames = -(-before.ranges()[-1][1] // step) if before.ranges() else 0
    found = TrackletMerger(linker.tracklets, linker.encounters, linker.tracker.switches, follows, frames)
    person = found.persons()
    named = np.append(person, 0)  # segment -1 is no person

    def names(idents: Ints, frames: Ints) -> NDArray[np.int32]:
        return np.asarray(named[linker.tracklets.pieces_at(idents, frames // step)])

    changes = [{**one, "frame": one["frame"] * step} for one in found.record(person)]
    record = _record(len(linker.tracklets.pieces), int(person.max(initial=0)), changes, found.unlisted)
    record["frames_per_track"] = round(found.frames_per_track, 2)
    record["dropped"] = found.dropped(linker.too_few)
    return links, names, record


def _link_live(before: RowSource[Poses3D], online_ids: OnlineIds, step: int) -> tuple[Links, Names, dict[str, Any]]:
    """The first pass of a live view: frame by frame, without a second pass."""
    links = []
    for rows in before.chunks():
        rows = rows.with_columns(frame=rows.frame // step)
        idents = np.full(len(rows), -1, np.int32)
        for frame in np.unique(rows.frame):
            mine = np.flatnonzero(rows.frame == frame)
            idents[mine] = online_ids.link(rows[mine])
        links.append(idents)
    online_ids.end()
    tracklets = len(online_ids.linker.tracklets.pieces)

    def names(idents: Ints, frames: Ints) -> NDArray[np.int32]:
        return online_ids.names(idents, frames // step)

    changes = [{**one, "frame": one["frame"] * step} for one in online_ids.changes]
    return links, names, _record(tracklets, len(online_ids.people), changes)


def _record(tracklets: int, people: int, changes: list[dict[str, Any]], unlisted: int = 0) -> dict[str, Any]:
    """The entry ``identities`` of the manifest."""
    counts = Counter(one["what"] for one in changes)
    counts["dropped"] += unlisted
    drops = [one for one in changes if one["what"] == "dropped"]
    # Takes with many false positives have many drops, which must not push the repairs out of the list.
    longest = sorted(drops, key=lambda one: -one["figures"]["frames"])[: _LISTED // 2]
    listed = [one for one in changes if one["what"] != "dropped"][: _LISTED - len(longest)] + longest
    listed.sort(key=lambda one: (one["frame"], one["what"]))
    left = sum(counts.values()) - len(listed)
    return {"tracklets": tracklets, "people": people, "counts": dict(counts), "changes": listed, "not_listed": left}


class _RenumberedRows:
    """Second pass: rows with person numbers, read in order in other ranges than they were written in."""

    def __init__(self, before: RowSource[Poses3D], links: Links, names: Names) -> None:
        self._chunks = zip(before.chunks(), links, strict=True)
        self._names = names
        self._pending = Poses3D.empty(before.skeleton)
        self._read_to = iter(stop for _, stop in before.ranges())
        self._to = 0

    def rows(self, start: int, stop: int) -> Poses3D:
        """Rows of frames start to stop; ranges must be requested in order, and some may be left out."""
        parts = [self._pending]
        while self._to < stop:
            rows, idents = next(self._chunks)
            self._to = next(self._read_to)
            person = self._names(idents.astype(np.int64), rows.frame.astype(np.int64))
            parts.append(drop_duplicates(rows.with_columns(person=person)[person > 0]))
        pending = Poses3D.concatenate(parts, self._pending.skeleton)
        self._pending = pending[pending.frame >= stop]
        return pending[(pending.frame >= start) & (pending.frame < stop)]


def drop_duplicates(rows: Poses3D) -> Poses3D:
    """Rows without duplicates: of several of a person in a frame, the one with most views and highest score."""
    weight = (rows.score * rows.views).sum(-1)
    order = np.lexsort((-weight, rows.person, rows.frame))
    key = np.stack([rows.frame[order], rows.person[order]])
    first = np.ones(len(rows), np.bool_)
    first[1:] = (key[:, 1:] != key[:, :-1]).any(0)
    return rows[np.sort(order[first])]
