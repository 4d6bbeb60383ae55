"""Matroska files that play after a crash: short clusters, flushed packets, no frame coded from a later one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.recording.picture_decoder import PictureDecoder
from mvcap.structures.footage import CLOCK_TAG
from mvcap.structures.live_frames import LiveFrame, StreamFormat

CODECS = ("copy", "h264", "ffv1", "mjpeg")
"""How images are stored: copy keeps the packets of a source that has some and encodes images as h264."""
_MS = Fraction(1, 1000)
_CLUSTER_MS = "500"  # what a crash can cost, at most
_GROUP = "15"  # frames from one key frame to the next
_ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"preset": "ultrafast", "crf": "18", "g": _GROUP, "bf": "0"}),
    "ffv1": ("ffv1", "bgr0", {"level": "3", "g": "1"}),
    "mjpeg": ("mjpeg", "yuvj420p", {"qscale": "3"}),
}


class _Container:
    """A Matroska file of one stream, whose times are those of the recording's clock, in ms, and never stand still."""

    def __init__(self, path: Path, metadata: dict[str, str]) -> None:
        import av

        self._av = av
        options = {"cluster_time_limit": _CLUSTER_MS, "flush_packets": "1"}
        self._container = av.open(str(path), "w", format="matroska", options=options)
        self._container.metadata.update(metadata)
        self._last_ms = -1
        self._stream: Any = None
        self._encodes = False

    def _encoder(
        self, form: StreamFormat, name: str, size: tuple[int, int], pixels: str, options: dict[str, str]
    ) -> None:
        self._stream, self._encodes = self._container.add_stream(name, rate=_rate(form)), True
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt, self._stream.options = pixels, options
        self._stream.codec_context.time_base = _MS

    def _at_ms(self, capture_s: float) -> int:
        self._last_ms = max(round(1000 * capture_s), self._last_ms + 1)
        return self._last_ms

    def _encode(self, picture: Any, capture_s: float) -> None:
        picture.pts, picture.time_base = self._at_ms(capture_s), _MS
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def close(self) -> None:
        """Write what is left and close the file; OSError if that fails, with all that was written before in place."""
        try:
            if self._encodes and self._last_ms >= 0:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


class MatroskaFile(_Container):
    """One view's video."""

    def __init__(self, path: Path, form: StreamFormat, clock: str, codec: str = "copy") -> None:
        super().__init__(path, {CLOCK_TAG: clock})
        self.copies = bool(form.codec) and codec in ("copy", form.codec)
        self._decoder = PictureDecoder(form.codec)
        width, height = form.size
        if self.copies:
            self._stream = self._container.add_mux_stream(form.codec, rate=_rate(form), width=width, height=height)
            self._stream.time_base = _MS
            return
        name, pixels, options = _ENCODERS["h264" if codec == "copy" else codec]
        self._encoder(form, name, (width + width % 2, height + height % 2), pixels, options)
        self._stream.codec_context.thread_count = 1  # views are encoded side by side
        if name == "mjpeg":
            self._stream.codec_context.qmin = self._stream.codec_context.qmax = 3

    def write(self, frame: LiveFrame, capture_s: float) -> int | None:
        """Write a frame; return the bytes of a packet that was copied, 0 for a picture.

        None for a packet that had to be decoded and is damaged, of which nothing is written.
        """
        if self.copies:
            assert frame.packet is not None
            packet = self._av.Packet(frame.packet)
            packet.stream, packet.time_base = self._stream, _MS
            packet.pts = packet.dts = self._at_ms(capture_s)
            packet.is_keyframe = frame.key
            self._container.mux(packet)
            return len(frame.packet)
        picture = frame.decoded if frame.image is None else _picture(self._av, frame.image)
        if picture is None and (picture := self._decoder.picture(frame)) is None:
            return None
        stream = self._stream
        self._encode(picture.reformat(stream.width, stream.height, stream.pix_fmt), capture_s)
        return 0


class DepthFile(_Container):
    """Depth images of one view, without loss: FFV1 of 16 bits, the unit in its metadata."""

    UNIT_TAG = "MVCAP_DEPTH_UNIT_M"

    def __init__(self, path: Path, form: StreamFormat, clock: str) -> None:
        super().__init__(path, {CLOCK_TAG: clock, self.UNIT_TAG: repr(form.depth_unit_m)})
        self._encoder(form, "ffv1", form.size, "gray16le", {"level": "3", "g": "1"})

    def write(self, depth: NDArray[np.uint16], capture_s: float) -> None:
        """Write a depth image (H, W)."""
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(depth), format="gray16le")
        self._encode(picture, capture_s)


def _picture(av: Any, image: NDArray[np.uint8]) -> Any:
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")


def _rate(form: StreamFormat) -> Fraction:
    return Fraction(form.rate_hz or 30.0).limit_denominator(1001)
