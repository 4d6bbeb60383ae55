"""The detection of a board in one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats


@dataclass(frozen=True, eq=False)
class Sighting:
    """N points of a board in one image: xy (N, 2) px and sigma (N,) px, both NaN where not seen.

    reason: why there are no points, where there are none; mirrored: the board was seen from behind, as through paper;
    variant: how the print differs from the description ("inverted", "other layout"), "" where it does not.
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
    """An empty detection of a board of `count` points, with the reason."""
    return Sighting(np.full((count, 2), np.nan), np.full(count, np.nan), reason)
