"""The frame of a body: upright, looking where the torso looks, with its origin in the torso's middle."""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats

CORNERS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""Joints that the frame follows from."""
_HEADING_S = 0.15  # the torso's heading is averaged over so long to either side
_ALIKE_M = 0.03  # of two corners, those surer than this count alike


def body_frames(corners: Floats, variance: Floats, rate_hz: float) -> tuple[Floats, Floats]:
    """Rotations (T, 3, 3) from world to body, x forward and y left, and origins (T, 3) m.

    ``corners`` (T, 4, 3) m are the joints ``CORNERS``, ``variance`` (T, 4) m^2 the sums of their variances.
    """
    weight = 1 / (variance + _ALIKE_M**2)
    shoulders, hips = weight[:, :2].min(1, keepdims=True), weight[:, 2:].min(1, keepdims=True)
    left = shoulders * (corners[:, 0] - corners[:, 1]) + hips * (corners[:, 2] - corners[:, 3])
    spine = corners[:, :2].mean(1) - corners[:, 2:].mean(1)
    spine = spine / np.maximum(np.linalg.norm(spine, axis=-1, keepdims=True), 1e-6)
    # Who stands or lies on the back has the shoulders level, who lies on the side the chest; upside down is rare.
    ahead = np.stack([left[:, 1], -left[:, 0]], -1) + 0.5 * np.cross(left, spine)[:, :2]
    ahead = _averaged(ahead, round(_HEADING_S * rate_hz))
    ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)
    c, s, zero = ahead[:, 0], ahead[:, 1], np.zeros(len(corners))
    turn = np.stack([np.stack([c, s, zero], -1), np.stack([-s, c, zero], -1), np.stack([zero, zero, zero + 1], -1)], 1)
    return turn, corners.mean(1)


def _averaged(values: Floats, reach: int) -> Floats:
    """Mean (T, D) over the frames up to ``reach`` before and after."""
    upto = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    frames = np.arange(len(values))
    stop, start = np.minimum(frames + reach + 1, len(values)), np.maximum(frames - reach, 0)
    return np.asarray((upto[stop] - upto[start]) / (stop - start)[:, None])
