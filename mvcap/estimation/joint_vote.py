"""Vote of several passes over one body: for each joint the place that most passes agree on, and how far they agree.

A mean of networks of different kinds is worse than the better one, since their errors are not Gaussian: one of them
exchanges limbs or slides to another person, and the mean lies on neither. So each joint takes the pass with the highest
density of passes around it (a Gaussian kernel), and the mean weighted by that kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_KERNEL = 0.04
"""Width of the kernel as a share of the body's extent."""


@dataclass(frozen=True)
class Vote:
    """Joints of one body."""

    xy: NDArray[np.float64]
    """(J, 2) px"""
    spread_px: NDArray[np.float64]
    """(J,) px, standard deviation along an axis of the passes that agree."""
    agreement: NDArray[np.float64]
    """(J,) share of the passes (by weight) that agree, above 0 to 1."""


def vote(passes: NDArray[np.float64], weight: NDArray[np.floating], extent_px: float) -> Vote:
    """Return the vote of passes (P, J, 2) px with weights (P,) or (P, J) on a body of an extent px.

    A pass that lacks a joint is NaN there, or has no weight; a joint that all passes lack is NaN with agreement 0.
    """
    known: NDArray[np.bool_] = np.asarray(np.isfinite(passes).all(-1))
    mass = np.where(known, np.broadcast_to(weight if weight.ndim == 2 else weight[:, None], known.shape), 0.0)
    apart = ((passes[:, None] - passes[None]) ** 2).sum(-1)  # (P, P, J)
    width = max(_KERNEL * extent_px, 1e-6)
    kernel = np.where(np.isfinite(apart), np.exp(-apart / (2 * width**2)), 0.0)
    density = (kernel * mass[None]).sum(1)  # (P, J)
    best = np.where(mass > 0, density, -1.0).argmax(0)  # of equals the first
    near = kernel[best, :, np.arange(passes.shape[1])].T * mass  # (P, J)
    total = near.sum(0)
    share = near / np.maximum(total, 1e-12)
    places = np.where(known[..., None], passes, 0.0)
    xy = (share[..., None] * places).sum(0)
    off = np.where(known[..., None], passes - xy, 0.0)
    spread = np.sqrt((share * (off**2).sum(-1)).sum(0) / 2)
    missing = total <= 0
    every = mass.sum(0)
    return Vote(
        np.where(missing[:, None], np.nan, xy),
        np.where(missing, np.nan, spread),
        np.where(missing, 0.0, total / np.maximum(every, 1e-12)),
    )
