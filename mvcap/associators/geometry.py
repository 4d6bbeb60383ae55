"""Association across views and time by geometry alone: one graph of a frame's detections and the tracked bodies.

Nodes are the rows of a frame (people, or parts of people) and the bodies tracked so far, predicted with their
covariance. Edges carry evidence in nats: how closely the rays of two rows pass each other joint by joint, what body
size they give, and how closely a row's rays pass a predicted body (``ray_affinity``). The graph is partitioned into
people (``correlation_clustering``). Then every row is compared with the body that the other rows of its group give, and
a group may take a second row of a view that shares no joint with the first. A joint that does not fit its row's body
and fits another body is moved there. A new person starts where at least two views agree and the views that should see
them, too, do not contradict it; a single view can only continue an existing track.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.association.association_graph import (
    AffinityModel,
    GeometryConfig,
    associate_frame,
    initial_calibration_variance,
)
from mvcap.association.correlation_clustering import pairs_within
from mvcap.association.joint_reassignment import JointMoves, apply_moves
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import TrackedBodies
from mvcap.association.unambiguous_frames import skip_unambiguous
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

_COPY_SHARE = 0.8  # two rows with this share of joints within their noise of each other are copies
_COPY_RAD = 0.1  # rows further apart in a view are not copies
_RUN = 8  # most unambiguous frames that are processed together
_STRIDE_S = 0.125  # time for which a motion persists; prediction errors of longer times add up as independent ones
_SAMPLE_FRAMES = 4  # number of frames from which the calibration error is first estimated


class Geometry:
    """Associator ``geometry``: detections of different views, and tracked people, are one person if the rays of their
    joints pass each other as closely as noise, calibration error and motion allow. Evidence is a log-likelihood ratio
    in nats; 2 nats are odds of 7 to 1."""

    Config = GeometryConfig
    follows = True

    def __init__(self, config: GeometryConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with their person numbers, and the state of the tracked bodies at the last frame."""
        body = rows.of_body()
        rays = BodyRays.of(body, rig, self.config.min_score)
        score = body.score.sum(1)
        processed = np.flatnonzero(_rows_within_limit(rows.frame, rays.view, score, self.config.most_pairs))
        people = (
            TrackedBodies.of_state(memory) if memory else TrackedBodies.empty(len(body.skeleton), np.zeros(len(rig)))
        )
        if not people.next_ident:  # no person has been started: none was seen by two views
            people = replace(
                people, frames=0, calibration=self._initial_calibration(body[processed], rays[processed], rig)
            )
        people = people.leaving(len(rows) - len(processed))
        person = np.full(len(rows), -1, np.int64)
        original, parts = np.arange(len(rows)), []
        original[processed] = processed[_find_copies(rays[processed], rows.frame[processed], score[processed])]
        order = processed[original[processed] == processed]
        order = order[np.argsort(rows.frame[order], kind="stable")]
        frames, first = np.unique(rows.frame[order], return_index=True)
        bounds, times_s = [*first.tolist(), len(order)], frames / rate_hz
        at, length, torso = 0, _RUN // 2, body.skeleton.torso
        while at < len(frames):
            stop = min(at + length, len(frames))
            if len(people):
                current = order[bounds[at] : bounds[stop]]
                step = np.searchsorted(frames[at:stop], rows.frame[current])
                number, done, people = skip_unambiguous(
                    rays[current], step, people, times_s[at:stop], torso, self.config.occlusion_s
                )
                person[current[: len(number)]] = number
                at, length = at + done, min(2 * length, _RUN) if done == stop - at else 1
            if at < min(stop, len(frames)):
                current = order[bounds[at] : bounds[at + 1]]
                people = self._predict_through_gap(
                    people, float(times_s[at]) - 1 / rate_hz, rays[:0], rig, body.skeleton
                )
                expected = people.predicted(float(times_s[at]), torso)
                model = self._affinity_model(body[current], rig)
                person[current], moves, people = associate_frame(
                    rays[current], expected, rig, body.skeleton, self.config, model
                )
                parts.append(moves.of_rows(current))
                at += 1
        return apply_moves(rows, JointMoves.all(parts), person[original]), people.state()

    def _affinity_model(self, rows: Detections2D, rig: Rig) -> AffinityModel | None:
        """The model that supplements geometry for one frame's rows; None here."""
        return None

    def _initial_calibration(self, body: Detections2D, rays: BodyRays, rig: Rig) -> NDArray[np.float64]:
        """Variance (C,) rad^2 of the calibration error before any person is seen by two views."""
        frames = np.unique(body.frame)
        some = np.isin(body.frame, frames[:: max(1, len(frames) // _SAMPLE_FRAMES)][:_SAMPLE_FRAMES])
        some &= _rows_within_limit(body.frame, rays.view, body.score.sum(1), self.config.most_pairs // _SAMPLE_FRAMES)
        sample = [rays[np.flatnonzero(some & (body.frame == frame))] for frame in np.unique(body.frame[some])]
        return initial_calibration_variance(sample, len(rig))

    def _predict_through_gap(
        self, people: TrackedBodies, until_s: float, no_rays: BodyRays, rig: Rig, skeleton: Skeleton
    ) -> TrackedBodies:
        """State of the tracked bodies after a time without any detection; a long time is predicted in strides."""
        while len(people) and (left_s := until_s - people.time_s) > _STRIDE_S / 2:
            expected = people.predicted(people.time_s + min(left_s, _STRIDE_S), skeleton.torso)
            people = associate_frame(no_rays, expected, rig, skeleton, self.config)[2]
        return people


def _find_copies(rays: BodyRays, frame: NDArray[np.integer], score: NDArray[np.floating]) -> NDArray[np.int64]:
    """Row (M,) that each row is a copy of, mostly itself.

    Estimators sometimes detect a person twice in a view.
    """
    original = np.arange(len(score))
    place = frame.astype(np.int64) * (int(rays.view.max(initial=0)) + 1) + rays.view
    first, second = pairs_within(place)
    if not len(first):
        return original
    middle = rays.direction.sum(1) / np.maximum(rays.seen.sum(1), 1)[:, None]
    close = ((middle[first] - middle[second]) ** 2).sum(-1) < _COPY_RAD**2
    first, second = first[close], second[close]
    both = rays.seen[first] & rays.seen[second]
    apart = ((rays.direction[first] - rays.direction[second]) ** 2).sum(-1)
    near = (apart < rays.variance[first] + rays.variance[second]) & both
    fewer = np.minimum(rays.seen[first].sum(1), rays.seen[second].sum(1))
    copies = (both.sum(1) >= np.maximum(0.6 * fewer, 3)) & (near.sum(1) > _COPY_SHARE * both.sum(1))
    for a, b in zip(first[copies], second[copies], strict=True):
        copy, kept = (a, b) if score[a] < score[b] else (b, a)
        original[original == original[copy]] = original[kept]
    return original


def _rows_within_limit(
    frame: NDArray[np.integer], view: NDArray[np.integer], score: NDArray[np.floating], most_pairs: int
) -> NDArray[np.bool_]:
    """Which rows (M,) are processed: all, or those of highest ``score`` (M,) in each view, at most ``most_pairs``."""
    keep = np.ones(len(view), np.bool_)
    frames, rows = np.unique(frame, return_counts=True)
    for crowded in frames[rows**2 > 2 * most_pairs]:
        mine = np.flatnonzero(frame == crowded)
        keep[mine] = _best_rows(view[mine], score[mine], most_pairs)
    return keep


def _best_rows(view: NDArray[np.integer], score: NDArray[np.floating], most_pairs: int) -> NDArray[np.bool_]:
    """Which rows (M,) of one frame are processed."""
    count = np.bincount(view)
    cap = int(count.max(initial=0))
    while ((kept := np.minimum(count, cap)).sum() ** 2 - (kept**2).sum()) / 2 > most_pairs and cap > 1:
        cap = int(0.9 * cap)
    keep = np.ones(len(view), np.bool_)
    for one in np.flatnonzero(count > cap):
        mine = np.flatnonzero(view == one)
        keep[mine[np.argsort(-score[mine], kind="stable")[cap:]]] = False
    return keep
