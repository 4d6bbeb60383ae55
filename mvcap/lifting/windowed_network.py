"""A lifting network over a track of any length: windows, the mirror image, and the way back to the frames' joints.

The network also sees the mirror image, and the mean of both answers is used: so a mirrored person is lifted to the
mirrored pose, and errors are smaller. Half the difference of both is part of the covariance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.lifting.body_joints import MIRROR, STATURE_SIGMA, joints_from_body
from mvcap.lifting.virtual_camera import TrackMoments, moments_of
from mvcap.structures.view_track import LiftedBody, ViewTrack

Answer = Callable[[NDArray[np.float32], NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""From node (B, M, 26, F) and frame (B, M, G) to joints (B, M, 26, 3) m and factors of covariances (B, M, 26, 3, 3)."""

WINDOW, MARGIN = 36, 6
"""Moments of one input, and those at its ends whose answers are used only at the ends of the track."""
_AT_ONCE = 16  # windows of one call


def lift_track(track: ViewTrack, answer: Answer, factor: float = 1.0) -> LiftedBody:
    """Return a person's joints by a network. ``factor``: on its standard deviations, measured on held-out takes.

    NaN at frames without any joint of the body, and for joints of the skeleton that do not follow from the body's.
    """
    shape = (len(track.time_s), len(track.skeleton))
    if not len(track.time_s):
        return LiftedBody(np.zeros((*shape, 3)), np.zeros((*shape, 3, 3)), STATURE_SIGMA)
    moments = moments_of(track)
    joints, covariance = _at_moments_of(moments, answer)
    joints = np.einsum("mba,mjb->mja", moments.turn, joints)
    covariance = np.einsum("mca,mjcd,mdb->mjab", moments.turn, covariance * factor**2, moments.turn, optimize=True)
    joints, covariance = (_at_frames(value, moments.time_s, track.time_s) for value in (joints, covariance))
    joints, covariance = _in_skeleton(track, joints, covariance)
    nothing = not moments.node[..., -1].any()
    lost = ~track.known.any(-1) | nothing
    joints[lost], covariance[lost] = np.nan, np.nan
    return LiftedBody(joints, covariance, STATURE_SIGMA)


def _at_moments_of(moments: TrackMoments, answer: Answer) -> tuple[Floats, Floats]:
    """Joints (M, 26, 3) m and covariances (M, 26, 3, 3) m^2 along the axes of the turned camera."""
    count = len(moments.time_s)
    both = (moments.node, moments.frame), moments.mirrored()
    found = [_over_windows(node, frame, answer, count) for node, frame in both]
    flip = np.array([-1.0, 1.0, 1.0])
    joints, factor = found[0]
    other = found[1][0][:, MIRROR] * flip
    cov = factor @ factor.swapaxes(-1, -2)
    factor = found[1][1]
    cov_other = (factor @ factor.swapaxes(-1, -2))[:, MIRROR] * flip[:, None] * flip
    half = (joints - other) / 2
    return (joints + other) / 2, (cov + cov_other) / 2 + half[..., :, None] * half[..., None, :]


def _over_windows(
    node: NDArray[np.float32], frame: NDArray[np.float32], answer: Answer, count: int
) -> tuple[Floats, Floats]:
    """Joints (M, 26, 3) and factors (M, 26, 3, 3) of all moments, in windows that overlap."""
    joints, factors = np.zeros((*node.shape[:2], 3)), np.zeros((*node.shape[:2], 3, 3))
    length = min(WINDOW, count)
    starts = window_starts(count)
    for first in range(0, len(starts), _AT_ONCE):
        some = starts[first : first + _AT_ONCE]
        rows = some[:, None] + np.arange(length)
        x, factor = answer(node[rows], frame[rows])
        for at, start in enumerate(some.tolist()):
            low = 0 if start == 0 else MARGIN
            joints[start + low : start + length], factors[start + low : start + length] = x[at, low:], factor[at, low:]
    return joints, factors


def window_starts(count: int) -> Ints:
    """Return the first moments of the windows of a track of ``count`` moments; the last one ends with the track."""
    if count <= WINDOW:
        return np.zeros(1, np.int64)
    starts = np.arange(0, count - WINDOW, WINDOW - 2 * MARGIN)
    return np.append(starts, count - WINDOW).astype(np.int64)


def _at_frames(values: Floats, moments: Floats, time_s: Floats) -> Floats:
    """Values (T, ...) at the frames, interpolated linearly between those (M, ...) at moments."""
    place = np.interp(time_s, moments, np.arange(len(moments)))
    low = np.minimum(place.astype(np.int64), max(len(moments) - 2, 0))
    share = (place - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1 - share) * values[low] + share * values[np.minimum(low + 1, len(moments) - 1)])


def _in_skeleton(track: ViewTrack, joints: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Joints (T, J, 3) and covariances (T, J, 3, 3) of the track's skeleton, of those (T, 26, ...) of the body.

    The errors of joints that one joint follows from are taken as those of one point: they are mostly shared.
    """
    matrix, extra = joints_from_body(track.skeleton)
    out = np.einsum("kj,tja->tka", matrix, joints, optimize=True)
    share = np.abs(matrix) / np.abs(matrix).sum(-1, keepdims=True)
    cov = np.einsum("kj,tjab->tkab", share * np.abs(matrix).sum(-1, keepdims=True) ** 2, covariance, optimize=True)
    return out, cov + (extra**2)[:, None, None] * np.eye(3)
