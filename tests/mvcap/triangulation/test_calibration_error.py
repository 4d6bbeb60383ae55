"""Errors of a calibration in pixels: what an associator learned over a take, and what of it is not noise."""

import numpy as np
import pytest
from synthetic_take import COCO, ring_rig

from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.detections import Detections2D
from mvcap.triangulation.calibration_error import (
    calibration_error_px,
    excess_error_px,
    learned_error_px,
    with_calibration_error,
)

RIG = ring_rig(3)


def artefact(folder, *variances):
    """An artefact of chunks of ten frames whose states hold what was learned, rad^2 of each view, or nothing."""
    made = Artefact(folder / "associate", Detections2D)
    made.begin(Origin("associate", 1, {}, {}), "coco17", 10 * max(len(variances), 1), 10)
    for chunk, variance in enumerate(variances):
        state = {} if variance is None else {"calibration": np.asarray(variance, float)}
        made.write(10 * chunk, Detections2D.empty(COCO), state)
    made.finish()
    return made


def seen(noise_px, views=3):
    """One row a view whose joints have this noise; NaN = not seen."""
    noise = np.broadcast_to(np.asarray(noise_px, float)[..., None], (views, len(COCO))).copy()
    there = np.isfinite(noise)
    zero = np.zeros(views)
    xy = np.where(there[..., None], [5.0, 6.0], np.nan)
    return Detections2D(COCO, zero, np.arange(views), zero, zero - 1, np.zeros((views, 4)), xy, there, noise)


def test_what_was_learned_is_an_angle_times_the_focal_length(tmp_path):
    sigma = np.array([0.001, 0.0, 0.004])
    found = learned_error_px(artefact(tmp_path, sigma**2), 0, RIG)
    np.testing.assert_allclose(found, sigma * RIG.focal)
    np.testing.assert_allclose(RIG.focal, 1050)


def test_an_associator_without_a_learned_error_gives_none(tmp_path):
    np.testing.assert_array_equal(learned_error_px(artefact(tmp_path, None), 0, RIG), 0)
    np.testing.assert_array_equal(calibration_error_px(artefact(tmp_path / "b", None, None), RIG), 0)


def test_over_a_take_it_is_the_mean_of_squares_half_of_it_shared_by_all(tmp_path):
    first, later = np.array([0.001, 0.001, 0.001]), np.array([0.003, 0.001, 0.0])
    found = calibration_error_px(artefact(tmp_path, first**2, later**2), RIG)
    own = ((first * 1050) ** 2 + (later * 1050) ** 2) / 2
    np.testing.assert_allclose(found**2, (own + own.mean()) / 2)
    assert (found**2).sum() == pytest.approx(own.sum()), "nothing is lost by sharing"
    assert found.min() > 0 and found.argmax() == 0


@pytest.mark.parametrize(("error", "left"), [(5.0, 4.0), (3.0, 0.0), (2.0, 0.0), (0.0, 0.0)])
def test_what_may_be_noise_is_left_out(error, left):
    np.testing.assert_allclose(excess_error_px(np.full(3, error), seen([3.0, 3.0, 3.0])), left)


def test_each_view_has_its_own_noise_and_the_median_of_it_counts():
    rows = seen([1.0, 4.0, np.nan])
    noise = rows.noise_px.copy()
    noise[0, :3] = 100.0
    found = excess_error_px(np.array([5.0, 5.0, 5.0]), rows.with_columns(noise_px=noise))
    np.testing.assert_allclose(found, [np.sqrt(24), 3.0, 5.0])  # of a view without rows nothing may be noise
    np.testing.assert_allclose(excess_error_px(np.array([5.0, 0.0, 0.0]), Detections2D.empty(COCO)), [5, 0, 0])


def test_errors_are_added_to_the_noise_as_squares():
    rows = seen([3.0, 3.0, np.nan])
    wider = with_calibration_error(rows, np.array([4.0, 0.0, 1.0]))
    np.testing.assert_allclose(wider.noise_px[0], 5.0)
    np.testing.assert_array_equal(wider.noise_px[1], rows.noise_px[1])
    assert np.isnan(wider.noise_px[2]).all()
    np.testing.assert_array_equal(wider.xy, rows.xy)
    assert with_calibration_error(rows, np.zeros(3)) is rows
    assert len(with_calibration_error(rows[:0], np.ones(3))) == 0
