"""Maps of a flat board: the homography and the distortion of a picture, and the corners that lie on it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from printed_boards import SIZE, looking_at_board, printed, through

from calib.boards import board_from
from calib.detectors.chessboard import surroundings
from calib.detectors.plane import PlaneMap, corners_in_plane, corners_on, plane_map

BOARD = board_from("chessboard:7x5:50mm")
POINTS = BOARD.target.points[:, :2]
SHAPE = SIZE[::-1]


def way(bend=0.0, tilt=(0.25, -0.15), turn=0.1):
    """A map whose numbers are known."""
    middle, scale = (np.array(SIZE) - 1) / 2, float(np.hypot(*SIZE)) / 2
    straight = np.diag([1 / scale, 1 / scale, 1.0]) @ np.array(
        [[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1.0]]
    ) @ looking_at_board(BOARD, tilt=tilt, turn=turn)  # fmt: skip
    return PlaneMap(straight, bend, middle, scale)


@given(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.floats(-3, 3))
@settings(max_examples=20, derandomize=True)
def test_without_distortion_the_map_is_the_homography(across, down, turn):
    homography = looking_at_board(BOARD, tilt=(across, down), turn=turn)
    found = plane_map(POINTS, through(homography, POINTS), SHAPE)
    between = POINTS.mean(0) + np.array([[0.013, -0.02], [0.11, 0.06]])
    np.testing.assert_allclose(found.pixels(between), through(homography, between), atol=0.02)
    np.testing.assert_allclose(way(0.0, (across, down), turn).pixels(POINTS), through(homography, POINTS), atol=1e-9)


@pytest.mark.parametrize("bend", [-0.4, -0.07, 0.05])
def test_distortion_is_found_and_its_map_is_right_beyond_the_points(bend):
    true = way(bend)
    found = plane_map(POINTS, true.pixels(POINTS), SHAPE)
    assert found.bend == pytest.approx(bend, abs=0.01)
    outside = np.array([[-0.05, -0.05], [0.35, 0.25]])
    np.testing.assert_allclose(found.pixels(outside), true.pixels(outside), atol=0.15)
    again = plane_map(POINTS, true.pixels(POINTS), SHAPE, replace(found, bend=bend + 0.01))
    np.testing.assert_allclose(again.pixels(POINTS), true.pixels(POINTS), atol=0.05)


def test_a_few_points_give_a_plain_homography():
    corners = POINTS[[0, 6, 28, 34]]
    found = plane_map(corners, way(-0.1).pixels(corners), SHAPE)
    assert found.bend == 0
    np.testing.assert_allclose(found.pixels(corners), way(-0.1).pixels(corners), atol=1e-6)


def test_axes_are_the_derivative_of_the_map():
    true = way(-0.1)
    axes, step = true.axes(POINTS, 1e-5), 1e-6
    assert axes.shape == (len(POINTS), 2, 2)
    for axis, aside in enumerate(step * np.eye(2)):
        numeric = (true.pixels(POINTS + aside) - true.pixels(POINTS - aside)) / (2 * step)
        np.testing.assert_allclose(axes[..., axis], numeric, rtol=1e-5)


@pytest.mark.parametrize("points", [POINTS[:7], POINTS[:3], POINTS[[4, 4, 4, 4, 4]]], ids=["line", "three", "one"])
def test_points_that_span_no_plane_give_no_map(points):
    assert plane_map(points, through(looking_at_board(BOARD), points), SHAPE) is None


# --- markers ---------------------------------------------------------------------------------------------------------


def squares(count=6):
    """Places (M, 4, 2) m of markers in two rows, and their pixels."""
    corner = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * 0.03
    places = np.array([[0.05 * (index % 3), 0.06 * (index // 3)] for index in range(count)])[:, None] + corner
    return places, through(looking_at_board(BOARD), places)


def test_markers_of_one_plane_fit_it_and_a_strange_one_does_not():
    places, xy = squares()
    assert corners_in_plane(xy, places, 0.2).all()
    xy[4] += [40.0, -25.0]
    assert corners_in_plane(xy, places, 0.2).tolist() == [True, True, True, True, False, True]
    mirrored = squares()[1][:, [1, 0, 3, 2]]
    assert not corners_in_plane(mirrored, places, 0.2).any()


def test_fewer_markers_than_the_least_fit_nothing():
    places, xy = squares(2)
    assert corners_in_plane(xy, places, 0.2).all()
    assert not corners_in_plane(xy, places, 0.2, least=3).any()
    assert corners_in_plane(xy[:1], places[:1], 0.2, least=1).all()
    assert corners_in_plane(xy[:0], places[:0], 0.2).shape == (0,)


# --- corners ---------------------------------------------------------------------------------------------------------


def seen(image, known=(0, 6, 28, 34), homography=None):
    homography = looking_at_board(BOARD) if homography is None else homography
    at = list(known)
    return corners_on(
        image, POINTS, surroundings(BOARD), BOARD.square_m, POINTS[at], through(homography, POINTS[at]) + 1.0
    )


def test_all_corners_follow_from_four_rough_ones():
    homography = looking_at_board(BOARD)
    found = seen(printed(BOARD, homography))
    assert found.reason is None and found.polarity == 1
    off = np.linalg.norm(found.xy - through(homography, POINTS), axis=-1)
    assert off.max() < 0.1 and (found.sigma < 0.1).all()


def test_swapped_colours_are_told():
    found = seen(255 - printed(BOARD, looking_at_board(BOARD)))
    assert found.polarity == -1 and np.isfinite(found.sigma).all()


def test_covered_corners_are_missing_and_the_others_stay():
    homography = looking_at_board(BOARD)
    image = printed(BOARD, homography)
    x, y = through(homography, POINTS[17]).astype(int)
    cv2.circle(image, (int(x), int(y)), 16, 128, -1)
    found = seen(image)
    assert np.isnan(found.xy[17]).all() and np.isfinite(found.sigma).sum() >= 30
    known = np.isfinite(found.sigma)
    assert np.linalg.norm(found.xy - through(homography, POINTS), axis=-1)[known].max() < 0.15


def test_corners_outside_of_the_picture_are_missing():
    homography = looking_at_board(BOARD)
    homography = np.array([[1, 0, -110], [0, 1, 0], [0, 0, 1.0]]) @ homography
    truth = through(homography, POINTS)
    found = seen(printed(BOARD, homography), known=(3, 6, 31, 34), homography=homography)
    outside = truth[:, 0] < 2
    assert 0 < outside.sum() < len(POINTS) and np.isnan(found.sigma[outside]).all()
    assert np.isfinite(found.sigma[truth[:, 0] > 8]).all()


def test_without_a_board_there_is_a_reason():
    empty = np.full(SHAPE, 128, np.uint8)
    found = seen(empty)
    assert "0 corners" in found.reason and np.isnan(found.xy).all() and np.isnan(found.sigma).all()
    line = corners_on(
        empty, POINTS, surroundings(BOARD), 0.05, POINTS[:5], through(looking_at_board(BOARD), POINTS[:5])
    )
    assert "plane" in line.reason
