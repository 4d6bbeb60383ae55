"""Names of images: what counts, what is a time, and which camera took them."""

from pathlib import Path

import pytest

from mvcap.errors import InputError
from mvcap.structures.image_folders import images_in, in_order, split_by_camera, word_in


def named(*stems, rate_hz=None):
    files, numbers = in_order([Path("/take") / f"{stem}.jpg" for stem in stems], rate_hz)
    return [file.stem for file in files], numbers


@pytest.mark.parametrize(
    ("stems", "value"),
    [
        (("frame_0000", "frame_0001", "frame_0003"), [0, 1, 3]),
        (("10_cam1", "9_cam1", "11_cam1"), [9, 10, 11]),
        (("cam1_9", "cam1_10"), [9, 10]),
        (("img (2)", "img (10)"), [2, 10]),
        (("take2.0001", "take2.0002"), [1, 2]),
        (("take_20240503_123005_0001", "take_20240503_123005_0002"), [1, 2]),
        (("cam1_1000_0", "cam1_1033_1", "cam1_1067_2"), [0, 1, 2]),
        (("1", "002", "0003"), [1, 2, 3]),
        (("left", "left_7"), None),
        (("a", "b"), None),
        (("9" * 40, "8" * 40), None),
    ],
)
def test_what_counts_in_the_names(stems, value):
    files, numbers = named(*stems)
    assert (numbers is None) == (value is None)
    if numbers is not None:
        assert numbers.kind == "numbers" and numbers.value.tolist() == value and len(files) == len(stems)


@pytest.mark.parametrize(
    ("stems", "rate_hz", "since_ns"),
    [
        (("1700000000000000000", "1700000000033333333"), None, 33333333),
        (("1700000000000000", "1700000000033333"), None, 33333000),
        (("1700000000000", "1700000000033"), None, 33000000),
        (("1305031102.175304", "1305031102.211214"), None, 35910000),
        (("2024-05-03_12-30-59.950", "2024-05-03_12-31-00.000"), None, 50000000),
        (("0", "33"), 30.0, 33000000),
        (("0.000000", "0.033333"), 30.0, 33333000),
    ],
)
def test_times_in_the_names(stems, rate_hz, since_ns):
    files, numbers = named(*stems[::-1], rate_hz=rate_hz)
    assert files == list(stems) and numbers.kind == "times"
    assert int(numbers.value[1] - numbers.value[0]) == since_ns


def test_steps_and_counters_that_only_look_like_times():
    assert named("0", "5", "10")[1].step == 5
    assert named("0", "33", "66")[1].kind == "numbers"  # without a rate nothing says that these are milliseconds
    assert named("1700000001", "1700000002", "1700000003")[1].kind == "numbers"


def test_two_images_of_one_number_and_one_without_are_named():
    for stems, words in (
        (("1", "01", "2"), ("1.jpg and 01.jpg", "same number")),
        (("f1", "f2", "f3", "background"), ("background.jpg", "no number")),
    ):
        with pytest.raises(InputError) as caught:
            named(*stems)
        assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stems", "cameras", "views"),
    [
        (("cam1_frame_0001", "cam2_frame_0001"), (), ["cam1", "cam2"]),
        (("left_frame_0001", "right_frame_0001"), (), ["left", "right"]),
        (("GoPro_A_0001", "GoPro_B_0001"), ("GoPro_A", "GoPro_B"), ["GoPro_A", "GoPro_B"]),
        (("21334220.0001", "21334221.0001"), ("21334221", "21334220"), ["21334220", "21334221"]),
        (("0001_1", "0001_2"), ("1", "2"), ["1", "2"]),
        (("cam1_b_1", "cam1_2"), ("cam1", "cam1_b"), ["cam1_b", "cam1"]),
        (("0001", "0002"), ("cam1",), [""]),
    ],
)
def test_cameras_of_a_flat_folder(stems, cameras, views):
    assert list(split_by_camera([Path(f"{stem}.png") for stem in stems], cameras)) == views


def test_a_word_is_not_part_of_a_longer_one():
    assert word_in("cam1_take3", ["cam1"]) == "cam1" and word_in("CAM1take3", ["cam1"]) == "cam1"
    assert word_in("cam10", ["cam1"]) is None and word_in("leftover", ["left"]) is None
    assert word_in("left01", ["left"]) == "left" and word_in("", ["a", ""]) is None


def test_hidden_files_are_no_images(tmp_path):
    for name in ("b10.jpg", "b9.JPG", ".b1.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in images_in(tmp_path)] == ["b9.JPG", "b10.jpg"]
