"""Hampel filter: a joint that is an outlier among its neighbours in time is replaced by their median.

It only moves joints: gaps remain, bone lengths are not kept constant, covariances stay those of the triangulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats
from mvcap.errors import ConfigError
from mvcap.refinement.time_series import from_series, to_series
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D

_MEDIAN_OF_NORM = 1.538  # median distance from the mean of three-dimensional normal samples of standard deviation 1
_FEWEST = 3  # least neighbours with the joint


@dataclass(frozen=True)
class HampelConfig:
    """Settings of the refiner ``hampel``."""

    reach_s: float = 0.1
    """Neighbours are those up to this time before and after, s, and at least one frame."""
    sigma: float = 4.0
    """Distance from the neighbours' median, in their robust standard deviations, above which a joint is an outlier."""
    least_m: float = 0.01
    """Joints nearer than this, m, are not moved."""

    def __post_init__(self) -> None:
        if min(self.reach_s, self.sigma) <= 0 or self.least_m < 0:
            raise ConfigError("hampel: reach_s and sigma must be above 0, least_m 0 or more")


class Hampel:
    """Refiner ``hampel``: only outliers are moved, to the median of their neighbours in time."""

    Config = HampelConfig

    def __init__(self, config: HampelConfig) -> None:
        self.config = config

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Replace outliers by the median of their neighbours (Hampel, 1974; Davies and Gather, 1993)."""
        if not len(poses):
            return poses
        series = to_series(poses)
        reach = max(1, round(self.config.reach_s * evidence.rate_hz))
        empty = np.full((reach, *series.shape[1:]), np.nan)
        padded = np.concatenate([empty, series, empty])
        near = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)  # (T, J, 3, W)
        enough = np.isfinite(near[:, :, 0]).sum(-1) >= _FEWEST
        middle = _median(near, enough)
        off = np.linalg.norm(near - middle[..., None], axis=2)
        spread = _median(off, enough) / _MEDIAN_OF_NORM
        far = np.linalg.norm(series - middle, axis=-1) > np.maximum(self.config.sigma * spread, self.config.least_m)
        return from_series(poses, np.where(far[..., None], middle, series))


def _median(values: Floats, enough: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Median over the last axis of values (T, J, ..., W), NaN left out; NaN where ``enough`` (T, J) is False."""
    out = np.full(values.shape[:-1], np.nan)
    if enough.any():
        out[enough] = np.nanmedian(values[enough], axis=-1)
    return out
