"""One-euro filter: a low-pass whose cut-off grows with speed (Casiez, Roussel and Vogel, CHI 2012).

It is causal and has a small lag. It only moves joints: gaps remain, bone lengths are not kept constant, covariances
stay those of the triangulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError
from mvcap.refinement.time_series import from_series, to_series
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D

_RESTART_S = 0.5  # after a longer gap the filter restarts


@dataclass(frozen=True)
class OneEuroConfig:
    """Settings of the refiner ``one_euro``."""

    min_cutoff_hz: float = 1.5
    """Cut-off, Hz, for a joint that stands still. Lower it against jitter."""
    beta: float = 15.0
    """Growth of the cut-off with the joint's speed, Hz for each m/s. Raise it against lag."""
    speed_cutoff_hz: float = 1.0
    """Cut-off, Hz, for the speed itself."""

    def __post_init__(self) -> None:
        if min(self.min_cutoff_hz, self.speed_cutoff_hz) <= 0 or self.beta < 0:
            raise ConfigError("one_euro: min_cutoff_hz and speed_cutoff_hz must be above 0, beta 0 or more")


class OneEuro:
    """Refiner ``one_euro``: causal low-pass whose cut-off grows with speed, for results without look-ahead."""

    Config = OneEuroConfig

    def __init__(self, config: OneEuroConfig) -> None:
        self.config = config

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Filter each joint from past frames only; it continues after a short gap and restarts after a long one.

        The speed is the norm of the velocity, not per axis, so that the result does not depend on the world's axes.
        """
        series, rate_hz = to_series(poses), evidence.rate_hz
        joints = series.shape[1]
        place, velocity = np.zeros((joints, 3)), np.zeros((joints, 3))
        raw, last = np.zeros((joints, 3)), np.full(joints, -np.inf)
        for frame, now in enumerate(series):
            seen = np.isfinite(now[:, 0])
            restarted = seen & ((frame - last) / rate_hz > _RESTART_S)
            place[restarted], velocity[restarted] = now[restarted], 0
            continued = seen & ~restarted
            step_s = (frame - last[continued]) / rate_hz
            speed = (now[continued] - raw[continued]) / step_s[:, None]
            velocity[continued] += _share(self.config.speed_cutoff_hz, step_s)[:, None] * (speed - velocity[continued])
            cutoff = self.config.min_cutoff_hz + self.config.beta * np.linalg.norm(velocity[continued], axis=-1)
            place[continued] += _share(cutoff, step_s)[:, None] * (now[continued] - place[continued])
            raw[seen], last[seen] = now[seen], frame
            series[frame] = np.where(seen[:, None], place, np.nan)
        return from_series(poses, series)


def _share(cutoff_hz: float | NDArray[np.float64], step_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight (N,) of the newest value in an exponential smoother with this cut-off."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff_hz * step_s)))
