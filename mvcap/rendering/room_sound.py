"""Sound of a room as each camera hears it: people who talk, a clap, and echoes by image sources.

Image sources: Allen and Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65(4), 1979:
every reflection at the walls of a box is a source behind them, weaker and later.
"""

from __future__ import annotations

from collections.abc import Callable
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
_BLOCK = 1 << 16  # samples of noise of one seed
_KNOT_S, _KNOTS = 0.12, 128  # between two loudnesses of speech, and how many are of one seed
_VOICED = 0.75  # of the knots; the others are pauses
_VOICE = 4096  # taps of the filter that gives noise the spectrum of speech
_LOUD = (2 / 3 * _VOICED / 5 + (_VOICED / 3) ** 2 / 3) ** 0.5
"""Root mean square of lines between independent knots u^2, u even in 0..1, of which some are 0."""
Floats = NDArray[np.float64]
Window = Callable[[int, int], Floats]
"""Samples first..stop-1 of a sound, first may be below 0: any stretch is made by itself, however long the sound is."""


@dataclass(frozen=True, eq=False)
class SoundSource:
    """A sound that comes from one place."""

    place: Floats
    """(3,) m."""
    between: Window
    """Pressure at a distance of 1 m."""


def clap(rate_hz: int, rng: np.random.Generator) -> Floats:
    """Sound of clapped hands: a burst of noise of 20 ms that decays in 3 ms."""
    time = np.arange(int(0.02 * rate_hz)) / rate_hz
    return np.asarray(rng.normal(size=len(time)) * np.exp(-time / 0.003))


def played(samples: Floats, begin: int) -> Window:
    """Return a sound that is silent but for samples (N,) from a number on."""

    def between(first: int, stop: int) -> Floats:
        out = np.zeros(stop - first)
        low, high = max(first, begin), min(stop, begin + len(samples))
        if low < high:
            out[low - first : high - first] = samples[low - begin : high - begin]
        return out

    return between


def noise(seed: tuple[int, ...]) -> Window:
    """Return white noise of standard deviation 1."""

    def between(first: int, stop: int) -> Floats:
        blocks = range(first // _BLOCK, -(-stop // _BLOCK))
        whole = [np.random.default_rng([*seed, block < 0, abs(block)]).normal(size=_BLOCK) for block in blocks]
        return np.asarray(np.concatenate(whole or [np.zeros(0)])[first - blocks.start * _BLOCK :][: stop - first])

    return between


def talk(rate_hz: int, seed: tuple[int, ...]) -> Window:
    """Return sound like speech: noise below 4 kHz with the loudness of three to five syllables a second, and pauses.

    Its root mean square is 1 in the long run.
    """
    from scipy.signal import fftconvolve

    hz = np.fft.rfftfreq(_VOICE, 1 / rate_hz)
    voice = np.fft.irfft(np.where((hz > 120) & (hz < 4000), 1 / np.maximum(hz, 300), 0), _VOICE)
    voice = np.roll(voice, _VOICE // 2) * np.hanning(_VOICE)
    voice /= np.linalg.norm(voice) * _LOUD
    white = noise((*seed, 0))

    def between(first: int, stop: int) -> Floats:
        raw = fftconvolve(white(first - _VOICE // 2, stop + _VOICE // 2 - 1), voice, "valid")
        time = np.arange(first, stop) / (rate_hz * _KNOT_S)
        knots = np.arange(int(np.floor(time[0])), int(np.floor(time[-1])) + 2)
        groups = range(knots[0] // _KNOTS, knots[-1] // _KNOTS + 1)
        loud = np.concatenate([_loudness((*seed, 1), group) for group in groups])
        return np.asarray(raw * np.interp(time, knots, loud[knots - groups.start * _KNOTS]))

    return between


def _loudness(seed: tuple[int, ...], group: int) -> Floats:
    rng = np.random.default_rng([*seed, group < 0, abs(group)])
    return np.asarray(rng.random(_KNOTS) ** 2 * (rng.random(_KNOTS) < _VOICED))


def heard_at(
    place: Floats, sources: list[SoundSource], low: Floats, high: Floats, rate_hz: int, seed: tuple[int, ...]
) -> Window:
    """Return what a microphone at a place (3,) m hears of sources in a room from low to high (3,) m, with its hum."""
    from scipy.signal import fftconvolve

    echoes = [room_response(source.place, place, low, high, rate_hz) for source in sources]
    hum = noise(seed)

    def between(first: int, stop: int) -> Floats:
        out = _HUM * hum(first, stop)
        for source, echo in zip(sources, echoes, strict=True):
            out += fftconvolve(source.between(first - len(echo) + 1, stop), echo, "valid")
        return out

    return between


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
