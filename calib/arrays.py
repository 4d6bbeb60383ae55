"""Type aliases of arrays; docstrings give their shapes in axis letters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Image = NDArray[np.uint8]
"""(H, W, 3) RGB."""
