"""Source stream: an address that FFmpeg reads: rtsp, rtmp, srt, tcp, udp, or http with H.264 or MPEG-TS.

``rtsp://HOST/PATH`` asks a camera; with ``?listen`` at the end of an rtsp or tcp address this machine waits for the one
that sends. RTSP runs over TCP, as packets that UDP loses would be lost frames; ``?udp`` asks for UDP.
"""

from __future__ import annotations

from mvcap.recording.ffmpeg_stream import OPEN_S, FFmpegStream
from mvcap.structures.live_frames import LiveStream

SCHEMES = ("rtsp", "rtsps", "rtmp", "srt", "tcp", "udp", "rtp")


class Stream:
    """Source stream: H.264 and H.265 are stored as they come, at the times that the sender states."""

    ends = False

    def __init__(self, address: str) -> None:
        self._address, _, words = address.partition("?")
        asked = words.split("&") if words else []
        self._listen = "listen" in asked
        self._udp = "udp" in asked
        rest = [word for word in asked if word not in ("listen", "udp")]
        if rest:
            self._address += "?" + "&".join(rest)

    def open(self) -> LiveStream:
        """Open it; SourceError if nobody answers, or sends, within ten seconds."""
        options = {"analyzeduration": "1000000", "probesize": "1000000"}
        container = None
        if self._address.startswith("rtsp"):
            options["rtsp_transport"] = "udp" if self._udp else "tcp"
            if self._listen:
                options |= {"rtsp_flags": "listen", "listen_timeout": str(round(OPEN_S))}
        elif self._listen:
            options["listen"] = "1"
        return FFmpegStream(self._address, container=container, options=options)
