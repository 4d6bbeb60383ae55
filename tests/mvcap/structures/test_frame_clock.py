"""The clock behind timestamps: what jitters is regular, what is dropped leaves a gap, and rates have their error."""

import numpy as np
import pytest

from mvcap.structures.frame_clock import FrameClock, ticks


def jittered(frames, sigma_s, seed, rate_hz=30.0, kind="normal", start_s=0.0):
    """Increasing times of a regular camera whose timestamps vary."""
    rng = np.random.default_rng(seed)
    late = rng.normal(0, sigma_s, frames) if kind == "normal" else rng.uniform(-sigma_s, sigma_s, frames)
    time_s = np.sort(start_s + np.arange(frames) / rate_hz + late)
    return time_s + 1e-6 * np.arange(frames)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("frames", [60, 300, 900])
@pytest.mark.parametrize("rate_hz", [25.0, 29.97, 30.0])
def test_jitter_of_8_ms_is_still_a_regular_camera(kind, frames, rate_hz):
    for seed in range(4):
        clock = FrameClock.of(jittered(frames, 0.008, seed, rate_hz, kind, start_s=2.5))
        assert clock.tick.tolist() == list(range(frames))
        assert abs(clock.interval_s - 1 / rate_hz) < 4 * clock.interval_error_s < 0.02 / rate_hz
        assert clock.start_s == pytest.approx(2.5, abs=0.008)
        assert clock.jitter_s == pytest.approx(0.008 if kind == "normal" else 0.008 / np.sqrt(3), rel=0.4)


@pytest.mark.parametrize("seed", range(4))
def test_gaps_among_jitter_are_found(seed):
    time_s = jittered(400, 0.005, seed, kind="uniform")
    kept = np.delete(np.arange(400), [50, 51, 200, 333])
    assert ticks(time_s[kept])[0].tolist() == kept.tolist()


def test_a_regular_clock_is_exact_and_its_error_small():
    clock = FrameClock.of(3.0 + np.arange(1800) * 1001 / 30000)
    assert clock.interval_s == pytest.approx(1001 / 30000, rel=1e-9) and clock.start_s == pytest.approx(3.0)
    assert clock.interval_error_s < 1e-6 * clock.interval_s  # enough to tell 29.97 from 30 Hz, which is 1e-3
    assert FrameClock.of(np.arange(2) / 25).interval_error_s > 1e-3 / 25  # two images do not


def test_one_image_and_none_have_no_interval():
    assert FrameClock.of(np.array([4.0])).interval_s == 0 and FrameClock.of(np.array([4.0])).start_s == 4
    assert len(FrameClock.of(np.array([])).tick) == 0
    with pytest.raises(ValueError, match="increase"):
        FrameClock.of(np.array([1.0, 1.0]))
