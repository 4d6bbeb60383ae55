"""Features of tracklet segments: their frames, start and end states, limb lengths, and how well they were observed.

A segment (``piece``) is a stretch of a tracklet in which it is certain enough that a single body was tracked. It ends
where the body was lost for a moment, and at the closest moment of an encounter of two bodies, where their identities
may have been switched. Only sums are kept for a segment, so memory does not grow with the take. Limbs are measured
outside encounters only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.errors import ConfigError
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.tracking.limb_reid import MOMENTS, limb_sums

ROW_SUMS = 5
"""Number of sums that ``person_evidence.row_sums`` has for a row."""
LOST_S = 0.2
"""After this long without an observation the tracklet may be another person: a new segment starts."""
_VELOCITY_S = 0.3  # time after which the velocity of a new track is known


@dataclass(frozen=True)
class TrackConfig:
    """Settings of ``mvcap track``: one number for each person through time."""

    gate_sigma: float = 3.0
    """Median joint distance from the prediction, in standard deviations, up to which it is the same person. Raise it
    where tracks break in quick motion, lower it where people close together switch identities."""
    speed_mps: float = 1.5
    """Walking speed, m/s: standard deviation of each coordinate of the torso's velocity. Raise it for sports."""
    acceleration_mps2: float = 3.0
    """Acceleration of torsos, m/s^2: turning round at the walking speed takes twice that speed divided by this. Raise
    it for sports, lower it for people who sit."""
    limb_speed_mps: float = 1.5
    """Speed of joints relative to the torso, m/s, one standard deviation."""
    occlusion_s: float = 1.0
    """How long a person is tracked without observations, seconds."""
    join_s: float = 3.0
    """Longest gap that motion alone may bridge, seconds. After a longer gap people are re-identified by their limb
    lengths only, and get a new number where these are ambiguous."""
    min_seconds: float = 0.25
    """Time, seconds, for which a person is seen before its duration counts for them: false positives flicker for a
    fraction of it. Tracklets are dropped by all evidence together (duration, views, size, agreement, score). Raise it
    where false positives remain, lower it where people are seen for a moment; at 0 duration counts against nobody."""
    live: bool = False
    """Number people as a live view does: from observations up to ``delay_s`` later, without later repairs."""
    delay_s: float = 0.25
    """With ``live``: longest delay between a frame and the decision on a person's number, seconds. Longer: fewer false
    positives."""

    def __post_init__(self) -> None:
        positive = self.gate_sigma, self.speed_mps, self.acceleration_mps2, self.limb_speed_mps
        if min(positive) <= 0:
            raise ConfigError(
                "config keys 'track.gate_sigma', 'speed_mps', 'acceleration_mps2' and 'limb_speed_mps' must be above 0"
            )
        if min(self.occlusion_s, self.join_s, self.min_seconds, self.delay_s) < 0:
            raise ConfigError(
                "config keys 'track.occlusion_s', 'join_s', 'min_seconds' and 'delay_s' must be 0 or more"
            )


@dataclass(frozen=True)
class Cut:
    """Where one segment of a tracklet ends and the next begins."""

    frame: int
    """Last frame before."""
    before: int
    """Segment that ends."""
    after: int
    """Segment that begins; -1 if the tracklet ended in the encounter."""
    met_before: int = -1
    """Segment of the other tracklet of the encounter; -1 = no encounter, the body was lost."""
    met_after: int = -1


class Tracklets:
    """Segments (N) of all tracklets of a take, in the order in which they began."""

    def __init__(self, skeleton: Skeleton, config: TrackConfig, rate_hz: float) -> None:
        self.skeleton, self.config, self.rate_hz = skeleton, config, rate_hz
        self.cuts: list[Cut] = []
        self.pieces: list[list[int]] = []
        """Segments of each tracklet, in order."""
        self._count = 0
        whole = [(name, np.int64) for name in ("ident", "first", "last", "frames", "begun", "group_first", "group")]
        sums = [(name, np.float64) for name in ("joints", "views", "score")]
        states = [(f"{end}_{part}", np.float64, (6,) * axes) for end in ("start", "end")
                  for part, axes in (("mean", 1), ("cov", 2))]  # fmt: skip
        limbs = [("limbs", np.float64, (len(skeleton.limbs), MOMENTS)), ("row_sums", np.float64, (ROW_SUMS,))]
        self._held = np.zeros(64, np.dtype([*whole, *sums, *states, *limbs]))

    @property
    def all(self) -> NDArray[np.void]:
        """(N,) features of each segment, by name.

        ident; first and last frame with a joint in 3D, and the number ``frames`` of such frames; group_first, group:
        the associator's number at the start and end, -1 = none; sums over frames of the number of ``joints`` in 3D and
        of their mean ``views`` and ``score``; row_sums (5,): see ``row_sums``; limbs (B', 4): see ``limb_sums``; start
        and end, ``mean`` (6,) and ``cov`` (6, 6): position and velocity, at the start those of frame ``begun``, when
        the velocity is known.
        """
        return self._held[: self._count]

    def add(self, rows: Poses3D, idents: Ints, mean: Floats, cov: Floats, measurable: NDArray[np.bool_]) -> None:
        """Add one frame's people: rows with joints, their tracklets and states (M, 6) and (M, 6, 6).

        ``measurable``: rows whose limbs certainly belong to their own person.
        """
        if not len(rows):
            return
        frame, there = int(rows.frame[0]), rows.score > 0
        for ident, group in zip(idents.tolist(), rows.group.tolist(), strict=True):
            self._piece_for(ident, frame, group)
        at = np.array([self.pieces[ident][-1] for ident in idents.tolist()], np.int64)
        held, joints = self.all, there.sum(1)
        held["last"][at], held["group"][at] = frame, rows.group
        held["frames"][at] += 1
        held["joints"][at] += joints
        held["views"][at] += np.where(there, rows.views, 0).sum(1) / joints
        held["score"][at] += rows.score.sum(1) / joints
        held["end_mean"][at], held["end_cov"][at] = mean, cov
        early = frame - held["first"][at] <= _VELOCITY_S * self.rate_hz
        held["begun"][at[early]] = frame
        held["start_mean"][at[early]], held["start_cov"][at[early]] = mean[early], cov[early]
        held["limbs"][at[measurable]] += limb_sums(rows[measurable])

    def _piece_for(self, ident: int, frame: int, group: int) -> None:
        """Start a tracklet, or a new segment of one that was lost."""
        while ident >= len(self.pieces):
            self.pieces.append([])
        mine = self.pieces[ident]
        if mine and frame - self.all["last"][mine[-1]] <= max(1, LOST_S * self.rate_hz):
            return
        after = self._begin(ident, frame, group)
        if len(mine) > 1:
            self.cuts.append(Cut(frame - 1, mine[-2], after))

    def _begin(self, ident: int, frame: int, group: int) -> int:
        if self._count == len(self._held):
            self._held = np.concatenate([self._held, np.zeros_like(self._held)])
        new, self._count = self._count, self._count + 1
        one = self._held[new]
        one["ident"], one["group_first"], one["group"] = ident, group, group
        one["first"] = one["last"] = one["begun"] = frame
        self.pieces[ident].append(new)
        return new

    def add_row_sums(self, idents: Ints, frames: Ints, sums: Floats) -> None:
        """Add the sums (M, 5) of rows of many frames (``person_evidence.row_sums``) to their tracklets' segments."""
        pieces = self.pieces_at(idents, frames)
        np.add.at(self.all["row_sums"], pieces[pieces >= 0], sums[pieces >= 0])

    def cut(self, start: int, frame: int, a: int, b: int) -> None:
        """Cut two tracklets at the closest frame of their encounter, or where they were cut since its start."""
        self.cuts.append(Cut(frame, *self._cut(start, frame, a), *self._cut(start, frame, b)))

    def _cut(self, start: int, frame: int, ident: int) -> tuple[int, int]:
        """Segments before and after the frame; -1 if the tracklet has none after it."""
        mine, held = self.pieces[ident], self.all
        before = mine[-1]
        if len(mine) > 1 and held["first"][before] > start:
            return mine[-2], before
        if held["last"][before] <= frame or held["first"][before] > frame:
            return before, -1
        after = self._begin(ident, frame + 1, int(held["group"][before]))
        held = self.all
        held["last"][after], held["last"][before] = held["last"][before], frame
        held["begun"][after] = held["last"][after]
        for part in ("mean", "cov"):
            held[f"start_{part}"][after] = held[f"end_{part}"][after] = held[f"end_{part}"][before]
        return before, after

    def pieces_at(self, idents: Ints, frames: Ints) -> Ints:
        """Segment (M,) of tracklets at frames; -1 where the tracklet is -1."""
        held = self.all
        span = int(max(held["last"].max(initial=0), frames.max(initial=0))) + 2
        first = np.zeros(self._count, np.int64)
        later = [piece for mine in self.pieces for piece in mine[1:]]
        first[later] = held["first"][later]
        order = np.lexsort((first, held["ident"]))
        keys = (held["ident"] * span + first)[order]
        if not len(order):
            return np.full_like(idents, -1)
        found = order[np.searchsorted(keys, np.maximum(idents, 0) * span + frames, "right") - 1]
        return np.asarray(np.where(idents < 0, -1, found))
