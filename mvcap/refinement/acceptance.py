"""Which joints that no two views measure are certain enough to be kept, and what they follow from."""

from __future__ import annotations

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.refinement import acceleration
from mvcap.refinement.observations import skipped_frames
from mvcap.structures.poses import Provenance


def gap_provenance(seen: Bools, stiffness: Floats, fill_m: float) -> Ints:
    """Provenance (T, J) of unseen joints: between observations, before or after them, or far from any.

    Far is where a joint's own motion leaves its position too uncertain, so that it follows from the rest of the body.
    """
    before, after, between = acceleration.frames_since_seen(seen)
    span = np.where(between, before * after / np.maximum(before + after, 1), np.minimum(before, after))
    far = acceleration.random_acceleration_growth(span) / stiffness > fill_m**2
    return np.where(far, Provenance.PRIOR, np.where(between, Provenance.INTERPOLATED, Provenance.PREDICTED))


def accepted_joints(kept: Bools, seen: Bools, single_view: Bools, fill_m: float, rate_hz: float) -> Bools:
    """Which of the ``kept`` joints (T, J) remain, given how far a body may move between frames.

    In frames in which no view sees the person: where the observations before and after are close in time (the middle of
    the gap is the worst) and most of the body is known. Joints seen by a single view: where the frame rate is high
    enough, because only the frames around resolve which of two ways a limb is tilted.
    """
    person_seen = np.asarray(seen.any(-1, keepdims=True))
    before, after, between = acceleration.frames_since_seen(person_seen)
    span = np.where(between, (before + after) / 4, np.minimum(before, after))
    near = acceleration.unseen_variance(span, rate_hz) < fill_m**2
    count = kept.sum(-1, keepdims=True)
    whole = 2 * count >= nearest_values(count, person_seen)
    dense = acceleration.unseen_variance(np.ones(1), rate_hz) < fill_m**2
    return np.asarray(kept & (person_seen | (near & whole)) & (~single_view | dense))


def joints_between(kept: Bools, sigma: Floats, looked_at: Bools, fill_m: float) -> Bools:
    """Joints (T, J) of frames that were not looked at, between two looked-at frames in which they are ``kept``.

    They are kept as long as time adds less than ``fill_m`` to the larger of the two standard deviations, sigma (T, J)
    m: a joint that two views measure badly is no better in between. looked_at: (T,).
    """
    inside, before, after = skipped_frames(looked_at)
    out = np.zeros(kept.shape, np.bool_)
    limit = np.hypot(np.maximum(sigma[before], sigma[after]), fill_m)
    out[inside] = kept[before] & kept[after] & (sigma[inside] < limit)
    return out


def nearest_values(values: Floats, seen: Bools) -> Floats:
    """Value (T, J) of each joint in the nearest frame in which it was seen; 0 for a joint never seen."""
    frames = np.arange(len(seen))[:, None]
    before = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, frames, len(seen))[::-1], axis=0)[::-1]
    use = (before >= 0) & ((frames - before <= after - frames) | (after >= len(seen)))
    nearest = np.where(use, before, np.minimum(after, len(seen) - 1))
    return np.where(seen.any(0), np.take_along_axis(values, nearest, axis=0), 0)
