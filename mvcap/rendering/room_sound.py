"""Sound of a room as each camera hears it: people who talk, a clap, and echoes by image sources.

Image sources: Allen and Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65(4), 1979:
every reflection at the walls of a box is a source behind them, weaker and later.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

SPEED_M_S = 343.0
"""Of sound, in air of 20 degrees."""
_REFLECTED = 0.6  # of the pressure, by walls, floor and ceiling: a furnished room with a carpet
_ORDER = 3
_TAPS = 32  # samples on each side of a delay between samples
_HUM = 0.003
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SoundSource:
    """A sound that comes from one place."""

    place: Floats
    """(3,) m."""
    samples: Floats
    """(N,) pressure at a distance of 1 m, from time 0 on."""


def clap(rate_hz: int, rng: np.random.Generator) -> Floats:
    """Sound of clapped hands: a burst of noise of 20 ms that decays in 3 ms."""
    time = np.arange(int(0.02 * rate_hz)) / rate_hz
    return np.asarray(rng.normal(size=len(time)) * np.exp(-time / 0.003))


def talk(seconds: float, rate_hz: int, rng: np.random.Generator) -> Floats:
    """Sound like speech: noise below 4 kHz with the loudness of three to five syllables a second, and pauses."""
    count = int(seconds * rate_hz)
    spectrum = np.fft.rfft(rng.normal(size=count))
    hz = np.fft.rfftfreq(count, 1 / rate_hz)
    out = np.fft.irfft(spectrum * np.where((hz > 120) & (hz < 4000), 1 / np.maximum(hz, 300), 0), count)
    time = np.arange(count) / rate_hz
    knots = np.arange(0, seconds + 1, 0.12)
    loud = np.interp(time, knots, rng.uniform(0, 1, len(knots)) ** 2 * (rng.random(len(knots)) < 0.75))
    out *= loud
    return np.asarray(out / max(float(out.std()), 1e-12))


def heard_at(
    place: Floats, sources: list[SoundSource], low: Floats, high: Floats, rate_hz: int, count: int,
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """Samples (count,) that a microphone at a place (3,) m hears of sources in a room from low to high (3,) m."""
    from scipy.signal import fftconvolve

    out = _HUM * rng.normal(size=count)
    for source in sources:
        echo = room_response(source.place, place, low, high, rate_hz)
        out += (
            fftconvolve(source.samples, echo)[:count]
            if len(source.samples) >= count
            else _padded(fftconvolve(source.samples, echo), count)
        )
    return np.asarray(out)


def _padded(samples: Floats, count: int) -> Floats:
    return np.pad(samples[:count], (0, max(count - len(samples), 0)))


def room_response(source: Floats, place: Floats, low: Floats, high: Floats, rate_hz: int) -> Floats:
    """Impulse response (N,) from a source to a place, (3,) m each, in a room whose corners are low and high (3,) m."""
    span, begin = high - low, source - low
    images, strength = [], []
    for turn in product((0, 1), repeat=3):
        for step in product(range(-_ORDER, _ORDER + 1), repeat=3):
            bounces = int(sum(abs(2 * n - p) for n, p in zip(step, turn, strict=True)))
            if bounces <= _ORDER:
                images.append(low + 2 * np.array(step) * span + (1 - 2 * np.array(turn)) * begin)
                strength.append(_REFLECTED**bounces)
    away = np.linalg.norm(np.array(images) - place, axis=-1)
    delay = away / SPEED_M_S * rate_hz
    out = np.zeros(int(delay.max()) + 2 * _TAPS)
    taps = np.arange(-_TAPS, _TAPS + 1)
    for at, one in zip(delay, np.array(strength) / np.maximum(away, 0.3), strict=True):
        where = round(float(at)) + taps
        kernel = np.sinc(where - at) * np.hanning(2 * _TAPS + 3)[1:-1]
        known = (where >= 0) & (where < len(out))
        out[where[known]] += one * kernel[known]
    return out
