"""Coordinates that are shares of the image are refused, whatever the scale; pixels never are."""

from pathlib import Path

import numpy as np
import pytest
from synthetic_take import COCO, ring_rig

import mvcap
from mvcap.errors import InputError
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.pixels import PixelCheck, check_image_size, check_pixels


def people(low, high, rows=3, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (rows, 17, 2)), np.ones((rows, 17))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (-0.1, 1.3), (0.4, 0.6), (-1, 0)])
@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("size", [(1920, 1080), (64, 64), (0, 0)])
def test_shares_of_the_image_are_no_pixels(low, high, rows, size):
    with pytest.raises(InputError, match=r"view\.json: coordinates are not pixels") as caught:
        check_pixels(*people(low, high, rows), size, "view.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("low", "high", "size"), [(0, 30, (1920, 1080)), (0, 1, (4, 3)), (0, 5, (64, 64))])
def test_pixels_are_taken(low, high, size):
    check_pixels(*people(low, high), size, "a")


def test_few_joints_in_the_corner_are_not_decided():
    xy, score = people(0, 1)
    score[:, 4:] = 0
    check_pixels(np.where(score[..., None] > 0, xy, np.nan), score, (1920, 1080), "a")
    check_pixels(np.ones((2, 17, 2)), np.ones((2, 17)), (1920, 1080), "a")  # all at one place: no body
    check_pixels(np.zeros((0, 17, 2)), np.zeros((0, 17)), (1920, 1080), "a")


def test_one_body_in_pixels_settles_a_file():
    check = PixelCheck((1920, 1080))
    for high in (1, 700, 1):
        check.add(*people(0, high))
    check.finish("a")


def test_functions_on_arrays_refuse_shares_too():
    xy, score = people(0, 1, 6)
    rows = Detections2D.from_dense(xy.reshape(2, 3, 1, 17, 2), score.reshape(2, 3, 1, 17), COCO)
    for call in (mvcap.associate_rows, mvcap.triangulate_rows, mvcap.reconstruct_rows):
        with pytest.raises(InputError, match="not pixels"):
            call(rows, ring_rig(3))


def test_a_file_that_states_another_image_size_is_refused():
    view, xy = View(0, "left", (1920, 1080), 25.0, 3), people(0, 400)[0]
    check_image_size([(1920, 1080), (1920, 1088), (0, 0), (1, 1)], xy, view, Path("a.json"))
    with pytest.raises(InputError, match=r"a\.json.*960 x 540 px, but view left has 1920 x 1080"):
        check_image_size([(960, 540)], xy, view, Path("a.json"))
    check_image_size([(960, 540)], people(0, 1900)[0], view, Path("a.json"))  # the joints say that it is not so
