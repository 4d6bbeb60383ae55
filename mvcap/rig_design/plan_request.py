"""What a rig is planned for: the room, its obstacles, the people in it, the cameras, and the errors to expect."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats
from mvcap.errors import InputError

_LARGEST_M, _MOST_CAMERAS, _MOST_PEOPLE, _LARGEST_PX = 200.0, 64, 50, 100_000
_KIND = re.compile(r"(\d+):(\d+)x(\d+):(\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?")
_SPEED_MPS = 1.5  # of a joint of somebody who walks, along an axis of a picture
DETECTORS = ("topdown", "openpose", "weak")
"""Kinds of estimators whose errors are known, ``mvcap.synthesis.detector_errors``; weak: on small, hidden people."""


@dataclass(frozen=True)
class CameraKind:
    """So many cameras alike: picture size (w, h) px, horizontal field of view in degrees, rate in Hz."""

    count: int
    size: tuple[int, int]
    field_deg: float
    rate_hz: float = 60.0

    @property
    def focal_px(self) -> float:
        """Focal length of a lens without distortion, px."""
        return self.size[0] / 2 / math.tan(math.radians(self.field_deg) / 2)


@dataclass(frozen=True)
class Obstacle:
    """A box that hides what is behind it: its low and high corner, m."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


@dataclass(frozen=True)
class PlanRequest:
    """What is planned for. The world's origin is the middle of the floor, z is up; lengths in m."""

    room_m: tuple[float, float, float] = (8.0, 6.0, 3.0)
    """Width along x, depth along y, height."""
    area_m: tuple[float, float] | None = None
    """Where people are: width and depth about the origin; by default the room less 0.75 m at each wall."""
    obstacles: tuple[Obstacle, ...] = ()
    people: int = 2
    height_m: float = 1.75
    """Body height of the people."""
    detector: str = "topdown"
    """Kind of the 2D estimator, one of ``DETECTORS``."""
    turned_deg: float = 0.1
    """Standard deviation of the calibrated rotation of a camera about each axis."""
    moved_m: float = 0.003
    """The same of its position along each axis."""
    synchronised: bool = True
    """False: cameras that run freely, so that their pictures differ by up to half a frame either way."""

    def __post_init__(self) -> None:
        sides = (*self.room_m, *self.area)
        if not all(0.5 <= side <= _LARGEST_M for side in sides):
            raise InputError(f"--room and --area: sides of 0.5 to {_LARGEST_M:g} m, not {_shown(sides)}")
        if self.area[0] > self.room_m[0] or self.area[1] > self.room_m[1]:
            raise InputError(f"--area {_shown(self.area)}: larger than the room, {_shown(self.room_m[:2])} m")
        if not 1 <= self.people <= _MOST_PEOPLE:
            raise InputError(f"--people {self.people}: 1 to {_MOST_PEOPLE}")
        if self.people * 0.5 > self.area[0] * self.area[1]:
            raise InputError(f"--people {self.people}: too many for an area of {_shown(self.area)} m")
        if not 0.5 <= self.height_m <= 2.5:
            raise InputError(f"--height {self.height_m:g}: a body is 0.5 to 2.5 m tall")
        if self.detector not in DETECTORS:
            raise InputError(f"--detector {self.detector}: one of {', '.join(DETECTORS)}")
        if not (0 <= self.turned_deg <= 10 and 0 <= self.moved_m <= 1):
            raise InputError("--calibration: 0 to 10 degrees, and 0 to 1000 mm")
        for one in self.obstacles:
            if not all(low < high for low, high in zip(one.low, one.high, strict=True)):
                raise InputError(
                    f"--obstacle: the corner {_shown(one.low)} must be below {_shown(one.high)} in x, y, z"
                )

    @property
    def area(self) -> tuple[float, float]:
        """Width and depth of where people are, m."""
        return self.area_m or (max(self.room_m[0] - 1.5, 0.5), max(self.room_m[1] - 1.5, 0.5))

    def late_s(self, rate_hz: float) -> float:
        """Standard deviation of the time between a view's picture and the common time, s."""
        return 0.0 if self.synchronised else 1 / rate_hz / math.sqrt(12)

    def motion_m(self, rate_hz: float) -> float:
        """Standard deviation of a joint's motion in that time along an axis of the picture, m."""
        return _SPEED_MPS * self.late_s(rate_hz)

    def boxes(self) -> Floats:
        """Low and high corners of the obstacles (O, 2, 3), m."""
        return np.array([[one.low, one.high] for one in self.obstacles], np.float64).reshape(-1, 2, 3)


def parse_kinds(texts: tuple[str, ...]) -> tuple[CameraKind, ...]:
    """Return kinds of cameras of texts ``N:WxH:FIELD[:RATE]``; InputError for one of another form."""
    kinds = []
    for text in texts:
        found = _KIND.fullmatch(text.strip())
        if found is None:
            raise InputError(f"--cameras {text}: give number, size, field of view and rate, as 6:1920x1080:70:60")
        count, width, height = (int(found[at]) for at in (1, 2, 3))
        field, rate = float(found[4]), float(found[5] or 60.0)
        if not (min(width, height) > 0 and max(width, height) <= _LARGEST_PX):
            raise InputError(f"--cameras {text}: {width}x{height} is no size of pictures")
        if not 5 <= field <= 150:
            raise InputError(f"--cameras {text}: a field of view of 5 to 150 degrees, not {field:g}")
        if not 1 <= rate <= 1000:
            raise InputError(f"--cameras {text}: a rate of 1 to 1000 Hz, not {rate:g}")
        kinds.append(CameraKind(count, (width, height), field, rate))
    total = sum(kind.count for kind in kinds)
    if not 2 <= total <= _MOST_CAMERAS:
        raise InputError(f"--cameras: 2 to {_MOST_CAMERAS} in all, not {total}")
    return tuple(kinds)


def parse_lengths(option: str, text: str, count: int) -> tuple[float, ...]:
    """Return lengths of a text such as 8x6x3, m; InputError that names the option for another number of them."""
    try:
        values = tuple(float(part) for part in text.lower().split("x"))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        raise InputError(f"{option} {text}: give {count} lengths in m, as {'x'.join(('8', '6', '3')[:count])}")
    return values


def parse_obstacle(text: str) -> Obstacle:
    """Return a box of a text ``X0,Y0,X1,Y1,HEIGHT``, standing on the floor; InputError for another form."""
    try:
        x0, y0, x1, y1, height = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--obstacle {text}: give X0,Y0,X1,Y1,HEIGHT in m, as 1,1,2,1.5,0.8") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1, height))):
        raise InputError(f"--obstacle {text}: lengths must be finite")
    return Obstacle((min(x0, x1), min(y0, y1), 0.0), (max(x0, x1), max(y0, y1), height))


def _shown(sides: tuple[float, ...]) -> str:
    return " x ".join(f"{side:g}" for side in sides)
