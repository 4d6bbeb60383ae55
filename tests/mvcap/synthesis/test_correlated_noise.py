"""Random numbers that last: standard normal at every frame, correlated as asked, and events of a given share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import multivariate_normal, norm

from mvcap.synthesis.correlated_noise import correlated_normal, expit, random_events


def drawn(memory, shape=(40, 5000), seed=0):
    return correlated_normal(np.random.default_rng(seed), shape, memory)


@pytest.mark.parametrize("memory", [0.0, 0.3, 0.9, 0.99])
def test_every_frame_is_standard_normal_and_neighbours_correlate_as_asked(memory):
    field = drawn(memory)
    error = 5 / np.sqrt(field.shape[1])
    assert np.abs(field.mean(1)).max() < error and np.abs(field.std(1) - 1).max() < error  # also the first frame
    for lag in (1, 2, 5):
        together = (field[lag:] * field[:-lag]).mean(1)
        np.testing.assert_allclose(together, memory**lag, atol=error)
    apart = np.corrcoef(field[:, :200].T)[np.triu_indices(200, 1)]
    assert abs(apart.mean()) < 0.02  # columns have nothing to do with each other


def test_with_all_memory_nothing_changes_and_with_none_it_is_plain_noise():
    assert (drawn(1.0, (6, 9)) == drawn(1.0, (6, 9))[0]).all()
    np.testing.assert_array_equal(drawn(0.0, (6, 9)), np.random.default_rng(0).standard_normal((6, 9)))


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 0), (3, 2, 5), (7,)])
def test_any_shape_is_drawn_and_the_seed_decides(shape):
    one, two, other = drawn(0.5, shape), drawn(0.5, shape), drawn(0.5, shape, 1)
    assert one.shape == shape and np.array_equal(one, two) and (not one.size or not np.array_equal(one, other))


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.2, 0.5, 0.97, 1.0])
def test_events_have_their_share(share):
    events = random_events(drawn(0.5), share)
    assert events.dtype == bool and events.mean() == pytest.approx(share, abs=0.01)
    assert not events.any() if share == 0 else events.any()


def test_shares_may_differ_from_place_to_place_and_be_beyond_their_limits():
    share = np.array([-0.5, 0.0, 0.1, 0.6, 1.0, 7.0])
    field = np.random.default_rng(0).standard_normal((20_000, 6))
    np.testing.assert_allclose(random_events(field, share).mean(0), [0, 0, 0.1, 0.6, 1, 1], atol=0.015)


@settings(max_examples=40)
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_has_every_event_of_a_smaller_one(one, other):
    field = np.random.default_rng(3).standard_normal(500)
    small, large = (random_events(field, share) for share in sorted((one, other)))
    assert not (small & ~large).any()


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.95])
def test_events_last_as_their_noise_does(memory):
    share = 0.2
    low = norm.ppf(share)
    both = multivariate_normal([0, 0], [[1, memory], [memory, 1]]).cdf([low, low])
    events = random_events(drawn(memory), share)
    assert events[1:][events[:-1]].mean() == pytest.approx(both / share, abs=0.01)


@settings(max_examples=40)
@given(arrays(np.float64, 5, elements=st.floats(-30, 30)))
def test_shares_of_logits(logit):
    share = expit(logit)
    assert ((share > 0) & (share < 1)).all()
    np.testing.assert_allclose(share + expit(-logit), 1, atol=1e-12)
    np.testing.assert_allclose(np.log(share) - np.log(expit(-logit)), logit, atol=1e-3)
    assert expit(np.zeros(1)) == 0.5
