"""People whom a view detects before, after or without being reconstructed, because no other view confirms them.

Detections are linked over time in each view, ten times a second. A track of a view that belongs to a person in 3D in
some frames, and in others is unassigned while that person is not reconstructed, shows the person entering or leaving.
False positives seldom last and become a person; duplicates of a person are beside a pose of the same frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.reporting.figures import share, tidy
from mvcap.reporting.reason import LIMITS, Reason
from mvcap.reporting.single_view_joints import named_views, view_shares
from mvcap.reporting.time_spans import span_in_words
from mvcap.structures.detections import Detections2D, joint_box
from mvcap.structures.poses import Poses3D

_HZ = 10.0  # rate at which detections are linked
_GAP_S = 0.35  # a track of a view ends after so long without a detection
_STEP = 0.4  # distance of the boxes' middles in consecutive detections of a person, of the longer side
_LARGER = 2.0
_SHORT_S = 0.3  # shorter parts of a track are left out
_LONG_S = 1.0  # tracks that never belong to a person count from here, if they move by half their size
_SCORE = 0.5  # a track must have this share of the mean score of the detections that belong to people
_RELEVANT = 0.05
_PLACES = 3
_KEY = np.int64(1) << 32


@dataclass(eq=False)
class _Track:
    """A person in one view over time."""

    frame: int
    box: NDArray[np.float64]
    start: NDArray[np.float64]
    person: int = -1
    pending: list[tuple[int, float]] = field(default_factory=list)
    """Frame and score of the latest detections without a person."""


class UnconfirmedTracks:
    """Finds the detections of views that show a person who is not reconstructed."""

    def __init__(self, rate_hz: float, step: int = 1) -> None:
        """Start with no tracks. step: only the frames whose number it divides were looked at."""
        self._rate_hz = rate_hz
        self._stride = step * max(1, round(rate_hz / step / _HZ))
        self._step_s = self._stride / rate_hz
        self._groups: list[NDArray[np.int64]] = []
        self._open: dict[int, list[_Track]] = {}
        self._parts: list[tuple[int, int, list[tuple[int, float]]]] = []
        self._lonely: list[tuple[int, list[tuple[int, float]]]] = []
        self._score_sum = self._score_count = 0.0
        self._rows = 0

    def add(self, poses: Poses3D) -> None:
        """Add a chunk of poses; all poses must be added before ``link``."""
        kept = poses.frame % self._stride == 0
        columns = (poses.frame, poses.group, poses.person)
        self._groups.append(np.stack([column[kept].astype(np.int64) for column in columns], 1))
        self._rows += int(kept.sum())

    def link(self, chunks: Iterable[Detections2D]) -> Iterator[Detections2D]:
        """Yield chunks of detections, in order of time, unchanged, and link them over time on the way."""
        table = np.concatenate([np.empty((0, 3), np.int64), *self._groups])
        keys = table[:, 0] * _KEY + table[:, 1]
        order = np.argsort(keys)
        keys, people = keys[order], table[order, 2]
        for rows in chunks:
            kept = rows[rows.frame % self._stride == 0]
            if len(kept):
                self._link_chunk(kept, keys, people)
            yield rows
        for view, tracks in self._open.items():
            for track in tracks:
                self._close(view, track)
        self._open = {}

    def _link_chunk(self, rows: Detections2D, keys: NDArray[np.int64], people: NDArray[np.int64]) -> None:
        person = np.full(len(rows), -1)
        if len(keys):
            wanted = rows.frame.astype(np.int64) * _KEY + rows.person
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            person = np.where((keys[at] == wanted) & (rows.person >= 0), people[at], -1)
        score, boxes = rows.score.astype(np.float64).mean(1), joint_box(rows.xy.astype(np.float64))
        self._score_sum += float(score[person >= 0].sum())
        self._score_count += int((person >= 0).sum())
        order = np.lexsort((rows.view, rows.frame))
        place = rows.frame[order].astype(np.int64) * _KEY + rows.view[order]
        for which in np.split(order, np.flatnonzero(np.diff(place)) + 1):
            self._link_frame(int(rows.view[which[0]]), int(rows.frame[which[0]]), boxes[which], person[which],
                             score[which])  # fmt: skip

    def _link_frame(
        self, view: int, frame: int, boxes: NDArray[np.float64], person: NDArray[np.int64], score: NDArray[np.float64]
    ) -> None:
        tracks = []
        for track in self._open.get(view, []):
            if (frame - track.frame) / self._rate_hz <= max(_GAP_S, 1.5 * self._step_s):
                tracks.append(track)
            else:
                self._close(view, track)
        taken = dict(_pairs(np.array([track.box for track in tracks]).reshape(-1, 4), boxes))
        for at, (box, who, sure) in enumerate(zip(boxes, person.tolist(), score.tolist(), strict=True)):
            if at in taken:
                track = tracks[taken[at]]
                track.frame, track.box = frame, box
            else:
                track = _Track(frame, box, box)
                tracks.append(track)
            if who < 0:
                track.pending.append((frame, sure))
                continue
            self._keep(view, who, track.pending)
            track.person, track.pending = who, []
        self._open[view] = tracks

    def _close(self, view: int, track: _Track) -> None:
        if track.person >= 0:
            self._keep(view, track.person, track.pending)
        elif len(track.pending) * self._step_s >= _LONG_S and _distance(track.start[None], track.box[None])[0, 0] > 0.5:
            self._lonely.append((view, track.pending))

    def _keep(self, view: int, person: int, pending: list[tuple[int, float]]) -> None:
        if len(pending) * self._step_s >= _SHORT_S:
            self._parts.append((view, person, pending))

    def summary(self, views: Sequence[str]) -> dict[str, Any]:
        """Return ``share`` of the person-frames that are detected but not reconstructed, ``places`` and ``nobody``.

        places: ``person``, ``from_s``, ``to_s``, ``views`` (name: share) of people before, after or between the parts
        of their track. nobody: ``view``, ``from_s``, ``to_s`` of long tracks of a view that never belong to a person.
        """
        table = np.concatenate([np.empty((0, 3), np.int64), *self._groups])
        there = set((table[:, 2] * _KEY + table[:, 0]).tolist())
        least = _SCORE * self._score_sum / max(self._score_count, 1)
        by_person: dict[int, dict[int, list[int]]] = {}
        for view, person, pending in self._parts:
            if np.mean([score for _, score in pending]) >= least:
                for frame, _ in pending:
                    if person * int(_KEY) + frame not in there:
                        by_person.setdefault(person, {}).setdefault(frame, []).append(view)
        places = [place for person in sorted(by_person) for place in self._spans(person, by_person[person], views)]
        frames = sum(place.pop("frames") for place in places)
        nobody = [
            {"view": views[view], **self._times(pending[0][0], pending[-1][0])}
            for view, pending in self._lonely if np.mean([score for _, score in pending]) >= least
        ]  # fmt: skip
        return {
            "share": share(frames, frames + self._rows),
            "places": sorted(places, key=_time)[: 2 * _PLACES],
            "nobody": sorted(nobody, key=_time)[:_PLACES],
        }

    def _spans(self, person: int, found: dict[int, list[int]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
        frames = np.array(sorted(found))
        apart = np.flatnonzero(np.diff(frames) / self._rate_hz > max(_GAP_S, 1.5 * self._step_s)) + 1
        for span in np.split(frames, apart):
            if len(span) * self._step_s >= _SHORT_S:
                views = np.bincount([view for frame in span.tolist() for view in found[frame]])
                shares = view_shares(dict(enumerate(views.tolist())), names)
                times = self._times(int(span[0]), int(span[-1]))
                yield {"person": person, **times, "views": shares, "frames": len(span)}

    def _times(self, first: int, last: int) -> dict[str, float | None]:
        return {"from_s": tidy(first / self._rate_hz), "to_s": tidy((last + self._stride) / self._rate_hz)}


def _time(place: Mapping[str, Any]) -> float:
    return float(place["from_s"] - place["to_s"])


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance (A, B) of the middles of boxes (A, 4) and (B, 4) by the longest side; inf for very different sizes."""
    size_a, size_b = ((box[:, 2:] - box[:, :2]).max(1, initial=0) for box in (a, b))
    larger, smaller = np.maximum(size_a[:, None], size_b), np.minimum(size_a[:, None], size_b)
    apart = np.linalg.norm((a[:, None, :2] + a[:, None, 2:] - b[:, :2] - b[:, 2:]) / 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(larger <= _LARGER * smaller, apart / larger, np.inf)


def _pairs(tracks: NDArray[np.float64], boxes: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield box and track of the pairs that are near, the nearest first, each used once."""
    apart = _distance(tracks, boxes)
    near = np.argwhere(apart <= _STEP)
    used: tuple[set[int], set[int]] = (set(), set())
    for at in np.argsort(apart[near[:, 0], near[:, 1]], kind="stable").tolist():
        track, box = near[at].tolist()
        if track not in used[0] and box not in used[1]:
            used[0].add(track)
            used[1].add(box)
            yield box, track


def unconfirmed_reasons(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """Reason where people are detected, but not reconstructed, in a relevant part of the take."""
    found = summary.get("unconfirmed") or {}
    if (found.get("share") or 0) <= _RELEVANT:
        return
    yield Reason(
        LIMITS,
        f"in {found['share']:.0%} of their frames people are detected but not reconstructed, as other views do not "
        f"confirm them: {'; '.join(map(unconfirmed_place, found['places'][:_PLACES]))}: there are no poses at these "
        f"times: add views that see them",
    )


def unconfirmed_place(place: Mapping[str, Any]) -> str:
    """Return a place of ``unconfirmed`` in words."""
    when = span_in_words(place)
    if "view" in place:
        return f"{place['view']} {when}: detections of a person that no other view confirms, not reconstructed"
    views = place["views"]
    by = named_views(views) if len(views) == 1 else ", ".join(f"{name} ({part:.0%})" for name, part in views.items())
    return f"person {place['person']} {when} by {by}, not reconstructed"
