"""Ways to send people to other programs: WebSocket to whoever has the address, OSC and UDP to one machine."""

from __future__ import annotations

import secrets
import socket
import threading
from typing import Any, Protocol

from mvcap.errors import InputError
from mvcap.streaming.people_message import as_json, osc_messages
from mvcap.structures.optional_package import optional_package

_LARGEST_DATAGRAM = 65_000


class Sender(Protocol):
    """Sends messages; never waits for those who read them."""

    def send(self, message: dict[str, Any]) -> None:
        """Send the people of a moment."""
        ...

    def close(self) -> None:
        """End."""
        ...


class WebSocketSender:
    """A server that sends each moment as a line of JSON to all who are connected; ``url`` is its address.

    Its path is a token, as pages may connect to any port of this machine. Who reads too slowly misses moments.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        optional_package("websockets", "websockets", "live", "people over WebSocket")
        from websockets.sync.server import serve

        self.token = secrets.token_urlsafe(18)
        self._newest = ""
        self._number = 0
        self._came = threading.Condition()
        self._ended = False
        try:
            self._server = serve(self._talk, host, port, process_request=self._check)
        except (OSError, OverflowError) as fault:
            raise InputError(f"WebSocket {host}:{port} cannot be served ({fault}); give another port") from fault
        self.port = int(self._server.socket.getsockname()[1])
        self.url = f"ws://{host}:{self.port}/{self.token}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _check(self, connection: Any, request: Any) -> Any:
        if not secrets.compare_digest(request.path.strip("/").encode(), self.token.encode()):
            return connection.respond(403, "the address is not whole: open the one that mvcap live printed\n")
        return None

    def _talk(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        sent = 0
        while not self._ended:
            with self._came:
                if self._number == sent:
                    self._came.wait(timeout=1)
                text, number = self._newest, self._number
            if number == sent:
                continue
            try:
                connection.send(text)
            except ConnectionClosed:
                return
            sent = number

    def send(self, message: dict[str, Any]) -> None:
        """Give all who are connected the people of a moment."""
        with self._came:
            self._newest = as_json(message)
            self._number += 1
            self._came.notify_all()

    def close(self) -> None:
        """End all connections."""
        self._ended = True
        with self._came:
            self._came.notify_all()
        self._server.shutdown()


class UdpSender:
    """Sends each moment as one datagram of JSON, without standard deviations and views if it would be too large."""

    def __init__(self, host: str, port: int) -> None:
        self._to = _reachable(host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, message: dict[str, Any]) -> None:
        """Send the people of a moment."""
        data = as_json(message).encode()
        if len(data) > _LARGEST_DATAGRAM:
            people = [{"id": one["id"], "xyz": one["xyz"]} for one in message["people"]]
            data = as_json({**message, "people": people}).encode()
        if len(data) <= _LARGEST_DATAGRAM:
            self._socket.sendto(data, self._to)

    def close(self) -> None:
        """End."""
        self._socket.close()


class OscSender:
    """Sends each moment as OSC messages (``people_message.osc_messages``)."""

    def __init__(self, host: str, port: int) -> None:
        optional_package("pythonosc", "python-osc", "live", "people over OSC")
        from pythonosc.udp_client import SimpleUDPClient

        self._client = SimpleUDPClient(*_reachable(host, port))

    def send(self, message: dict[str, Any]) -> None:
        """Send the people of a moment."""
        for address, values in osc_messages(message):
            self._client.send_message(address, values)

    def close(self) -> None:
        """Nothing is held open."""


def _reachable(host: str, port: int) -> tuple[str, int]:
    """The address of a host, IPv4."""
    try:
        return str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4][0]), port
    except (OSError, OverflowError) as fault:
        raise InputError(f"{host}:{port}: no such host or port ({fault})") from fault
