"""Candidate positions of a person's centre with per-view evidence: the input of the centre network, CRG.

The rows of a group give a robust centre of the torso. 27 positions in a 3 x 3 x 3 grid around it are the candidates,
spaced by the centre's uncertainty. For each view that sees the position, the features say whether the group has a row
there, how far that row's torso is from the position in standard deviations, how the row's size fits its distance, and
what else explains a missed detection: a person in front, or the border of the image. No feature depends on the room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats, Ints, Singles
from mvcap.association.graph_features import RowFeatures
from mvcap.association.ray_affinity import BodyRays, body_total, ray_distances
from mvcap.association.tracked_bodies import BodyEstimates, TrackedBodies
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.skeleton import Skeleton

VIEW_NAMES: tuple[str, ...] = (
    "has_row", "off", "evidence", "joints", "cut_off", "size", "another", "hidden", "border", "depth",
)  # fmt: skip
PAIR_NAMES: tuple[str, ...] = ("angle", "both", "evidence")
SPOT_NAMES: tuple[str, ...] = ("away", "above", "spread", "nearest", "views", "scale", "measured", "known")
GRID: Floats = np.stack(np.meshgrid(*[np.arange(-1.0, 2.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
_STEP_M = (0.05, 0.3)
_BODY_M = 0.9  # size of a body: square root of the area of its box
_WIDE_M = 0.3  # about half the width of a body
_SIZES, _SCALES = (-0.9, 0.35), (-0.5, 0.35)
"""Ranges of logarithms: body size in the image over ``_BODY_M``, and scale in the world over ``STATURE_M``. They hold
an upper body alone, a child, a tall person with arms stretched out, and the estimators' different definitions of
joints. Sizes within a range are not evidence against a person."""
_OUTSIDE_M = 0.3  # a position this far outside the image counts as not seen


@dataclass(frozen=True)
class CentreProposals:
    """Q candidate positions around one group's centre."""

    xyz: Floats
    """(Q, 3) m"""
    view: Singles
    """(Q, C, F)"""
    pair: Singles
    """(C, C, E)"""
    spot: Singles
    """(Q, S)"""
    there: NDArray[np.bool_]
    """(C,) views that see the position"""


def body_centre(bodies: BodyEstimates, one: int, skeleton: Skeleton) -> tuple[Floats, float]:
    """Middle (3,) m of a body's torso, or of all known joints, and its standard deviation in m; NaN if unknown."""
    known = bodies.known[one].copy()
    torso = np.zeros(len(known), np.bool_)
    torso[skeleton.torso] = True
    use = known & torso if (known & torso).any() else known
    if not use.any():
        return np.full(3, np.nan), np.inf
    weight = 1 / np.maximum(bodies.variance[one, use], 1e-6)
    middle = np.median(bodies.xyz[one, use], axis=0) if use.sum() > 2 else bodies.xyz[one, use].mean(0)
    return np.asarray(middle), float(np.sqrt(use.sum() / weight.sum()))


def centre_proposals(
    rays: BodyRays,
    seen: RowFeatures,
    rig: Rig,
    bodies: BodyEstimates,
    evidence: Floats,
    group: Ints,
    one: int,
    people: TrackedBodies,
    skeleton: Skeleton,
) -> CentreProposals | None:
    """Candidates around the body ``one`` of ``bodies`` (G), made of the rows of that ``group`` (M,).

    None if the body has no position. evidence (M, G, J) nats; ``people``: the tracked people; the body itself, if it is
    one of them, is left out.
    """
    middle, spread = body_centre(bodies, one, skeleton)
    if not np.isfinite(middle).all():
        return None
    step = float(np.clip(1.5 * spread, *_STEP_M))
    xyz = middle + step * GRID
    others = np.array([k for k in range(len(people)) if k != one], np.int64)
    torso = people.xyz[others][:, skeleton.torso].mean(1) if len(others) else np.zeros((0, 3))
    mine = np.flatnonzero(group == one)
    row_of = np.full(len(rig), -1)
    for row in mine[np.argsort(rays.seen[mine].sum(1), kind="stable")]:
        row_of[rays.view[row]] = row
    view, there = _views(rays, seen, rig, xyz, row_of, evidence[:, one], torso, mine)
    nearest_m = np.linalg.norm(torso - middle, axis=-1).min(initial=2.0)
    scale = body_scale(skeleton, np.where(bodies.known[one][:, None], bodies.xyz[one], np.nan))
    spot = np.zeros((len(xyz), len(SPOT_NAMES)), np.float32)
    spot[:, 0], spot[:, 1] = np.linalg.norm(xyz - middle, axis=-1) / 0.3, (xyz - middle)[:, 2] / 0.3
    spot[:, 2:] = (
        np.log10(np.clip(spread, 1e-3, 3)) + 1, min(nearest_m, 2.0), np.log1p((row_of >= 0).sum()),
        0 if np.isnan(scale) else _beyond(np.log(np.clip(scale, 0.1, 10)), *_SCALES), np.isfinite(scale),
        bodies.known[one].mean(),
    )  # fmt: skip
    return CentreProposals(xyz, view, _pairs(rays, rig, middle, row_of), spot, there)


def _views(
    rays: BodyRays, seen: RowFeatures, rig: Rig, xyz: Floats, row_of: Ints, evidence: Floats, torso: Floats, mine: Ints
) -> tuple[Singles, NDArray[np.bool_]]:
    """Features (Q, C, F) of each position in each view, and which views (C,) see the middle position."""
    out = np.zeros((len(xyz), len(rig), len(VIEW_NAMES)), np.float32)
    away = xyz[:, None] - rig.positions
    distance = np.linalg.norm(away, axis=-1)
    ray = away / np.maximum(distance, 1e-6)[..., None]
    xy = np.asarray(rig.project(xyz)).swapaxes(0, 1)
    size = np.array([camera.lens.size for camera in rig], np.float64)
    inside = np.minimum(xy, size - 1 - xy).min(-1) / rig.focal * distance
    inside = np.where(np.isfinite(inside), inside, -9.0)
    visible = inside[len(xyz) // 2] > -_OUTSIDE_M
    heading = rays.direction.sum(1)
    heading = heading / np.maximum(np.linalg.norm(heading, axis=-1, keepdims=True), 1e-9)
    for view in range(len(rig)):
        row = row_of[view]
        if row >= 0:
            noise = rays.variance[row].sum() / max(int(rays.seen[row].sum()), 1) + (0.1 / distance[:, view]) ** 2
            apart = 2 - 2 * ray[:, view] @ heading[row]
            out[:, view, 1] = np.log1p(np.maximum(apart, 0) / noise) / 4
            shared = rays.seen[row].sum()
            out[:, view, 0] = 1
            own = np.clip(body_total(evidence[row][None])[0], -8, 8) / 8
            out[:, view, 2:5] = own, shared / rays.seen.shape[1], seen.cut[row]
            out[:, view, 5] = _beyond(np.log(seen.size[row] * distance[:, view] / _BODY_M), *_SIZES)
        rest = np.setdiff1d(np.flatnonzero(rays.view == view), mine)
        out[:, view, 6] = _nearby(ray[:, view] @ heading[rest].T, distance[:, view])
        front = torso - rig.positions[view]
        far = np.linalg.norm(front, axis=-1)
        cosine = ray[:, view] @ (front / np.maximum(far, 1e-6)[:, None]).T
        out[:, view, 7] = _nearby(np.where(far < distance[:, view, None] - 0.2, cosine, -1), distance[:, view])
    out[..., 8], out[..., 9] = np.clip(inside, -1, 2), np.log(np.maximum(distance, 0.1)) / 2
    return out, visible


def _beyond(value: Floats, low: float, high: float) -> Floats:
    """How far values are outside the human range; the range covers every estimator's definition of joints."""
    return np.asarray(np.minimum(value - low, 0) + np.maximum(value - high, 0))


def _nearby(cosine: Floats, reach: Floats) -> Floats:
    """1 where one of the directions (Q, K) passes through the position (Q,), 0 where all pass far from it."""
    apart = np.maximum(2 - 2 * cosine, 0).min(1, initial=4.0) * reach**2
    return np.asarray(np.exp(-0.5 * apart / _WIDE_M**2))


def _pairs(rays: BodyRays, rig: Rig, middle: Floats, row_of: Ints) -> Singles:
    """Features (C, C, E) of pairs of views."""
    ray = middle - rig.positions
    ray = ray / np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-6)
    out = np.zeros((len(rig), len(rig), len(PAIR_NAMES)), np.float32)
    out[..., 0] = np.sqrt(np.maximum(1 - (ray @ ray.T) ** 2, 0))
    has = np.flatnonzero(row_of >= 0)
    first, second = (has[side] for side in np.triu_indices(len(has), 1))
    if len(first):
        evidence = np.clip(body_total(ray_distances(rays, row_of[first], row_of[second]).evidence()), -8, 8) / 8
        out[first, second, 1] = out[second, first, 1] = 1
        out[first, second, 2] = out[second, first, 2] = evidence
    return out
