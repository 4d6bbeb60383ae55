"""Sound tracks: heard when they were written, pictures untouched."""

import wave

import av
import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.structures.sound import read_sound
from mvcap.structures.sound_track import add_sound_track, write_wav
from mvcap.structures.video_writer import write_video

RATE_HZ = 48000


def pictures(path):
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def beep(at_s=0.5, seconds=1.0):
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.where((time > at_s) & (time < at_s + 0.05), 0.8 * np.sin(2 * np.pi * 1000 * time), 0.0)


def test_a_video_gets_a_track_that_begins_with_its_first_picture(tmp_path):
    rng = np.random.default_rng(0)
    path = write_video(
        tmp_path / "a.mp4", [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(10)], 10, (64, 48)
    )
    before = pictures(path)
    add_sound_track(path, beep(), RATE_HZ)
    assert all(np.array_equal(one, other) for one, other in zip(before, pictures(path), strict=True))
    begins, heard = read_sound(path, RATE_HZ)
    onset = begins + np.flatnonzero(np.abs(heard) > 0.2)[0] / RATE_HZ
    assert onset == pytest.approx(0.5, abs=0.003)
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_wav_files_hold_the_samples(tmp_path):
    write_wav(tmp_path / "a.wav", beep(), RATE_HZ)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (RATE_HZ, 1, RATE_HZ)
        held = np.frombuffer(file.readframes(RATE_HZ), np.int16)
    assert held / 32767 == pytest.approx(beep(), abs=1e-4)


def test_what_is_no_video_stays_as_it_is(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(InputError, match="no sound track"):
        add_sound_track(tmp_path / "a.mp4", beep(), RATE_HZ)
    assert (tmp_path / "a.mp4").read_text() == "no video" and len(list(tmp_path.iterdir())) == 1
