"""Moments of several live views: the newest that all show, whatever came late, was lost or went away."""

from types import SimpleNamespace

import numpy as np
import pytest
from camera_server import number_in, numbered_jpegs, numbered_picture

from mvcap.recording.ffmpeg_stream import FFmpegStream
from mvcap.streaming.moments import MomentPicker
from mvcap.structures.live_frames import LiveFrame, StreamFormat
from mvcap.structures.video_writer import write_video

SIZE, RATE_HZ = (320, 180), 30.0


@pytest.fixture(scope="module")
def jpegs():
    return numbered_jpegs(100, SIZE)


def picker_of(*codecs):
    """A picker of views of these codecs, named 0, 1 ..."""
    views = [
        SimpleNamespace(
            name=str(n),
            state=SimpleNamespace(format=StreamFormat(codec, SIZE), lost=SimpleNamespace(interval_s=1 / RATE_HZ)),
        )
        for n, codec in enumerate(codecs)
    ]
    return MomentPicker(views)


def shown(moment):
    return [None if image is None else number_in(image) for image in moment.images]


def test_the_newest_moment_that_all_views_show(jpegs):
    picker = picker_of("mjpeg", "mjpeg")
    assert picker.newest() is None
    for n in range(12):
        picker.listen("0", LiveFrame(0, packet=jpegs[n]), n / RATE_HZ)
        if n < 10:  # this view's frames are on their way for longer
            picker.listen("1", LiveFrame(0, packet=jpegs[n]), n / RATE_HZ + 0.004)
    moment = picker.newest()
    assert shown(moment) == [9, 9] and moment.at_s == pytest.approx(9 / RATE_HZ + 0.004)
    assert picker.newest() is None  # nothing new in view 1
    for n in range(12, 20):
        for name in "01":
            picker.listen(name, LiveFrame(0, packet=jpegs[n]), n / RATE_HZ)
    moment = picker.newest()
    assert shown(moment) == [19, 19] and moment.passed == 9  # 10 to 18


def test_views_whose_clocks_differ_by_little_show_one_moment_and_none_is_passed_over(jpegs):
    picker = picker_of("mjpeg", "mjpeg")
    for n in range(20):
        for name, late in (("0", 0.0), ("1", 0.002)):
            picker.listen(name, LiveFrame(0, packet=jpegs[n]), n / RATE_HZ + late)
        moment = picker.newest()
        assert shown(moment) == [n, n] and moment.passed == 0 and picker.newest() is None


def test_the_first_frames_are_one_moment_though_no_interval_is_known_yet(jpegs):
    picker = picker_of("mjpeg", "mjpeg")
    for view in picker._views:
        view.state.lost.interval_s = 0.0
    picker.listen("1", LiveFrame(0, packet=jpegs[0]), 0.0)
    assert shown(picker.newest()) == [None, 0]  # the other view has not begun
    picker.listen("0", LiveFrame(0, packet=jpegs[0]), 0.0003)
    assert picker.newest() is None
    picker.listen("1", LiveFrame(0, packet=jpegs[1]), 0.0004)
    assert picker.newest() is None


def test_a_view_that_lost_the_frame_or_went_away_shows_nothing(jpegs):
    picker = picker_of("mjpeg", "mjpeg", "mjpeg")
    for n in range(60):
        picker.listen("0", LiveFrame(0, packet=jpegs[n]), n / RATE_HZ)
        if n != 59:
            picker.listen("1", LiveFrame(0, packet=jpegs[n]), n / RATE_HZ)
        if n < 20:
            picker.listen("2", LiveFrame(0, packet=jpegs[n]), n / RATE_HZ)
    assert shown(picker.newest()) == [58, 58, None]
    picker.listen("1", LiveFrame(0, packet=jpegs[62]), 62 / RATE_HZ)
    picker.listen("0", LiveFrame(0, packet=jpegs[60]), 60 / RATE_HZ)
    assert shown(picker.newest()) == [60, None, None]


def test_memory_holds_a_second(jpegs):
    picker = picker_of("mjpeg")
    for n in range(300):
        picker.listen("0", LiveFrame(0, packet=jpegs[n % 100]), n / RATE_HZ)
    assert len(picker._streams["0"].times()) <= RATE_HZ + 2


def test_streams_that_refer_are_decoded_as_they_come(tmp_path):
    stream = FFmpegStream(str(write_video(tmp_path / "a.mp4", (numbered_picture(n, SIZE) for n in range(20)), RATE_HZ,
                                          SIZE, seekable=True)))  # fmt: skip
    picker = picker_of("h264")
    while (frame := stream.read()) is not None:
        picker.listen("0", frame, frame.source_s)
    picker.close()  # ends when all is decoded
    moment = picker.newest()
    assert shown(moment) == [19] and len(picker._streams["0"].times()) <= 12 and np.isfinite(moment.at_s)
