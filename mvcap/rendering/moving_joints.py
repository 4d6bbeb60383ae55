"""Motion that a body is posed by: joints of people over time, on a grid of times that is finer than the frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class JointMotion:
    """Joints of P people at T times."""

    time_s: NDArray[np.float64]
    """(T,) s, evenly spaced."""
    joints: NDArray[np.float64]
    """(T, P, 26, 3) m, ``halpe26``, z up, floor at z = 0."""
    low_m: NDArray[np.float64]
    """(T, P) m from the floor to the lowest part of each body: 0 while it stands, above 0 in a jump."""
