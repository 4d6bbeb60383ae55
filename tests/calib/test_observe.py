"""Boards in pictures: found to a small part of a pixel, whatever way they are printed; nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
from board_footage import Look
from filmed_boards import SIZE, SPECS, film, take_of, truth
from synthetic_take import recordings

from calib import CalibrationError
from calib.boards import board_from
from calib.geometry import pose, rotation_from_vector
from calib.observe import Finder, Sighting, observations


@pytest.mark.parametrize("kind", SPECS)
def test_corners_are_right_and_as_good_as_they_say(kind):
    take = take_of(SPECS[kind], [(0.3, -0.4, 0.2), (-0.5, 0.1, -0.3), (0.1, 0.6, 0.1)])
    finder, off, scaled = Finder(take.board), [], []
    for frame, picture in enumerate(film(take, Look(noise=3.0))):
        sighting = finder.find(picture)
        assert sighting.reason is None and sighting.seen.all() and not sighting.mirrored and sighting.variant == ""
        error = sighting.xy - truth(take, frame)
        off.append(error)
        scaled.append(error / sighting.sigma[:, None])
    assert np.sqrt(np.mean(np.concatenate(off) ** 2)) < (0.06 if kind == "tags" else 0.03)
    assert np.abs(np.concatenate(off).mean(0)).max() < (0.03 if kind == "tags" else 0.006)
    assert 0.3 < np.concatenate(scaled).std() < 1.6


@pytest.mark.parametrize(
    ("printed", "described", "variant"),
    [
        ("charuco:7x5:120mm:90mm:DICT_5X5_100:inverted", "charuco:7x5:120mm:90mm:DICT_5X5_100", "inverted"),
        ("charuco:7x5:120mm:90mm:DICT_5X5_100", "charuco:7x5:120mm:90mm:DICT_5X5_100:inverted", "inverted"),
        ("charuco:7x6:100mm:75mm:DICT_4X4_50:legacy", "charuco:7x6:100mm:75mm:DICT_4X4_50", "other layout"),
    ],
)
def test_prints_that_are_not_quite_as_described_are_found(printed, described, variant):
    take = take_of(printed)
    sighting = Finder(board_from(described)).find(film(take)[0])
    assert sighting.variant == variant
    assert np.abs(sighting.xy - truth(take)).max() < 0.15


@pytest.mark.parametrize("kind", ["charuco", "aprilgrid", "tags"])
def test_a_board_seen_from_behind_has_the_same_points(kind):
    take = take_of(SPECS[kind], [(0.0, np.pi - 0.3, 0.0)], see_through=True)
    sighting = Finder(take.board).find(film(take)[0])
    assert sighting.mirrored and sighting.reason is None
    assert np.abs(sighting.xy - truth(take))[sighting.seen].max() < 0.25


def test_a_picture_in_colour_is_as_good():
    take = take_of(SPECS["charuco"])
    grey = film(take)[0]
    sighting = Finder(take.board).find(np.repeat(grey[..., None], 3, -1))
    assert np.allclose(sighting.xy, Finder(take.board).find(grey).xy, atol=0.02)
    with pytest.raises(CalibrationError, match="uint8"):
        Finder(take.board).find(grey.astype(np.float32))


def test_parts_of_a_board_are_enough_and_what_is_cut_off_is_not_made_up():
    take = take_of(SPECS["charuco"], shift_m=(1.15, 0.0))
    sighting, expected = Finder(take.board).find(film(take)[0]), truth(take)
    inside = (expected > 3).all(-1) & (expected < np.array(SIZE) - 4).all(-1)
    assert 6 <= inside.sum() < len(expected)
    assert (sighting.seen == inside).mean() > 0.9 and not (sighting.seen & ~inside).any()
    assert np.abs(sighting.xy - expected)[sighting.seen].max() < 0.2


def test_what_a_hand_covers_is_left_out():
    take = take_of(SPECS["charuco"])
    picture, expected = film(take)[0], truth(take)
    x, y = np.rint(expected[9]).astype(int)
    picture[y - 14 : y + 12, x - 12 : x + 16] = 140
    sighting = Finder(take.board).find(picture)
    assert not sighting.seen[9] and sighting.seen.sum() >= 18
    assert np.abs(sighting.xy - expected)[sighting.seen].max() < 0.3


def test_blur_makes_the_expected_error_larger():
    take = take_of(SPECS["chessboard"])
    sharp, soft = (Finder(take.board).find(film(take, Look(defocus_px=blur))[0]) for blur in (0.6, 2.5))
    assert np.median(soft.sigma) > 2 * np.median(sharp.sigma)


@pytest.mark.parametrize("kind", SPECS)
def test_pictures_without_the_board_say_so(kind):
    rng = np.random.default_rng(0)
    for picture in (np.zeros((90, 160), np.uint8), rng.integers(90, 140, (240, 320)).astype(np.uint8)):
        sighting = Finder(board_from(SPECS[kind])).find(picture)
        assert "seen" in sighting.reason and not sighting.seen.any()
        assert np.isnan(sighting.xy).all()


def test_boards_of_a_set_are_found_beside_each_other():
    spec = "charuco:5x4:100mm:75mm:DICT_4X4_50+charuco:5x4:100mm:75mm:DICT_4X4_50:first=20"
    right = pose(rotation_from_vector([0.0, 0.4, 0.0]), [0.65, 0.0, -0.1])
    take = take_of(spec, [(0.1, 0.0, 0.0)], shift_m=(-0.3, 0.0), body_from_piece=np.stack([np.eye(4), right]))
    sighting = Finder(take.board).find(film(take)[0])
    assert sighting.seen.all()
    assert np.abs(sighting.xy - truth(take)).max() < 0.2


def test_sightings_become_one_table():
    board = board_from("tags:DICT_4X4_50:300mm:4")
    seen = Sighting(np.arange(8.0).reshape(4, 2), np.full(4, 0.1))
    nothing = Sighting(np.full((4, 2), np.nan), np.full(4, np.nan), "no tag")
    rows = [
        ("b", "2.0 s", 2.0, seen), ("a", "1.0 s", 1.0, seen),
        ("b", "1.0 s", 1.01, nothing), ("a", "0.0 s", 0.0, nothing),
    ]  # fmt: skip
    table = observations(board, ("a", "b"), {"b": (4, 3), "a": (8, 6)}, rows)
    assert table.moments == ("1.0 s", "2.0 s") and table.sizes == ((8, 6), (4, 3))
    assert table.seen.any(-1).tolist() == [[True, False], [False, True]]
    assert np.allclose(table.xy[1, 1], seen.xy) and table.time_s[1, 0] == 1.01
    assert [(one.view, one.moment, one.reason) for one in table.refused] == [
        ("b", "1.0 s", "no tag"), ("a", "0.0 s", "no tag"),
    ]  # fmt: skip
    with pytest.raises(CalibrationError, match="unknown views: c"):
        observations(board, ("a",), [(8, 6)], [("c", "x", 0.0, seen)])
    none = observations(board, ("a",), [(8, 6)], [("a", "x", 0.0, replace(seen, **vars(nothing)))])
    assert none.xy.shape == (1, 0, 4, 2) and len(none.refused) == 1


def test_an_inverted_board_and_its_mirrored_back_are_found_in_real_videos():
    av = pytest.importorskip("av")
    root = recordings()
    folder = root and root / "calibration_caliscope" / "4_cam_recording" / "calibration" / "extrinsic"
    if folder is None or not folder.is_dir():
        pytest.skip("the recordings of Caliscope are not here (MVCAP_DATA)")
    board = board_from("charuco:4x5:54mm:40.5mm:DICT_4X4_1000")
    for view, mirrored in enumerate((False, True, False)):
        finder = Finder(board)
        with av.open(str(folder / f"cam_{view}.mp4")) as video:
            frames = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)][::16]
        found = [finder.find(frame) for frame in frames]
        assert all(one.seen.sum() >= 10 and one.mirrored is mirrored and one.variant == "inverted" for one in found)
