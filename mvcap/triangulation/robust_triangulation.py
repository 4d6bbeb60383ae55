"""Triangulate associated detections robustly into 3D skeletons, with the evidence for every joint."""

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
from mvcap.structures.row_checks import check_detections, check_errors_px, check_rig
from mvcap.structures.skeleton import Skeleton
from mvcap.triangulation.calibration_error import excess_error_px, with_calibration_error

_LEAST_BONES = 10  # least certain samples of a bone for a median length
_STRETCH = 0.3  # variation of bone lengths between people, and foreshortening by joints on the body surface


@dataclass(frozen=True)
class TriangulateConfig:
    """Settings of ``mvcap triangulate``: 3D joints of the people on whom at least two views agree."""

    gate_sigma: float = RESIDUAL_GATE
    """Residual, in standard deviations, beyond which a view is not used for a joint. Lower: stricter, and more joints
    are missing. Raise it a little for a calibration that is not accurate."""
    min_score: float = 0.1
    """Joints with a lower score (0 to 1) in a view are not used. Raise it where an estimator guesses hidden joints."""

    def __post_init__(self) -> None:
        if self.gate_sigma <= 0:
            raise ConfigError("config key 'triangulate.gate_sigma' must be above 0")


def triangulate_rows(
    rows: Detections2D,
    rig: Rig,
    config: TriangulateConfig | None = None,
    calibration_px: NDArray[np.floating] | None = None,
) -> Poses3D:
    """Triangulate the people in associated rows, all frames, people and joints at once.

    Without a row that has a person there are no poses; a warning says so, as it is mostly rows not yet associated.

    A joint is accepted where at least two views agree on it and it makes no limb longer than any human's. Its score is
    the mean score of the views used, times the share of the views that saw it and were used. error_px is the mean
    residual over the views used.

    config: the defaults when left out. calibration_px: (C,) px calibration error of each view, which is added to the
    noise of its joints; ``associate_rows`` leaves its variance, rad^2, in its memory under ``calibration``.
    """
    rows = check_detections(rows, check_rig(rig))
    if len(rows) and (rows.person < 0).all() and np.ptp(rows.view):
        warnings.warn(
            f"none of the {len(rows)} detections has a person (all are -1), so there are no poses: associate them "
            "first, see mvcap.associate_rows",
            stacklevel=2,
        )
    config = config or TriangulateConfig()
    if calibration_px is not None:
        rows = with_calibration_error(rows, excess_error_px(check_errors_px(calibration_px, len(rig)), rows))
    rows = rows[rows.person >= 0]
    rows = rows[np.argsort(rows.score.sum(1), kind="stable")]  # of two copies in a view the higher score is used
    keys, place = np.unique(np.stack([rows.frame, rows.person], axis=-1), axis=0, return_inverse=True)
    shape = (len(rig), len(keys), len(rows.skeleton))
    xy, noise, score = np.full((*shape, 2), np.nan), np.full(shape, np.nan), np.zeros(shape)
    row, joint = np.nonzero((rows.score >= config.min_score) & (rows.score > 0))
    at = rows.view[row], place[row], joint
    xy[at], noise[at], score[at] = rows.xy[row, joint], rows.noise_px[row, joint], rows.score[row, joint]
    points = triangulate_robust(rig, xy, noise, config.gate_sigma)
    seen = (score > 0).sum(0)
    provenance = _joint_provenance(rows.skeleton, rig, xy, noise, points, seen, config.gate_sigma)
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


def _joint_provenance(
    kind: Skeleton, rig: Rig, xy: Floats, noise: Floats, points: RobustPoints, seen: NDArray[np.int64], gate: float
) -> NDArray[np.uint8]:
    """``Provenance`` (M, J) of joints that ``seen`` (M, J) views saw: measured, or the reason for rejection."""
    variance = np.trace(points.cov, axis1=-2, axis2=-1)
    implausible = too_long_limbs(kind, points.xyz, variance) | _wrong_bone_lengths(kind, points, variance)
    return np.select(
        [seen == 0, seen == 1, ~points.used.any(0), implausible, _ambiguous_joints(rig, xy, noise, points, gate)],
        [Provenance.MISSING, Provenance.LONE, Provenance.CONTRADICTED, Provenance.IMPLAUSIBLE, Provenance.AMBIGUOUS],
        Provenance.MEASURED,
    ).astype(np.uint8)


def _ambiguous_joints(rig: Rig, xy: Floats, noise: Floats, points: RobustPoints, gate: float) -> NDArray[np.bool_]:
    """Joints (M, J) used by two views only, with another view's residual large and a second plausible position."""
    sigmas = np.nan_to_num(points.residual_px / noise, nan=0.0)
    suspect = (points.used.sum(0) == 2) & (sigmas > 2 * gate).any(0)
    out = np.zeros(suspect.shape, np.bool_)
    body, joint = np.nonzero(suspect)
    if not len(body):
        return out
    certain = np.where((points.used.sum(0) > 2)[..., None], points.xyz, np.nan)
    candidates = pair_points(rig, xy[:, body, joint], noise[:, body, joint], gate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bodies without a certain joint: every candidate counts
        middle = np.nanmedian(certain, axis=1)[body, None]
    near = ~(np.linalg.norm(candidates - middle, axis=-1) > REACH_M) & np.isfinite(candidates).all(-1)
    out[body, joint] = near.sum(1) > 1
    return out


def _wrong_bone_lengths(kind: Skeleton, points: RobustPoints, variance: Floats) -> NDArray[np.bool_]:
    """Joints (M, J) used by two views only that make a bone of another length than joints used by more views do.

    Bones are compared with their median over all given bodies, so that this works for any skeleton; a bone with few
    certain samples is not compared.
    """
    views = points.used.sum(0)
    out = np.zeros(views.shape, np.bool_)
    for one, other in kind.bones.tolist():
        length = np.linalg.norm(points.xyz[:, one] - points.xyz[:, other], axis=-1)
        certain = (views[:, one] > 2) & (views[:, other] > 2)
        if certain.sum() < _LEAST_BONES:
            continue
        median = np.median(length[certain])
        tolerance = _STRETCH * median + 3 * np.sqrt((variance[:, one] + variance[:, other]) / 3)
        wrong = np.abs(length - median) > tolerance
        out[:, one] |= wrong & (views[:, one] == 2) & (views[:, other] > 2)
        out[:, other] |= wrong & (views[:, other] == 2) & (views[:, one] > 2)
    return out
