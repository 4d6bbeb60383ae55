"""Changes in a linear world whose truth is known: fitted exactly, tested honestly, never found where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from calib.changes.evidence import CAMERA, CHANGE, Evidence, columns
from calib.changes.steps import (
    Step,
    false_alarm_probability,
    fit_changes,
    likelihood_gains,
    next_step,
    residual_drift,
)

CAMERAS, BLOCKS = 2, 32
D = CAMERAS * CAMERA
VAGUE, TIGHT = np.full(D, 1e-6), np.full(D, 1e6)
CHANGED = 0.02 * np.array([1.0, -2, 1, 3, 1, -1, 2])


def step_at(block, camera=1):
    return Step(camera, (np.arange(BLOCKS) >= block).astype(float), block, block)


def ramp(since, until, camera=1):
    return Step(camera, np.clip((np.arange(BLOCKS) + 0.5 - since) / (until - since), 0, 1), since, until)


def evidence(seed=0, changes=(), errors=None, *, noise=1.0, correlation=0.0) -> Evidence:
    """Blocks that see errors (D,) of the cameras and (step, motion) changes, with noise of the stated size, or more."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(BLOCKS, D, D + 4)) * 20
    information = roots @ roots.swapaxes(1, 2)
    numbers = np.zeros((BLOCKS, D)) if errors is None else np.tile(errors, (BLOCKS, 1))
    for step, motion in changes:
        numbers[:, columns(step.camera, CHANGE)] += step.share[:, None] * motion
    white = rng.normal(size=(BLOCKS, D + 4))
    for block in range(1, BLOCKS):
        white[block] = correlation * white[block - 1] + np.sqrt(1 - correlation**2) * white[block]
    if correlation:  # so that the noise of a block's score keeps its sign
        roots[:] = roots[0]
        information[:] = information[0]
    score = np.einsum("bij,bj->bi", information, numbers) + noise * np.einsum("bij,bj->bi", roots, white)
    nothing = np.zeros(CAMERAS)
    spread = np.zeros((CAMERAS, CHANGE, CHANGE))
    return Evidence(information, score, np.arange(BLOCKS + 1), nothing, nothing, spread, 0.0)


def test_errors_and_changes_are_exact_without_noise():
    errors = 0.01 * np.sin(np.arange(D))
    steps = (step_at(10), ramp(4, 20, camera=0), step_at(25))
    motions = [CHANGED, -0.5 * CHANGED, 0.3 * CHANGED[::-1]]
    found = evidence(1, list(zip(steps, motions, strict=True)), errors, noise=0.0)
    fit = fit_changes(found, VAGUE, steps)
    np.testing.assert_allclose(fit.errors, errors, atol=1e-5)  # but for the priors
    np.testing.assert_allclose(fit.changes, motions, atol=2e-5)
    assert np.abs(fit.left).max() < 1e-3 * np.abs(found.score).max()


def test_the_covariance_is_what_happens_when_all_is_filmed_again():
    step = step_at(12)
    scaled = []
    for seed in range(60):
        fit = fit_changes(evidence(seed, [(step, CHANGED)]), VAGUE, (step,))
        off = fit.changes[0] - CHANGED
        scaled.append(off @ np.linalg.solve(fit.spread(0), off))
    assert np.mean(scaled) == pytest.approx(CHANGE, rel=0.15)  # chi squared with seven degrees of freedom
    assert np.mean(np.array(scaled) < chi2.ppf(0.5, CHANGE)) == pytest.approx(0.5, abs=0.2)


def test_noise_of_four_times_the_variance_doubles_the_standard_deviations():
    found, step = evidence(2), step_at(12)
    once, four = fit_changes(found, VAGUE, (step,)), fit_changes(found, VAGUE, (step,), excess=4.0)
    np.testing.assert_allclose(four.spread(0), 4 * once.spread(0), rtol=1e-3)
    np.testing.assert_allclose(four.changes, once.changes, rtol=1e-3, atol=1e-8)
    assert four.gained == pytest.approx(once.gained / 4, rel=1e-3)


def test_a_sharp_prior_leaves_errors_at_zero_and_a_vague_one_finds_them():
    errors = np.full(D, 0.02)
    found = evidence(3, errors=errors)
    np.testing.assert_allclose(fit_changes(found, np.full(D, 1e12), ()).errors, 0, atol=1e-4)
    np.testing.assert_allclose(fit_changes(found, VAGUE, ()).errors, errors, atol=0.01)


def test_nested_fits_gain_more_and_more():
    found = evidence(4, [(step_at(10), CHANGED)])
    gained = [fit_changes(found, VAGUE, steps).gained for steps in ((), (step_at(10),), (step_at(10), step_at(20, 0)))]
    assert 0 < gained[0] < gained[1] < gained[2]


@pytest.mark.parametrize("known", [(), (step_at(20, camera=0),)], ids=["none known", "one known"])
def test_the_gain_of_a_step_is_what_the_fit_with_it_gains(known):
    """By the score alone, for every camera and block at once, as if each had been fitted."""
    found = evidence(5, [(step_at(10), CHANGED)])
    fit = fit_changes(found, TIGHT, known)
    gains = likelihood_gains(found, fit)
    assert gains.shape == (CAMERAS, BLOCKS) and not gains[:, 0].any()
    for camera, block in ((0, 3), (1, 10), (1, 30), (0, 16)):
        fitted = fit_changes(found, TIGHT, (*known, step_at(block, camera)))
        assert gains[camera, block] == pytest.approx(fitted.gained - fit.gained, rel=2e-3, abs=1e-3)
    assert np.unravel_index(gains.argmax(), gains.shape) == (1, 10)
    shared = likelihood_gains(found, fit, ramp(5, 15).share)
    fitted = fit_changes(found, TIGHT, (*known, ramp(5, 15)))
    assert shared[1] == pytest.approx(fitted.gained - fit.gained, rel=2e-3)


# --- noise -----------------------------------------------------------------------------------------------------------


def drift_of(**options):
    """Mean excess over takes without any change."""
    found = [evidence(seed, **options) for seed in range(8)]
    return float(np.mean([residual_drift(one, fit_changes(one, VAGUE, ())) for one in found], axis=0)[0].mean())


def test_white_noise_of_the_stated_size_is_no_excess():
    assert 0.9 < drift_of() < 1.8  # the largest of several sums is more than one on average
    assert drift_of(noise=2.0) == pytest.approx(4 * drift_of(), rel=1e-3)


def test_noise_that_is_correlated_in_time_counts_for_more_and_has_fewer_degrees_of_freedom():
    """With a lag-one correlation a, sums vary (1 + a) / (1 - a) times as much."""
    slow = drift_of(correlation=0.7)
    assert 0.6 * (1.7 / 0.3) < slow < 3 * (1.7 / 0.3)
    white, tied = evidence(0), evidence(0, correlation=0.8)
    free = [residual_drift(one, fit_changes(one, VAGUE, ()))[1] for one in (white, tied)]
    assert (free[0] >= CHANGE).all() and free[1].mean() < free[0].mean()


def test_a_known_change_is_no_drift():
    step = step_at(16)
    found = evidence(6, [(step, 5 * CHANGED)])
    ignored, known = (residual_drift(found, fit_changes(found, VAGUE, steps))[0] for steps in ((), (step,)))
    assert ignored[1] > 20 * known[1] and known[1] < 2.5


@given(st.floats(0, 200), st.floats(0.5, 20), st.floats(1, 200), st.integers(1, 500))
@settings(max_examples=20, derandomize=True)
def test_a_chance_is_a_bounded_tail_of_the_f_distribution(gain, spread, freedom, tried):
    chance = false_alarm_probability(gain, spread, freedom, tried)
    exact = tried * f_distribution.sf(gain / spread / CHANGE, CHANGE, freedom)
    assert chance == pytest.approx(min(1.0, exact), rel=1e-6, abs=1e-300)
    assert false_alarm_probability(gain + 1, spread, freedom, tried) <= chance
    assert false_alarm_probability(gain, 2 * spread, freedom, tried) >= chance


def test_a_chance_of_known_noise_is_that_of_chi_squared():
    assert false_alarm_probability(24.3, 1.0, 1e9, 1) == pytest.approx(chi2.sf(24.3, CHANGE), rel=1e-4)
    assert false_alarm_probability(0.0, 1.0, 1e9, 1) == 1.0


# --- the search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("camera", "block"), [(1, 10), (0, 20)])
def test_a_step_is_found_by_its_camera_and_block(camera, block):
    true = step_at(block, camera)
    found = next_step(evidence(7, [(true, CHANGED)]), TIGHT, (), 1e-3)
    assert (found.camera, found.since, found.until) == (camera, block, block)
    np.testing.assert_array_equal(found.share, true.share)


def test_a_slow_drift_is_found_as_a_ramp():
    true = ramp(8, 26)
    found = next_step(evidence(8, [(true, 4 * CHANGED)]), TIGHT, (), 1e-3)
    assert found.camera == 1 and abs(found.since - 8) <= 2 and abs(found.until - 26) <= 2
    assert (np.diff(found.share) >= 0).all() and found.share[0] == 0 and found.share[-1] == 1


def test_the_second_change_is_found_once_the_first_is_known():
    first, second = step_at(8, 0), step_at(22, 1)
    found = evidence(9, [(first, 2 * CHANGED), (second, CHANGED)])
    assert next_step(found, TIGHT, (), 1e-3).camera == 0
    again = next_step(found, TIGHT, (first,), 1e-3)
    assert (again.camera, again.since) == (1, 22)
    assert next_step(found, TIGHT, (first, second), 1e-3) is None


def test_noise_alone_is_no_change():
    assert all(next_step(evidence(seed), TIGHT, (), 1e-3) is None for seed in range(12))
    assert all(next_step(evidence(seed, correlation=0.7), VAGUE, (), 1e-3) is None for seed in range(4))


def test_an_error_that_holds_all_the_time_is_no_change():
    assert next_step(evidence(10, errors=np.full(D, 0.05)), VAGUE, (), 1e-3) is None


def test_the_spread_of_a_step_is_its_own_part_of_the_covariance():
    steps = (step_at(8), step_at(20, 0))
    fit = fit_changes(evidence(11), VAGUE, steps)
    assert fit.covariance.shape == (D + 2 * CHANGE,) * 2
    np.testing.assert_array_equal(fit.spread(1), fit.covariance[D + CHANGE :, D + CHANGE :])
    np.testing.assert_allclose(fit.covariance, fit.covariance.T, rtol=1e-6)
