"""Axes along rays: the camera turned without roll until a ray is its optical axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats

_BEHIND = -1 + 1e-9  # cosine of a ray that points straight back, for which the turn is not defined


def turns_to_rays(rays: NDArray[np.floating]) -> Floats:
    """Return rotations (..., 3, 3) that turn the optical axis (0, 0, 1) into rays (..., 3), by the shortest way.

    Columns are the axes of the turned camera in those of the camera: ``turn @ (0, 0, 1)`` is the unit ray, and a vector
    in the camera's axes is ``turn.T @ vector`` in the turned ones. NaN where a ray is NaN, or 0.
    """
    unit = np.asarray(rays, np.float64)
    with np.errstate(invalid="ignore"):
        unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    x, y, z = np.moveaxis(unit, -1, 0)
    share = 1 / (1 + np.maximum(z, _BEHIND))
    rows = (
        np.stack([1 - x * x * share, -x * y * share, x], -1),
        np.stack([-x * y * share, 1 - y * y * share, y], -1),
        np.stack([-x, -y, z], -1),
    )
    return np.stack(rows, -2)
