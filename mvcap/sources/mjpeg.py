"""Source mjpeg: JPEG pictures over HTTP, as IP cameras and phone applications send them (multipart/x-mixed-replace).

The pictures are stored as they come. Their time is that of arrival, or that of a header ``X-Timestamp`` (seconds), and
their number that of a header ``X-Frame``, where the sender gives them.
"""

from __future__ import annotations

import http.client
import re
import time
from urllib.parse import urlsplit

from mvcap.errors import SourceError
from mvcap.recording.picture_decoder import jpeg_image
from mvcap.structures.live_frames import LiveFrame, LiveStream, StreamFormat

SCHEMES = ("http", "https")
_OPEN_S, _READ_S = 10.0, 2.0
_LARGEST = 64 << 20  # bytes of a picture
_HEADERS = 64
_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_TIMES = ("x-timestamp", "x-sendtimestamp")


class Mjpeg:
    """Source mjpeg: an address of JPEG pictures over HTTP."""

    ends = False

    def __init__(self, address: str) -> None:
        self._address = address

    def open(self) -> LiveStream:
        """Ask for the pictures; SourceError if there are none."""
        return _Pictures(self._address)


class _Pictures:
    """One answer, picture by picture."""

    def __init__(self, address: str) -> None:
        self._address = address
        parts = urlsplit(address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=_OPEN_S)
        try:
            self._connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            self._answer = self._connection.getresponse()
            if self._connection.sock is not None:
                self._connection.sock.settimeout(_READ_S)
            content = self._answer.headers.get("Content-Type", "")
            found = _BOUNDARY.search(content)
            if self._answer.status != 200 or not content.lower().startswith("multipart/") or not found:
                raise SourceError(
                    f"{address}: sends no JPEG stream (status {self._answer.status}, {content or 'no type'})"
                )
            self._boundary = b"--" + found[1].strip().removeprefix("--").encode()
            self._first: LiveFrame | None = self._next()
            image = jpeg_image(self._first.packet or b"") if self._first else None
        except (OSError, http.client.HTTPException, ValueError) as fault:
            self._connection.close()
            raise SourceError(f"{address}: cannot be opened ({fault or type(fault).__name__})") from fault
        except SourceError:
            self._connection.close()
            raise
        if image is None:
            self._connection.close()
            raise SourceError(f"{address}: its first picture is no JPEG")
        self.format = StreamFormat("mjpeg", (image.shape[1], image.shape[0]))

    def read(self) -> LiveFrame | None:
        """Return the next picture, None at the end; SourceError if none came for some seconds."""
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        try:
            return self._next()
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise SourceError(f"{self._address}: was lost ({fault or type(fault).__name__})") from fault

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _next(self) -> LiveFrame | None:
        """Read up to the next boundary, the headers and the picture."""
        line = self._line()
        while not line.startswith(self._boundary):
            if not line or line.startswith(self._boundary + b"--"):
                return None
            line = self._line()
        headers: dict[str, str] = {}
        for _ in range(_HEADERS):
            line = self._line()
            if not line.strip():
                break
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        data = self._body(headers.get("content-length"))
        if data is None:
            return None
        stated = next((headers[name] for name in _TIMES if name in headers), None)
        return LiveFrame(time.monotonic_ns(), _number(stated), _whole(headers.get("x-frame")), packet=data)

    def _line(self) -> bytes:
        return self._answer.readline(8192)

    def _body(self, length: str | None) -> bytes | None:
        """Return the bytes of a picture: of the stated length, or up to the JPEG's end marker."""
        if length is not None:
            count = int(length)
            if not 0 < count <= _LARGEST:
                raise ValueError(f"a picture of {count} bytes")
            data = self._answer.read(count)
            return data if len(data) == count else None
        data = b""
        while not data.rstrip().endswith(b"\xff\xd9"):
            line = self._line()
            if not line or len(data) > _LARGEST:
                return None
            data += line
        return data


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None
