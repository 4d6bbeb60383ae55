"""Epipolar distance and the Hungarian method: the views are added one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benches.baselines.one_frame import Floats, Groups, epipolar_distance, frame_by_frame
from calib import Rig
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D


@dataclass(frozen=True)
class EpipolarHungarianConfig:
    """Settings of the baseline."""

    gate_px: float = 35.0
    """A row further from a group's epipolar lines, on the mean, begins a group of its own."""
    min_joints: int = 3
    """Joints that two rows must have in common to be compared."""
    min_score: float = 0.1
    """Joints of lower score are not used."""


class EpipolarHungarian:
    """Each view's people go to the groups of the views before it, one to one, at the least sum of distances in px.

    The distance of a row from a group is the mean over the group's rows of the mean symmetric distance between the
    joints both have and each other's epipolar lines. Nothing but the gate in pixels says that two are not one.
    """

    Config = EpipolarHungarianConfig
    follows = False

    def __init__(self, config: EpipolarHungarianConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with person numbers, frame by frame."""
        return frame_by_frame(rows, rig, self.config.min_score, self._match), {}

    def _match(self, xy: Floats, view: NDArray[np.integer], rig: Rig) -> Groups:
        from scipy.optimize import linear_sum_assignment

        gate, distance = self.config.gate_px, epipolar_distance(xy, view, rig, self.config.min_joints)
        groups: Groups = []
        for at in np.unique(view):
            mine = np.flatnonzero(view == at)
            cost = np.array([[distance[row, group].mean() for group in groups] for row in mine]).reshape(len(mine), -1)
            pairs = zip(*linear_sum_assignment(np.minimum(cost, 2 * gate)), strict=True)
            found = {int(mine[row]): group for row, group in pairs if cost[row, group] < gate}
            for row in mine.tolist():
                if row in found:
                    groups[found[row]].append(row)
                else:
                    groups.append([row])
        return groups
