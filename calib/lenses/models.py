"""Lens models to choose from, and the prior of a lens without any image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats
from calib.bundle.equations import LENS, lens_numbers
from calib.camera import Lens
from calib.distortion import Model

NAMES: dict[Model, tuple[str, ...]] = {
    "pinhole": ("k1", "k2", "p1", "p2", "k3"),
    "rational": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "s1", "s2", "s3", "s4"),
    "fisheye": ("k1", "k2", "k3", "k4"),
}
_SQUARE = 0.002  # standard deviation of fx / fy: pixels are square
_CENTRE = 0.03  # of the larger side: standard deviation of the principal point from the image centre
_FOCAL = 0.9  # of the larger side: prior mean of the focal length, with the whole side as standard deviation
_TANGENTIAL = 0.01
_RADIAL = 0.4  # standard deviation of the other coefficients


@dataclass(frozen=True)
class LensModel:
    """A formula and which of its coefficients are free; the others stay zero."""

    model: Model
    free: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its readable name: ``pinhole k1 k2``."""
        return " ".join([self.model, *self.free])

    def mask(self) -> Bools:
        """Which of the 16 lens numbers are free."""
        names = NAMES[self.model]
        out = np.zeros(LENS, bool)
        out[:4] = True
        out[[4 + names.index(name) for name in self.free]] = True
        return out

    def lens(self, name: str, size: tuple[int, int], focal: float) -> Lens:
        """A lens of this model without distortion, its principal point in the middle of the image."""
        K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
        count = {"pinhole": 5, "rational": 8, "fisheye": 4}[self.model]
        return Lens(name, size, K, np.zeros(count), self.model)


PINHOLE = tuple(LensModel("pinhole", NAMES["pinhole"][:count]) for count in (0, 1, 2, 4, 5))
RATIONAL = LensModel("rational", NAMES["rational"][:8])
FISHEYE = LensModel("fisheye", NAMES["fisheye"])
MODELS = (*PINHOLE, RATIONAL, FISHEYE)


def model_of(lens: Lens) -> LensModel:
    """The model of a given lens, free where its coefficients are not zero."""
    names = NAMES[lens.model]
    return LensModel(lens.model, tuple(name for name, value in zip(names, lens.distortion, strict=False) if value != 0))


def common_sense(lens: Lens) -> tuple[Floats, Floats]:
    """The prior of any lens, mean (16,) and information (16, 16): square pixels, a central principal point."""
    mean, sigma = lens_numbers(lens), np.full(LENS, np.inf)
    mean[2:4], mean[4:] = (lens.size[0] - 1) / 2, 0.0
    mean[3] = (lens.size[1] - 1) / 2
    sigma[2:4] = _CENTRE * max(lens.size)
    sigma[4:] = _RADIAL
    if lens.model != "fisheye":
        sigma[[6, 7, *range(12, LENS)]] = _TANGENTIAL
    information = np.diag(1 / sigma**2)
    weight = 1 / (_SQUARE * float(np.sqrt(mean[0] * mean[1]))) ** 2
    mean[:2] = _FOCAL * max(lens.size)
    information[:2, :2] += weight * np.array([[1, -1], [-1, 1]]) + np.eye(2) / max(lens.size) ** 2
    return mean, information
