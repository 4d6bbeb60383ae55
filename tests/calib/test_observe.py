"""Boards in pictures: found to a small part of a pixel, whatever way they are printed; nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
from board_footage import Look, pictures
from generated_boards import Take, made_lens
from synthetic_take import recordings

from calib import CalibrationError, Camera, Rig
from calib.boards import board_from
from calib.detectors import chessboard
from calib.geometry import pose, rotation_from_vector
from calib.observe import Finder, Sighting, looks_like, observations

SIZE = (800, 450)
SPECS = {
    "charuco": "charuco:7x5:120mm:90mm:DICT_5X5_100",
    "aprilgrid": "aprilgrid:4x3:120mm:36mm:DICT_APRILTAG_36h11",
    "chessboard": "chessboard:7x4:100mm",
    "tags": "tags:DICT_4X4_50:300mm:4",
}


def take_of(spec, tilts=((0.3, -0.4, 0.2),), away_m=2.2, shift_m=(0.0, 0.0), **more):
    """One camera and a board in front of it, a frame for every rotation vector; +z into the board is away from it."""
    board = board_from(spec)
    lens = made_lens("cam", np.random.default_rng(5), SIZE)
    middle = board.target.points.mean(0)
    turns = rotation_from_vector(np.array(tilts, np.float64))
    poses = pose(turns, np.array([*shift_m, away_m]) - turns @ middle)

    def path(time_s):
        return poses[np.clip(np.rint(np.asarray(time_s) * 10).astype(int), 0, len(poses) - 1)]

    return Take(Rig((Camera(lens, np.eye(4)),)), path, board, frames=len(poses), **more)


def film(take, look=None):
    return list(pictures(take, 0, look or Look()))


def truth(take, frame=0):
    return Camera(take.rig[0].lens, take.path(np.array([0.1 * frame]))[0]).project(take.points())


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


def test_the_order_of_a_chessboard_does_not_depend_on_how_it_is_held():
    take = take_of(SPECS["chessboard"], [(0.3, -0.2, turn) for turn in (0.2, 1.7, 2.9, -2.0)])
    for frame, picture in enumerate(film(take)):
        sighting = Finder(take.board).find(picture)
        assert np.abs(sighting.xy - truth(take, frame)).max() < 0.15
    square = take_of("chessboard:5x5:100mm", [(0.3, -0.2, 0.3)])
    sighting = Finder(square.board).find(film(square)[0])
    assert np.abs(sighting.xy - truth(square)).max() < 0.15


def test_a_false_chessboard_is_refused_with_the_reason(monkeypatch):
    take = take_of(SPECS["chessboard"])
    picture, right = film(take)[0], truth(take)
    finder = Finder(take.board)
    for wrong, told in (
        (np.roll(right, 3, axis=0), "no grid"),
        (right * 0.2 + [40.0, 300.0], "corners are"),
    ):
        monkeypatch.setattr(chessboard, "searched", lambda *_, wrong=wrong: iter([wrong]))
        sighting = finder.find(picture)
        assert sighting.reason.startswith("false chessboard") and told in sighting.reason
        assert not sighting.seen.any()
    monkeypatch.setattr(chessboard, "searched", lambda *_: iter([np.roll(right, 3, axis=0), right + 0.4]))
    assert finder.find(picture).seen.all(), "one wrong guess does not hide the right one"


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


def test_what_is_filmed_is_named_where_it_is_not_what_was_said():
    take = take_of(SPECS["charuco"])
    film_of_it = film(take)
    told = looks_like(film_of_it, board_from("charuco:5x7:120mm:90mm"))
    assert "charuco:7x5:120mm:90mm:DICT_5X5_100 (columns and rows exchanged)" in told
    assert looks_like(film_of_it, take.board) is None
    assert "charuco:7x5" in looks_like(film_of_it, board_from("chessboard:6x4:120mm"))
    assert looks_like([], take.board) is None
    squares = take_of(SPECS["chessboard"])
    assert "chessboard:7x4:100mm" in looks_like(film(squares), board_from("chessboard:7x5:100mm"))


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
    with pytest.raises(CalibrationError, match="not there: c"):
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
