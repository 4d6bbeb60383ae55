"""Frames that the associator meets on a generated take, with the truth: what MMG and CRG learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib import Rig
from calib.arrays import Floats, Ints
from mvcap.association.association_graph import Affinities, AffinityModel, GeometryConfig
from mvcap.association.learned_affinity import FrameRows
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import BodyEstimates, TrackedBodies
from mvcap.associators.geometry import Geometry
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.synthetic_take import SyntheticTake

_STRIDES, _STRIDE_SHARES = (1, 2, 6, 0), (0.6, 0.1, 0.1, 0.2)  # 0: every frame for itself
_FEWER = 0.4  # share of the takes that are seen by a few of their cameras only
_NEAR_M = 0.4  # a body further than this from everybody is nobody


@dataclass(frozen=True)
class FrameQuestion:
    """What an affinity model is asked about one frame, and the truth."""

    seen: FrameRows
    rays: BodyRays
    bodies: BodyEstimates
    evidence: Floats
    """(M, G, J) nats of rows' joints for bodies"""
    people: TrackedBodies
    """The first of the bodies."""
    group: Ints
    """(M,) body that geometry would have each row be of, -1 = none"""
    skeleton: Skeleton
    grouped: bool
    """Whether the bodies are made of this frame's rows; else they are predicted."""
    row_is: Ints
    """(M,) true person of each row, -1 = nobody"""
    body_is: Ints
    """(G,) true person of each body, -1 = nobody"""
    truth: Floats
    """(P, J, 3) m of the people there, ``halpe26``"""
    truth_is: Ints
    """(P,) who they are"""


def collect_questions(take: SyntheticTake, seed: int) -> list[FrameQuestion]:
    """Run the geometric associator on a take; return every question that an affinity model would be asked, in order.

    Some takes are watched at every few frames only, or at moments that have nothing to do with each other; some by a
    few of their cameras.
    """
    rng, notes = np.random.default_rng(seed), _Notes(take)
    stride = int(rng.choice(_STRIDES, p=_STRIDE_SHARES))
    rows = take.rows.with_columns(carried=np.arange(len(take.rows)))
    rows, rig = _fewer(rows[rows.frame % max(stride, 1) == 0], take.rig, rng)
    if stride:
        _Watching(notes).associate(rows, rig, take.rate_hz, {})
        return notes.found
    for frame in np.unique(rows.frame):
        _Watching(notes).associate(rows[rows.frame == frame], rig, take.rate_hz, {})
    return notes.found


def _fewer(rows: Detections2D, rig: Rig, rng: np.random.Generator) -> tuple[Detections2D, Rig]:
    """The rows and cameras, or those of a few views, two more often than three."""
    if len(rig) <= 2 or rng.random() >= _FEWER:
        return rows, rig
    count = min(len(rig) - 1, 2 + int(rng.geometric(0.45)) - 1)
    views = np.sort(rng.permutation(len(rig))[:count])
    place = np.full(len(rig), -1)
    place[views] = np.arange(count)
    rows = rows[np.isin(rows.view, views)]
    return rows.with_columns(view=place[rows.view]), rig.select([rig.names[view] for view in views])


class _Watching(Geometry):
    """Geometry with somebody who watches."""

    def __init__(self, notes: _Notes) -> None:
        super().__init__(GeometryConfig())
        self.notes = notes

    def _affinity_model(self, rows: Detections2D, rig: Rig) -> AffinityModel | None:
        return _Watcher(self.notes, rows, rig)


class _Notes:
    """A take's truth, and what was seen so far."""

    def __init__(self, take: SyntheticTake) -> None:
        self.person, self.truth = take.person, take.truth[np.argsort(take.truth.frame, kind="stable")]
        self.start = np.searchsorted(self.truth.frame, np.arange(int(self.truth.frame.max(initial=0)) + 2))
        self.found: list[FrameQuestion] = []

    def there(self, frame: int) -> tuple[Floats, Ints]:
        """People (P, J, 3) of a frame and who they are."""
        mine = slice(self.start[frame], self.start[frame + 1]) if frame + 1 < len(self.start) else slice(0, 0)
        return self.truth.xyz[mine].astype(np.float64), self.truth.person[mine].astype(np.int64)

    def who(self, bodies: BodyEstimates, skeleton: Skeleton, xyz: Floats, who: Ints) -> Ints:
        """True person (G,) that each body is; -1 = nobody."""
        out = np.full(len(bodies.xyz), -1, np.int64)
        if not len(who) or not len(out):
            return out
        kind = self.truth.skeleton
        shared = [(at, kind.index(name)) for at, name in enumerate(skeleton.joints) if name in kind.joints]
        ours, theirs = (np.array(side) for side in zip(*shared, strict=True))
        apart = np.linalg.norm(bodies.xyz[:, None, ours] - xyz[None][:, :, theirs], axis=-1)
        known = np.broadcast_to(bodies.known[:, None, ours], apart.shape) & np.isfinite(apart)
        mean = np.where(known, np.minimum(apart, 1), 0).sum(-1) / np.maximum(known.sum(-1), 1)
        mean = np.where(known.any(-1), mean, np.inf)
        best = mean.argmin(1)
        near = mean[np.arange(len(out)), best] < _NEAR_M
        out[near] = who[best[near]]
        return out


class _Watcher:
    """Affinity model without an answer, which writes down what it is asked."""

    def __init__(self, notes: _Notes, rows: Detections2D, rig: Rig) -> None:
        self.notes, self.rows, self.seen, self.asked = notes, rows, FrameRows(rows, rig), 0

    def affinities(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        people: TrackedBodies,
        group: Ints,
        skeleton: Skeleton,
    ) -> Affinities | None:
        """Write it down."""
        xyz, who = self.notes.there(int(self.rows.frame[0]))
        body_is = self.notes.who(bodies, skeleton, xyz, who)
        self.asked += 1
        self.notes.found.append(
            FrameQuestion(
                self.seen, rays, bodies, evidence, people, group, skeleton, self.asked == 2,
                self.notes.person[self.rows.carried], body_is, xyz, who,
            )
        )  # fmt: skip
        return None

    def birth_score(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        group: Ints,
        new: int,
        people: TrackedBodies,
        skeleton: Skeleton,
    ) -> float | None:
        """Have no answer."""
        return None
