"""Noise that is correlated in time, as errors of consecutive frames are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats


def correlated_normal(rng: np.random.Generator, shape: tuple[int, ...], memory: float) -> Floats:
    """Standard normal numbers (T, ...) with lag-one correlation ``memory``, 0..1, along T."""
    out = rng.standard_normal(shape)
    fresh = np.sqrt(1 - memory**2)
    out[1:] *= fresh
    for at in range(1, shape[0]):
        out[at] += memory * out[at - 1]
    return out


def random_events(field: Floats, share: Floats | float) -> NDArray[np.bool_]:
    """Events with these probabilities, 0..1: where standard normal numbers are low."""
    from scipy.special import ndtri

    return np.asarray(field < ndtri(np.clip(share, 0.0, 1.0)))


def expit(logit: Floats) -> Floats:
    """Shares 0..1 of logits."""
    return np.asarray(1 / (1 + np.exp(-logit)))
