"""Live frames: what is not said of one is unknown, and the sources that ship have the protocol."""

from mvcap.sources.mjpeg import Mjpeg
from mvcap.sources.replay import Replay
from mvcap.structures.live_frames import LiveFrame, LiveSource, StreamFormat


def test_what_is_not_said_is_unknown():
    frame = LiveFrame(7, packet=b"x")
    assert frame.key and (frame.source_s, frame.number, frame.image, frame.depth) == (None,) * 4
    assert StreamFormat("mjpeg", (640, 480)) == StreamFormat("mjpeg", (640, 480), None, None, {})


def test_sources_that_ship_have_the_protocol():
    sources: list[LiveSource] = [Mjpeg("http://host/"), Replay("a.mp4")]
    assert [source.ends for source in sources] == [False, True]
