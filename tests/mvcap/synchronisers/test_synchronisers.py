"""Synchronisers on takes: people with and without a rig, sound, flashes, and times that files carry."""

from fractions import Fraction

import av
import numpy as np
import pytest
from sounding_clips import write_sounding
from unsynchronised_take import LATE, unsynchronised, varied_pace

from mvcap.errors import ConfigError
from mvcap.recording.frame_log import FrameLog
from mvcap.structures.row_source import RowsInMemory
from mvcap.structures.sync_evidence import UnsynchronisedTake
from mvcap.structures.video_writer import write_video
from mvcap.synchronisers import motion
from mvcap.synchronisers.audio import AudioConfig, AudioSynchroniser
from mvcap.synchronisers.flash import FlashSynchroniser
from mvcap.synchronisers.motion import MotionConfig, MotionSynchroniser
from mvcap.synchronisers.timecode import TimecodeConfig, TimecodeSynchroniser


def test_motion_tells_delays_in_seconds():
    rows, rig, _ = unsynchronised("walk", 1, 240)
    names = tuple(camera.name for camera in rig)
    take = UnsynchronisedTake(names, (None,) * 4, np.zeros(4), 8.0, 30.0, 240, rig, RowsInMemory(rows, 240, 100))
    found = MotionSynchroniser().find(take)
    assert np.allclose((found.late_s - found.late_s[0]) * 30, LATE, atol=0.2)
    assert not found.refused and len(found.pairs) == 6 and found.figures["residual_sigma"] > 0.5
    assert np.isfinite(found.covariance).all()


def test_motion_of_a_long_take_is_found_from_parts_of_it(monkeypatch):
    monkeypatch.setattr(motion, "_PART_FRAMES", 90)
    rows, rig, _ = unsynchronised("run", 2, 900)
    take = UnsynchronisedTake(
        tuple("abcd"), (None,) * 4, np.zeros(4), 30.0, 30.0, 900, rig, RowsInMemory(rows, 900, 90)
    )
    asked = []
    held = take.rows.between
    monkeypatch.setattr(take.rows, "between", lambda start, stop: asked.append(stop - start) or held(start, stop))
    found = MotionSynchroniser(MotionConfig(reach_s=1)).find(take)
    assert max(asked) <= 90 and len(asked) == 6
    late = (found.late_s - found.late_s[0]) * 30
    assert np.allclose(late, LATE, atol=0.25) and np.abs(found.drift - np.mean(found.drift)).max() < 1e-4


def test_motion_takes_every_second_frame():
    rows, rig, _ = unsynchronised("walk", 4, 600)
    half = rows[rows.frame % 2 == 0]
    take = UnsynchronisedTake(
        tuple("abcd"), (None,) * 4, np.zeros(4), 600 / 30, 30.0, 600, rig, RowsInMemory(half, 600, 100), 2
    )
    found = MotionSynchroniser().find(take)
    assert not found.refused and np.allclose((found.late_s - found.late_s[0]) * 30, LATE, atol=0.5)


def test_motion_without_a_rig_refuses_laps_that_look_alike_and_tells_those_that_do_not():
    assert speeds_of("run", 1).refused.keys() == {0, 1, 2, 3}
    assert "repeats itself every" in speeds_of("run", 1).refused[0]
    found = speeds_of("run", 1, varied_pace(1))
    late = (found.late_s - found.late_s[0]) * 30
    sigma = 30 * np.sqrt(np.diag(found.covariance)[:4] + found.covariance[0, 0] - 2 * found.covariance[0, :4])
    assert not found.refused and np.abs(late - LATE).max() < 1.5
    assert (np.abs(late - LATE)[1:] < 4 * sigma[1:]).all() and sigma[1:].max() < 1


def speeds_of(kind, seed, pace=None, frames=600):
    """What speeds tell of a take without a rig."""
    rows, _, _ = unsynchronised(kind, seed, frames, pace=pace)
    take = UnsynchronisedTake(
        tuple("abcd"), (None,) * 4, np.zeros(4), frames / 30, 30.0, frames, None, RowsInMemory(rows, frames, 200)
    )
    return MotionSynchroniser().find(take)


def test_motion_needs_a_rig():
    take = UnsynchronisedTake(("a", "b"), (None, None), np.zeros(2), 8.0)
    assert "needs a session" in MotionSynchroniser().find(take).refused[0]


def test_audio_tells_delays_and_refuses_a_view_without_sound(tmp_path):
    whole = np.random.default_rng(0).normal(size=16000 * 22)
    files = [
        write_sounding(tmp_path / "a.mkv", whole[: 16000 * 16]),
        write_sounding(tmp_path / "b.mkv", whole[16000 * 2 : 16000 * 18]),
        write_sounding(tmp_path / "c.mkv", whole, silent=True),
    ]
    found = AudioSynchroniser(AudioConfig(apart_m=1.0)).find(
        UnsynchronisedTake(("a", "b", "c"), tuple(files), np.zeros(3), 16.0)
    )
    assert found.late_s[1] - found.late_s[0] == pytest.approx(-2.0, abs=1e-4)
    assert np.isnan(found.late_s[2]) and "no sound" in found.refused[2]
    # The sound's way counts: a metre is 2.9 ms.
    differ = found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1]
    assert np.sqrt(differ) == pytest.approx(1 / 343, rel=0.05)


def flashing(folder, begins, flashes=(2.0, 3.7, 6.1), lamp=5.0, fps=25, seconds=8):
    """Videos that begin at times (C,) s of one room: flashes of 2 ms, a lamp that stays on, somebody who moves."""
    files = []
    folder.mkdir(exist_ok=True)
    exposure = 1 / 100
    for view, begin in enumerate(begins):
        rng = np.random.default_rng(view)
        wall = rng.integers(40, 120, (60, 80)).astype(float)
        images = []
        for frame in range(int(seconds * fps)):
            opens = begin + frame / fps
            lit = 1.0 + 0.5 * float(np.clip((opens + exposure - lamp) / exposure, 0, 1))
            lit += 1.2 * any(opens <= flash < opens + 1 / fps for flash in flashes)
            shown = wall * lit + rng.normal(0, 1.5, wall.shape)
            shown[20:50, (3 * frame) % 60 : (3 * frame) % 60 + 15] = 200 - 40 * (frame % 2)
            images.append(np.repeat(np.clip(shown, 0, 255).astype(np.uint8)[..., None], 3, -1))
        files.append(write_video(folder / f"v{view}.mp4", images, fps, (80, 60)))
    return files


def test_flash_tells_delays_within_its_standard_deviation(tmp_path):
    begins = np.array([0.0, 0.5, -0.213])
    files = flashing(tmp_path, begins)
    found = FlashSynchroniser().find(UnsynchronisedTake(("a", "b", "c"), tuple(files), np.zeros(3), 8.0))
    late = found.late_s - found.late_s[0]
    sigma = np.sqrt(found.covariance[1, 1] + found.covariance[0, 0] - 2 * found.covariance[0, 1])
    assert not found.refused and np.abs(late + begins).max() < 3 * sigma < 0.06


def test_flash_is_refused_where_it_proves_nothing(tmp_path):
    steady = flashing(tmp_path / "x", [0.0, 0.3], flashes=(1, 2, 3, 4, 6, 7), lamp=99)
    found = FlashSynchroniser().find(UnsynchronisedTake(("a", "b"), tuple(steady), np.zeros(2), 8.0))
    assert "fit 6 and 4 changes" in found.refused[0]
    lamp = flashing(tmp_path / "y", [0.0, 0.3], flashes=())
    found = FlashSynchroniser().find(UnsynchronisedTake(("a", "b"), tuple(lamp), np.zeros(2), 8.0))
    assert "a camera's exposure may have made it" in found.refused[0]
    dark = flashing(tmp_path / "z", [0.0, 0.3], flashes=(), lamp=99)
    found = FlashSynchroniser().find(UnsynchronisedTake(("a", "b"), tuple(dark), np.zeros(2), 8.0))
    assert "no flash" in found.refused[0]


def coded(path, timecode, fps=25, frames=50):
    """A video with a timecode."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if timecode:
            container.metadata["timecode"] = timecode
        for _ in range(frames):
            image = np.zeros((48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_timecodes_tell_delays_to_a_fraction_of_a_frame(tmp_path):
    files = [
        coded(tmp_path / "a.mkv", "23:59:59:20"), coded(tmp_path / "b.mov", "00:00:00:10"),
        coded(tmp_path / "c.mkv", None), coded(tmp_path / "d.mkv", "12:00:00:00"),
    ]  # fmt: skip
    found = TimecodeSynchroniser().find(UnsynchronisedTake(tuple("abcd"), tuple(files), np.zeros(4), 2.0))
    # b began 15 frames later, past midnight: what a shows at t, b shows at t - 0.6 s.
    assert found.late_s[1] - found.late_s[0] == pytest.approx(-0.6, abs=1e-6)
    differ = found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1]
    assert np.sqrt(differ) == pytest.approx(0.04 / np.sqrt(6), rel=0.01)
    assert "no timecode" in found.refused[2] and "from that of the others" in found.refused[3]


def test_timecodes_that_were_never_set_are_refused(tmp_path):
    files = [coded(tmp_path / f"{name}.mkv", "01:00:00:00") for name in "ab"]
    found = TimecodeSynchroniser().find(UnsynchronisedTake(("a", "b"), tuple(files), np.zeros(2), 2.0))
    assert "not set to one clock" in found.refused[0]


def test_recordings_of_two_machines_are_put_together_by_their_clocks(tmp_path):
    files = []
    for name, start_ns in (("a", 1_800_000_000_000_000_000), ("b", 1_800_000_000_400_000_000)):
        files.append(coded(tmp_path / f"{name}.mkv", None))
        log = FrameLog(tmp_path / f"{name}.frames.csv")
        log.add(0, 0.02, 0, start_ns + 20_000_000, None, None, 0, 100)
        log.close()
    found = TimecodeSynchroniser(TimecodeConfig(clock_s=0.01)).find(
        UnsynchronisedTake(("a", "b"), tuple(files), np.zeros(2), 2.0)
    )
    assert found.late_s[1] - found.late_s[0] == pytest.approx(-0.4, abs=1e-6)
    differ = found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1]
    assert 0.014 < np.sqrt(differ) < 0.016


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="reach_s"):
        MotionConfig(reach_s=-1)
    with pytest.raises(ConfigError, match="apart_m"):
        AudioConfig(apart_m=-1)
