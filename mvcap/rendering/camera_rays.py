"""Rays of a camera through its pixels by its own lens, distortion included, at several places in every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from mvcap.errors import InputError

_ROWS = 64


def places_in_pixel(samples: int) -> NDArray[np.float64]:
    """Places (N, 2) px from a pixel's centre whose light it collects, N a power of 2: no two in one column or row.

    So an edge, upright or level, passes them one by one (Hammersley's points; van der Corput's radical inverse).
    """
    bits = samples.bit_length() - 1
    across = np.arange(samples)
    down = sum(((across >> bit) & 1) << (bits - 1 - bit) for bit in range(bits)) + 0 * across
    return np.asarray((np.stack([across, down], -1) + 0.5) / samples - 0.5)


@dataclass(frozen=True, eq=False)
class CameraRays:
    """Unit directions in the world, float32: an error of a ten-thousandth of a pixel."""

    camera: Camera
    centre: NDArray[np.float32]
    """(H, W, 3) through the centres of pixels; NaN where the lens shows nothing."""
    places: NDArray[np.float32]
    """(N, H, W, 3) through N places in every pixel."""

    @property
    def origin(self) -> NDArray[np.float64]:
        """The camera's position (3,) m."""
        return np.asarray(self.camera.position)


def camera_rays(camera: Camera, samples: int = 4) -> CameraRays:
    """Return the rays of a camera, as many as samples (a power of 2) in every pixel.

    Raises InputError where its lens cannot be inverted at the picture's middle."""
    width, height = camera.size
    centre = np.empty((height, width, 3), np.float32)
    within = places_in_pixel(samples)
    places = np.empty((samples, height, width, 3), np.float32)
    for top in range(0, height, _ROWS):
        rows = np.arange(top, min(top + _ROWS, height))
        xy = np.stack(np.meshgrid(np.arange(width), rows), -1).astype(np.float64)
        centre[rows] = camera.rays(xy)[1]
        for index, place in enumerate(within):
            places[index, rows] = camera.rays(xy + place)[1]
    if not np.isfinite(centre[height // 2, width // 2]).all():
        raise InputError(f"camera {camera.name!r}: its lens model has no inverse at the middle of the picture")
    return CameraRays(camera, centre, places)
