"""Readings of people in one view: joints about the root by one method, with covariances, scores and the root's ray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from mvcap.structures.skeleton import Skeleton

_NEAR = 0.08
"""Distance from another body's bones, in body sizes in the picture, at which a joint is half covered, about."""


@dataclass(frozen=True, eq=False)
class BodyReadings:
    """N bodies as one method reads them: the people of a frame, or the frames of a person."""

    skeleton: Skeleton
    joints: Floats
    """(N, J, 3) m along the camera's axes about the root, NaN where not read."""
    covariance: Floats
    """(N, J, 3, 3) m^2, NaN where not read."""
    score: Floats
    """(N, J) 0..1, how sure the method is; 0 where not read."""

    def __post_init__(self) -> None:
        shape = self.joints.shape[:2]
        wanted = {"joints": (*shape, 3), "covariance": (*shape, 3, 3), "score": shape}
        for name, form in wanted.items():
            if getattr(self, name).shape != form or form[1] != len(self.skeleton):
                raise ValueError(f"{name} of readings must have the shape {form} of {len(self.skeleton)} joints")

    @property
    def known(self) -> Bools:
        """(N, J) whether a joint was read."""
        return np.asarray(np.isfinite(self.joints).all(-1) & np.isfinite(self.covariance).all((-1, -2)))

    def as_skeleton(self, to: Skeleton) -> BodyReadings:
        """Return the same readings with the joints of another skeleton, by name; what this one lacks is not read."""
        at = np.array([self.skeleton.joints.index(j) if j in self.skeleton.joints else -1 for j in to.joints])
        have = at >= 0
        return BodyReadings(
            to, np.where(have[:, None], self.joints[:, at], np.nan),
            np.where(have[:, None, None], self.covariance[:, at], np.nan), np.where(have, self.score[:, at], 0.0),
        )  # fmt: skip

    def __getitem__(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> BodyReadings:
        """Return some of the bodies."""
        return BodyReadings(self.skeleton, self.joints[which], self.covariance[which], self.score[which])


def covered_by_others(skeleton: Skeleton, xy: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return how much each joint (P, J) lies on another person in the picture, 0..1, and on whom; -1 = on no one.

    xy: (P, J, 2) px, NaN where missing. The value is exp(-d^2 / 2) of the distance d from the nearest bone of the other
    person, in units of 0.08 of that person's size in the picture (the diagonal of the box of its joints).
    """
    people, joints = xy.shape[:2]
    amount, whom = np.zeros((people, joints)), np.full((people, joints), -1, np.int64)
    for other in range(people):
        bones = xy[other][skeleton.bones]  # (B, 2, 2)
        bones = bones[np.isfinite(bones).all((1, 2))]
        if not len(bones):
            continue
        size = float(np.linalg.norm(bones.max((0, 1)) - bones.min((0, 1))))
        away = _from_segments(xy, bones[:, 0], bones[:, 1]) / max(_NEAR * size, 1e-6)
        mine = np.where(np.isfinite(away), np.exp(-(np.nan_to_num(away) ** 2) / 2), 0.0)
        mine[other] = 0
        whom = np.where(mine > np.maximum(amount, 1e-3), other, whom)
        amount = np.maximum(amount, mine)
    return amount, whom


def _from_segments(points: Floats, start: Floats, stop: Floats) -> Floats:
    """Distance (...,) of points (..., 2) from the nearest of segments (B, 2) to (B, 2)."""
    way = stop - start
    off = points[..., None, :] - start
    along = np.clip((off * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-12), 0, 1)
    return np.asarray(np.linalg.norm(off - along[..., None] * way, axis=-1).min(-1))
