"""Pictures of more than 8 bits, stretched to 8: cameras write 10, 12 or 14 bits into 16, or floating point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_DARKEST, _BRIGHTEST = 0.1, 99.9  # percentiles of the grey values that become black and white


def depth_name(image: NDArray[Any]) -> str | None:
    """The depth of a picture that is not of 8 bits, as "16-bit" or "floating-point"; None for 8 bits."""
    if image.dtype == np.uint8:
        return None
    return f"{8 * image.dtype.itemsize}-bit" if image.dtype.kind in "iu" else "floating-point"


def to_8_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture (H, W, ...) as uint8: as it is, or stretched from its darkest to its brightest values.

    What a value means is not in the file: 12 bits in 16 may be filled up from below or from above, and floating point
    may reach to 1 or to 255. NaN and infinity become black and white.
    """
    if image.dtype == np.uint8:
        return image
    values = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=np.inf, neginf=-np.inf)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [_DARKEST, _BRIGHTEST]) if finite.size else (0.0, 1.0)
    if not high > low:  # an even picture, or one with few bright pixels
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.asarray(np.clip(np.rint((np.clip(values, low, high) - low) * scale), 0, 255), np.uint8)
