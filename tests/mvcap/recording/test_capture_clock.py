"""Capture times: the offset of two clocks through queues, drift and clocks that are set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.recording.capture_clock import CaptureClock

RATE_HZ = 30.0


def arrivals(frames, seed, drift_ppm=0.0, away_s=1000.0, slow=0.2):
    """True times, stated times and times of arrival (F,) of frames that wait, now and then for long."""
    rng = np.random.default_rng(seed)
    true = 5.0 + np.arange(frames) / RATE_HZ
    stated = (true - away_s) * (1 + 1e-6 * drift_ppm)
    wait = 0.0005 + rng.exponential(0.004, frames) + (rng.random(frames) < slow) * rng.exponential(0.1, frames)
    return true, stated, np.maximum.accumulate(true + wait)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-100, 100), st.floats(-1e4, 1e4))
def test_times_are_those_of_capture_although_frames_wait(seed, drift_ppm, away_s):
    true, stated, received = arrivals(1800, seed, drift_ppm, away_s)
    clock = CaptureClock()
    made = np.array([clock.capture_s(r, s) for r, s in zip(received.tolist(), stated.tolist(), strict=True)])
    assert np.abs(made - true)[60:].max() < 0.008  # 100 ppm over half a minute are 3 ms
    assert (np.diff(made) > 0).all()


def test_without_stated_times_it_is_the_arrival():
    clock = CaptureClock()
    assert [clock.capture_s(at, None) for at in (1.0, 1.5, 1.5)] == pytest.approx([1.0, 1.5, 1.5001])
    assert clock.offset_s is None


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_source_whose_clock_is_set_is_followed(jump_s):
    true, stated, received = arrivals(600, 1)
    stated = np.where(np.arange(600) < 300, stated, stated + jump_s)
    clock = CaptureClock()
    made = np.array([clock.capture_s(r, s) for r, s in zip(received.tolist(), stated.tolist(), strict=True)])
    assert np.abs(made - true)[360:].max() < 0.02 and (np.diff(made) > 0).all()


def test_a_long_wait_is_no_other_clock():
    true, stated, received = arrivals(300, 2, slow=0.0)
    received[200:230] = received[230]  # all at once, after a second
    clock = CaptureClock()
    made = np.array([clock.capture_s(r, s) for r, s in zip(received.tolist(), stated.tolist(), strict=True)])
    assert np.abs(made - true)[60:].max() < 0.008


def test_frames_that_were_kept_and_come_at_once_have_their_own_times():
    stated = np.arange(40) / RATE_HZ
    received = np.maximum(stated + 5.0, 5.0 + 0.5) + 0.001  # the first half second arrives together
    clock = CaptureClock()
    clock.settle(zip(received.tolist(), stated.tolist(), strict=True))
    made = [clock.capture_s(r, s) for r, s in zip(received.tolist(), stated.tolist(), strict=True)]
    np.testing.assert_allclose(made, stated + 5.001, atol=1e-6)
