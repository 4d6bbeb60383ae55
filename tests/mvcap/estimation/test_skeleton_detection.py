"""The skeleton of people in a file, by the number of keypoints and the middle of the hips."""

import numpy as np
import pytest

from mvcap.estimation.skeleton_detection import detect_layout


def body(joints=25, middle=False):
    values = np.array([[100 + 3 * joint, 100 + 20 * joint, 0.9] for joint in range(joints)], float)
    if middle:
        values[8, :2] = values[[9, 12], :2].mean(0)
    return values.ravel().tolist()


@pytest.mark.parametrize(
    ("count", "layout"), [(17, "coco17"), (18, "coco18"), (26, "halpe26"), (133, "wholebody133"), (136, "halpe136")]
)
def test_a_number_that_only_one_has(count, layout):
    assert detect_layout([None, [], body(count)], "body25") == layout


def test_the_middle_of_the_hips_tells_the_two_with_25():
    assert detect_layout([body(middle=True)] * 3, "coco17") == "body25"
    assert detect_layout([body()] * 3, "coco17") == "body25b"
    assert detect_layout([body()] + [body(middle=True)] * 3, "coco17") == "body25"  # the median decides


@pytest.mark.parametrize("bodies", [[], [None], [[]], [[1, 2]], [body(7)], ["text"], [{"x": 1}]])
def test_what_is_unknown_is_left_to_the_reader(bodies):
    assert detect_layout(bodies, "coco17") == "coco17"


def test_values_that_are_no_numbers_are_left_to_the_reader():
    for wrong in ("a", None, 10**400, [1]):
        assert detect_layout([[wrong] * 75], "coco17") == "body25"
