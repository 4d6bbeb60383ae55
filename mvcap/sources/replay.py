"""Source replay: a video file at the rate of its own timestamps, as if it were live; ``?loop`` begins it again.

A machine that is too slow to decode it loses frames, as of a camera, and they are counted, as are frames that cannot be
read.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import replace

from mvcap.errors import SourceError
from mvcap.recording.ffmpeg_stream import FFmpegStream
from mvcap.structures.live_frames import LiveFrame, LiveStream


class Replay:
    """Source replay: a video file at its own rate."""

    def __init__(self, address: str) -> None:
        path, mark, words = address.rpartition("?")
        self._loop = mark == "?" and words == "loop"
        self._path = path if self._loop else address
        self.ends = not self._loop

    def open(self) -> LiveStream:
        """Open the file; SourceError if it is no video."""
        return _Paced(self._path, self._loop)


class _Paced:
    """Frames that wait until their time has come."""

    def __init__(self, path: str, loop: bool) -> None:
        self._path, self._loop = path, loop
        self._file = FFmpegStream(path)
        self.format = self._file.format
        self._begun_s: float | None = None  # when time 0 of the file was, on the monotonic clock
        self._shift_s = self._last_s = 0.0
        self.missing_at_end = 0
        self._steps_s: deque[float] = deque(maxlen=90)

    def read(self) -> LiveFrame | None:
        """Wait for the time of the next frame and return it."""
        frame = self._file.read()
        if frame is None and self._loop:
            self._file.close()
            self._file = FFmpegStream(self._path)
            self._shift_s = self._last_s + 1 / (self.format.rate_hz or 30.0)
            frame = self._file.read()
        if frame is None:
            end_s = self._file.end_s
            if end_s is not None and self._steps_s:
                self.missing_at_end = max(round((end_s - self._last_s) / statistics.median(self._steps_s)) - 1, 0)
            return None
        if frame.source_s is None:
            raise SourceError(f"{self._path}: has no timestamps")
        at_s = frame.source_s + self._shift_s
        if at_s > self._last_s:
            self._steps_s.append(at_s - self._last_s)
        self._last_s = at_s
        if self._begun_s is None:
            self._begun_s = time.monotonic() - at_s
        wait_s = self._begun_s + at_s - time.monotonic()
        self._file.catch_up(-wait_s)
        if wait_s > 0:
            time.sleep(wait_s)
        return replace(frame, received_ns=time.monotonic_ns(), source_s=at_s)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
