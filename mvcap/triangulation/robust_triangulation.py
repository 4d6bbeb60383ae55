"""Rows with persons and a rig become 3D skeletons, robust, with the evidence for every joint."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from calib.robust_triangulation import RESIDUAL_GATE, RobustPoints, pair_points, triangulate_robust
from mvcap.errors import ConfigError
from mvcap.structures.anthropometry import REACH_M, too_long_limbs
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D, Provenance, packed_covariance
from mvcap.structures.skeleton import Skeleton

_FEW = 10  # sure bones whose median tells how long a bone is
_STRETCH = 0.3  # by which people's bones differ, and are foreshortened by joints that are surfaces


@dataclass(frozen=True)
class TriangulateConfig:
    """Settings of the verb ``triangulate``."""

    gate_sigma: float = RESIDUAL_GATE
    """A view whose joint is further off than so many standard deviations is not used for that joint."""
    min_score: float = 0.1
    """Joints of lower score in a view are not used."""

    def __post_init__(self) -> None:
        if self.gate_sigma <= 0:
            raise ConfigError("config key 'triangulate.gate_sigma' is above 0")


def triangulate_rows(rows: Detections2D, rig: Rig, config: TriangulateConfig) -> Poses3D:
    """Poses of the people in associated rows, all frames, people and joints at once.

    A joint is there where at least two views agree on it and no limb is longer for it than any human's. Its score is
    the mean score of the views used, times the share of the views that saw it and were used. error_px is the mean
    distance in the views used.
    """
    rows = rows[rows.person >= 0]
    rows = rows[np.argsort(rows.score.sum(1), kind="stable")]  # of two rows of a view that are copies the surer counts
    keys, place = np.unique(np.stack([rows.frame, rows.person], axis=-1), axis=0, return_inverse=True)
    shape = (len(rig), len(keys), len(rows.skeleton))
    xy, noise, score = np.full((*shape, 2), np.nan), np.full(shape, np.nan), np.zeros(shape)
    row, joint = np.nonzero((rows.score >= config.min_score) & (rows.score > 0))
    at = rows.view[row], place[row], joint
    xy[at], noise[at], score[at] = rows.xy[row, joint], rows.noise_px[row, joint], rows.score[row, joint]
    points = triangulate_robust(rig, xy, noise, config.gate_sigma)
    seen = (score > 0).sum(0)
    provenance = _judged(rows.skeleton, rig, xy, noise, points, seen, config.gate_sigma)
    found = provenance == Provenance.MEASURED
    agreed = points.used & found
    used = agreed.sum(0)
    mean_score = np.where(agreed, score, 0).sum(0) / np.maximum(used, 1)
    error = np.where(agreed, points.residual_px, 0).sum(0) / np.maximum(used, 1)
    return Poses3D(
        rows.skeleton,
        frame=keys[:, 0],
        person=keys[:, 1],
        group=keys[:, 1],
        xyz=np.where(found[..., None], points.xyz, np.nan),
        score=np.where(found, mean_score * used / np.maximum(seen, 1), 0),
        error_px=np.where(found, error, np.nan),
        views=used,
        cov=np.where(found[..., None], packed_covariance(points.cov), np.nan),
        provenance=provenance,
    )


def _judged(
    kind: Skeleton, rig: Rig, xy: Floats, noise: Floats, points: RobustPoints, seen: NDArray[np.int64], gate: float
) -> NDArray[np.uint8]:
    """``Provenance`` (M, J) of joints that ``seen`` (M, J) views saw: measured, or why not."""
    variance = np.trace(points.cov, axis1=-2, axis2=-1)
    implausible = too_long_limbs(kind, points.xyz, variance) | _misplaced(kind, points, variance)
    return np.select(
        [seen == 0, seen == 1, ~points.used.any(0), implausible, _ambiguous(rig, xy, noise, points, gate)],
        [Provenance.MISSING, Provenance.LONE, Provenance.CONTRADICTED, Provenance.IMPLAUSIBLE, Provenance.AMBIGUOUS],
        Provenance.MEASURED,
    ).astype(np.uint8)


def _ambiguous(rig: Rig, xy: Floats, noise: Floats, points: RobustPoints, gate: float) -> NDArray[np.bool_]:
    """Joints (M, J) that rest on two views while a third is far off, and that others put elsewhere in the body."""
    off = np.nan_to_num(points.residual_px / noise, nan=0.0)
    thin = (points.used.sum(0) == 2) & (off > 2 * gate).any(0)
    out = np.zeros(thin.shape, np.bool_)
    body, joint = np.nonzero(thin)
    if not len(body):
        return out
    sure = np.where((points.used.sum(0) > 2)[..., None], points.xyz, np.nan)
    rivals = pair_points(rig, xy[:, body, joint], noise[:, body, joint], gate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bodies without a sure joint: every rival counts
        middle = np.nanmedian(sure, axis=1)[body, None]
    near = ~(np.linalg.norm(rivals - middle, axis=-1) > REACH_M) & np.isfinite(rivals).all(-1)
    out[body, joint] = near.sum(1) > 1
    return out


def _misplaced(kind: Skeleton, points: RobustPoints, variance: Floats) -> NDArray[np.bool_]:
    """Joints (M, J) that rest on two views and make a bone of another length than those that rest on more.

    Bones are compared with their median over all bodies at hand, so that no skeleton's joints need be known; a bone of
    which there are few sure ones is not compared.
    """
    views = points.used.sum(0)
    out = np.zeros(views.shape, np.bool_)
    for one, other in kind.bones.tolist():
        length = np.linalg.norm(points.xyz[:, one] - points.xyz[:, other], axis=-1)
        sure = (views[:, one] > 2) & (views[:, other] > 2)
        if sure.sum() < _FEW:
            continue
        usual = np.median(length[sure])
        room = _STRETCH * usual + 3 * np.sqrt((variance[:, one] + variance[:, other]) / 3)
        wrong = np.abs(length - usual) > room
        out[:, one] |= wrong & (views[:, one] == 2) & (views[:, other] > 2)
        out[:, other] |= wrong & (views[:, other] == 2) & (views[:, one] > 2)
    return out
