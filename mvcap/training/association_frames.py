"""Queries to the affinity model in the associator's run on a synthetic take, with truth: training data of MMG, CRG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib import Rig
from calib.arrays import Bools, Floats, Ints
from mvcap.association.association_graph import Affinities, AffinityModel, GeometryConfig
from mvcap.association.learned_affinity import FrameRows
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import BodyEstimates, TrackedBodies
from mvcap.associators.geometry import Geometry
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.synthetic_take import SyntheticTake

_STRIDES, _STRIDE_SHARES = (1, 2, 6, 0), (0.6, 0.1, 0.1, 0.2)  # 0: every frame independently
_FEW_VIEWS = 0.4  # share of the takes with only a few of their cameras
EXPERT_SHARE = 0.6
"""Share of the takes whose states follow from affinities that are mostly right, as those of a trained network."""
_EXPERT_WRONG, _EXPERT_NATS = (0.0, 0.12), (1.0, 5.0)  # share of pairs with the wrong sign; size of the affinities
_NEAR_M = 0.4  # a body farther than this from all people is a false positive


@dataclass(frozen=True)
class FrameQuestion:
    """The inputs of an affinity model in one frame, and the truth."""

    seen: FrameRows
    rays: BodyRays
    bodies: BodyEstimates
    evidence: Floats
    """(M, G, J) evidence of rows' joints for bodies, nats"""
    people: TrackedBodies
    """The first of the bodies."""
    group: Ints
    """(M,) body that geometry assigns to each row, -1 = none"""
    skeleton: Skeleton
    grouped: bool
    """Whether the bodies are made of this frame's rows; else they are predicted."""
    row_is: Ints
    """(M,) true person of each row, -1 = no person"""
    body_is: Ints
    """(G,) true person of each body, -1 = no person"""
    truth: Floats
    """(P, J, 3) m joints of the people present, ``halpe26``"""
    truth_is: Ints
    """(P,) their person numbers"""


def collect_questions(take: SyntheticTake, seed: int, expert_share: float = EXPERT_SHARE) -> list[FrameQuestion]:
    """Run the geometric associator on a take; return all queries to an affinity model, in order.

    Some takes are used at every few frames only, or with every frame independent of the others; some with a few of
    their cameras. In some, the answers are those of geometry; in the others they are true with random errors, so that
    the states are those that a trained network reaches, by its own good and bad answers (M. Laskey et al., "DART: Noise
    Injection for Robust Imitation Learning", CoRL 2017), and the samples do not depend on any weights.
    """
    rng, record = np.random.default_rng(seed), _Record(take)
    stride = int(rng.choice(_STRIDES, p=_STRIDE_SHARES))
    rows = take.rows.with_columns(carried=np.arange(len(take.rows)))
    rows, rig = _drop_views(rows[rows.frame % max(stride, 1) == 0], take.rig, rng)
    if rng.random() < expert_share:
        record.expert = _Expert(rng, rng.uniform(*_EXPERT_WRONG), rng.uniform(*_EXPERT_NATS))
    if stride:
        _RecordingGeometry(record).associate(rows, rig, take.rate_hz, {})
        return record.found
    for frame in np.unique(rows.frame):
        _RecordingGeometry(record).associate(rows[rows.frame == frame], rig, take.rate_hz, {})
    return record.found


def _drop_views(rows: Detections2D, rig: Rig, rng: np.random.Generator) -> tuple[Detections2D, Rig]:
    """All rows and cameras, or those of a few views, two more often than three."""
    if len(rig) <= 2 or rng.random() >= _FEW_VIEWS:
        return rows, rig
    count = min(len(rig) - 1, 2 + int(rng.geometric(0.45)) - 1)
    views = np.sort(rng.permutation(len(rig))[:count])
    place = np.full(len(rig), -1)
    place[views] = np.arange(count)
    rows = rows[np.isin(rows.view, views)]
    return rows.with_columns(view=place[rows.view]), rig.select([rig.names[view] for view in views])


class _RecordingGeometry(Geometry):
    """The geometric associator with an affinity model that records its inputs."""

    def __init__(self, record: _Record) -> None:
        super().__init__(GeometryConfig())
        self.record = record

    def _affinity_model(self, rows: Detections2D, rig: Rig) -> AffinityModel | None:
        return _Recorder(self.record, rows, rig)


class _Record:
    """A take's truth, and the queries recorded so far."""

    def __init__(self, take: SyntheticTake) -> None:
        self.person, self.truth = take.person, take.truth[np.argsort(take.truth.frame, kind="stable")]
        self.start = np.searchsorted(self.truth.frame, np.arange(int(self.truth.frame.max(initial=0)) + 2))
        self.found: list[FrameQuestion] = []
        self.expert: _Expert | None = None

    def people_at(self, frame: int) -> tuple[Floats, Ints]:
        """Joints (P, J, 3) and numbers (P,) of the people of a frame."""
        mine = slice(self.start[frame], self.start[frame + 1]) if frame + 1 < len(self.start) else slice(0, 0)
        return self.truth.xyz[mine].astype(np.float64), self.truth.person[mine].astype(np.int64)

    def persons_of(self, bodies: BodyEstimates, skeleton: Skeleton, xyz: Floats, who: Ints) -> Ints:
        """True person (G,) of each body; -1 = no person."""
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


class _Expert:
    """True affinities with random errors: what a trained network says, without one."""

    def __init__(self, rng: np.random.Generator, wrong: float, nats: float) -> None:
        self.rng, self.wrong, self.nats = rng, wrong, nats

    def affinities(self, row_is: Ints, body_is: Ints, apart: Bools) -> Affinities:
        """Log-odds of pairs of rows (M, M) and of rows with bodies (M, G); apart (M, M): rows that cannot be one."""
        rows = self._odds(row_is, row_is)
        rows = np.triu(rows, 1) + np.triu(rows, 1).T
        rows[apart & (rows <= 0)] = -np.inf
        np.fill_diagonal(rows, 0)
        return Affinities(rows, self._odds(row_is, body_is))

    def _odds(self, one: Ints, other: Ints) -> Floats:
        same = (one[:, None] == other[None]) & (one >= 0)[:, None]
        sign = np.where(same, 1.0, -1.0) * np.where(self.rng.random(same.shape) < self.wrong, -1.0, 1.0)
        return np.asarray(sign * self.nats * np.exp(self.rng.normal(0, 0.5, same.shape)))


class _Recorder:
    """Affinity model that records its inputs; its answers are those of an expert, or none."""

    def __init__(self, record: _Record, rows: Detections2D, rig: Rig) -> None:
        self.record, self.rows, self.seen, self.calls = record, rows, FrameRows(rows, rig), 0

    def affinities(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        people: TrackedBodies,
        group: Ints,
        skeleton: Skeleton,
    ) -> Affinities | None:
        """Record the inputs, and answer as the record's expert does."""
        xyz, who = self.record.people_at(int(self.rows.frame[0]))
        body_is = self.record.persons_of(bodies, skeleton, xyz, who)
        row_is = self.record.person[self.rows.carried]
        self.calls += 1
        self.record.found.append(
            FrameQuestion(
                self.seen, rays, bodies, evidence, people, group, skeleton, self.calls == 2,
                row_is, body_is, xyz, who,
            )
        )  # fmt: skip
        if self.record.expert is None:
            return None
        seen = rays.seen.astype(np.int64)
        apart = (rays.view[:, None] == rays.view[None]) & ((seen @ seen.T) > 0)
        return self.record.expert.affinities(row_is, body_is, apart)

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
        """Give no output."""
        return None
