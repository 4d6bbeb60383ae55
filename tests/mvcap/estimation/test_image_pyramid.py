"""Crops of an image at any scale: each pixel is where the map says, there is no aliasing, and outside it is black."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.estimation.image_pyramid import ImagePyramid

WIDTH, HEIGHT = 255, 240


def ramps():
    """An image whose red is x and whose green is y."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x, y, np.full_like(x, 77)], -1).astype(np.uint8)


RAMPS = ImagePyramid(ramps())


def map_of(scale, x, y, turn=0.0):
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[c, -s, x], [s, c, y]])


def blob(x, y, width, size=(300, 320)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    grey = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, -1)


def middle(picture):
    """Return the centre of mass x, y of a picture."""
    grey = picture[..., 0].astype(float)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]]
    return np.array([(columns * grey).sum(), (rows * grey).sum()]) / grey.sum()


@settings(max_examples=50)
@given(st.floats(0.5, 6), st.floats(12, 40), st.floats(12, 40))
def test_pixels_are_read_where_the_map_says(scale, x, y):
    size = (20, 17)
    crop = RAMPS.crop(map_of(scale, x, y), size).astype(float)
    assert crop.shape == (17, 20, 3)
    wanted = np.stack(np.broadcast_arrays(x + scale * np.arange(20), (y + scale * np.arange(17))[:, None]), -1)
    inside = (wanted < (WIDTH - 12, HEIGHT - 12)).all(-1)
    off = (crop[..., :2] - wanted)[inside]
    assert np.abs(off).max() < 1.2 and np.abs(off.mean(0)).max() < 0.65  # whole values, places to 1/32 of a level's px
    assert (crop[inside, 2] == 77).all()


@settings(max_examples=30)
@given(st.floats(0.5, 6), st.floats(-np.pi, np.pi))
def test_turned_crops_are_read_where_the_map_says(scale, turn):
    corner = np.array([125.0, 118]) - map_of(scale, 0, 0, turn)[:, :2] @ (6.5, 6.5)
    crop = RAMPS.crop(map_of(scale, *corner, turn), (14, 14)).astype(float)
    v, u = np.mgrid[:14, :14]
    wanted = np.einsum("ij,jhw->hwi", map_of(scale, *corner, turn), np.stack([u, v, np.ones_like(u)]))
    off = crop[..., :2] - wanted
    assert np.abs(off).max() < 1.2 and np.abs(off.mean((0, 1))).max() < 0.3


@settings(max_examples=40)
@given(st.floats(0.5, 6), st.floats(-1, 1), st.floats(-1, 1))
def test_a_spot_comes_back_in_its_place(scale, x, y):
    place = np.array([160 + x, 150 + y])
    image = ImagePyramid(blob(*place, 3 * max(scale, 1)))
    corner = place.round() - scale * 20
    crop = image.crop(map_of(scale, *corner), (41, 41))
    found = corner + scale * middle(crop)
    assert np.abs(found - place).max() < 0.1 + 0.03 * scale


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.9, 8.0])
def test_outside_the_image_it_is_black(scale):
    image = ImagePyramid(np.full((64, 64, 3), 255, np.uint8))
    start = -10 * scale
    crop = image.crop(map_of(scale, start, start), (int(84 / scale) + 20,) * 2)
    at = start + scale * np.arange(crop.shape[0])
    out, inside = (at < -scale - 1) | (at > 64 + 2 * scale), (at >= 0) & (at <= 56)
    assert not crop[out].any() and not crop[:, out].any()
    assert (crop[np.ix_(inside, inside)] == 255).all()
    assert not image.crop(map_of(scale, 1000, -500), (9, 9)).any()


def test_fine_stripes_are_grey_in_a_coarse_crop():
    image = np.zeros((256, 256, 3), np.uint8)
    image[:, ::2] = 254
    crop = ImagePyramid(image).crop(map_of(5.3, 20, 20), (30, 30))
    assert np.abs(crop.astype(int) - 127).max() <= 12


def test_levels_are_made_when_they_are_needed_and_once():
    image = ImagePyramid(np.zeros((100, 200, 3), np.uint8))
    assert image.size == (200, 100) and len(image.levels) == 1
    assert [image.level(scale) for scale in (0.01, 1, 1.99, 2, 4.1)] == [0, 0, 0, 1, 2] and len(image.levels) == 3
    half = image.levels[1]
    assert half.shape == (50, 100, 3)
    image.crop(map_of(2.0, 0, 0), (10, 10))
    assert image.levels[1] is half


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (3, 2), (33, 7)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1e6])
def test_images_of_any_size_have_crops(shape, scale):
    image = ImagePyramid(np.full((*shape, 3), 200, np.uint8))
    assert image.crop(map_of(scale, 0, 0), (5, 4)).shape == (4, 5, 3)
    assert image.reduced((3, 2)).shape == (2, 3, 3) and (image.reduced((3, 2)) == 200).all()


# The whole image


@settings(max_examples=40)
@given(st.integers(8, 250), st.integers(8, 250))
def test_the_whole_image_is_scaled_from_edge_to_edge(width, height):
    small = RAMPS.reduced((width, height)).astype(float)
    assert small.shape == (height, width, 3)
    steps = np.array([WIDTH / width, HEIGHT / height])
    wanted = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1) * steps - 0.5
    off = ((small[..., :2] - wanted) / np.maximum(steps, 1))[1:-1, 1:-1]
    # Pixels of the result: a halved image begins half a px of its own further left, which is a third of one here.
    assert np.abs(off.mean((0, 1))).max() < 0.5 and np.abs(off).max() < 1.3


def test_an_image_is_enlarged_without_a_shift():
    image = ImagePyramid(blob(30.3, 25.8, 4, (60, 64)))
    large = image.reduced((640, 600))
    np.testing.assert_allclose((middle(large) + 0.5) / 10 - 0.5, (30.3, 25.8), atol=0.1)


def test_the_image_itself_is_not_changed():
    image = ramps()
    before = image.copy()
    pyramid = ImagePyramid(image)
    pyramid.crop(map_of(4.0, -3, 5), (30, 30))
    pyramid.reduced((50, 40))
    assert (image == before).all() and (pyramid.reduced((WIDTH, HEIGHT)) == image).all()
