"""Views that are late: which of them surely are, and their detections moved in time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO

from mvcap.self_calibration.cross_view_matches import MovingPeople
from mvcap.self_calibration.single_view_tracks import RowTrack
from mvcap.self_calibration.time_offsets import estimate_late_frames, shift_is_significant, synchronise
from mvcap.structures.detections import Detections2D

JOINTS = len(COCO)


# --- who is late for sure --------------------------------------------------------------------------------------------


def test_one_view_that_is_surely_late_is_late_against_the_others():
    found = shift_is_significant(np.array([0.5, 0.5, 3.5, 0.5]), np.full(4, 0.1))
    np.testing.assert_allclose(found, [0, 0, 3, 0])


@pytest.mark.parametrize(
    ("late", "sigma", "sure"), [(0.2, 0.001, False), (0.5, 0.05, True), (0.5, 0.2, False), (-3, 0.1, True)]
)
def test_little_or_uncertain_offsets_are_none(late, sigma, sure):
    found = shift_is_significant(np.array([0, 0, late, 0]), np.full(4, sigma))
    np.testing.assert_allclose(found, [0, 0, late if sure else 0, 0])


def test_views_of_which_nothing_is_known_are_not_late():
    late, sigma = np.array([0.0, 0.0, 5.0, np.nan]), np.array([0.1, 0.1, np.nan, np.nan])
    np.testing.assert_array_equal(shift_is_significant(late, sigma), 0)
    np.testing.assert_array_equal(shift_is_significant(np.full(3, np.nan), np.full(3, np.nan)), 0)
    np.testing.assert_array_equal(shift_is_significant(np.array([7.0, np.nan]), np.array([0.1, np.nan])), 0)


@given(st.lists(st.floats(-6, 6), min_size=3, max_size=6), st.floats(-5, 5))
@settings(derandomize=True, max_examples=40)
def test_a_common_offset_is_no_offset(late, common):
    late, sigma = np.array(late), np.full(len(late), 0.05)
    np.testing.assert_allclose(shift_is_significant(late + common, sigma), shift_is_significant(late, sigma), atol=1e-9)


def test_without_a_view_in_common_nothing_is_estimated():
    moving = MovingPeople(np.zeros((0, JOINTS, 2)), np.zeros((0, JOINTS)))
    late, sigma = estimate_late_frames(moving, [], np.zeros(0, np.int64), {0: np.eye(4), 1: np.eye(4)}, 3)
    assert np.isnan(late).all() and np.isnan(sigma).all() and late.shape == (3,)


# --- detections moved in time ----------------------------------------------------------------------------------------


def moving_rows(frames, view=1, speed=(4.0, -2.0)):
    """Rows of a body that moves steadily in one view, at frames (M,), and its track."""
    frames = np.asarray(frames)
    shape = np.random.default_rng(0).uniform(0, 200, (JOINTS, 2))
    xy = shape + frames[:, None, None] * np.array(speed)
    zero, box, ones = np.zeros(len(frames)), np.zeros((len(frames), 4)), np.ones((len(frames), JOINTS))
    score, noise = np.clip(0.5 + 0.01 * frames[:, None] * ones, 0, 1), 1 + frames[:, None] * ones
    rows = Detections2D(COCO, frames, zero + view, zero - 1, zero - 1, box, xy, score, noise)
    return rows, RowTrack(view, np.arange(len(frames)), frames.astype(np.int64))


@given(st.floats(-3, 3))
@settings(derandomize=True, max_examples=25)
def test_steady_motion_is_seen_as_so_many_frames_later(late):
    rows, track = moving_rows(range(12))
    found = synchronise(rows, [track], np.array([0.0, late]))
    there = found.score[:, 0] > 0
    wanted = np.arange(12) + late
    np.testing.assert_array_equal(there, (wanted >= 0) & (wanted <= 11))
    expected = rows.xy[0] + wanted[there][:, None, None] * np.array([4.0, -2.0])
    np.testing.assert_allclose(found.xy[there], expected, atol=1e-2)
    assert np.isnan(found.xy[~there]).all() and np.isnan(found.noise_px[~there]).all()


def test_a_synchronised_view_is_unchanged():
    rows, track = moving_rows(range(8))
    found = synchronise(rows, [track], np.array([2.0, 0.0]))
    for name, values in rows.arrays().items():
        np.testing.assert_array_equal(getattr(found, name), values)


def test_score_and_noise_are_those_of_the_worse_frame():
    rows, track = moving_rows(range(6))
    found = synchronise(rows, [track], np.array([0.0, 0.5]))
    np.testing.assert_allclose(found.score[:5], np.minimum(rows.score[:5], rows.score[1:6]))
    np.testing.assert_allclose(found.noise_px[:5], np.maximum(rows.noise_px[:5], rows.noise_px[1:6]))


def test_nothing_is_interpolated_across_a_gap():
    rows, track = moving_rows([0, 1, 2, 6, 7, 8])
    found = synchronise(rows, [track], np.array([0.0, 0.5]))
    assert (found.score[:, 0] > 0).tolist() == [True, True, False, True, True, False]
    hole = rows.xy.copy()
    hole[1, 3] = np.nan
    score, noise = rows.score.copy(), rows.noise_px.copy()
    score[1, 3], noise[1, 3] = 0, np.nan
    found = synchronise(rows.with_columns(xy=hole, score=score, noise_px=noise), [track], np.array([0.0, 0.5]))
    assert (found.score[:2, 3] == 0).all() and found.score[3, 3] > 0 and found.score[0, 4] > 0
