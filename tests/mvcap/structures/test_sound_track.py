"""Videos joined from parts with a sound track: heard when it was written, pictures untouched."""

import wave

import av
import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.structures.sound import read_sound
from mvcap.structures.sound_track import join_videos, write_wav
from mvcap.structures.video_writer import write_video

RATE_HZ = 48000


def pictures(path):
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def beep(at_s=0.5, seconds=1.0):
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.where((time > at_s) & (time < at_s + 0.05), 0.8 * np.sin(2 * np.pi * 1000 * time), 0.0)


def made(folder, frames=10, size=(64, 48)):
    rng = np.random.default_rng(frames)
    images = [rng.integers(0, 255, (size[1], size[0], 3), np.uint8) for _ in range(frames)]
    return write_video(folder / f"{frames}.mp4", images, 10, size)


def test_parts_are_joined_with_a_track_that_begins_with_the_first_picture(tmp_path):
    parts = [made(tmp_path, frames) for frames in (10, 12, 1)]
    write_wav(tmp_path / "a.wav", [beep()[:20_000], beep()[20_000:]], RATE_HZ)
    join_videos(tmp_path / "out" / "a.mp4", parts, tmp_path / "a.wav")
    shown = [one for part in parts for one in pictures(part)]
    assert all(np.array_equal(*pair) for pair in zip(shown, pictures(tmp_path / "out" / "a.mp4"), strict=True))
    with av.open(str(tmp_path / "out" / "a.mp4")) as video:
        times = [frame.time for frame in video.decode(video=0)]
    assert times == pytest.approx(np.arange(23) / 10)
    begins, heard = read_sound(tmp_path / "out" / "a.mp4", RATE_HZ)
    onset = begins + np.flatnonzero(np.abs(heard) > 0.2)[0] / RATE_HZ
    assert onset == pytest.approx(0.5, abs=0.003)
    join_videos(tmp_path / "silent.mp4", parts[:1])
    assert len(pictures(tmp_path / "silent.mp4")) == 10
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["a.mp4"]


def test_wav_files_hold_the_samples(tmp_path):
    write_wav(tmp_path / "a.wav", [beep()], RATE_HZ)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (RATE_HZ, 1, RATE_HZ)
        held = np.frombuffer(file.readframes(RATE_HZ), np.int16)
    assert held / 32767 == pytest.approx(beep(), abs=1e-4)


def test_what_cannot_be_joined_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "no.mp4").write_text("no video")
    (tmp_path / "no.wav").write_text("no sound")
    part = made(tmp_path)
    for parts, sound, words in (
        ([part, tmp_path / "no.mp4"], None, "no.mp4: cannot be joined"), ([], None, "no part"),
        ([part], tmp_path / "no.wav", "no WAV file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words) as fault:
            join_videos(tmp_path / "out.mp4", parts, sound)
        assert "\n" not in str(fault.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["10.mp4", "no.mp4", "no.wav"]
