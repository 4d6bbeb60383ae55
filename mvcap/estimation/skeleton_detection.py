"""Which skeleton the people in a file have: by the number of keypoints, and by the middle of the hips."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mvcap.estimation.prediction_files import known_layouts

_SAMPLED_BODIES = 400
_MIN_SCORE = 0.1
_MAX_MIDDLE_OFFSET = 0.1  # of the body height; measured: 0.02 for BODY_25, 0.3 to 0.4 for BODY_25B
_BODY_25 = 25


def detect_layout(bodies: Iterable[Any], otherwise: str) -> str:
    """Return the skeleton or layout of people, each as flat x, y, score of its keypoints; ``otherwise`` if unknown.

    BODY_25 and BODY_25B have the same number: keypoint 8 is the midpoint of 9 and 12 only in BODY_25.
    """
    offsets: list[float] = []
    seen = 0
    for values in bodies:
        if not isinstance(values, list) or not values:
            continue
        if len(values) != 3 * _BODY_25:
            return next(iter(known_layouts(len(values) // 3)), otherwise) if len(values) % 3 == 0 else otherwise
        offset = _middle_offset(values)
        if offset is not None:
            offsets.append(offset)
        seen += 1
        if seen >= _SAMPLED_BODIES:
            break
    if not seen:
        return otherwise
    return "body25b" if offsets and np.median(offsets) > _MAX_MIDDLE_OFFSET else "body25"


def _middle_offset(values: list[Any]) -> float | None:
    """Return the distance of keypoint 8 from the middle of 9 and 12 in heights of the body; None if unknown."""
    try:
        joints = np.array(values, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        return None  # the reader names the file
    known = (joints[:, 2] > _MIN_SCORE) & np.isfinite(joints).all(-1)
    if not known[[8, 9, 12]].all():
        return None
    height = np.ptp(joints[known, 1])
    middle = joints[[9, 12], :2].mean(0)
    return float(np.hypot(*(joints[8, :2] - middle)) / max(height, 1.0))
