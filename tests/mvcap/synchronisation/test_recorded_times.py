"""Absolute times that footage carries."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mvcap.errors import InputError
from mvcap.synchronisation.recorded_times import RecordedTime, recorded_time, timecode_seconds, times_apart


def test_timecodes_count_frames_of_the_rate():
    assert timecode_seconds("01:00:00:00", Fraction(25)) == 3600
    assert timecode_seconds("00:00:10:12", Fraction(24)) == 10.5
    # Non-drop at 29.97 falls behind the time of day; drop frame keeps up with it (SMPTE ST 12-1).
    ntsc = Fraction(30000, 1001)
    assert timecode_seconds("01:00:00:00", ntsc) == pytest.approx(3603.6)
    assert timecode_seconds("01:00:00;00", ntsc) == pytest.approx(3600, abs=0.004)
    assert timecode_seconds("00:01:00;02", ntsc) == pytest.approx(1800 / float(ntsc))
    assert timecode_seconds("10:00:00;00", ntsc * 2) == pytest.approx(36000, abs=0.04)
    for wrong in ("10:00:00", "25:00:00:00", "00:61:00:00", "00:00:00:25", "garbage"):
        with pytest.raises(ValueError, match="no timecode"):
            timecode_seconds(wrong, Fraction(25))


@given(st.integers(0, 24 * 3600 * 30 - 1))
def test_drop_frame_numbers_are_counted_in_order(count):
    ntsc = Fraction(30000, 1001)
    # Label of a frame by its count: two numbers are left out each minute, but not each tenth.
    tens, rest = divmod(count, 17982)
    if tens >= 144:
        return
    label = count + 18 * tens + (2 * ((rest - 2) // 1798) if rest > 1 else 0)
    second, frame = divmod(label, 30)
    text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02};{frame:02}"
    assert timecode_seconds(text, ntsc) == pytest.approx(count / float(ntsc), abs=1e-6)


def test_times_pass_midnight():
    late, early = RecordedTime("timecode", 86399.0, 0.01, ""), RecordedTime("timecode", 1.0, 0.01, "")
    assert times_apart(late, early) == pytest.approx(2) and times_apart(early, late) == pytest.approx(-2)


def test_images_named_by_times_carry_them(tmp_path):
    for frame in range(4):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(
            tmp_path / f"{1_700_000_000_000_000_000 + frame * 40_000_000}.png"
        )
    assert recorded_time(tmp_path).zero_s == pytest.approx(1.7e9)
    for file in tmp_path.iterdir():
        file.rename(tmp_path / f"frame_{file.stem[-9:-7]}.png")
    with pytest.raises(InputError, match="not named by times"):
        recorded_time(tmp_path)
