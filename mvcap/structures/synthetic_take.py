"""A synthetic take: people with ground truth, cameras, and simulated 2D detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D


@dataclass(frozen=True)
class SyntheticTake:
    """A few seconds of people: ground truth and simulated detections."""

    truth: Poses3D
    """Every person at every frame in which they are present, ``halpe26``, ids from 1; m, z up, floor at z = 0."""
    seen_by: Rig
    """The true cameras."""
    rig: Rig
    """The calibrated cameras, which have calibration errors; only these are known to a user."""
    rate_hz: float
    rows: Detections2D
    """Simulated output of an estimator, in order of frames; ``person`` and ``carried`` are -1."""
    whose: NDArray[np.int32]
    """(M, J) true person of each joint of ``rows``; -1 = of no person, or missing."""

    @property
    def person(self) -> NDArray[np.int64]:
        """(M,) true person of each row, the one with most of its joints; -1 = a false positive."""
        most = int(self.whose.max(initial=0)) + 1
        count = np.stack([(self.whose == one).sum(1) for one in range(1, most)] or [np.zeros(len(self.whose))], -1)
        return np.where(count.max(1) > 0, count.argmax(1) + 1, -1) if len(count) else np.zeros(0, np.int64)
