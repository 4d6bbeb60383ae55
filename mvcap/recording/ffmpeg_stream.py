"""Streams that FFmpeg reads: H.264, H.265 and MJPEG as they are, all others as images."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from mvcap.errors import SourceError
from mvcap.structures.live_frames import LiveFrame, StreamFormat

COPIED = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb", "mjpeg": ""}
"""Codecs whose packets are kept, and the filter that puts their parameter sets in front of key frames."""
OPEN_S, READ_S = 10.0, 2.0
_LATE_S, _VERY_LATE_S = 0.25, 1.0
_ANNEX_B = (b"\x00\x00\x01", b"\x00\x00\x00\x01")


class FFmpegStream:
    """An open address, device or file. as_images: decode packets of every codec.

    Raises SourceError, in one line, if it cannot be opened.
    """

    def __init__(
        self,
        address: str,
        *,
        container: str | None = None,
        options: Mapping[str, str] | None = None,
        as_images: bool = False,
        has_clock: bool = True,
    ) -> None:
        import av

        self._av, self._address, self._has_clock = av, address, has_clock
        try:
            self._container = av.open(address, format=container, options=dict(options or {}), timeout=(OPEN_S, READ_S))
        except (av.FFmpegError, OSError, ValueError) as fault:
            raise SourceError(f"{address}: cannot be opened ({_reason(fault)})") from fault
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{address}: has no video")
        self._stream: Any = self._container.streams.video[0]
        self._stream.thread_type = "NONE"
        context = self._stream.codec_context
        name = context.name
        rate = self._stream.average_rate or self._stream.guessed_rate
        # Frames that are coded from later ones do not come in the order of their times: those are decoded.
        self.copies = name in COPIED and not as_images and not context.has_b_frames
        self.format = StreamFormat(
            name if self.copies else "", (context.width, context.height), float(rate or 0) or None
        )
        self.end_s: float | None = None
        """Where the container says that the video ends, s."""
        if self._stream.duration is not None and self._stream.time_base is not None:
            self.end_s = float(((self._stream.start_time or 0) + self._stream.duration) * self._stream.time_base)
        self._extra = bytes(context.extradata or b"")
        self._filter = None
        if self.copies and COPIED[name] and self._extra[:1] == b"\x01":
            self._filter = av.bitstream.BitStreamFilterContext(COPIED[name], self._stream)
        self._packets: Iterator[Any] = self._container.demux(self._stream)
        self._waiting: deque[LiveFrame] = deque()

    def read(self) -> LiveFrame | None:
        """Return the next frame, None at the end; SourceError if nothing came for some seconds or the way is broken."""
        while not self._waiting:
            try:
                packet = next(self._packets, None)
                if packet is None:
                    return None
                received_ns = time.monotonic_ns()
                self._take(packet, received_ns)
            except self._av.error.EOFError:
                return None
            except self._av.error.InvalidDataError:
                continue
            except (self._av.FFmpegError, OSError) as fault:
                raise SourceError(f"{self._address}: was lost ({_reason(fault)})") from fault
        return self._waiting.popleft()

    def catch_up(self, late_s: float) -> None:
        """Decode fewer frames while this machine is late: none that no other refers to, then key frames only.

        Packets that are kept as they come are not decoded, and all are kept.
        """
        if not self.copies:
            less = "NONKEY" if late_s > _VERY_LATE_S else "NONREF" if late_s > _LATE_S else "DEFAULT"
            self._stream.codec_context.skip_frame = less

    def close(self) -> None:
        """Close it."""
        self._container.close()

    def _take(self, packet: Any, received_ns: int) -> None:
        if self.copies and not packet.size:
            return
        source_s = None
        if self._has_clock and packet.pts is not None:
            source_s = float(packet.pts * packet.time_base)
        if not self.copies:
            for picture in packet.decode():
                at = source_s if picture.time is None or not self._has_clock else float(picture.time)
                self._waiting.append(LiveFrame(received_ns, at, decoded=picture))
            return
        for part in self._filter.filter(packet) if self._filter else [packet]:
            data, key = bytes(part), bool(part.is_keyframe)
            if key and self._extra.startswith(_ANNEX_B) and not data.startswith(self._extra):
                data = self._extra + data
            self._waiting.append(LiveFrame(received_ns, source_s, packet=data, key=key))


def _reason(fault: BaseException) -> str:
    text = getattr(fault, "strerror", None) or str(fault)
    return "no answer in time" if "Immediate exit" in text else text
