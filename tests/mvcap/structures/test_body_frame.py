"""The frame of a body: upright, ahead of the torso whichever way it lies, and turned as the body is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.geometry import rotation_from_vector
from mvcap.structures.body_frame import CORNERS, body_frames

# A torso that faces +x: left is +y. Left and right shoulder, left and right hip.
TORSO = np.array([(0, 0.2, 1.45), (0, -0.2, 1.45), (0, 0.12, 0.95), (0, -0.12, 0.95)])
RATE_HZ = 20.0


def frames(corners, variance=1e-4, rate_hz=RATE_HZ):
    corners = np.asarray(corners, float)
    return body_frames(corners, np.broadcast_to(variance, corners.shape[:2]), rate_hz)


def about_z(angle):
    return rotation_from_vector(np.array([0, 0, angle]))


def test_the_order_of_the_corners_is_that_of_the_names():
    assert CORNERS == ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    turn, origin = frames([TORSO])
    np.testing.assert_allclose(turn, [np.eye(3)], atol=1e-12)
    np.testing.assert_allclose(origin, [(0, 0, 1.2)])


@settings(max_examples=40)
@given(st.floats(-np.pi, np.pi), st.floats(-9, 9), st.floats(-9, 9), st.floats(0.3, 3))
def test_a_body_that_is_turned_moved_and_scaled_takes_its_frame_along(angle, x, y, size):
    turn, origin = frames([size * TORSO @ about_z(angle).T + (x, y, 0)])
    np.testing.assert_allclose(turn[0] @ about_z(angle), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(origin[0], (x, y, 1.2 * size), atol=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 30))
def test_frames_are_rotations_about_the_vertical(seed, count):
    rng = np.random.default_rng(seed)
    turn, origin = frames(rng.normal(size=(count, 4, 3)), rng.uniform(0, 1, (count, 4)))
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turn), 1)
    np.testing.assert_array_equal(turn[:, 2], np.broadcast_to((0, 0, 1), (count, 3)))
    assert origin.shape == (count, 3)


@pytest.mark.parametrize("lean", [-0.8, 0.0, 0.8, np.pi / 2 - 0.1])
def test_leaning_or_lying_on_the_back_or_the_belly_keeps_the_heading(lean):
    """Turned about the body's own left, so that the shoulders stay level."""
    turn, _ = frames([TORSO @ rotation_from_vector(np.array([0, lean, 0])).T])
    np.testing.assert_allclose(turn[0], np.eye(3), atol=1e-9)


@pytest.mark.parametrize("side", [1, -1])
def test_lying_on_the_side_the_heading_is_that_of_the_chest(side):
    lying = TORSO @ rotation_from_vector(np.array([side * np.pi / 2, 0, 0])).T + (3.0, side * 5.0, 0.2)
    assert abs(lying[0, 1] - lying[1, 1]) < 1e-9  # the shoulders are one above the other
    np.testing.assert_allclose(frames([lying])[0][0], np.eye(3), atol=1e-9)


def test_the_more_precise_of_hips_and_shoulders_decide():
    twisted = TORSO.copy()
    twisted[:2] = TORSO[:2] @ about_z(1.0).T  # the chest is turned against the hips
    angles = []
    for variance in ((1.0, 1.0, 1e-4, 1e-4), (1e-4, 1e-4, 1e-4, 1e-4), (1e-4, 1e-4, 1.0, 1.0), (1e-4, 1.0, 1e-4, 1e-4)):
        turn, _ = frames([twisted], [variance])
        angles.append(np.arctan2(turn[0, 0, 1], turn[0, 0, 0]))
    assert angles[0] == pytest.approx(0, abs=0.01) and angles[2] == pytest.approx(1, abs=0.01)
    assert angles[0] < angles[1] < angles[2]
    assert angles[3] == pytest.approx(angles[0], abs=0.01)  # the worse corner of a pair counts


def test_the_heading_is_averaged_over_a_moment_and_the_place_is_not():
    rng = np.random.default_rng(0)
    shake = 0.2 * rng.standard_normal(200)
    corners = np.array([TORSO @ about_z(angle).T + (0, 0.1 * n, 0) for n, angle in enumerate(shake)])
    turn, origin = frames(corners)
    angle = np.arctan2(turn[:, 0, 1], turn[:, 0, 0])
    # Seven frames, 0.15 s to either side at 20 Hz.
    assert angle.std() == pytest.approx(0.2 / np.sqrt(7), rel=0.15)
    np.testing.assert_allclose(origin[:, 1], 0.1 * np.arange(200), atol=1e-9)
    at_once, _ = frames(corners, rate_hz=1.0)
    np.testing.assert_allclose(np.arctan2(at_once[:, 0, 1], at_once[:, 0, 0]), shake, atol=1e-9)


def test_the_average_is_that_of_the_frames_there_are():
    corners = np.array([TORSO @ about_z(0.1 * n).T for n in range(9)])
    turn, _ = frames(corners)
    angle = np.arctan2(turn[:, 0, 1], turn[:, 0, 0])
    np.testing.assert_allclose(angle[3:6], 0.1 * np.arange(3, 6), atol=1e-9)  # whole windows, symmetric
    np.testing.assert_allclose(angle[[0, -1]], (0.15, 0.65), atol=1e-3)  # half of one at both ends


def test_corners_in_one_place_have_a_frame_of_numbers():
    turn, origin = frames(np.zeros((3, 4, 3)))
    assert np.isfinite(turn).all() and (origin == 0).all()


def test_no_frames():
    turn, origin = frames(np.zeros((0, 4, 3)))
    assert turn.shape == (0, 3, 3) and origin.shape == (0, 3)
