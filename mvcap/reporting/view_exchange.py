"""Test whether the pictures of some views are exchanged: which view stands at which camera's place.

Of every order of a few views the agreement is the mean over pairs of views and over people of the evidence that their
rays meet (``ray_affinity``), as a share of what exact rays would give. The order as given is right where it agrees;
another one is named only where it explains nearly everything that the given one does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.association.ray_affinity import ELSEWHERE_M, WRONG, BodyRays, body_total, ray_distances
from mvcap.reporting.figures import tidy
from mvcap.structures.detections import Detections2D

FRAMES = 8
"""Number of frames that are looked at."""
_PEOPLE = 6  # people in a view and frame
_EXCHANGED = 6  # views among which orders are tried; 720 orders
_PARTNERS = 8  # further views with which they are compared
_CALIBRATION_RAD = 0.004  # error of a calibration that is right, 5 px at a focal length of 1200 px
_LEAST_NATS = 2.0
_AGREED, _TIMES = 0.5, 1.6  # agreement of the moved views: at least, and so many times as much as given
_STEADY = 0.75  # share of the frames in which it rises
_SAME = 0.97  # orders that agree nearly as well: the one that moves fewest views is taken


@dataclass(frozen=True)
class ViewAgreement:
    """How well the pictures of the views agree at their cameras' places, and an exchange that would explain it."""

    as_given: float
    """Agreement, 0..1, of all pairs of views."""
    exchanged: dict[str, str]
    """View -> the camera whose place its pictures were taken from; empty if no exchange explains them."""
    put_right: float
    """Agreement once the exchanged views are put right."""

    def plain(self) -> dict[str, Any]:
        """Return the figures as JSON values; ``put_right`` is None without an exchange."""
        put_right = tidy(self.put_right) if self.exchanged else None
        return {"as_given": tidy(self.as_given), "exchanged": dict(self.exchanged), "put_right": put_right}


def sample_frames(chunks: Iterable[Detections2D]) -> list[Detections2D]:
    """Return the rows of at most ``FRAMES`` frames, those of most views of each chunk, spread over the chunks."""
    found: list[Detections2D] = []
    for rows in chunks:
        frames, place = np.unique(rows.frame, return_inverse=True)
        pairs = np.unique(place.astype(np.int64) << 16 | rows.view)
        views = np.bincount(pairs >> 16, minlength=len(frames))
        best = np.flatnonzero((views > 1) & (views == views.max(initial=0)))
        wanted = best[np.unique(np.linspace(0, len(best) - 1, FRAMES).round().astype(int))] if len(best) else best
        found += [rows[rows.frame == frames[frame]] for frame in wanted]
    if len(found) > FRAMES:
        found = [found[at] for at in np.linspace(0, len(found) - 1, FRAMES).round().astype(int)]
    return found


def view_agreement(frames: list[Detections2D], rig: Rig, suspects: list[int]) -> ViewAgreement | None:
    """Return how well the views agree as given, and the exchange that explains them if they do not; None without rows.

    frames: rows of one frame each, ``view`` in the order of the rig. suspects: all views in the order of suspicion; the
    first six are put in every order, between cameras of equal image size. At most 720 orders, a few hundred pairs.
    """
    if not frames:
        return None
    moved = sorted(suspects[:_EXCHANGED])
    sizes = [camera.lens.size for camera in rig]
    orders = [
        order for order in permutations(moved)
        if all(sizes[view] == sizes[camera] for view, camera in zip(moved, order, strict=True))
    ]  # fmt: skip
    others = [view for view in suspects if view not in moved][::-1][:_PARTNERS]
    table = _Agreements(frames, rig)
    places = [{**{view: view for view in others}, **dict(zip(moved, order, strict=True))} for order in orders]
    total = np.array([table.of_order(place) for place in places])  # (orders, F)
    score = total.mean(1)
    changed = np.array([sum(view != camera for view, camera in place.items()) for place in places])
    near = np.flatnonzero(score >= _SAME * score.max())
    best, given = near[np.argmin(changed[near])], int(np.argmin(changed))
    as_given = ViewAgreement(float(score[given]), {}, float(score[given]))
    if best == given or (total[best] > total[given]).mean() < _STEADY:
        return as_given
    wrong = {view for view, camera in places[best].items() if view != camera}
    before, after = (table.of_views(places[at], wrong) for at in (given, best))
    if after < _AGREED or after < _TIMES * before:
        return as_given
    exchanged = {rig.names[view]: rig.names[places[best][view]] for view in sorted(wrong)}
    return ViewAgreement(float(score[given]), exchanged, float(score[best]))


class _Agreements:
    """Agreement (F,) of two views at two cameras' places, computed when first asked for."""

    def __init__(self, frames: list[Detections2D], rig: Rig) -> None:
        self._rig = rig
        self._frames = len(frames)
        best = [_largest(rows.of_body(), len(rig)) for rows in frames]
        self._rows = Detections2D.concatenate(best, best[0].skeleton)
        self._frame = np.repeat(np.arange(len(best)), [len(rows) for rows in best])
        self._of_view = [np.flatnonzero(self._rows.view == view) for view in range(len(rig))]
        self._rays: dict[tuple[int, int], BodyRays] = {}
        self._pairs: dict[tuple[int, int, int, int], NDArray[np.float64]] = {}

    def of_order(self, place: dict[int, int]) -> NDArray[np.float64]:
        """Mean agreement (F,) over all pairs of views, each at its place; 0 where no two views see people."""
        views = sorted(place)
        return self._mean([(a, b) for at, a in enumerate(views) for b in views[at + 1 :]], place)

    def of_views(self, place: dict[int, int], some: set[int]) -> float:
        """Mean agreement over the frames and the pairs of views of which at least one is among some."""
        views = sorted(place)
        pairs = [(a, b) for at, a in enumerate(views) for b in views[at + 1 :] if a in some or b in some]
        return float(self._mean(pairs, place).mean())

    def _mean(self, pairs: list[tuple[int, int]], place: dict[int, int]) -> NDArray[np.float64]:
        agreed, possible = np.sum([self._pair(a, place[a], b, place[b]) for a, b in pairs], axis=0)
        return np.asarray(agreed / np.maximum(possible, 1))

    def _pair(self, a: int, at_a: int, b: int, at_b: int) -> NDArray[np.float64]:
        """Agreement of the people matched (F,) and the number that could be matched (F,), as (2, F)."""
        key = (a, at_a, b, at_b)
        if key not in self._pairs:
            self._pairs[key] = self._matched(*key)
        return self._pairs[key]

    def _matched(self, a: int, at_a: int, b: int, at_b: int) -> NDArray[np.float64]:
        from scipy.optimize import linear_sum_assignment

        one, other = self._frame[self._of_view[a]], self._frame[self._of_view[b]]
        first, second = np.nonzero(one[:, None] == other)
        out = np.zeros((2, self._frames))
        if not len(first):
            return out
        met = ray_distances(self._placed(a, at_a), first, second, self._placed(b, at_b))
        nats = body_total(met.evidence())
        most = np.maximum(body_total(_exact(met.variance)), _LEAST_NATS)
        agreement = np.where(nats > _LEAST_NATS, np.clip(nats / most, 0, 1), 0)
        for frame in range(self._frames):
            rows, columns = np.flatnonzero(one == frame), np.flatnonzero(other == frame)
            if len(rows) and len(columns):
                cells = agreement[one[first] == frame].reshape(len(rows), len(columns))
                out[:, frame] = cells[linear_sum_assignment(-cells)].sum(), min(cells.shape)
        return out

    def _placed(self, view: int, camera: int) -> BodyRays:
        """Rays of a view's rows as if they were taken by a camera."""
        if (view, camera) not in self._rays:
            rows = self._rows[self._of_view[view]]
            rays = BodyRays.of(rows.with_columns(view=np.full(len(rows), camera)), self._rig)
            self._rays[view, camera] = rays.widened(np.full(len(self._rig), _CALIBRATION_RAD**2))
        return self._rays[view, camera]


def _exact(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evidence (P, J) of rays that meet exactly."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log((1 - WRONG) * ELSEWHERE_M / np.sqrt(2 * np.pi * variance) + WRONG))


def _largest(rows: Detections2D, views: int) -> Detections2D:
    """Rows of one frame, in each view those with the highest sum of scores."""
    order = np.argsort(-rows.score.sum(1), kind="stable")
    kept = [order[rows.view[order] == view][:_PEOPLE] for view in range(views)]
    return rows[np.sort(np.concatenate(kept))]
