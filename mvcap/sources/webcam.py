"""Source webcam: a camera of this machine by its number or device, through Video4Linux, AVFoundation or DirectShow.

``webcam:0`` or ``/dev/video0``, with options behind ``?``: ``size=1280x720``, ``rate=30`` and ``pixels=mjpeg``, which
most USB cameras need for their full rate: it is asked for first, and stored as it comes. On Linux also ``exposure``,
``gain`` and ``white_balance``.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from urllib.parse import parse_qsl

from mvcap.errors import InputError, SourceError
from mvcap.recording.ffmpeg_stream import FFmpegStream
from mvcap.sources.webcam_controls import set_webcam_controls
from mvcap.structures.camera_controls import CONTROLS, CameraControls
from mvcap.structures.live_frames import LiveStream

_CONTAINERS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_OPTIONS = {"size": r"\d{2,5}x\d{2,5}", "rate": r"\d{1,4}(\.\d+)?", "pixels": r"[a-z0-9_]{2,12}"}


class Webcam:
    """Source webcam: Motion JPEG as the camera sends it, with the time stamps of its driver."""

    ends = False

    def __init__(self, address: str) -> None:
        device, _, words = address.partition("?")
        asked = dict(parse_qsl(words, keep_blank_values=True))
        self._own = CameraControls.of_words(asked)
        self._controls = CameraControls()
        self._asked = {name: value for name, value in asked.items() if name not in CONTROLS}
        for name, value in self._asked.items():
            if name not in _OPTIONS or not re.fullmatch(_OPTIONS[name], value):
                raise InputError(
                    f"{address}: no option {name}={value}; there are size=1280x720, rate=30 and pixels=mjpeg, and "
                    f"{', '.join(CONTROLS)}"
                )
        self._address = address
        self._device = f"/dev/video{device}" if device.isdecimal() and sys.platform == "linux" else device
        if self._own.asked:
            self.adjust(CameraControls())

    def adjust(self, controls: CameraControls) -> None:
        """Take note of exposure, gain and white balance; those of the address come first. InputError but on Linux."""
        if sys.platform != "linux":
            raise InputError(f"webcam {self._address}: {', '.join(CONTROLS)} can be set on Linux only")
        self._controls = self._own.over(controls)

    def open(self) -> LiveStream:
        """Open the camera; SourceError if it is not there, is in use, or cannot what is asked for."""
        stream = self._opened()
        if sys.platform == "linux":  # once it is open, as cameras may begin with settings of their own
            try:
                found, notes = set_webcam_controls(self._device, self._controls)
            except SourceError:
                stream.close()
                raise
            stream.format = replace(stream.format, controls=found, notes=notes)
        return stream

    def _opened(self) -> FFmpegStream:
        """The camera in the first format that it takes."""
        container = _CONTAINERS.get(sys.platform)
        options = {}
        if "size" in self._asked:
            options["video_size"] = self._asked["size"]
        if "rate" in self._asked:
            options["framerate"] = self._asked["rate"]
        name = "input_format" if container == "v4l2" else "pixel_format"
        tries = [self._asked["pixels"]] if "pixels" in self._asked else ["mjpeg", ""]
        for pixels in tries:
            try:
                return FFmpegStream(
                    self._device, container=container, options={**options, **({name: pixels} if pixels else {})}
                )
            except SourceError as fault:
                if pixels == tries[-1]:
                    raise SourceError(f"{self._address}: {str(fault).partition(': ')[2]}") from fault
        raise SourceError(f"{self._address}: cannot be opened")
