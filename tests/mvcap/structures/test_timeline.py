"""A part of a take by seconds and frames, and lengths that no take has."""

import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.structures.timeline import MOST_FRAMES, Timeline, check_length, frame_at, part_of


@pytest.mark.parametrize(
    ("moment", "frame"),
    [(2, 50), (2.5, 62), ("2.5", 62), ("2.5s", 62), (".5 s", 12), ("300f", 300), ("300 frames", 300), ("1:02.4", 1560),
     ("1:00:00", 90000), (0, 0), ("0f", 0)],
)  # fmt: skip
def test_seconds_and_frames(moment, frame):
    assert frame_at(moment, 25.0, "--from") == frame


@pytest.mark.parametrize("moment", [-1, "-3f", "soon", "", "2.5f", float("nan"), float("inf"), "1e3", True, "9" * 400])
def test_what_is_no_moment_is_refused(moment):
    with pytest.raises(InputError, match=r"--to .*give seconds") as caught:
        frame_at(moment, 25.0, "--to")
    assert "\n" not in str(caught.value)


def test_a_part_of_a_timeline():
    frame_of = np.tile(np.arange(100)[:, None], (1, 2))
    whole = Timeline(25.0, frame_of, frame_of / 25, frame_of + 3, np.array([103, 103]))
    assert whole.part(None, None) is whole and whole.part(0, 4) is whole
    part = whole.part("20f", 3)
    assert part.frames == 55 and part.first == 20 and part.frame_of[0].tolist() == [20, 20]
    assert part.number_of[-1].tolist() == [77, 77] and part.number_count.tolist() == [103, 103]
    assert "frames 20 to 74 of the take's 100" in part.notes[0]
    assert part.part("1f", None).first == 21
    assert set(part.arrays()) == {"frame_of", "time_s", "number_of", "number_count", "first"}
    plain = Timeline(25.0, frame_of, frame_of / 25, frame_of, np.array([100, 100]))
    assert set(plain.arrays()) == {"frame_of", "time_s"}


@pytest.mark.parametrize(
    ("start", "stop", "words"),
    [(4, None, "--from 4 is at or behind the end"), (None, "101f", "--to 101f is behind the end"),
     ("9f", "9f", "leave no frame"), (3, 2, "leave no frame"), (None, 0, "leave no frame")],
)  # fmt: skip
def test_parts_that_there_are_not(start, stop, words):
    with pytest.raises(InputError, match=words) as caught:
        part_of(start, stop, 25.0, 100)
    assert "100 frames, 4 s at 25 Hz" in str(caught.value)


def test_no_take_is_so_long():
    assert check_length(MOST_FRAMES, "x") == MOST_FRAMES
    with pytest.raises(InputError, match=r"the file: 1000000000 frames, more than any take has"):
        check_length(10**9, "the file")
