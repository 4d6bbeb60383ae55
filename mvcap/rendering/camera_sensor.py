"""From light to picture: defocus, exposure, noise of photons and of the read-out, response, 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.rendering.noise_textures import screen_colour

_MIDDLE_GREY = 0.22


@dataclass(frozen=True)
class Sensor:
    """A camera's sensor and optics."""

    exposure: float = 1.0
    """Brightness as a factor of a well exposed picture."""
    full_well: float = 12000.0
    """Electrons of a white pixel: the noise of photons is the square root of their number."""
    read_noise: float = 12.0
    """Electrons, standard deviation; 0, with an infinite full well: no noise."""
    defocus_px: float = 0.5
    """Standard deviation of the blur of the optics."""

    def gain(self, empty: NDArray[np.floating]) -> float:
        """Factor on linear light that exposes a picture (H, W, 3) well: its median becomes middle grey."""
        return float(self.exposure * _MIDDLE_GREY / max(float(np.median(empty)), 1e-6))

    def picture(self, light: NDArray[np.float32], gain: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3) of linear light (H, W, 3)."""
        import cv2

        value = np.asarray(light * np.float32(gain), np.float32)
        if self.defocus_px > 0:
            value = np.asarray(cv2.GaussianBlur(value, (0, 0), self.defocus_px), np.float32)
        noise = value.clip(0) / np.float32(self.full_well) + np.float32((self.read_noise / self.full_well) ** 2)
        value += np.sqrt(noise) * rng.standard_normal(value.shape, np.float32)
        return np.rint(255 * screen_colour(value)).astype(np.uint8)
