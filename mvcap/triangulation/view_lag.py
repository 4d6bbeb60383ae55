"""Time offset of each view against the others, estimated from people who move, as `mvcap rig check` does it."""

from __future__ import annotations

import numpy as np

from calib import Rig
from calib.changes.lags import estimate_lags
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.triangulation.joint_observations import joint_observations
from mvcap.triangulation.reprojection_residuals import linked_rows

_OFFSET_FRAMES = 0.3  # least offset from the median of all views that is reported
_MOST_FRAMES = 3000  # kept; of more, every second chunk is dropped
_RATE_HZ = 10.0  # offsets are in frames, whatever the rate


class ViewLag:
    """Detections of tracked people, added chunk by chunk, of which the views' time offsets are estimated."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._kept: list[Detections2D] = []
        self._added, self._every = 0, 1

    def add(self, detections: Detections2D, poses: Poses3D) -> None:
        """Add the detections of a chunk that belong to poses of the same frames."""
        row, pose = linked_rows(detections, poses)
        if self._added % self._every == 0 and len(row):
            self._kept.append(detections[row].with_columns(person=poses.person[pose]))
        self._added += 1
        while sum(len(np.unique(rows.frame)) for rows in self._kept) > _MOST_FRAMES and len(self._kept) > 1:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def late_frames(self) -> dict[str, float]:
        """Views by name with a time offset against the others, and their lag in frames (ahead: negative)."""
        if len(self._rig) < 3 or not self._kept:  # with two views it is open which one is late
            return {}
        rows = Detections2D.concatenate(self._kept, self._kept[0].skeleton)
        seen = joint_observations(rows, self._rig, _RATE_HZ, _MOST_FRAMES)
        late = estimate_lags(self._rig, seen).sure * _RATE_HZ
        return {self._rig.names[view]: float(late[view]) for view in np.flatnonzero(np.abs(late) >= _OFFSET_FRAMES)}
