"""Time offset of each view against the others, estimated from people who move.

Where a view is late by k frames, its detections are closer to the poses k frames earlier than to those of their own
frame. The poses themselves contain a part of every view's error, so the offset found is a lower bound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.triangulation.reprojection_residuals import linked_rows

_REACH = 5  # frames, largest offset that can be found
_CAP_SIGMA = 5.0  # residuals are capped at this many standard deviations
_ENOUGH_JOINTS = 500  # least number of moving joints in a view
_LEAST_RISE = 1.3  # if the residual rises by less over the shifts, the view shows too little motion
_OFFSET_FRAMES = 0.6  # least offset from the median of all views that is reported; the true one is larger


class ViewLag:
    """Residuals of each view against the poses of neighbouring frames, added chunk by chunk."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.shifts = np.arange(-_REACH, _REACH + 1)
        self._sum = np.zeros((len(rig), len(self.shifts)))
        self._count = np.zeros(len(rig), np.int64)

    def add(self, detections: Detections2D, poses: Poses3D) -> None:
        """Add the moving joints of a chunk of detections and the poses of the same frames."""
        row, pose = linked_rows(detections, poses)
        if not len(row):
            return
        neighbours = _neighbours(poses, self.shifts)[pose]  # (N, K) rows of the same person in neighbouring frames
        whole = (neighbours >= 0).all(1)
        row, neighbours = row[whole], neighbours[whole]
        view = detections.view[row].astype(np.int64)
        joints = poses.skeleton.body
        projected = self._rig.project(poses.xyz[:, joints].astype(np.float64))
        track = projected[view[:, None], neighbours]  # (N, K, J, 2)
        noise = detections.noise_px[row][:, joints]
        sigmas = np.linalg.norm(track - detections.xy[row][:, None, joints], axis=-1) / noise[:, None]
        path = np.linalg.norm(track[:, -1] - track[:, 0], axis=-1) / noise
        moving = np.isfinite(sigmas).all(1) & (path > 1)
        capped = np.where(moving[:, None], np.minimum(sigmas, _CAP_SIGMA), 0).sum(-1)
        np.add.at(self._sum, view, capped)
        np.add.at(self._count, view, moving.sum(-1))

    def late_frames(self) -> dict[str, float]:
        """Views by name with a time offset against the others, and their lag in frames (ahead: negative)."""
        shift = np.array([self._best(view) for view in range(len(self._sum))])
        known = np.isfinite(shift)
        if known.sum() < 3:  # with two views it is open which one is late
            return {}
        late = np.median(shift[known]) - shift
        return {self._rig.names[view]: float(late[view]) for view in np.flatnonzero(np.abs(late) > _OFFSET_FRAMES)}

    def _best(self, view: int) -> float:
        """Shift of least residual, in fractions of a frame; NaN if the view saw too little motion."""
        cost = self._sum[view]
        if self._count[view] < _ENOUGH_JOINTS or cost.max() < _LEAST_RISE * cost.min():
            return float("nan")
        at = int(np.clip(np.argmin(cost), 2, len(cost) - 3))
        curve = np.polyfit(self.shifts[at - 2 : at + 3], cost[at - 2 : at + 3], 2)
        return (
            float(np.clip(-curve[1] / (2 * curve[0]), self.shifts[0], self.shifts[-1]))
            if curve[0] > 0
            else float("nan")
        )


def _neighbours(poses: Poses3D, shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows (M, K) of the same person ``shifts`` (K,) frames later; -1 where there is none."""
    keys = poses.frame.astype(np.int64) << 32 | poses.person
    order = np.argsort(keys)
    wanted = keys[:, None] + (shifts << 32)
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][at] == wanted, order[at], -1)
