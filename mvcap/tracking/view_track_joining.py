"""Second pass of tracking in one view: which tracks are one person who was out of sight for a while, and which nobody.

Only sums and the first and last moments of a track are kept, so memory grows with the number of tracks and not with the
take. Two tracks are joined where the end of one, moved on, is near the beginning of the other: the evidence in nats is
the logarithm of the density of the place and size that are found, over that of a new person anywhere in the picture.
Pairs are chosen one to one by the Hungarian algorithm; where another pair explains a track nearly as well, it is left
alone. Lengths are in units of the body's size in the picture, which is about a metre.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.tracking.tracklets import TrackConfig
from mvcap.tracking.view_tracks import torso_middles

_ENDS_S = 0.3  # how much of the beginning and of the end of a track is kept
_PLACE, _SIZE = 0.1, 0.2  # standard deviations of a place, and of the logarithm of a size
_SIZE_RATE = 0.15  # growth of the latter per second
_STOPS_S = 0.7  # time after which a velocity says nothing any more
_SURE_NATS = 1.0  # how much better than any other a pair must be
_RETURN_NATS = 1.5  # prior of a person who comes back against a new one
_LEAST_FRAMES = 2
_SPREAD_S2 = 0.01  # s^2, sum of squared times that makes a velocity as sure as not knowing it


@dataclass
class _Track:
    """What is kept of one track: frame, place (2) and size of its first and last moments."""

    frames: int = 0
    begin: list[tuple[int, float, float, float]] = field(default_factory=list)
    end: list[tuple[int, float, float, float]] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.begin[0][0]

    @property
    def last(self) -> int:
        return self.end[-1][0]


class ViewTrackJoiner:
    """Collects the tracks of a view, chunk by chunk, and says which person each of them is."""

    def __init__(self, config: TrackConfig, rate_hz: float, size: tuple[int, int]) -> None:
        """Start without tracks. size (w, h) px: of the picture."""
        self.config, self.rate_hz, self._size = config, rate_hz, size
        self._tracks: dict[int, _Track] = {}
        self._reach = max(1, round(_ENDS_S * rate_hz))

    def add(self, rows: Detections2D) -> None:
        """Add a chunk of rows with track numbers in ``person``, in order of frames."""
        middle, size = torso_middles(rows), np.maximum(body_size(joint_box(rows.xy.astype(np.float64))), 1.0)
        for at in np.flatnonzero(rows.person >= 0).tolist():
            one = self._tracks.setdefault(int(rows.person[at]), _Track())
            moment = (int(rows.frame[at]), float(middle[at, 0]), float(middle[at, 1]), float(size[at]))
            one.frames += 1
            if not one.begin or moment[0] - one.first <= self._reach:
                one.begin.append(moment)
            one.end = [held for held in one.end if moment[0] - held[0] <= self._reach]
            one.end.append(moment)

    def persons(self) -> tuple[NDArray[np.int32], dict[str, Any]]:
        """Return the person (N,) of each track, 1, 2, 3 ... as they appear, 0 = nobody; and the record of changes.

        The record has the keys of ``mvcap track``'s: tracklets, people, counts, changes, not_listed and dropped.
        """
        idents = sorted(self._tracks)
        tracks = [self._tracks[ident] for ident in idents]
        after = {} if self.config.live else self._joins(tracks)
        chains = _chains(len(tracks), after)
        least = max(_LEAST_FRAMES, self.config.min_seconds * self.rate_hz) if self.config.min_seconds else 1
        kept = [chain for chain in chains if sum(tracks[at].frames for at in chain) >= least]
        kept.sort(key=lambda chain: (tracks[chain[0]].first, chain[0]))
        out = np.zeros(max(idents, default=-1) + 1, np.int32)
        for number, chain in enumerate(kept, 1):
            out[[idents[at] for at in chain]] = number
        changes = [
            {"what": "joined", "person": int(out[idents[a]]), "other": int(out[idents[b]]), "frame": tracks[b].first,
             "why": f"seen again {(tracks[b].first - tracks[a].last) / self.rate_hz:.2f} s later where its motion led",
             "figures": {"frames": float(tracks[b].frames)}}
            for a, b in sorted(after.items()) if out[idents[a]]
        ]  # fmt: skip
        short = [chain for chain in chains if sum(tracks[at].frames for at in chain) < least]
        return out, {**_record(len(tracks), len(kept), changes), "dropped": self._dropped(tracks, short)}

    def _joins(self, tracks: list[_Track]) -> dict[int, int]:
        """Track that each track goes on as."""
        from scipy.optimize import linear_sum_assignment

        if len(tracks) < 2:
            return {}
        nats = self._nats(tracks)
        rows, columns = np.flatnonzero((nats > 0).any(1)), np.flatnonzero((nats > 0).any(0))
        inner = np.maximum(nats[np.ix_(rows, columns)], -1.0)
        found = {}
        for row, column in zip(*linear_sum_assignment(-inner), strict=True):
            value = inner[row, column]
            others = np.concatenate([np.delete(inner[row], column), np.delete(inner[:, column], row)])
            if value > 0 and value - others.max(initial=0.0) > _SURE_NATS:
                found[int(rows[row])] = int(columns[column])
        return found

    def _nats(self, tracks: list[_Track]) -> Floats:
        """Evidence (N, N) that a track (row) goes on as another (column); -inf where their times do not allow it."""
        ends, starts = (np.array([_line(part, self.rate_hz) for part in parts]) for parts in (
            [one.end for one in tracks], [one.begin[::-1] for one in tracks]))  # fmt: skip
        last, first = (np.array([getattr(one, end) for one in tracks]) for end in ("last", "first"))
        gap = (first[None] - last[:, None]) / self.rate_hz
        possible = (gap > 0) & (gap <= self.config.join_s)
        lasting = _STOPS_S * -np.expm1(-np.maximum(gap, 0) / _STOPS_S)[..., None] / 2
        size = np.sqrt(ends[:, None, 4] * starts[None, :, 4])
        here = ends[:, None, :2] + lasting * ends[:, None, 2:4]
        there = starts[None, :, :2] - lasting * starts[None, :, 2:4]
        off = np.linalg.norm(here - there, axis=-1) / size
        moved = np.minimum(self.config.acceleration_mps2 * gap / 4, self.config.speed_mps) * np.maximum(gap, 0)
        unknown = self.config.speed_mps * lasting[..., 0] * np.hypot(ends[:, None, 5], starts[None, :, 5])
        sigma = np.sqrt(_PLACE**2 + moved**2 + unknown**2)
        size_sigma = _SIZE + _SIZE_RATE * np.maximum(gap, 0)
        resized = np.log(starts[None, :, 4] / ends[:, None, 4]) / size_sigma
        room = self._size[0] * self._size[1] / size**2
        nats = np.log(np.maximum(room, 1.0) / (2 * np.pi * sigma**2)) - (off**2 + resized**2) / 2 + _RETURN_NATS
        return np.where(possible, nats, -np.inf)

    def _dropped(self, tracks: list[_Track], short: list[list[int]]) -> dict[str, Any]:
        frames = [sum(tracks[at].frames for at in chain) for chain in short]
        spans = [(tracks[chain[-1]].last - tracks[chain[0]].first + 1) / self.rate_hz for chain in short]
        counts = {"persons": len(frames), "person_frames": sum(frames)}
        reasons = {"duration": {**counts, "longest_s": round(max(spans), 4)}} if frames else {}
        return {**counts, "of_person_frames": sum(one.frames for one in tracks), "reasons": reasons}


def _line(moments: list[tuple[int, float, float, float]], rate_hz: float) -> list[float]:
    """Place (2) at the last of the moments, velocity (2) per second by least squares, drawn to 0, and median size.

    Last, how far the velocity is drawn to 0: 1 of a single moment, which tells nothing of it.
    """
    held = np.array(moments)
    time = (held[:, 0] - held[-1, 0]) / rate_hz
    centred = time - time.mean()
    spread = float((centred**2).sum())
    speed = centred @ held[:, 1:3] / (spread + _SPREAD_S2)
    place = held[:, 1:3].mean(0) - speed * time.mean()
    return [*place.tolist(), *speed.tolist(), float(np.median(held[:, 3])), _SPREAD_S2 / (spread + _SPREAD_S2)]


def _chains(count: int, after: dict[int, int]) -> list[list[int]]:
    """Tracks of each person, in order of time."""
    first = set(range(count)) - set(after.values())
    out = []
    for at in sorted(first):
        chain = [at]
        while chain[-1] in after:
            chain.append(after[chain[-1]])
        out.append(chain)
    return out


def _record(tracklets: int, people: int, changes: list[dict[str, Any]]) -> dict[str, Any]:
    most = 300
    counts = {"joined": len(changes)} if changes else {}
    left = max(0, len(changes) - most)
    return {"tracklets": tracklets, "people": people, "counts": counts, "changes": changes[:most], "not_listed": left}


def joined_persons(idents: Ints, person: NDArray[np.int32]) -> NDArray[np.int32]:
    """Person (M,) of tracks (M,), 0 = nobody; person (N,): of each track, as ``ViewTrackJoiner.persons`` gives it."""
    named = np.append(person, 0)
    return np.asarray(named[np.where((idents >= 0) & (idents < len(person)), idents, -1)])
