"""Affinities from the matching network, which declines frames unlike those that it was trained on."""

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
from mvcap.association.unambiguous_frames import SURE
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton
from mvcap.weights.networks import Network

_ROOM, _LEAST_ROOM = 0.25, 0.1  # beyond the limits of the training data: share of their distance, and at least
_CERTAIN = 100.0
_DOUBT, _MOST_DOUBTED = 0.4, 0.6  # log-odds that say nothing; share of the rows that may be so


@dataclass(frozen=True)
class LearnedAffinityConfig(GeometryConfig):
    """Settings of the associator ``graph``."""

    most_nodes: int = 200
    """Rows and people of a frame that the network is asked about; geometry settles frames with more."""
    centres: bool = False
    """Whether the centre network says who is new: fewer people who are nobody in crowds, but it misses people whom two
    views alone see."""
    strange_share: float = 0.25
    """Share of nodes, or of edges, outside what the network was trained on, from which on geometry settles a frame."""


class FrameRows:
    """The rows of one frame as networks want to see them."""

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
        """What CRG is asked about the body ``one``."""
        return centre_proposals(rays, self.seen, self.rig, bodies, evidence, group, one, people, skeleton)


class LearnedAffinity:
    """Affinities of the matching network."""

    def __init__(
        self, rows: Detections2D, rig: Rig, config: LearnedAffinityConfig, networks: tuple[Network, Network | None]
    ) -> None:
        self.seen, self.config = FrameRows(rows, rig), config
        self.matching, self.centres = networks
        self.asked = self.declined = False
        """Whether it was asked, and declined: too large a graph, or one unlike any that it was trained on."""

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
        if self._strange(graph) or _undecided(odds, graph.rows) or _denies(odds, graph, rays.view):
            self.declined = True
            return None
        rows = graph.rows
        pairs = odds[:rows, :rows].copy()
        claims = rays.seen.astype(np.int64)
        apart = (rays.view[:, None] == rays.view[None]) & ((claims @ claims.T) > 0) & (pairs <= 0)
        pairs[apart] = -np.inf
        blind: NDArray[np.bool_] = ~np.asarray(rays.seen.any(1))  # rows without a joint are nobody's
        pairs[blind], pairs[:, blind] = -np.inf, -np.inf
        np.fill_diagonal(pairs, 0)
        return Affinities(pairs, np.where(blind[:, None], -_CERTAIN, odds[:rows, rows:]))

    def _strange(self, graph: FrameGraph) -> bool:
        """Whether much of a graph lies outside what the network was trained on."""
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
        asked = self.seen.queries(rays, bodies, evidence, group, new, people, skeleton)
        if asked is None:
            return None
        odds, _ = self.centres(asked.view[None], asked.pair[None], asked.spot[None], asked.there[None])
        return float(odds.max())


def _outside(values: NDArray[np.float32], limits: Mapping[str, Floats], name: str) -> float:
    """Share of rows (N, F) that have a feature outside its limits by more than a quarter of their distance."""
    low, high = limits.get(f"{name}_low"), limits.get(f"{name}_high")
    if low is None or high is None or not len(values):
        return 0.0
    room = _ROOM * (high - low) + _LEAST_ROOM
    return float(((values < low - room) | (values > high + room)).any(-1).mean())


def _denies(odds: Floats, graph: FrameGraph, view: NDArray[np.integer]) -> bool:
    """Whether the network takes somebody apart whom three views agree upon closely.

    Geometry is seldom wrong about that, so the odds are likely those of something that the network never met.
    """
    rows = graph.rows
    together = graph.edge[:rows, :rows, EDGE_NAMES.index("together")] > 0
    sure = together & (graph.prior[:rows, :rows] > SURE) & (view[:, None] != view)
    denied = sure & (odds[:rows, :rows] < 0)
    return bool(((sure.sum(1) > 1) & (denied.sum(1) == sure.sum(1))).sum() > 2)


def _undecided(odds: Floats, rows: int) -> bool:
    """Whether the network is in doubt about most rows: their best pair is neither likely nor unlikely."""
    best = np.where(np.eye(len(odds), dtype=np.bool_), -np.inf, odds)[:rows].max(1)
    return bool((np.abs(best) < _DOUBT).mean() > _MOST_DOUBTED)
