"""Who is who across views and time, by geometry alone: one graph of what the views see and who was there before.

Nodes are the rows of a frame (people, or parts of people) and the bodies followed so far, predicted with their
covariance. Edges carry evidence in nats: how the rays of two rows pass each other joint by joint, what size of body
they make, how a row's rays pass a predicted body (``body_rays``). The graph is cut into people (``grouping``), each is
put to the test as a whole (every row against the body that the others make) and may take a second row of a view that
shares no joint with the first. A joint that does not fit its row's body and fits another's goes there. A person starts
where two views or more agree and the views that should see them too do not object; a view alone only carries on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.body_rays import BodyRays
from mvcap.calm_frames import calm
from mvcap.followed_bodies import Followed
from mvcap.grouping import pairs_within
from mvcap.joint_claims import Moves, moved
from mvcap.plugins import State
from mvcap.space_time_graph import GraphConfig, first_calibration, solve
from mvcap.structures.detections import Detections2D

_ALIKE = 0.8  # share of joints within their noise of each other that makes a copy
_CLOSE_RAD = 0.1  # further apart in a view, nothing is a copy
_RUN = 8  # calm frames that are looked at together at most
_TRIED = 8  # frames from which the worth of the calibration is guessed at first


class Geometry:
    """Associator ``geometry``."""

    Config = GraphConfig
    follows = True

    def __init__(self, config: GraphConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with the numbers of the people they are, and who is followed at the last frame."""
        body = rows.of_body()
        rays = BodyRays.of(body, rig, self.config.min_score)
        people = Followed.of_state(memory) if memory else self._nobody(body, rays, rig)
        person = np.full(len(rows), -1, np.int64)
        original, parts = _originals(rows, rays), []
        order = np.flatnonzero(original == np.arange(len(rows)))
        order = order[np.argsort(rows.frame[order], kind="stable")]
        frames, first = np.unique(rows.frame[order], return_index=True)
        bounds, times_s = [*first.tolist(), len(order)], frames / rate_hz
        at, length, torso = 0, 1, body.skeleton.torso
        while at < len(frames):
            stop = min(at + length, len(frames))
            if len(people):
                mine = order[bounds[at] : bounds[stop]]
                step = np.searchsorted(frames[at:stop], rows.frame[mine])
                number, done, people = calm(rays[mine], step, people, times_s[at:stop], torso, self.config.occlusion_s)
                person[mine[: len(number)]] = number
                at, length = at + done, min(2 * length, _RUN) if done == stop - at else 1
            if at < min(stop, len(frames)):
                mine = order[bounds[at] : bounds[at + 1]]
                looked = _affordable(rays.view[mine], body.score[mine].sum(1), self.config.most_pairs)
                people, mine = people.leaving(len(mine) - int(looked.sum())), mine[looked]
                expected = people.predicted(float(times_s[at]), torso)
                person[mine], made, people = solve(rays[mine], expected, rig, body.skeleton, self.config)
                parts.append(made.of_rows(mine))
                at += 1
        return moved(rows, Moves.all(parts), person[original]), people.state()

    def _nobody(self, body: Detections2D, rays: BodyRays, rig: Rig) -> Followed:
        """What is known before the first frame: nobody is there, and what the calibration may be worth."""
        frames = np.unique(body.frame)
        some = frames[:: max(1, len(frames) // _TRIED)][:_TRIED]
        sample = [rays[np.flatnonzero(body.frame == frame)] for frame in some]
        return Followed.nobody(len(body.skeleton), first_calibration(sample, len(rig), body.skeleton))


def _originals(rows: Detections2D, rays: BodyRays) -> NDArray[np.int64]:
    """Row (M,) that each row is a copy of, most often itself: estimators now and then find a person twice in a view."""
    original = np.arange(len(rows))
    place = rows.frame.astype(np.int64) * (int(rows.view.max(initial=0)) + 1) + rows.view
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
        less, more = (a, b) if rows.score[a].sum() < rows.score[b].sum() else (b, a)
        original[original == original[less]] = original[more]
    return original


def _affordable(view: NDArray[np.integer], worth: NDArray[np.floating], most_pairs: int) -> NDArray[np.bool_]:
    """Which rows (M,) of a frame are looked at: all, or of each view those of most ``worth`` (M,) that pairs allow."""
    count = np.bincount(view)
    cap = int(count.max(initial=0))
    while ((kept := np.minimum(count, cap)).sum() ** 2 - (kept**2).sum()) / 2 > most_pairs and cap > 1:
        cap = int(0.9 * cap)
    keep = np.ones(len(view), np.bool_)
    for one in np.flatnonzero(count > cap):
        mine = np.flatnonzero(view == one)
        keep[mine[np.argsort(-worth[mine], kind="stable")[cap:]]] = False
    return keep
