"""Autocorrelation of residuals, and the variance of means of correlated noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.refinement.lasting_noise import autocorrelation, variance_factor

RATE_HZ = 25.0


def correlated(rng, shape, memory):
    """Residuals (C, T, J, 2) of variance 1 of which each frame keeps a share ``memory``."""
    out = rng.standard_normal((shape[1], shape[0], *shape[2:]))
    for frame in range(1, len(out)):
        out[frame] = memory * out[frame - 1] + np.sqrt(1 - memory**2) * out[frame]
    return out.swapaxes(0, 1)


@settings(max_examples=15, deadline=None)
@given(memory=st.floats(0, 0.95), seed=st.integers(0, 1000))
def test_autocorrelation_is_that_of_the_noise(memory, seed):
    residual = correlated(np.random.default_rng(seed), (4, 300, 15, 2), memory)
    found = autocorrelation(residual, np.ones(residual.shape[:3], bool), RATE_HZ)
    assert len(found) == RATE_HZ
    np.testing.assert_allclose(found[[0, 4]], [memory, memory**5], atol=0.1)


def test_what_is_not_used_does_not_count():
    residual = correlated(np.random.default_rng(0), (3, 200, 10, 2), 0.8)
    used = np.random.default_rng(1).random(residual.shape[:3]) < 0.7
    expected = autocorrelation(np.where(used[..., None], residual, 0), used, RATE_HZ)
    np.testing.assert_array_equal(autocorrelation(np.where(used[..., None], residual, 1e6), used, RATE_HZ), expected)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_few_frames_say_nothing(frames):
    found = autocorrelation(np.ones((2, frames, 3, 2)), np.ones((2, frames, 3), bool), RATE_HZ)
    assert np.isfinite(found).all() and (found < 0.3).all()


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_means_of_correlated_noise_have_the_variance_stated(memory):
    correlation = memory ** np.arange(1, 26)
    noise = correlated(np.random.default_rng(2), (1, 8, 20000, 1), memory)[0, :, :, 0]
    expected = noise.mean(0).var() * 8
    assert variance_factor(correlation, np.array(8.0)) == pytest.approx(expected, rel=0.05)


def test_one_frame_is_not_averaged():
    assert variance_factor(np.full(10, 0.9), np.array(1.0)) == 1
