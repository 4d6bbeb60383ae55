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

from calib import Rig
from calib.robust import triangulate_robust
from mvcap.body_rays import EXCHANGE_COST, exchanged_by_person, mean_square, ray_distance
from mvcap.plugins import State
from mvcap.structures.body import TORSO_DEPTH_M, plausible_size
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
    follows = False

    def __init__(self, config: GeometryConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with person numbers: 0, 1, 2 ... from the surest to the least sure of a frame, or -1."""
        person = np.full(len(rows), -1, np.int32)
        for frame in np.unique(rows.frame):
            mine = np.flatnonzero(rows.frame == frame)
            person[mine] = self._people(rows[mine], rig)
        return rows.with_columns(person=person), {}

    def _people(self, rows: Detections2D, rig: Rig) -> NDArray[np.int32]:
        """Person number (M,) of each row of one frame."""
        if len(np.unique(rows.view)) < 2:
            return np.full(len(rows), -1, np.int32)
        rows = rows.of_body()
        xy = np.where((rows.score >= self.config.min_score)[..., None], rows.xy, np.nan).astype(np.float64)
        distances = ray_distance(rows, xy, rig)
        groups = _without_lonely(_agglomerate(self._affinity(rows, *distances), rows.view))
        squares = mean_square(distances[0]), mean_square(distances[1])
        for _ in range(self.config.rounds):
            before, groups = groups, self._reassign(groups, rows, xy, squares, rig)
            if np.array_equal(before, groups):
                break
        return _numbered(groups)

    def _affinity(self, rows: Detections2D, same: Floats, crossed: Floats) -> Floats:
        """Log-likelihood (M, M) that two rows are one body, in squared deviations; 0 = cannot say, -inf = same view."""
        gate, far = self.config.gate_sigma**2, np.sqrt(2) * self.config.gate_sigma
        square = np.fmin(mean_square(same, far), mean_square(crossed, far) + EXCHANGE_COST)
        common = (~np.isnan(same)).sum(-1) >= self.config.min_joints
        affinity = np.where(common, gate - square, 0)
        affinity[rows.view[:, None] == rows.view[None]] = -np.inf
        return affinity

    def _reassign(
        self, groups: NDArray[np.int64], rows: Detections2D, xy: Floats, squares: tuple[Floats, Floats], rig: Rig
    ) -> NDArray[np.int64]:
        """Triangulate the groups and give each view's people to the bodies they fit, one to one."""
        numbers = np.unique(groups[groups >= 0])
        if not len(numbers):
            return groups
        bodies = _bodies(numbers, groups, rows, xy, squares, rig)
        merged = _merged(numbers, bodies, groups, rows)
        if not np.array_equal(merged, groups):
            groups = merged
            numbers = np.unique(groups[groups >= 0])
            bodies = _bodies(numbers, groups, rows, xy, squares, rig)
        human = plausible_size(rows.skeleton, bodies)
        numbers, bodies = numbers[human], bodies[human]
        from scipy.optimize import linear_sum_assignment

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
        mirror = rows.skeleton.mirror
        return np.minimum(
            self._typical(projected, xy, rows.noise_px),
            self._typical(projected, xy[:, mirror], rows.noise_px[:, mirror]),
        ).T

    def _typical(self, projected: Floats, xy: Floats, noise_px: NDArray[np.floating]) -> Floats:
        """Mean distance (M, G) over joints of rows (M, J, 2) from bodies (M, G, J, 2), in standard deviations."""
        off = np.linalg.norm(projected - xy[:, None], axis=-1) / (noise_px[:, None] * np.sqrt(2))
        common = np.isfinite(off)
        capped = np.where(common, np.minimum(off, 3 * self.config.gate_sigma), 0)
        mean = capped.sum(-1) / np.maximum(common.sum(-1), 1)
        return np.asarray(np.where(common.sum(-1) >= self.config.min_joints, mean, np.inf))


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


def _bodies(
    numbers: NDArray[np.int64],
    groups: NDArray[np.int64],
    rows: Detections2D,
    xy: Floats,
    squares: tuple[Floats, Floats],
    rig: Rig,
) -> Floats:
    """Joints (G, J, 3) of the groups, a view's left and right exchanged where the others say so."""
    flip = exchanged_by_person(np.where(np.isin(groups, numbers), groups, -1), *squares)
    mirror = rows.skeleton.mirror
    xy = np.where(flip[:, None, None], xy[:, mirror], xy)
    noise_px = np.where(flip[:, None], rows.noise_px[:, mirror], rows.noise_px)
    stacked = np.full((len(rig), len(numbers), *xy.shape[1:]), np.nan)
    noise = np.full(stacked.shape[:-1], np.nan)
    member = np.flatnonzero(np.isin(groups, numbers))
    place = np.searchsorted(numbers, groups[member])
    stacked[rows.view[member], place] = xy[member]
    noise[rows.view[member], place] = noise_px[member]
    return triangulate_robust(rig, stacked, noise).xyz


def _merged(
    numbers: NDArray[np.int64], bodies: Floats, groups: NDArray[np.int64], rows: Detections2D
) -> NDArray[np.int64]:
    """Join groups whose torsos are in one place, the smaller to the larger; a view's second claim is nobody's.

    Errors that views share pairwise can split a body into two groups that agree within and not with each other.
    """
    torso = bodies[:, rows.skeleton.torso]
    apart = np.linalg.norm(torso[:, None] - torso[None], axis=-1)
    known = np.isfinite(apart).any(-1)
    near = np.zeros(known.shape, bool)
    near[known] = np.nanmedian(apart[known], axis=-1) < TORSO_DEPTH_M
    size = np.array([(groups == number).sum() for number in numbers])
    out = groups.copy()
    for a in np.argsort(-size, kind="stable"):
        for b in np.flatnonzero(near[a]):
            if b == a or not (out == numbers[a]).any() or not (out == numbers[b]).any():
                continue
            mine = out == numbers[b]
            taken = np.isin(rows.view, rows.view[out == numbers[a]])
            out[mine & ~taken], out[mine & taken] = numbers[a], -1
    return out


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
