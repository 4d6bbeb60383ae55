"""The first pass of tracking: the tracklet of every row, and the features of the tracklets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Ints
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.tracking.close_encounters import Encounters
from mvcap.tracking.kalman_tracker import KalmanTracker
from mvcap.tracking.person_evidence import row_sums
from mvcap.tracking.tracklets import TrackConfig, Tracklets


class TrackletLinker:
    """Tracks people frame by frame and collects the features of their tracklets; no result depends on later frames."""

    def __init__(self, skeleton: Skeleton, config: TrackConfig, rate_hz: float, follows: bool) -> None:
        self.tracker = KalmanTracker(skeleton, config, rate_hz, follows)
        self.tracklets = Tracklets(skeleton, config, rate_hz)
        self.encounters = Encounters(rate_hz)
        self.too_few = 0
        """Rows of ``link_rows`` with joints in 3D that belong to no tracklet: too few joints to start one."""

    def link(self, rows: Poses3D) -> Ints:
        """Tracklet (M,) of the rows of one frame; -1 = no person."""
        tracker, frame = self.tracker, int(rows.frame[0])
        idents = tracker.link(rows)
        for encounter in self.encounters.step(frame, tracker):
            self.tracklets.cut(*encounter)
        self.encounters.see(idents, tracker.frame_input)
        seen = np.flatnonzero((idents >= 0) & (rows.score > 0).any(-1))
        state = tracker.where(idents[seen])
        isolated = ~self.encounters.in_encounter(idents[seen], frame)
        self.tracklets.add(rows[seen], idents[seen], tracker.mean[state], tracker.cov[state], isolated)
        return idents

    def link_rows(self, rows: Poses3D) -> NDArray[np.int32]:
        """Tracklet (M,) of the rows of several frames, in order of frames; -1 = no person."""
        idents = np.full(len(rows), -1, np.int32)
        edges = [0, *(np.flatnonzero(np.diff(rows.frame)) + 1).tolist(), len(rows)]
        for start, stop in pairwise(edges):
            if stop > start:
                idents[start:stop] = self.link(rows[start:stop])
        there = (rows.score > 0).any(-1)
        seen = (idents >= 0) & there
        self.too_few += int((there & (idents < 0)).sum())
        self.tracklets.add_row_sums(
            idents[seen].astype(np.int64), rows.frame[seen].astype(np.int64), row_sums(rows[seen])
        )
        return idents

    def end(self) -> None:
        """Close the open encounters when the take ends."""
        for encounter in self.encounters.end():
            self.tracklets.cut(*encounter)
