"""Pictures decoded within limits: a small file that states a huge size is refused before it fills the memory."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import bounded_bytes

MOST_PIXELS = 200_000_000
MOST_BYTES = 1 << 30
# OpenCV's own limit, for formats other than PNG and JPEG; it counts where OpenCV is not loaded yet.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))


def decoded_picture(path: Path) -> NDArray[Any]:
    """The picture (H, W, 3) of a file, BGR, in its own depth.

    Raises OSError where the file cannot be read, ValueError where it is no picture or has more than 200 million pixels.
    """
    import cv2

    data = bounded_bytes(path, MOST_BYTES)
    if stated_pixels(data) > MOST_PIXELS:
        raise ValueError(f"an image of more than {MOST_PIXELS // 1_000_000} million pixels, which is not read")
    try:
        picture: Any = (
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data else None
        )
    except cv2.error as fault:
        raise ValueError("an image of a size that is not read") from fault
    if picture is None:
        raise ValueError("not an image that can be read")
    return np.asarray(picture)


def stated_pixels(data: bytes) -> int:
    """How many pixels the header of a PNG or JPEG states; 0 for other formats and without a header."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return int(width * height)
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(width * height)
        at += 2 + (0 if kind == 0x01 or 0xD0 <= kind <= 0xD8 else int.from_bytes(data[at + 2 : at + 4], "big"))
    return 0
