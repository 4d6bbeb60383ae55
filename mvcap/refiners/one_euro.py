"""One-euro filter: a low-pass that opens with speed (Casiez, Roussel and Vogel, CHI 2012). Causal, so it lags a little.

It moves joints and nothing else: gaps stay gaps, bones are not held, covariances stay those of the triangulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError
from mvcap.refinement.time_series import from_series, to_series
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D

_FORGET_S = 0.5  # after a longer gap a joint starts anew


@dataclass(frozen=True)
class OneEuroConfig:
    """Settings of the refiner ``one_euro``."""

    min_cutoff_hz: float = 1.5
    """Cut-off for a joint that stands still."""
    beta: float = 15.0
    """By how much the cut-off grows with the joint's speed, Hz for each m/s."""
    speed_cutoff_hz: float = 1.0
    """Cut-off for the speed itself."""

    def __post_init__(self) -> None:
        if min(self.min_cutoff_hz, self.speed_cutoff_hz) <= 0 or self.beta < 0:
            raise ConfigError("one_euro: min_cutoff_hz and speed_cutoff_hz are above 0, beta is 0 or more")


class OneEuro:
    """Refiner ``one_euro``."""

    Config = OneEuroConfig

    def __init__(self, config: OneEuroConfig) -> None:
        self.config = config

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Filter each joint from the past alone; over a short gap the filter waits, after a long one it starts anew.

        The speed is that in space, not along each axis, so that the result does not depend on the world's axes.
        """
        series, rate_hz = to_series(poses), evidence.rate_hz
        joints = series.shape[1]
        place, velocity = np.zeros((joints, 3)), np.zeros((joints, 3))
        raw, last = np.zeros((joints, 3)), np.full(joints, -np.inf)
        for frame, now in enumerate(series):
            seen = np.isfinite(now[:, 0])
            fresh = seen & ((frame - last) / rate_hz > _FORGET_S)
            place[fresh], velocity[fresh] = now[fresh], 0
            old = seen & ~fresh
            step_s = (frame - last[old]) / rate_hz
            speed = (now[old] - raw[old]) / step_s[:, None]
            velocity[old] += _share(self.config.speed_cutoff_hz, step_s)[:, None] * (speed - velocity[old])
            cutoff = self.config.min_cutoff_hz + self.config.beta * np.linalg.norm(velocity[old], axis=-1)
            place[old] += _share(cutoff, step_s)[:, None] * (now[old] - place[old])
            raw[seen], last[seen] = now[seen], frame
            series[frame] = np.where(seen[:, None], place, np.nan)
        return from_series(poses, series)


def _share(cutoff_hz: float | NDArray[np.float64], step_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight (N,) of the newest value in an exponential smoother of this cut-off."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff_hz * step_s)))
