"""Source images: a folder of images, given at a rate (``FOLDER?rate=30``) as if they were live.

Files that are missing, by the numbers in their names, or cannot be read are lost frames.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from mvcap.errors import InputError, SourceError
from mvcap.recording.picture_decoder import whole_jpeg_size
from mvcap.structures.footage import Footage
from mvcap.structures.live_frames import LiveFrame, LiveStream, StreamFormat


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
        """Open the folder; SourceError if it holds no images, or the first cannot be read."""
        try:
            return _PacedImages(Footage.probe(self._folder, self._rate_hz), self._rate_hz)
        except InputError as fault:
            raise SourceError(str(fault)) from fault


class _PacedImages:
    """Images that wait until their time has come."""

    def __init__(self, footage: Footage, rate_hz: float) -> None:
        self._footage, self._rate_hz = footage, rate_hz
        self._jpeg = all(file.suffix.lower() in (".jpg", ".jpeg") for file in footage.files)
        self.format = StreamFormat("mjpeg" if self._jpeg else "", footage.size, rate_hz)
        self._next = self.missing_at_end = 0
        self._begun_s: float | None = None

    def read(self) -> LiveFrame | None:
        """Wait for the time of the next image that can be read and return it."""
        while self._next < self._footage.frames:
            frame, self._next = self._next, self._next + 1
            at_s = float(self._footage.time_s[frame])
            if self._begun_s is None:
                self._begun_s = time.monotonic() - at_s
            found = self._loaded(frame)
            if found is None:
                self.missing_at_end += 1
                continue
            self.missing_at_end = 0
            time.sleep(max(self._begun_s + at_s - time.monotonic(), 0))
            return replace(found, received_ns=time.monotonic_ns(), source_s=at_s, number=round(at_s * self._rate_hz))
        return None

    def _loaded(self, frame: int) -> LiveFrame | None:
        """An image, None if it is damaged or of another size."""
        try:
            if not self._jpeg:
                [(_, image)] = self._footage.read(frame, frame + 1)
                return LiveFrame(0, image=image)
            data = self._footage.files[frame].read_bytes()
        except (OSError, InputError):
            return None
        return LiveFrame(0, packet=data) if whole_jpeg_size(data) == self.format.size else None

    def close(self) -> None:
        """Nothing is held open."""
