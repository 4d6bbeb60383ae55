"""Affinities from the matching network, which declines frames unlike its training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats, Ints
from mvcap.association.association_graph import Affinities, GeometryConfig
from mvcap.association.centre_proposals import CentreProposals, centre_proposals
from mvcap.association.graph_features import EDGE_NAMES, FrameGraph, RowFeatures, frame_graph
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import BodyEstimates, TrackedBodies
from mvcap.association.unambiguous_frames import CERTAIN_NATS
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton
from mvcap.weights.networks import Network

_MARGIN, _LEAST_MARGIN = 0.25, 0.1  # margin around the limits of the training data: share of their distance, and least
_CERTAIN = 100.0  # nats
_AMBIGUOUS_NATS, _MOST_AMBIGUOUS = 0.4, 0.6  # log-odds that decide nothing; largest share of rows with such a best pair


@dataclass(frozen=True)
class LearnedAffinityConfig(GeometryConfig):
    """Settings of the associator ``graph``."""

    most_nodes: int = 200
    """Most rows and people of a frame for which the network is used; geometry alone decides larger frames."""
    centres: bool = False
    """Whether the centre network decides who is a new person: fewer false positives in crowds, but it misses people
    whom only two views see."""
    strange_share: float = 0.25
    """Share of nodes, or of edges, outside the range of the network's training data from which on geometry alone
    decides a frame."""


class FrameRows:
    """The rows of one frame in the form that the networks take."""

    def __init__(self, rows: Detections2D, rig: Rig) -> None:
        sizes = np.array([camera.lens.size for camera in rig], np.float64)
        self.rig = rig
        self.seen = RowFeatures.of(rows, np.asarray(rig.focal, np.float64), sizes)

    def graph(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        people: TrackedBodies,
        group: Ints,
        skeleton: Skeleton,
    ) -> FrameGraph:
        """Graph of rows and bodies (G), those of ``people`` first, with evidence (M, G, J) and groups (M,) so far."""
        count, known = len(bodies.xyz), len(people)
        unseen_s = np.full(count, np.nan)
        unseen_s[:known] = people.time_s - people.seen_s
        return frame_graph(rays, self.seen, bodies, evidence, unseen_s, group, skeleton)

    def queries(
        self, rays: BodyRays, bodies: BodyEstimates, evidence: Floats, group: Ints, one: int, people: TrackedBodies,
        skeleton: Skeleton,
    ) -> CentreProposals | None:  # fmt: skip
        """Input of the centre network, CRG, for the body ``one``."""
        return centre_proposals(rays, self.seen, self.rig, bodies, evidence, group, one, people, skeleton)


class LearnedAffinity:
    """Affinities of the matching network."""

    def __init__(
        self, rows: Detections2D, rig: Rig, config: LearnedAffinityConfig, networks: tuple[Network, Network | None]
    ) -> None:
        self.seen, self.config = FrameRows(rows, rig), config
        self.matching, self.centres = networks
        self.asked = self.declined = False
        """Whether the network was queried, and whether it declined: too large a graph, or one unlike its training
        data."""

    def affinities(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        people: TrackedBodies,
        group: Ints,
        skeleton: Skeleton,
    ) -> Affinities | None:
        """See ``AffinityModel``."""
        self.asked = True
        if len(rays.view) + len(bodies.xyz) > self.config.most_nodes:
            self.declined = True
            return None
        graph = self.seen.graph(rays, bodies, evidence, people, group, skeleton)
        there = np.ones((1, len(graph.node)), np.bool_)
        (found,) = self.matching(graph.node[None], graph.edge[None], graph.prior[None], there)
        odds = found[0].astype(np.float64)
        if (
            self._out_of_range(graph)
            or _mostly_ambiguous(odds, graph.rows)
            or _contradicts_geometry(odds, graph, rays.view)
        ):
            self.declined = True
            return None
        rows = graph.rows
        pairs = odds[:rows, :rows].copy()
        seen = rays.seen.astype(np.int64)
        apart = (rays.view[:, None] == rays.view[None]) & ((seen @ seen.T) > 0) & (pairs <= 0)
        pairs[apart] = -np.inf
        empty: NDArray[np.bool_] = ~np.asarray(rays.seen.any(1))  # rows without a joint belong to no person
        pairs[empty], pairs[:, empty] = -np.inf, -np.inf
        np.fill_diagonal(pairs, 0)
        return Affinities(pairs, np.where(empty[:, None], -_CERTAIN, odds[:rows, rows:]))

    def _out_of_range(self, graph: FrameGraph) -> bool:
        """Whether much of a graph lies outside the range of the training data."""
        limits = self.matching.limits
        return any(
            _outside(values.reshape(-1, values.shape[-1]), limits, name) > self.config.strange_share
            for name, values in (("node", graph.node), ("edge", graph.edge))
        )

    def birth_score(
        self, rays: BodyRays, bodies: BodyEstimates, evidence: Floats, group: Ints, new: int, people: TrackedBodies,
        skeleton: Skeleton,
    ) -> float | None:  # fmt: skip
        """See ``AffinityModel``."""
        if self.centres is None:
            return None
        proposals = self.seen.queries(rays, bodies, evidence, group, new, people, skeleton)
        if proposals is None:
            return None
        odds, _ = self.centres(proposals.view[None], proposals.pair[None], proposals.spot[None], proposals.there[None])
        return float(odds.max())


def _outside(values: NDArray[np.float32], limits: Mapping[str, Floats], name: str) -> float:
    """Share of rows (N, F) with a feature outside its limits by more than a quarter of their distance."""
    low, high = limits.get(f"{name}_low"), limits.get(f"{name}_high")
    if low is None or high is None or not len(values):
        return 0.0
    margin = _MARGIN * (high - low) + _LEAST_MARGIN
    return float(((values < low - margin) | (values > high + margin)).any(-1).mean())


def _contradicts_geometry(odds: Floats, graph: FrameGraph, view: NDArray[np.integer]) -> bool:
    """Whether the network splits people on whom three views agree closely.

    Geometry is seldom wrong there, so the frame is probably unlike the network's training data.
    """
    rows = graph.rows
    together = graph.edge[:rows, :rows, EDGE_NAMES.index("together")] > 0
    certain = together & (graph.prior[:rows, :rows] > CERTAIN_NATS) & (view[:, None] != view)
    rejected = certain & (odds[:rows, :rows] < 0)
    return bool(((certain.sum(1) > 1) & (rejected.sum(1) == certain.sum(1))).sum() > 2)


def _mostly_ambiguous(odds: Floats, rows: int) -> bool:
    """Whether most rows are ambiguous to the network: their best pair is neither likely nor unlikely."""
    best = np.where(np.eye(len(odds), dtype=np.bool_), -np.inf, odds)[:rows].max(1)
    return bool((np.abs(best) < _AMBIGUOUS_NATS).mean() > _MOST_AMBIGUOUS)
