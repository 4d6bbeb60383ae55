"""Pictures of a recording while it runs: the newest frame of every codec, warnings, and the coverage by a board."""

import cv2
import numpy as np
import pytest
from camera_server import number_in, numbered_jpegs, numbered_picture

from calib.boards import board_from
from calib.observe import Finder
from mvcap.recording.ffmpeg_stream import FFmpegStream
from mvcap.recording.preview import Preview, picture_quality
from mvcap.structures.live_frames import LiveFrame
from mvcap.structures.video_writer import write_video

SIZE = (480, 272)


def decoded(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_the_newest_picture_of_every_codec(tmp_path):
    preview = Preview(["jpeg", "video", "image"])
    assert preview.jpeg("jpeg", "mjpeg") == b""
    for data in numbered_jpegs(5, SIZE):
        preview.listen("jpeg", LiveFrame(0, packet=data), 0.0)
    stream = FFmpegStream(str(write_video(tmp_path / "a.mp4", (numbered_picture(n, SIZE) for n in range(13)), 25.0,
                                          SIZE, seekable=True)))  # fmt: skip
    while (frame := stream.read()) is not None:
        preview.listen("video", frame, 0.0)
    preview.listen("image", LiveFrame(0, image=numbered_picture(77, SIZE)), 0.0)
    shown = [preview.jpeg(name, codec) for name, codec in (("jpeg", "mjpeg"), ("video", "h264"), ("image", ""))]
    assert [number_in(decoded(jpeg)) for jpeg in shown] == [4, 12, 77]
    assert preview.jpeg("jpeg", "mjpeg") is shown[0]  # nothing new, nothing done


def test_pictures_that_are_white_dark_or_blurred_are_told():
    rng = np.random.default_rng(0)
    sharp = cv2.resize(rng.integers(30, 200, (68, 120, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_NEAREST)
    good = picture_quality(sharp)
    assert good.warnings(good.sharpness) == []
    blurred = picture_quality(cv2.GaussianBlur(sharp, (0, 0), 6))
    assert [word.split()[0] for word in blurred.warnings(good.sharpness)] == ["blurred:"]
    assert "overexposed" in picture_quality(np.where(sharp > 120, 255, sharp)).warnings(0.0)[0]
    assert "dark" in picture_quality(sharp // 20).warnings(0.0)[0]


def test_the_board_covers_the_cells_where_it_was():
    board = board_from("chessboard:9x6:30mm")
    preview = Preview(["a"], [Finder(board)])
    seen = []
    for left in (20, 500):
        image = np.full((540, 960, 3), 255, np.uint8)
        for row in range(7):
            for column in range(10):
                if (row + column) % 2 == 0:
                    image[100 + 40 * row : 140 + 40 * row, left + 40 * column : left + 40 * column + 40] = 0
        preview.listen("a", LiveFrame(0, image=image), 0.0)
        assert preview.jpeg("a", "")
        seen.append(preview.facts("a")["board"])
    assert 0 < seen[0] < seen[1] < 1


@pytest.mark.parametrize("count", [10, 200])
def test_memory_is_bounded_where_key_frames_are_rare(count):
    preview = Preview(["a"])
    preview.listen("a", LiveFrame(0, packet=b"k"), 0.0)
    for _ in range(count):
        preview.listen("a", LiveFrame(0, packet=b"p", key=False), 0.0)
    assert len(preview._views["a"].packets) <= 64
