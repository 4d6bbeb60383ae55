"""What the associator learned of a calibration: by how many pixels each view's rays miss bodies beyond their noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.artefact import Artefact
from mvcap.structures.detections import Detections2D


def worth_px(found: Artefact[Detections2D], frame: int, rig: Rig) -> NDArray[np.float64]:
    """Pixels (C,) as learned up to the end of the chunk that holds a frame; 0 where an associator does not tell."""
    chunk = max((first for first, _ in found.ranges() if first <= frame), default=None)
    memory: dict[str, Any] = found.state(chunk) if chunk is not None else {}
    return np.asarray(np.sqrt(memory.get("calibration", np.zeros(len(rig)))) * rig.focal, np.float64)


def widened(rows: Detections2D, worth: NDArray[np.float64]) -> Detections2D:
    """Rows whose noise has the errors (C,) px of their views' calibration in it."""
    if not worth.any():
        return rows
    return rows.with_columns(noise_px=np.hypot(rows.noise_px, worth[rows.view, None]))
