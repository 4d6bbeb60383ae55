"""How far found joints are from the truth, and how many people are found at which precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.metrics.matching import GATE_M, Matching, joint_distances, nearest_people, rows_by_frame
from mvcap.structures.poses import Poses3D

THRESHOLDS_MM = (25, 50, 75, 100, 125, 150)
_MM = 1000.0


@dataclass(frozen=True, eq=False)
class PoseError:
    """Errors of the matched people, mm; NaN where nothing was measured."""

    mpjpe_mm: float
    """Mean distance of a joint, every joint that both have counted once, no alignment."""
    pa_mpjpe_mm: float
    """The same after the similarity (rotation, translation, scale) that brings each found person nearest to the true
    one; people with fewer than four joints in common are left out."""
    per_joint_mm: NDArray[np.float64]
    """(J,) mean distance by joint."""


def pose_error(truth: Poses3D, found: Poses3D, matching: Matching) -> PoseError:
    """Errors over the pairs of a matching (``metrics.matching.match``: one to one, within 500 mm)."""
    true, near = truth.xyz[matching.truth].astype(np.float64), found.xyz[matching.found].astype(np.float64)
    apart = _MM * np.linalg.norm(near - true, axis=-1)
    known = np.isfinite(apart)
    total, count = np.where(known, apart, 0).sum(0), known.sum(0)
    per_joint = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    aligned = np.concatenate([_aligned_mm(a, b) for a, b in zip(true, near, strict=True)] or [np.empty(0)])
    return PoseError(mean_error(apart[known]), mean_error(aligned), per_joint)


def mean_error(values: NDArray[np.floating]) -> float:
    """Mean of values, NaN of none."""
    return float(values.mean()) if values.size else float("nan")


def _aligned_mm(true: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances (K,) mm of the K common joints after the best similarity (Umeyama, 1991)."""
    both = np.isfinite(true).all(-1) & np.isfinite(found).all(-1)
    if both.sum() < 4:
        return np.empty(0)
    a, b = found[both], true[both]
    a, b = a - a.mean(0), b - b.mean(0)
    U, strength, V = np.linalg.svd(b.T @ a)
    turn = np.array([1.0, 1.0, np.sign(np.linalg.det(U @ V))])
    scale = (strength * turn).sum() / max(float((a**2).sum()), 1e-12)
    return np.asarray(_MM * np.linalg.norm(scale * a @ (U * turn @ V).T - b, axis=-1))


def recall(truth: Poses3D, found: Poses3D, gate_m: float = GATE_M) -> float:
    """Percent of the true people whose nearest found one is nearer than the gate (VoxelPose's recall@500mm)."""
    _, apart = nearest_people(truth, found)
    return float(100.0 * (apart < gate_m).mean()) if len(truth) else float("nan")


def precision_recall(
    truth: Poses3D, found: Poses3D, thresholds_mm: Sequence[int] = THRESHOLDS_MM
) -> dict[str, dict[str, float]]:
    """Average precision and recall in percent at each threshold of mean joint distance: {"ap": {"25": x}, "ar": ...}.

    Every found person goes to the nearest true one of its frame (mean over the joints that the truth has, see
    ``joint_distances``). In the order of falling score (the mean of the joints found), one within the threshold is
    right if its true person is not taken yet, else wrong. Precision is made monotone and summed over the steps of
    recall. Source: microsoft/voxelpose-pytorch, lib/dataset/panoptic.py.
    """
    true, apart = _nearest_true(truth, found)
    there = found.score > 0
    score = found.score.sum(1) / np.maximum(there.sum(1), 1)
    order = np.argsort(-score, kind="stable")
    out: dict[str, dict[str, float]] = {"ap": {}, "ar": {}}
    for threshold in thresholds_mm:
        hit = (_MM * apart < threshold)[order] & _first_of(true[order], (_MM * apart < threshold)[order])
        right = np.cumsum(hit)
        part = right / max(len(truth), 1)
        precision = right / np.arange(1, len(found) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        steps = np.diff(part, prepend=0.0)
        out["ap"][str(threshold)] = float(100 * (precision * steps).sum()) if len(truth) else float("nan")
        out["ar"][str(threshold)] = float(100 * part[-1]) if len(found) and len(truth) else 0.0
    return out


def _nearest_true(truth: Poses3D, found: Poses3D) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Row of the true person nearest to each found one, -1 in a frame without any, and how far, m."""
    who, apart = np.full(len(found), -1, np.int64), np.full(len(found), np.inf)
    for _, true, near in rows_by_frame(truth, found):
        if len(true) and len(near):
            distance = joint_distances(truth.xyz[true], found.xyz[near])
            best = np.argmin(distance, axis=0)
            who[near], apart[near] = true[best], distance[best, np.arange(len(near))]
    return who, apart


def _first_of(who: NDArray[np.int64], candidate: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each candidate is the first one of its true person."""
    out = np.zeros(len(who), bool)
    at = np.flatnonzero(candidate)
    out[at[np.unique(who[at], return_index=True)[1]]] = True
    return out
