"""Calibration error in pixels per view, estimated by the associator from ray residuals beyond their noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.row_source import RowSource

_NOISE_SHARE = 1.0  # a smaller error, as a share of the stated noise, may be noise and is ignored


def learned_error_px(found: RowSource[Detections2D], first: int, rig: Rig) -> NDArray[np.float64]:
    """Calibration error (C,) px estimated up to the end of the chunk that begins at a frame; 0 if not estimated."""
    memory = found.state(first)
    return np.asarray(np.sqrt(memory.get("calibration", np.zeros(len(rig)))) * rig.focal, np.float64)


def calibration_error_px(found: RowSource[Detections2D], rig: Rig) -> NDArray[np.float64]:
    """Calibration error (C,) px of each view, averaged over the whole take: cameras stand still.

    Disagreement between views cannot be fully attributed to one of them, so each view's variance is averaged with the
    mean of all views.
    """
    learned = [learned_error_px(found, first, rig) ** 2 for first, _ in found.ranges()] or [np.zeros(len(rig))]
    square = np.mean(learned, axis=0)
    return np.asarray(np.sqrt((square + np.mean(square)) / 2))


def excess_error_px(error_px: NDArray[np.float64], seen: Detections2D) -> NDArray[np.float64]:
    """Calibration error (C,) px of each view, constant over all frames, beyond what may be detection noise.

    ``error_px`` (C,) px is estimated from residuals beyond the stated pixel noise, and the size of that noise is
    uncertain: an error up to the stated noise may be noise as well, which averages out over frames.
    """
    out = np.zeros(len(error_px))
    for view in np.flatnonzero(error_px):
        noise = seen.noise_px[seen.view == view]
        noise = noise[np.isfinite(noise)]
        uncertain = _NOISE_SHARE * float(np.median(noise)) if len(noise) else 0.0
        out[view] = np.sqrt(max(error_px[view] ** 2 - uncertain**2, 0))
    return out


def with_calibration_error(rows: Detections2D, error_px: NDArray[np.float64]) -> Detections2D:
    """Rows with the calibration error (C,) px of their view added to their noise."""
    if not error_px.any():
        return rows
    return rows.with_columns(noise_px=np.hypot(rows.noise_px, error_px[rows.view, None]))
