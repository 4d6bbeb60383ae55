"""Time offset of each view against the others, estimated from people who move, as `mvcap rig check` does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calib import Rig
from calib.arrays import Floats
from calib.changes.lags import SURE, Lags, estimate_lags
from calib.observations import Observations
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
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
        self._found: Lags | None = None
        self._seen: tuple[Observations, Skeleton] | None = None

    def add(self, detections: Detections2D, poses: Poses3D) -> None:
        """Add the detections of a chunk that belong to poses of the same frames."""
        self._found = self._seen = None
        row, pose = linked_rows(detections, poses)
        if self._added % self._every == 0 and len(row):
            self._kept.append(detections[row].with_columns(person=poses.person[pose]))
        self._added += 1
        while sum(len(np.unique(rows.frame)) for rows in self._kept) > _MOST_FRAMES and len(self._kept) > 1:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def observations(self, rate_hz: float = _RATE_HZ) -> tuple[Observations, Skeleton] | None:
        """Return the joints kept as free points at a rate, and their skeleton; None without people."""
        if self._kept and self._seen is None:
            rows = Detections2D.concatenate(self._kept, self._kept[0].skeleton)
            self._seen = joint_observations(rows, self._rig, _RATE_HZ, _MOST_FRAMES), rows.skeleton
        if self._seen is None:
            return None
        seen, kind = self._seen
        return replace(seen, time_s=seen.time_s * (_RATE_HZ / rate_hz)), kind

    def late_frames(self) -> dict[str, float]:
        """Views by name with a time offset against the others, and their lag in frames (ahead: negative)."""
        sure = self.sure_frames()
        late = np.zeros(0) if sure is None else sure
        return {self._rig.names[view]: float(late[view]) for view in np.flatnonzero(np.abs(late) >= _OFFSET_FRAMES)}

    def lag_frames(self) -> Floats:
        """Lags (C,) of all views against their median, frames (ahead: negative); NaN where motion does not show it.

        A lag within four standard deviations is not shown.
        """
        lags = self._lags()
        if lags is None:
            return np.full(len(self._rig), np.nan)
        known = abs(lags.late_s) > SURE * lags.sigma_s
        return np.where(known, lags.late_s * _RATE_HZ, np.nan)

    def sure_frames(self) -> Floats | None:
        """Return the significant offsets (C,) in frames, 0 for the other views.

        None with two views or without people.
        """
        lags = self._lags()
        return None if lags is None else lags.sure * _RATE_HZ

    def _lags(self) -> Lags | None:
        """The lags of what was added; None with two views, of which it is open which one is late."""
        if self._found is None and len(self._rig) > 2 and (kept := self.observations()):
            self._found = estimate_lags(self._rig, kept[0])
        return self._found
