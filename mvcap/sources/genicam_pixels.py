"""Pixel formats of GenICam cameras, by the numbers of the Pixel Format Naming Convention (EMVA), as RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BAYER = {"GR": "GRBG", "RG": "RGGB", "GB": "GBRG", "BG": "BGGR"}  # first two pixels -> first four
_BAYER_BASES = {8: 0x01080008, 10: 0x0110000C, 12: 0x01100010, 16: 0x0110002E}
PIXEL_FORMATS: dict[int, tuple[str, int, str]] = {
    0x01080001: ("Mono8", 8, "mono"), 0x01100003: ("Mono10", 10, "mono"), 0x01100005: ("Mono12", 12, "mono"),
    0x01100025: ("Mono14", 14, "mono"), 0x01100007: ("Mono16", 16, "mono"),
    0x02180014: ("RGB8", 8, "rgb"), 0x02180015: ("BGR8", 8, "bgr"),
    0x0210001F: ("YUV422_8_UYVY", 8, "UYVY"), 0x02100032: ("YUV422_8", 8, "YUY2"),
    **{base + place: (f"Bayer{name}{bits}", bits, pattern)
       for bits, base in _BAYER_BASES.items() for place, (name, pattern) in enumerate(_BAYER.items())},
}  # fmt: skip
"""Number -> name, bits of a value, order of colours. Values of more than 8 bits take 16, the low ones first."""


def rgb_of_pixels(data: bytes, size: tuple[int, int], pixels: int) -> NDArray[np.uint8] | None:
    """Return RGB (H, W, 3) of an image's bytes; values of more than 8 bits lose their lowest.

    size: width and height, px. None for a format that is not in ``PIXEL_FORMATS`` and for too few bytes.
    """
    import cv2

    if pixels not in PIXEL_FORMATS:
        return None
    _, bits, order = PIXEL_FORMATS[pixels]
    width, height = size
    channels = {"rgb": 3, "bgr": 3, "UYVY": 2, "YUY2": 2}.get(order, 1)
    count = width * height * channels
    kind = np.dtype("<u2" if bits > 8 else np.uint8)
    if count == 0 or len(data) < count * kind.itemsize:
        return None
    values: Any = np.frombuffer(data, kind, count).reshape(height, width, channels)
    if bits > 8:
        values = np.minimum(values >> (bits - 8), 255).astype(np.uint8)
    if order == "rgb":
        return np.asarray(values, np.uint8)
    if order == "mono":
        return np.asarray(np.repeat(values, 3, axis=-1), np.uint8)
    if order == "bgr":
        return np.asarray(np.ascontiguousarray(values[..., ::-1]), np.uint8)
    code = getattr(cv2, f"COLOR_YUV2RGB_{order}" if channels == 2 else f"COLOR_Bayer{order}2RGB")
    return np.asarray(cv2.cvtColor(values if channels == 2 else values[..., 0], code), np.uint8)
