"""Person numbers as a live view gives them: from observations up to a bounded delay, without later changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Ints
from mvcap.structures.poses import Poses3D
from mvcap.tracking.gap_bridging import Chains, is_unambiguous, return_evidence, visited_area
from mvcap.tracking.tracklet_linking import TrackletLinker

_SEEN_SHARE = 0.5  # least share of the frames since the first in which a new tracklet is seen
_MOST_LEFT = 64  # most people who left that are compared: those with the highest numbers
_SHARED_SHARE = 0.5  # with a larger share of frames at a known person's position, it is a duplicate of that person


class OnlineIds:
    """Assigns persons to tracklets while frames come in; a number that was given is never changed.

    A new tracklet is decided when the delay has passed, and in every frame after that until it is confirmed. Its rows
    within the delay before that moment get the number, too.
    """

    def __init__(self, linker: TrackletLinker) -> None:
        self.linker = linker
        config, rate_hz = linker.tracklets.config, linker.tracklets.rate_hz
        self.delay = int(config.delay_s * rate_hz)
        self.needed = max(1, round(min(config.min_seconds, config.delay_s) * rate_hz * _SEEN_SHARE))
        self.changes: list[dict[str, Any]] = []
        self.people: list[list[int]] = []
        """Tracklets of persons 1, 2, 3 ..."""
        self._person: dict[int, int] = {}
        self._since: dict[int, int] = {}
        self._new: list[int] = []

    def link(self, rows: Poses3D) -> Ints:
        """Tracklet (M,) of the rows of one frame; new tracklets whose delay has passed get their numbers."""
        frame, tracklets = int(rows.frame[0]), self.linker.tracklets
        self._decide(frame - 1)
        before = len(tracklets.pieces)
        idents = self.linker.link(rows)
        self._new += range(before, len(tracklets.pieces))
        self._decide(frame)
        return idents

    def end(self) -> None:
        """Decide the remaining new tracklets when the take is over."""
        self._decide(None)

    def names(self, idents: Ints, frames: Ints) -> NDArray[np.int32]:
        """Person (M,) of tracklets at frames; 0 = no person, or not yet decided."""
        count = len(self.linker.tracklets.pieces)
        person, since = np.zeros(count + 1, np.int32), np.zeros(count + 1, np.int64)
        for ident, number in self._person.items():
            person[ident], since[ident] = number, self._since[ident]
        return np.asarray(np.where(frames >= since[idents], person[idents], 0))

    def _decide(self, until: int | None) -> None:
        """Give numbers to the new tracklets whose delay is over by frame ``until``, if they are confirmed by then."""
        held, pieces = self.linker.tracklets.all, self.linker.tracklets.pieces
        tracker = set(self.linker.tracker.ident.tolist())
        for ident in list(self._new):
            first = int(held["first"][pieces[ident][0]])
            if until is not None and until < first + self.delay:
                break  # the others started later
            last = int(held["last"][pieces[ident][-1]])
            now = last if until is None else until
            if self._is_confirmed(ident, min(now, last)):
                self._assign_number(ident, now)
            elif ident in tracker and until is not None:
                continue
            self._new.remove(ident)

    def _is_confirmed(self, ident: int, last: int) -> bool:
        tracklets, shared = self.linker.tracklets, self.linker.encounters.shared[ident]
        mine = tracklets.pieces[ident]
        frames = int(tracklets.all["frames"][mine].sum())
        if frames < max(self.needed, _SEEN_SHARE * (last - int(tracklets.all["first"][mine[0]]) + 1)):
            return False
        return all(count <= _SHARED_SHARE * frames for other, count in shared.items() if other in self._person)

    def _assign_number(self, ident: int, frame: int) -> None:
        """Give a new tracklet the number of a person who left, or a new number."""
        tracklets = self.linker.tracklets
        mine, first = tracklets.pieces[ident], int(tracklets.all["first"][tracklets.pieces[ident][0]])
        number = self._reidentify(mine, first) or len(self.people) + 1
        self.people += [[]] if number > len(self.people) else []
        self.people[number - 1].append(ident)
        self._person[ident] = number
        self._since[ident] = max(first, frame - self.delay)

    def _reidentify(self, mine: list[int], first: int) -> int | None:
        """Person who left and whom this tracklet continues; None if there is none, or if it is ambiguous."""
        tracklets, config = self.linker.tracklets, self.linker.tracklets.config
        held, pieces = tracklets.all, tracklets.pieces
        left = [number for number, idents in enumerate(self.people, 1) if held["last"][pieces[idents[-1]][-1]] < first]
        if not left:
            return None
        left = left[-_MOST_LEFT:]
        chains = [[piece for ident in self.people[number - 1] for piece in pieces[ident]] for number in left]
        left_chains, new_chain = Chains(tracklets, chains), Chains(tracklets, [mine])
        area_m2 = visited_area(held["end_mean"][:, :3])
        found = return_evidence(left_chains, new_chain, config, area_m2, self.linker.tracker.follows)
        best = int(np.argmax(found.nats[:, 0]))
        if found.nats[best, 0] <= 0 or not is_unambiguous(found, left_chains, new_chain, best, 0):
            return None
        figures = found.figures(best, 0)
        what = "joined" if found.by_motion[best, 0] else "returned"
        change = {"what": what, "person": left[best], "other": 0, "frame": first, "why": found.words(best, 0)}
        self.changes.append({**change, "figures": figures})
        return left[best]
