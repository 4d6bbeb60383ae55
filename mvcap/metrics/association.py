"""Whether people in different views were told to be the same: precision, recall and F1 of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D, joint_box
from mvcap.structures.poses import Poses3D

NEAR = 0.15
"""A person in a picture is an actor whose joints are nearer than this share of the actor's height there."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of people of one frame in two different views, summed over frames."""

    true: int
    """Both are the same actor."""
    told: int
    """Both have the same person number."""
    right: int
    """Both of it."""

    @property
    def precision(self) -> float:
        """Share 0..1 of the pairs told that are true; NaN where none was told."""
        return self.right / self.told if self.told else float("nan")

    @property
    def recall(self) -> float:
        """Share 0..1 of the true pairs that were told; NaN where there is none."""
        return self.right / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both: 2 right / (true + told); NaN where there is no pair at all."""
        return 2 * self.right / (self.true + self.told) if self.true + self.told else float("nan")


def row_pairs(rows: Detections2D, actor: NDArray[np.integer]) -> Pairs:
    """Count pairs of associated rows, whose actors (M,) are known; rows of actor -1 are left out.

    Every pair of rows of one frame in two different views with the same actor is true, every one with the same
    ``person`` >= 0 is told. A fragment of a person is a row like any other.
    """
    known = actor >= 0
    frame, view, person, who = rows.frame[known], rows.view[known], rows.person[known], np.asarray(actor)[known]
    sides = np.stack([_pairs_of(frame, view, who), _pairs_of(frame, view, person, person >= 0)])
    both = who.astype(np.int64) * (int(person.max(initial=0)) + 2) + person
    return Pairs(int(sides[0]), int(sides[1]), _pairs_of(frame, view, both, person >= 0))


def _pairs_of(
    frame: NDArray[np.integer],
    view: NDArray[np.integer],
    name: NDArray[np.integer],
    use: NDArray[np.bool_] | None = None,
) -> int:
    """Pairs of rows of the same frame and name in different views: all pairs less those within a view."""
    keys = np.stack([frame, name, view], axis=-1).astype(np.int64)[slice(None) if use is None else use]

    def within(columns: int) -> int:
        if not len(keys):
            return 0
        count = np.unique(keys[:, :columns], axis=0, return_counts=True)[1]
        return int((count * (count - 1) // 2).sum())

    return within(2) - within(3)


def actors(rows: Detections2D, truth: Detections2D, near: float = NEAR) -> NDArray[np.int64]:
    """Actor (M,) that each row shows, -1 for none: the one whose true points in that view are nearest.

    truth: what each view should see (``projected`` or labels by hand), person = actor, of any skeleton. The distance is
    the mean over the joints that both have, rows read as the truth's skeleton; it is at most ``near`` times the
    height of the actor's true points.
    """
    xy = rows.xy if rows.skeleton.joints == truth.skeleton.joints else rows.skeleton.apply(truth.skeleton, rows.xy)
    box = joint_box(truth.xy)
    limit = near * (box[:, 3] - box[:, 1])
    out = np.full(len(rows), -1, np.int64)
    there: dict[tuple[int, int], list[int]] = {}
    for at, key in enumerate(zip(truth.frame.tolist(), truth.view.tolist(), strict=True)):
        there.setdefault(key, []).append(at)
    for row, key in enumerate(zip(rows.frame.tolist(), rows.view.tolist(), strict=True)):
        some = np.array(there.get(key, []), np.int64)
        distance = _mean_distance(xy[row], truth.xy[some])
        if len(some) and np.isfinite(distance).any():
            best = int(np.argmin(distance))
            if distance[best] <= limit[some[best]]:
                out[row] = truth.person[some[best]]
    return out


def _mean_distance(one: NDArray[np.floating], many: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean distances (A,) px of points (J, 2) to points (A, J, 2) over the joints both have; infinite without any."""
    apart = np.linalg.norm(many.astype(np.float64) - one, axis=-1)
    both = np.isfinite(apart)
    total = np.where(both, apart, 0).sum(-1)
    return np.where(both.any(-1), total / np.maximum(both.sum(-1), 1), np.inf)


def project_poses(truth: Poses3D, rig: Rig) -> Detections2D:
    """True people as every view would see them, whether hidden or not; a joint outside the picture is there too."""
    xy = rig.project(truth.xyz.astype(np.float64)).reshape(-1, len(truth.skeleton), 2)
    views, rows = len(rig), len(truth)
    there = np.asarray(np.isfinite(xy).all(-1))
    xy[~there] = np.nan
    return Detections2D(
        truth.skeleton,
        frame=np.tile(truth.frame, views),
        view=np.repeat(np.arange(views), rows),
        person=np.tile(truth.person, views),
        carried=np.full(views * rows, -1),
        box=joint_box(xy),
        xy=xy,
        score=there,
        noise_px=np.where(there, 1.0, np.nan),
    )
