"""What the associator learned of a calibration: by how many pixels each view's rays miss bodies beyond their noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.artefact import Artefact
from mvcap.structures.detections import Detections2D

_DOUBT = 1.0  # share of the stated noise that may as well be wrong: what is less is no news


def learned_error_px(found: Artefact[Detections2D], first: int, rig: Rig) -> NDArray[np.float64]:
    """Pixels (C,) as learned up to the end of the chunk that begins at a frame; 0 where an associator does not tell."""
    memory = found.state(first)
    return np.asarray(np.sqrt(memory.get("calibration", np.zeros(len(rig)))) * rig.focal, np.float64)


def calibration_error_px(found: Artefact[Detections2D], rig: Rig) -> NDArray[np.float64]:
    """Errors (C,) px of the views' calibration, from what was learned over the whole take: cameras stand still.

    Views agree or disagree with one another, so that it is half open whose fault it is: none is trusted alone.
    """
    learned = [learned_error_px(found, first, rig) ** 2 for first, _ in found.ranges()] or [np.zeros(len(rig))]
    square = np.mean(learned, axis=0)
    return np.asarray(np.sqrt((square + np.mean(square)) / 2))


def excess_error_px(worth: NDArray[np.float64], seen: Detections2D) -> NDArray[np.float64]:
    """Errors (C,) px of the views' calibration that are the same at all frames, beyond what may as well be noise.

    The worth of a calibration is learned from what the noise of pixels leaves over, and how large the noise is, is
    hardly known: as much again as was stated may be noise still, and averages out.
    """
    out = np.zeros(len(worth))
    for view in np.flatnonzero(worth):
        noise = seen.noise_px[seen.view == view]
        noise = noise[np.isfinite(noise)]
        doubt = _DOUBT * float(np.median(noise)) if len(noise) else 0.0
        out[view] = np.sqrt(max(worth[view] ** 2 - doubt**2, 0))
    return out


def with_calibration_error(rows: Detections2D, error_px: NDArray[np.float64]) -> Detections2D:
    """Rows whose noise has the errors (C,) px of their views' calibration in it."""
    if not error_px.any():
        return rows
    return rows.with_columns(noise_px=np.hypot(rows.noise_px, error_px[rows.view, None]))
