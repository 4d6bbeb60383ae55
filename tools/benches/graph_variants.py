"""The matching graph taught otherwise: features in metres of a room, what was published, no way through for geometry.

All variants learn from the same frames. A sample holds the features of all of them, each variant takes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats, Singles
from mvcap.association.association_graph import Affinities, AffinityModel
from mvcap.association.graph_features import EDGE_NAMES, NODE_NAMES, SLOTS, FrameGraph, _pooled, _slots
from mvcap.association.learned_affinity import FrameRows, LearnedAffinityConfig
from mvcap.association.ray_affinity import BodyRays, ray_distances
from mvcap.association.tracked_bodies import BodyEstimates, TrackedBodies
from mvcap.associators.geometry import Geometry
from mvcap.associators.graph import GraphAssociator
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.tasks.mmg import MatchingTask
from mvcap.training.association_frames import FrameQuestion, collect_questions
from mvcap.training.task import Sample

if TYPE_CHECKING:
    import torch


_MOST, _MOST_NODES = 10, 90  # graphs of a take, nodes of a graph: as many as the task takes
_FAR_M = 3.0
_LEAST_ROOM_M = np.array([4.0, 4.0, 3.0])
_NODE, _EDGE = ({name: at for at, name in enumerate(names)} for names in (NODE_NAMES, EDGE_NAMES))
_KINDS = ("across", "within", "row_body", "bodies")
_NOISY_NODES = ("noise",)
_NOISY_EDGES = ("evidence", "size", "exchanged", "near", "far", "middle", "wide", "copies", "lead_low", "lead_high",
                "together")  # fmt: skip
"""Features of ours that are ratios to expected noise; those of slots beside."""


# --- features --------------------------------------------------------------------------------------------------------


def in_metres(
    graph: FrameGraph, rows: FrameRows, rays: BodyRays, bodies: BodyEstimates, skeleton: Skeleton
) -> FrameGraph:
    """The same graph with distances of rays in metres and places in the room instead of ratios to noise.

    Places are published's: centred and divided by the box that the cameras stand in. What is no ratio to noise (scores,
    angles, what the picture shows) stays as it is.
    """
    count = graph.rows
    node = np.concatenate([graph.node, np.zeros((len(graph.node), 6), np.float32)], 1)
    node[:, [_NODE[name] for name in _NOISY_NODES]] = 0
    slots = slice(_NODE[f"surer_{SLOTS[0]}"], _NODE[f"surer_{SLOTS[0]}"] + len(SLOTS))
    node[count:, slots] = 0  # how surely the joints of bodies are known
    middle, half = _room(rows.rig)
    node[:count, -6:-3] = (rays.origin - middle) / half
    node[:count, -3:] = _root(rays, skeleton)
    torso = _torso(bodies, skeleton)
    node[count:, -6:-3] = np.nan_to_num((torso - middle) / half)
    edge = np.concatenate([graph.edge, np.zeros((*graph.edge.shape[:2], 3), np.float32)], 2)
    within = graph.edge[..., _EDGE["within"]] > 0
    kept = graph.edge[..., _EDGE["far"]] * within  # of two rows of a view: in sizes of the body
    edge[..., [_EDGE[name] for name in _NOISY_EDGES]] = 0
    first, second = np.triu_indices(count, 1)
    across = rays.view[first] != rays.view[second]
    first, second = first[across], second[across]
    met = ray_distances(rays, first, second)
    seen = ~np.isnan(met.variance)
    at = np.where(seen[..., None], met.middle, np.nan)[:, skeleton.torso]
    places = (_mean(at) - middle) / half
    _fill(edge, first, second, np.where(seen, np.sqrt(met.square), np.nan), places, skeleton)
    _fill(edge, second, first, np.where(seen, np.sqrt(met.square), np.nan), places, skeleton)
    off = bodies.xyz - rays.origin[:, None, None]
    along = np.einsum("mgjx,mjx->mgj", off, rays.direction)
    apart = np.sqrt(np.maximum((off**2).sum(-1) - along**2, 0))
    apart = np.where(rays.seen[:, None] & bodies.known, apart, np.nan)
    row, body = (side.ravel() for side in np.indices(apart.shape[:2]))
    places = ((torso - middle) / half)[body]
    for one, other in ((row, body + count), (body + count, row)):
        _fill(edge, one, other, apart.reshape(-1, apart.shape[-1]), places, skeleton)
    edge[..., _EDGE["far"]] += kept
    return FrameGraph(node, edge, np.zeros_like(graph.prior), count)


def without_groups(
    graph: FrameGraph, rows: FrameRows, rays: BodyRays, bodies: BodyEstimates, skeleton: Skeleton
) -> FrameGraph:
    """The same graph without what geometry makes of the whole."""
    edge = graph.edge.copy()
    edge[..., _EDGE["together"]] = 0
    return FrameGraph(graph.node, edge, graph.prior, graph.rows)


def as_published(
    graph: FrameGraph, rows: FrameRows, rays: BodyRays, bodies: BodyEstimates, skeleton: Skeleton
) -> FrameGraph:
    """The same graph with exp(-10 d) as what is known of a pair: d from a root to the other's epipolar line.

    d is on the normalised plane, the mean of both ways; for a row and a body from the row's root to the body's
    projected. There is no picture and so none of its channels: scores of the joints are what is known of a node.
    """
    count, told = graph.rows, 2 + 2 * len(SLOTS)
    node = graph.node[:, :told].copy()
    node[count:, 2 : 2 + len(SLOTS)] = 0
    edge = np.zeros((*graph.edge.shape[:2], len(_KINDS) + 1), np.float32)
    edge[..., :-1] = graph.edge[..., [_EDGE[name] for name in _KINDS]]
    turned = np.stack([camera.cam_from_world[:3, :3] for camera in rows.rig])[rays.view]
    looking = _root(rays, skeleton)
    flat = _flat(np.einsum("mxy,my->mx", turned, looking))
    normal = np.cross(looking[:, None], rays.origin[:, None] - rays.origin[None])
    line = np.einsum("bxy,aby->abx", turned, normal)
    away = np.abs((line[..., :2] * flat).sum(-1) + line[..., 2]) / np.maximum(np.hypot(*line[..., :2].T).T, 1e-9)
    across = edge[:count, :count, 0] > 0
    edge[:count, :count, -1] = np.where(across, np.exp(-5 * (away + away.T)), 0)
    if len(bodies.xyz):
        off = _torso(bodies, skeleton)[None] - rays.origin[:, None]
        spot = _flat(np.einsum("mxy,mgy->mgx", turned, off))
        near = np.nan_to_num(np.exp(-10 * np.linalg.norm(spot - flat[:, None], axis=-1)))
        edge[:count, count:, -1], edge[count:, :count, -1] = near, near.T
    return FrameGraph(node, edge, np.zeros_like(graph.prior), count)


def _fill(
    edge: Singles, first: NDArray[np.int64], second: NDArray[np.int64], apart: Floats, place: Floats, skeleton: Skeleton
) -> None:
    """Distances (P, J) m of joints into what ours has for evidence, and places (P, 3) in the room at the end."""
    apart = np.minimum(apart, _FAR_M)
    known = np.isfinite(apart)
    ordered, last = np.sort(apart, -1), np.maximum(known.sum(-1) - 1, 0)
    for name, pick in (("near", 0 * last), ("far", last), ("middle", last // 2)):
        value = np.take_along_axis(ordered, pick[:, None], -1)[:, 0]
        edge[first, second, _EDGE[name]] = np.nan_to_num(value)
    start = _EDGE[f"nats_{SLOTS[0]}"]
    edge[first, second, start : start + len(SLOTS)] = _pooled(apart, _slots(skeleton.joints))[0]
    edge[first, second, -3:] = np.clip(np.nan_to_num(place), -5, 5)


def _room(rig: Rig) -> tuple[Floats, Floats]:
    """Middle (3,) and half the size (3,) m of the box that the cameras stand in, from the floor."""
    low, high = rig.positions.min(0), rig.positions.max(0)
    low[2] = 0.0
    return (low + high) / 2, np.maximum(high - low, _LEAST_ROOM_M) / 2


def _root(rays: BodyRays, skeleton: Skeleton) -> Floats:
    """Directions (M, 3) of the torso, else of all that is seen."""
    torso = rays.direction[:, skeleton.torso].sum(1)
    some = rays.seen[:, skeleton.torso].any(1)
    whole = np.where(some[:, None], torso, rays.direction.sum(1))
    return np.asarray(whole / np.maximum(np.linalg.norm(whole, axis=-1, keepdims=True), 1e-9))


def _torso(bodies: BodyEstimates, skeleton: Skeleton) -> Floats:
    return _mean(np.where(bodies.known[..., None], bodies.xyz, np.nan)[:, skeleton.torso])


def _mean(xyz: Floats) -> Floats:
    """Means (N, 3) of what is known of (N, K, 3); NaN of nothing."""
    known = np.isfinite(xyz).all(-1)
    total = np.where(known[..., None], xyz, 0).sum(-2)
    count = known.sum(-1)[..., None]
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _flat(xyz: Floats) -> Floats:
    """Points (..., 2) on the normalised plane; in front or behind is the same there, as was published."""
    depth = np.where(np.abs(xyz[..., 2:]) < 1e-3, 1e-3, xyz[..., 2:])
    return np.asarray(xyz[..., :2] / depth)


# --- tasks ---------------------------------------------------------------------------------------------------------


class Ours(MatchingTask):
    """The task ``mmg`` as it is, its samples with the features of all variants."""

    title = "ours: noise units, beside geometry's groups"
    features = ""
    """What the names of its features in a sample begin with."""
    made: Callable[[FrameGraph, FrameRows, BodyRays, BodyEstimates, Skeleton], FrameGraph] | None = None
    """Its graph from ours."""

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Graphs of some of the frames that left geometry in doubt, as every variant has them."""
        found = [one for one in collect_questions(take, seed) if 1 < len(one.row_is) + len(one.body_is) <= _MOST_NODES]
        picked = np.random.default_rng(seed).permutation(len(found))[:_MOST]
        return [_sample(found[at]) for at in picked]

    def network(self) -> torch.nn.Module:
        """Fresh weights."""
        from mvcap.nn.mmg import MatchingGraph

        return MatchingGraph(*self.widths)

    widths = (len(NODE_NAMES), len(EDGE_NAMES))
    """Features of a node and of an edge."""

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Padded to the largest frame."""
        most, count = max(len(one["who"]) for one in samples), len(samples)
        out: dict[str, NDArray[Any]] = {
            "node": np.zeros((count, most, self.widths[0]), np.float32),
            "edge": np.zeros((count, most, most, self.widths[1]), np.float32),
            "there": np.zeros((count, most), np.bool_),
            "across": np.zeros((count, most, most), np.bool_),
        }
        for name in ("prior", "same", "weight"):
            out[name] = np.zeros((count, most, most), np.float32)
        for at, one in enumerate(samples):
            nodes, rows, who, view = len(one["who"]), int(one["rows"]), one["who"], one["view"]
            first, second = np.triu_indices(nodes, 1)
            out["node"][at, :nodes], out["there"][at, :nodes] = one[f"{self.features}node"], True
            for name, held in (("edge", one[f"{self.features}edge"]), ("prior", one["prior"])):
                out[name][at, first, second] = out[name][at, second, first] = held
            asked = ~np.eye(nodes, dtype=np.bool_)
            asked[rows:, rows:] = False
            asked &= (who[:, None] >= 0) | (who[None] >= 0)  # as the task has it
            out["same"][at, :nodes, :nodes] = (who[:, None] == who[None]) & (who >= 0)[:, None]
            out["weight"][at, :nodes, :nodes] = asked / nodes
            out["across"][at, :rows, :rows] = view[:, None] != view[None]
        return out

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Loss; F1 of pairs of rows of two views and of all pairs asked about, beside that of geometry's evidence."""
        import torch

        held, loss = list(samples), 0.0
        hits = np.zeros((2, 2, 3))  # network, geometry; all, across
        with torch.no_grad():
            for start in range(0, len(held), self.batch_size):
                arrays = self.batch(held[start : start + self.batch_size])
                batch = {name: torch.from_numpy(value) for name, value in arrays.items()}
                odds = network(*(batch[name] for name in self.sizes.inputs))
                loss += float(self.loss(network, batch)) * len(odds)
                asked, same = arrays["weight"] > 0, arrays["same"] > 0
                for way, told in enumerate((odds.numpy() > 0, arrays["prior"] > 0)):
                    for kind, use in enumerate((asked, arrays["across"])):
                        hits[way, kind] += (told & same & use).sum(), (told & use).sum(), (same & use).sum()
        all_, rows = np.moveaxis(2 * hits[..., 0] / np.maximum(hits[..., 1] + hits[..., 2], 1), 1, 0)
        return {"loss": loss / max(len(held), 1), "f1": float(all_[0]), "f1_rows": float(rows[0]),
                "f1_geometry": float(all_[1]), "f1_rows_geometry": float(rows[1])}  # fmt: skip


class NoPrior(Ours):
    """Features in units of noise alone: what geometry makes of the whole frame is not told."""

    title = "noise units alone, geometry's groups not told"
    made = staticmethod(without_groups)

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Padded to the largest frame."""
        out = super().batch(samples)
        if self.features == "":
            out["edge"][..., _EDGE["together"]] = 0
        return out

    def network(self) -> torch.nn.Module:
        """Fresh weights."""
        from benches.graph_networks import WithoutPrior

        return WithoutPrior(*self.widths)


class Metres(NoPrior):
    """Features in metres of the room."""

    title = "world metres instead, geometry's groups not told"
    features = "metre_"
    made = staticmethod(in_metres)
    widths = (len(NODE_NAMES) + 6, len(EDGE_NAMES) + 3)


class Published(Ours):
    """Loss, pooling and edge feature as was published."""

    title = "published edge feature, sum pooling, balanced loss"
    features = "published_"
    made = staticmethod(as_published)
    widths = (2 + 2 * len(SLOTS), len(_KINDS) + 1)

    def network(self) -> torch.nn.Module:
        """Fresh weights."""
        from benches.graph_networks import Summed

        return Summed(*self.widths)

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Balanced binary cross-entropy: true and wrong pairs count half each."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        odds = network(*(batch[name] for name in self.sizes.inputs))
        asked, same = batch["weight"] > 0, batch["same"]
        right = (same > 0) & asked
        wrong = asked & ~right
        weight = 0.5 * (right / right.sum().clamp_min(1) + wrong / wrong.sum().clamp_min(1))
        return binary_cross_entropy_with_logits(odds, same, weight=weight, reduction="sum")


VARIANTS: tuple[type[Ours], ...] = (Ours, NoPrior, Metres, Published)
SAMPLES = "benches.graph_variants:Ours"
"""Whose samples all learn from."""


def _sample(one: FrameQuestion) -> Sample:
    graph = one.seen.graph(one.rays, one.bodies, one.evidence, one.people, one.group, one.skeleton)
    first, second = np.triu_indices(len(graph.node), 1)
    out: dict[str, NDArray[Any]] = {
        "prior": graph.prior[first, second].astype(np.float16),
        "who": np.concatenate([one.row_is, one.body_is]),
        "rows": np.array(graph.rows),
        "view": one.rays.view.astype(np.int64),
    }
    for kind in (Ours, Metres, Published):
        own = kind.made(graph, one.seen, one.rays, one.bodies, one.skeleton) if kind.made else graph
        out[f"{kind.features}node"] = own.node.astype(np.float16)
        out[f"{kind.features}edge"] = own.edge[first, second].astype(np.float16)
    return out


# --- associators -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CentresConfig(LearnedAffinityConfig):
    """Settings of the associator ``graph`` that asks the centre network too."""

    centres: bool = True


class WithCentres(GraphAssociator):
    """Associator ``graph`` whose centre network says who is new."""

    Config = CentresConfig


class Taught(Geometry):
    """The associator with a variant's network as affinity model, which is believed whatever it says."""

    def __init__(self, variant: Ours, network: torch.nn.Module) -> None:
        super().__init__(LearnedAffinityConfig())
        self.variant, self.network = variant, network.cpu().eval()

    def _affinity_model(self, rows: Detections2D, rig: Rig) -> AffinityModel | None:
        return _Believed(FrameRows(rows, rig), self.variant, self.network)


@dataclass(frozen=True)
class _Believed:
    """Affinities that ask a variant's network."""

    rows: FrameRows
    variant: Ours
    network: torch.nn.Module

    def affinities(
        self,
        rays: BodyRays,
        bodies: BodyEstimates,
        evidence: Floats,
        people: TrackedBodies,
        settled: NDArray[np.int64],
        skeleton: Skeleton,
    ) -> Affinities | None:
        """See ``FrameJudge``: the same, without a way back to geometry but for the number of nodes."""
        import torch

        if len(rays.view) + len(bodies.xyz) > LearnedAffinityConfig().most_nodes:
            return None
        graph = self.rows.graph(rays, bodies, evidence, people, settled, skeleton)
        if made := type(self.variant).made:
            graph = made(graph, self.rows, rays, bodies, skeleton)
        with torch.inference_mode():
            arrays = (torch.from_numpy(one[None]) for one in (graph.node, graph.edge, graph.prior))
            there = torch.ones((1, len(graph.node)), dtype=torch.bool)
            odds = self.network(*arrays, there)[0].numpy().astype(np.float64)
        pairs = odds[: graph.rows, : graph.rows].copy()
        claims = rays.seen.astype(np.int64)
        pairs[(rays.view[:, None] == rays.view[None]) & ((claims @ claims.T) > 0) & (pairs <= 0)] = -np.inf
        np.fill_diagonal(pairs, 0)
        return Affinities(pairs, odds[: graph.rows, graph.rows :])

    def birth_score(self, *about: Any) -> float | None:
        """None: geometry's to say."""
        return None
