"""Sources whose data are damaged by seed: no exception but SourceError, no long wait, and what was lost is counted."""

import shutil
import socket
import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from camera_server import number_in, numbered_jpegs, numbered_picture
from damaged_clips import KINDS, clip
from damaged_inputs import damaged

from mvcap.errors import SourceError
from mvcap.recording.picture_decoder import jpeg_image, whole_jpeg_size
from mvcap.recording.recorder import Recorder
from mvcap.sources.images import Images
from mvcap.sources.mjpeg import Mjpeg
from mvcap.sources.replay import Replay

SIZE, LONGEST_S = (320, 180), 10.0
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n"


@pytest.fixture(scope="module")
def jpegs():
    return numbered_jpegs(12, SIZE)


@contextmanager
def sender(*parts, pause_s=0.0):
    """Address of a server that sends bytes to whoever asks, and then ends; pause_s: before each part but the first."""
    made = socket.create_server(("127.0.0.1", 0))

    def serve():
        try:
            connection, _ = made.accept()
            with connection:
                connection.recv(4096)
                for number, part in enumerate(parts):
                    time.sleep(pause_s if number else 0)
                    connection.sendall(part)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.getsockname()[1]}/"
    finally:
        made.close()


def part(data, number, length=None, boundary=b"--x"):
    stated = len(data) if length is None else length
    head = b"\r\nContent-Type: image/jpeg\r\nX-Frame: %d\r\nContent-Length: %d\r\n\r\n" % (number, stated)
    return boundary + head + data + b"\r\n"


def read_all(source):
    """Frames that a source gave until it ended or was lost; why it was; all in time."""
    begun, frames, why = time.monotonic(), [], ""
    try:
        stream = source.open()
        try:
            while (frame := stream.read()) is not None and time.monotonic() - begun < LONGEST_S:
                frames.append(frame)
        finally:
            stream.close()
    except SourceError as fault:
        why = str(fault)
    assert time.monotonic() - begun < LONGEST_S and "\n" not in why
    return frames, why


@pytest.mark.parametrize("seed", range(40))
def test_damaged_streams_of_jpeg(jpegs, seed):
    rng = np.random.default_rng(seed)
    whole = b"".join(part(data, number) for number, data in enumerate(jpegs)) + b"--x--\r\n"
    with sender(HEAD + damaged(whole, ".jpg", rng)) as address:
        frames, _ = read_all(Mjpeg(address))
    assert len(frames) <= 2 * len(jpegs) and all(whole_jpeg_size(frame.packet) == SIZE for frame in frames)


@pytest.mark.parametrize("way", ["cut", "long", "short", "boundary"])
def test_pictures_that_are_cut_off_are_missing_by_their_number(jpegs, way):
    parts = [part(data, number) for number, data in enumerate(jpegs)]
    bad = {"cut": part(jpegs[4][:-900], 4), "long": part(jpegs[4], 4, len(jpegs[4]) + 700),
           "short": part(jpegs[4], 4, len(jpegs[4]) - 700), "boundary": part(jpegs[4], 4, boundary=b"--y")}  # fmt: skip
    parts[4] = bad[way]
    with sender(HEAD + b"".join(parts) + b"--x--\r\n") as address:
        frames, why = read_all(Mjpeg(address))
    assert not why and [frame.number for frame in frames] == [number_in(jpeg_image(f.packet)) for f in frames]
    assert set(range(12)) - {frame.number for frame in frames} in ({4}, {5})


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 5000],
        [HEAD + b"--x\r\n" + b"X-Y: z\r\n" * 100_000],
        [HEAD + b"x" * 3_000_000],
        [HEAD + b"--x\r\nContent-Length: 60000000\r\n\r\n" + b"\xff\xd8" * 100_000],
        [HEAD.replace(b"; boundary=x", b"")],
    ],
)
def test_endless_headers_and_streams_without_pictures_are_one_line(parts):
    with sender(*parts) as address:
        frames, why = read_all(Mjpeg(address))
    assert not frames and address in why


def test_bytes_that_come_too_slowly_are_not_waited_for(jpegs):
    drops = [b"x"] * 120
    with sender(HEAD + part(jpegs[0], 0), *drops, pause_s=0.1) as address:
        frames, why = read_all(Mjpeg(address))
    assert len(frames) == 1 and "no whole picture in time" in why


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_folders_with_damaged_images(tmp_path, jpegs, seed, suffix):
    rng = np.random.default_rng(seed)
    for number, data in enumerate(jpegs):
        encoded = data if suffix == "jpg" else cv2.imencode(".png", numbered_picture(number, SIZE))[1].tobytes()
        ruined = damaged(encoded, f".{suffix}", rng) if number and rng.random() < 0.3 else encoded
        (tmp_path / f"cam_{number:04d}.{suffix}").write_bytes(ruined)
    cut = [number for number in (3, 11) if rng.random() < 0.5]
    for number in cut:
        (tmp_path / f"cam_{number:04d}.{suffix}").write_bytes(b"\xff\xd8\xff\xe0")
    view = Recorder(None, {"a": Images(f"{tmp_path}?rate=200")}).views[0]
    view.open()
    view._reader.join(LONGEST_S)
    assert view.state.ended and not view.state.fault
    assert view.state.received + view.state.lost.lost == len(jpegs) and view.state.lost.lost >= len(cut)


@pytest.mark.parametrize("kind", KINDS)
def test_videos_that_are_cut_off_or_damaged_end(tmp_path, kind):
    path = clip(tmp_path / f"a.{kind}")
    data = path.read_bytes()
    for seed in range(3):
        path.write_bytes(damaged(data, ".bin", np.random.default_rng(seed)))
        frames, _ = read_all(Replay(str(path)))
        assert len(frames) <= 90
    path.write_bytes(data[: len(data) // 4])
    frames, why = read_all(Replay(str(path)))
    assert len(frames) < 40 and (frames or why)


def test_frames_at_the_end_of_a_video_that_is_cut_off_are_counted(tmp_path):
    path = clip(tmp_path / "a.fast.mp4")
    path.write_bytes(path.read_bytes()[:-6000])
    view = Recorder(None, {"a": Replay(str(path))}).views[0]
    view.open()
    view._reader.join(LONGEST_S)
    assert view.state.ended and view.state.lost.lost > 2 and view.state.received + view.state.lost.lost == 40


def test_a_file_that_breaks_is_not_begun_again_and_says_why(tmp_path, jpegs):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number, data in enumerate(jpegs):
            (tmp_path / name / f"{number:04d}.jpg").write_bytes(data)
    begun = time.monotonic()
    (tmp_path / "b" / "0000.jpg").write_bytes(b"x")
    sources = {name: Images(f"{tmp_path / name}?rate=10") for name in ("a", "b")}
    with pytest.raises(SourceError, match=r"not all sources answer: b: .*0000.jpg"):
        Recorder(tmp_path / "r", sources, keep_free=0).run()
    assert time.monotonic() - begun < LONGEST_S and not (tmp_path / "r").exists()
    shutil.rmtree(tmp_path / "b")
