"""Build the graph of one frame's detections and tracked bodies, and partition it into people.

Nodes are the rows of the frame (a row is one detection in one view) and the bodies tracked so far; edges carry evidence
in nats. The associator ``geometry`` describes the whole method.
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
from mvcap.association.unambiguous_frames import CERTAIN_NATS, certain_matches, single_view_rows
from mvcap.structures.anthropometry import TORSO_DEPTH_M, plausible_size
from mvcap.structures.skeleton import Skeleton

_CERTAIN_NATS = 2.0  # learned affinities: with such log-odds, one row in seven may be wrong
_ANGLES = (0.0, 0.002, 0.004, 0.008, 0.016, 0.032)
"""Candidate calibration errors, rad: with an ordinary lens 0 to 35 pixels."""


@dataclass(frozen=True)
class GeometryConfig:
    """Settings of the associator ``geometry``."""

    min_score: float = 0.1
    """Joints with a lower score (0 to 1) are not used for association."""
    start_nats: float = 1.0
    """Least evidence for a new person, nats. Raise it against false positives, lower it where people are found late."""
    miss_nats: float = 0.7
    """Evidence, nats, against a new person for each view that should see them but has no detection of them: in a crowd,
    one view of two misses a person."""
    occlusion_s: float = 1.0
    """How long a person is kept while no view detects them, seconds."""
    most_pairs: int = 30000
    """Most pairs of detections of two views that are compared in a frame; above it, each view keeps only its detections
    with the highest scores."""


@dataclass(frozen=True)
class Affinities:
    """Affinities of one frame, in nats: between rows, and between rows and bodies."""

    rows: Floats
    """(M, M) that two rows show the same person; -inf where that is impossible."""
    bodies: Floats
    """(M, G) that a row shows a body."""

    @property
    def decided(self) -> bool:
        """Whether every row certainly belongs to one body, or certainly to no body and to no other row."""
        best = np.sort(self.bodies, axis=1)[:, ::-1]
        first = best[:, 0] if best.shape[1] else np.full(len(best), -np.inf)
        second = best[:, 1] if best.shape[1] > 1 else np.full(len(best), -np.inf)
        others = np.where(np.eye(len(self.rows), dtype=np.bool_), -np.inf, self.rows)
        unmatched = (first < -_CERTAIN_NATS) & (others.max(1, initial=-np.inf) < 0)
        return bool((((first > _CERTAIN_NATS) & (second < -_CERTAIN_NATS)) | unmatched).all())


class AffinityModel(Protocol):
    """Learned affinities for frames that geometry alone leaves ambiguous."""

    def affinities(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        people: TrackedBodies,
        group: Ints,
        skeleton: Skeleton,
    ) -> Affinities | None:
        """Affinities of one frame's rows and bodies (G), tracked ones first, from evidence (M, G, J); None to decline.

        group (M,): how geometry groups the rows; the numbers of the bodies come first, -1 = ungrouped.
        """
        ...

    def birth_score(
        self, rays: BodyRays, bodies: BodyEstimates, evidence: Floats, group: Ints, new: int, people: TrackedBodies,
        skeleton: Skeleton,
    ) -> float | None:  # fmt: skip
        """Evidence in nats that the group ``new`` is a person; None leaves the decision to geometry."""
        ...


def associate_frame(
    rays: BodyRays,
    people: TrackedBodies,
    rig: Rig,
    skeleton: Skeleton,
    config: GeometryConfig,
    model: AffinityModel | None = None,
) -> tuple[Ints, JointMoves, TrackedBodies]:
    """Associate one frame's rows: person numbers (M,), -1 = false positive, joint moves, and the updated tracks.

    ``people`` are predicted for this frame. ``model``: its affinities replace those of geometry where it gives them.
    """
    if not len(rays.view):
        unseen = np.zeros(len(people), np.int64)
        _, people = people.updated(unseen, people.as_prior(0), skeleton.torso, config.occlusion_s)
        return np.zeros(0, np.int64), JointMoves.none(), people
    input_rays = raw_rays = rays
    rays = rays.widened(people.calibration)
    prior = people.as_prior(0)
    evidence = body_evidence(rays, prior.xyz, prior.cov, prior.known)
    score = body_total(evidence)
    group = certain_matches(score, rays.view)
    recalibrate = people.frames % LEARN_EVERY == 0
    if (group >= 0).all():
        bodies = estimate_bodies(rays, group, prior, without=recalibrate)
    else:
        pairs, flips = _pair_evidence(rays, skeleton, group < 0)
        partition, flip = _partition(rays, people, group, score, pairs, flips, skeleton, None)
        learned = model.affinities(rays, prior, evidence, people, partition, skeleton) if model else None
        if learned:
            pairs = learned.rows
            partition, flip = _partition(rays, people, group, score, pairs, flips, skeleton, learned)
        group = partition
        raw_rays, rays = raw_rays.exchanged(flip, skeleton.mirror), rays.exchanged(flip, skeleton.mirror)
        if learned and learned.decided and group.max() < len(people):
            bodies, evidence = evidence_for_groups(rays, group, prior)
        else:
            group, bodies, evidence = _reassign_rows(rays, group, people, pairs, skeleton, model)
        group = _drop_false_births(group, bodies, evidence, pairs, rays, people, rig, skeleton, config, model)
        has_rows = np.isin(np.arange(len(bodies.xyz)), group)
        evidence = np.where(has_rows[:, None], evidence, np.nan)
        evidence[flip] = np.nan  # a left-right swap is corrected for the whole row before its joints move
    if len(duplicate := _find_duplicate(rays, group, people, skeleton)):
        found = associate_frame(input_rays, people.without(duplicate), rig, skeleton, config, model)
        return _keep_number(found, people, duplicate, np.isin(group, duplicate))
    if recalibrate:
        people = people.recalibrated(raw_rays, group, bodies)
    moves = joint_moves(evidence, group, rays.view)
    views = np.array([len(np.unique(rays.view[group == one])) for one in range(len(bodies.xyz))], np.int64)
    numbers, people = people.updated(views, bodies, skeleton.torso, config.occlusion_s)
    return numbers[group], replace(moves, group=numbers[moves.group]), people


def _keep_number(
    found: tuple[Ints, JointMoves, TrackedBodies], people: TrackedBodies, duplicate: Ints, rows: NDArray[np.bool_]
) -> tuple[Ints, JointMoves, TrackedBodies]:
    """The result with the older number of two tracked people who proved to be one, in place of a new one.

    rows (M,): the rows of the two.
    """
    numbers, moves, tracked = found
    new = np.unique(numbers[rows & (numbers >= people.next_ident)])
    if len(new) != 1:
        return found
    older = people.ident[duplicate].min()

    def renamed(values: Ints) -> Ints:
        return np.asarray(np.where(values == new[0], older, values))

    return renamed(numbers), replace(moves, group=renamed(moves.group)), replace(tracked, ident=renamed(tracked.ident))


def _find_duplicate(rays: BodyRays, group: Ints, people: TrackedBodies, skeleton: Skeleton) -> Ints:
    """Indices (2,) of two tracked people who are one person, or none (0,).

    Each is seen by a single view, at an uncertain depth, and their rows match. The estimated position of a person whom
    one view alone has seen for long may be wrong, so that another view finds them elsewhere.
    """
    row = single_view_rows(group, rays.view, people.lost(skeleton.torso))
    first, second = np.triu_indices(len(row), 1)
    apart = rays.view[row[first]] != rays.view[row[second]]
    first, second = row[first[apart]], row[second[apart]]
    if not len(first):
        return np.zeros(0, np.int64)
    distances = ray_distances(rays, first, second)
    evidence = body_total(distances.evidence()) + size_evidence(distances, skeleton)
    best = int(evidence.argmax())
    return group[[first[best], second[best]]] if evidence[best] > CERTAIN_NATS else np.zeros(0, np.int64)


def initial_calibration_variance(frames: list[BodyRays], views: int) -> Floats:
    """Variance (C,) rad^2 of the calibration error before anything is known: the candidate with the most evidence.

    The evidence is that of the best match of every row in every other view. Too small a variance rejects pairs that
    show the same body; with too large a one the evidence of every pair is weak.
    """
    total = np.zeros(len(_ANGLES))
    for rays in frames:
        first, second = np.nonzero(np.triu(rays.view[:, None] != rays.view[None], 1))
        distances = ray_distances(rays, first, second)
        for at, angle in enumerate(_ANGLES):
            best = np.zeros((len(rays.view), views))  # of each row and other view
            evidence = body_total(distances.evidence(angle**2))
            np.maximum.at(best, (first, rays.view[second]), evidence)
            np.maximum.at(best, (second, rays.view[first]), evidence)
            total[at] += best.sum()
    return np.full(views, _ANGLES[int(np.argmax(total))] ** 2)


def _pair_evidence(rays: BodyRays, skeleton: Skeleton, wanted: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Evidence (M, M) that two rows are the same body, -inf where impossible, and which pairs have a left-right swap.

    Only pairs with a row that is ``wanted`` (M,) are compared. A swap is tried only for pairs in which neither row has
    a certain match in the other's view.
    """
    count = len(rays.view)
    compared = (rays.view[:, None] != rays.view[None]) & (wanted[:, None] | wanted[None])
    first, second = np.nonzero(np.triu(compared, 1))
    distances = ray_distances(rays, first, second)
    same = body_total(distances.evidence()) + size_evidence(distances, skeleton)
    evidence, flips = np.zeros((count, count)), np.zeros((count, count), bool)
    evidence[first, second] = evidence[second, first] = same
    partner = np.zeros((count, int(rays.view.max()) + 1), bool)
    np.logical_or.at(partner, (first, rays.view[second]), same > CERTAIN_NATS)
    np.logical_or.at(partner, (second, rays.view[first]), same > CERTAIN_NATS)
    alone = np.flatnonzero(~(partner[first, rays.view[second]] | partner[second, rays.view[first]]))
    if len(alone):
        first, second, same = first[alone], second[alone], same[alone]
        mirrored = rays.exchanged(np.ones(count, bool), skeleton.mirror)
        crossed = body_total(ray_distances(rays, first, second, mirrored).evidence()) - EXCHANGE_NATS
        better = crossed > same
        first, second, crossed = first[better], second[better], crossed[better]
        evidence[first, second] = evidence[second, first] = crossed
        flips[first, second] = flips[second, first] = True
    seen = rays.seen.astype(np.int64)
    evidence[(rays.view[:, None] == rays.view[None]) & ((seen @ seen.T) > 0)] = -np.inf
    return evidence, flips


def _partition(
    rays: BodyRays, people: TrackedBodies, certain: Ints, score: Floats, pairs: Floats,
    flips: NDArray[np.bool_], skeleton: Skeleton, learned: Affinities | None,
) -> tuple[Ints, NDArray[np.bool_]]:  # fmt: skip
    """Group (M,) of each row, those of tracked people first, -1 = ungrouped, and the rows with a left-right swap.

    Rows with a ``certain`` (M,) match add their evidence to that of their person.
    """
    known = len(people)
    undecided = np.flatnonzero(certain < 0)
    rows = len(undecided)
    prior, mirror = people.as_prior(0), skeleton.mirror
    crossed = body_evidence(rays[undecided], prior.xyz[:, mirror], prior.cov[:, mirror], prior.known[:, mirror])
    crossed = body_total(crossed) - EXCHANGE_NATS
    same = score[undecided]
    membership = (certain[:, None] == np.arange(known)).astype(np.float64)
    pair_nats = pairs[undecided]
    evidence = np.full((rows + known, rows + known), -np.inf)
    evidence[:rows, :rows] = pair_nats[:, undecided]
    body_nats = learned.bodies[undecided] if learned else np.maximum(same, crossed)
    evidence[:rows, rows:] = body_nats + np.where(np.isfinite(pair_nats), pair_nats, 0) @ membership
    evidence[:rows, rows:][(np.isneginf(pair_nats) @ membership) > 0] = -np.inf
    evidence[rows:, :rows] = evidence[:rows, rows:].T
    label = contract_edges(evidence)
    group, new = certain.copy(), known
    flip = np.zeros(len(certain), bool)
    for one in np.unique(label[:rows]):
        at = np.flatnonzero(label[:rows] == one)
        mine = undecided[at]
        person = np.flatnonzero(label[rows:] == one)
        if len(person):
            group[mine] = person[0]
            flip[mine] = crossed[at, person[0]] > same[at, person[0]]
        elif len(mine) > 1 and len(np.unique(rays.view[mine])) > 1:
            group[mine] = new
            flip[mine] = swapped_rows(np.where(flips[np.ix_(mine, mine)], -1.0, 1.0))
            new += 1
    return group, flip


def _reassign_rows(
    rays: BodyRays, group: Ints, people: TrackedBodies, pairs: Floats, skeleton: Skeleton, model: AffinityModel | None
) -> tuple[Ints, BodyEstimates, Floats]:
    """Groups after every row is compared with every body, the bodies, and the evidence (M, G, J) of rows for bodies.

    A row's own body is estimated without that row. Two rows of a new person make no body without each other: there, the
    evidence of the pair (M, M) counts.
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
    """Bodies of the groups, and evidence (M, G, J) of rows for them; a row's own body is estimated without that row."""
    bodies = estimate_bodies(rays, group, prior)
    evidence = body_evidence(rays, bodies.xyz, bodies.cov, bodies.known)
    own = body_evidence(rays, *bodies.without)[:, 0]
    member = np.flatnonzero(group >= 0)
    evidence[member, group[member]] = own[member]
    return bodies, evidence


def _drop_false_births(
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
    """Groups without rejected new ones: weak evidence, not a human's size, or at the position of another person."""
    group = group.copy()
    torso = np.where(bodies.known[..., None], bodies.xyz, np.nan)[:, skeleton.torso]
    present = [one for one in range(len(people)) if (group == one).any()]
    for new in range(len(people), len(bodies.xyz)):
        mine = np.flatnonzero(group == new)
        if not len(mine):
            continue
        inside = _views_with_body(rig, bodies.xyz[new], bodies.known[new])
        missed = inside.sum() - len(np.unique(rays.view[mine]))
        pair_nats = pairs[np.ix_(mine, mine)]
        learned = model.birth_score(rays, bodies, evidence, group, new, people, skeleton) if model else None
        nats = pair_nats[np.isfinite(pair_nats)].sum() / 2 - config.miss_nats * missed if learned is None else learned
        apart = np.linalg.norm(torso[present] - torso[new], axis=-1)
        both = np.isfinite(apart)
        occupied = (np.where(both, apart, 0).sum(1) < TORSO_DEPTH_M * both.sum(1)).any()
        known = bodies.known[new]
        xyz = np.where(known[:, None], bodies.xyz[new], np.nan)
        plausible = plausible_size(skeleton, xyz, np.where(known, bodies.variance[new], np.nan))
        least = config.start_nats if learned is None else 0.0
        if len(np.unique(rays.view[mine])) < 2 or nats < least or occupied or not plausible:
            group[mine] = -1
        else:
            present.append(new)
    return group


def _views_with_body(rig: Rig, xyz: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which views (C,) have most of a body inside the image."""
    xy = rig.project(xyz[known])
    size = np.array([camera.lens.size for camera in rig])[:, None]
    inside = ((xy > 0) & (xy < size)).all(-1)
    return np.asarray(inside.sum(1) > 0.6 * known.sum())
