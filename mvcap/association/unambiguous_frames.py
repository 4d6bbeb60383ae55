"""Frames in which nobody is in doubt: several at once, at a fraction of the graph's cost, with the same result.

Where every row of a frame fits one followed person and no other, and no other row of its view comes into question for
that person, the graph has nothing to decide. People move little in a few frames, so that this can be seen for a run of
frames from one prediction.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.association.joint_reassignment import joint_moves
from mvcap.association.ray_affinity import BodyRays, body_evidence, body_total
from mvcap.association.tracked_bodies import LEARN_EVERY, BodyEstimates, TrackedBodies, estimate_bodies

SURE = 4.0
"""Evidence that leaves no doubt where nothing speaks against it."""


def certain_matches(score: Floats, place: NDArray[np.integer]) -> Ints:
    """Followed person (M,) that each row is without a doubt, else -1, from evidence (M, K).

    Much speaks for this one, much less for any other, and for no other row of the view as much. place (M,): one number
    for each view and frame.
    """
    rows, people = score.shape
    if not people or not rows:
        return np.full(rows, -1, np.int64)
    best = score.argmax(1)
    top = score[np.arange(rows), best]
    alone = (score > top[:, None] - SURE).sum(1) == 1
    most = np.full((int(place.max()) + 1, people), -np.inf)
    np.maximum.at(most, place, score)
    rivals = np.zeros(most.shape, np.int64)
    np.add.at(rivals, place, score > most[place] - SURE)
    sure = (top > SURE) & alone & (rivals[place, best] == 1) & (top == most[place, best])
    return np.where(sure, best, -1)


def single_view_rows(group: Ints, view: NDArray[np.integer], lost: NDArray[np.bool_]) -> Ints:
    """Rows (N,) of people who are ``lost`` (K,) that no other row is of: one view alone sees them."""
    rows = np.flatnonzero((group >= 0) & (group < len(lost)))
    count = np.bincount(group[rows], minlength=len(lost))
    return np.asarray(rows[(count[group[rows]] == 1) & lost[group[rows]]], np.int64)


def skip_unambiguous(
    rays: BodyRays, step: Ints, people: TrackedBodies, times_s: Floats, torso: Ints, occlusion_s: float
) -> tuple[Ints, int, TrackedBodies]:
    """Numbers of the people that rows are in the first frames in which nobody is in doubt, how many frames, who is on.

    rays: rows of some frames in order, step (M,) which frame of ``times_s`` (T,) they are of. A frame in which someone
    who is followed is not seen at all is not calm, nor one in which two are hardly known, a single view sees each,
    and they may be one.
    """
    views = len(people.calibration)
    wide = rays.widened(people.calibration)
    ahead = [people.predicted(time_s, torso) for time_s in times_s.tolist()]
    xyz, cov = np.stack([one.xyz for one in ahead])[step], np.stack([one.cov for one in ahead])[step]
    evidence = body_evidence(wide, xyz, cov, people.as_prior(0).known[None])
    place = step * views + rays.view
    group = certain_matches(body_total(evidence), place)
    bad = np.ones((len(times_s), len(people)), np.bool_)
    bad[step[group >= 0], group[group >= 0]] = False
    bad[step[group < 0]] = True
    bad[step[joint_moves(evidence, group, place).row]] = True
    if (lost := people.lost(torso)).sum() > 1:
        for frame in range(len(times_s)):
            mine = np.flatnonzero(step == frame)
            bad[frame] |= len(np.unique(rays.view[mine[single_view_rows(group[mine], rays.view[mine], lost)]])) > 1
    frames = int(np.append(bad.any(1), True).argmax())
    if not frames:
        return group[:0], 0, people
    last = step == frames - 1
    now = replace(ahead[frames - 1], frames=people.frames + frames)
    learn = now.frames // LEARN_EVERY > people.frames // LEARN_EVERY
    bodies: BodyEstimates = estimate_bodies(wide[np.flatnonzero(last)], group[last], now.as_prior(0), without=learn)
    if learn:
        now = now.recalibrated(rays[np.flatnonzero(last)], group[last], bodies)
    count = np.bincount(group[last], minlength=len(people))
    numbers, now = now.updated(count, bodies, torso, occlusion_s)
    return numbers[group[step < frames]], frames, now
