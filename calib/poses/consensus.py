"""Relative poses by consensus over moments, each of which gives several candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import geometry
from calib.arrays import Floats
from calib.geometry import invert, vector_from_rotation

_SAMPLES = 40  # moments that are compared with all others
_AGREE = 4.0  # times the median error, within which two moments agree
_LEAST_AGREE_DEG = 0.5


@dataclass(frozen=True, eq=False)
class RelativePoseMean:
    """A relative pose a_from_b (4, 4), the mean of `count` moments, and its expected error."""

    a_from_b: Floats
    count: int
    error_deg: float
    error_m: float


def consensus_pose(samples: Floats) -> RelativePoseMean | None:
    """The relative pose that most moments (S, K, 4, 4) have among their K candidates; None without any."""
    if not len(samples):
        return None
    some = np.unique(np.linspace(0, len(samples) - 1, min(_SAMPLES, len(samples))).round().astype(int))
    candidates = samples[some].reshape(-1, 4, 4)
    candidates = candidates[np.isfinite(candidates).all((1, 2))]
    reach = float(np.median(np.linalg.norm(candidates[:, :3, 3], axis=-1)))
    distances = np.stack([_nearest_candidate(samples, candidate, reach)[0] for candidate in candidates])
    middle = np.median(distances, 1)
    best = candidates[int(np.argmin(middle))]
    for _ in range(3):
        distance, which = _nearest_candidate(samples, best, reach)
        bound = max(_AGREE * float(np.median(distance)), np.deg2rad(_LEAST_AGREE_DEG))
        chosen = samples[np.arange(len(samples)), which][distance <= bound]
        best = _mean(chosen)
    deviation = invert(best) @ chosen
    count = len(chosen)
    spread = np.sqrt((vector_from_rotation(deviation[:, :3, :3]) ** 2).sum(-1).mean() / max(count - 1, 0.25))
    shift = np.sqrt((deviation[:, :3, 3] ** 2).sum(-1).mean() / max(count - 1, 0.25))
    if count == 1:  # nothing to compare with: the typical error of a board's pose
        spread, shift = np.deg2rad(2.0), 0.03 * reach
    return RelativePoseMean(best, count, float(np.rad2deg(spread)), float(shift))


def _nearest_candidate(samples: Floats, one: Floats, reach: float) -> tuple[Floats, NDArray[np.intp]]:
    """Distance (S,) of the nearest candidate of every moment from a pose, radians, and its index."""
    turn = np.einsum("sijk,jk->si", samples[..., :3, :3], one[:3, :3])
    angle = np.arccos(np.clip((turn - 1) / 2, -1, 1))
    shift = np.linalg.norm(samples[..., :3, 3] - one[:3, 3], axis=-1) / max(reach, 1e-9)
    distance = np.where(np.isfinite(angle + shift), np.hypot(angle, shift), np.inf)
    which = distance.argmin(1)
    return distance[np.arange(len(samples)), which], which


def _mean(poses: Floats) -> Floats:
    """The chordal mean of poses (S, 4, 4)."""
    U, _, Vt = np.linalg.svd(poses[:, :3, :3].sum(0))
    R = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))]) @ Vt
    return geometry.pose(R, np.median(poses[:, :3, 3], axis=0))
