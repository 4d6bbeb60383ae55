"""A track as a camera sees it that turns to the person: its joints at regular moments, in sizes of the body.

The camera is turned about its centre so that it looks at the trunk, its horizontal axis still level in the picture. So
the position in the picture, the lens with its distortion and the resolution drop out; what is left of them is how large
the body appears, which tells how strong the perspective is, and the noise of the joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats, Ints
from mvcap.lifting.body_joints import BODY, MIRROR, body_joints
from mvcap.structures.body_frame import CORNERS
from mvcap.structures.body_prior import usual_places
from mvcap.structures.view_track import ViewTrack

MOMENTS_HZ = 12.5
"""Moments a second."""
FEATURES = (5, 3)
"""Numbers of features of a joint and of a moment."""
_BRIDGE_S = 0.25  # a joint between two detections at most so far apart is interpolated
_JERKY = 5.0  # acceleration of joints between two detections, body metres a s^2: what interpolation does not see
_FADE_S, _OTHERS = 0.5, 0.02  # how long an unseen corner of the trunk still tells where it is; weight of other joints
_STEADY_S = 1.0  # the size in the picture is smoothed over so long
_ASIDE = 0.25  # cosine from the camera's new axis beyond which a point is not in its picture
_MOST = 3.0  # body metres from the trunk: beyond it a detection is an outlier, and clipped
_TRUNK = np.array([BODY.index(name) for name in CORNERS])


@dataclass(frozen=True, eq=False)
class TrackMoments:
    """The input of a network for a whole track, and the way back. M moments, the first one at the first frame."""

    time_s: Floats
    """(M,) s."""
    node: NDArray[np.float32]
    """(M, 26, 5): x, y in body metres from the axis (x to the right, y down), noise, score, whether it is known."""
    frame: NDArray[np.float32]
    """(M, 3): motion of the axis in the picture (x, y), and the logarithm of the size: 1 body metre over distance."""
    turn: Floats
    """(M, 3, 3) from the axes of the real camera to those of the turned one."""

    def mirrored(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return node and frame of the mirror image: left and right swapped."""
        flip = np.array([-1, 1, 1, 1, 1], np.float32)
        return self.node[:, MIRROR] * flip, self.frame * flip[[0, 1, 2]]


def moments_of(track: ViewTrack) -> TrackMoments:
    """Return the moments of a track; those at which nothing is known are there too, with empty features."""
    have = body_joints(track.skeleton)
    rays, noise, score = _of_vocabulary(track, have)
    start, end = (float(track.time_s[0]), float(track.time_s[-1])) if len(track.time_s) else (0.0, 0.0)
    time_s = start + np.arange(round((end - start) * MOMENTS_HZ) + 1) / MOMENTS_HZ
    rays, noise, score, gap = _at_moments(track.time_s, rays, noise, score, time_s)
    known: Bools = np.asarray(np.isfinite(rays).all(-1))
    axis = _axis(rays, known, time_s)
    turn = _turned_to(axis)
    seen = np.einsum("mab,mjb->mja", turn, rays)
    known &= np.where(known, seen[..., 2], 0) > _ASIDE
    depth = np.where(known, seen[..., 2], 1)
    flat = np.where(known[..., None], seen[..., :2] / depth[..., None], 0)
    size = _sizes(flat, known)
    motion = np.einsum("mab,mb->ma", turn, np.gradient(axis, axis=0) if len(axis) > 1 else 0 * axis)[:, :2]
    noise = np.hypot(noise / depth**1.5 / size[:, None], gap)
    node = np.stack([
        *np.moveaxis(np.clip(flat / size[:, None, None], -_MOST, _MOST), -1, 0),
        (np.log(np.clip(noise, 1e-3, 1)) + 3.5) / 1.5,
        score,
        np.ones_like(score),
    ], -1)  # fmt: skip
    node = np.where(known[..., None], node, 0)
    frame = np.concatenate([np.arcsinh(motion * MOMENTS_HZ / size[:, None]) / 2, np.log(size)[:, None]], -1)
    return TrackMoments(time_s, node.astype(np.float32), frame.astype(np.float32), turn)


def _of_vocabulary(track: ViewTrack, have: Ints) -> tuple[Floats, Floats, Floats]:
    """Rays (T, 26, 3), their noise (T, 26) rad and scores (T, 26) of the joints of ``BODY``; NaN where unknown."""
    there = np.flatnonzero(have >= 0)
    shape = (len(track.time_s), len(BODY))
    rays, noise, score = np.full((*shape, 3), np.nan), np.full(shape, np.nan), np.zeros(shape)
    rays[:, there], noise[:, there] = track.rays()[:, have[there]], track.noise_rad()[:, have[there]]
    score[:, there] = track.score[:, have[there]]
    bad = ~(np.isfinite(rays).all(-1) & np.isfinite(noise) & (score > 0))
    rays[bad], noise[bad], score[bad] = np.nan, np.nan, 0
    return rays, noise, score


def _at_moments(
    time_s: Floats, rays: Floats, noise: Floats, score: Floats, moments: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Rays, noise rad and scores at the moments, and the error (M, 26) of interpolation in body metres.

    Interpolated between detections up to ``_BRIDGE_S`` apart; else that of the nearest frame, if it is half a moment
    away at most.
    """
    shape = (len(moments), rays.shape[1])
    out = np.full((*shape, 3), np.nan), np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
    for joint in range(shape[1]):
        at = np.flatnonzero(np.isfinite(rays[:, joint, 0]))
        if not len(at):
            continue
        when = time_s[at]
        high = np.clip(np.searchsorted(when, moments), 0, len(at) - 1)
        low = np.where(when[high] > moments, np.maximum(high - 1, 0), high)
        before, after = np.abs(moments - when[low]), np.abs(when[high] - moments)
        bridged = (before + after <= _BRIDGE_S) & (when[low] <= moments) & (when[high] >= moments)
        share = np.where(bridged, before / np.maximum(before + after, 1e-9), before > after)
        use = bridged | (np.minimum(before, after) <= 0.5 / MOMENTS_HZ + 1e-6)
        for values, target in ((rays, out[0]), (noise, out[1]), (score, out[2])):
            column = values[at, joint]
            part = share.reshape(-1, *[1] * (column.ndim - 1))
            target[use, joint] = ((1 - part) * column[low] + part * column[high])[use]
        out[3][use, joint] = (0.5 * _JERKY * before * after * bridged)[use]
    norm = np.linalg.norm(out[0], axis=-1, keepdims=True)
    return out[0] / norm, out[1], out[2], out[3]


def _axis(rays: Floats, known: Bools, time_s: Floats) -> Floats:
    """Unit vector (M, 3) to the trunk: the mean of its corners, those seen a while ago with less weight."""
    total = _OTHERS * np.where(known[..., None], rays, 0).sum(1)
    for corner in _TRUNK:
        at = np.flatnonzero(known[:, corner])
        if not len(at):
            continue
        high = np.clip(np.searchsorted(at, np.arange(len(rays))), 0, len(at) - 1)
        away = np.minimum(np.abs(np.arange(len(rays)) - at[high]), np.abs(np.arange(len(rays)) - at[high - 1]))
        weight = np.exp(-away / MOMENTS_HZ / _FADE_S)
        held = np.stack([np.interp(time_s, time_s[at], rays[at, corner, axis]) for axis in range(3)], -1)
        total += weight[:, None] * held
    some = np.flatnonzero(known.any(-1))
    if not len(some):
        return np.tile([0.0, 0.0, 1.0], (len(rays), 1))
    total = np.stack([np.interp(time_s, time_s[some], total[some, axis]) for axis in range(3)], -1)
    norm = np.linalg.norm(total, axis=-1, keepdims=True)
    return np.where(norm > 1e-9, total / np.maximum(norm, 1e-9), [0.0, 0.0, 1.0])


def _turned_to(axis: Floats) -> Floats:
    """Rotations (M, 3, 3) to a camera that looks along an axis (M, 3), its x axis orthogonal to the old y axis."""
    right = np.cross([0.0, 1.0, 0.0], axis)
    norm = np.linalg.norm(right, axis=-1, keepdims=True)
    right = np.where(norm > 1e-6, right / np.maximum(norm, 1e-6), [1.0, 0.0, 0.0])
    down = np.cross(axis, right)
    down /= np.linalg.norm(down, axis=-1, keepdims=True)
    return np.stack([np.cross(down, axis), down, axis], -2)


def _sizes(flat: Floats, known: Bools) -> Floats:
    """Size (M,) in the picture of a metre of a typical body at the person's distance, smoothed over time."""
    from scipy.ndimage import gaussian_filter1d

    square = (flat**2).sum(-1)
    count = known.sum(-1).astype(np.float64)
    usual = np.where(known, _USUAL**2, 0).sum(-1)
    size = 0.5 * np.log(np.maximum((square * known).sum(-1), 1e-8) / np.maximum(usual, 1e-8))
    if not count.any():
        return np.full(len(flat), 0.25)
    some = np.flatnonzero(count)
    size = np.interp(np.arange(len(flat)), some, size[some])
    weight = gaussian_filter1d(count + 1e-6, _STEADY_S * MOMENTS_HZ, mode="constant")
    smooth = gaussian_filter1d((count + 1e-6) * size, _STEADY_S * MOMENTS_HZ, mode="constant") / weight
    return np.asarray(np.exp(np.clip(smooth, -4.5, 1.5)))


def _usual_distances() -> Floats:
    """Root mean square distance (26,) m in the picture plane of joints of a body of 1.72 m from its trunk's middle."""
    place, spread = usual_places(BODY.joints)
    return np.asarray(np.sqrt(place[:, 2] ** 2 + (place[:, :2] ** 2).sum(-1) / 2 + 2 * (spread / 1.5) ** 2))


_USUAL = _usual_distances()
