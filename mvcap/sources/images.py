"""Source images: a folder of images, given at a rate (``FOLDER?rate=30``) as if they were live."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from mvcap.errors import InputError, SourceError
from mvcap.recording.picture_decoder import jpeg_image
from mvcap.structures.footage import Footage
from mvcap.structures.live_frames import Image, LiveFrame, LiveStream, StreamFormat


class Images:
    """Source images: a folder of JPEG, PNG or TIFF at a rate; JPEG is stored as it is."""

    ends = True

    def __init__(self, address: str) -> None:
        folder, _, words = address.partition("?")
        self._folder = Path(folder)
        name, _, value = words.partition("=")
        try:
            self._rate_hz = float(value) if name == "rate" else 30.0
        except ValueError:
            self._rate_hz = 0.0
        if (words and name != "rate") or not 0 < self._rate_hz <= 1000:
            raise InputError(f"{address}: give the rate as FOLDER?rate=30")

    def open(self) -> LiveStream:
        """Open the folder; SourceError if it holds no images."""
        try:
            return _PacedImages(Footage.probe(self._folder, self._rate_hz), self._rate_hz)
        except InputError as fault:
            raise SourceError(str(fault)) from fault


class _PacedImages:
    def __init__(self, footage: Footage, rate_hz: float) -> None:
        self._footage, self._rate_hz = footage, rate_hz
        self._jpeg = all(file.suffix.lower() in (".jpg", ".jpeg") for file in footage.files)
        self.format = StreamFormat("mjpeg" if self._jpeg else "", footage.size, rate_hz)
        self._images: Iterator[tuple[int, Image]] = iter(()) if self._jpeg else footage.read()
        self._next = 0
        self._begun_s: float | None = None

    def read(self) -> LiveFrame | None:
        """Wait for the time of the next image and return it."""
        if self._next >= self._footage.frames:
            return None
        frame, self._next = self._next, self._next + 1
        try:
            data = self._footage.files[frame].read_bytes() if self._jpeg else None
            image = None if self._jpeg else next(self._images)[1]
        except (OSError, InputError, StopIteration) as fault:
            raise SourceError(f"{self._footage.path}: image {frame} cannot be read ({fault})") from fault
        if data is not None and frame == 0 and jpeg_image(data) is None:
            raise SourceError(f"{self._footage.files[0]}: is no JPEG")
        at_s = float(self._footage.time_s[frame])
        if self._begun_s is None:
            self._begun_s = time.monotonic() - at_s
        time.sleep(max(self._begun_s + at_s - time.monotonic(), 0))
        return LiveFrame(time.monotonic_ns(), at_s, packet=data, image=image)

    def close(self) -> None:
        """Nothing is held open."""
