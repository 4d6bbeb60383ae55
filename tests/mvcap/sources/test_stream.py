"""Streams over RTSP and TCP, sent by FFmpeg on loopback to this machine, which waits for them."""

import multiprocessing
import socket
import time
from itertools import pairwise

import av
import pytest
from camera_server import number_in, numbered_picture

from mvcap.errors import SourceError
from mvcap.recording import ffmpeg_stream
from mvcap.recording.picture_decoder import PictureDecoder
from mvcap.sources.stream import Stream

SIZE, RATE = (320, 180), 25


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def send(address, container, count, options=None):
    """Send numbered pictures as H.264, at their rate; again until somebody listens."""
    for _ in range(200):
        try:
            with av.open(address, "w", format=container, options=options or {}) as out:
                stream = out.add_stream("libx264", rate=RATE)
                stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
                stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10", "bf": "0"}
                begun = time.monotonic()
                for number in range(count):
                    frame = av.VideoFrame.from_ndarray(numbered_picture(number, SIZE), format="rgb24")
                    out.mux(stream.encode(frame))
                    time.sleep(max(begun + number / RATE - time.monotonic(), 0))
                out.mux(stream.encode(None))
            return
        except (av.FFmpegError, OSError):
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("scheme", "path", "container", "options"),
    [("rtsp", "/cam", "rtsp", {"rtsp_transport": "tcp"}), ("tcp", "", "mpegts", None)],
)
def test_packets_arrive_with_their_times_and_numbers(scheme, path, container, options):
    address = f"{scheme}://127.0.0.1:{free_port()}{path}"
    sender = multiprocessing.get_context("spawn").Process(target=send, args=(address, container, 60, options))
    sender.start()
    stream = Stream(f"{address}?listen").open()
    assert stream.format.codec == "h264" and stream.format.size == SIZE
    decoder, shown, times = PictureDecoder("h264"), [], []
    for _ in range(40):
        frame = stream.read()
        image = decoder.image(frame)
        if image is not None:
            shown.append(number_in(image))
            times += [frame.source_s] if frame.source_s is not None else []  # RTSP may not know the first
    stream.close()
    sender.kill()
    sender.join()
    assert len(shown) >= 30 and shown == list(range(shown[0], shown[0] + len(shown)))
    assert len(times) >= len(shown) - 1
    steps = [b - a for a, b in pairwise(times)]
    assert max(abs(step - 1 / RATE) for step in steps) < 2e-3


def test_a_camera_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.setattr(ffmpeg_stream, "OPEN_S", 1.0)
    for address in ("rtsp://127.0.0.1:9/cam", f"tcp://127.0.0.1:{free_port()}?listen"):
        begun = time.monotonic()
        with pytest.raises(SourceError, match="cannot be opened") as caught:
            Stream(address).open()
        assert time.monotonic() - begun < 5 and "\n" not in str(caught.value)
