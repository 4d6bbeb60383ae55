"""Streams of FFmpeg: which are kept as packets, which become images, and what is wrong with an address."""

import numpy as np
import pytest
from camera_server import number_in, numbered_picture

from mvcap.errors import SourceError
from mvcap.recording.ffmpeg_stream import FFmpegStream
from mvcap.recording.picture_decoder import PictureDecoder
from mvcap.structures.video_writer import write_video

SIZE = (320, 180)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("streams") / "a.mp4"
    return write_video(path, (numbered_picture(n, SIZE) for n in range(24)), 24.0, SIZE, seekable=True)


def frames_of(stream):
    out = []
    while (frame := stream.read()) is not None:
        out.append(frame)
    stream.close()
    return out


def test_packets_decode_from_every_key_frame_on(video):
    frames = frames_of(FFmpegStream(str(video)))
    assert len(frames) == 24 and frames[0].key and not frames[1].key
    np.testing.assert_allclose([frame.source_s for frame in frames], np.arange(24) / 24, atol=1e-4)
    for begin in (0, 10):
        decoder = PictureDecoder("h264")
        assert [number_in(decoder.image(frame)) for frame in frames[begin:]] == list(range(begin, 24))
    decoder = PictureDecoder("h264")
    assert decoder.image(frames[1]) is None  # no key frame yet


def test_images_are_decoded_if_asked_for(video):
    frames = frames_of(FFmpegStream(str(video), as_images=True))
    assert [number_in(PictureDecoder("").image(frame)) for frame in frames] == list(range(24))


def test_what_is_no_stream_is_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("no video")
    for address in (str(tmp_path / "a.txt"), str(tmp_path / "none.mp4"), "tcp://127.0.0.1:9", "nothing://x"):
        with pytest.raises(SourceError, match="cannot be opened") as caught:
            FFmpegStream(address)
        assert "\n" not in str(caught.value)
