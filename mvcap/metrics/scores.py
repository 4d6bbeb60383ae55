"""All metrics of one result in one dictionary, as ``mvcap evaluate`` reports them; None without ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mvcap.metrics.association import Pairs
from mvcap.metrics.covariance import ellipsoid_shares
from mvcap.metrics.identity import identity
from mvcap.metrics.matching import Matching, match
from mvcap.metrics.pcp import Pcp
from mvcap.metrics.pose_error import pose_error, precision_recall, recall
from mvcap.metrics.smoothness import bone_spread, jitter
from mvcap.structures.poses import Poses3D, Provenance

_THREE_VIEWS = 3


def pose_scores(truth: Poses3D, found: Poses3D, frames: int, rate_hz: float | None) -> dict[str, Any]:
    """Return the scores of estimated poses in the truth's skeleton over ``frames`` frames.

    ``unmatched_people_per_frame`` counts estimated people without a matched true one (``match``: one to one, within
    500 mm). Of these, ``unmatched_three_views_per_frame`` have at least half of their measured joints triangulated from
    three or more views and are probably real, unlabelled people; None if the poses do not state their numbers of views.
    rate_hz: None if the frames are isolated moments without tracking; scores over time are None then. Covariances are
    compared with the ground truth as it is, although manual labels (Shelf, MVOR) have errors of centimetres.
    """
    matching = match(truth, found)
    error = pose_error(truth, found, matching)
    inside = ellipsoid_shares(truth, found, matching)
    return {
        "recall_500": rounded_or_none(recall(truth, found)),
        **_unmatched(found, matching, frames),
        "mpjpe_mm": rounded_or_none(error.mpjpe_mm),
        "pa_mpjpe_mm": rounded_or_none(error.pa_mpjpe_mm),
        "per_joint_mm": dict(zip(truth.skeleton.joints, map(rounded_or_none, error.per_joint_mm), strict=True)),
        **{key: _numbers(values) for key, values in precision_recall(truth, found).items()},
        "coverage": rounded_or_none(100 * len(matching.truth) / len(truth)) if len(truth) else None,
        **_over_time(truth, found, matching, rate_hz),
        "covariance_68": rounded_or_none(inside["68"]),
        "covariance_95": rounded_or_none(inside["95"]),
        "people_per_frame": rounded_or_none(len(found) / frames) if frames else None,
        "truth_people_per_frame": rounded_or_none(len(truth) / frames) if frames else None,
    }


def _over_time(truth: Poses3D, found: Poses3D, matching: Matching, rate_hz: float | None) -> dict[str, Any]:
    if rate_hz is None:
        return dict.fromkeys(("id_switches", "mota", "idf1", "bone_spread_percent", "jitter_mps2"))
    ids = identity(truth, found)
    return {
        "id_switches": ids.switches,
        "mota": rounded_or_none(ids.mota),
        "idf1": rounded_or_none(ids.idf1),
        "bone_spread_percent": rounded_or_none(bone_spread(found)),
        "jitter_mps2": rounded_or_none(jitter(truth, found, matching, rate_hz)),
    }


def _unmatched(found: Poses3D, matching: Matching, frames: int) -> dict[str, float | None]:
    unmatched = np.setdiff1d(np.arange(len(found)), matching.found)
    known = found.views[found.score > 0].any() if len(found) else True
    measured = np.where(found.provenance == Provenance.MEASURED, found.views.astype(float), np.nan)[unmatched]
    some = np.isfinite(measured).any(-1)
    three = int((np.nanmedian(measured[some], axis=-1) >= _THREE_VIEWS).sum()) if some.any() else 0
    return {
        "unmatched_people_per_frame": rounded_or_none(len(unmatched) / frames) if frames else None,
        "unmatched_three_views_per_frame": rounded_or_none(three / frames) if frames and known else None,
    }


def pcp_scores(counted: Pcp) -> dict[str, Any]:
    """Return PCP in percent: of each actor, their average, and of each group of parts."""
    return {
        "actors": [rounded_or_none(value) for value in counted.percent],
        "average": rounded_or_none(counted.average),
        "parts": _numbers(counted.groups),
    }


def association_scores(counted: Pairs) -> dict[str, float | None]:
    """Return precision, recall and F1 of the association, 0..1."""
    return _numbers({"precision": counted.precision, "recall": counted.recall, "f1": counted.f1})


def rounded_or_none(value: float) -> float | None:
    """Round to six significant digits; None for NaN and infinity."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: rounded_or_none(value) for name, value in values.items()}
