"""Folders of images: their order, the numbers or times in their names, and the cameras of a flat folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
LAST_NUMBER = re.compile(r"\d+(?=\D*$)")
_CAMERA = re.compile(r"(?<![a-z])(?:camera|cam|view|gopro|kinect|c|v)[ _-]?\d+", re.IGNORECASE)
_FILLERS = re.compile(r"[ _-]+(?:frames?|images?|img|pics?|pictures?|shots?|no|nr|t)$", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_SECONDS = re.compile(r"(?<![0-9])([0-9]{1,10})\.([0-9]{3,9})$")
_DATE = re.compile(
    r"(20\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)[-_ T.]*([0-2]\d)[-_.h]?([0-5]\d)[-_.m]?([0-5]\d)(?:[-_., s]?(\d{1,9}))?"
)
_EPOCH_S = (946684800, 4102444800)  # the years 2000 to 2100
_UNITS_NS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}  # by the digits of such a time
_DENSE = 0.5  # share of the numbers in use from which on they count images
_LARGEST = 1 << 62


@dataclass(frozen=True, eq=False)
class ImageNumbers:
    """What the names of a folder's images count: images, or time.

    value (F,) i64, strictly increasing: numbers, or nanoseconds; texts: the numbers as they are written.
    """

    kind: str
    """``numbers`` or ``times``."""
    value: NDArray[np.int64] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)

    @property
    def step(self) -> int:
        """Greatest common divisor of the distances between the numbers; 1 for a single image."""
        return int(np.gcd.reduce(np.diff(self.value))) if len(self.value) > 1 else 1


def natural_order(text: str) -> list[tuple[bool, int, str]]:
    """Return a sort key by which 10 comes after 9."""
    parts = re.split(r"([0-9]+)", text)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of the numbers in their names, so that 10 comes after 9."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
    return sorted(files, key=lambda file: natural_order(file.name))


# The cameras of a flat folder


def split_by_camera(images: Sequence[Path], cameras: Iterable[str] = ()) -> dict[str, list[Path]]:
    """Return the images of each camera by the names of the files; "" is a camera whose name is in none.

    cameras: known names, such as those of a calibration; a file belongs to the longest one that its name holds as a
    word. Without them, or where a file holds none: words such as cam1, view_2 or GoPro3, else what stands before the
    last number (left_0001, right-frame-12).
    """
    known = list(cameras)
    named = [word_in(path.stem, known) for path in images]
    names = named if all(named) else [name for name, _ in split_names(images)]
    views: dict[str, list[Path]] = {}
    for path, name in zip(images, names, strict=True):
        views.setdefault(name or "", []).append(path)
    return views


def word_in(text: str, names: Iterable[str]) -> str | None:
    """Return the longest of names that a text holds as a word: its letters and digits do not go on beyond its ends."""
    for name in sorted(filter(None, names), key=len, reverse=True):
        before = r"(?<![^\W\d_])" if name[0].isalpha() else r"(?<!\d)" if name[0].isdigit() else ""
        after = r"(?![^\W\d_])" if name[-1].isalpha() else r"(?!\d)" if name[-1].isdigit() else ""
        if re.search(before + re.escape(name) + after, text, re.IGNORECASE):
            return name
    return None


def split_names(images: Sequence[Path]) -> list[tuple[str, str]]:
    """Camera and moment in the names of images: cam_0_frame_0050, cam01_06_int, left12; the camera may be ""."""
    found = [_CAMERA.search(path.stem) for path in images]
    if all(found):
        parts = [(match[0], match.string[: match.start()] + match.string[match.end() :]) for match in found if match]
        return [(name, rest.strip(" _-")) for name, rest in parts]
    out = []
    for path in images:
        match = LAST_NUMBER.search(path.stem)
        name = path.stem[: match.start()].strip(" _-") if match else path.stem
        out.append((_FILLERS.sub("", name), match[0] if match else ""))
    return out


# Numbers and times in names


def in_order(files: Sequence[Path], rate_hz: float | None = None) -> tuple[list[Path], ImageNumbers | None]:
    """Return a view's images (F) in order, and the numbers or times in their names; None if the names hold none.

    Times are: seconds since 1970 or their thousandths, millionths or billionths; dates with a time of day; numbers that
    advance by one image in such a unit at rate_hz, if that is given. Everything else counts images.
    Raises InputError if two images have one number, or a few of many have none.
    """
    stems = [file.stem for file in files]
    texts, value = stems, _dates(stems) or _decimal_seconds(stems, rate_hz)
    kind = "times"
    if value is None:
        texts = _counted(stems)
        without = [file for file, text in zip(files, texts, strict=True) if not text]
        if without and 2 * len(without) < len(files):
            raise InputError(
                f"{without[0]}: has no number in its name, the other images of the folder have; remove or rename it"
            )
        constant = len(set(texts)) == 1 < len(set(stems))
        value = [] if without or constant else [int(text) for text in texts]
        if not value or max(value) >= _LARGEST:
            return list(files), None
        unit_ns = _unit_ns(texts, np.array(value, np.int64), rate_hz)
        kind, value = ("times", [one * unit_ns for one in value]) if unit_ns else ("numbers", value)
    order = sorted(range(len(files)), key=value.__getitem__)
    for one, other in pairwise(order):
        if value[one] == value[other]:
            raise InputError(
                f"{files[one].parent}: {files[one].name} and {files[other].name} have the same {kind[:-1]} "
                f"({texts[other]}); remove one of them, or put the images of each camera into a folder of its own"
            )
    numbers = ImageNumbers(kind, np.array([value[i] for i in order], np.int64), tuple(texts[i] for i in order))
    return [files[index] for index in order], numbers


def _decimal_seconds(stems: Sequence[str], rate_hz: float | None) -> list[int] | None:
    """Return nanoseconds of names such as 1305031102.175304; None if the names are no such times."""
    parts = [match.groups() for stem in stems if (match := _SECONDS.search(stem))]
    if len(parts) < len(stems):
        return None
    value = [int(whole) * 1_000_000_000 + int(part.ljust(9, "0")) for whole, part in parts]
    epoch = all(_EPOCH_S[0] <= int(whole) < _EPOCH_S[1] for whole, _ in parts)
    times = epoch or len({whole for whole, _ in parts}) > 1 or _fits(np.array(value), 1_000_000_000, rate_hz)
    return value if times else None


def _dates(stems: Sequence[str]) -> list[int] | None:
    """Return nanoseconds of names with a date and a time of day that tell the images apart; None for other names."""
    found = [match for stem in stems if (match := _DATE.search(stem))]
    # Behind the seconds, digits of another count are a counter and no fraction of the second.
    if len(found) < len(stems) or not {len(match[7] or "") for match in found} <= {0, 3, 6, 9}:
        return None
    value = []
    for match in found:
        year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None
        value.append(int(moment.timestamp()) * 1_000_000_000 + int((match[7] or "0").ljust(9, "0")))
    return value if len(set(value)) == len(value) else None


def _counted(stems: Sequence[str]) -> list[str]:
    """Return the digits in each name that count the images, "" if it has none.

    Names that differ in one group of digits only count by it, whatever stands behind; of several that differ, the last
    that counts images without many gaps. Else it is the last group.
    """
    groups = [_DIGITS.findall(stem) for stem in stems]
    same = len({tuple(_DIGITS.split(stem)) for stem in stems}) == 1
    unlike = [column for column in zip(*groups, strict=True) if len(set(column)) > 1] if same else []
    dense = [column for column in unlike if _is_dense([int(text) for text in column])]
    if len(unlike) == 1 or dense:
        return list(unlike[0] if len(unlike) == 1 else dense[-1])
    return [group[-1] if group else "" for group in groups]


def _is_dense(value: Sequence[int]) -> bool:
    unique = sorted(set(value))
    return len(unique) == len(value) and len(value) >= _DENSE * (unique[-1] - unique[0] + 1)


def _unit_ns(texts: Sequence[str], value: NDArray[np.int64], rate_hz: float | None) -> int | None:
    """Return the unit of numbers that are times, ns; None if they count images."""
    digits = min(map(len, texts))
    unit_ns, lowest, highest = _UNITS_NS.get(digits), int(value.min()), int(value.max())
    per_s = 10 ** (digits - 10) if unit_ns else 0
    typical = float(np.median(np.diff(np.sort(value)))) if len(value) > 1 else np.inf
    if unit_ns and _EPOCH_S[0] * per_s <= lowest and highest < _EPOCH_S[1] * per_s and typical > 1:
        return unit_ns
    fitting = [unit for unit in _UNITS_NS.values() if _fits(value, 1_000_000_000 // unit, rate_hz) and typical > 1]
    return fitting[0] if fitting else None


def _fits(value: NDArray[np.int64], per_s: int, rate_hz: float | None) -> bool:
    """Return whether numbers, of which per_s make a second, advance by one image at a rate."""
    if rate_hz is None or not 0 < rate_hz < np.inf or len(value) < 2:
        return False
    return abs(float(np.median(np.diff(np.sort(value)))) / per_s * rate_hz - 1) < 0.1
