"""The acceleration scale: of motion whose strength is known, of nothing, and of what no human can do."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO

from mvcap.refinement.acceleration import (
    LADDER,
    accelerations,
    frames_since_seen,
    impossible_points,
    random_acceleration_growth,
    unseen_variance,
)

RATE_HZ, NOISE_M = 50.0, 0.004
JOINTS = len(COCO)
seeds = st.integers(0, 2**32 - 1)


def accelerating(strength, frames=250, seed=0, noise_m=NOISE_M):
    """Joints (T, J, 3) whose second difference is random with this strength (T,) or a number, m/s^2, and noise."""
    rng = np.random.default_rng(seed)
    strength = np.broadcast_to(strength, frames)
    steps = rng.normal(size=(frames, JOINTS, 3)) * strength[:, None, None] / RATE_HZ**2
    place = np.cumsum(np.cumsum(steps, 0), 0)
    return place + noise_m * rng.normal(size=place.shape)


def target(point, noise_m=NOISE_M, rate_hz=RATE_HZ):
    return accelerations(COCO, point, np.full(point.shape[:2], noise_m**2), rate_hz)


@pytest.mark.parametrize("true", [0.6, 2.4, 9.6, 38.4])
def test_the_strength_of_random_acceleration_is_found(true):
    found = target(accelerating(true))[30:-30]
    assert np.median(found) == pytest.approx(true, rel=0.25)
    assert np.percentile(found, 10) > 0.4 * true and np.percentile(found, 90) < 2.5 * true


def test_a_change_of_strength_is_found_where_it_happens():
    strength = np.where(np.arange(300) < 150, 0.5, 20.0)
    found = np.median(target(accelerating(strength, 300)), axis=1)
    assert found[20:120].max() < 2 < 10 < found[180:280].min()
    crossed = np.flatnonzero(found > np.sqrt(0.5 * 20.0))[0]
    assert abs(crossed - 150) < 12


def test_strength_does_not_depend_on_where_and_how_fast_one_goes():
    point = accelerating(3.0, 120)
    steady = point + np.array([5.0, -3.0, 1.0]) + np.arange(120)[:, None, None] * np.array([0.02, -0.01, 0])
    np.testing.assert_allclose(target(steady), target(point), rtol=0.05)


def test_mirrored_axes_and_time_give_the_same_strength():
    point = accelerating(3.0, 120)
    np.testing.assert_allclose(target(point * [-1, 1, 1]), target(point), rtol=1e-6)
    np.testing.assert_allclose(target(point[..., [1, 2, 0]]), target(point), rtol=1e-6)
    np.testing.assert_allclose(target(point[::-1])[::-1], target(point), rtol=0.05)


def test_noise_is_no_acceleration():
    still = np.median(target(accelerating(0.0, noise_m=0.02), noise_m=0.02)[20:-20])
    assert still < 0.6
    understated = np.median(target(accelerating(0.0, noise_m=0.02), noise_m=0.002)[20:-20])
    assert understated > 10 * still


def test_of_nothing_the_strength_is_usual_and_more_so_further_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = target(np.full((40, JOINTS, 3), np.nan))
    assert found.shape == (40, JOINTS) and np.isfinite(found).all() and (found > 0).all()
    assert found.max() < LADDER[-1] * 10 and found.min() > LADDER[0]
    part = target(accelerating(2.0, 100))
    part_nan = accelerating(2.0, 100)
    part_nan[30:70, 3] = np.nan
    with_gap = target(part_nan)
    np.testing.assert_allclose(np.delete(with_gap, 3, 1), np.delete(part, 3, 1), rtol=1e-6)
    assert with_gap[50, 3] > part[50, 3], "in the middle of a long gap more is possible"


def test_one_frame_and_two_are_survived():
    for frames in (1, 2, 3):
        assert np.isfinite(target(accelerating(1.0, frames))).all()
        assert not impossible_points(accelerating(1.0, frames), np.full((frames, JOINTS), 1e-5), RATE_HZ).any()


# --- what is possible ------------------------------------------------------------------------------------------------


@given(seeds)
@settings(derandomize=True, max_examples=8, deadline=None)
def test_points_that_jump_are_impossible_and_their_neighbours_are_not(seed):
    rng = np.random.default_rng(seed)
    point = accelerating(2.0, 60, seed)
    wrong = {(int(rng.integers(5, 55)), int(joint)) for joint in rng.permutation(JOINTS)[:4]}
    for at in wrong:
        point[at] += 0.8 * rng.choice([-1, 1], 3)
    found = impossible_points(point, np.full(point.shape[:2], NOISE_M**2), RATE_HZ)
    assert set(map(tuple, np.argwhere(found).tolist())) == wrong


def test_what_humans_do_is_possible():
    kick = accelerating(0.5, 80)
    kick[:, 16, 0] += 0.7 * np.sin(np.pi * np.clip((np.arange(80) - 30) / 12, 0, 1)) ** 2
    assert not impossible_points(kick, np.full(kick.shape[:2], NOISE_M**2), RATE_HZ).any()
    gap = kick.copy()
    gap[20:50] = np.nan
    gap[50:] += 0.5
    assert not impossible_points(gap, np.full(kick.shape[:2], NOISE_M**2), RATE_HZ).any()


# --- parts in closed form --------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
@settings(derandomize=True, max_examples=40)
def test_frames_since_and_until_are_counted(seen):
    seen = np.array(seen)
    before, after, between = frames_since_seen(seen)
    for frame in range(len(seen)):
        for joint in range(3):
            past = [frame - at for at in range(frame + 1) if seen[at, joint]]
            future = [at - frame for at in range(frame, len(seen)) if seen[at, joint]]
            assert (before[frame, joint] == min(past)) if past else before[frame, joint] > 1e6
            assert (after[frame, joint] == min(future)) if future else after[frame, joint] > 1e6
            assert between[frame, joint] == bool(past and future)


def test_growth_is_that_of_a_joint_that_accelerates_at_random():
    """Simulated: known place and speed, then random second differences; between two known ends likewise, smoothed."""
    rng, span = np.random.default_rng(0), 12
    place = np.cumsum(np.cumsum(rng.normal(size=(20000, span)), 1), 1)
    assert place[:, -1].var() == pytest.approx(random_acceleration_growth(np.array(float(span))), rel=0.2)
    assert (np.diff(random_acceleration_growth(np.arange(10.0))) > 0).all() and random_acceleration_growth(0.0) == 0


@given(st.floats(0.01, 100), st.floats(1, 1000))
@settings(derandomize=True, max_examples=30)
def test_variance_of_the_unseen_grows_with_the_cube_of_the_span(span, rate_hz):
    one, two = unseen_variance(np.array([span, 2 * span]), rate_hz)
    assert two == pytest.approx(8 * one) and one > 0


def test_the_same_time_unseen_is_as_uncertain_at_any_rate():
    slow, fast = (np.sqrt(unseen_variance(np.array(0.2 * rate), rate)) for rate in (50.0, 1000.0))
    assert fast == pytest.approx(slow, rel=0.1)
