"""Source genicam: industrial cameras of GigE Vision and USB3 Vision, through Aravis.

``genicam:`` is the first camera found; ``genicam:192.168.1.20``, an id or a serial number names one. Options behind
``?``: ``pixels=BayerRG8``, ``rate=50``, ``trigger=Line1`` (an image at each rising edge of an input), ``exposure``,
``gain`` and ``white_balance``. Size and all else are as set in the camera.
"""

from __future__ import annotations

import re
import time
from urllib.parse import parse_qsl

from mvcap.errors import InputError, SourceError
from mvcap.sources.genicam_aravis import AravisBuffer, AravisCamera
from mvcap.sources.genicam_controls import set_camera_controls
from mvcap.sources.genicam_pixels import PIXEL_FORMATS, rgb_of_pixels
from mvcap.structures.camera_controls import CONTROLS, CameraControls
from mvcap.structures.live_frames import LiveFrame, LiveStream, StreamFormat

_READ_S = 2.0
_OPTIONS = {"pixels": r"\w{4,32}", "rate": r"\d{1,5}(\.\d+)?", "trigger": r"\w{1,32}"}
_KEPT_BYTES = 256 << 20  # of images that wait to be read
_KEPT = (8, 50)
_WRAP = 0xFFFF  # numbers of GigE Vision 1 go from 1 to this, and begin again


class Genicam:
    """Source genicam: every image of an industrial camera, with the camera's own time and number."""

    ends = False

    def __init__(self, address: str) -> None:
        self._name, _, words = address.partition("?")
        asked = dict(parse_qsl(words, keep_blank_values=True))
        self._own = CameraControls.of_words(asked)
        self._controls = self._own
        self._asked = {name: value for name, value in asked.items() if name not in CONTROLS}
        for name, value in self._asked.items():
            if name not in _OPTIONS or not re.fullmatch(_OPTIONS[name], value):
                raise InputError(
                    f"genicam:{address}: no option {name}={value}; there are pixels=BayerRG8, rate=50, trigger=Line1 "
                    f"and {', '.join(CONTROLS)}"
                )

    def adjust(self, controls: CameraControls) -> None:
        """Take note of exposure, gain and white balance; those of the address come first."""
        self._controls = self._own.over(controls)

    def open(self) -> LiveStream:
        """Open the camera; SourceError if it is not there, in use, or refuses what is asked for."""
        return _CameraImages(self._name, self._asked, self._controls)


class FrameCounter:
    """Numbers that only grow, from those of a camera that begin again."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._number = 0

    def number(self, given: int) -> int:
        """Return the number of an image; one that the camera began anew with is the next."""
        if self._last is not None:
            step = given - self._last
            if step <= 0 and self._last <= _WRAP:
                step += _WRAP
            self._number += step if 0 < step <= _WRAP // 2 or given > self._last > _WRAP else 1
        self._last = given
        return self._number


class _CameraImages:
    """An open camera."""

    def __init__(self, name: str, asked: dict[str, str], controls: CameraControls) -> None:
        self._name, self._trigger = name, asked.get("trigger")
        self._counter = FrameCounter()
        self._camera = AravisCamera(name)
        try:
            rate_hz = self._set(asked)
            found, notes = set_camera_controls(self._camera, controls)
            self.format = StreamFormat("", self._camera.size(), rate_hz, controls=found, notes=notes)
            self._camera.start(lambda payload: min(max(_KEPT_BYTES // max(payload, 1), _KEPT[0]), _KEPT[1]))
        except SourceError:
            self._camera.close()
            raise

    def _set(self, asked: dict[str, str]) -> float | None:
        """Set pixels, rate and trigger; return the rate, None where the trigger decides it."""
        camera = self._camera
        if camera.ask("is_gv_device"):
            camera.ask("gv_auto_packet_size")
        if "pixels" in asked:
            camera.call("set_pixel_format_from_string", asked["pixels"].encode())
        pixels = camera.call("get_pixel_format") & 0xFFFFFFFF
        if pixels not in PIXEL_FORMATS:
            said = (camera.ask("get_pixel_format_as_string") or b"").decode("ascii", "replace")
            names = ", ".join(name for name, _, _ in PIXEL_FORMATS.values())
            raise SourceError(f"genicam:{self._name}: pixels {said or hex(pixels)} cannot be read; there are {names}")
        if self._trigger:
            camera.call("set_trigger", self._trigger.encode())
            return None
        camera.ask("clear_triggers")
        if "rate" in asked:
            camera.call("set_frame_rate", float(asked["rate"]))
        return camera.ask("get_frame_rate") or None

    def read(self) -> LiveFrame | None:
        """Return the next whole image; the others leave a gap in the numbers. SourceError if none comes."""
        end = time.monotonic() + _READ_S
        while (left := end - time.monotonic()) > 0:
            buffer = self._camera.image(left)
            if buffer is None:
                break
            received_ns = time.monotonic_ns()
            try:
                frame = self._frame(buffer, received_ns) if buffer.whole else None
            finally:
                buffer.give_back()
            if frame is not None:
                return frame
        why = f"no trigger came on {self._trigger}" if self._trigger else "it sends nothing"
        raise SourceError(f"genicam:{self._name}: no image in {_READ_S:g} s: {why}")

    def _frame(self, buffer: AravisBuffer, received_ns: int) -> LiveFrame | None:
        image = rgb_of_pixels(buffer.data(), buffer.size, buffer.pixels)
        if image is None or buffer.size != self.format.size:
            return None
        stamp_ns = buffer.timestamp_ns
        number = self._counter.number(buffer.number)
        return LiveFrame(received_ns, stamp_ns / 1e9 if stamp_ns else None, number, image=image)

    def close(self) -> None:
        """Stop the camera and let it go."""
        self._camera.close()
