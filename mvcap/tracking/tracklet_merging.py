"""The second pass of tracking: which tracklet segments of the whole take are one person, and which are false positives.

Tracklets at the same position are one body. Where two people had a close encounter, or one was lost, the limb lengths
before and after show whether their identities were switched; if the evidence is decisive, the tails of the two tracks
are exchanged. Tracks that end and tracks that begin are then matched by optimal assignment; the best matches are merged
first, and the assignment is repeated as limb lengths become better known. Tracks with more evidence against a person
than for one are false positives (``person_evidence``). Everything works on sums over segments (``pieces``); see
``Tracklets``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Ints
from mvcap.tracking.close_encounters import Encounters
from mvcap.tracking.gap_bridging import Chains, is_unambiguous, return_evidence, visited_area
from mvcap.tracking.kalman_tracker import IdentitySwitch
from mvcap.tracking.limb_reid import LimbProfile, limb_distance, same_person_nats
from mvcap.tracking.person_evidence import TERMS, person_evidence
from mvcap.tracking.tracklets import Cut, Tracklets

_DECISIVE_NATS = 8.0  # evidence that overrules the frame-to-frame tracking
_SHARED = 0.5  # two tracks that share their position in more of their common frames are duplicates
_SHARED_FRAMES = 3
_SHORT_S = 0.1  # shorter tracklets are not merged with any other, nor listed where they are dropped
_MOST = 600  # most tracklets that are re-identified, those seen longest: takes with false positives have thousands
_ROUNDS = 60  # most repetitions of the assignment
_Count = TypeVar("_Count", int, float)
_REPAIRS = 4  # most rounds of switch repair and merging


@dataclass
class MergeRecord:
    """A change made, or an identity switch found, in the second pass."""

    what: str
    """joined, returned, merged, exchanged, split, dropped."""
    piece: int
    frame: int
    why: str
    other: int = -1
    """Another segment involved; -1 = none."""
    figures: dict[str, float] = field(default_factory=dict)


class TrackletMerger:
    """Merged tracks (``chains`` of tracklet segments), each of which becomes a person."""

    def __init__(
        self,
        tracklets: Tracklets,
        encounters: Encounters,
        switches: Sequence[IdentitySwitch] = (),
        follows: bool = False,
        frames: int | None = None,
    ) -> None:
        """Take over the first pass. frames: length of the take; default: up to the last observation."""
        self.tracklets, self.encounters, self.switches, self.follows = tracklets, encounters, switches, follows
        self.config, self.rate_hz = tracklets.config, tracklets.rate_hz
        self.changes: list[MergeRecord] = []
        held = tracklets.all
        self._span = 0, int(held["last"].max(initial=0)) if frames is None else frames - 1
        seen = np.array([held["frames"][mine].sum() for mine in tracklets.pieces], np.int64)
        longest = np.argsort(-seen, kind="stable")[:_MOST]
        short = max(1.0, min(_SHORT_S, self.config.min_seconds) * self.rate_hz)
        self._long: set[int] = {ident for ident in longest.tolist() if seen[ident] >= short}
        """Tracks that are re-identified across gaps."""
        self.chains: dict[int, list[int]] = {ident: list(mine) for ident, mine in enumerate(tracklets.pieces) if mine}
        self.chain_of: Ints = np.full(len(held), -1, np.int64)
        for ident, chain in self.chains.items():
            self.chain_of[chain] = ident
        self.frames_per_track = 0.0
        """See ``PersonEvidence``; known after ``persons``."""
        self._dropped: list[tuple[int, list[int]]] = []
        """Main reason, an index of ``TERMS``, and segments of each dropped track."""
        self.unlisted = 0
        """Number of dropped tracks that are not in the record: those of a moment."""
        long = np.isin(held["ident"], sorted(self._long))
        self._area = visited_area(held["end_mean"][long, :3])

    def persons(self) -> NDArray[np.int32]:
        """Person (N,) of every segment: 1, 2, 3 ... in order of appearance, 0 = no person."""
        self._merge()
        for _ in range(_REPAIRS):
            exchanged = self._repair_switches()
            if not self._link_all() and not exchanged:
                break
        self._drop_false_positives()
        held = self.tracklets.all
        order = sorted(self.chains, key=lambda chain: (held["first"][self.chains[chain][0]], self.chains[chain][0]))
        person = np.zeros(len(held), np.int32)
        for number, chain in enumerate(order, 1):
            person[self.chains[chain]] = number
        return person

    # Duplicate tracks of one body

    def _merge(self) -> None:
        first = self.tracklets.all["first"]
        for one, other, shared in _pairs(self.encounters.shared):
            a, b = (int(self.chain_of[self.tracklets.pieces[ident][0]]) for ident in (one, other))
            if shared < _SHARED_FRAMES or a == b or min(a, b) < 0:
                continue
            together = self._frames_together(self.chains[a], self.chains[b])
            if shared <= _SHARED * together:
                continue
            keep, merged = self.chains[a], self.chains.pop(b)
            why = f"at the same position in {shared} of the {together:.0f} frames in which both were seen"
            figures = {"frames_shared": float(shared), "frames_together": round(together, 1)}
            self.changes.append(MergeRecord("merged", keep[0], int(first[merged[0]]), why, merged[0], figures))
            self._set_chain(a, [*keep, *merged])

    def _frames_together(self, a: list[int], b: list[int]) -> float:
        """Approximate number of frames in which both tracks were seen."""
        held = self.tracklets.all
        first, last = (np.array([fold(held[name][chain]) for chain in (a, b)]) for name, fold in
                       (("first", np.min), ("last", np.max)))  # fmt: skip
        frames = np.array([held["frames"][chain].sum() for chain in (a, b)])
        dense = np.minimum(frames / (last - first + 1), 1)
        return float(max(last.min() - first.max() + 1, 1) * dense.min())

    def _set_chain(self, chain: int, pieces: list[int]) -> None:
        first = self.tracklets.all["first"]
        self.chains[chain] = sorted(pieces, key=lambda piece: (first[piece], piece))
        self.chain_of[pieces] = chain

    # Identity switches

    def _repair_switches(self) -> bool:
        cuts = [cut for cut in self.tracklets.cuts if self.chain_of[cut.before] >= 0]
        changed = False
        for cut in sorted(cuts, key=lambda cut: (cut.frame, cut.before)):
            changed |= self._repair_switch(cut) if cut.met_before >= 0 and self.chain_of[cut.met_before] >= 0 else False
        for cut in cuts:
            changed |= self._split(cut, cut.before) or (cut.met_before >= 0 and self._split(cut, cut.met_before))
        return changed

    def _repair_switch(self, cut: Cut) -> bool:
        """Exchange the tails of two tracks after their encounter if limb lengths are decisive evidence of a switch."""
        a, b = int(self.chain_of[cut.before]), int(self.chain_of[cut.met_before])
        if a == b:
            return False
        (head_a, tail_a), (head_b, tail_b) = self._head_and_tail(a, cut), self._head_and_tail(b, cut)
        if not (head_a and head_b) or not (tail_a or tail_b):
            return False
        heads, tails = self._limbs([head_a, head_b]), self._limbs([tail_a, tail_b])
        nats = same_person_nats(heads, tails)
        kept, exchanged = float(np.trace(nats)), float(np.trace(nats[::-1]))
        new = [nats[1, 0]] * bool(tail_a) + [nats[0, 1]] * bool(tail_b)
        if exchanged - kept < _DECISIVE_NATS or min(new) <= 0:
            return False
        self._set_chain(a, [*head_a, *tail_b])
        self._set_chain(b, [*head_b, *tail_a])
        share, sigma = limb_distance(heads, tails)
        tail = int(bool(tail_b) and not tail_a)  # index of an existing tail
        figures = {
            "nats": round(exchanged - kept, 2),
            "limb_share_kept": round(float(share[tail, tail]), 4),
            "limb_share_exchanged": round(float(share[1 - tail, tail]), 4),
            "limb_sigma_kept": round(float(sigma[tail, tail]), 2),
            "limb_sigma_exchanged": round(float(sigma[1 - tail, tail]), 2),
        }
        why = (
            f"limb lengths before and after the encounter differ by {share[tail, tail]:.1%} "
            f"({sigma[tail, tail]:.1f} sigma) as tracked, by {share[1 - tail, tail]:.1%} "
            f"({sigma[1 - tail, tail]:.1f} sigma) with identities switched"
        )
        frame = int(self.tracklets.all["first"][(tail_a or tail_b)[0]])
        self.changes.append(MergeRecord("exchanged", head_a[-1], frame, why, head_b[-1], figures))
        return True

    def _split(self, cut: Cut, before: int) -> bool:
        """Split a track where the limb lengths before and after a cut are decisive evidence of two people."""
        chain = int(self.chain_of[before])
        if chain < 0:
            return False
        head, tail = self._head_and_tail(chain, cut)
        if not head or not tail:
            return False
        heads, tails = self._limbs([head]), self._limbs([tail])
        nats = float(same_person_nats(heads, tails)[0, 0])
        if nats > -_DECISIVE_NATS:
            return False
        share, sigma = (float(one[0, 0]) for one in limb_distance(heads, tails))
        new = len(self.tracklets.pieces) + tail[0]  # a number that no other track has
        self._set_chain(chain, head)
        self._set_chain(new, tail)
        self._long.add(new)
        why = f"limb lengths before and after differ by {share:.1%} ({sigma:.1f} sigma)"
        figures = {"nats": round(nats, 2), "limb_share": round(share, 4), "limb_sigma": round(sigma, 2)}
        frame = int(self.tracklets.all["first"][tail[0]])
        self.changes.append(MergeRecord("split", head[-1], frame, why, tail[0], figures))
        return True

    def _head_and_tail(self, chain: int, cut: Cut) -> tuple[list[int], list[int]]:
        """Segments of a track before and after a cut."""
        first, begins = self.tracklets.all["first"], {cut.after, cut.met_after}
        tail = [piece for piece in self.chains[chain] if first[piece] > cut.frame or piece in begins]
        return [piece for piece in self.chains[chain] if piece not in tail], tail

    def _limbs(self, chains: list[list[int]]) -> LimbProfile:
        """Limb profiles of tracks (N); that of a track without segments is unknown."""
        sums = np.array([self.tracklets.all["limbs"][chain].sum(0) for chain in chains])
        return LimbProfile(self.tracklets.skeleton, sums, self.rate_hz)

    # Re-identification across gaps

    def _link_all(self) -> bool:
        """Merge tracks across gaps until no match is more likely than not."""
        linked = False
        for _ in range(_ROUNDS):
            if not self._link_best():
                break
            linked = True
        return linked

    def _link_best(self) -> bool:
        """Merge the best pairs of the optimal assignment, each track at most once; then limbs are better known."""
        from scipy.optimize import linear_sum_assignment

        names = [name for name in self.chains if name in self._long]
        if len(names) < 2:
            return False
        all_of = Chains(self.tracklets, [self.chains[name] for name in names])
        found = return_evidence(all_of, all_of, self.config, self._area, self.follows)
        gain = np.maximum(found.nats, 0.0)
        rows, columns = np.flatnonzero((gain > 0).any(1)), np.flatnonzero((gain > 0).any(0))
        pairs = linear_sum_assignment(-gain[np.ix_(rows, columns)])
        best = [(int(rows[i]), int(columns[j])) for i, j in zip(*pairs, strict=True)]
        touched: set[int] = set()
        for one, other in sorted(best, key=lambda pair: -gain[pair]):
            free = gain[one, other] > 0 and not touched & {one, other}
            if not free or not is_unambiguous(found, all_of, all_of, one, other):
                continue
            touched |= {one, other}
            start = self.chains[names[other]][0]
            what = "joined" if found.by_motion[one, other] else "returned"
            frame, end = int(all_of.first[other]), self.chains[names[one]][-1]
            why, figures = found.words(one, other), found.figures(one, other)
            self.changes.append(MergeRecord(what, end, frame, why, start, figures))
            self._set_chain(names[one], [*self.chains[names[one]], *self.chains.pop(names[other])])
        return bool(touched)

    # False positives

    def _drop_false_positives(self) -> None:
        """Drop tracks with more evidence against a person than for one."""
        names = list(self.chains)
        if not names:
            return
        found = person_evidence(self.tracklets, [self.chains[name] for name in names], self._within(names), self._span)
        first, short = self.tracklets.all["first"], _SHORT_S * self.rate_hz
        self.frames_per_track = found.frames_per_track
        for at in np.flatnonzero(found.nats < 0).tolist():
            chain = self.chains.pop(names[at])
            self._dropped.append((int(found.terms[at].argmin()), chain))
            self.chain_of[chain] = -1
            if found.frames[at] < short:
                self.unlisted += 1
                continue
            start, figures = chain[0], found.figures(at)
            self.changes.append(MergeRecord("dropped", start, int(first[start]), found.words(at), -1, figures))

    def _within(self, names: list[int]) -> list[tuple[int, int, float]]:
        """Pairs of tracks, by their place in the list, and the weighted frames in which both were at one position."""
        place, near = {name: at for at, name in enumerate(names)}, dict[tuple[int, int], float]()
        for a, b, count in _pairs(self.encounters.within):
            one, other = (int(self.chain_of[self.tracklets.pieces[ident][0]]) for ident in (a, b))
            if one != other:
                pair = min(place[one], place[other]), max(place[one], place[other])
                near[pair] = near.get(pair, 0.0) + count
        return [(one, other, count) for (one, other), count in near.items()]

    def dropped(self, too_few: int = 0) -> dict[str, Any]:
        """Number of persons and person-frames that were dropped, by main reason, and of how many person-frames.

        A person-frame is a row with a joint in 3D. too_few: rows that are in no tracklet, for too few joints.
        """
        held, reasons = self.tracklets.all, {}
        for at, term in enumerate(TERMS):
            frames = [int(held["frames"][chain].sum()) for why, chain in self._dropped if why == at]
            if frames:
                seconds = round(max(frames) / self.rate_hz, 4)
                reasons[term] = {"persons": len(frames), "person_frames": sum(frames), "longest_s": seconds}
        if too_few:
            reasons["too_few_joints"] = {"persons": 0, "person_frames": too_few, "longest_s": 0.0}
        counts = {name: sum(one[name] for one in reasons.values()) for name in ("persons", "person_frames")}
        return {**counts, "of_person_frames": int(held["frames"].sum()) + too_few, "reasons": reasons}

    def record(self, person: NDArray[np.int32]) -> list[dict[str, Any]]:
        """The changes in order of frames: what, person, other, frame, why and their figures."""
        named = np.append(person, 0)  # segment -1 is no person
        out = [
            {"what": one.what, "person": int(named[one.piece]), "other": int(named[one.other]), "frame": one.frame,
             "why": one.why, "figures": one.figures}
            for one in [*self.changes, *self._identity_switches(named)]
        ]  # fmt: skip
        return sorted(out, key=lambda one: (one["frame"], one["what"]))

    def _identity_switches(self, person: NDArray[np.int32]) -> list[MergeRecord]:
        """Identity switches of the associator: numbers that went from one person to another."""
        frames = np.array([one.frame for one in self.switches], np.int64)
        pieces = [self.tracklets.pieces_at(np.array([getattr(one, end) for one in self.switches], np.int64), frames)
                  for end in ("before", "after")]  # fmt: skip
        out = []
        for one, before, after in zip(self.switches, *pieces, strict=True):
            if person[before] != person[after] and person[before] > 0:
                far = f"{one.sigma:.1f} sigma" if np.isfinite(one.sigma) else "further than a person can move"
                why = f"association gave number {one.group} to another body, {far} from the predicted position"
                out.append(MergeRecord("split", int(before), one.frame, why, int(after)))
        return out


def _pairs(counts: Mapping[int, Mapping[int, _Count]]) -> list[tuple[int, int, _Count]]:
    """Every pair once, the smaller number first, with its count."""
    return sorted((a, b, count) for a, others in counts.items() for b, count in others.items() if a < b)
