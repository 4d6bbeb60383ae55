"""Detectors of single boards: what they know about the print, what they find in pictures, and why they find nothing."""

import cv2
import numpy as np
import pytest
from filmed_boards import SPECS, film, take_of, truth
from printed_boards import looking_at_board, printed, through

from calib.boards import board_from
from calib.boards.kinds import Charuco, Tags
from calib.boards.pictures import drawings
from calib.detectors import aprilgrid, charuco, chessboard, tags
from calib.detectors.aprilgrid import AprilGridDetector
from calib.detectors.charuco import CharucoDetector, marker_corners
from calib.detectors.chessboard import ChessboardDetector, search_corners
from calib.detectors.markers import Markers, Reader
from calib.detectors.sighting import Sighting, refused_sighting
from calib.detectors.tags import TagsDetector
from calib.observe import Finder

CHARUCO = board_from("charuco:5x4:60mm:45mm:DICT_4X4_50")
INVERTED, LEGACY = board_from(f"{CHARUCO.spec}:inverted"), board_from(f"{CHARUCO.spec}:legacy")
APRILGRID = board_from("aprilgrid:3x2:80mm:24mm:DICT_APRILTAG_36h11")
CHESSBOARD = board_from("chessboard:6x5:50mm")
TAGS = board_from("tags:DICT_4X4_50:100mm:4,9")
PRINTS = {
    "charuco": (CHARUCO, charuco.surroundings(CHARUCO)),
    "charuco, inverted": (INVERTED, charuco.surroundings(INVERTED)),
    "charuco, legacy": (LEGACY, charuco.surroundings(LEGACY)),
    "aprilgrid": (APRILGRID, aprilgrid.surroundings(APRILGRID, 2)),
    "chessboard": (CHESSBOARD, chessboard.surroundings(CHESSBOARD)),
    "tags": (TAGS, tags.surroundings(TAGS, 1)),
}  # fmt: skip
TEXEL_M = 0.001


def markers_in(image, board, border=1):
    return Reader(board.dictionary, board.ids, border).read(image)


# --- what is round a corner ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRINTS)
def test_the_surroundings_of_every_corner_are_those_of_the_print(name):
    """In each quadrant the print has one colour as far as it is said to be plain, and the colours are as said."""
    board, around = PRINTS[name]
    margin = 0.05
    drawing = drawings(board)[0]
    picture = drawing.picture(TEXEL_M, margin)
    corners = board.target.points[: len(around.sign), :2] - [drawing.x[0] - margin, drawing.y[0] - margin]
    for corner, (x, y) in enumerate(np.rint(corners / TEXEL_M).astype(int)):
        colours = {}
        for right in (0, 1):
            for low in (0, 1):
                reach = around.reach[corner, [0, 1], [right, low]] / TEXEL_M
                plain = around.plain[corner, right, low] / TEXEL_M
                away = np.stack(np.meshgrid(np.arange(reach[0] - 1), np.arange(reach[1] - 1)), -1).astype(int)
                away = away[away.min(-1) < plain - 1]
                columns = x + away[:, 0] if right else x - 1 - away[:, 0]
                rows = y + away[:, 1] if low else y - 1 - away[:, 1]
                values = np.unique(picture[rows, columns])
                assert len(values) == 1, (corner, right, low)
                colours[right, low] = int(values[0])
        sign = -1 if colours[1, 1] == 0 else 1
        if around.tag[corner]:  # black on white: only the quadrant that the tag is in is dark
            inside = tuple((around.side[corner] > 0).astype(int))
            assert colours.pop(inside) == 0 and set(colours.values()) == {255} and around.sign[corner] == -1
        else:
            assert around.sign[corner] == sign
            assert colours[0, 0] == colours[1, 1] != colours[0, 1] == colours[1, 0]


def test_a_wider_border_leaves_more_of_a_tag_plain():
    thin, wide = (tags.surroundings(TAGS, border) for border in (1, 2))
    assert thin.plain[np.isfinite(thin.plain)] == pytest.approx(0.1 / 6)
    assert wide.plain[np.isfinite(wide.plain)] == pytest.approx(2 * 0.1 / 8)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("columns", "rows"), [(4, 3), (3, 4), (5, 6)])
def test_markers_are_in_the_middle_of_the_light_squares(columns, rows, legacy):
    board = Charuco(columns, rows, 0.1, 0.06, "DICT_4X4_50", legacy)
    corners = marker_corners(board)
    assert corners.shape == (len(board.ids), 4, 2)
    middle = corners.mean(1) / 0.1 - 0.5
    np.testing.assert_allclose(middle, np.rint(middle), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(np.diff(corners, axis=1), axis=-1), 0.06)
    dark = drawings(Charuco(columns, rows, 0.1, 0.06, "DICT_4X4_50", legacy))[0].picture(0.1 / 20)[1::20, 1::20]
    assert all(dark[y, x] == 255 for x, y in np.rint(middle).astype(int))


# --- pictures --------------------------------------------------------------------------------------------------------


def find(board, image, border=1):
    """What the detector of a board finds."""
    if isinstance(board, type(CHESSBOARD)):
        return ChessboardDetector(board).find(image)
    seen = markers_in(image, board, border)
    if isinstance(board, Charuco):
        return CharucoDetector(board).find(image, seen)
    return (TagsDetector if isinstance(board, Tags) else AprilGridDetector)(board).find(image, seen, border)


@pytest.mark.parametrize(
    ("board", "border"), [(CHARUCO, 1), (APRILGRID, 2), (CHESSBOARD, 1), (board_from("tags:4X4_50:100mm:4"), 1)]
)
def test_all_points_are_found_where_they_are(board, border):
    homography = looking_at_board(board)
    sighting = find(board, printed(board, homography), border)
    assert sighting.reason is None and sighting.seen.all() and sighting.variant == "" and not sighting.mirrored
    off = np.linalg.norm(sighting.xy - through(homography, board.target.points[:, :2]), axis=-1)
    assert off.max() < 0.15 and np.median(off / sighting.sigma) < 2.5


@pytest.mark.parametrize(("board", "border"), [(CHARUCO, 1), (APRILGRID, 2), (board_from("tags:4X4_50:100mm:4"), 1)])
def test_a_board_seen_from_behind_is_told_and_has_its_own_points(board, border):
    homography = looking_at_board(board)
    image = printed(board, homography)
    sighting = find(board, np.ascontiguousarray(image[:, ::-1]), border)
    there = through(homography, board.target.points[:, :2]) * [-1, 1] + [image.shape[1] - 1, 0]
    assert sighting.mirrored and sighting.seen.all()
    assert np.linalg.norm(sighting.xy - there, axis=-1).max() < 0.15


@pytest.mark.parametrize(("board", "border"), [(CHARUCO, 1), (APRILGRID, 2), (board_from("tags:4X4_50:100mm:4"), 1)])
def test_swapped_colours_are_told(board, border):
    sighting = find(board, 250 - printed(board, looking_at_board(board), background=60), border)
    assert sighting.variant == "inverted" and sighting.seen.all()


def test_a_charuco_board_in_the_other_layout_is_told():
    homography = looking_at_board(LEGACY)
    sighting = find(CHARUCO, printed(LEGACY, homography))
    assert sighting.variant == "other layout"
    assert np.linalg.norm(sighting.xy - through(homography, LEGACY.target.points[:, :2]), axis=-1).max() < 0.15


@pytest.mark.parametrize(("count", "words"), [(0, "no marker"), (1, "one marker"), (10, "layout")])
def test_a_charuco_board_needs_two_markers_that_fit_its_layout(count, words):
    image = printed(CHARUCO, looking_at_board(CHARUCO))
    seen = markers_in(image, CHARUCO)
    mixed = Markers(seen.ids[:count], np.roll(seen.xy, 1, axis=1)[:count], seen.mirrored[:count])  # each turned
    sighting = CharucoDetector(CHARUCO).find(image, mixed)
    assert words in sighting.reason and not sighting.seen.any() and len(sighting.xy) == len(CHARUCO.target)


@pytest.mark.parametrize(("count", "words"), [(0, "no tag"), (1, "one tag"), (4, "layout")])
def test_an_aprilgrid_needs_two_tags_that_fit_its_layout(count, words):
    image = printed(APRILGRID, looking_at_board(APRILGRID))
    seen = markers_in(image, APRILGRID, 2)
    turned = np.array([np.roll(xy, row, axis=0) for row, xy in enumerate(seen.xy)])  # each in its own way
    mixed = Markers(seen.ids[:count], turned[:count], seen.mirrored[:count])
    sighting = AprilGridDetector(APRILGRID).find(image, mixed, 2)
    assert words in sighting.reason and not sighting.seen.any()


def test_an_aprilgrid_of_one_tag_needs_no_second():
    alone = board_from("aprilgrid:1x1:80mm:24mm:DICT_APRILTAG_36h11")
    assert find(alone, printed(alone, looking_at_board(alone, share=0.5)), 2).seen.all()


def test_strange_ids_among_the_markers_do_no_harm():
    homography = looking_at_board(CHARUCO)
    image = printed(CHARUCO, homography)
    seen = markers_in(image, CHARUCO)
    more = Markers(
        np.append(seen.ids, [49, 3]), np.concatenate([seen.xy, seen.xy[:2] + 30]), np.append(seen.mirrored, [False] * 2)
    )
    sighting = CharucoDetector(CHARUCO).find(image, more)
    assert np.linalg.norm(sighting.xy - through(homography, CHARUCO.target.points[:, :2]), axis=-1).max() < 0.15


def test_each_tag_is_found_for_itself_and_one_that_is_there_twice_is_not():
    sheets = [printed(TAGS, looking_at_board(TAGS, share=0.5), piece=piece) for piece in (0, 1, 1)]
    both = np.concatenate(sheets[:2], axis=1)
    sighting = find(TAGS, both)
    truth_px = through(looking_at_board(TAGS, share=0.5), TAGS.target.points[:4, :2])
    assert sighting.seen.all()
    np.testing.assert_allclose(sighting.xy[:4], truth_px, atol=0.2)
    np.testing.assert_allclose(sighting.xy[4:], truth_px + np.array([sheets[0].shape[1], 0]), atol=0.2)
    twice = find(TAGS, np.concatenate(sheets, axis=1))
    assert twice.seen.tolist() == [True] * 4 + [False] * 4
    only = find(TAGS, np.concatenate(sheets[1:], axis=1))
    assert only.reason == "tag 9 is seen more than once"
    assert "none of the tags" in find(TAGS, np.full((360, 480), 200, np.uint8)).reason


# --- chessboards -----------------------------------------------------------------------------------------------------


def test_the_search_for_a_chessboard_gives_rough_corners_row_by_row():
    homography = looking_at_board(CHESSBOARD)
    rough = next(search_corners(printed(CHESSBOARD, homography), 6, 5))
    expected = through(homography, CHESSBOARD.target.points[:, :2])
    assert min(np.abs(one - expected).max() for one in (rough, rough[::-1])) < 1.5


def test_a_large_picture_is_searched_small_and_its_corners_are_in_its_own_pixels():
    homography = looking_at_board(CHESSBOARD)
    image = cv2.resize(printed(CHESSBOARD, homography), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    rough = next(search_corners(image, 6, 5))
    expected = (through(homography, CHESSBOARD.target.points[:, :2]) + 0.5) * 3 - 0.5
    assert min(np.abs(one - expected).max() for one in (rough, rough[::-1])) < 4


def test_nothing_is_searched_for_long_where_there_is_no_chessboard():
    assert list(search_corners(np.full((360, 480), 128, np.uint8), 6, 5)) == []
    sighting = ChessboardDetector(CHESSBOARD).find(np.full((360, 480), 128, np.uint8))
    assert "6x5" in sighting.reason and not sighting.seen.any()


@pytest.mark.parametrize("turn", [1.7, 3.0])
def test_unequal_sides_give_one_order_however_the_board_is_turned(turn):
    homography = looking_at_board(CHESSBOARD, turn=turn, share=0.6)
    sighting = find(CHESSBOARD, printed(CHESSBOARD, homography))
    assert np.linalg.norm(sighting.xy - through(homography, CHESSBOARD.target.points[:, :2]), axis=-1).max() < 0.15


def test_a_symmetric_board_begins_so_that_its_x_axis_points_to_the_right():
    board = board_from("chessboard:6x4:50mm")
    homography = looking_at_board(board, turn=3.0, share=0.6)
    sighting = find(board, printed(board, homography))
    assert np.diff(sighting.xy.reshape(4, 6, 2), axis=1)[..., 0].mean() > 5
    expected = through(homography, board.target.points[:, :2])
    assert np.linalg.norm(sighting.xy - expected[::-1], axis=-1).max() < 0.15


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
        monkeypatch.setattr(chessboard, "search_corners", lambda *_, wrong=wrong: iter([wrong]))
        sighting = finder.find(picture)
        assert sighting.reason.startswith("false chessboard") and told in sighting.reason
        assert not sighting.seen.any()
    monkeypatch.setattr(chessboard, "search_corners", lambda *_: iter([np.roll(right, 3, axis=0), right + 0.4]))
    assert finder.find(picture).seen.all(), "one wrong guess does not hide the right one"


# --- results ---------------------------------------------------------------------------------------------------------


def test_a_refused_sighting_has_its_reason_and_no_point():
    sighting = refused_sighting(5, "too dark")
    assert sighting.reason == "too dark" and sighting.xy.shape == (5, 2) and not sighting.seen.any()
    assert np.isnan(sighting.xy).all() and np.isnan(sighting.sigma).all()


def test_points_are_seen_where_their_error_is_known():
    sighting = Sighting(np.zeros((3, 2)), np.array([0.1, np.nan, 0.2]))
    assert sighting.seen.tolist() == [True, False, True]
    assert sighting.reason is None and sighting.variant == "" and not sighting.mirrored
