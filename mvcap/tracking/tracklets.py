"""What is to be known of the pieces that people are followed in: when, where to, with what limbs, how well seen.

A piece is a spell in which it is certain enough that one body was followed. It ends where the body was lost for a
moment, and at the closest moment of two bodies that met, where they may have been taken for each other. Of a piece only
sums are kept, so memory does not grow with the take. Limbs are measured outside meetings only.
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

LOST_S = 0.2
"""Who was not seen for so long may be somebody else: a new piece."""
_SETTLED_S = 0.3  # after so long the velocity of somebody new is known


@dataclass(frozen=True)
class TrackConfig:
    """Settings of the verb ``track``."""

    gate_sigma: float = 3.0
    """Typical joint distance from the prediction, in standard deviations, up to which it is the same person."""
    speed_mps: float = 1.5
    """How fast people move about, one standard deviation of each coordinate."""
    acceleration_mps2: float = 3.0
    """How quickly their torsos change their velocity: turning round at that speed takes twice it divided by this."""
    limb_speed_mps: float = 1.5
    """How fast joints move against the torso, one standard deviation."""
    occlusion_s: float = 1.0
    """How long a person who is not seen is waited for."""
    join_s: float = 3.0
    """Longest absence that motion alone may bridge; after a longer one people are known again by their limbs only."""
    min_seconds: float = 0.25
    """Tracklets that are seen for less time are dropped; doubtful ones have to be seen for longer."""
    live: bool = False
    """Number people as a live view would: from what was seen up to ``delay_s`` later, without repairs afterwards."""
    delay_s: float = 0.25
    """With ``live``: how much later than its frame a person's number is decided, at most."""

    def __post_init__(self) -> None:
        positive = self.gate_sigma, self.speed_mps, self.acceleration_mps2, self.limb_speed_mps
        if min(positive) <= 0:
            raise ConfigError(
                "config keys 'track.gate_sigma', 'speed_mps', 'acceleration_mps2' and 'limb_speed_mps' are above 0"
            )
        if min(self.occlusion_s, self.join_s, self.min_seconds, self.delay_s) < 0:
            raise ConfigError("config keys 'track.occlusion_s', 'join_s', 'min_seconds' and 'delay_s' are 0 or more")


@dataclass(frozen=True)
class Cut:
    """Where a piece ends and another of the same tracklet begins."""

    frame: int
    """Last frame before."""
    before: int
    """Piece that ends."""
    after: int
    """Piece that begins; -1 where the tracklet ended in the meeting."""
    met_before: int = -1
    """Piece of the tracklet that was met; -1 = none, the body was lost from sight."""
    met_after: int = -1


class Tracklets:
    """Pieces (N) of all tracklets of a take, in the order in which they began."""

    def __init__(self, skeleton: Skeleton, config: TrackConfig, rate_hz: float) -> None:
        self.skeleton, self.config, self.rate_hz = skeleton, config, rate_hz
        self.cuts: list[Cut] = []
        self.pieces: list[list[int]] = []
        """Pieces of each tracklet, in order."""
        self._count = 0
        whole = [(name, np.int64) for name in ("ident", "first", "last", "frames", "begun", "group_first", "group")]
        sums = [(name, np.float64) for name in ("joints", "views", "score")]
        states = [(f"{end}_{part}", np.float64, (6,) * axes) for end in ("start", "end")
                  for part, axes in (("mean", 1), ("cov", 2))]  # fmt: skip
        limbs = [("limbs", np.float64, (len(skeleton.limbs), MOMENTS))]
        self._held = np.zeros(64, np.dtype([*whole, *sums, *states, *limbs]))

    @property
    def all(self) -> NDArray[np.void]:
        """(N,) what is known of each piece, by name.

        ident; first and last frame with a joint in 3D, and their number ``frames``; group_first, group: what the
        associator called it then, -1 = nothing; sums over frames of ``joints`` there, of the mean ``views`` and
        ``score`` of them; limbs (B', 4): see ``moments``; start and end, ``mean`` (6,) and ``cov`` (6, 6): place and
        velocity, the start's as soon as the velocity is known, at frame ``begun``.
        """
        return self._held[: self._count]

    def add(self, rows: Poses3D, idents: Ints, mean: Floats, cov: Floats, measurable: NDArray[np.bool_]) -> None:
        """Take note of one frame's people: rows with joints, their tracklets and states (M, 6) and (M, 6, 6).

        ``measurable``: whose limbs can be trusted to be their own.
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
        early = frame - held["first"][at] <= _SETTLED_S * self.rate_hz
        held["begun"][at[early]] = frame
        held["start_mean"][at[early]], held["start_cov"][at[early]] = mean[early], cov[early]
        held["limbs"][at[measurable]] += limb_sums(rows[measurable])

    def _piece_for(self, ident: int, frame: int, group: int) -> None:
        """Begin a tracklet, or a new piece of one that was lost from sight."""
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

    def cut(self, start: int, frame: int, a: int, b: int) -> None:
        """Cut two tracklets that met at their closest frame, or where they were cut since the meeting's start."""
        self.cuts.append(Cut(frame, *self._cut(start, frame, a), *self._cut(start, frame, b)))

    def _cut(self, start: int, frame: int, ident: int) -> tuple[int, int]:
        """Pieces before and after the frame; -1 where the tracklet has none after it."""
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
        """Piece (M,) of tracklets at frames; -1 where the tracklet is -1."""
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
