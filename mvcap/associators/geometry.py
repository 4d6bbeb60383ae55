"""Who is who across views and time, by geometry alone: one graph of what the views see and who was there before.

Nodes are the rows of a frame (people, or parts of people) and the bodies followed so far, predicted with their
covariance. Edges carry evidence in nats: how the rays of two rows pass each other joint by joint, what size of body
they make, how a row's rays pass a predicted body (``body_rays``). The graph is cut into people (``grouping``), each is
put to the test as a whole (every row against the body that the others make) and may take a second row of a view that
shares no joint with the first. A joint that does not fit its row's body and fits another's goes there. A person starts
where two views or more agree and the views that should see them too do not object; a view alone only carries on.
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

_ALIKE = 0.8  # share of joints within their noise of each other that makes a copy
_CLOSE_RAD = 0.1  # further apart in a view, nothing is a copy
_RUN = 8  # calm frames that are looked at together at most
_STRIDE_S = 0.125  # how long people go on as they did, not further and further off
_TRIED = 4  # frames from which the worth of the calibration is guessed at first


class Geometry:
    """Associator ``geometry``."""

    Config = GeometryConfig
    follows = True

    def __init__(self, config: GeometryConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with the numbers of the people they are, and who is followed at the last frame."""
        body = rows.of_body()
        rays = BodyRays.of(body, rig, self.config.min_score)
        worth = body.score.sum(1)
        looked = np.flatnonzero(_affordable(rows.frame, rays.view, worth, self.config.most_pairs))
        people = (
            TrackedBodies.of_state(memory) if memory else TrackedBodies.nobody(len(body.skeleton), np.zeros(len(rig)))
        )
        if not people.next_ident:  # whoever came so far came into one view only
            people = replace(people, frames=0, calibration=self._first_guess(body[looked], rays[looked], rig))
        people = people.leaving(len(rows) - len(looked))
        person = np.full(len(rows), -1, np.int64)
        original, parts = np.arange(len(rows)), []
        original[looked] = looked[_originals(rays[looked], rows.frame[looked], worth[looked])]
        order = looked[original[looked] == looked]
        order = order[np.argsort(rows.frame[order], kind="stable")]
        frames, first = np.unique(rows.frame[order], return_index=True)
        bounds, times_s = [*first.tolist(), len(order)], frames / rate_hz
        at, length, torso = 0, _RUN // 2, body.skeleton.torso
        while at < len(frames):
            stop = min(at + length, len(frames))
            if len(people):
                mine = order[bounds[at] : bounds[stop]]
                step = np.searchsorted(frames[at:stop], rows.frame[mine])
                number, done, people = skip_unambiguous(
                    rays[mine], step, people, times_s[at:stop], torso, self.config.occlusion_s
                )
                person[mine[: len(number)]] = number
                at, length = at + done, min(2 * length, _RUN) if done == stop - at else 1
            if at < min(stop, len(frames)):
                mine = order[bounds[at] : bounds[at + 1]]
                people = self._waited(people, float(times_s[at]) - 1 / rate_hz, rays[:0], rig, body.skeleton)
                expected = people.predicted(float(times_s[at]), torso)
                model = self._affinity_model(body[mine], rig)
                person[mine], made, people = associate_frame(
                    rays[mine], expected, rig, body.skeleton, self.config, model
                )
                parts.append(made.of_rows(mine))
                at += 1
        return apply_moves(rows, JointMoves.all(parts), person[original]), people.state()

    def _affinity_model(self, rows: Detections2D, rig: Rig) -> AffinityModel | None:
        """Who is asked about one frame's rows beside geometry."""
        return None

    def _first_guess(self, body: Detections2D, rays: BodyRays, rig: Rig) -> NDArray[np.float64]:
        """What the calibration (C,) rad^2 may be worth before anybody was seen by two views."""
        frames = np.unique(body.frame)
        some = np.isin(body.frame, frames[:: max(1, len(frames) // _TRIED)][:_TRIED])
        some &= _affordable(body.frame, rays.view, body.score.sum(1), self.config.most_pairs // _TRIED)
        sample = [rays[np.flatnonzero(some & (body.frame == frame))] for frame in np.unique(body.frame[some])]
        return initial_calibration_variance(sample, len(rig))

    def _waited(
        self, people: TrackedBodies, until_s: float, nothing: BodyRays, rig: Rig, skeleton: Skeleton
    ) -> TrackedBodies:
        """Who is still followed after a time in which nobody at all was seen: long ones pass in strides."""
        while len(people) and (left_s := until_s - people.time_s) > _STRIDE_S / 2:
            expected = people.predicted(people.time_s + min(left_s, _STRIDE_S), skeleton.torso)
            people = associate_frame(nothing, expected, rig, skeleton, self.config)[2]
        return people


def _originals(rays: BodyRays, frame: NDArray[np.integer], worth: NDArray[np.floating]) -> NDArray[np.int64]:
    """Row (M,) that each row is a copy of, most often itself: estimators now and then find a person twice in a view."""
    original = np.arange(len(worth))
    place = frame.astype(np.int64) * (int(rays.view.max(initial=0)) + 1) + rays.view
    first, second = pairs_within(place)
    if not len(first):
        return original
    middle = rays.direction.sum(1) / np.maximum(rays.seen.sum(1), 1)[:, None]
    close = ((middle[first] - middle[second]) ** 2).sum(-1) < _CLOSE_RAD**2
    first, second = first[close], second[close]
    both = rays.seen[first] & rays.seen[second]
    apart = ((rays.direction[first] - rays.direction[second]) ** 2).sum(-1)
    near = (apart < rays.variance[first] + rays.variance[second]) & both
    fewer = np.minimum(rays.seen[first].sum(1), rays.seen[second].sum(1))
    copies = (both.sum(1) >= np.maximum(0.6 * fewer, 3)) & (near.sum(1) > _ALIKE * both.sum(1))
    for a, b in zip(first[copies], second[copies], strict=True):
        less, more = (a, b) if worth[a] < worth[b] else (b, a)
        original[original == original[less]] = original[more]
    return original


def _affordable(
    frame: NDArray[np.integer], view: NDArray[np.integer], worth: NDArray[np.floating], most_pairs: int
) -> NDArray[np.bool_]:
    """Which rows (M,) are looked at: all, or of each view and frame those of most ``worth`` (M,) that pairs allow."""
    keep = np.ones(len(view), np.bool_)
    frames, rows = np.unique(frame, return_counts=True)
    for crowded in frames[rows**2 > 2 * most_pairs]:
        mine = np.flatnonzero(frame == crowded)
        keep[mine] = _surest(view[mine], worth[mine], most_pairs)
    return keep


def _surest(view: NDArray[np.integer], worth: NDArray[np.floating], most_pairs: int) -> NDArray[np.bool_]:
    """Which rows (M,) of one frame are affordable."""
    count = np.bincount(view)
    cap = int(count.max(initial=0))
    while ((kept := np.minimum(count, cap)).sum() ** 2 - (kept**2).sum()) / 2 > most_pairs and cap > 1:
        cap = int(0.9 * cap)
    keep = np.ones(len(view), np.bool_)
    for one in np.flatnonzero(count > cap):
        mine = np.flatnonzero(view == one)
        keep[mine[np.argsort(-worth[mine], kind="stable")[cap:]]] = False
    return keep
