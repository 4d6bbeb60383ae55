"""Base of the web servers of pages: to this machine only unless asked otherwise, and only with a token in the address.

Every address begins with the token, so that another page, or another user of the machine, cannot read anything. The
name of the host in a request is checked too: a foreign page may have its own name point to this machine (DNS
rebinding). Paths name what a page needs, never files.
"""

from __future__ import annotations

import errno
import hmac
import json
import re
import secrets
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

from mvcap.errors import InputError, MvcapError, StaleError

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


class TokenServer(ThreadingHTTPServer):
    """Serves pages under a token; ``url`` is where. port 0: any free one.

    host: name or address to listen on; others than this machine's own are for those who know who is in their network.
    Raises InputError where the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, handler: type[TokenHandler], host: str = "127.0.0.1", port: int = 0) -> None:
        self.token = secrets.token_urlsafe(18)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = found[0]
            super().__init__((host, port), handler)
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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a page that is closed while it loads; print what else is wrong."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class TokenHandler(BaseHTTPRequestHandler):
    """Answers requests with the token; what is at a path, ``send_path`` of a subclass knows."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mvcap", ""
    takes_actions = False

    def send_path(self, path: str, body: bool) -> None:
        """Send what is at a path (after the token); InputError where there is nothing."""
        raise NotImplementedError

    def take_action(self, path: str) -> None:
        """Do what a path (after the token) that was posted to stands for; InputError where that is nothing."""
        raise InputError("there is nothing to do here")

    def do_GET(self) -> None:
        """Send what is at the address."""
        self._answer(lambda path: self.send_path(path, body=True))

    def do_HEAD(self) -> None:
        """Send the headers of what is at the address."""
        self._answer(lambda path: self.send_path(path, body=False))

    def do_POST(self) -> None:
        """Do what the address stands for, and send nothing but that it was done; what is posted is not read."""
        self.close_connection = True
        if self.takes_actions:
            self._answer(self._act)
        else:
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "this page only reads")

    def _act(self, path: str) -> None:
        self.take_action(path)
        self.send_json({"done": True}, body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""

    def _answer(self, send: Callable[[str], None]) -> None:
        server = cast(TokenServer, self.server)
        if not server.any_host and self.headers.get("Host", "") not in server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "this address is not served here")
            return
        asked = self.path.partition("?")[0].partition("#")[0]
        token, _, rest = unquote(asked).removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "the address is not whole: open the one that mvcap printed")
            return
        try:
            send(rest)
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

    def send_page(self, file: Path, body: bool) -> None:
        """Send a file of the page itself, HTML, JavaScript or CSS."""
        self.send_bytes(file.read_bytes(), _TYPES[file.suffix], body)

    def send_json(self, content: Any, body: bool) -> None:
        """Send a value as JSON."""
        self.send_bytes(json.dumps(content).encode(), "application/json", body)

    def send_bytes(self, content: bytes, kind: str, body: bool) -> None:
        """Send bytes of a type of content."""
        self._begin(HTTPStatus.OK, kind, len(content))
        if body:
            self.wfile.write(content)

    def send_file(self, path: Path, kind: str, body: bool) -> None:
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
