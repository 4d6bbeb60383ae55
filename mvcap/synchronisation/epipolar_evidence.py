"""How well the people of two calibrated views fit each other for a shift in time: the epipolar constraint, robustly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats, Ints
from calib.geometry import invert
from mvcap.synchronisation.joint_tracks import ViewJoints

OUTLIER_NATS = 4.0
"""Nats by which a perfect joint is likelier than an outlier."""
_SAMPLED = 240  # frames of a pair that are compared while searching


@dataclass(frozen=True, eq=False)
class ShiftScores:
    """Scores of one pair of views: shift (S,) frames, b's frame minus a's; nats (S,) a joint.

    seconds (S,): how much was compared, of all people together.
    """

    a: int
    b: int
    shift: Ints
    nats: Floats
    seconds: Floats


def essential(cam_from_world_a: Floats, cam_from_world_b: Floats) -> Floats:
    """Return E (3, 3) with x_b^T E x_a = 0."""
    b_from_a = cam_from_world_b @ invert(cam_from_world_a)
    x, y, z = b_from_a[:3, 3]
    return np.asarray(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ b_from_a[:3, :3])


def homogeneous(xy: Floats) -> Floats:
    """Return xy (..., 2) with a third coordinate of 1."""
    return np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], -1)


def line_distance(one: Floats, other: Floats, sigma: tuple[Floats, Floats], E: Floats) -> tuple[Floats, Floats]:
    """Return the epipolar residual (N, P, Q, J) of each person of a with each of b, and its standard deviation.

    one (N, P, J, 2), other (N, Q, J, 2), sigma (N, P, J) and (N, Q, J): as of ``ViewJoints``.
    """
    ahead = homogeneous(one) @ E.T
    back = homogeneous(other) @ E
    x, y = other[:, None, :, :, 0], other[:, None, :, :, 1]
    line = ahead[:, :, None]
    residual = line[..., 0] * x + line[..., 1] * y + line[..., 2]
    spread = (ahead[..., :2] ** 2).sum(-1)[:, :, None] * sigma[1][:, None] ** 2
    spread = spread + (back[..., :2] ** 2).sum(-1)[:, None] * sigma[0][:, :, None] ** 2
    return residual, np.sqrt(spread)


def gains(ratio: Floats) -> Floats:
    """Nats (...) by which residuals, in standard deviations, are likelier than an outlier's; 0 where unknown."""
    known = np.isfinite(ratio)
    return np.where(known, np.logaddexp(-0.5 * np.where(known, ratio, 0) ** 2, -OUTLIER_NATS) + OUTLIER_NATS, 0.0)


def best_people(one: Floats, other: Floats, sigma: tuple[Floats, Floats], E: Floats) -> tuple[Floats, Ints, Ints]:
    """Return nats (N, P), number of joints (N, P), and the best person of b (N, P) for each person of a."""
    residual, spread = line_distance(one, other, sigma, E)
    ratio = residual / spread
    nats, count = gains(ratio).sum(-1), np.isfinite(ratio).sum(-1)
    best = nats.argmax(-1)
    pick = best[..., None]
    return np.take_along_axis(nats, pick, -1)[..., 0], np.take_along_axis(count, pick, -1)[..., 0], best


def score_shifts(views: list[ViewJoints], a: int, b: int, E: Floats, reach: int, rate_hz: float) -> ShiftScores:
    """Return the scores of all shifts of b against a by whole frames up to `reach` either way."""
    one, other = views[a], views[b]
    seen = np.flatnonzero((one.track >= 0).any(1))
    shift = np.arange(-reach, reach + 1)
    nats, seconds = np.zeros(len(shift)), np.zeros(len(shift))
    if not len(seen):
        return ShiftScores(a, b, shift, nats, seconds)
    stride = max(len(seen) // _SAMPLED, 1)
    there = np.asarray((other.track >= 0).any(1))
    for at, step in enumerate(shift.tolist()):
        frames = seen[(seen + step >= 0) & (seen + step < other.frames)]
        frames = frames[there[frames + step]]
        if len(frames) < _SAMPLED // 8:
            continue
        frames = frames[::stride]
        found, count, _ = best_people(
            one.xy[frames], other.xy[frames + step], (one.sigma[frames], other.sigma[frames + step]), E
        )
        nats[at] = found.sum() / max(count.sum(), 1)
        seconds[at] = (count > 0).sum() * stride / rate_hz
    return ShiftScores(a, b, shift, nats, seconds)


def summed_scores(parts: list[ShiftScores]) -> ShiftScores:
    """Return the scores of one pair of views in all parts of a take together."""
    seconds = np.sum([one.seconds for one in parts], 0)
    nats = np.sum([one.nats * one.seconds for one in parts], 0) / np.maximum(seconds, 1e-9)
    return ShiftScores(parts[0].a, parts[0].b, parts[0].shift, nats, seconds)
