"""Markers in grey images: their ids, their own corners, and the side that they are seen from."""

import cv2
import numpy as np
import pytest

from calib.detectors.markers import Markers, Reader, grey_of, on_edges
from calib.errors import CalibrationError

DICTIONARY = "DICT_4X4_50"
ROUGH_PX = 2.0  # the corners are measured later, from these
SIDE, PLACES = 60, {3: (40, 30), 11: (150, 40), 7: (60, 140), 20: (170, 150)}


def drawn(*, border=1, inverted=False, places=PLACES, side=SIDE):
    """Markers on white, each with its top left corner at a place (x, y) px."""
    known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, DICTIONARY))
    image = np.full((240, 280), 210, np.uint8)
    for name, (x, y) in places.items():
        bits = cv2.aruco.generateImageMarker(known, name, known.markerSize + 2 * border, borderBits=border)
        marker = cv2.resize(bits, (side, side), interpolation=cv2.INTER_NEAREST)
        image[y : y + side, x : x + side] = np.where(marker > 0, 210, 40)
    return cv2.GaussianBlur(250 - image if inverted else image, (0, 0), 0.7)


def corners(name, side=SIDE):
    """Where a marker's edges are: half a pixel outside of its first and last pixel's centres."""
    x, y = PLACES[name]
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]]) - 0.5


def read(image, *, ids=(3, 7, 11, 20), border=1):
    return Reader(DICTIONARY, tuple(ids), border).read(image)


@pytest.mark.parametrize("inverted", [False, True])
def test_ids_and_corners_are_read_in_black_and_in_white(inverted):
    found = read(drawn(inverted=inverted))
    assert sorted(found.ids.tolist()) == sorted(PLACES) and not found.mirrored.any()
    for name, xy in zip(found.ids.tolist(), found.xy, strict=True):
        np.testing.assert_allclose(xy, corners(name), atol=ROUGH_PX)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_marker_keeps_its_own_corners_when_the_picture_is_turned(turns):
    found = read(np.ascontiguousarray(np.rot90(drawn(), turns)))
    for name, xy in zip(found.ids.tolist(), found.xy, strict=True):
        there, (wide, high) = corners(name), drawn().shape[::-1]
        for _ in range(turns):  # to the left: (x, y) comes to (y, width - 1 - x)
            there = np.stack([there[:, 1], wide - 1 - there[:, 0]], -1)
            wide, high = high, wide
        np.testing.assert_allclose(xy, there, atol=ROUGH_PX)
    assert len(found.ids) == 4


def test_markers_seen_from_behind_are_told_and_keep_their_own_corners():
    image = drawn()
    found = read(np.ascontiguousarray(image[:, ::-1]))
    assert sorted(found.ids.tolist()) == sorted(PLACES) and found.mirrored.all()
    for name, xy in zip(found.ids.tolist(), found.xy, strict=True):
        there = corners(name) * [-1, 1] + [image.shape[1] - 1, 0]
        np.testing.assert_allclose(xy, there, atol=ROUGH_PX)


def test_only_the_ids_of_the_board_are_read():
    assert sorted(read(drawn(), ids=(3, 20, 40)).ids.tolist()) == [3, 20]
    assert len(read(drawn(), ids=(40, 41)).ids) == 0


def test_a_border_of_two_bits_is_read_as_such():
    wide = drawn(border=2)
    assert sorted(read(wide, border=2).ids.tolist()) == sorted(PLACES)
    found = read(wide, border=2)
    np.testing.assert_allclose(found.xy[found.ids == 3][0], corners(3), atol=ROUGH_PX)


def test_an_empty_picture_has_no_markers():
    found = read(np.full((240, 280), 128, np.uint8))
    assert found.ids.shape == (0,) and found.xy.shape == (0, 4, 2) and found.mirrored.shape == (0,)


def test_markers_are_selected_by_id_and_by_row():
    held = Markers(np.array([5, 2, 9]), np.arange(24.0).reshape(3, 4, 2), np.array([False, True, False]))
    some = held.of([9, 5, 77])
    assert some.ids.tolist() == [5, 9] and some.mirrored.tolist() == [False, False]
    np.testing.assert_array_equal(some.xy, held.xy[[0, 2]])
    assert held.at(held.mirrored).ids.tolist() == [2]
    assert held.of([]).ids.tolist() == []


# --- edges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [0.0, 3.0, 6.0])
def test_quads_are_moved_outwards_to_the_edge_of_a_dark_square(inside):
    image = np.full((200, 200), 220, np.uint8)
    image[50:150, 40:160] = 30
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    true = np.array([[40, 50], [160, 50], [160, 150], [40, 150]]) - 0.5
    towards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    for order in (slice(None), slice(None, None, -1)):  # either way round
        found = on_edges(image, (true + inside * towards)[None, order], 6)
        np.testing.assert_allclose(found[0], true[order], atol=1.01)


def test_a_side_moves_no_farther_than_a_bit():
    """The next edge outwards may be another marker's."""
    image = np.full((200, 200), 220, np.uint8)
    image[50:150, 40:160] = 30
    quad = np.array([[[60.0, 70], [140, 70], [140, 130], [60, 130]]])
    np.testing.assert_allclose(on_edges(image, quad, 10), quad, atol=1e-9)


def test_without_edges_quads_stay_where_they_are():
    quad = np.array([[[20.0, 20], [80, 25], [75, 90], [15, 80]]])
    np.testing.assert_allclose(on_edges(np.full((100, 100), 99, np.uint8), quad, 6), quad, atol=1e-9)
    assert on_edges(np.zeros((9, 9), np.uint8), np.zeros((0, 4, 2)), 6).shape == (0, 4, 2)


# --- images ----------------------------------------------------------------------------------------------------------


def test_grey_stays_and_colours_become_their_brightness():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(grey_of(grey), grey)
    np.testing.assert_array_equal(grey_of(np.repeat(grey[..., None], 3, -1)), grey)
    red, green, blue = (grey_of(np.full((1, 1, 3), np.eye(3, dtype=np.uint8)[axis] * 200))[0, 0] for axis in range(3))
    assert blue < red < green and int(red) + green + blue == pytest.approx(200, abs=2)
    turned = grey_of(np.ascontiguousarray(grey.T).T)
    assert turned.flags["C_CONTIGUOUS"] and np.array_equal(turned, grey)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8), np.zeros((4, 4), int)]
)
def test_what_is_no_image_is_refused_with_its_type_and_shape(image):
    with pytest.raises(CalibrationError) as refused:
        grey_of(image)
    assert str(image.dtype) in str(refused.value) and str(image.shape) in str(refused.value)


def test_sides_of_a_marker_are_found_at_the_middle_of_their_blurred_edges():
    rng, off = np.random.default_rng(0), []
    for _ in range(20):
        side, angle = rng.uniform(25, 60), rng.uniform(0, 2 * np.pi)
        R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = 60 + rng.uniform(-0.5, 0.5, 2)
        corners = middle + side / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ R.T
        y, x = (np.mgrid[0:600, 0:600] + 0.5) / 5 - 0.5
        inside = (np.abs((np.stack([x, y], -1) - middle) @ R) < side / 2).all(-1)
        image = np.where(inside, 30.0, 220.0).reshape(120, 5, 120, 5).mean((1, 3))
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.2)) + rng.normal(0, 2, image.shape)
        rough = middle + (corners - middle) * (1 - rng.uniform(0, 4) / side)
        found = on_edges(np.clip(image, 0, 255).astype(np.uint8), rough[None], 7)[0]
        off += (((found - corners) * (corners - middle)).sum(1) / np.linalg.norm(corners - middle, axis=1)).tolist()
    assert abs(np.mean(off)) < 0.06 and np.std(off) < 0.16 and np.abs(off).max() < 0.55
