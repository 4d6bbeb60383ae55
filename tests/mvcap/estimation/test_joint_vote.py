"""The vote of several passes over the joints of a body."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mvcap.estimation.joint_vote import vote

SEEDS = st.integers(0, 2**31)
EXTENT = 200.0
JOINTS = 5


def passes_of(seed, count=3, width=1.0):
    """Return passes whose joints lie around the same places, by some kernel widths; and weights."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, EXTENT, (JOINTS, 2))
    return places + random.normal(0, width * 0.04 * EXTENT, (count, JOINTS, 2)), random.uniform(0.2, 1, count)


def same(one, other, tolerance=1e-6):
    for name in ("xy", "spread_px", "agreement"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=tolerance, err_msg=name)


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 5))
def test_equal_passes_have_that_place_no_spread_and_agree(seed, count):
    one, weight = passes_of(seed, 1)
    found = vote(np.repeat(one, count, 0), np.resize(weight, count), EXTENT)
    np.testing.assert_allclose(found.xy, one[0], atol=1e-9)
    np.testing.assert_allclose(found.spread_px, 0, atol=1e-9)
    np.testing.assert_allclose(found.agreement, 1)


@settings(max_examples=40)
@given(SEEDS, st.floats(0, 2 * np.pi), st.floats(60, 1e5), st.permutations(range(3)))
def test_two_that_agree_outvote_one_that_is_far(seed, angle, far, order):
    random = np.random.default_rng(seed)
    place = random.uniform(0, EXTENT, (JOINTS, 2))
    near = random.uniform(-2, 2, (JOINTS, 2))
    away = far * np.array([np.cos(angle), np.sin(angle)])
    found = vote(np.stack([place - near, place + near, place + away])[list(order)], np.ones(3), EXTENT)
    np.testing.assert_allclose(found.xy, place, atol=0.3)
    np.testing.assert_allclose(found.spread_px, np.linalg.norm(near, axis=-1) / np.sqrt(2), atol=0.3)
    assert (found.agreement > 0.55).all() and (found.agreement < 0.7).all()


def test_of_two_that_differ_the_one_with_the_higher_weight_is_taken():
    passes = np.array([[[0.0, 0.0]], [[150.0, 0.0]]])
    for weight, place in (((0.4, 0.6), 150), ((0.6, 0.4), 0), ((0.5, 0.5), 0)):
        found = vote(passes, np.array(weight), EXTENT)
        np.testing.assert_allclose(found.xy, [[place, 0]], atol=0.1)
        np.testing.assert_allclose(found.agreement, max(weight), atol=0.01)


@settings(max_examples=40)
@given(SEEDS, st.integers(2, 5), st.floats(0.1, 8), st.randoms(use_true_random=False))
def test_the_order_of_the_passes_does_not_matter(seed, count, width, shuffled):
    passes, weight = passes_of(seed, count, width)
    order = shuffled.sample(range(count), count)
    assume(clear(passes, weight))
    same(vote(passes, weight, EXTENT), vote(passes[order], weight[order], EXTENT))


def clear(passes, weight, gap=0.02):
    """Return whether in every joint one place has clearly more passes about it than any other."""
    apart = np.linalg.norm(passes[:, None] - passes[None], axis=-1)
    density = (np.exp(-(apart**2) / (2 * (0.04 * EXTENT) ** 2)) * weight[None, :, None]).sum(1)
    return len(density) == 1 or bool((np.diff(np.sort(density, 0)[-2:], axis=0) > gap).all())


@settings(max_examples=40)
@given(SEEDS, st.floats(0.01, 50), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_moved_and_scaled_body_has_a_moved_and_scaled_vote(seed, scale, x, y):
    passes, weight = passes_of(seed, 4)
    assume(clear(passes, weight, 1e-4))
    plain, other = vote(passes, weight, EXTENT), vote(scale * passes + (x, y), weight, scale * EXTENT)
    np.testing.assert_allclose(other.xy, scale * plain.xy + (x, y), atol=1e-5 * max(scale, 1))
    np.testing.assert_allclose(other.spread_px, scale * plain.spread_px, atol=1e-5 * max(scale, 1))
    np.testing.assert_allclose(other.agreement, plain.agreement, atol=1e-5)


@settings(max_examples=40)
@given(SEEDS, st.floats(0.1, 100))
def test_weights_count_by_their_ratio(seed, factor):
    passes, weight = passes_of(seed, 4)
    assume(clear(passes, weight, 1e-4))
    same(vote(passes, weight, EXTENT), vote(passes, factor * weight, EXTENT))


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 5), st.floats(0, 20))
def test_the_vote_lies_among_the_passes(seed, count, width):
    passes, weight = passes_of(seed, count, width)
    found = vote(passes, weight, EXTENT)
    assert (found.xy >= passes.min(0) - 1e-9).all() and (found.xy <= passes.max(0) + 1e-9).all()
    assert (found.agreement > 0).all() and (found.agreement <= 1 + 1e-9).all() and (found.spread_px >= 0).all()


@settings(max_examples=60)
@given(SEEDS, st.floats(0.1, 6), st.floats(0, 2 * np.pi))
def test_a_small_move_of_a_pass_moves_the_vote_little(seed, width, angle):
    passes, weight = passes_of(seed, 3, width)
    assume(clear(passes, weight))
    step = 0.01
    moved = passes.copy()
    moved[1] += step * np.array([np.cos(angle), np.sin(angle)])
    one, other = vote(passes, weight, EXTENT), vote(moved, weight, EXTENT)
    assert np.abs(one.xy - other.xy).max() < 4 * step
    assert np.abs(one.agreement - other.agreement).max() < 0.01


@settings(max_examples=30)
@given(SEEDS, st.integers(0, 2))
def test_a_pass_without_a_joint_or_without_weight_does_not_count(seed, which):
    passes, weight = passes_of(seed)
    rest = np.arange(3) != which
    wanted = vote(passes[rest], weight[rest], EXTENT)
    assume(clear(passes[rest], weight[rest], 1e-4))
    unknown = passes.copy()
    unknown[which] = np.nan
    same(vote(unknown, weight, EXTENT), wanted)
    same(vote(passes, np.where(rest, weight, 0), EXTENT), wanted)
    unknown[which, :, 0] = 3.0  # half a place is none
    same(vote(unknown, weight, EXTENT), wanted)


def test_weights_may_differ_by_joint():
    passes, _ = passes_of(3, 2)
    weight = np.ones((2, JOINTS))
    weight[0, 1:], weight[1, 0] = 0, 0
    found = vote(passes, weight, EXTENT)
    np.testing.assert_allclose(found.xy, [passes[0, 0], *passes[1, 1:]], atol=1e-9)
    np.testing.assert_allclose(found.agreement, 1)


@pytest.mark.filterwarnings("error")
def test_joints_that_nobody_has():
    passes, weight = passes_of(4)
    passes[:, 2] = np.nan
    found = vote(passes, weight, EXTENT)
    there = np.arange(JOINTS) != 2
    assert np.isnan(found.xy[2]).all() and np.isnan(found.spread_px[2]) and found.agreement[2] == 0
    assert np.isfinite(found.xy[there]).all() and (found.agreement[there] > 0).all()
    nothing = vote(passes, np.zeros(3), EXTENT)
    assert np.isnan(nothing.xy).all() and (nothing.agreement == 0).all()


def test_a_body_without_an_extent_has_a_vote():
    found = vote(np.array([[[1.0, 2.0]], [[1.0, 2.0]], [[4.0, 2.0]]]), np.ones(3), 0.0)
    np.testing.assert_allclose(found.xy, [[1, 2]])
    np.testing.assert_allclose(found.agreement, 2 / 3)
