"""The motion model against its closed forms: constant velocity, the matrix exponential, laws of a Markov process."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from mvcap.tracking.motion_model import predict_states, transition

SPEED, ACCELERATION = 1.5, 3.0
times = st.floats(0, 20)


def by_matrix_exponential(dt, speed, acceleration):
    """Transition and noise of dv = -v / tau dt + white noise: exp(A dt), and the integral of exp(A s) D exp(A s)^T."""
    tau = 2 * speed / acceleration
    A, drive = np.array([[0, 1], [0, -1 / tau]]), np.diag([0, 2 * speed**2 / tau])
    node, weight = np.polynomial.legendre.leggauss(40)
    value, vector = np.linalg.eig(A)
    steps = vector * np.exp(value * (dt * (node + 1) / 2)[:, None])[:, None] @ np.linalg.inv(vector)
    noise = np.einsum("n,nab,bc,ndc->ad", dt / 2 * weight, steps, drive, steps)
    return expm(A * dt), noise


@pytest.mark.parametrize("dt", [0.001, 0.04, 0.5, 3.0])
@pytest.mark.parametrize(("speed", "acceleration"), [(1.5, 3.0), (0.4, 6.0), (3.0, 1.0)])
def test_the_process_is_an_integrated_ornstein_uhlenbeck_process(dt, speed, acceleration):
    ours, theirs = transition(dt, speed, acceleration), by_matrix_exponential(dt, speed, acceleration)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-12)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-12)


def test_no_time_changes_nothing():
    steps, noise = transition(0.0, SPEED, ACCELERATION)
    np.testing.assert_array_equal(steps, np.eye(2))
    np.testing.assert_array_equal(noise, np.zeros((2, 2)))


@given(times, times)
@settings(derandomize=True, max_examples=50)
def test_two_steps_are_one_step(first, second):
    (one, noise_one), (two, noise_two) = (transition(dt, SPEED, ACCELERATION) for dt in (first, second))
    whole, noise = transition(first + second, SPEED, ACCELERATION)
    np.testing.assert_allclose(two @ one, whole, atol=1e-9)
    np.testing.assert_allclose(two @ noise_one @ two.T + noise_two, noise, atol=1e-8)


@given(times)
@settings(derandomize=True, max_examples=50)
def test_noise_is_a_covariance_and_the_speed_stays_as_it_is(dt):
    steps, noise = transition(dt, SPEED, ACCELERATION)
    assert (np.linalg.eigvalsh(noise) > -1e-12).all() and noise[0, 1] == noise[1, 0]
    stationary = np.diag([0, SPEED**2])
    assert (steps @ stationary @ steps.T + noise)[1, 1] == pytest.approx(SPEED**2)


@given(st.floats(0.01, 10))
@settings(derandomize=True, max_examples=30)
def test_time_may_run_backwards(dt):
    """The way gone has the same covariance with the velocity before as with the velocity after."""
    steps, noise = transition(dt, SPEED, ACCELERATION)
    both = steps @ np.diag([0, SPEED**2]) @ steps.T + noise
    assert both[0, 1] == pytest.approx(steps[0, 1] * SPEED**2)


def test_a_short_absence_is_bridged_at_constant_velocity():
    mean = np.array([[1.0, 2.0, 0.9, 0.8, -0.5, 0.0]])
    ahead, _ = predict_states(mean, np.zeros((1, 6, 6)), 0.04, SPEED, ACCELERATION)
    np.testing.assert_allclose(ahead[0, :3], mean[0, :3] + 0.04 * mean[0, 3:], atol=0.04**2)


@pytest.mark.parametrize("dt", [0.2, 2.0])
def test_without_acceleration_it_is_the_constant_velocity_filter(dt):
    rng = np.random.default_rng(0)
    mean, root = rng.normal(size=(4, 6)), rng.normal(size=(4, 6, 6))
    cov = root @ root.swapaxes(1, 2)
    F = np.eye(6)
    F[:3, 3:] = dt * np.eye(3)
    ahead, spread = predict_states(mean, cov, dt, SPEED, 1e-4)
    np.testing.assert_allclose(ahead, mean @ F.T, atol=1e-3)
    np.testing.assert_allclose(spread, F @ cov @ F.T, atol=3e-3)


def test_a_long_absence_forgets_the_velocity_and_walks_at_random():
    tau, dt = 2 * SPEED / ACCELERATION, 200.0
    mean = np.array([[0.0, 0, 0, 1.0, 0, 0]])
    ahead, cov = predict_states(mean, np.zeros((1, 6, 6)), dt, SPEED, ACCELERATION)
    np.testing.assert_allclose(ahead[0], [tau, 0, 0, 0, 0, 0], atol=1e-9)
    assert cov[0, 0, 0] == pytest.approx(2 * SPEED**2 * tau * dt, rel=0.01)  # diffusion
    np.testing.assert_allclose(np.diag(cov[0])[3:], SPEED**2)


def test_axes_are_independent_and_each_state_has_its_time():
    rng = np.random.default_rng(1)
    mean, dt = rng.normal(size=(3, 6)), np.array([0.0, 0.3, 1.0])
    ahead, cov = predict_states(mean, np.zeros((3, 6, 6)), dt, SPEED, ACCELERATION)
    for one, time_s in enumerate(dt):
        steps, noise = transition(time_s, SPEED, ACCELERATION)
        for axis in range(3):
            np.testing.assert_allclose(ahead[one, [axis, axis + 3]], steps @ mean[one, [axis, axis + 3]])
            np.testing.assert_allclose(cov[one][np.ix_([axis, axis + 3], [axis, axis + 3])], noise)
        np.testing.assert_array_equal(cov[one][0, [1, 2, 4, 5]], 0)
    assert predict_states(mean[:0], cov[:0], 0.5, SPEED, ACCELERATION)[1].shape == (0, 6, 6)


def test_samples_of_the_process_have_the_stated_covariance():
    """Simulated paths in steps of 1 ms, against one step of 0.6 s."""
    rng, tau, step, count = np.random.default_rng(2), 2 * SPEED / ACCELERATION, 1e-3, 4000
    place, velocity = np.zeros(count), np.full(count, 0.7)
    for _ in range(600):
        place += step * velocity
        velocity += -velocity / tau * step + np.sqrt(2 * SPEED**2 / tau * step) * rng.normal(size=count)
    steps, noise = transition(0.6, SPEED, ACCELERATION)
    found = np.cov(place, velocity)
    np.testing.assert_allclose([place.mean(), velocity.mean()], steps @ [0, 0.7], atol=0.06)
    np.testing.assert_allclose(found, noise, rtol=0.1)


@pytest.mark.parametrize("acceleration_mps2", [1e-9, 1e-5, 1e-2, 3.0, 1e3])
@pytest.mark.parametrize("dt_s", [1e-4, 1e-3, 0.04, 1.0])
def test_noise_is_right_however_slowly_velocities_are_forgotten(dt_s, acceleration_mps2):
    """Noise of the position against the integral of its definition: tau^2 s^2 times that of 2 (1 - exp(-u))^2."""
    tau = 2 * 1.5 / acceleration_mps2
    points, weights = np.polynomial.legendre.leggauss(40)
    u = (points + 1) / 2 * dt_s / tau
    expected = 1.5**2 * tau**2 * float((weights / 2 * (2 * np.expm1(-u) ** 2)).sum()) * dt_s / tau
    noise = transition(dt_s, 1.5, acceleration_mps2)[1]
    if dt_s / tau < 10:  # beyond, the rule has too few points
        assert noise[0, 0] == pytest.approx(expected, rel=1e-6)
    assert np.linalg.eigvalsh(noise).min() >= -1e-12 * noise.max()
