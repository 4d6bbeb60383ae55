"""The body frame: z up, x in the facing direction of the torso, origin in the centre of the torso."""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats

CORNERS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""Joints that define the frame."""
_HEADING_S = 0.15  # the heading of the torso is averaged over this time before and after
_NOISE_FLOOR_M = 0.03  # corners with smaller standard deviations have about equal weights


def body_frames(corners: Floats, variance: Floats, rate_hz: float) -> tuple[Floats, Floats]:
    """Return rotations (T, 3, 3) from world to body, x forward and y left, and origins (T, 3) m.

    ``corners`` (T, 4, 3) m: the joints ``CORNERS``; ``variance`` (T, 4) m^2: their variances summed over the axes.
    """
    weight = 1 / (variance + _NOISE_FLOOR_M**2)
    shoulders, hips = weight[:, :2].min(1, keepdims=True), weight[:, 2:].min(1, keepdims=True)
    left = shoulders * (corners[:, 0] - corners[:, 1]) + hips * (corners[:, 2] - corners[:, 3])
    spine = corners[:, :2].mean(1) - corners[:, 2:].mean(1)
    spine = spine / np.maximum(np.linalg.norm(spine, axis=-1, keepdims=True), 1e-6)
    # Standing or lying on the back, the left-right axis is horizontal; lying on the side, the chest normal is.
    # Upside down is rare.
    ahead = np.stack([left[:, 1], -left[:, 0]], -1) + 0.5 * np.cross(left, spine)[:, :2]
    ahead = _averaged(ahead, round(_HEADING_S * rate_hz))
    ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)
    c, s, zero = ahead[:, 0], ahead[:, 1], np.zeros(len(corners))
    turn = np.stack([np.stack([c, s, zero], -1), np.stack([-s, c, zero], -1), np.stack([zero, zero, zero + 1], -1)], 1)
    return turn, corners.mean(1)


def _averaged(values: Floats, reach: int) -> Floats:
    """Return the moving average (T, D) over up to ``reach`` frames before and after each frame."""
    cumulated = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    frames = np.arange(len(values))
    stop, start = np.minimum(frames + reach + 1, len(values)), np.maximum(frames - reach, 0)
    return np.asarray((cumulated[stop] - cumulated[start]) / (stop - start)[:, None])
