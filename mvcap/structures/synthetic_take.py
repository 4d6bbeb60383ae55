"""A generated take: people whose truth is known, the cameras that see them, and what a 2D estimator makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D


@dataclass(frozen=True)
class SyntheticTake:
    """Some seconds of people, as they are and as they are seen."""

    truth: Poses3D
    """Every person at every frame at which they are there, ``halpe26``, numbers from 1; m, z up, floor at z = 0."""
    seen_by: Rig
    """The cameras as they are."""
    rig: Rig
    """The cameras as they are calibrated: all that a user knows of them."""
    rate_hz: float
    rows: Detections2D
    """What the estimator gives, in order of frames; ``person`` and ``carried`` are -1."""
    whose: NDArray[np.int32]
    """(M, J) the true person that each joint of ``rows`` is of; -1 = nobody's, or missing."""

    @property
    def person(self) -> NDArray[np.int64]:
        """True person (M,) that each row is: the one most of its joints are of; -1 = nobody."""
        most = int(self.whose.max(initial=0)) + 1
        count = np.stack([(self.whose == one).sum(1) for one in range(1, most)] or [np.zeros(len(self.whose))], -1)
        return np.where(count.max(1) > 0, count.argmax(1) + 1, -1) if len(count) else np.zeros(0, np.int64)
