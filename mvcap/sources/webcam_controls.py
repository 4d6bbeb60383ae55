"""Exposure, gain and white balance of webcams, by the controls of Video4Linux (``linux/v4l2-controls.h``)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mvcap.errors import SourceError
from mvcap.structures.camera_controls import AUTO, LOCK, CameraControls

Ioctl = Callable[[int, int, bytearray], Any]
"""As ``fcntl.ioctl``: file, request, buffer that is changed."""
_QUERY, _CONTROL = struct.Struct("=II32s4iI8x"), struct.Struct("=Ii")


def ioctl_number(number: int, size: int) -> int:
    """Return the request of Video4Linux that reads and writes so many bytes: ``_IOWR('V', number, size)``."""
    return 3 << 30 | size << 16 | ord("V") << 8 | number


GET, SET = ioctl_number(27, _CONTROL.size), ioctl_number(28, _CONTROL.size)
QUERY = ioctl_number(36, _QUERY.size)
_DISABLED = 1


@dataclass(frozen=True)
class _Knob:
    """A control, the one that makes it automatic, and the values that this one has for off and, best first, on."""

    key: str
    value: int
    automatic: int
    off: int
    on: tuple[int, ...]
    scale: float
    unit: str


_KNOBS = {
    "exposure": _Knob("exposure_ms", 0x009A0902, 0x009A0901, 1, (3, 0), 10.0, "ms"),  # in units of 100 us
    "gain": _Knob("gain", 0x00980913, 0x00980912, 0, (1,), 1.0, ""),
    "white_balance": _Knob("white_balance_k", 0x0098091A, 0x0098090C, 0, (1,), 1.0, "K"),
}
_RATE_FOLLOWS_EXPOSURE = 0x009A0903  # lets a camera send fewer frames in the dark


def set_webcam_controls(
    device: str, controls: CameraControls, ioctl: Ioctl | None = None
) -> tuple[dict[str, float | str], tuple[str, ...]]:
    """Set what is asked for; return what the camera then has, and what it could not do, a line each.

    SourceError for a value that is out of its range and a device that cannot be opened.
    """
    if ioctl is None:
        from fcntl import ioctl as system_ioctl

        ioctl = system_ioctl
    try:
        file = os.open(device, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
    except OSError as fault:
        raise SourceError(f"{device}: its controls cannot be opened ({fault.strerror})") from fault
    try:
        camera = _Controls(file, ioctl)
        notes = [note for name, asked in controls.asked.items() if (note := _set(camera, name, asked))]
        return _found(camera), tuple(notes)
    finally:
        os.close(file)


class _Controls:
    """The controls of an open device."""

    def __init__(self, file: int, ioctl: Ioctl) -> None:
        self._file, self._ioctl = file, ioctl

    def bounds(self, control: int) -> tuple[int, int] | None:
        """Least and greatest value, None if the camera lacks the control."""
        told = bytearray(_QUERY.pack(control, 0, b"", 0, 0, 0, 0, 0))
        try:
            self._ioctl(self._file, QUERY, told)
        except OSError:
            return None
        _, _, _, least, greatest, _, _, flags = _QUERY.unpack(told)
        return None if flags & _DISABLED else (least, greatest)

    def get(self, control: int) -> int | None:
        """The value of a control, None if the camera lacks it."""
        told = bytearray(_CONTROL.pack(control, 0))
        try:
            self._ioctl(self._file, GET, told)
        except OSError:
            return None
        return int(_CONTROL.unpack(told)[1])

    def set(self, control: int, value: int) -> bool:
        """Set a control; whether the camera took it."""
        try:
            self._ioctl(self._file, SET, bytearray(_CONTROL.pack(control, value)))
        except OSError:
            return False
        return True


def _set(camera: _Controls, name: str, asked: float | str) -> str:
    """Set a control; return why not."""
    knob = _KNOBS[name]
    bounds, has_auto = camera.bounds(knob.value), camera.bounds(knob.automatic) is not None
    if asked == AUTO:
        if has_auto and any(camera.set(knob.automatic, value) for value in knob.on):
            return ""
        return f"{name}: the camera has no automatic; it stays as it is"
    if bounds is None and not has_auto:
        return f"{name}: the camera has none that can be set"
    wanted = None if asked == LOCK or bounds is None else round(float(asked) * knob.scale)
    if wanted is not None and bounds is not None and not bounds[0] <= wanted <= bounds[1]:
        least, greatest = (f"{one / knob.scale:g}" for one in bounds)
        raise SourceError(f"{name} {float(asked):g} {knob.unit}".strip() + f" is not within {least} to {greatest}")
    if has_auto and not camera.set(knob.automatic, knob.off):
        return f"{name}: the camera keeps its automatic"
    if name == "exposure":
        camera.set(_RATE_FOLLOWS_EXPOSURE, 0)
    if asked != LOCK and (wanted is None or not camera.set(knob.value, wanted)):
        return f"{name}: the camera takes no value; it stays as it is"
    return ""


def _found(camera: _Controls) -> dict[str, float | str]:
    """What the camera has now."""
    out: dict[str, float | str] = {}
    for name, knob in _KNOBS.items():
        value = camera.get(knob.value) if camera.bounds(knob.value) else None
        if value is not None:
            out[knob.key] = value / knob.scale
        mode = camera.get(knob.automatic) if camera.bounds(knob.automatic) else None
        if mode is not None:
            out[f"{name}_auto"] = "off" if mode == knob.off else "on"
    return out
