"""The search for people: scales and their turns, copies of one body, and a row of more people than a network finds."""

from itertools import pairwise

import numpy as np
import pytest
from demo_people import needs, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.estimation.body_finder import (
    SAME_BODY,
    BodyFinder,
    body_distance,
    body_extent,
    distinct,
    scales_of_search,
    search_scales,
)
from mvcap.estimation.converted_networks import converted_network
from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.estimation.movenet_networks import Bodies

SEEDS = st.integers(0, 2**31)
SIDES = st.integers(1, 10000)


def bodies_of(seed, count, size=100.0):
    """Return joints (N, 17, 2) px of bodies of about a size, anywhere."""
    random = np.random.default_rng(seed)
    shape = random.uniform(-0.5, 0.5, (count, 17, 2)) * (0.4, 1)
    return random.uniform(0, 1000, (count, 1, 2)) + size * random.uniform(0.5, 1.5, (count, 1, 1)) * shape


def found(xy, score):
    return Bodies(xy, np.ones(xy.shape[:2]), np.zeros((len(xy), 4)), np.asarray(score, float))


# Scales


@settings(max_examples=200)
@given(SIDES, SIDES, st.floats(0.01, 1), st.floats(0.01, 1))
def test_scales_grow_by_two_at_most_and_no_further_than_is_of_use(width, height, smallest, other):
    scales = search_scales((width, height), smallest)
    assert scales == search_scales((height, width), smallest)
    assert all(low < high <= 2 * low for low, high in pairwise(scales))
    assert 256 <= scales[-1] <= max(256, 1.5 * max(width, height) + 32) and scales[0] == 256
    # The smallest people are as high in the finest picture as the network needs, if the image has as many pixels.
    if 1.5 * max(width, height) * smallest >= 45:
        assert scales[-1] * smallest >= 44
    if smallest <= other:
        assert search_scales((width, height), other)[-1] <= scales[-1]


def test_scales_of_odd_images():
    assert search_scales((1, 1), 0.01) == (256,) and search_scales((30, 20), 0.05) == (256,)
    assert search_scales((10000, 8000), 0.05)[-1] <= 1024 and search_scales((10000, 8000), 0.01)[-1] <= 4608
    assert len(search_scales((10000, 8000), 0.01)) <= 6


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_scale_has_its_turn_half_as_often_as_the_coarser_one(count):
    scales = tuple(256 * 2**level for level in range(count))
    assert scales_of_search(0, scales) == scales
    turns = [scales_of_search(number, scales) for number in range(1, 2**count + 1)]
    assert all(len(turn) == 1 for turn in turns)
    times = [sum(turn == (scale,) for turn in turns) for scale in scales]
    wanted = [2 ** (count - 1 - level) for level in range(count)]
    wanted[-1] += 1  # the rest of the powers of two
    assert times == wanted and sum(times) == 2**count
    gaps = [number for number, turn in enumerate(turns) if turn == (scales[-1],)]
    assert max(np.diff(gaps), default=1) <= 2 ** (count - 1)


# Distances and copies


@settings(max_examples=60)
@given(SEEDS, st.floats(0.2, 50), st.floats(-1e4, 1e4))
def test_distances_are_mutual_and_do_not_depend_on_the_scale(seed, scale, shift):
    one, other = bodies_of(seed, 2)
    apart = body_distance(one, other[None])[0]
    assert apart == pytest.approx(body_distance(other, one[None])[0]) and apart > 0
    assert body_distance(one, one[None])[0] == 0
    moved = body_distance(scale * one + shift, (scale * other + shift)[None])[0]
    assert moved == pytest.approx(apart, rel=1e-6)
    assert body_extent(scale * one) == pytest.approx(scale * body_extent(one))


@settings(max_examples=60)
@given(SEEDS, st.floats(0, 2), st.floats(0, 2 * np.pi))
def test_a_moved_body_is_as_far_as_it_was_moved(seed, share, angle):
    (one,) = bodies_of(seed, 1)
    step = share * body_extent(one) / 3 * np.array([np.cos(angle), np.sin(angle)])
    assert body_distance(one, (one + step)[None])[0] == pytest.approx(share, abs=1e-6)


def test_distances_of_bodies_without_an_extent():
    point = np.zeros((17, 2))
    assert np.isfinite(body_distance(point, np.stack([point, point + 5]))).all()


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 6), st.integers(0, 3))
def test_copies_go_and_the_surest_stays(seed, people, copies):
    random = np.random.default_rng(seed)
    xy = bodies_of(seed, people) + np.arange(people)[:, None, None] * (2000, 0)
    rows = np.concatenate([xy] + [xy + random.normal(0, 1, xy.shape) for _ in range(copies)])
    score = random.permutation(len(rows)) / len(rows) + 0.001
    order = random.permutation(len(rows))
    some = distinct(found(rows[order], score[order]))
    assert len(some) == people and (np.diff(some.score) < 0).all()
    surest = score.reshape(copies + 1, people).max(0)
    np.testing.assert_allclose(np.sort(some.score), np.sort(surest))
    again = distinct(some)
    assert again.score.tolist() == some.score.tolist() and (again.xy == some.xy).all()
    for row in range(len(some)):
        others = np.delete(some.xy, row, 0)
        assert not len(others) or body_distance(some.xy[row], others).min() > SAME_BODY


def test_nobody_is_nobody():
    none = distinct(found(np.zeros((0, 17, 2)), []))
    assert len(none) == 0 and none.xy.shape == (0, 17, 2)


# The real network


@pytest.fixture(scope="module")
def finder():
    needs("movenet-multipose")
    return BodyFinder(converted_network("movenet-multipose"), 0.2, 1, "cpu")


BOXES = {
    "cam01": [(443, 820, 1075, 1746), (89, 355, 698, 1182)],
    "cam02": [(68, 652, 434, 1470), (185, 421, 761, 1152)],
    "cam03": [(87, 517, 385, 1058), (331, 404, 734, 1233)],
    "cam04": [(559, 418, 981, 973), (166, 405, 985, 1256)],
}
"""The man and the woman in frame 40 of each view."""
TILE = (198, 320)


def tiles():
    """Return nine pictures of one person each, of equal height."""
    found = []
    for view, boxes in BOXES.items():
        image = ImagePyramid(picture(view, 40))
        for left, top, right, bottom in boxes:
            step = 1.15 * (bottom - top) / TILE[1]
            x, y = (left + right - step * TILE[0]) / 2, (top + bottom - step * TILE[1]) / 2
            found.append(image.crop(np.array([[step, 0, x], [0, step, y]]), TILE))
    return [*found, found[3][:, ::-1]]


@pytest.mark.footage
@pytest.mark.parametrize(("along", "scale"), [("x", 928), ("y", 1440)])
def test_more_people_than_the_network_finds_at_once(finder, along, scale):
    images = tiles()
    row = np.concatenate(images, axis=1 if along == "x" else 0)
    bodies = finder(ImagePyramid(row), (scale,))
    axis, length = (0, TILE[0]) if along == "x" else (1, TILE[1])
    middle = bodies.box.reshape(-1, 2, 2).mean(1)[:, axis] / length
    seen = [bool((np.abs(middle - number - 0.5) < 0.2).any()) for number in range(len(images))]
    assert sum(seen) >= 8 and len(bodies) <= 18, (seen, middle)


@pytest.mark.footage
def test_people_of_all_sizes_are_found_in_one_picture(finder):
    """One large, one small, at the scales of the whole search."""
    large, small = tiles()[2], tiles()[3]
    image = np.full((1200, 1600, 3), 90, np.uint8)
    grown = ImagePyramid(large).crop(np.array([[0.35, 0, 0], [0, 0.35, 0]]), (565, 914))
    image[200 : 200 + 914, 100 : 100 + 565] = grown
    reduced = ImagePyramid(small).crop(np.array([[3.0, 0, 0], [0, 3.0, 0]]), (66, 106))
    image[500 : 500 + 106, 1300 : 1300 + 66] = reduced
    bodies = finder(ImagePyramid(image), search_scales((1600, 1200), 0.05))
    middle = bodies.box.reshape(-1, 2, 2).mean(1)
    for place, size in (((382, 657), 914), ((1333, 553), 106)):
        assert (np.abs(middle - place).max(1) < 0.2 * size).any(), (place, middle)


@pytest.mark.footage
def test_an_empty_picture_has_nobody(finder):
    for value in (0, 255):
        assert len(finder(ImagePyramid(np.full((300, 400, 3), value, np.uint8)), (256, 512))) == 0
