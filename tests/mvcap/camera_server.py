"""A camera on loopback: numbered JPEG pictures over HTTP at an exact rate, which can be cut off, slow down and skip."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

BITS = 16
SKIPS = 1 << BITS


def numbered_jpegs(count: int, size: tuple[int, int]) -> list[bytes]:
    """JPEG pictures of a size (w, h) with their number as black and white squares along the top."""
    return [
        cv2.imencode(".jpg", numbered_picture(number, size), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
        for number in range(count)
    ]


def numbered_picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) with its number in it."""
    width, height = size
    side = width // BITS
    image = np.full((height, width, 3), 96, np.uint8)
    image[side:] += (np.arange(width) % 64).astype(np.uint8)[None, :, None]
    for bit in range(BITS):
        image[:side, bit * side : (bit + 1) * side] = 255 if number >> bit & 1 else 0
    return image


def number_in(image: np.ndarray) -> int:
    """The number in a picture."""
    side = image.shape[1] // BITS
    row, inner = image[side // 4 : 3 * side // 4], side // 4
    marks = [row[:, bit * side + inner : (bit + 1) * side - inner] for bit in range(BITS)]
    return sum(int(mark.mean() > 128) << bit for bit, mark in enumerate(marks))


class Camera(ThreadingHTTPServer):
    """Pictures n = 0, 1 ... are due at ``begun + n / rate_hz``; the path /NAME makes no difference.

    away: while it is set, connections are cut and refused. skip: whether picture n is never sent.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self, jpegs: list[bytes], rate_hz: float, skip: Callable[[int], bool] = lambda n: False, stamped: bool = True
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.jpegs, self.rate_hz, self.skip, self.stamped = jpegs, rate_hz, skip, stamped
        self.begun = time.monotonic()
        self.away: set[str] = set()
        self.sent: dict[str, int] = {}

    def address(self, name: str = "cam") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request, client_address):
        """A connection that is cut is part of the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        camera, name = self.server, self.path.strip("/")
        if name in camera.away:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = int((time.monotonic() - camera.begun) * camera.rate_hz) + 1
        while name not in camera.away:
            due = camera.begun + number / camera.rate_hz
            time.sleep(max(due - time.monotonic(), 0))
            if not camera.skip(number):
                data = camera.jpegs[number % len(camera.jpegs)]
                stamp = f"X-Timestamp: {due:.6f}\r\nX-Frame: {number}\r\n" if camera.stamped else ""
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n{stamp}\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                camera.sent[name] = number
            number += 1
        self.close_connection = True


@contextmanager
def camera(
    jpegs: list[bytes], rate_hz: float, skip: Callable[[int], bool] = lambda n: False, stamped: bool = True
) -> Iterator[Camera]:
    """Serve a camera in threads of this process."""
    made = Camera(jpegs, rate_hz, skip, stamped)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
