"""Quality of the association across views: precision, recall and F1 of pairs of detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D, joint_box
from mvcap.structures.poses import Poses3D

NEAR = 0.15
"""A detection shows an actor if its mean joint distance is at most this share of the actor's height in the image."""


@dataclass(frozen=True)
class Pairs:
    """Counts of pairs of detections of one frame in two different views, summed over frames."""

    true: int
    """True pairs: both detections show the same actor."""
    predicted: int
    """Associated pairs: both detections have the same person number."""
    right: int
    """Pairs that are true and associated."""

    @property
    def precision(self) -> float:
        """Share 0..1 of the associated pairs that are true; NaN without associated pairs."""
        return self.right / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share 0..1 of the true pairs that are associated; NaN without true pairs."""
        return self.right / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 2 right / (true + predicted); NaN without any pair."""
        return 2 * self.right / (self.true + self.predicted) if self.true + self.predicted else float("nan")


def row_pairs(rows: Detections2D, actor: NDArray[np.integer]) -> Pairs:
    """Count pairs of associated rows (M) with their true actors (M,); rows of actor -1 are left out.

    A pair is two rows of one frame in two different views. It is true if both have the same actor, and associated if
    both have the same ``person`` >= 0. A row with only part of a person counts like any other.
    """
    known = actor >= 0
    frame, view, person, shown = rows.frame[known], rows.view[known], rows.person[known], np.asarray(actor)[known]
    sides = np.stack([_pairs_of(frame, view, shown), _pairs_of(frame, view, person, person >= 0)])
    both = shown.astype(np.int64) * (int(person.max(initial=0)) + 2) + person
    return Pairs(int(sides[0]), int(sides[1]), _pairs_of(frame, view, both, person >= 0))


def _pairs_of(
    frame: NDArray[np.integer],
    view: NDArray[np.integer],
    name: NDArray[np.integer],
    use: NDArray[np.bool_] | None = None,
) -> int:
    """Count pairs of rows of the same frame and name in different views: all pairs minus those within one view."""
    keys = np.stack([frame, name, view], axis=-1).astype(np.int64)[slice(None) if use is None else use]

    def within(columns: int) -> int:
        if not len(keys):
            return 0
        count = np.unique(keys[:, :columns], axis=0, return_counts=True)[1]
        return int((count * (count - 1) // 2).sum())

    return within(2) - within(3)


def actors(rows: Detections2D, truth: Detections2D, near: float = NEAR) -> NDArray[np.int64]:
    """Return the actor (M,) that each row shows, the one whose true 2D joints are nearest; -1 if none is near enough.

    truth: true 2D joints of every view (``project_poses`` or manual labels), person = actor, any skeleton. The distance
    is the mean over common joints, with the rows converted to the truth's skeleton; it must be at most ``near`` times
    the height of the actor's true joints.
    """
    xy = rows.xy if rows.skeleton.joints == truth.skeleton.joints else rows.skeleton.apply(truth.skeleton, rows.xy)
    box = joint_box(truth.xy)
    limit = near * (box[:, 3] - box[:, 1])
    out = np.full(len(rows), -1, np.int64)
    true_rows: dict[tuple[int, int], list[int]] = {}
    for at, key in enumerate(zip(truth.frame.tolist(), truth.view.tolist(), strict=True)):
        true_rows.setdefault(key, []).append(at)
    for row, key in enumerate(zip(rows.frame.tolist(), rows.view.tolist(), strict=True)):
        candidates = np.array(true_rows.get(key, []), np.int64)
        distance = _mean_distance(xy[row], truth.xy[candidates])
        if len(candidates) and np.isfinite(distance).any():
            best = int(np.argmin(distance))
            if distance[best] <= limit[candidates[best]]:
                out[row] = truth.person[candidates[best]]
    return out


def _mean_distance(one: NDArray[np.floating], many: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return mean distances (A,) px of joints (J, 2) to joints (A, J, 2) over common joints; infinite without any."""
    apart = np.linalg.norm(many.astype(np.float64) - one, axis=-1)
    both = np.isfinite(apart)
    total = np.where(both, apart, 0).sum(-1)
    return np.where(both.any(-1), total / np.maximum(both.sum(-1), 1), np.inf)


def project_poses(truth: Poses3D, rig: Rig) -> Detections2D:
    """Project true poses into every view, ignoring occlusion; joints outside the image are included."""
    xy = rig.project(truth.xyz.astype(np.float64)).reshape(-1, len(truth.skeleton), 2)
    views, rows = len(rig), len(truth)
    known = np.asarray(np.isfinite(xy).all(-1))
    xy[~known] = np.nan
    return Detections2D(
        truth.skeleton,
        frame=np.tile(truth.frame, views),
        view=np.repeat(np.arange(views), rows),
        person=np.tile(truth.person, views),
        carried=np.full(views * rows, -1),
        box=joint_box(xy),
        xy=xy,
        score=known,
        noise_px=np.where(known, 1.0, np.nan),
    )
