"""The verb record: from addresses to a session that can be reconstructed."""

import pytest
from camera_server import camera, number_in, numbered_jpegs, numbered_picture
from synthetic_take import ring_rig

import mvcap
from mvcap import plugins
from mvcap.errors import InputError, PluginError
from mvcap.record import source_of
from mvcap.recording.matroska import MatroskaFile
from mvcap.sources.images import Images
from mvcap.sources.mjpeg import Mjpeg
from mvcap.sources.replay import Replay
from mvcap.sources.stream import Stream
from mvcap.sources.webcam import Webcam
from mvcap.structures.live_frames import LiveFrame, StreamFormat

SIZE, RATE_HZ = (320, 180), 40.0


def test_a_recording_with_a_rig_is_a_session_whose_views_are_of_one_moment(tmp_path):
    rig = ring_rig(2, size=SIZE)
    with camera(numbered_jpegs(400, SIZE), RATE_HZ) as served:
        sources = [f"{camera.name}={served.address(camera.name)}" for camera in rig]
        made = mvcap.record(tmp_path / "take", sources, rig=rig, seconds=1.0, keep_free_gb=0)
    session = mvcap.Session.open(tmp_path / "take")
    assert abs(session.rate_hz / RATE_HZ - 1) < 0.01 and session.frames >= min(v.frames for v in made.views) - 1
    shown = [dict(session.images(view, 0, session.frames)) for view in range(2)]
    both = set(shown[0]) & set(shown[1])
    assert len(both) > 30
    assert {number_in(shown[0][frame]) - number_in(shown[1][frame]) for frame in both} == {0}


def test_views_that_begin_at_other_times_are_paired_by_their_clock(tmp_path):
    rig = ring_rig(2, size=SIZE)
    for one, first in zip(rig, (10, 16), strict=True):
        file = MatroskaFile(tmp_path / f"{one.name}.mkv", StreamFormat("", SIZE), "one clock")
        for number in range(first, 40):
            file.write(LiveFrame(0, image=numbered_picture(number, SIZE)), number / RATE_HZ)
        file.close()
    session = mvcap.init(tmp_path, rig, tmp_path / "s.mvcap")
    shown = [{frame: number_in(image) for frame, image in session.images(v, 0, session.frames)} for v in range(2)]
    assert session.frames == 24 and shown[0] == shown[1] and shown[0][0] == 16


@pytest.mark.parametrize(
    ("address", "kind"),
    [("webcam:0", Webcam), ("/dev/video3", Webcam), ("rtsp://host/a", Stream), ("stream:http://host/a.ts", Stream),
     ("http://host/a", Mjpeg), ("mjpeg:https://host/a", Mjpeg), ("udp://@:5000", Stream)],
)  # fmt: skip
def test_an_address_tells_its_source(address, kind):
    assert type(source_of(address)) is kind


def test_files_and_folders_are_sources(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert type(source_of(str(tmp_path / "a.mp4"))) is Replay and type(source_of(f"{tmp_path}?rate=5")) is Images
    assert set(plugins.TABLE["source"]) == {"webcam", "stream", "mjpeg", "replay", "images", "genicam", "rgbd"}


@pytest.mark.parametrize(
    ("sources", "options", "words"),
    [
        ([], {}, "no source given"),
        (["cam1"], {}, "is given as NAME=ADDRESS"),
        (["a=http://h/", "a=http://h/2"], {}, "two views are named 'a'"),
        (["../a=http://h/"], {}, "no name for a view"),
        (["a=nowhere.mp4"], {}, "no such file, folder or kind of address"),
        (["a=webcam:0?size=big"], {}, "no option size=big"),
        (["a=http://h/"], {"codec": "x265"}, "codec 'x265' is not one of"),
        (["a=http://h/"], {"seconds": 0}, "no time to record"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, sources, options, words):
    with pytest.raises(InputError, match=words):
        mvcap.record(tmp_path / "r", sources, **options)
    assert not (tmp_path / "r").exists()


def test_a_plugin_of_ones_own_that_is_not_there(tmp_path):
    with pytest.raises(PluginError):
        source_of("no.such.module:Camera:0")
