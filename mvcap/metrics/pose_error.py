"""Position errors of estimated joints (MPJPE, PA-MPJPE), recall, and average precision of people."""

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
    """Errors of the matched people, mm; NaN without data."""

    mpjpe_mm: float
    """Mean distance over all joints that both tables have, without alignment."""
    pa_mpjpe_mm: float
    """The same after the best similarity transform (rotation, translation, scale) of each estimated person to the true
    one; people with fewer than four common joints are left out."""
    per_joint_mm: NDArray[np.float64]
    """(J,) mean distance of each joint."""


def pose_error(truth: Poses3D, found: Poses3D, matching: Matching) -> PoseError:
    """Return the errors over the pairs of a matching (``metrics.matching.match``: one to one, within 500 mm)."""
    true, near = truth.xyz[matching.truth].astype(np.float64), found.xyz[matching.found].astype(np.float64)
    apart = _MM * np.linalg.norm(near - true, axis=-1)
    known = np.isfinite(apart)
    total, count = np.where(known, apart, 0).sum(0), known.sum(0)
    per_joint = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    aligned = np.concatenate([aligned_mm(a, b) for a, b in zip(true, near, strict=True)] or [np.empty(0)])
    return PoseError(mean_error(apart[known]), mean_error(aligned), per_joint)


def mean_error(values: NDArray[np.floating]) -> float:
    """Return the mean of values, NaN if there are none."""
    return float(values.mean()) if values.size else float("nan")


def aligned_mm(true: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances (K,) mm of the K common joints after the best similarity transform (Umeyama, 1991)."""
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
    """Return the percent of true people whose nearest estimate is within the gate (VoxelPose's recall@500mm)."""
    _, apart = nearest_people(truth, found)
    return float(100.0 * (apart < gate_m).mean()) if len(truth) else float("nan")


def precision_recall(
    truth: Poses3D, found: Poses3D, thresholds_mm: Sequence[int] = THRESHOLDS_MM
) -> dict[str, dict[str, float]]:
    """Return average precision and recall in percent at each threshold of mean joint distance.

    The result is {"ap": {"25": x, ...}, "ar": {...}}. Every estimated person is paired with the nearest true one of its
    frame (see ``joint_distances``). In the order of descending score (mean over the estimated joints), a person within
    the threshold is a true positive if its true person is not matched yet, otherwise a false positive. Precision is
    made monotone and summed over the steps of recall. Source: microsoft/voxelpose-pytorch, lib/dataset/panoptic.py.
    """
    true, apart = _nearest_true(truth, found)
    known = found.score > 0
    score = found.score.sum(1) / np.maximum(known.sum(1), 1)
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
    """Return the row of the true person nearest to each estimated one, -1 for none, and the distance, m."""
    nearest, apart = np.full(len(found), -1, np.int64), np.full(len(found), np.inf)
    for _, true, near in rows_by_frame(truth, found):
        if len(true) and len(near):
            distance = joint_distances(truth.xyz[true], found.xyz[near])
            best = np.argmin(distance, axis=0)
            nearest[near], apart[near] = true[best], distance[best, np.arange(len(near))]
    return nearest, apart


def _first_of(true: NDArray[np.int64], candidate: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether each candidate is the first one of its true person."""
    out = np.zeros(len(true), bool)
    at = np.flatnonzero(candidate)
    out[at[np.unique(true[at], return_index=True)[1]]] = True
    return out
