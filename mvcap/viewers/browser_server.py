"""Web server of the viewer's page: to this machine only unless asked otherwise, and only with the token in its address.

Every address begins with the token, so that another page, or another user of the machine, cannot read the session. The
name of the host in a request is checked too: a foreign page may have its own name point to this machine (DNS
rebinding). Paths name what the page needs, never files.
"""

from __future__ import annotations

import errno
import hmac
import json
import re
import secrets
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

from mvcap.errors import InputError, MvcapError, StaleError
from mvcap.viewers.browser_page import page_file
from mvcap.viewers.browser_scene import Scene
from mvcap.viewers.browser_videos import MOSAIC, ProxyVideos

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HTTP = 80
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class ViewServer(ThreadingHTTPServer):
    """Serves one session's scene and videos; ``url`` is where. port 0: any free one.

    host: name or address to listen on; others than this machine's own are for those who know who is in their network.
    Raises InputError where the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, scene: Scene, videos: ProxyVideos, host: str = "127.0.0.1", port: int = 0) -> None:
        self.scene, self.videos = scene, videos
        self.token = secrets.token_urlsafe(18)
        self._series: tuple[tuple[str, ...], bytes] | None = None
        self._series_lock = threading.Lock()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = found[0]
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError, UnicodeError) as fault:
            other = "port" if getattr(fault, "errno", None) in (errno.EADDRINUSE, errno.EACCES) else "host"
            reason = getattr(fault, "strerror", None) or fault
            raise InputError(
                f"--host {host} --port {port}: cannot be served ({reason}); give another --{other}"
            ) from fault
        self.any_host = host in ("0.0.0.0", "::", "")
        names = {host.lower(), _bracketed(str(self.server_address[0])), "127.0.0.1", "localhost"}
        self.hosts = {f"{_bracketed(name)}:{self.server_port}" for name in names}
        if self.server_port == _HTTP:  # which browsers leave out
            self.hosts |= {_bracketed(name) for name in names}

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the page, with its token; where it listens to all, also by the name of this machine."""
        own = "127.0.0.1" if self.address_family == socket.AF_INET else "::1"
        hosts = (own, socket.gethostname()) if self.any_host else (str(self.server_address[0]),)
        return tuple(f"http://{_bracketed(host)}:{self.server_port}/{self.token}/" for host in hosts)

    @property
    def url(self) -> str:
        """Address of the page on this machine, with its token."""
        return self.urls[0]

    def series(self) -> bytes:
        """The curves over the take, computed once for each state of the session."""
        self.scene.check_unchanged()
        with self._series_lock:
            made = self.scene.made
            if self._series is None or self._series[0] != made:
                self._series = made, self.scene.series()
            return self._series[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a page that is closed while it loads; print what else is wrong."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mvcap", ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""

    def _answer(self, body: bool) -> None:
        server = cast(ViewServer, self.server)
        if not server.any_host and self.headers.get("Host", "") not in server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "this address is not served here")
            return
        asked = self.path.partition("?")[0].partition("#")[0]
        token, _, rest = unquote(asked).removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "the address is not whole: open the one that mvcap view printed")
            return
        try:
            self._send(server, rest, body)
        except InputError as fault:
            self._refuse(HTTPStatus.NOT_FOUND, str(fault))
        except StaleError as fault:
            self._refuse(HTTPStatus.CONFLICT, str(fault))
        except FileNotFoundError:
            self._refuse(HTTPStatus.NOT_FOUND, "the file is gone: reload the page")
        except MvcapError as fault:  # such as a damaged chunk: the page goes on and says so
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(fault))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, server: ViewServer, path: str, body: bool) -> None:
        what, _, name = path.partition("/")
        if path in ("", "viewer.js", "style.css"):
            file = page_file(path or "index.html")
            self._bytes(file.read_bytes(), _TYPES[file.suffix], body)
        elif path == "scene.json":
            self._json(server.scene.description(), body)
        elif path == "series.bin":
            self._bytes(server.series(), "application/octet-stream", body)
        elif what in ("poses", "projected"):
            kind, _, start = name.removesuffix(".bin").partition("/")
            if not re.fullmatch(r"\d{1,9}", start):
                raise InputError(f"no chunk {name!r}")
            make = server.scene.chunk if what == "poses" else server.scene.projected
            self._bytes(make(kind, int(start)), "application/octet-stream", body)
        elif what == "video" and name.endswith(".json"):
            self._json(server.videos.proxy(_view(name.removesuffix(".json"))).as_dict(), body)
        elif what == "video" and name.endswith(".mp4"):
            proxy = server.videos.proxy(_view(name.removesuffix(".mp4")))
            if proxy.done < 1:
                raise InputError("the video is not made yet")
            self._file(proxy.path, "video/mp4", body)
        elif what == "cloud":
            self._bytes(_cloud(server, name.removesuffix(".bin")), "application/octet-stream", body)
        else:
            raise InputError("there is nothing here")

    def _json(self, content: Any, body: bool) -> None:
        self._bytes(json.dumps(content).encode(), "application/json", body)

    def _bytes(self, content: bytes, kind: str, body: bool) -> None:
        self._begin(HTTPStatus.OK, kind, len(content))
        if body:
            self.wfile.write(content)

    def _file(self, path: Path, kind: str, body: bool) -> None:
        """Send a file, or the part of it that is asked for (RFC 9110, one range)."""
        with path.open("rb") as stream:
            size = path.stat().st_size
            asked = _RANGE.fullmatch(self.headers.get("Range", "").strip())
            if not asked or not any(asked.groups()):
                self._begin(HTTPStatus.OK, kind, size)
                self._copy(stream, size, body)
                return
            first, last = asked.groups()
            start = int(first) if first else max(size - int(last), 0)
            stop = min(int(last) + 1, size) if first and last else size
            if start >= stop:
                self._begin(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, kind, 0, {"Content-Range": f"bytes */{size}"})
                return
            self._begin(
                HTTPStatus.PARTIAL_CONTENT, kind, stop - start, {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
            )
            stream.seek(start)
            self._copy(stream, stop - start, body)

    def _copy(self, stream: BinaryIO, count: int, body: bool) -> None:
        while body and count > 0 and (part := stream.read(min(count, 1 << 16))):
            self.wfile.write(part)
            count -= len(part)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        content = text.encode()
        self._begin(status, "text/plain; charset=utf-8", len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _begin(self, status: HTTPStatus, kind: str, length: int, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        sent = {
            "Content-Type": kind,
            "Content-Length": str(length),
            "Accept-Ranges": "bytes",
            **_HEADERS,
            **(more or {}),
        }
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()


def _bracketed(host: str) -> str:
    """A host as it stands in an address: one of IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _view(name: str) -> int | None:
    """The number of a view in an address, None for the mosaic; InputError for anything else."""
    if name == MOSAIC:
        return None
    if not re.fullmatch(r"\d{1,4}", name):
        raise InputError(f"no video {name!r}")
    return int(name)


def _cloud(server: ViewServer, frame: str) -> bytes:
    if not re.fullmatch(r"\d{1,9}", frame):
        raise InputError(f"no point cloud {frame!r}")
    return server.scene.cloud(int(frame))
