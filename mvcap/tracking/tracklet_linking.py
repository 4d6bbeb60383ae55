"""The first pass of tracking: the tracklet of every row, and the features of the tracklets."""

from __future__ import annotations

import numpy as np

from calib.arrays import Ints
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.tracking.close_encounters import Encounters
from mvcap.tracking.kalman_tracker import KalmanTracker
from mvcap.tracking.tracklets import TrackConfig, Tracklets


class TrackletLinker:
    """Tracks people frame by frame and collects the features of their tracklets; no result depends on later frames."""

    def __init__(self, skeleton: Skeleton, config: TrackConfig, rate_hz: float, follows: bool) -> None:
        self.tracker = KalmanTracker(skeleton, config, rate_hz, follows)
        self.tracklets = Tracklets(skeleton, config, rate_hz)
        self.encounters = Encounters(rate_hz)

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

    def end(self) -> None:
        """Close the open encounters when the take ends."""
        for encounter in self.encounters.end():
            self.tracklets.cut(*encounter)
