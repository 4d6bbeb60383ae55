"""Files of a recording: packets as they came, images by every codec, times in ms, and readable after a crash."""

import subprocess
import sys
import textwrap

import av
import cv2
import numpy as np
import pytest
from camera_server import number_in, numbered_jpegs, numbered_picture

from mvcap.recording.ffmpeg_stream import FFmpegStream
from mvcap.recording.matroska import DepthFile, MatroskaFile
from mvcap.structures.footage import Footage
from mvcap.structures.live_frames import LiveFrame, StreamFormat
from mvcap.structures.video_writer import write_video

SIZE = (320, 180)


def numbers_in(path):
    return [number_in(image) for _, image in Footage.probe(path).read()]


def test_packets_of_jpeg_are_kept_to_the_byte(tmp_path):
    jpegs = numbered_jpegs(20, SIZE)
    file = MatroskaFile(tmp_path / "a.mkv", StreamFormat("mjpeg", SIZE), "clock")
    for number, data in enumerate(jpegs):
        assert file.write(LiveFrame(0, packet=data), 2.0 + number / 30) == len(data)
    file.close()
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert [bytes(packet) for packet in container.demux(video=0) if packet.size] == jpegs
    footage = Footage.probe(tmp_path / "a.mkv")
    assert footage.clock == "clock" and abs(footage.time_s[0] - 2.0) < 1e-3
    np.testing.assert_allclose(np.diff(footage.time_s), 1 / 30, atol=1.1e-3)
    assert numbers_in(tmp_path / "a.mkv") == list(range(20))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_packets_of_h264_are_kept(tmp_path, suffix):
    source = tmp_path / f"source{suffix}"
    write_video(source, (numbered_picture(n, SIZE) for n in range(30)), 30.0, SIZE, seekable=True)
    stream = FFmpegStream(str(source))
    file = MatroskaFile(tmp_path / "a.mkv", stream.format, "clock")
    assert file.copies and stream.format.codec == "h264"
    frames = 0
    while (frame := stream.read()) is not None:
        if frames >= 10:  # from a key frame in the middle on
            file.write(frame, frame.source_s)
        frames += 1
    stream.close()
    file.close()
    assert frames == 30 and numbers_in(tmp_path / "a.mkv") == list(range(10, 30))


@pytest.mark.parametrize("codec", ["copy", "h264", "ffv1", "mjpeg"])
def test_images_are_encoded(tmp_path, codec):
    size = (161, 91)
    file = MatroskaFile(tmp_path / "a.mkv", StreamFormat("", size), "clock", codec)
    assert not file.copies
    for number in range(12):
        file.write(LiveFrame(0, image=numbered_picture(number, size)), number / 25)
    file.close()
    assert numbers_in(tmp_path / "a.mkv") == list(range(12))
    if codec == "ffv1":
        [(_, first), *_] = Footage.probe(tmp_path / "a.mkv").read(3, 4)
        assert np.array_equal(first[:91, :161], numbered_picture(3, size))


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_packets_of_another_codec_are_decoded_and_encoded(tmp_path, codec):
    jpegs = numbered_jpegs(12, SIZE)
    file = MatroskaFile(tmp_path / "a.mkv", StreamFormat("mjpeg", SIZE), "clock", codec)
    assert not file.copies
    for number, data in enumerate(jpegs):
        wrote = file.write(LiveFrame(0, packet=b"no picture" if number == 5 else data), number / 30)
        assert wrote is None if number == 5 else wrote == 0
    file.close()
    assert numbers_in(tmp_path / "a.mkv") == [n for n in range(12) if n != 5]
    [(_, seen), *_] = Footage.probe(tmp_path / "a.mkv").read(3, 4)
    assert np.abs(seen.astype(int) - cv2.imdecode(np.frombuffer(jpegs[3], np.uint8), 1)[..., ::-1]).mean() < 3


def test_h264_is_decoded_for_another_codec(tmp_path):
    write_video(tmp_path / "s.mkv", (numbered_picture(n, SIZE) for n in range(30)), 30.0, SIZE, seekable=True)
    stream = FFmpegStream(str(tmp_path / "s.mkv"))
    file = MatroskaFile(tmp_path / "a.mkv", stream.format, "clock", "mjpeg")
    while (frame := stream.read()) is not None:
        file.write(frame, frame.source_s)
    stream.close()
    file.close()
    assert numbers_in(tmp_path / "a.mkv") == list(range(30))


def test_times_never_stand_still(tmp_path):
    file = MatroskaFile(tmp_path / "a.mkv", StreamFormat("", SIZE), "clock")
    for at in (0.0, 0.0002, 0.0001, 0.5):
        file.write(LiveFrame(0, image=numbered_picture(0, SIZE)), at)
    file.close()
    assert Footage.probe(tmp_path / "a.mkv").frames == 4


def test_depth_is_kept_to_the_unit(tmp_path):
    depths = np.random.default_rng(0).integers(0, 65535, (5, 90, 160)).astype(np.uint16)
    file = DepthFile(tmp_path / "d.mkv", StreamFormat("", (160, 90), 30.0, depth_unit_m=0.001), "clock")
    for number, depth in enumerate(depths):
        file.write(depth, number / 30)
    file.close()
    with av.open(str(tmp_path / "d.mkv")) as container:
        assert float(container.metadata[DepthFile.UNIT_TAG]) == 0.001
        read = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert np.array_equal(read, depths)


def test_everything_written_plays_after_a_kill(tmp_path):
    code = f"""
        import os, signal, sys
        sys.path[:0] = {sys.path!r}
        from camera_server import numbered_picture
        from mvcap.recording.matroska import MatroskaFile
        from mvcap.structures.live_frames import LiveFrame, StreamFormat
        file = MatroskaFile({str(tmp_path / "a.mkv")!r}, StreamFormat("", {SIZE}), "clock")
        for number in range(100):
            file.write(LiveFrame(0, image=numbered_picture(number, {SIZE})), number / 30)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == -9
    assert numbers_in(tmp_path / "a.mkv") == list(range(len(numbers_in(tmp_path / "a.mkv"))))
    assert len(numbers_in(tmp_path / "a.mkv")) >= 85  # all but the last half second
