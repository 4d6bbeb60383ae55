"""Who is who across the views of one frame, by 3D consistency in units of expected pixel noise.

Two people in different views are the same body when the rays of their joints pass each other closer than the noise
explains; ray distances are divided by their standard deviation, which follows from pixel noise, focal length and
depth, so there is no gate in pixels or metres. Groups grow by average linkage, at most one person a view, and are then
put to the test as a whole: each group is triangulated and every view's people are assigned to the groups' bodies by
their reprojection. What fits no body, or makes one that no human has, is nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from calib import Rig
from calib.robust import triangulate_robust
from mvcap.structures.body import plausible_size
from mvcap.structures.detections import Detections2D

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GeometryConfig:
    """Settings of the associator ``geometry``."""

    gate_sigma: float = 3.0
    """Typical joint distance, in standard deviations, at which two people are as likely the same body as not."""
    min_joints: int = 5
    """Joints that two people must have in common to be compared."""
    min_score: float = 0.1
    """Joints of lower score say nothing about who is who."""
    rounds: int = 2
    """Times that groups are triangulated and people assigned to them anew."""


class Geometry:
    """Associator ``geometry``: a pure function of one frame's rows and the rig."""

    Config = GeometryConfig

    def __init__(self, config: GeometryConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig) -> NDArray[np.int32]:
        """Return the person number (M,) of each row: 0, 1, 2 ... from the surest to the least sure, or -1."""
        if len(np.unique(rows.view)) < 2:
            return np.full(len(rows), -1, np.int32)
        xy = np.where((rows.score >= self.config.min_score)[..., None], rows.xy, np.nan).astype(np.float64)
        affinity = self._affinity(rows, xy, rig)
        groups = _agglomerate(affinity, rows.view)
        for _ in range(self.config.rounds):
            groups = self._reassign(groups, rows, xy, rig)
        return _numbered(groups)

    def _affinity(self, rows: Detections2D, xy: Floats, rig: Rig) -> Floats:
        """Log-likelihood (M, M) that two rows are one body, in squared deviations; 0 = cannot say, -inf = same view."""
        distance = ray_distance(rows, xy, rig)
        gate = self.config.gate_sigma**2
        evidence = gate - np.minimum(distance**2, 2 * gate)
        common = np.isfinite(distance)
        count = common.sum(-1)
        mean = np.where(common, evidence, 0).sum(-1) / np.maximum(count, 1)
        mean[count < self.config.min_joints] = 0
        mean[rows.view[:, None] == rows.view[None]] = -np.inf
        return mean

    def _reassign(self, groups: NDArray[np.int64], rows: Detections2D, xy: Floats, rig: Rig) -> NDArray[np.int64]:
        """Triangulate the groups and give each view's people to the bodies they fit, one to one."""
        numbers = np.unique(groups[groups >= 0])
        if not len(numbers):
            return groups
        bodies = _bodies(numbers, groups, rows, xy, rig)
        human = plausible_size(rows.skeleton, bodies)
        numbers, bodies = numbers[human], bodies[human]
        misfit = self._misfit(bodies, rows, xy, rig)
        assigned = np.full(len(rows), -1, np.int64)
        for view in np.unique(rows.view):
            mine = np.flatnonzero(rows.view == view)
            cost = misfit[:, mine]
            bounded = np.minimum(cost, 4 * self.config.gate_sigma)
            for body, row in zip(*linear_sum_assignment(bounded), strict=True):
                if cost[body, row] < self.config.gate_sigma:
                    assigned[mine[row]] = numbers[body]
        return _without_lonely(assigned)

    def _misfit(self, bodies: Floats, rows: Detections2D, xy: Floats, rig: Rig) -> Floats:
        """Typical reprojection distance (G, M) of each row from each body, in standard deviations."""
        projected = rig.project(bodies)[rows.view]  # (M, G, J, 2)
        off = np.linalg.norm(projected - xy[:, None], axis=-1) / (rows.noise_px[:, None] * np.sqrt(2))
        common = np.isfinite(off)
        capped = np.where(common, np.minimum(off, 3 * self.config.gate_sigma), 0)
        mean = capped.sum(-1) / np.maximum(common.sum(-1), 1)
        return np.where(common.sum(-1) >= self.config.min_joints, mean, np.inf).T


def ray_distance(rows: Detections2D, xy: Floats, rig: Rig) -> Floats:
    """Distance (M, M, J) between the rays of equal joints of two rows, in standard deviations; NaN = not comparable.

    The deviation is each ray's pixel noise over its focal length, times the depth at which the rays are nearest.
    A pair of rays that are nearest behind a camera is infinitely far apart.
    """
    stacked = np.full((len(rig), *xy.shape), np.nan)
    stacked[rows.view, np.arange(len(rows))] = xy
    _, directions = rig.rays(stacked)
    direction = directions[rows.view, np.arange(len(rows))]
    spread = rows.noise_px / rig.focal[rows.view, None]
    baseline = rig.positions[rows.view][None, :] - rig.positions[rows.view][:, None]
    baseline = baseline[:, :, None]
    a, b = direction[:, None], direction[None]
    cosine = (a * b).sum(-1)
    sine2 = np.maximum(1 - cosine**2, 1e-9)
    along_a, along_b = (baseline * a).sum(-1), (baseline * b).sum(-1)
    depth_a, depth_b = (along_a - cosine * along_b) / sine2, (cosine * along_a - along_b) / sine2
    gap = np.linalg.norm(baseline + depth_b[..., None] * b - depth_a[..., None] * a, axis=-1)
    deviation = np.hypot(spread[:, None] * depth_a, spread[None] * depth_b)
    distance = np.where((depth_a > 0) & (depth_b > 0), gap / np.maximum(deviation, 1e-9), np.inf)
    return np.where(np.isfinite(cosine), distance, np.nan)


def _agglomerate(affinity: Floats, view: NDArray[np.integer]) -> NDArray[np.int64]:
    """Groups (M,) by average linkage: join the two groups that agree best until none agree; one row a view."""
    rows = len(view)
    group = np.arange(rows)
    total = affinity.copy()
    known = np.where(affinity == 0, 0.0, 1.0)
    np.fill_diagonal(total, -np.inf)
    while True:
        mean = total / np.maximum(known, 1)
        best = int(np.argmax(mean))
        a, b = divmod(best, rows)
        if not mean[a, b] > 0:
            return group
        total[a] += total[b]
        known[a] += known[b]
        total[:, a], known[:, a] = total[a], known[a]
        total[a, a] = -np.inf
        total[b], total[:, b] = -np.inf, -np.inf
        group[group == b] = a


def _bodies(numbers: NDArray[np.int64], groups: NDArray[np.int64], rows: Detections2D, xy: Floats, rig: Rig) -> Floats:
    """Joints (G, J, 3) of the groups."""
    stacked = np.full((len(rig), len(numbers), *xy.shape[1:]), np.nan)
    noise = np.full(stacked.shape[:-1], np.nan)
    member = np.flatnonzero(np.isin(groups, numbers))
    place = np.searchsorted(numbers, groups[member])
    stacked[rows.view[member], place] = xy[member]
    noise[rows.view[member], place] = rows.noise_px[member]
    return triangulate_robust(rig, stacked, noise).xyz


def _without_lonely(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take the number from rows that are alone in their group."""
    numbers, count = np.unique(groups, return_counts=True)
    return np.where(np.isin(groups, numbers[count < 2]), -1, groups)


def _numbered(groups: NDArray[np.int64]) -> NDArray[np.int32]:
    """Numbers 0, 1, 2 ... by size of the group, then by its first row; lonely rows are -1."""
    groups = _without_lonely(groups)
    numbers, first, count = np.unique(groups, return_index=True, return_counts=True)
    real = numbers >= 0
    order = np.lexsort((first[real], -count[real]))
    out = np.full(len(groups), -1, np.int32)
    for new, old in enumerate(numbers[real][order]):
        out[groups == old] = new
    return out
