"""Boards: their points, the text that makes them, and one clear line where it does not."""

import cv2
import numpy as np
import pytest

from calib import CalibrationError
from calib.boards import DICTIONARIES, AprilGrid, BoardSet, Charuco, Chessboard, Tags, board_from, length_m
from calib.detectors.charuco import marker_corners

SPECS = (
    "chessboard:9x6:30mm",
    "charuco:7x5:120mm:90mm:DICT_5X5_100",
    "charuco:4x6:54mm:40.5mm:DICT_4X4_1000:first=7:legacy:inverted",
    "aprilgrid:6x6:88mm:26.4mm:DICT_APRILTAG_36h11",
    "aprilgrid:3x2:25.4mm:6.35mm:DICT_APRILTAG_25h9:first=4",
    "tags:DICT_4X4_50:100mm:0,1,5",
    "chessboard:9x6:30mm+charuco:7x5:120mm:90mm:DICT_5X5_100",
)


@pytest.mark.parametrize("spec", SPECS)
def test_the_text_makes_the_same_board_again(spec):
    board = board_from(spec)
    assert board.spec == spec
    assert board_from(board.spec) == board
    assert board.target.name == spec
    assert (board.target.points[:, 2] == 0).all()


def test_lengths_name_their_unit():
    assert [length_m(text) for text in ("30mm", " 3 cm", "0.03 m", "1in", "2 inch")] == pytest.approx(
        [0.03, 0.03, 0.03, 0.0254, 0.0508]
    )
    assert board_from("chessboard:9x6:5.4cm") == board_from("chessboard:9x6:54mm") == Chessboard(9, 6, 0.054)


def test_what_may_be_left_out():
    assert board_from("charuco:7x5:120mm:90mm") == Charuco(7, 5, 0.12, 0.09)
    assert board_from("charuco:7x5:120mm:90mm:6x6_250:inverted").dictionary == "DICT_6X6_250"
    assert board_from("Tags:apriltag_36H11:10cm:0-3,7") == Tags("DICT_APRILTAG_36h11", 0.1, (0, 1, 2, 3, 7))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("checkers:9x6:30mm", "one of chessboard, charuco"),
        ("chessboard:9x6:30", "length with a unit"),
        ("chessboard:9x6", "needs square"),
        ("chessboard:9:30mm", "chessboard:9x6:30mm"),
        ("chessboard:9x6:30m", "30 m is not plausible"),
        ("chessboard:9x2:30mm", "rows of inner corners"),
        ("chessboard:9x6:30mm:DICT_4X4_50", "inner corners"),
        ("charuco:7x5:90mm:120mm", "does not fit"),
        ("charuco:7x5:40mm:30mm:5X5_77", "no marker dictionary"),
        ("charuco:30x30:50mm:30mm:4x4_50", "larger dictionary"),
        ("aprilgrid:6x6:26mm:88mm", "tag comes first"),
        ("tags:4x4_50:10cm:0,0", "different"),
        ("tags:4x4_50:10cm:60", "0 to 49"),
        ("chessboard:9x6:30mm+chessboard:6x9:30mm", "be distinguished"),
        ("charuco:7x5:40mm:30mm+tags:5x5_100:10cm:3", "be distinguished"),
        ({"board": "chessboard", "columns": 9, "rows": 6, "square": 30}, "length with a unit"),
        ({"board": "chessboard", "columns": 9, "rows": 6, "square": "30mm", "colour": "red"}, "has no colour"),
        ({"columns": 9}, "kind of board must be one of"),
        ({"target_type": "circlegrid"}, "Kalibr"),
        ({"target_type": "aprilgrid", "tagCols": 6}, "Kalibr"),
        (7, "not 7"),
        ("missing.yaml", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(given, told):
    with pytest.raises(CalibrationError, match=told) as error:
        board_from(given)
    assert "\n" not in str(error.value)


def test_files_hold_texts_mappings_lists_and_kalibrs_targets(tmp_path):
    file = tmp_path / "board.yaml"
    for text, board in {
        "charuco:7x5:120mm:90mm": Charuco(7, 5, 0.12, 0.09),
        "{board: chessboard, columns: 9, rows: 6, square: 30 mm}": Chessboard(9, 6, 0.03),
        "{board: tags, dictionary: 4X4_50, tag: 10cm, ids: [0, 2]}": Tags("DICT_4X4_50", 0.1, (0, 2)),
        "[tags:4x4_50:10cm:0, tags:4x4_50:10cm:1]": BoardSet(
            (Tags("DICT_4X4_50", 0.1, (0,)), Tags("DICT_4X4_50", 0.1, (1,)))
        ),
        "{target_type: aprilgrid, tagCols: 6, tagRows: 5, tagSize: 0.088, tagSpacing: 0.3}": AprilGrid(
            6, 5, 0.088, 0.0264
        ),
        "{target_type: checkerboard, targetCols: 6, targetRows: 7, rowSpacingMeters: 0.06, colSpacingMeters: 0.06}": (
            Chessboard(6, 7, 0.06)
        ),
    }.items():
        file.write_text(text)
        assert board_from(file) == board_from(str(file)) == board
    file.write_text("charuco: [")
    with pytest.raises(CalibrationError, match=r"board\.yaml"):
        board_from(file)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("columns", "rows"), [(3, 3), (4, 5), (5, 4), (6, 4), (7, 6)])
def test_charuco_is_as_opencv_has_it(columns, rows, legacy):
    board = Charuco(columns, rows, 0.1, 0.07, "DICT_4X4_50", legacy)
    theirs = cv2.aruco.CharucoBoard(
        (columns, rows), 0.1, 0.07, cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    )
    theirs.setLegacyPattern(legacy)
    assert np.allclose(theirs.getChessboardCorners(), board.target.points, atol=1e-6)
    assert theirs.getIds().ravel().tolist() == list(board.ids)
    assert np.allclose(np.array(theirs.getObjPoints())[..., :2], marker_corners(board), atol=1e-6)


def test_aprilgrids_count_from_the_bottom_left():
    board = AprilGrid(2, 3, 0.1, 0.03)
    corners = board.target.points.reshape(6, 4, 3)
    assert board.size_m == pytest.approx((0.29, 0.42))
    assert np.allclose(corners[0], [[0.03, 0.39, 0], [0.13, 0.39, 0], [0.13, 0.29, 0], [0.03, 0.29, 0]])
    assert np.allclose(corners[1] - corners[0], [0.13, 0, 0])
    assert np.allclose(corners[2] - corners[0], [0, -0.13, 0])


def test_sets_have_a_piece_a_board_and_single_tags_one_a_tag():
    target = board_from("chessboard:3x4:30mm+tags:4x4_50:10cm:0,1").target
    assert target.pieces == ("board 1", "tag 0", "tag 1")
    assert np.bincount(target.of_piece).tolist() == [12, 4, 4]


def test_only_unequal_sides_make_a_chessboard_unambiguous():
    assert [Chessboard(*sides, 0.03).symmetric for sides in ((9, 6), (7, 4), (8, 6), (7, 5), (5, 5))] == [
        False, False, True, True, True,
    ]  # fmt: skip


def test_dictionaries_are_opencvs():
    for name, (bits, count) in DICTIONARIES.items():
        known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
        assert (known.markerSize, len(known.bytesList)) == (bits, count)
