"""One frame's graph of what the views see and who was there before, cut into people.

Nodes are the rows of the frame and the bodies followed so far; edges are evidence in nats. See the associator
``geometry`` for the whole of the method.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats, Ints
from mvcap.association.correlation_clustering import assign_rows, contract_edges, swapped_rows
from mvcap.association.joint_reassignment import JointMoves, joint_moves
from mvcap.association.ray_affinity import (
    EXCHANGE_NATS,
    BodyRays,
    body_evidence,
    body_total,
    ray_distances,
    size_evidence,
)
from mvcap.association.tracked_bodies import LEARN_EVERY, BodyEstimates, TrackedBodies, estimate_bodies
from mvcap.association.unambiguous_frames import SURE, certain_matches, single_view_rows
from mvcap.structures.anthropometry import TORSO_DEPTH_M, plausible_size
from mvcap.structures.skeleton import Skeleton

_SURE_ODDS = 2.0  # of learned affinities: a row in seven of those so sure may be wrong
_ANGLES = (0.0, 0.002, 0.004, 0.008, 0.016, 0.032)
"""What calibrations may be off by, rad: of an ordinary lens, 0 to 35 pixels."""


@dataclass(frozen=True)
class GeometryConfig:
    """Settings of the associator ``geometry``."""

    min_score: float = 0.1
    """Joints of lower score say nothing about who is who."""
    start_nats: float = 1.0
    """Evidence that a new person needs."""
    miss_nats: float = 0.7
    """What speaks against a new person for every view that should see them and does not: in a crowd, one of two."""
    occlusion_s: float = 1.0
    """How long a person whom no view sees is waited for."""
    most_pairs: int = 30000
    """Pairs of people of two views that are looked at in a frame; beyond that the surest of each view count."""


@dataclass(frozen=True)
class Affinities:
    """Affinities of one frame, in nats: of rows with rows, and of rows with bodies."""

    rows: Floats
    """(M, M) that two rows are of one person; -inf where they cannot be."""
    bodies: Floats
    """(M, G) that a row is of a body."""

    @property
    def decided(self) -> bool:
        """Whether every row is surely of one body, or surely of none and of no other row."""
        best = np.sort(self.bodies, axis=1)[:, ::-1]
        first = best[:, 0] if best.shape[1] else np.full(len(best), -np.inf)
        second = best[:, 1] if best.shape[1] > 1 else np.full(len(best), -np.inf)
        others = np.where(np.eye(len(self.rows), dtype=np.bool_), -np.inf, self.rows)
        alone = (first < -_SURE_ODDS) & (others.max(1) < 0)
        return bool((((first > _SURE_ODDS) & (second < -_SURE_ODDS)) | alone).all())


class AffinityModel(Protocol):
    """Somebody who has seen many frames, and is asked where geometry alone leaves doubt."""

    def affinities(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        people: TrackedBodies,
        group: Ints,
        skeleton: Skeleton,
    ) -> Affinities | None:
        """Affinities of one frame's rows and bodies (G), the followed first, with evidence (M, G, J); None: none.

        group (M,): how geometry would group the rows, the bodies' numbers first, -1 = alone.
        """
        ...

    def birth_score(
        self, rays: BodyRays, bodies: BodyEstimates, evidence: Floats, group: Ints, new: int, people: TrackedBodies,
        skeleton: Skeleton,
    ) -> float | None:  # fmt: skip
        """Evidence nats that the group ``new`` is a person; None: ask geometry."""
        ...


def associate_frame(
    rays: BodyRays,
    people: TrackedBodies,
    rig: Rig,
    skeleton: Skeleton,
    config: GeometryConfig,
    model: AffinityModel | None = None,
) -> tuple[Ints, JointMoves, TrackedBodies]:
    """Numbers (M,) of the people that one frame's rows are, -1 = nobody, joints that move, and who is followed on.

    ``people`` are as predicted for this frame. ``model``: whose affinities are taken instead of those of geometry.
    """
    if not len(rays.view):
        unseen = np.zeros(len(people), np.int64)
        _, people = people.updated(unseen, people.as_prior(0), skeleton.torso, config.occlusion_s)
        return np.zeros(0, np.int64), JointMoves.none(), people
    seen = bare = rays
    rays = rays.widened(people.calibration)
    prior = people.as_prior(0)
    evidence = body_evidence(rays, prior.xyz, prior.cov, prior.known)
    score = body_total(evidence)
    group = certain_matches(score, rays.view)
    learn = people.frames % LEARN_EVERY == 0
    if (group >= 0).all():
        bodies = estimate_bodies(rays, group, prior, without=learn)
    else:
        pairs, flips = _pair_evidence(rays, skeleton, group < 0)
        cut, flip = _cut(rays, people, group, score, pairs, flips, skeleton, None)
        learned = model.affinities(rays, prior, evidence, people, cut, skeleton) if model else None
        if learned:
            pairs = learned.rows
            cut, flip = _cut(rays, people, group, score, pairs, flips, skeleton, learned)
        group = cut
        bare, rays = bare.exchanged(flip, skeleton.mirror), rays.exchanged(flip, skeleton.mirror)
        if learned and learned.decided and group.max() < len(people):
            bodies, evidence = evidence_for_groups(rays, group, prior)
        else:
            group, bodies, evidence = _tested(rays, group, people, pairs, skeleton, model)
        group = _born(group, bodies, evidence, pairs, rays, people, rig, skeleton, config, model)
        there = np.isin(np.arange(len(bodies.xyz)), group)
        evidence = np.where(there[:, None], evidence, np.nan)
        evidence[flip] = np.nan  # a row whose sides are exchanged is put right as a whole before its joints move
    if len(same := _one_twice(rays, group, people, skeleton)):
        return associate_frame(seen, people.without(same), rig, skeleton, config, model)
    if learn:
        people = people.recalibrated(bare, group, bodies)
    made = joint_moves(evidence, group, rays.view)
    views = np.array([len(np.unique(rays.view[group == one])) for one in range(len(bodies.xyz))], np.int64)
    numbers, people = people.updated(views, bodies, skeleton.torso, config.occlusion_s)
    return numbers[group], replace(made, group=numbers[made.group]), people


def _one_twice(rays: BodyRays, group: Ints, people: TrackedBodies, skeleton: Skeleton) -> Ints:
    """Two (2,) of the followed people who are one, or none (0,): each seen by a single view, far from sure, and alike.

    Somebody whom one view has seen alone for long may be believed elsewhere when another view finds them.
    """
    row = single_view_rows(group, rays.view, people.lost(skeleton.torso))
    first, second = np.triu_indices(len(row), 1)
    apart = rays.view[row[first]] != rays.view[row[second]]
    first, second = row[first[apart]], row[second[apart]]
    if not len(first):
        return np.zeros(0, np.int64)
    met = ray_distances(rays, first, second)
    evidence = body_total(met.evidence()) + size_evidence(met, skeleton)
    best = int(evidence.argmax())
    return group[[first[best], second[best]]] if evidence[best] > SURE else np.zeros(0, np.int64)


def initial_calibration_variance(frames: list[BodyRays], views: int) -> Floats:
    """Variance (C,) rad^2 of a calibration of which nothing is known yet: what explains the best pairs of views best.

    Too small a variance denies pairs that are one body, too large a one says little about any.
    """
    worth = np.zeros(len(_ANGLES))
    for rays in frames:
        first, second = np.nonzero(np.triu(rays.view[:, None] != rays.view[None], 1))
        met = ray_distances(rays, first, second)
        for at, angle in enumerate(_ANGLES):
            best = np.zeros((len(rays.view), views))  # of each row and other view
            evidence = body_total(met.evidence(angle**2))
            np.maximum.at(best, (first, rays.view[second]), evidence)
            np.maximum.at(best, (second, rays.view[first]), evidence)
            worth[at] += best.sum()
    return np.full(views, _ANGLES[int(np.argmax(worth))] ** 2)


def _pair_evidence(rays: BodyRays, skeleton: Skeleton, wanted: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Evidence (M, M) that two rows are one body, -inf where they cannot be, and where left and right are exchanged.

    Only pairs with a row that is ``wanted`` (M,) are looked at; exchanged only those of a row without a better one.
    """
    count = len(rays.view)
    look = (rays.view[:, None] != rays.view[None]) & (wanted[:, None] | wanted[None])
    first, second = np.nonzero(np.triu(look, 1))
    met = ray_distances(rays, first, second)
    same = body_total(met.evidence()) + size_evidence(met, skeleton)
    evidence, flips = np.zeros((count, count)), np.zeros((count, count), bool)
    evidence[first, second] = evidence[second, first] = same
    partner = np.zeros((count, int(rays.view.max()) + 1), bool)
    np.logical_or.at(partner, (first, rays.view[second]), same > SURE)
    np.logical_or.at(partner, (second, rays.view[first]), same > SURE)
    alone = np.flatnonzero(~(partner[first, rays.view[second]] | partner[second, rays.view[first]]))
    if len(alone):
        first, second, same = first[alone], second[alone], same[alone]
        mirrored = rays.exchanged(np.ones(count, bool), skeleton.mirror)
        crossed = body_total(ray_distances(rays, first, second, mirrored).evidence()) - EXCHANGE_NATS
        better = crossed > same
        first, second, crossed = first[better], second[better], crossed[better]
        evidence[first, second] = evidence[second, first] = crossed
        flips[first, second] = flips[second, first] = True
    claims = rays.seen.astype(np.int64)
    evidence[(rays.view[:, None] == rays.view[None]) & ((claims @ claims.T) > 0)] = -np.inf
    return evidence, flips


def _cut(
    rays: BodyRays, people: TrackedBodies, settled: Ints, score: Floats, pairs: Floats,
    flips: NDArray[np.bool_], skeleton: Skeleton, learned: Affinities | None,
) -> tuple[Ints, NDArray[np.bool_]]:  # fmt: skip
    """Group (M,) of each row, the followed people's first, -1 = alone, and which rows have left and right exchanged.

    Rows that are ``settled`` (M,) speak for their person.
    """
    known = len(people)
    open_ = np.flatnonzero(settled < 0)
    rows = len(open_)
    prior, mirror = people.as_prior(0), skeleton.mirror
    crossed = body_evidence(rays[open_], prior.xyz[:, mirror], prior.cov[:, mirror], prior.known[:, mirror])
    crossed = body_total(crossed) - EXCHANGE_NATS
    same = score[open_]
    belongs = (settled[:, None] == np.arange(known)).astype(np.float64)
    says = pairs[open_]
    evidence = np.full((rows + known, rows + known), -np.inf)
    evidence[:rows, :rows] = says[:, open_]
    told = learned.bodies[open_] if learned else np.maximum(same, crossed)
    evidence[:rows, rows:] = told + np.where(np.isfinite(says), says, 0) @ belongs
    evidence[:rows, rows:][(np.isneginf(says) @ belongs) > 0] = -np.inf
    evidence[rows:, :rows] = evidence[:rows, rows:].T
    label = contract_edges(evidence)
    group, new = settled.copy(), known
    flip = np.zeros(len(settled), bool)
    for one in np.unique(label[:rows]):
        at = np.flatnonzero(label[:rows] == one)
        mine = open_[at]
        person = np.flatnonzero(label[rows:] == one)
        if len(person):
            group[mine] = person[0]
            flip[mine] = crossed[at, person[0]] > same[at, person[0]]
        elif len(mine) > 1 and len(np.unique(rays.view[mine])) > 1:
            group[mine] = new
            flip[mine] = swapped_rows(np.where(flips[np.ix_(mine, mine)], -1.0, 1.0))
            new += 1
    return group, flip


def _tested(
    rays: BodyRays, group: Ints, people: TrackedBodies, pairs: Floats, skeleton: Skeleton, model: AffinityModel | None
) -> tuple[Ints, BodyEstimates, Floats]:
    """Groups after every row was held against every body, its own as the other rows make it; bodies, and the evidence.

    Evidence (M, G, J) of every row's joints for the bodies. Two rows of a new person make no body without each other:
    what they say of each other (M, M) counts.
    """
    prior = people.as_prior(max(0, int(group.max(initial=-1)) + 1 - len(people)))
    bodies, evidence = evidence_for_groups(rays, group, prior)
    score = body_total(evidence)
    for row in np.flatnonzero((group >= len(people)) & ~bodies.without[2].any((1, 2))):
        others = np.flatnonzero((group == group[row]) & np.isfinite(pairs[row]))
        score[row, group[row]] = pairs[row, others].sum()
    better = assign_rows(score, rays.view, rays.seen)
    learned = model.affinities(rays, bodies, evidence, people, better, skeleton) if model else None
    if learned:
        better = assign_rows(learned.bodies, rays.view, rays.seen, learned.rows > 0)
    if np.array_equal(better, group):
        return group, bodies, evidence
    return better, *evidence_for_groups(rays, better, prior)


def evidence_for_groups(rays: BodyRays, group: Ints, prior: BodyEstimates) -> tuple[BodyEstimates, Floats]:
    """Bodies of the groups, and the evidence (M, G, J) of rows for them; for its own as it is without the row."""
    bodies = estimate_bodies(rays, group, prior)
    evidence = body_evidence(rays, bodies.xyz, bodies.cov, bodies.known)
    own = body_evidence(rays, *bodies.without)[:, 0]
    member = np.flatnonzero(group >= 0)
    evidence[member, group[member]] = own[member]
    return bodies, evidence


def _born(
    group: Ints,
    bodies: BodyEstimates,
    evidence: Floats,
    pairs: Floats,
    rays: BodyRays,
    people: TrackedBodies,
    rig: Rig,
    skeleton: Skeleton,
    config: GeometryConfig,
    model: AffinityModel | None,
) -> Ints:
    """Groups without the new ones that are nobody: too little evidence, no human, or where somebody is already."""
    group = group.copy()
    torso = np.where(bodies.known[..., None], bodies.xyz, np.nan)[:, skeleton.torso]
    settled = [one for one in range(len(people)) if (group == one).any()]
    for new in range(len(people), len(bodies.xyz)):
        mine = np.flatnonzero(group == new)
        if not len(mine):
            continue
        inside = _sees(rig, bodies.xyz[new], bodies.known[new])
        missed = inside.sum() - len(np.unique(rays.view[mine]))
        agreed = pairs[np.ix_(mine, mine)]
        believed = model.birth_score(rays, bodies, evidence, group, new, people, skeleton) if model else None
        worth = agreed[np.isfinite(agreed)].sum() / 2 - config.miss_nats * missed if believed is None else believed
        apart = np.linalg.norm(torso[settled] - torso[new], axis=-1)
        both = np.isfinite(apart)
        taken = (np.where(both, apart, 0).sum(1) < TORSO_DEPTH_M * both.sum(1)).any()
        known = bodies.known[new]
        xyz = np.where(known[:, None], bodies.xyz[new], np.nan)
        human = plausible_size(skeleton, xyz, np.where(known, bodies.variance[new], np.nan))
        least = config.start_nats if believed is None else 0.0
        if len(np.unique(rays.view[mine])) < 2 or worth < least or taken or not human:
            group[mine] = -1
        else:
            settled.append(new)
    return group


def _sees(rig: Rig, xyz: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which views (C,) have most of a body in the picture."""
    xy = rig.project(xyz[known])
    size = np.array([camera.lens.size for camera in rig])[:, None]
    inside = ((xy > 0) & (xy < size)).all(-1)
    return np.asarray(inside.sum(1) > 0.6 * known.sum())
