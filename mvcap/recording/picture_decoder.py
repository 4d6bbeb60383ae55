"""Images out of the packets of a live stream, for previews and for those who look at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.live_frames import LiveFrame


class PictureDecoder:
    """Decodes the frames of one source in order; what cannot be decoded is left out."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._context: Any = None

    def image(self, frame: LiveFrame) -> NDArray[np.uint8] | None:
        """Return RGB (H, W, 3) of a frame, or None: before the first key frame, and of a damaged packet.

        Only one frame in a row may be missing where its codec refers to the one before: begin at key frames.
        """
        if frame.image is not None:
            return frame.image
        if frame.packet is not None and self._codec == "mjpeg":
            return jpeg_image(frame.packet)
        picture = frame.decoded if frame.decoded is not None else self.picture(frame)
        return None if picture is None else np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)

    def picture(self, frame: LiveFrame) -> Any:
        """Return PyAV's picture of a packet, not converted to RGB yet; None as for ``image``."""
        if frame.packet is None:
            return None
        import av

        if self._context is None:
            if not frame.key:
                return None
            self._context = av.CodecContext.create(self._codec, "r")
            self._context.thread_type = "NONE"
            self._context.flags |= av.codec.context.Flags.low_delay
        packet = av.Packet(frame.packet)
        packet.is_keyframe = frame.key
        try:
            pictures = self._context.decode(packet)
        except av.error.InvalidDataError:
            self._context = None
            return None
        return pictures[-1] if pictures else None


def whole_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height, px, that a JPEG states; None if it is cut off before its end marker, or is no JPEG.

    Only the markers are read (ITU-T T.81, annex B), not the picture.
    """
    at, size = 2, None
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA:
            return size if data.find(b"\xff\xd9", at) >= 0 else None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
            size = size if min(size) > 0 else None
        at += 2 + max(int.from_bytes(data[at + 2 : at + 4]), 2)
    return None


def jpeg_image(data: bytes) -> NDArray[np.uint8] | None:
    """Return RGB (H, W, 3) of a JPEG, None if it is damaged."""
    import cv2

    found: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.asarray(np.ascontiguousarray(found[..., ::-1]), np.uint8)
