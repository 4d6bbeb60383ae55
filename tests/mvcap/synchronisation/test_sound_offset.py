"""Offset and drift of sound: echo, noise, drift; what repeats or is unrelated is refused."""

import numpy as np
import pytest
from generated_sound import RATE_HZ, heard, sound

from mvcap.structures.sync_evidence import SyncEvidence
from mvcap.synchronisation.combination import combine, views_from_pairs
from mvcap.synchronisation.sound_offset import audio_offset


@pytest.mark.parametrize(("begin_s", "drift"), [(3.0, 0.0), (0.7123, 5e-5), (6.4, -3e-5)])
def test_offset_and_drift_are_found_with_echo_and_noise(begin_s, drift):
    whole = sound(50)
    a, b = heard(whole, 4.0, 35, seed=1), heard(whole, begin_s, 35, drift, seed=2)
    found = audio_offset(a, b, RATE_HZ)
    assert not found.reason and found.ratio > 1.4
    # a's t is at 4 + t of the whole, which b has at (4 + t - begin) * (1 + drift).
    true = (4.0 - begin_s + found.middle_s) * (1 + drift) - found.middle_s
    assert abs(found.offset_s - true) < 1e-4 and abs(found.drift - drift) < 1e-5
    assert abs(found.offset_s - true) < 5 * found.offset_sigma_s


@pytest.mark.parametrize("seed", range(4))
def test_unrelated_sound_is_refused(seed):
    found = audio_offset(sound(30, 10 + seed), sound(30, 30 + seed), RATE_HZ)
    assert "fit about equally" in found.reason and found.ratio < 1.2


def test_music_that_repeats_is_refused():
    loop = np.tile(sound(2.0, 5), 20)
    found = audio_offset(heard(loop, 2.0, 30, seed=1), heard(loop, 3.3, 30, seed=2), RATE_HZ)
    assert "fit about equally" in found.reason


def test_silence_and_short_sound_are_refused():
    assert "silent" in audio_offset(np.zeros(20 * RATE_HZ), sound(20), RATE_HZ).reason
    assert "shorter" in audio_offset(sound(3), sound(20), RATE_HZ).reason


def test_pairs_give_views_and_a_covariance():
    late, covariance = views_from_pairs([(0, 1, 0.5, 0.01), (1, 2, -0.2, 0.01), (0, 2, 0.3, 0.01)], 4)
    assert late[1] - late[0] == pytest.approx(0.5) and late[2] - late[0] == pytest.approx(0.3)
    assert np.isnan(late[3]) and 0 < covariance[0, 0] < 1e-4


def evidence(late, sigma):
    count = len(late)
    return SyncEvidence(np.array(late), np.zeros(count), np.eye(2 * count) * sigma**2, {})


def test_methods_are_combined_by_their_variances_and_contradictions_are_named():
    late, _, _, wrong = combine({"motion": evidence([0, 0.1, 0.2], 0.001), "audio": evidence([5, 5.13, 5.2], 0.01)}, 3)
    assert not wrong and late[1] - late[0] == pytest.approx(0.1003, abs=2e-4)
    *_, wrong = combine({"motion": evidence([0, 0.1, 0.2], 0.001), "audio": evidence([5, 5.4, 5.2], 0.01)}, 3)
    assert "motion and audio differ by 300.0 ms" in wrong[1]
