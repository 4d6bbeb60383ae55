"""Recordings of cameras on loopback: every frame, the right times, sources that go and come back, a disk that fills."""

import json
import shutil
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from camera_server import camera, number_in, numbered_jpegs

from mvcap.errors import InputError, SourceError
from mvcap.recording import recorder as module
from mvcap.recording.frame_log import read_frame_log
from mvcap.recording.recorder import FACTS, Recorder
from mvcap.recording.view_recorder import RecordingClock, ViewRecorder
from mvcap.sources.mjpeg import Mjpeg
from mvcap.structures.footage import Footage
from mvcap.structures.live_frames import LiveFrame, StreamFormat

SIZE, RATE_HZ = (320, 180), 40.0


@pytest.fixture(scope="module")
def jpegs():
    return numbered_jpegs(400, SIZE)


def recorded(folder, served, names=("a", "b"), tick=lambda recorder: None, **options):
    sources = {name: Mjpeg(served.address(name)) for name in names}
    return Recorder(folder, sources, keep_free=0, **options).run(tick)


def true_numbers(folder, name, served):
    """Numbers of a view's pictures since the camera began, from its pictures and the times of its file."""
    footage = Footage.probe(folder / "videos" / f"{name}.mkv")
    shown = np.array([number_in(image) for _, image in footage.read()])
    begun = json.loads((folder / FACTS).read_text())["start_monotonic_ns"] / 1e9
    true_s = served.begun - begun + shown / served.rate_hz
    return shown, 1000 * np.abs(footage.time_s - true_s)


def test_every_frame_at_its_time(tmp_path, jpegs):
    with camera(jpegs, RATE_HZ, skip=lambda n: n % 50 == 49) as served:
        made = recorded(tmp_path / "r", served, seconds=1.5)
        assert made.complete and made.reason == "the time is up" and [v.name for v in made.views] == ["a", "b"]
        for view in made.views:
            shown, error_ms = true_numbers(made.folder, view.name, served)
            missing = np.setdiff1d(np.arange(shown[0], shown[-1]), shown)
            assert (missing % 50 == 49).all() and view.lost == len(missing) and view.frames == len(shown) > 50
            assert error_ms.max() < 5 and abs(view.rate_hz / RATE_HZ - 1) < 0.01
            times = read_frame_log(made.folder / "videos" / f"{view.name}.frames.csv")
            assert len(times.capture_s) == view.frames and times.lost_before.sum() == view.lost
    facts = json.loads((made.folder / FACTS).read_text())
    assert facts["state"] == "complete" and facts["views"][0]["frames"] == made.views[0].frames
    assert sorted(path.name for path in made.folder.iterdir()) == [FACTS, "videos"]


def test_a_source_that_is_away_is_a_gap_in_the_same_file(tmp_path, jpegs):
    with camera(jpegs, RATE_HZ) as served:

        def tick(recorder):
            recorder_s = recorder.state.seconds
            (served.away.add if 0.5 < recorder_s < 1.0 else served.away.discard)("b")

        made = recorded(tmp_path / "r", served, tick=tick, seconds=3.0)
        whole, cut = made.views
        assert (whole.lost, whole.reconnections) == (0, 0) and cut.reconnections >= 1
        [gap] = cut.gaps
        assert gap["why"] == "source" and gap["lost"] == cut.lost > 10
        shown, error_ms = true_numbers(made.folder, "b", served)
        assert len(np.setdiff1d(np.arange(shown[0], shown[-1]), shown)) == cut.lost
        assert error_ms.max() < 10


def test_a_disk_that_is_nearly_full_ends_it_in_good_order(tmp_path, jpegs, monkeypatch):
    begun = time.monotonic()
    free = lambda path: SimpleNamespace(free=10**9 if time.monotonic() - begun < 2.5 else 10**6)  # noqa: E731
    monkeypatch.setattr(module.shutil, "disk_usage", free)
    with camera(jpegs, RATE_HZ) as served:
        made = Recorder(tmp_path / "r", {"a": Mjpeg(served.address("a"))}, keep_free=10**8).run()
        assert not made.complete and made.reason.startswith("the disk is nearly full")
        shown, _ = true_numbers(made.folder, "a", served)
    assert len(shown) == made.views[0].frames > 20 and made.views[0].lost == 0
    assert json.loads((made.folder / FACTS).read_text())["state"] == "cut short"


def test_it_waits_to_be_started_and_can_be_stopped(tmp_path, jpegs):
    phases = []

    def tick(recorder):
        phases.append(recorder.state.phase)
        if recorder.state.phase == "ready":
            recorder.start()
        if recorder.state.phase == "recording" and recorder.state.seconds > 0.3:
            recorder.stop("enough")

    with camera(jpegs, RATE_HZ) as served:
        made = recorded(tmp_path / "r", served, tick=tick, waits=True)
    assert made.reason == "enough" and made.views[0].frames > 5
    assert list(dict.fromkeys(phases)) == ["opening", "ready", "recording", "ended"]


def test_what_cannot_be_recorded_is_one_line_and_leaves_nothing(tmp_path, jpegs, monkeypatch):
    monkeypatch.setattr(module, "_OPEN_S", 1.0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with camera(jpegs, RATE_HZ) as served:
        with pytest.raises(InputError, match="is there already"):
            recorded(tmp_path / "full", served)
        with pytest.raises(InputError, match=r"GB are free, .* make room, or lower --keep-free"):
            Recorder(
                tmp_path / "r", {"a": Mjpeg(served.address())}, keep_free=shutil.disk_usage(tmp_path).total * 2
            ).run()
        served.away.add("b")
        with pytest.raises(SourceError, match=r"not all sources answer: b: http.*status 503"):
            recorded(tmp_path / "r", served)
        with pytest.raises(InputError, match="nothing was recorded"):
            recorded(tmp_path / "r", served, ("a",), tick=lambda recorder: recorder.stop(), waits=True)
    assert not (tmp_path / "r").exists()


class _Burst:
    """A source of frames faster than any disk."""

    ends = True
    format = StreamFormat("mjpeg", SIZE)

    def __init__(self, data, count):
        self._data, self._left = data, count
        self.begin = threading.Event()

    def open(self):
        return self

    def read(self):
        self.begin.wait()
        self._left -= 1
        return LiveFrame(time.monotonic_ns(), packet=self._data) if self._left >= 0 else None

    def close(self):
        pass


def test_a_full_queue_loses_frames_and_counts_them(tmp_path, jpegs):
    source = _Burst(jpegs[0], 3000)
    view = ViewRecorder("a", source, queue_frames=4)
    view.state.format = source.format
    view.open()
    view.begin(tmp_path, RecordingClock("clock", time.monotonic_ns(), time.time_ns()))
    source.begin.set()
    end = time.monotonic() + 20
    while not view.state.ended and time.monotonic() < end:
        time.sleep(0.01)
    view.join()
    assert view.state.queue_lost > 0 and view.state.written + view.state.queue_lost == 3000
    assert Footage.probe(tmp_path / "a.mkv").frames == view.state.written
