"""Files of a frame's truth: all pixels as npz, and depth as a picture of 16 bits as depth cameras write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import SessionError
from mvcap.rendering.view_renderer import PixelTruth
from mvcap.structures.npz import write_npz, written_whole

DEPTH_SCALE_M = 0.001
"""m of one step of a depth picture."""


def write_pixels(path: Path, truth: PixelTruth) -> None:
    """Write depth, person, part, normal and flow of a frame; normals and flow as float16."""
    held: dict[str, NDArray[np.generic]] = {
        "depth": truth.depth, "person": truth.person, "part": truth.part, "normal": truth.normal.astype(np.float16),
        "flow": truth.flow.astype(np.float16),
    }  # fmt: skip
    write_npz(path, held)


def write_depth(path: Path, depth: NDArray[np.floating]) -> None:
    """Write depth (H, W) m as a PNG of 16 bits in millimetres; 0 where it is unknown or beyond 65 m."""
    import cv2

    steps = np.rint(np.nan_to_num(depth, posinf=0.0) / DEPTH_SCALE_M)
    image = np.where((steps > 0) & (steps < 2**16), steps, 0).astype(np.uint16)
    with written_whole(path) as part:
        if not cv2.imwrite(str(part), image):
            raise SessionError(f"{path} cannot be written as PNG; check the folder and the disk")
