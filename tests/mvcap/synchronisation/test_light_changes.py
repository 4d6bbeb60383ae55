"""Changes of the light in a series of brightness, and delays from them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.synchronisation.light_changes import flash_offset, light_changes

FPS = 30.0


def series(begin, flashes=(), lamps=(), seconds=12.0, seed=0):
    """Times (T,) s and logs of brightness (T,) of a camera whose exposure is the whole interval."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(0, seconds, 1 / FPS)
    opens = begin + time_s
    lit = np.ones(len(time_s))
    for flash in flashes:
        lit += 0.8 * ((opens <= flash) & (flash < opens + 1 / FPS))
    for number, lamp in enumerate(lamps):
        lit += (0.4 if number % 2 == 0 else -0.4) * np.clip((opens + 1 / FPS - lamp) * FPS, 0, 1)
    return time_s, np.log(lit) + rng.normal(0, 0.003, len(lit))


@settings(max_examples=40, deadline=None)
@given(st.floats(-2, 2), st.integers(0, 1000))
def test_lamps_that_are_switched_tell_parts_of_a_frame(begin, seed):
    lamps = (3.013, 4.2, 6.77, 8.1)
    one, other = (light_changes(*series(at, lamps=lamps, seed=seed + number)) for number, at in enumerate((0.0, begin)))
    found = flash_offset(one, other, 1 / FPS)
    assert not found.reason and abs(found.offset_s + begin) < 0.25 / FPS


@settings(max_examples=40, deadline=None)
@given(st.floats(-2, 2), st.integers(0, 1000))
def test_flashes_tell_within_a_frame_and_their_standard_deviation_holds(begin, seed):
    flashes = tuple(np.random.default_rng(seed).uniform(2.5, 9, 3))
    one, other = (light_changes(*series(at, flashes, seed=seed + number)) for number, at in enumerate((0.0, begin)))
    found = flash_offset(one, other, 1 / FPS)
    if not found.reason:
        assert abs(found.offset_s + begin) < 1 / FPS
        assert abs(found.offset_s + begin) < 3.5 * found.offset_sigma_s


def test_one_flash_in_each_view_is_enough_and_a_lamp_is_not():
    one, other = light_changes(*series(0.0, (5.0,))), light_changes(*series(0.7, (5.0,), seed=1))
    assert len(one) == len(other) == 1 and not flash_offset(one, other, 1 / FPS).reason
    one, other = light_changes(*series(0.0, lamps=(5.0,))), light_changes(*series(0.7, lamps=(5.0,), seed=1))
    assert "exposure" in flash_offset(one, other, 1 / FPS).reason


def test_a_light_that_blinks_steadily_is_refused():
    blinks = tuple(np.arange(1.0, 12, 1.0))
    one, other = light_changes(*series(0.0, blinks)), light_changes(*series(2.3, blinks, seed=1))
    assert "fit" in flash_offset(one, other, 1 / FPS).reason


def test_nothing_is_found_in_noise_and_slow_changes():
    time_s = np.arange(0, 20, 1 / FPS)
    level = 0.5 * np.sin(time_s) + np.random.default_rng(0).normal(0, 0.004, len(time_s))
    assert not light_changes(time_s, level)
