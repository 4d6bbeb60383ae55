"""What images show where it is not the described board: named by its text, with the lengths of the description."""

import cv2
import numpy as np
import pytest
from filmed_boards import SPECS, film, take_of
from printed_boards import looking_at_board, printed

from calib.boards import board_from
from calib.detectors.charuco import marker_corners
from calib.detectors.markers import Markers
from calib.detectors.recognise import _layout, looks_like


def test_what_is_filmed_is_named_where_it_is_not_what_was_said():
    take = take_of(SPECS["charuco"])
    film_of_it = film(take)
    told = looks_like(film_of_it, board_from("charuco:5x7:120mm:90mm"))
    assert "charuco:7x5:120mm:90mm:DICT_5X5_100 (columns and rows swapped)" in told
    assert looks_like(film_of_it, take.board) is None
    assert "charuco:7x5" in looks_like(film_of_it, board_from("chessboard:6x4:120mm"))
    assert looks_like([], take.board) is None
    squares = take_of(SPECS["chessboard"])
    assert "chessboard:7x4:100mm" in looks_like(film(squares), board_from("chessboard:7x5:100mm"))


EMPTY = np.full((120, 160), 128, np.uint8)


def picture(board, size=(160, 120), share=0.6):
    return printed(board, looking_at_board(board, share=share, size=size), size=size)


def test_another_tag_than_the_described_one_is_named_by_its_id():
    tag = picture(board_from("tags:4X4_50:100mm:4"))
    told = looks_like([tag], board_from("tags:4X4_50:80mm:5"))
    assert "tags:DICT_4X4_50:80mm:4" in told and "tags:DICT_4X4_50:80mm:5" in told
    assert looks_like([tag], board_from("tags:4X4_50:80mm:4,9")) is None


def test_a_tag_that_is_in_few_of_the_pictures_is_not_named():
    tag = picture(board_from("tags:4X4_50:100mm:4"))
    assert looks_like([tag, EMPTY, EMPTY], board_from("tags:4X4_50:80mm:5")) is None


def test_pictures_of_nothing_look_like_nothing():
    assert looks_like([EMPTY, EMPTY], board_from("charuco:7x5:120mm:90mm")) is None
    assert looks_like([np.repeat(EMPTY[..., None], 3, -1)], board_from("chessboard:7x5:50mm")) is None


def layout_in(spec, count=None):
    """The layout that markers of a board have in a picture, some of them missing."""
    board = board_from(spec)
    if spec.startswith("charuco"):
        places = marker_corners(board) / board.square_m
    else:  # in OpenCV's order: top left, then clockwise
        places = board.target.points[:, :2].reshape(-1, 4, 2)[:, [3, 2, 1, 0]] / (board.tag_m + board.gap_m)
    homography = np.array([[40.0, 3, 60], [-4, 38, 70], [0.01, 0.02, 1]])
    xy = cv2.perspectiveTransform(places.reshape(-1, 1, 2), homography).reshape(places.shape)
    ids = np.arange(len(xy))
    kept = np.random.default_rng(0).permutation(ids)[:count]
    kept = np.union1d(kept, ids[-1:])  # the largest id says how large the board is
    return _layout(Markers(kept, xy[kept], np.zeros(len(kept), bool)), int(ids[-1]))


@pytest.mark.parametrize(
    ("spec", "kind", "columns", "rows", "legacy"),
    [
        ("charuco:7x5:40mm:30mm:4X4_50", "charuco", 7, 5, False),
        ("charuco:5x6:40mm:20mm:4X4_50:legacy", "charuco", 5, 6, True),
        ("aprilgrid:4x3:80mm:24mm", "aprilgrid", 4, 3, False),
    ],
)
def test_the_layout_of_markers_tells_the_board_and_their_size(spec, kind, columns, rows, legacy):
    found, board = layout_in(spec), board_from(spec)
    assert (found.kind, found.columns, found.rows, found.legacy) == (kind, columns, rows, legacy)
    assert found.agree == len(board.ids)
    whole = board.marker_m / board.square_m if kind == "charuco" else board.tag_m / (board.tag_m + board.gap_m)
    assert found.part == pytest.approx(whole, rel=0.02)


def test_markers_that_are_missing_do_not_hide_the_layout_but_too_few_do():
    found = layout_in("charuco:7x5:40mm:30mm:4X4_50", count=10)
    assert (found.columns, found.rows) == (7, 5) and found.agree in (10, 11)
    assert layout_in("charuco:7x5:40mm:30mm:4X4_50", count=3) is None


def test_markers_here_and_there_have_no_layout():
    rng = np.random.default_rng(1)
    corner = np.array([[0.0, 0], [20, 0], [20, 20], [0, 20]])
    xy = rng.uniform(0, 600, (7, 1, 2)) + corner
    assert _layout(Markers(np.arange(7), xy, np.zeros(7, bool)), 6) is None


@pytest.mark.parametrize(
    ("spec", "flipped"),
    [("charuco:7x5:40mm:30mm:DICT_5X5_100", False), ("charuco:7x5:40mm:30mm:DICT_5X5_100:first=20", True),
     ("aprilgrid:6x6:25mm:7.5mm:DICT_APRILTAG_36h11:first=40", False)],
)  # fmt: skip
def test_a_stated_board_that_explains_the_markers_is_not_contradicted(spec, flipped):
    """Of a board whose last rows are hidden, a smaller board explains as many markers."""
    board = board_from(spec)
    image = picture(board, (480, 360), 0.9)
    image[260:] = 128
    assert looks_like([np.ascontiguousarray(image[:, ::-1]) if flipped else image], board) is None
