"""Delays from the speeds of joints, on series that are known."""

import numpy as np

from mvcap.synchronisation.speed_profiles import repetition, speed_offset

RATE_HZ = 30.0


def activity(seed, frames=900, joints=8):
    """Profiles (T, J) that vary within a second, as of a person who does this and that."""
    rng = np.random.default_rng(seed)
    kernel = np.hanning(9) / np.hanning(9).sum()
    raw = rng.normal(size=(frames + 100, joints)) + rng.normal(size=(frames + 100, 1))
    return np.stack([np.convolve(raw[:, joint], kernel, "same") for joint in range(joints)], -1)


def test_a_delay_is_found_with_gaps_and_noise():
    whole, rng = activity(0), np.random.default_rng(1)
    one, other = (whole[start : start + 900] + rng.normal(0, 0.1, (900, 8)) for start in (40, 57))
    one[100:160], other[rng.random(other.shape) < 0.1] = np.nan, np.nan
    found = speed_offset(one, other, 10, RATE_HZ)
    assert not found.reason and abs(found.best_s * RATE_HZ + 17) < 0.3 and found.sigma_s < 0.03


def test_unrelated_and_short_ones_are_refused():
    assert "fit about as well" in speed_offset(activity(0)[:900], activity(1)[:900], 10, RATE_HZ).reason
    assert "seen for 3.3 s" in speed_offset(activity(0)[:100], activity(0)[:100], 10, RATE_HZ).reason
    empty = np.full((900, 8), np.nan)
    assert "seen for 0.0 s" in speed_offset(empty, empty, 10, RATE_HZ).reason


def test_what_repeats_itself_is_noticed():
    assert repetition(activity(0)[:900], RATE_HZ)[0] < 0.25
    share, lag_s = repetition(np.tile(activity(0)[:60], (15, 1)), RATE_HZ)
    assert share > 0.9 and abs(lag_s % 2.0) < 0.05
    assert repetition(np.zeros((5, 3)), RATE_HZ)[0] == 0
