"""The contact sheet: one image of the whole take, with moments as columns and views as rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Image
from mvcap.drawing.overlay import shrink

_GAP_PX = 6
_LABEL_PX = 26
_PAPER = 244
_INK = (35, 35, 35)


def spread_frames(frames: int, count: int) -> list[int]:
    """Return at most ``count`` frames spread evenly over a take, each in the middle of an equal part of it."""
    count = min(frames, count)
    return [int((2 * index + 1) * frames // (2 * count)) for index in range(count)]


class ContactSheet:
    """Collects thumbnails one by one, so that only thumbnails are kept in memory."""

    def __init__(self, frames: Sequence[int], names: Sequence[str], rate_hz: float, height_px: int = 200) -> None:
        self.frames = tuple(frames)
        self.names = tuple(names)
        self._rate_hz = rate_hz
        self._height_px = height_px
        self._thumbs: dict[tuple[int, int], Image] = {}

    def add(self, frame: int, view: int, image: Image) -> None:
        """Add a thumbnail of an image (H, W, 3) RGB; ValueError if its frame or view is not on the sheet."""
        if frame not in self.frames or not 0 <= view < len(self.names):
            raise ValueError(f"frame {frame} of view {view} is not on the sheet")
        self._thumbs[frame, view] = shrink(image, self._height_px)[0].copy()

    def image(self) -> Image:
        """Return the sheet (H, W, 3) RGB; cells without an image are grey."""
        widths = [thumb.shape[1] for thumb in self._thumbs.values()]
        cell = (self._height_px, max(widths, default=self._height_px * 16 // 9))
        pitch = (cell[0] + _LABEL_PX + _GAP_PX, cell[1] + _GAP_PX)
        size = (max(len(self.names), 1) * pitch[0] + _GAP_PX, max(len(self.frames), 1) * pitch[1] + _GAP_PX, 3)
        sheet = np.full(size, _PAPER, np.uint8)
        for view, name in enumerate(self.names):
            for column, frame in enumerate(self.frames):
                top, left = view * pitch[0] + _GAP_PX, column * pitch[1] + _GAP_PX
                _caption(sheet, f"{name}   frame {frame}   {frame / self._rate_hz:.1f} s", (left, top), cell[1] - 8)
                _place(sheet, self._thumbs.get((frame, view)), (top + _LABEL_PX, left), cell)
        return sheet

    def png(self) -> bytes:
        """Return the sheet as a PNG file."""
        return _encoded(self.image(), ".png", [])

    def jpeg(self, quality: int = 85) -> bytes:
        """Return the sheet as a JPEG file, several times smaller than the PNG."""
        return encode_jpeg(self.image(), quality)


def encode_jpeg(image: Image, quality: int = 85) -> bytes:
    """Return an image (H, W, 3) RGB as a JPEG file."""
    import cv2

    return _encoded(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encoded(image: Image, kind: str, options: list[int]) -> bytes:
    import cv2

    encoded: NDArray[np.uint8] = cv2.imencode(kind, image[..., ::-1], options)[1]
    return encoded.tobytes()


def _place(sheet: Image, thumb: Image | None, corner: tuple[int, int], cell: tuple[int, int]) -> None:
    top, left = corner
    sheet[top : top + cell[0], left : left + cell[1]] = 205
    if thumb is not None:
        top, left = top + (cell[0] - thumb.shape[0]) // 2, left + (cell[1] - thumb.shape[1]) // 2
        sheet[top : top + thumb.shape[0], left : left + thumb.shape[1]] = thumb


def _caption(sheet: Image, text: str, corner: tuple[int, int], width: int) -> None:
    import cv2

    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.65
    text_width = cv2.getTextSize(text, font, scale, 1)[0][0]
    scale *= min(1.0, width / max(text_width, 1))
    cv2.putText(sheet, text, (corner[0] + 1, corner[1] + _LABEL_PX - 7), font, scale, _INK, 1, cv2.LINE_AA)
