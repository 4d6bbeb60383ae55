"""What one picture shows of a board."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats


@dataclass(frozen=True, eq=False)
class Sighting:
    """N points of a board in one picture: xy (N, 2) px and sigma (N,) px, both NaN where not seen.

    reason: why nothing is given where nothing is; mirrored: the board was seen from behind, as through paper;
    variant: how the print differs from what was described ("inverted", "legacy"), "" where it does not.
    """

    xy: Floats
    sigma: Floats
    reason: str | None = None
    mirrored: bool = False
    variant: str = ""

    @property
    def seen(self) -> Bools:
        """Which points are seen, (N,)."""
        return np.isfinite(self.sigma)


def refused_sighting(count: int, reason: str) -> Sighting:
    """No sighting of a board of `count` points, and why."""
    return Sighting(np.full((count, 2), np.nan), np.full(count, np.nan), reason)
