"""Matroska files that play after a crash: short clusters, flushed packets, no frame coded from a later one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


class MatroskaFile:
    """One view's video; times are those of the recording's clock, in ms."""

    def __init__(self, path: Path, form: StreamFormat, clock: str, codec: str = "copy") -> None:
        import av

        self._av = av
        self.copies = bool(form.codec) and codec in ("copy", {"hevc": ""}.get(form.codec, form.codec))
        self._options = {"cluster_time_limit": _CLUSTER_MS, "flush_packets": "1"}
        self._container = av.open(str(path), "w", format="matroska", options=self._options)
        self._container.metadata[CLOCK_TAG] = clock
        self._last_ms = -1
        width, height = form.size
        if self.copies:
            self._stream: Any = self._container.add_mux_stream(form.codec, rate=_rate(form), width=width, height=height)
            self._stream.time_base = _MS
            self._decoder = None
        else:
            name, pixels, options = _ENCODERS["h264" if codec == "copy" else codec]
            self._stream = self._container.add_stream(name, rate=_rate(form))
            self._stream.width, self._stream.height = width + width % 2, height + height % 2
            self._stream.pix_fmt, self._stream.options = pixels, options
            self._stream.codec_context.time_base = _MS
            self._stream.codec_context.thread_count = 1  # views are encoded side by side
            if name == "mjpeg":
                self._stream.codec_context.qmin = self._stream.codec_context.qmax = 3

    def write(self, frame: LiveFrame, capture_s: float) -> int:
        """Write a frame, a packet if packets are copied and an image if not; return its bytes, 0 for an image."""
        at_ms = max(round(1000 * capture_s), self._last_ms + 1)
        self._last_ms = at_ms
        if self.copies:
            assert frame.packet is not None
            packet = self._av.Packet(frame.packet)
            packet.stream, packet.time_base = self._stream, _MS
            packet.pts = packet.dts = at_ms
            packet.is_keyframe = frame.key
            self._container.mux(packet)
            return len(frame.packet)
        if frame.decoded is not None:
            stream = self._stream
            self._mux(frame.decoded.reformat(stream.width, stream.height, stream.pix_fmt), at_ms)
        else:
            assert frame.image is not None
            self._mux(_picture(self._av, frame.image), at_ms)
        return 0

    def _mux(self, picture: Any, at_ms: int) -> None:
        picture.pts, picture.time_base = at_ms, _MS
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def close(self) -> None:
        """Write what is left and close the file; OSError if that fails, with all that was written before in place."""
        try:
            if not self.copies and self._last_ms >= 0:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


class DepthFile:
    """Depth images of one view, without loss: FFV1 of 16 bits, the unit in its metadata."""

    UNIT_TAG = "MVCAP_DEPTH_UNIT_M"

    def __init__(self, path: Path, form: StreamFormat, clock: str) -> None:
        import av

        self._av = av
        self._container = av.open(
            str(path), "w", format="matroska", options={"cluster_time_limit": _CLUSTER_MS, "flush_packets": "1"}
        )
        self._container.metadata.update({CLOCK_TAG: clock, self.UNIT_TAG: repr(form.depth_unit_m)})
        self._stream: Any = self._container.add_stream("ffv1", rate=_rate(form))
        self._stream.width, self._stream.height = form.size
        self._stream.pix_fmt, self._stream.options = "gray16le", {"level": "3", "g": "1"}
        self._stream.codec_context.time_base = _MS
        self._last_ms = -1

    def write(self, depth: NDArray[np.uint16], capture_s: float) -> None:
        """Write a depth image (H, W)."""
        self._last_ms = max(round(1000 * capture_s), self._last_ms + 1)
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(depth), format="gray16le")
        picture.pts, picture.time_base = self._last_ms, _MS
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def close(self) -> None:
        """Write what is left and close the file."""
        try:
            if self._last_ms >= 0:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def _picture(av: Any, image: NDArray[np.uint8]) -> Any:
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")


def _rate(form: StreamFormat) -> Fraction:
    return Fraction(form.rate_hz or 30.0).limit_denominator(1001)
