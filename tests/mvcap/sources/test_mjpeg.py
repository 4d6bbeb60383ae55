"""JPEG over HTTP: from senders with and without lengths and times, and what is wrong with others."""

import http.server
import threading

import numpy as np
import pytest
from camera_server import camera, number_in, numbered_jpegs

from mvcap.errors import SourceError
from mvcap.recording.picture_decoder import jpeg_image
from mvcap.sources.mjpeg import Mjpeg

SIZE = (320, 180)


@pytest.fixture(scope="module")
def jpegs():
    return numbered_jpegs(60, SIZE)


@pytest.mark.parametrize("stamped", [True, False])
def test_pictures_come_whole_and_with_what_the_sender_states(jpegs, stamped):
    with camera(jpegs, 50.0, stamped=stamped) as served:
        stream = Mjpeg(served.address()).open()
        frames = [stream.read() for _ in range(20)]
        stream.close()
    assert stream.format.size == SIZE and stream.format.codec == "mjpeg"
    shown = np.array([number_in(jpeg_image(frame.packet)) for frame in frames])
    assert (np.diff(shown) == 1).all() and all(frame.packet in jpegs for frame in frames)
    if stamped:
        assert [frame.number for frame in frames] == shown.tolist()
        np.testing.assert_allclose(np.diff([frame.source_s for frame in frames]), 0.02, atol=1e-5)
    else:
        assert {(frame.number, frame.source_s) for frame in frames} == {(None, None)}


class _Answer(http.server.BaseHTTPRequestHandler):
    kind, content = "text/plain", b"hello"

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", self.kind)
        self.end_headers()
        self.wfile.write(self.content)


def answered(kind, content):
    """Address of a server that gives one answer."""
    made = http.server.HTTPServer(("127.0.0.1", 0), type("Given", (_Answer,), {"kind": kind, "content": content}))
    threading.Thread(target=made.handle_request, daemon=True).start()
    return f"http://127.0.0.1:{made.server_port}/"


MULTIPART = "multipart/x-mixed-replace; boundary=x"


def test_a_sender_that_states_no_length(jpegs):
    body = b"".join(b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + data + b"\r\n" for data in jpegs[:5]) + b"--x--\r\n"
    stream = Mjpeg(answered(MULTIPART, body)).open()
    shown = []
    while (frame := stream.read()) is not None:
        shown.append(number_in(jpeg_image(frame.packet)))
    stream.close()
    assert shown == list(range(5))


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("text/html", b"<html>", "sends no JPEG stream"),
        (MULTIPART, b"", "its first picture is no JPEG"),
        (MULTIPART, b"--x\r\nContent-Length: 5\r\n\r\nhello\r\n", "its first picture is no JPEG"),
        (MULTIPART, b"--x\r\nContent-Length: -4\r\n\r\nhello\r\n", "cannot be opened"),
        (MULTIPART, b"--x\r\nContent-Length: many\r\n\r\nhello\r\n", "cannot be opened"),
        (MULTIPART, b"\xff" * 20_000, "its first picture is no JPEG"),
    ],
)
def test_what_is_no_stream_of_pictures(kind, content, words):
    with pytest.raises(SourceError, match=words) as caught:
        Mjpeg(answered(kind, content)).open()
    assert "\n" not in str(caught.value)


def test_a_sender_that_is_not_there_or_goes(jpegs):
    with pytest.raises(SourceError, match="cannot be opened"):
        Mjpeg("http://127.0.0.1:9/").open()
    with camera(jpegs, 50.0) as served:
        stream = Mjpeg(served.address("a")).open()
        served.away.add("a")
        while (frame := stream.read()) is not None:
            assert frame.packet
        stream.close()
