"""Checks of arguments: valid ones are returned as they are, all else is one InputError of one line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO, ring_rig
from walking_take import poses

from mvcap.errors import InputError
from mvcap.structures import row_checks
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D

RIG, TABLE = ring_rig(3), poses(6)


def detections(frame=(0, 1), view=(0, 2)):
    rows = Detections2D.build(COCO, 0, 0, np.ones((len(frame), 17, 2)), np.ones((len(frame), 17)), 0.5)
    return rows.with_columns(frame=np.array(frame, int), view=np.array(view, int))


def refused(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=40)
@given(st.one_of(st.floats(1e-6, 1e5), st.integers(1, 100_000)))
def test_rates_above_zero_are_returned(rate_hz):
    for given_rate in (rate_hz, np.float64(rate_hz)):
        found = row_checks.check_rate(given_rate)
        assert found == rate_hz and type(found) is float


@pytest.mark.parametrize("rate_hz", [0, -25.0, np.nan, np.inf, 1e6, True, None, "25", [25.0]])
def test_other_rates_are_refused(rate_hz):
    assert repr(rate_hz) in refused(row_checks.check_rate, rate_hz)


def test_detections_of_the_views_are_returned_and_others_refused():
    for rows in (detections(), Detections2D.empty(COCO)):
        assert row_checks.check_detections(rows, 3) is rows
    assert "view 2" in refused(row_checks.check_detections, detections(), 2)
    assert "view -1" in refused(row_checks.check_detections, detections(view=(-1, 1)), 3)
    assert "-4" in refused(row_checks.check_detections, detections(frame=(3, -4)), 3)
    for other in (TABLE, None, np.zeros((2, 17, 2))):
        assert type(other).__name__ in refused(row_checks.check_detections, other, 3)


def test_poses_with_a_row_per_person_and_frame_are_returned_and_others_refused():
    for rows in (TABLE, TABLE[::-1], Poses3D.empty(COCO)):
        assert row_checks.check_poses(rows) is rows
    twice = Poses3D.concatenate([TABLE, TABLE[3:4]], COCO)
    message = refused(row_checks.check_poses, twice)
    assert f"person {TABLE.person[3]} " in message and f"frame {TABLE.frame[3]};" in message
    refused(row_checks.check_poses, TABLE.with_columns(frame=TABLE.frame - 1))
    for other in (detections(), None, TABLE.xyz):
        assert type(other).__name__ in refused(row_checks.check_poses, other)


def test_a_rig_is_returned_and_anything_else_refused():
    assert row_checks.check_rig(RIG) is RIG
    for other in (None, "rig.yaml", list(RIG)):
        assert type(other).__name__ in refused(row_checks.check_rig, other)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), max_size=5), st.integers(0, 40))
def test_the_length_of_a_take_holds_all_rows(frames, stated):
    tables = [detections((frame,), (0,)) for frame in frames]
    least = max(frames, default=-1) + 1
    assert row_checks.take_length(None, *tables) == least
    if stated >= least:
        assert row_checks.take_length(np.int64(stated), *tables) == stated
    else:
        assert str(least) in refused(row_checks.take_length, stated, *tables)


@pytest.mark.parametrize("frames", [True, 9.0, "9", -1])
def test_lengths_that_are_no_whole_numbers_are_refused(frames):
    refused(row_checks.take_length, frames, detections())
    assert row_checks.take_length(9, detections(), TABLE) == 9


def test_calibration_errors_are_one_number_per_camera():
    np.testing.assert_array_equal(row_checks.check_errors_px([0, 1, 2.5], 3), [0, 1, 2.5])
    assert row_checks.check_errors_px([], 0).shape == (0,)
    for values in ([0, 1], 1.0, [[0, 1, 2]], [0, 1, np.nan], [0, 1, np.inf], [0, 1, -0.1]):
        refused(row_checks.check_errors_px, values, 3)


def test_gates_are_above_zero():
    assert row_checks.check_gate(3) == 3.0 and type(row_checks.check_gate(np.float32(2))) is float
    for gate in (0, -1.0, np.nan, np.inf, "3", None):
        refused(row_checks.check_gate, gate)


def test_a_moment_has_an_image_per_view():
    row_checks.check_images([None] * 3, 3)
    refused(row_checks.check_images, [None] * 2, 3)


@pytest.mark.parametrize("wrong", ["abc", ["a", "b"], None, [[1, 2], [3]], [10**400, 1], object()])
def test_calibration_errors_that_are_no_numbers(wrong):
    with pytest.raises(InputError, match="calibration_px"):
        row_checks.check_errors_px(wrong, 2)


@pytest.mark.parametrize("wrong", [True, False, "3", None, float("nan"), float("inf"), 0, -1])
def test_gates_that_are_no_numbers(wrong):
    with pytest.raises(InputError, match="gate_sigma"):
        row_checks.check_gate(wrong)
