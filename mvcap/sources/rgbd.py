"""Source rgbd: a recording of a depth camera, colour with 16-bit depth, played at its own rate as if it were live.

The folder has the layout of the TUM RGB-D benchmark (Sturm et al. 2012): ``rgb.txt`` and ``depth.txt`` list a time in
seconds and a file on each line; depth is registered to colour. ``rgbd:FOLDER?unit=0.0002`` gives the metres of one unit
of depth, which are 1 / 5000 there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError, SourceError
from mvcap.structures.live_frames import Image, LiveFrame, LiveStream, StreamFormat

TUM_UNIT_M = 1 / 5000
_LARGEST = 1 << 26  # bytes of a list


class Rgbd:
    """Source rgbd: colour and depth images of a folder, at the times of its lists."""

    ends = True

    def __init__(self, address: str) -> None:
        folder, _, words = address.partition("?")
        self._folder = Path(folder)
        name, _, value = words.partition("=")
        try:
            self._unit_m = float(value) if words else TUM_UNIT_M
        except ValueError:
            self._unit_m = 0.0
        if (words and name != "unit") or not 1e-7 < self._unit_m < 1:
            raise InputError(f"rgbd:{address}: give the metres of a unit of depth as FOLDER?unit=0.0002")

    def open(self) -> LiveStream:
        """Open the folder; SourceError if it has not the layout, or its first image cannot be read."""
        return _ColourAndDepth(self._folder, self._unit_m)


class _ColourAndDepth:
    """Pairs of images that wait until their time has come. Files that cannot be read are missing frames."""

    def __init__(self, folder: Path, unit_m: float) -> None:
        self._folder = folder
        self._time_s, self._colour = _listed(folder, "rgb.txt")
        depth_s, self._depth = _listed(folder, "depth.txt")
        self._pairs = nearest_pairs(self._time_s, depth_s)
        first = _colour_image(self._colour[0])
        if first is None:
            raise SourceError(f"{self._colour[0]}: cannot be read; it is the first image of rgb.txt")
        step_s = float(np.median(np.diff(self._time_s))) if len(self._time_s) > 1 else 0.0
        self.format = StreamFormat(
            "", (first.shape[1], first.shape[0]), 1 / step_s if step_s > 0 else None, depth_unit_m=unit_m
        )
        self._next = 0
        self.missing_at_end = 0
        self._begun_s: float | None = None

    def read(self) -> LiveFrame | None:
        """Wait for the time of the next image that can be read, and return it; depth is None where there is none."""
        while self._next < len(self._colour):
            frame, self._next = self._next, self._next + 1
            at_s = float(self._time_s[frame])
            if self._begun_s is None:
                self._begun_s = time.monotonic() - at_s
            image = _colour_image(self._colour[frame])
            if image is None or image.shape[1::-1] != self.format.size:
                self.missing_at_end += 1
                continue
            pair = int(self._pairs[frame])
            depth = self._depth_image(self._depth[pair]) if pair >= 0 else None
            time.sleep(max(self._begun_s + at_s - time.monotonic(), 0))
            self.missing_at_end = 0
            return LiveFrame(time.monotonic_ns(), at_s, frame, image=image, depth=depth)
        return None

    def close(self) -> None:
        """Nothing is held open."""

    def _depth_image(self, path: Path) -> NDArray[np.uint16] | None:
        """The depth image (H, W), None if it cannot be read; SourceError for one of another kind."""
        import cv2

        found: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if found is None:
            return None
        width, height = self.format.size
        if found.dtype != np.uint16 or found.shape != (height, width):
            raise SourceError(
                f"{path}: is no depth of 16 bits and {width}x{height} px, as its colour has; register it to the colour"
            )
        return np.asarray(found, np.uint16)


def nearest_pairs(time_s: NDArray[np.float64], other_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each of F times, ascending, the nearest of G others, -1 without; each is of one pair at most.

    Two are a pair only if each is the nearest of the other, so at most half an interval apart.
    """
    if not len(other_s) or not len(time_s):
        return np.full(len(time_s), -1)
    there, back = _nearest(time_s, other_s), _nearest(other_s, time_s)
    mutual = back[there] == np.arange(len(time_s))
    steps = [float(np.median(np.diff(one))) for one in (time_s, other_s) if len(one) > 1]
    near = np.abs(other_s[there] - time_s) <= max(steps, default=np.inf) / 2
    return np.where(mutual & near, there, -1)


def _nearest(time_s: NDArray[np.float64], other_s: NDArray[np.float64]) -> NDArray[np.int64]:
    after = np.clip(np.searchsorted(other_s, time_s), 1, max(len(other_s) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(other_s) - 1)
    return np.where(time_s - other_s[before] <= other_s[after] - time_s, before, after)


def _listed(folder: Path, name: str) -> tuple[NDArray[np.float64], list[Path]]:
    """Times (F,) s, ascending, and files of a list; SourceError if it is none."""
    path = folder / name
    try:
        with path.open("rb") as stream:
            text = stream.read(_LARGEST).decode()
    except (OSError, UnicodeDecodeError) as fault:
        raise SourceError(f"{path}: cannot be read; an RGB-D folder has rgb.txt and depth.txt ({fault})") from fault
    rows: dict[float, Path] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        try:
            at_s = float(words[0])
        except ValueError:
            at_s = float("nan")
        if len(words) != 2 or not np.isfinite(at_s):
            raise SourceError(f"{path}:{number}: is not a time in seconds and a file")
        rows[at_s] = folder / words[1].strip()
    if not rows:
        raise SourceError(f"{path}: lists no images")
    times = sorted(rows)
    return np.array(times), [rows[at_s] for at_s in times]


def _colour_image(path: Path) -> Image | None:
    """RGB (H, W, 3), None if it cannot be read."""
    import cv2

    found: Any = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if found is None else np.asarray(np.ascontiguousarray(found[..., ::-1]), np.uint8)
