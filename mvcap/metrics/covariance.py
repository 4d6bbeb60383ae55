"""Calibration of the stated covariances: the share of true joints inside their confidence ellipsoids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvcap.metrics.matching import Matching
from mvcap.structures.poses import Poses3D, full_covariance

QUANTILES = {"68": 3.5058823, "95": 7.8147279}
"""Squared Mahalanobis distance that contains so many percent: chi-square with three degrees of freedom."""


def squared_mahalanobis(truth: Poses3D, found: Poses3D, matching: Matching) -> NDArray[np.float64]:
    """Return squared Mahalanobis distances (K, J) of true from estimated joints; NaN where unknown."""
    error = (truth.xyz[matching.truth] - found.xyz[matching.found]).astype(np.float64)
    cov = full_covariance(found.cov[matching.found].astype(np.float64))
    known = np.isfinite(error).all(-1) & np.isfinite(cov).all((-2, -1))
    known &= np.linalg.det(np.where(known[..., None, None], cov, 0)) > 0
    out = np.full(known.shape, np.nan)
    solved = np.linalg.solve(cov[known], error[known][..., None])[..., 0]
    out[known] = (error[known] * solved).sum(-1)
    return out


def ellipsoid_shares(truth: Poses3D, found: Poses3D, matching: Matching) -> dict[str, float]:
    """Return the shares 0..1 of matched joints inside their 68 and 95 % ellipsoids; NaN if none has a covariance."""
    squared = squared_mahalanobis(truth, found, matching)
    known = squared[np.isfinite(squared)]
    return {name: float((known <= limit).mean()) if len(known) else float("nan") for name, limit in QUANTILES.items()}
