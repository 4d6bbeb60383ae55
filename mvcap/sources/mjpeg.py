"""Source mjpeg: JPEG pictures over HTTP, as IP cameras and phone applications send them (multipart/x-mixed-replace).

The pictures are stored as they come. Their time is that of arrival, or that of a header ``X-Timestamp`` (seconds), and
their number that of a header ``X-Frame``, where the sender gives them. Pictures that are cut off are left out, and
missing by their number or time.
"""

from __future__ import annotations

import http.client
import math
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from mvcap.errors import SourceError
from mvcap.recording.picture_decoder import jpeg_image, whole_jpeg_size
from mvcap.structures.live_frames import LiveFrame, LiveStream, StreamFormat

SCHEMES = ("http", "https")
_OPEN_S, _READ_S = 10.0, 2.0
_WHOLE_S = 5.0  # until a whole picture came, however slowly its bytes do
_LARGEST = 64 << 20  # bytes of a picture
_HEADERS = 64
_LONGEST = 8192  # bytes of a header
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
        self._address, self._kept = address, b""
        parts = urlsplit(address)
        try:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(parts.hostname or "", parts.port, timeout=_OPEN_S)
            with self._bounded():
                self._connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
                self._answer = self._connection.getresponse()
            if self._connection.sock is not None:
                self._connection.sock.settimeout(_READ_S)
            self._boundary = self._stated_boundary()
            self._first: LiveFrame | None = self._next_whole()
            image = jpeg_image(self._first.packet or b"") if self._first else None
        except (OSError, http.client.HTTPException, ValueError) as fault:
            self.close()
            raise SourceError(f"{address}: cannot be opened ({fault or type(fault).__name__})") from fault
        except SourceError:
            self.close()
            raise
        if image is None:
            self.close()
            raise SourceError(f"{address}: its first picture is no JPEG")
        self.format = StreamFormat("mjpeg", (image.shape[1], image.shape[0]))

    def _stated_boundary(self) -> bytes:
        """What stands between pictures; SourceError for an answer of another kind."""
        content = self._answer.headers.get("Content-Type", "")
        found = _BOUNDARY.search(content)
        if self._answer.status != 200 or not content.lower().startswith("multipart/") or not found:
            said = f"status {self._answer.status}, {content or 'no type'}"
            raise SourceError(f"{self._address}: sends no JPEG stream ({said})")
        return b"--" + found[1].strip().removeprefix("--").encode("latin-1", "replace")

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Cut the connection off if this takes too long, however slowly bytes come."""
        timer = threading.Timer(_OPEN_S, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        connected = self._connection.sock
        if connected is not None:
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def read(self) -> LiveFrame | None:
        """Return the next picture, None at the end; SourceError if no whole one came for some seconds."""
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        try:
            found = self._next_whole()
            size = whole_jpeg_size(found.packet or b"") if found else None
            if size is not None and size != self.format.size:
                raise ValueError(f"its pictures are {size[0]}x{size[1]} now")
            return found
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise SourceError(f"{self._address}: was lost ({fault or type(fault).__name__})") from fault

    def close(self) -> None:
        """End the connection."""
        if hasattr(self, "_connection"):
            self._connection.close()

    def _next_whole(self) -> LiveFrame | None:
        """Read up to a picture that was not cut off; None at the end."""
        end = time.monotonic() + _WHOLE_S
        while (found := self._next(end)) is not None and whole_jpeg_size(found.packet or b"") is None:
            continue
        return found

    def _next(self, end: float) -> LiveFrame | None:
        """Read up to the next boundary, the headers and the picture, until a time on the monotonic clock."""
        line = self._line(end)
        while not line.startswith(self._boundary):
            if not line:
                return None
            line = self._line(end)
        if line.startswith(self._boundary + b"--"):
            return None
        headers: dict[str, str] = {}
        for _ in range(_HEADERS):
            line = self._line(end)
            if not line.strip():
                break
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        data = self._body(headers.get("content-length"), end)
        if data is None:
            return None
        stated = next((headers[name] for name in _TIMES if name in headers), None)
        return LiveFrame(time.monotonic_ns(), _number(stated), _whole(headers.get("x-frame")), packet=data)

    def _body(self, length: str | None, end: float) -> bytes | None:
        """Return the bytes of a picture: of the stated length, or up to the JPEG's end marker."""
        if length is not None:
            count = int(length)
            if not 0 < count <= _LARGEST:
                raise ValueError(f"a picture of {count} bytes")
            return self._bytes(count, end)
        data = bytearray()
        while not data[-16:].rstrip().endswith(b"\xff\xd9"):
            line = self._line(end)
            if not line or len(data) > _LARGEST:
                return None
            data += line
        return bytes(data)

    def _line(self, end: float) -> bytes:
        """The next line with its end, or as much of a longer one; empty at the end of the stream."""
        while (stop := self._kept.find(b"\n")) < 0 and len(self._kept) < _LONGEST:
            if not self._more(end):
                break
        count = stop + 1 if 0 <= stop < _LONGEST else _LONGEST
        line, self._kept = self._kept[:count], self._kept[count:]
        return line

    def _bytes(self, count: int, end: float) -> bytes | None:
        """So many bytes; None if the stream ends before."""
        parts, have = [self._kept], len(self._kept)
        while have < count:
            self._kept = b""
            if not self._more(end):
                return None
            parts.append(self._kept)
            have += len(self._kept)
        data = b"".join(parts)
        self._kept = data[count:]
        return data[:count]

    def _more(self, end: float) -> bool:
        """Wait for more bytes; False at the end of the stream, TimeoutError after the time."""
        if time.monotonic() > end:
            raise TimeoutError("no whole picture in time")
        part = self._answer.read1(1 << 16)
        self._kept += part
        return bool(part)


def _number(text: str | None) -> float | None:
    try:
        found = math.nan if text is None else float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None
