"""The library Aravis (0.8), which speaks GigE Vision and USB3 Vision, called by its C interface.

Aravis (https://aravisproject.github.io, LGPL) is a package of the operating system: Debian's ``libaravis-0.8-0``,
Homebrew's ``aravis``. It reads each camera's own list of features, so no producer of its maker is needed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any

from mvcap.errors import SourceError

NAMES = ("libaravis-0.8.so.0", "libaravis-0.8.0.dylib", "libaravis-0.8.dylib")
AUTO_OFF, AUTO_CONTINUOUS = 0, 2
_FAKE = "Fake_"
_LOCK = threading.Lock()


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


_ANSWERS: dict[str, Any] = {
    "arv_camera_new": c_void_p, "arv_camera_create_stream": c_void_p, "arv_camera_get_payload": c_uint,
    "arv_camera_get_frame_rate": c_double, "arv_camera_get_exposure_time": c_double, "arv_camera_get_gain": c_double,
    "arv_camera_get_float": c_double, "arv_camera_get_model_name": c_char_p, "arv_camera_get_string": c_char_p,
    "arv_camera_get_device_id": c_char_p, "arv_camera_get_pixel_format_as_string": c_char_p,
    "arv_get_device_id": c_char_p, "arv_buffer_new_allocate": c_void_p, "arv_stream_timeout_pop_buffer": c_void_p,
    "arv_buffer_get_timestamp": c_uint64, "arv_buffer_get_frame_id": c_uint64, "arv_buffer_get_data": c_void_p,
    "arv_buffer_get_image_pixel_format": c_uint,
}  # fmt: skip
"""What functions return; the others a C int, or nothing."""


@cache
def aravis_library() -> ctypes.CDLL:
    """Load the library; SourceError where it is not installed."""
    for name in (*NAMES, ctypes.util.find_library("aravis-0.8")):
        try:
            loaded = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if loaded is not None:
            for function, answer in _ANSWERS.items():
                getattr(loaded, function).restype = answer
            return loaded
    raise SourceError("genicam: needs the library Aravis 0.8; install libaravis-0.8-0 (Debian) or aravis (Homebrew)")


class AravisCamera:
    """A GenICam camera. ``call`` and ``ask`` are ``arv_camera_...`` functions; SourceError with the library's reason.

    name: an id, serial number, or address as Aravis has it, such as "192.168.1.20" or "Fake_1"; "" is the first found.
    """

    def __init__(self, name: str) -> None:
        self._library = aravis_library()
        self._pointer: c_void_p | None = None
        self._stream: c_void_p | None = None
        self._name = name
        if name.startswith(_FAKE):
            self._library.arv_enable_interface(b"Fake")
        with _LOCK:  # the list of devices is one of the whole process
            self._pointer = c_void_p(self._checked(self._library.arv_camera_new, name.encode() or None))
        if not self._pointer:
            raise SourceError(f"genicam:{name}: no such camera")

    def call(self, function: str, *arguments: Any) -> Any:
        """Call ``arv_camera_FUNCTION`` with plain numbers and bytes; SourceError if the camera refuses."""
        return self._checked(getattr(self._library, f"arv_camera_{function}"), self._pointer, *arguments)

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call it; None if the camera refuses, or does not have it."""
        try:
            return self.call(function, *arguments)
        except SourceError:
            return None

    def has(self, feature: str) -> bool:
        """Whether the camera has a feature now."""
        return bool(self.ask("is_feature_available", feature.encode()))

    def bounds(self, function: str) -> tuple[float, float] | None:
        """Least and greatest value, None where they are not known."""
        least, greatest = c_double(), c_double()
        try:
            self.call(function, byref(least), byref(greatest))
        except SourceError:
            return None
        return (least.value, greatest.value) if least.value < greatest.value else None

    def size(self) -> tuple[int, int]:
        """Width and height of the images, px."""
        x, y, width, height = c_int(), c_int(), c_int(), c_int()
        self.call("get_region", byref(x), byref(y), byref(width), byref(height))
        return width.value, height.value

    def start(self, buffers: Callable[[int], int]) -> None:
        """Begin to send images; buffers: how many, by the bytes of one."""
        self._stream = c_void_p(self.call("create_stream", None, None))
        if not self._stream:
            raise SourceError(f"genicam:{self._name}: gives no stream")
        payload = self.call("get_payload")
        for _ in range(buffers(payload)):
            self._library.arv_stream_push_buffer(
                self._stream, c_void_p(self._library.arv_buffer_new_allocate(c_size_t(payload)))
            )
        self.call("start_acquisition")

    def image(self, wait_s: float) -> AravisBuffer | None:
        """Wait for the next buffer; None if there was none in time."""
        found = self._library.arv_stream_timeout_pop_buffer(self._stream, c_uint64(round(1e6 * wait_s)))
        return AravisBuffer(self._library, self._stream, c_void_p(found)) if found else None

    def close(self) -> None:
        """Stop it and let it go."""
        if self._stream:
            self.ask("stop_acquisition")
            self._library.g_object_unref(self._stream)
            self._stream = None
        if self._pointer:
            self._library.g_object_unref(self._pointer)
            self._pointer = None

    def _checked(self, function: Any, *arguments: Any) -> Any:
        fault = POINTER(_GError)()
        plain = [c_double(one) if isinstance(one, float) else one for one in arguments]
        answer = function(*plain, byref(fault))
        if fault:
            words = (fault.contents.message or b"").decode("utf-8", "replace").strip()
            self._library.g_error_free(fault)
            raise SourceError(f"genicam:{self._name}: {' '.join(words.split()) or 'refused'}")
        return answer


class AravisBuffer:
    """One image of a camera; ``give_back`` it, once read."""

    def __init__(self, library: ctypes.CDLL, stream: c_void_p | None, pointer: c_void_p) -> None:
        self._library, self._stream, self._pointer = library, stream, pointer

    @property
    def whole(self) -> bool:
        """Whether all of it arrived."""
        return int(self._library.arv_buffer_get_status(self._pointer)) == 0

    @property
    def number(self) -> int:
        """What the camera counts it as; 16 bits of GigE Vision 1, never 0; 64 bits of others."""
        return int(self._library.arv_buffer_get_frame_id(self._pointer))

    @property
    def timestamp_ns(self) -> int:
        """Time of the camera's clock; 0 where it has none."""
        return int(self._library.arv_buffer_get_timestamp(self._pointer))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return (
            int(self._library.arv_buffer_get_image_width(self._pointer)),
            int(self._library.arv_buffer_get_image_height(self._pointer)),
        )

    @property
    def pixels(self) -> int:
        """Number of the pixel format, of the Pixel Format Naming Convention."""
        return int(self._library.arv_buffer_get_image_pixel_format(self._pointer))

    def data(self) -> bytes:
        """Return a copy of its bytes."""
        size = c_size_t()
        start = self._library.arv_buffer_get_data(self._pointer, byref(size))
        return ctypes.string_at(start, size.value) if start else b""

    def give_back(self) -> None:
        """Let the camera fill it again."""
        self._library.arv_stream_push_buffer(self._stream, self._pointer)
