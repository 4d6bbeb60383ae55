"""Top-down readings by the lifter ``temporal`` itself, on generated takes, in place of their error model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calib.arrays import Floats
from mvcap.integration.body_readings import BodyReadings
from mvcap.lifters.temporal import TemporalConfig, TemporalLifter
from mvcap.structures.skeleton import skeleton
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.structures.view_track import ViewTrack
from mvcap.training.reading_models import ReadingPair

BODY = skeleton("halpe26")
_HIPS = tuple(BODY.index(name) for name in ("left_hip", "right_hip"))


class LiftedTake:
    """The people of a view of a take as the lifter lifts them; who a row belongs to is given."""

    def __init__(self, take: SyntheticTake, view: int) -> None:
        lifter = TemporalLifter(TemporalConfig())
        self.bodies = {person: lifter.lift(track_of_person(take, view, person))
                       for person in np.unique(take.truth.person).tolist()}  # fmt: skip
        self.skeleton = take.rows.skeleton

    def pair(self, pair: ReadingPair, frame: int) -> ReadingPair:
        """Return the pair of that frame with the lifter's reading as the first, all about the middle of the hips."""
        bodies = [self.bodies[person] for person in pair.person.tolist()]
        scale = np.array([one.scale_sigma for one in bodies])[:, None, None, None]
        joints = np.stack([one.joints[frame] for one in bodies])
        # The size of the person is an error that the covariance of a lifter leaves out.
        wide = scale**2 * joints[..., :, None] * joints[..., None, :]
        cov = np.stack([one.covariance[frame] for one in bodies]) + wide
        first = BodyReadings(self.skeleton, joints, cov, np.ones(joints.shape[:2])).as_skeleton(BODY)
        first = replace(first, score=np.where(first.known, np.maximum(pair.score, 0.03), 0.0))
        truth = pair.truth - pair.truth[:, _HIPS].mean(1, keepdims=True)
        return replace(pair, first=first, second=about_hips(pair.second), truth=truth)


def track_of_person(take: SyntheticTake, view: int, person: int) -> ViewTrack:
    """Return the track of a true person in a view: of each frame the row with most of their joints."""
    kind, frames = take.rows.skeleton, int(take.truth.frame.max()) + 1
    shape = (frames, len(kind))
    xy, noise, score = np.full((*shape, 2), np.nan), np.full(shape, np.nan), np.zeros(shape)
    most = np.zeros(frames, np.int64)
    for row in np.flatnonzero(take.rows.view == view):
        frame, count = int(take.rows.frame[row]), int((take.whose[row] == person).sum())
        if count > most[frame]:
            most[frame] = count
            xy[frame], noise[frame], score[frame] = take.rows.xy[row], take.rows.noise_px[row], take.rows.score[row]
    return ViewTrack(kind, take.rig[view].lens, np.arange(frames) / take.rate_hz, xy, score, noise)


def about_hips(one: BodyReadings) -> BodyReadings:
    """Return readings in joints of ``BODY`` about the middle of their hips, whose own error is added."""
    cov = one.covariance + one.covariance[:, _HIPS].sum(1, keepdims=True) / 4
    middle: Floats = one.joints[:, _HIPS].mean(1, keepdims=True)
    return replace(one, joints=one.joints - middle, covariance=cov)
