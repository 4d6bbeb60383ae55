"""Kinds of boards: their points and ids are those of the print, lengths and counts are checked, texts are exact."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.boards import board_from
from calib.boards.kinds import DICTIONARIES, AprilGrid, BoardSet, Charuco, Chessboard, Tags, dictionary_name
from calib.boards.pictures import drawings
from calib.errors import CalibrationError

CHESSBOARDS = st.builds(
    Chessboard, st.integers(3, 12), st.integers(3, 12), st.integers(10, 500).map(lambda m: m / 1000)
)
CHARUCOS = st.builds(
    lambda columns, rows, square, share, legacy, inverted, first: Charuco(
        columns, rows, square, round(share * square, 6), "DICT_4X4_1000", legacy, inverted, first
    ),
    st.integers(3, 9), st.integers(3, 9), st.integers(10, 200).map(lambda m: m / 1000), st.floats(0.3, 0.9),
    st.booleans(), st.booleans(), st.integers(0, 50),
)  # fmt: skip
APRILGRIDS = st.builds(
    lambda columns, rows, tag, share, first: AprilGrid(columns, rows, tag, round(share * tag, 6), first_id=first),
    st.integers(1, 7), st.integers(1, 7), st.integers(20, 200).map(lambda m: m / 1000), st.floats(0.1, 0.5),
    st.integers(0, 50),
)  # fmt: skip
TAGS = st.builds(
    lambda side, ids: Tags("DICT_4X4_50", side, tuple(ids)),
    st.integers(10, 500).map(lambda m: m / 1000), st.lists(st.integers(0, 49), min_size=1, max_size=6, unique=True),
)  # fmt: skip


@given(st.one_of(CHESSBOARDS, CHARUCOS, APRILGRIDS, TAGS))
@settings(max_examples=20, derandomize=True)
def test_the_text_of_any_board_makes_it_again(board):
    assert board_from(board.spec) == board
    assert len(board.target.points) == len(board.target.of_piece) and (board.target.points[:, 2] == 0).all()


@given(st.one_of(CHESSBOARDS, CHARUCOS, APRILGRIDS))
@settings(max_examples=15, derandomize=True)
def test_the_print_has_the_size_of_the_board_and_its_points_are_inside(board):
    (drawing,) = drawings(board)
    np.testing.assert_allclose(drawing.size_m, board.size_m, atol=1e-9)
    low, high = (drawing.x[0], drawing.y[0]), (drawing.x[-1], drawing.y[-1])
    assert (board.target.points[:, :2] > low).all() and (board.target.points[:, :2] < high).all()


@given(CHESSBOARDS)
@settings(max_examples=12, derandomize=True)
def test_a_chessboard_is_symmetric_where_half_a_turn_prints_the_same(board):
    dark = drawings(board)[0].dark
    assert board.symmetric == np.array_equal(dark, dark[::-1, ::-1])
    assert dark[0, 0], "the square up and left of the first corner is black"


@given(CHARUCOS)
@settings(max_examples=12, derandomize=True)
def test_a_charuco_board_has_a_marker_in_every_light_square(board):
    (drawing,) = drawings(board)
    edge = 0.25 * (board.square_m - board.marker_m)  # inside of a square, outside of its marker
    x = np.searchsorted(drawing.x, np.arange(board.columns) * board.square_m + edge) - 1
    y = np.searchsorted(drawing.y, np.arange(board.rows) * board.square_m + edge) - 1
    marked = drawing.dark[np.ix_(y, x)] == board.inverted
    assert len(board.ids) == marked.sum()
    assert board.ids == tuple(range(board.first_id, board.first_id + len(board.ids)))


@given(CHARUCOS)
@settings(max_examples=12, derandomize=True)
def test_the_corners_of_a_charuco_board_are_where_four_squares_meet(board):
    points = board.target.points.reshape(board.rows - 1, board.columns - 1, 3)
    np.testing.assert_allclose(points[0, 0], [board.square_m, board.square_m, 0])
    np.testing.assert_allclose(np.diff(points, axis=1), np.broadcast_to([board.square_m, 0, 0], points[:, 1:].shape))
    np.testing.assert_allclose(np.diff(points, axis=0), np.broadcast_to([0, board.square_m, 0], points[1:].shape))
    np.testing.assert_allclose(points[-1, -1, :2] + board.square_m, board.size_m)


@given(APRILGRIDS)
@settings(max_examples=12, derandomize=True)
def test_an_aprilgrid_has_even_gaps_on_all_sides_and_counts_from_below(board):
    corners = board.target.points.reshape(board.rows, board.columns, 4, 3)
    sides = np.linalg.norm(np.roll(corners, -1, axis=2) - corners, axis=-1)
    np.testing.assert_allclose(sides, board.tag_m)
    np.testing.assert_allclose(corners.min((0, 1, 2))[:2], board.gap_m, atol=1e-12)
    np.testing.assert_allclose(board.size_m - corners.max((0, 1, 2))[:2], board.gap_m, atol=1e-12)
    assert (np.diff(corners[..., 0, 0], axis=1) > 0).all() and (np.diff(corners[..., 0, 1], axis=0) < 0).all()
    assert board.ids == tuple(range(board.first_id, board.first_id + board.columns * board.rows))


def test_tags_are_pieces_of_their_own_with_the_first_corner_as_origin():
    target = Tags("4x4_50", 0.1, (7, 3)).target
    assert target.pieces == ("tag 7", "tag 3") and target.of_piece.tolist() == [0] * 4 + [1] * 4
    square = [[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]]
    np.testing.assert_allclose(target.points, [*square, *square])


@given(st.sampled_from(sorted(DICTIONARIES)), st.data())
@settings(max_examples=20, derandomize=True)
def test_a_dictionary_is_known_by_its_name_in_any_case_with_or_without_its_prefix(name, data):
    text = data.draw(st.sampled_from([name, name.lower(), name.removeprefix("DICT_"), f"  {name.title()} "]))
    assert dictionary_name(text) == name


def test_an_unknown_dictionary_is_named_with_those_that_there_are():
    with pytest.raises(CalibrationError, match=r"'9X9_50'.*DICT_4X4_50.*DICT_APRILTAG_36h11"):
        dictionary_name("9X9_50")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Chessboard(2, 6, 0.03), ("chessboard", "columns", "3 or more", "not 2")),
        (lambda: Chessboard(9, 6.5, 0.03), ("chessboard", "rows", "not 6.5")),
        (lambda: Chessboard(9, 6, 30.0), ("chessboard", "square", "30 m")),
        (lambda: Chessboard(9, 6, 0.0), ("chessboard", "square", "0 m")),
        (lambda: Chessboard(9, 6, float("nan")), ("chessboard", "nan m")),
        (lambda: Charuco(7, 5, 0.03, 0.03), ("charuco", "30mm")),
        (lambda: Charuco(7, 5, 0.03, 0.02, first_id=90), ("charuco", "90 to 106", "DICT_5X5_100", "99")),
        (lambda: AprilGrid(6, 6, 0.03, 0.04), ("aprilgrid", "40mm", "30mm")),
        (lambda: AprilGrid(0, 6, 0.03, 0.01), ("aprilgrid", "columns", "not 0")),
        (lambda: AprilGrid(2, 2, 0.03, 0.01, first_id=-1), ("aprilgrid", "-1 to 2")),
        (lambda: Tags("4x4_50", 0.1, ()), ("tags", "[]")),
        (lambda: Tags("4x4_50", 0.1, (1, 1)), ("tags", "[1, 1]")),
        (lambda: Tags("4x4_50", 0.1, (50,)), ("tags", "50", "DICT_4X4_50", "49")),
        (lambda: BoardSet(()), ("at least one",)),
        (lambda: BoardSet((Tags("4x4_50", 0.1, (1,)), Charuco(3, 3, 0.1, 0.05, "4x4_50"))), ("'DICT_4X4_50', 1",)),
        (lambda: BoardSet((Chessboard(9, 6, 0.03), Chessboard(6, 9, 0.05))), ("chessboard", "6, 9")),
    ],
)
def test_what_cannot_be_printed_or_told_apart_is_refused_with_its_numbers(make, words):
    with pytest.raises(CalibrationError) as refused:
        make()
    assert all(re.search(re.escape(word), str(refused.value)) for word in words), str(refused.value)
    assert "\n" not in str(refused.value)


def test_counts_may_be_whole_floats_and_lengths_are_rounded_to_nanometres():
    board = Chessboard(9.0, 6.0, 0.1 + 0.2)
    assert board == Chessboard(9, 6, 0.3) and type(board.columns) is int


def test_a_set_has_the_points_of_its_boards_one_after_the_other():
    boards = (Chessboard(4, 3, 0.05), Tags("4x4_50", 0.2, (1, 0)), Charuco(3, 3, 0.1, 0.05, "5x5_50"))
    target = BoardSet(boards).target
    np.testing.assert_array_equal(target.points, np.concatenate([board.target.points for board in boards]))
    assert target.pieces == ("board 1", "tag 1", "tag 0", "board 3")
    assert np.bincount(target.of_piece).tolist() == [12, 4, 4, 4]
    assert BoardSet(boards).size_m == boards[2].size_m
    assert BoardSet(boards).spec == "+".join(board.spec for board in boards)


def test_boards_of_one_dictionary_make_a_set_where_their_ids_differ():
    first = Charuco(5, 4, 0.1, 0.07, "4x4_50")
    second = Charuco(5, 4, 0.1, 0.07, "4x4_50", first_id=len(first.ids))
    assert len(BoardSet((first, second)).target) == 2 * len(first.target)
    with pytest.raises(CalibrationError, match="'DICT_4X4_50', 9"):
        BoardSet((first, Charuco(5, 4, 0.1, 0.07, "4x4_50", first_id=len(first.ids) - 1)))
