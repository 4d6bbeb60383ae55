"""Where a least squares of one person begins: triangulated points, and the body carried on where there are none.

Where one view alone sees a body, the joints' depths follow from how large it appears. A least squares over single
joints finds the wrong answer from a start that is far off: limbs that seem short because the body is thought too near
might as well be tilted. So the body as it was before and after is first moved and turned as a whole until it fits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.refinement import block_banded
from mvcap.refinement.observations import Observations2D
from mvcap.structures.skeleton import Skeleton

_LONELY_S = 0.1  # for less than this, straight lines in time are near enough
_STEPS = 6
_SHAPE_SIGMA = 10.0  # how much worse a body in the pose of another moment fits than the noise of the pixels says
_KERNEL = 4.0
_MPS2, _RADPS2 = 20.0, 30.0  # accelerations of the whole body and of its turning, one standard deviation a frame


def initial_points(
    skeleton: Skeleton, observations: Observations2D, point: Floats, noise_scale: float, rate_hz: float
) -> Floats:
    """Places (T, J, 3) m to start from: points (T, J, 3) where there are, else the body as it was, carried on."""
    known = np.isfinite(point[..., 0])
    middle, offset = _joined(point, known)
    lonely = (observations.seen.any(0) & ~known).sum(-1) > known.sum(-1)
    if lonely.sum() > _LONELY_S * rate_hz:
        body = skeleton.body if len(skeleton.body) else np.arange(len(skeleton))
        middle, angle = _carried(observations.of_joints(body), middle, offset[:, body], noise_scale, rate_hz)
        offset = _turned(offset, angle)
    return np.where(known[..., None], point, middle[:, None] + offset)


def _joined(point: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Middles (T, 3) of the body and its joints against them (T, J, 3), joined by straight lines in time.

    A joint that is never measured is in the body's middle.
    """
    there = np.flatnonzero(known.any(-1))
    if not len(there):
        return np.zeros((len(point), 3)), np.zeros(point.shape)
    frames = np.arange(len(point))

    def along(at: NDArray[np.int64], values: Floats) -> Floats:
        return np.stack([np.interp(frames, at, values[:, axis]) for axis in range(3)], axis=-1)

    middle = along(there, np.nanmean(point[there], axis=1))
    offset = np.zeros(point.shape)
    for joint in np.flatnonzero(known.any(0)):
        at = np.flatnonzero(known[:, joint])
        offset[:, joint] = along(at, point[at, joint] - middle[at])
    return middle, offset


def _carried(
    observations: Observations2D, middle: Floats, offset: Floats, noise_scale: float, rate_hz: float
) -> tuple[Floats, Floats]:
    """Middles (T, 3) and turns (T,) about the vertical with which the whole body fits what the views saw."""
    weight = rate_hz**4 / np.array([_MPS2, _MPS2, _MPS2, _RADPS2]) ** 2
    smooth = block_banded.smoothness_band(np.broadcast_to(weight, (len(middle), 4)))
    place = np.concatenate([middle, np.zeros((len(middle), 1))], axis=1)  # x, y, z, angle
    kernel = np.full(offset.shape[:2], _KERNEL)
    turned = offset
    for _ in range(_STEPS):
        information, gradient = observations.normal(place[:, None, :3] + turned, _SHAPE_SIGMA * noise_scale, kernel)
        slope = np.zeros((*offset.shape, 4))
        slope[..., :3] = np.eye(3)
        slope[..., 0, 3], slope[..., 1, 3] = -turned[..., 1], turned[..., 0]
        blocks = np.einsum("tjap,tjab,tjbq->tpq", slope, information, slope, optimize=True)
        right = np.einsum("tjap,tja->tp", slope, gradient) - block_banded.smoothness_force(smooth, place)
        place = place + block_banded.solve_banded(block_banded.add_blocks(smooth, blocks), right)
        turned = _turned(offset, place[:, 3])
    return place[:, :3], place[:, 3]


def _turned(offset: Floats, angle: Floats) -> Floats:
    """Offsets (T, J, 3) turned by angles (T,) about the vertical."""
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = np.moveaxis(offset, -1, 0)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=-1)
