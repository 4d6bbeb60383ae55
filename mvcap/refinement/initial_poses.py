"""Initial poses for the least squares of one person: triangulated points, elsewhere the body moved as a whole.

Where a single view sees a body, the joints' depths follow from its apparent size. A least squares over single joints
that starts far away converges to a wrong solution: limbs that seem short because the body is assumed too near might as
well be tilted. So the body is first interpolated from before and after, and translated and rotated as a whole until it
fits the view.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.refinement import block_banded
from mvcap.refinement.observations import Observations2D
from mvcap.structures.skeleton import Skeleton

_SINGLE_VIEW_S = 0.1  # for less time, linear interpolation is accurate enough
_FACTORS = (np.inf, np.inf, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 1.0)  # of the kernel's scale, one Gauss-Newton step each
_SHAPE_SIGMA = 10.0  # noise of a body in the pose of another moment, over the pixel noise
_POSTURE_S = 0.1  # correlation time of that noise
_SPEED_MPS, _SPEED_S = 1.5, 1.0  # a body's velocity: standard deviation of each coordinate, and correlation time
_HEIGHT_M = 0.25  # standard deviation of the middle's height from the one before and after
_ROUNDS = 5
_LEAST_M = 0.02  # least standard deviation of a joint
_KERNEL = 4.0  # scale of the robust kernel, standard deviations
_MPS2, _RADPS2 = 20.0, 30.0  # linear and angular acceleration of the whole body, one standard deviation a frame


def initial_points(
    skeleton: Skeleton, observations: Observations2D, point: Floats, noise_scale: float, rate_hz: float
) -> Floats:
    """Initial positions (T, J, 3) m: points (T, J, 3) where known, else the interpolated body, fitted to its view."""
    known = np.isfinite(point[..., 0])
    middle, offset = _interpolate(point, known)
    single_view = (observations.seen.any(0) & ~known).sum(-1) > known.sum(-1)
    if single_view.sum() > _SINGLE_VIEW_S * rate_hz:
        body = skeleton.body if len(skeleton.body) else np.arange(len(skeleton))
        middle, angle = _fit_whole_body(observations.of_joints(body), middle, offset[:, body], noise_scale, rate_hz)
        offset = _rotate(offset, angle)
    return np.where(known[..., None], point, middle[:, None] + offset)


def _interpolate(point: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Middles (T, 3) of the body and joints relative to them (T, J, 3), interpolated linearly over time.

    A joint that is never measured is at the body's middle.
    """
    there = np.flatnonzero(known.any(-1))
    if not len(there):
        return np.zeros((len(point), 3)), np.zeros(point.shape)
    frames = np.arange(len(point))

    def along(at: NDArray[np.int64], values: Floats) -> Floats:
        return np.stack([np.interp(frames, at, values[:, axis]) for axis in range(3)], axis=-1)

    middle = along(there, _middles(point[there]))
    offset = np.zeros(point.shape)
    for joint in np.flatnonzero(known.any(0)):
        at = np.flatnonzero(known[:, joint])
        offset[:, joint] = along(at, point[at, joint] - middle[at])
    return middle, offset


def _middles(point: Floats) -> Floats:
    """Middles (N, 3) of bodies of which any joints (N, J, 3) are known: alternating means over joints and frames.

    The mean of the joints that are known would be in the legs where the upper body is missing.
    """
    known = np.isfinite(point[..., 0])
    value, joints = np.where(known[..., None], point, 0), known.sum(1)[:, None]
    middle: Floats = value.sum(1) / joints
    for _ in range(_ROUNDS if not known.all() else 0):
        away = np.where(known[..., None], value - middle[:, None], 0)
        usual = away.sum(0) / np.maximum(known.sum(0), 1)[:, None]
        middle = middle + np.where(known[..., None], away - usual, 0).sum(1) / joints
    return middle


def _fit_whole_body(
    observations: Observations2D, middle: Floats, offset: Floats, noise_scale: float, rate_hz: float
) -> tuple[Floats, Floats]:
    """Middles (T, 3) and rotations (T,) about the vertical with which the whole body fits the views."""
    frames = len(middle)
    weight = rate_hz**4 / np.array([_MPS2, _MPS2, _MPS2, _RADPS2]) ** 2
    smooth = block_banded.smoothness_band(np.broadcast_to(weight, (frames, 4)))
    at_rest = rate_hz**2 / _SPEED_MPS**2 / (1 + 2 * _SPEED_S * rate_hz)
    block_banded.add_first_differences(smooth, np.broadcast_to([at_rest, at_rest, at_rest, 0], (frames, 4)))
    lasting = np.sqrt(1 + 2 * _POSTURE_S * rate_hz)
    place = np.concatenate([middle, np.zeros((frames, 1))], axis=1)  # x, y, z, angle
    height, level = place[:, 2].copy(), 1 / (_HEIGHT_M * lasting) ** 2
    kernel = np.full(offset.shape[:2], _KERNEL)
    rotated = offset
    for factor in _FACTORS:  # the first steps come from far away, where no detection may be left out
        joints, scale = place[:, None, :3] + rotated, _SHAPE_SIGMA * noise_scale
        information, gradient = observations.normal(joints, scale, factor * kernel)
        # Next to a camera a pixel is next to nothing, and a step of the fit may lead there.
        share = 1 / (lasting**2 * (1 + _LEAST_M**2 * np.trace(information, axis1=-2, axis2=-1)))[..., None]
        information, gradient = information * share[..., None], gradient * share
        slope = np.zeros((*offset.shape, 4))
        slope[..., :3] = np.eye(3)
        slope[..., 0, 3], slope[..., 1, 3] = -rotated[..., 1], rotated[..., 0]
        blocks = np.einsum("tjap,tjab,tjbq->tpq", slope, information, slope, optimize=True)
        right = np.einsum("tjap,tja->tp", slope, gradient) - block_banded.smoothness_force(smooth, place)
        blocks[:, 2, 2] += level
        right[:, 2] += level * (height - place[:, 2])
        place = place + block_banded.solve_banded(block_banded.add_blocks(smooth, blocks), right)
        rotated = _rotate(offset, place[:, 3])
    return place[:, :3], place[:, 3]


def _rotate(offset: Floats, angle: Floats) -> Floats:
    """Offsets (T, J, 3) rotated by angles (T,) about the vertical."""
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = np.moveaxis(offset, -1, 0)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=-1)
