"""Motion model of a body: its position and velocity, and the growth of their uncertainty.

The velocity is an Ornstein-Uhlenbeck process (Singer, "Estimating optimal tracking filter performance for manned
maneuvering targets", 1970, one order lower): people keep their velocity for a moment and forget it after some time, so
the uncertainty of an unseen person's position grows at walking speed and does not accelerate. The model does not depend
on the frame rate, and is the same forwards and backwards in time.
"""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats

TOP_SPEED_MPS = 12.0
"""No person runs faster."""
_SERIES_TO = 0.05


def transition(dt_s: float | Floats, speed_mps: float, acceleration_mps2: float) -> tuple[Floats, Floats]:
    """Transition (..., 2, 2) of one coordinate's position and velocity over times (...,) s of 0 or more, and its noise.

    ``speed_mps``: standard deviation of the velocity in the long run. The velocity is forgotten after the time in which
    ``acceleration_mps2`` changes it by twice that much.
    """
    dt = np.asarray(dt_s, np.float64)
    tau = 2 * speed_mps / acceleration_mps2
    share = dt / tau
    kept, lost = np.exp(-share), -np.expm1(-share)
    # Where little is forgotten the terms of the closed form cancel; its series does not.
    series = share**3 * np.polyval((31 / 1260, -1 / 12, 7 / 30, -1 / 2, 2 / 3), np.minimum(share, _SERIES_TO))
    place = np.where(share < _SERIES_TO, series, 2 * share - 2 * lost - lost**2) * tau**2
    both = tau * lost**2
    steps = np.stack([np.ones_like(dt), tau * lost, np.zeros_like(dt), kept], axis=-1)
    noise = speed_mps**2 * np.stack([place, both, both, -np.expm1(-2 * share)], axis=-1)
    return steps.reshape(*dt.shape, 2, 2), noise.reshape(*dt.shape, 2, 2)


def predict_states(
    mean: Floats, cov: Floats, dt_s: float | Floats, speed_mps: float, acceleration_mps2: float
) -> tuple[Floats, Floats]:
    """States (K, 6) of position and velocity and covariances (K, 6, 6) after a time in s, one for all or (K,)."""
    steps, noise = (_in_space(one) for one in transition(dt_s, speed_mps, acceleration_mps2))
    return (steps @ mean[..., None])[..., 0], steps @ cov @ np.swapaxes(steps, -1, -2) + noise


def _in_space(one: Floats) -> Floats:
    """Matrices (..., 6, 6) for x, y, z from those of one coordinate (..., 2, 2)."""
    both: Floats = np.einsum("...ab,ij->...aibj", one, np.eye(3))
    return both.reshape(*one.shape[:-2], 6, 6)
