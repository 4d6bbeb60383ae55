"""Numbers for people as a live view gives them: from what was seen until then, within a bounded delay, for good."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Ints
from mvcap.structures.poses import Poses3D
from mvcap.tracking.gap_bridging import Chains, is_unambiguous, return_evidence, visited_area
from mvcap.tracking.tracklet_linking import TrackletLinker

_SEEN = 0.5  # share of the frames since the first in which somebody new has to be seen
_GONE = 64  # people gone who may come back: the last ones who came
_SHARED = 0.5  # of them in one place with somebody known: the same one, followed twice


class OnlineIds:
    """Gives tracklets their persons while frames come in; nothing that was said is taken back.

    A newcomer is looked at when the delay has passed, and in every frame after it until believed. Rows of the delay
    before that moment get the number too.
    """

    def __init__(self, linker: TrackletLinker) -> None:
        self.linker = linker
        config, rate_hz = linker.tracklets.config, linker.tracklets.rate_hz
        self.delay = int(config.delay_s * rate_hz)
        self.needed = max(1, round(min(config.min_seconds, config.delay_s) * rate_hz * _SEEN))
        self.changes: list[dict[str, Any]] = []
        self.people: list[list[int]] = []
        """Tracklets of persons 1, 2, 3 ..."""
        self._person: dict[int, int] = {}
        self._since: dict[int, int] = {}
        self._new: list[int] = []

    def link(self, rows: Poses3D) -> Ints:
        """Tracklet (M,) of the rows of one frame, whose newcomers are looked at when it is time."""
        frame, tracklets = int(rows.frame[0]), self.linker.tracklets
        self._look(frame - 1)
        before = len(tracklets.pieces)
        idents = self.linker.link(rows)
        self._new += range(before, len(tracklets.pieces))
        self._look(frame)
        return idents

    def end(self) -> None:
        """Look at those who came last, when the take is over."""
        self._look(None)

    def names(self, idents: Ints, frames: Ints) -> NDArray[np.int32]:
        """Person (M,) of tracklets at frames; 0 = nobody, or not yet."""
        count = len(self.linker.tracklets.pieces)
        person, since = np.zeros(count + 1, np.int32), np.zeros(count + 1, np.int64)
        for ident, number in self._person.items():
            person[ident], since[ident] = number, self._since[ident]
        return np.asarray(np.where(frames >= since[idents], person[idents], 0))

    def _look(self, until: int | None) -> None:
        """Name the newcomers whose delay is over by a frame, if they are to be believed by then."""
        held, pieces = self.linker.tracklets.all, self.linker.tracklets.pieces
        tracker = set(self.linker.tracker.ident.tolist())
        for ident in list(self._new):
            first = int(held["first"][pieces[ident][0]])
            if until is not None and until < first + self.delay:
                break  # the others came later
            last = int(held["last"][pieces[ident][-1]])
            now = last if until is None else until
            if self._believed(ident, min(now, last)):
                self._name(ident, now)
            elif ident in tracker and until is not None:
                continue
            self._new.remove(ident)

    def _believed(self, ident: int, last: int) -> bool:
        tracklets, shared = self.linker.tracklets, self.linker.encounters.shared[ident]
        mine = tracklets.pieces[ident]
        frames = int(tracklets.all["frames"][mine].sum())
        if frames < max(self.needed, _SEEN * (last - int(tracklets.all["first"][mine[0]]) + 1)):
            return False
        return all(count <= _SHARED * frames for other, count in shared.items() if other in self._person)

    def _name(self, ident: int, frame: int) -> None:
        """Give a newcomer the number of somebody who went, or a new one."""
        tracklets = self.linker.tracklets
        mine, first = tracklets.pieces[ident], int(tracklets.all["first"][tracklets.pieces[ident][0]])
        number = self._returned(mine, first) or len(self.people) + 1
        self.people += [[]] if number > len(self.people) else []
        self.people[number - 1].append(ident)
        self._person[ident] = number
        self._since[ident] = max(first, frame - self.delay)

    def _returned(self, mine: list[int], first: int) -> int | None:
        """Person who went and is this one; None where there is none, or it could be several."""
        tracklets, config = self.linker.tracklets, self.linker.tracklets.config
        held, pieces = tracklets.all, tracklets.pieces
        gone = [number for number, idents in enumerate(self.people, 1) if held["last"][pieces[idents[-1]][-1]] < first]
        if not gone:
            return None
        gone = gone[-_GONE:]
        chains = [[piece for ident in self.people[number - 1] for piece in pieces[ident]] for number in gone]
        went, comes = Chains(tracklets, chains), Chains(tracklets, [mine])
        space = visited_area(held["end_mean"][:, :3])
        found = return_evidence(went, comes, config, space, self.linker.tracker.follows)
        best = int(np.argmax(found.nats[:, 0]))
        if found.nats[best, 0] <= 0 or not is_unambiguous(found, went, comes, best, 0):
            return None
        figures = found.figures(best, 0)
        what = "joined" if found.by_motion[best, 0] else "returned"
        change = {"what": what, "person": gone[best], "other": 0, "frame": first, "why": found.words(best, 0)}
        self.changes.append({**change, "figures": figures})
        return gone[best]
