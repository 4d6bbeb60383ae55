"""Every two people of different views are triangulated, and what comes out is grouped in space.

The steps published for RapidPoseTriangulation (Bermuth et al., 2025), of one frame: all pairs of people are
triangulated, scored by their reprojection errors relative to the size of the pictures, the surest become groups of
3D poses that are near each other, and a group's people are those of its pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benches.baselines.one_frame import Floats, Groups, frame_by_frame
from calib import Rig
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D


@dataclass(frozen=True)
class PairwiseConfig:
    """Settings of the baseline."""

    least_score: float = 0.88
    """Pairs of a lower score, 1 / (1 + 10 x error / picture size), are dropped."""
    centre_m: float = 0.6
    """Poses whose middles are further apart are two groups."""
    joints_m: float = 0.3
    """Poses whose joints are further apart on the mean are two groups."""
    min_joints: int = 3
    """Joints that a pair must have in common."""
    min_score: float = 0.1
    """Joints of lower score are not used."""


class Pairwise:
    """Pairwise triangulate-and-group, frame by frame, without the poses of the frame before."""

    Config = PairwiseConfig
    follows = False

    def __init__(self, config: PairwiseConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with person numbers, frame by frame."""
        return frame_by_frame(rows, rig, self.config.min_score, self._match), {}

    def _match(self, xy: Floats, view: NDArray[np.integer], rig: Rig) -> Groups:
        a, b = np.nonzero(view[:, None] < view[None])
        if not len(a):
            return []
        poses = of_two(rig.P[view[a]], rig.P[view[b]], xy[a], xy[b])
        size = np.array([sum(camera.lens.size) / 2 for camera in rig])
        off = (off_px(rig.P[view[a]], poses, xy[a]) / size[view[a], None]
               + off_px(rig.P[view[b]], poses, xy[b]) / size[view[b], None]) / 2  # fmt: skip
        known = np.isfinite(off)
        mean = np.where(known, off, 0).sum(-1) / np.maximum(known.sum(-1), 1)
        score = np.where(known.sum(-1) >= self.config.min_joints, 1 / (1 + 10 * mean), 0)
        surest = [pair for pair in np.argsort(-score, kind="stable") if score[pair] >= self.config.least_score]
        return one_group_each(self._grouped(poses, surest), a, b, score, view)

    def _grouped(self, poses: Floats, order: list[int]) -> Groups:
        """Pairs (indices of ``poses`` (N, J, 3)) whose poses are near a group's mean, or begin a group."""
        groups: Groups = []
        for pair in order:
            for group in groups:
                apart = mean_pose(poses[group]) - poses[pair]
                seen = np.isfinite(apart).all(-1)
                if (
                    seen.sum() >= self.config.min_joints
                    and np.linalg.norm(apart[seen].mean(0)) < self.config.centre_m
                    and np.linalg.norm(apart[seen], axis=-1).mean() < self.config.joints_m
                ):
                    group.append(pair)
                    break
            else:
                groups.append([pair])
        return groups


def of_two(P_a: Floats, P_b: Floats, xy_a: Floats, xy_b: Floats) -> Floats:
    """Points (N, J, 3) of pixels (N, J, 2) in two views of matrices (N, 3, 4), by direct linear transformation."""
    rows = [xy[..., k, None] * P[:, None, 2] - P[:, None, k] for P, xy in ((P_a, xy_a), (P_b, xy_b)) for k in (0, 1)]
    system = np.stack(rows, axis=-2)
    system = system / np.maximum(np.linalg.norm(system, axis=-1, keepdims=True), 1e-12)
    known = np.isfinite(system).all((-1, -2))
    last = np.linalg.svd(np.where(known[..., None, None], system, 0))[2][..., -1, :]
    scale = np.where(np.abs(last[..., 3:]) > 1e-9, last[..., 3:], np.nan)
    return np.where(known[..., None], last[..., :3] / scale, np.nan)


def off_px(P: Floats, points: Floats, xy: Floats) -> Floats:
    """Distances (N, J) px of points (N, J, 3) from pixels (N, J, 2); infinite behind the camera, NaN where unseen."""
    seen = np.einsum("nij,nkj->nki", P[:, :, :3], points) + P[:, None, :, 3]
    front = seen[..., 2] > 0
    off = np.linalg.norm(seen[..., :2] / np.where(front, seen[..., 2], np.nan)[..., None] - xy, axis=-1)
    return np.where(np.isfinite(points).all(-1) & ~front, 1e6, off)


def mean_pose(poses: Floats) -> Floats:
    """Mean (J, 3) of poses (N, J, 3) over those that have the joint; NaN where none has."""
    known = np.isfinite(poses)
    total = known.sum(0)
    return np.where(total > 0, np.where(known, poses, 0).sum(0) / np.maximum(total, 1), np.nan)


def one_group_each(
    groups: Groups, a: NDArray[np.integer], b: NDArray[np.integer], score: Floats, view: NDArray[np.integer]
) -> Groups:
    """Rows of the groups of pairs (a, b): a row goes where its pairs score most in sum, one row a view and group."""
    votes = np.zeros((len(groups), len(view)))
    for number, group in enumerate(groups):
        for pair in group:
            votes[number, [a[pair], b[pair]]] += score[pair]
    out: Groups = [[] for _ in groups]
    taken: set[int] = set()
    for flat in np.argsort(-votes, axis=None, kind="stable"):
        number, row = divmod(int(flat), len(view))
        if votes[number, row] <= 0:
            break
        if row not in taken and view[row] not in view[out[number]]:
            out[number].append(row)
            taken.add(row)
    return out
