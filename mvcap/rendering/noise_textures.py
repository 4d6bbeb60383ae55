"""Procedural textures: smooth noise in three dimensions, and random colours. Everything follows from a seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_PERIOD = 48


@lru_cache(maxsize=8)
def _table(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng([seed, 31]).random((_PERIOD,) * 3, dtype=np.float32)


def smooth_noise(xyz: NDArray[np.floating], size_m: float, seed: int, octaves: int = 2) -> NDArray[np.float32]:
    """Value noise (N,) in 0..1 at points (N, 3) m: linear between random values on a grid of size_m.

    octaves: sums grids of half the size and half the strength. It repeats after 48 grid steps.
    """
    from scipy.ndimage import map_coordinates

    total = np.zeros(len(xyz), np.float32)
    strength = 0.0
    for octave in range(octaves):
        place = np.asarray(xyz, np.float32).T * np.float32(2**octave / size_m)
        total += 0.5**octave * map_coordinates(_table(seed + octave), place, order=1, mode="grid-wrap")
        strength += 0.5**octave
    return np.asarray(total / strength, np.float32)


def linear_light(rgb: NDArray[np.floating]) -> NDArray[np.float32]:
    """Linear reflectance (..., 3) of colours 0..1 as a screen shows them (IEC 61966-2-1, sRGB)."""
    shown = np.asarray(rgb, np.float32)
    return np.asarray(np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4), np.float32)


def screen_colour(linear: NDArray[np.floating]) -> NDArray[np.float32]:
    """Colours 0..1 (..., 3) for a screen of linear light (..., 3): the inverse of ``linear_light``, clipped."""
    light = np.clip(linear, 0, 1).astype(np.float32)
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055), np.float32)


def random_colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> NDArray[np.float32]:
    """Linear reflectance (3,) of a random hue, with HSV saturation and value (of the screen's colour) in ranges."""
    import colorsys

    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return linear_light(np.array(rgb))
