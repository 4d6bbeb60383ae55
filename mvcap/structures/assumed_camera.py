"""The camera of a take of one view whose calibration is not known: a pinhole of an assumed angle, held level.

The angle of view is that along the longer side of the picture. The pose is a start only: the world is levelled by the
people in it. A session with such a camera says so in its notes, from which ``lens_of`` reads it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calib import Camera, Lens, Rig
from calib.geometry import pose
from mvcap.errors import InputError

PRIOR_FOV_DEG = 60.0
"""Angle of view along the longer side where nothing is known: between a phone's main camera (65 to 75 degrees, less
when it records video) and a standard zoom."""
PRIOR_FOCAL_SHARE = 0.25
"""Standard deviation of a focal length about that of the prior, as a share: phones, webcams and camcorders have angles
of 45 to 80 degrees."""
ONE_VIEW_NOTE = "one view only: depths and sizes of people follow from what people are like, not from triangulation"
_LEAST_DEG, _MOST_DEG = 5.0, 160.0
_HEIGHT_M = 1.5
_GIVEN = "the lens is not calibrated: "
_ASSUMED = "the lens is not known: "


@dataclass(frozen=True)
class KnownLens:
    """What is known of the lens of a take of one view."""

    source: str
    """``rig``, ``fov`` or ``prior``."""
    words: str
    """The session's note; empty of a calibrated lens."""

    @property
    def focal_sigma(self) -> float:
        """Relative standard deviation of the focal length; 0 where it was given."""
        return PRIOR_FOCAL_SHARE if self.source == "prior" else 0.0


def check_fov(fov_deg: Any) -> float:
    """Return an angle of view, degrees; InputError if no lens of a pinhole camera has it."""
    number = isinstance(fov_deg, int | float) and not isinstance(fov_deg, bool)
    if not number or not math.isfinite(fov_deg) or not _LEAST_DEG <= fov_deg <= _MOST_DEG:
        raise InputError(
            f"--fov {fov_deg}: give the angle of view along the longer side of the picture, {_LEAST_DEG:g} to "
            f"{_MOST_DEG:g} degrees; for a wider lens give a calibration, --rig"
        )
    return float(fov_deg)


def assumed_rig(name: str, size: tuple[int, int], fov_deg: float | None) -> tuple[Rig, str]:
    """Return the rig of one uncalibrated camera with pictures of size (w, h) px, and the note of its session.

    fov_deg: angle of view along the longer side, ``PRIOR_FOV_DEG`` if None. InputError for an impossible angle.
    """
    angle = PRIOR_FOV_DEG if fov_deg is None else check_fov(fov_deg)
    width, height = size
    focal = max(size) / 2 / math.tan(math.radians(angle) / 2)
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the optical axis is +y of the world, z is up
    camera = Camera(Lens(name, size, K, np.zeros(5)), pose(turn, -turn @ np.array([0, 0, _HEIGHT_M])))
    told = f"an angle of view of {angle:g} degrees along the longer side and no distortion are"
    note = f"{_ASSUMED}{told} assumed; give --fov DEG or a calibration" if fov_deg is None else f"{_GIVEN}{told} given"
    return Rig((camera,), "assumed"), note


def lens_of(notes: Sequence[str]) -> KnownLens:
    """Return what the notes of a session of one view say of its lens."""
    for note in notes:
        for start, source in ((_ASSUMED, "prior"), (_GIVEN, "fov")):
            if note.startswith(start):
                return KnownLens(source, note)
    return KnownLens("rig", "")
