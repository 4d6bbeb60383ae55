"""Sound of a room as cameras hear it: with echoes, noise, and clocks of their own."""

import numpy as np

RATE_HZ = 16000


def sound(seconds, seed=0):
    """Noise of a room with claps, whose level changes, band-limited."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=int(seconds * RATE_HZ))
    spectrum = np.fft.rfft(noise)
    hz = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    out = np.fft.irfft(spectrum * np.where((hz > 80) & (hz < 6000), 1 / np.sqrt(np.maximum(hz, 200)), 0), len(noise))
    level = np.repeat(rng.uniform(0.2, 1, int(seconds * 4) + 1), RATE_HZ // 4)[: len(out)]
    return out * level / out.std()


def heard(whole, begin_s, seconds, drift=0.0, seed=1, echo_db=-10.0, noise=0.1):
    """What a camera hears from a time on, with an echo of its own, noise, and a clock that runs faster by drift."""
    rng = np.random.default_rng(seed)
    at = (begin_s + np.arange(int(seconds * RATE_HZ)) / RATE_HZ / (1 + drift)) * RATE_HZ
    spectrum = np.fft.rfft(whole)
    fine = np.fft.irfft(spectrum, 4 * len(whole)) * 4  # interpolation without loss
    direct = np.interp(at * 4, np.arange(len(fine)), fine)
    late = rng.uniform(0.01, 0.06) * RATE_HZ
    direct = direct + 10 ** (echo_db / 20) * np.interp((at - late) * 4, np.arange(len(fine)), fine)
    return direct + noise * direct.std() * rng.normal(size=len(direct))
