"""Features of one frame's graph for the matching network: detections, tracked bodies, and how well pairs agree.

Nodes are the rows of a frame, in any view, and bodies in the world: people tracked so far, as predicted, or groups of
rows as estimated. Every feature is a ratio to its expected noise, evidence in nats, an angle, or a human measure: none
depends on the room, the number of cameras, the image size or one estimator's joints. Joints are mapped by name to
thirteen slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats, Singles
from mvcap.association.ray_affinity import (
    BodyRays,
    RayDistances,
    body_evidence,
    body_total,
    ray_distances,
    size_evidence,
)
from mvcap.association.tracked_bodies import BodyEstimates
from mvcap.structures.anthropometry import TORSO_DEPTH_M
from mvcap.structures.detections import Detections2D, body_size
from mvcap.structures.skeleton import Skeleton

_SIDED = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
SLOTS: tuple[str, ...] = ("head", *(f"{side}_{joint}" for side in ("left", "right") for joint in _SIDED))
_HEAD = ("nose", "left_ear", "right_ear", "head_top", "head")

NODE_NAMES: tuple[str, ...] = (
    "is_body", "is_new", *(f"surer_{slot}" for slot in SLOTS), *(f"seen_{slot}" for slot in SLOTS),
    "joints", "noise", "size", "cut_off", "unseen_s", "views",
)  # fmt: skip
EDGE_NAMES: tuple[str, ...] = (
    "across", "within", "row_body", "bodies", "evidence", "size", "exchanged", "shared", "near", "far", "middle",
    "wide", "angle", "behind", "copies", "apart", "overlap", "ratio", "lead_low", "lead_high", "together",
    *(f"nats_{slot}" for slot in SLOTS), *(f"both_{slot}" for slot in SLOTS),
)  # fmt: skip
_AT = {name: at for at, name in enumerate(EDGE_NAMES)}
_NATS = slice(_AT["nats_head"], _AT["nats_head"] + len(SLOTS))
_BOTH = slice(_AT["both_head"], _AT["both_head"] + len(SLOTS))
_EVIDENCE_RANGE = 30.0
_EDGE_SHARE = 0.01  # of the image width: a box this close to the border is cut off


@dataclass(frozen=True)
class FrameGraph:
    """N nodes, rows before bodies, and the features of each pair."""

    node: Singles
    """(N, F)"""
    edge: Singles
    """(N, N, E)"""
    prior: Singles
    """(N, N) evidence nats by geometry alone"""
    rows: int


@dataclass(frozen=True)
class RowFeatures:
    """Features of rows other than their rays: scores, sizes, and whether the image border cuts them off."""

    score: Floats
    """(M, J)"""
    angle: Floats
    """(M,) rad, size of the body in the image"""
    cut: Bools
    """(M,)"""
    focal: Floats
    """(M,) px"""
    xy: Floats
    """(M, J, 2) px"""
    box: Floats
    """(M, 4) px"""

    @property
    def size(self) -> Floats:
        """Angle (M,) rad, limited to the range of a body; 0.1 where unknown, as for a single joint."""
        return np.clip(np.nan_to_num(self.angle, nan=0.1), 1e-2, 3)

    @classmethod
    def of(cls, rows: Detections2D, focal: Floats, size: Floats) -> RowFeatures:
        """Features of rows in views with focal lengths (C,) px and image sizes (C, 2) px."""
        box = rows.box.astype(np.float64)
        wh = size[rows.view]
        margin = _EDGE_SHARE * wh[:, :1]
        cut = (box[:, :2] < margin).any(1) | (box[:, 2:] > wh - 1 - margin).any(1)
        mine = focal[rows.view]
        score, xy = rows.score.astype(np.float64), rows.xy.astype(np.float64)
        return cls(score, body_size(box) / mine, cut, mine, xy, box)


@cache
def _slots(joints: tuple[str, ...]) -> NDArray[np.int64]:
    """Slot (J,) of each joint."""
    return np.array([0 if name in _HEAD else SLOTS.index(name) for name in joints], np.int64)


def _pooled(values: Floats, slot: NDArray[np.int64]) -> tuple[Singles, Singles]:
    """Mean (..., 13) by slot of joints' values (..., J), NaN left out, and which slots have any; 0 where none."""
    known = np.isfinite(values)
    pick = np.zeros((len(slot), len(SLOTS)))
    pick[np.arange(len(slot)), slot] = 1
    count = known @ pick
    mean = np.where(known, values, 0) @ pick / np.maximum(count, 1)
    return mean.astype(np.float32), (count > 0).astype(np.float32)


def frame_graph(
    rays: BodyRays,
    seen: RowFeatures,
    bodies: BodyEstimates,
    evidence: Floats,
    unseen_s: Floats,
    group: NDArray[np.int64],
    skeleton: Skeleton,
) -> FrameGraph:
    """Graph of rows and bodies (G), with evidence (M, G, J) of the rows' joints for the bodies.

    unseen_s (G,): time in seconds since each body was last seen, NaN for a new one. group (M,): how geometry groups the
    rows, the bodies' numbers first, -1 = ungrouped: the network gets the result for the whole frame beside the evidence
    of each pair.
    """
    rows, count, slot = len(rays.view), len(bodies.xyz), _slots(skeleton.joints)
    nodes = rows + count
    edge = np.zeros((nodes, nodes, len(EDGE_NAMES)), np.float32)
    prior = np.zeros((nodes, nodes), np.float32)
    first, second = np.triu_indices(rows, 1)
    pair = _row_edges(rays, seen, first, second, slot, skeleton)
    edge[first, second] = edge[second, first] = pair
    prior[first, second] = prior[second, first] = (pair[:, _AT["evidence"]] + pair[:, _AT["size"]]) * 8
    edge[:rows, rows:], held = _body_edges(rays, bodies, evidence, slot, skeleton)
    edge[rows:, :rows] = edge[:rows, rows:].swapaxes(0, 1)
    prior[:rows, rows:], prior[rows:, :rows] = held, held.T
    edge[rows:, rows:] = _between_bodies(bodies, skeleton)
    _fill_leads(edge, prior, np.concatenate([rays.view, np.full(count, -1)]))
    whole = np.concatenate([group, np.arange(count)])
    grouped = (whole[:, None] >= 0) & (whole[None] >= 0)
    edge[..., _AT["together"]] = np.where(whole[:, None] == whole[None], 1, -1) * grouped
    views = np.array([len(np.unique(rays.view[group == one])) for one in range(count)], np.float64)
    return FrameGraph(_nodes(rays, seen, bodies, unseen_s, views, slot), edge, prior, rows)


def _fill_leads(edge: Singles, prior: Singles, place: NDArray[np.integer]) -> None:
    """Lead (N, N) of each pair over each end's best other candidate in the view, ``place`` (N,), of the other end."""
    nodes = np.arange(len(place))
    lead = np.zeros_like(prior)
    for one in np.unique(place):
        mine = nodes[place == one]
        gain = np.maximum(prior[:, mine], 0)
        order = np.sort(gain, axis=1)
        best = order[:, -1:]
        second = order[:, -2:-1] if len(mine) > 1 else np.zeros_like(best)
        rival = np.where(gain == best, second, best)
        lead[:, mine] = prior[:, mine] - rival
    lead = (np.clip(lead, -_EVIDENCE_RANGE, _EVIDENCE_RANGE) / 8).astype(np.float32)
    edge[..., _AT["lead_low"]], edge[..., _AT["lead_high"]] = np.minimum(lead, lead.T), np.maximum(lead, lead.T)


def _nodes(
    rays: BodyRays, seen: RowFeatures, bodies: BodyEstimates, unseen_s: Floats, views: Floats, slot: NDArray[np.int64]
) -> Singles:
    rows, count = len(rays.view), len(bodies.xyz)
    out = np.zeros((rows + count, len(NODE_NAMES)), np.float32)
    # A row's mean score depends on the estimator; which of its joints are weaker than the others does not.
    mean = np.where(rays.seen, seen.score, 0).sum(1) / np.maximum(rays.seen.sum(1), 1)
    score, has = _pooled(np.where(rays.seen, seen.score / np.maximum(mean, 1e-3)[:, None] - 1, np.nan), slot)
    joints = rays.seen.sum(1)
    noise = np.where(rays.seen, rays.variance, 0).sum(1) / np.maximum(joints, 1)
    last = 2 + 2 * len(SLOTS)
    out[:rows, 2 : 2 + len(SLOTS)], out[:rows, 2 + len(SLOTS) : last] = score, has
    out[:rows, last] = joints / len(slot)
    out[:rows, last + 1] = np.log10(np.maximum(noise, 1e-10)) / 2 + 2
    out[:rows, last + 2] = np.log(seen.size) + 1.5
    out[:rows, last + 3] = seen.cut
    spread = np.log10(np.sqrt(np.maximum(bodies.variance, 1e-6))) + 1
    certainty, known = _pooled(np.where(bodies.known, np.clip(spread, -1.5, 1.5), np.nan), slot)
    out[rows:, 0] = 1
    out[rows:, 1] = ~np.isfinite(unseen_s)
    out[rows:, 2 : 2 + len(SLOTS)], out[rows:, 2 + len(SLOTS) : last] = certainty, known
    out[rows:, last] = bodies.known.mean(1) if count else 0
    out[rows:, last + 4] = np.minimum(np.nan_to_num(unseen_s, posinf=0, nan=0), 2)
    out[rows:, last + 5] = np.log1p(views)
    return out


def _row_edges(
    rays: BodyRays, seen: RowFeatures, first: NDArray[np.int64], second: NDArray[np.int64], slot: NDArray[np.int64],
    skeleton: Skeleton,
) -> Singles:  # fmt: skip
    """Edges (P, E) between rows: across views from their rays, within a view from the image."""
    out = np.zeros((len(first), len(EDGE_NAMES)), np.float32)
    across = rays.view[first] != rays.view[second]
    shared = (rays.seen[first] & rays.seen[second]).sum(1)
    out[:, _AT["shared"]] = shared / len(slot)
    out[:, _AT["ratio"]] = np.where(across, 0, np.abs(np.log(seen.size[first] / seen.size[second])))
    out[across, _AT["across"]], out[~across, _AT["within"]] = 1, 1
    if len(some := np.flatnonzero(across)):
        distances = ray_distances(rays, first[some], second[some])
        _fill_across(out, some, distances, size_evidence(distances, skeleton), slot)
    if len(some := np.flatnonzero(~across)):
        _fill_within(out, some, seen, rays, first, second)
    return out


def _fill_across(
    out: Singles, some: NDArray[np.int64], distances: RayDistances, size: Floats, slot: NDArray[np.int64]
) -> None:
    nats = distances.evidence()
    out[some, _AT["evidence"]] = np.clip(body_total(nats), -_EVIDENCE_RANGE, _EVIDENCE_RANGE) / 8
    out[some, _AT["size"]] = np.clip(size, -4, 4) / 8
    behind = np.isinf(distances.variance)
    known = np.isfinite(distances.variance)
    z = np.where(known, np.log1p(distances.square / np.where(known, distances.variance, 1)), np.nan)
    out[some[:, None], [_AT["near"], _AT["far"], _AT["middle"]]] = _spread(z)
    count = np.maximum(known.sum(1), 1)
    wide = np.where(known, np.log10(np.where(known, distances.variance, 1)) / 2, 0).sum(1) / count
    out[some, _AT["wide"]] = np.clip(wide + 1.5, -2, 2)
    both = known | behind
    angle = np.where(both, np.sqrt(distances.sine2), 0).sum(1) / np.maximum(both.sum(1), 1)
    out[some, _AT["angle"]] = angle
    out[some, _AT["behind"]] = behind.sum(1) / np.maximum(both.sum(1), 1)
    mean, there = _pooled(nats, slot)
    out[some, _NATS], out[some, _BOTH] = mean / 4, there


def _spread(values: Floats) -> Singles:
    """Minimum, maximum and middle (..., 3) of the values (..., J) without NaN, divided by 4; 0 if there are none."""
    ordered = np.sort(values, axis=-1)  # NaN sort last
    count = (~np.isnan(ordered)).sum(-1)
    last = np.maximum(count - 1, 0)
    picked = np.stack([np.zeros_like(last), last, last // 2], -1)
    return np.where(count[..., None] > 0, np.take_along_axis(ordered, picked, axis=-1) / 4, 0).astype(np.float32)


def _fill_within(
    out: Singles, some: NDArray[np.int64], seen: RowFeatures, rays: BodyRays, first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> None:  # fmt: skip
    """Features of two rows of a view: similarity of shared joints, and distances in units of the larger body."""
    a, b = first[some], second[some]
    size = np.maximum(seen.angle[a], seen.angle[b]) * seen.focal[a]
    size = np.where(np.isfinite(size) & (size > 1), size, 1)
    has: Bools = np.asarray(np.isfinite(seen.xy).all(-1))
    both = has[a] & has[b]
    apart = np.linalg.norm(seen.xy[a] - seen.xy[b], axis=-1) / size[:, None]
    count = np.maximum(both.sum(1), 1)
    sigma = np.sqrt(rays.variance[a] + rays.variance[b]) * seen.focal[a, None] / size[:, None]
    close = np.where(both, np.exp(-0.5 * (apart / np.maximum(sigma, 1e-6)) ** 2), 0).sum(1) / count
    out[some, _AT["copies"]] = close
    out[some, _AT["far"]] = np.minimum(np.where(both, apart, 0).sum(1) / count, 3)
    between = np.linalg.norm(seen.xy[a][:, :, None] - seen.xy[b][:, None], axis=-1)
    pairs = has[a][:, :, None] & has[b][:, None]
    nearest = np.where(pairs, between, np.inf).min((1, 2)) / size
    out[some, _AT["apart"]] = np.minimum(nearest, 3)
    low, high = np.maximum(seen.box[a, :2], seen.box[b, :2]), np.minimum(seen.box[a, 2:], seen.box[b, 2:])
    inner = np.maximum(np.nan_to_num(high - low), 0).prod(1)
    area = np.nan_to_num(np.minimum(*((seen.box[i, 2:] - seen.box[i, :2]).prod(1) for i in (a, b))))
    out[some, _AT["overlap"]] = inner / np.maximum(area, 1)


def _body_edges(
    rays: BodyRays, bodies: BodyEstimates, evidence: Floats, slot: NDArray[np.int64], skeleton: Skeleton
) -> tuple[Singles, Singles]:
    """Edges (M, G, E) between rows and bodies, and their evidence (M, G)."""
    out = np.zeros((len(rays.view), len(bodies.xyz), len(EDGE_NAMES)), np.float32)
    same = np.clip(body_total(evidence), -_EVIDENCE_RANGE, _EVIDENCE_RANGE)
    out[..., _AT["row_body"]] = 1
    out[..., _AT["evidence"]] = same / 8
    known = np.isfinite(evidence)
    out[..., _AT["shared"]] = known.sum(-1) / len(slot)
    if known.size:
        mirror = skeleton.mirror
        crossed = body_total(body_evidence(rays, bodies.xyz[:, mirror], bodies.cov[:, mirror], bodies.known[:, mirror]))
        out[..., _AT["exchanged"]] = np.clip(crossed - same, -8, 8) / 8
        out[..., [_AT["near"], _AT["far"], _AT["middle"]]] = _spread(-evidence) * np.float32(-1)
    wide = np.where(bodies.known, np.log10(np.sqrt(np.maximum(bodies.variance, 1e-6))), 0).sum(1)
    out[..., _AT["wide"]] = np.clip(wide / np.maximum(bodies.known.sum(1), 1) + 1.5, -2, 2)
    mean, there = _pooled(evidence, slot)
    out[..., _NATS], out[..., _BOTH] = mean / 4, there
    return out, same.astype(np.float32)


def _between_bodies(bodies: BodyEstimates, skeleton: Skeleton) -> Singles:
    """Edges (G, G, E) between bodies: the distance of their torsos."""
    count = len(bodies.xyz)
    out = np.zeros((count, count, len(EDGE_NAMES)), np.float32)
    torso = np.where(bodies.known[..., None], bodies.xyz, np.nan)[:, skeleton.torso]
    apart = np.linalg.norm(torso[:, None] - torso[None], axis=-1)
    both = np.isfinite(apart)
    mean = np.where(both, apart, 0).sum(-1) / np.maximum(both.sum(-1), 1)
    out[..., _AT["bodies"]] = 1
    out[..., _AT["apart"]] = np.where(both.any(-1), np.minimum(mean / (4 * TORSO_DEPTH_M), 3), 3)
    return out
