"""Process unambiguous frames several at once, at a fraction of the graph's cost and with the same result.

Where every row of a frame fits one tracked person and no other, and no other row of its view is a candidate for that
person, the graph has nothing to decide. People move little within a few frames, so a single prediction shows this for a
run of frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.association.joint_reassignment import joint_moves
from mvcap.association.ray_affinity import BodyRays, body_evidence, body_total
from mvcap.association.tracked_bodies import LEARN_EVERY, BodyEstimates, TrackedBodies, estimate_bodies

CERTAIN_NATS = 4.0
"""Evidence, nats, that is certain where none contradicts it."""


def certain_matches(score: Floats, place: NDArray[np.integer]) -> Ints:
    """Tracked person (M,) that each row certainly shows, else -1, from evidence (M, K).

    The evidence for this person is high, that for any other much lower, and no other row of the view has similar
    evidence for the person. place (M,): one number for each view and frame.
    """
    rows, people = score.shape
    if not people or not rows:
        return np.full(rows, -1, np.int64)
    best = score.argmax(1)
    highest = score[np.arange(rows), best]
    unique = (score > highest[:, None] - CERTAIN_NATS).sum(1) == 1
    most = np.full((int(place.max()) + 1, people), -np.inf)
    np.maximum.at(most, place, score)
    rivals = np.zeros(most.shape, np.int64)
    np.add.at(rivals, place, score > most[place] - CERTAIN_NATS)
    certain = (highest > CERTAIN_NATS) & unique & (rivals[place, best] == 1) & (highest == most[place, best])
    return np.where(certain, best, -1)


def single_view_rows(group: Ints, view: NDArray[np.integer], lost: NDArray[np.bool_]) -> Ints:
    """Rows (N,) of people who are ``lost`` (K,) and have no other row: a single view sees them."""
    rows = np.flatnonzero((group >= 0) & (group < len(lost)))
    count = np.bincount(group[rows], minlength=len(lost))
    return np.asarray(rows[(count[group[rows]] == 1) & lost[group[rows]]], np.int64)


def skip_unambiguous(
    rays: BodyRays, step: Ints, people: TrackedBodies, times_s: Floats, torso: Ints, occlusion_s: float
) -> tuple[Ints, int, TrackedBodies]:
    """Person numbers of the rows in the leading unambiguous frames, the number of those frames, and the updated state.

    rays: rows of some frames in order; step (M,): index into ``times_s`` (T,) of their frame. A frame is ambiguous,
    too, if a tracked person is not seen at all, or if two people with unknown depth are each seen by a single view and
    may be the same person.
    """
    views = len(people.calibration)
    widened = rays.widened(people.calibration)
    predictions = [people.predicted(time_s, torso) for time_s in times_s.tolist()]
    xyz, cov = np.stack([one.xyz for one in predictions])[step], np.stack([one.cov for one in predictions])[step]
    evidence = body_evidence(widened, xyz, cov, people.as_prior(0).known[None])
    place = step * views + rays.view
    group = certain_matches(body_total(evidence), place)
    ambiguous = np.ones((len(times_s), len(people)), np.bool_)
    ambiguous[step[group >= 0], group[group >= 0]] = False
    ambiguous[step[group < 0]] = True
    ambiguous[step[joint_moves(evidence, group, place).row]] = True
    if (lost := people.lost(torso)).sum() > 1:
        for frame in range(len(times_s)):
            mine = np.flatnonzero(step == frame)
            ambiguous[frame] |= (
                len(np.unique(rays.view[mine[single_view_rows(group[mine], rays.view[mine], lost)]])) > 1
            )
    frames = int(np.append(ambiguous.any(1), True).argmax())
    if not frames:
        return group[:0], 0, people
    last = step == frames - 1
    now = replace(predictions[frames - 1], frames=people.frames + frames)
    recalibrate = now.frames // LEARN_EVERY > people.frames // LEARN_EVERY
    bodies: BodyEstimates = estimate_bodies(
        widened[np.flatnonzero(last)], group[last], now.as_prior(0), without=recalibrate
    )
    if recalibrate:
        now = now.recalibrated(rays[np.flatnonzero(last)], group[last], bodies)
    count = np.bincount(group[last], minlength=len(people))
    numbers, now = now.updated(count, bodies, torso, occlusion_s)
    return numbers[group[step < frames]], frames, now
