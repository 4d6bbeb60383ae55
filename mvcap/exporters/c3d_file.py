"""The bytes of a C3D file: header, parameters and 3D points as little-endian floats, by the C3D user guide (2008)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK = 512
_KEY = 0x50
_INTEL = 84
_ROW_LABELS = 255  # a dimension is one byte; more labels go to LABELS2, LABELS3 ...
POINTS_AT_MOST = 4000  # the length of the parameters in blocks is one byte, and the labels take most of it
FRAMES_AT_MOST = 32767

Value = str | float | Sequence[str] | int


def preamble(
    labels: Sequence[str],
    frames: int,
    rate_hz: float,
    unit: str,
    right_and_up: tuple[str, str],
    notes: Mapping[str, str | float],
) -> bytes:
    """Return the header and parameter sections, for 1 to POINTS_AT_MOST labels and 1 to FRAMES_AT_MOST frames.

    notes: parameters of a group MVCAP. The results of ``point_frames`` and finally ``padding`` follow in the file.
    Raises ValueError for too many labels or frames.
    """
    if len(labels) > POINTS_AT_MOST or not 0 < frames <= FRAMES_AT_MOST:
        raise ValueError(f"a C3D file cannot hold {len(labels)} points in {frames} frames")
    groups: dict[str, dict[str, Value]] = {
        "POINT": _point_group(labels, frames, rate_hz, unit, right_and_up),
        "ANALOG": {"USED": 0, "GEN_SCALE": 1.0, "RATE": 0.0},
        "FORCE_PLATFORM": {"USED": 0},
        "MVCAP": dict(notes),
    }
    # The parameters contain the number of the first block of points, which depends on the parameters' length.
    blocks = len(_parameters(groups)) // _BLOCK
    groups["POINT"]["DATA_START"] = 2 + blocks
    return _header(len(labels), frames, rate_hz, 2 + blocks) + _parameters(groups)


def point_frames(xyz: NDArray[np.floating]) -> bytes:
    """Return the bytes of points (T, N, 3) in the file's unit; NaN is written as 0 with residual -1, that is missing.

    All other points have residual 0, that is computed points. Positive residuals are not written because readers
    disagree about their byte.
    """
    missing = np.asarray(np.isnan(xyz).any(-1))
    out = np.empty((*missing.shape, 4), "<f4")
    out[..., :3] = np.where(missing[..., None], 0, xyz)
    out[..., 3] = np.where(missing, -1, 0)
    return out.tobytes()


def padding(length: int) -> bytes:
    """Return the bytes that fill a file of this length up to a whole block."""
    return bytes(-length % _BLOCK)


def _header(count: int, frames: int, rate_hz: float, data_start: int) -> bytes:
    scale = -1.0  # negative: points are floats
    words = struct.pack("<BBHHHHHfHHf", 2, _KEY, count, 0, 1, frames, 0, scale, data_start, 0, rate_hz)
    return words.ljust(_BLOCK, b"\0")


def _point_group(
    labels: Sequence[str], frames: int, rate_hz: float, unit: str, right_and_up: tuple[str, str]
) -> dict[str, Value]:
    group: dict[str, Value] = {
        "USED": len(labels),
        "FRAMES": frames,
        "DATA_START": 0,
        "SCALE": -1.0,
        "RATE": float(rate_hz),
        "UNITS": unit,
        "X_SCREEN": right_and_up[0],
        "Y_SCREEN": right_and_up[1],
    }
    for number, first in enumerate(range(0, max(len(labels), 1), _ROW_LABELS), 1):
        row = labels[first : first + _ROW_LABELS]
        group[f"LABELS{number if number > 1 else ''}"] = row
        group[f"DESCRIPTIONS{number if number > 1 else ''}"] = [" "] * len(row)
    return group


def _parameters(groups: Mapping[str, Mapping[str, Value]]) -> bytes:
    items = []
    for number, (name, parameters) in enumerate(groups.items(), 1):
        items.append(_item(name, -number, b""))
        items += [_item(key, number, _encoded(value)) for key, value in parameters.items()]
    body = b"".join(items) + b"\0\0"  # an empty name ends the list
    blocks = -(-(4 + len(body)) // _BLOCK)
    return (bytes([1, _KEY, blocks, _INTEL]) + body).ljust(blocks * _BLOCK, b"\0")


def _item(name: str, number: int, content: bytes) -> bytes:
    """Return a group (number below 0) or parameter: name, offset to the next one, content, and no description."""
    letters = name.encode("ascii")
    return struct.pack("<bb", len(letters), number) + letters + struct.pack("<H", 3 + len(content)) + content + b"\0"


def _encoded(value: Value) -> bytes:
    """Return type, dimensions and data of a value."""
    if isinstance(value, int):
        return struct.pack("<bBh", 2, 0, value)
    if isinstance(value, float):
        return struct.pack("<bBf", 4, 0, value)
    if isinstance(value, str):
        letters = value.encode("ascii", "replace")[:127]
        return struct.pack("<bBB", -1, 1, len(letters)) + letters
    texts = [text.encode("ascii", "replace")[:127] for text in value]
    width = max(map(len, texts), default=0)
    return struct.pack("<bBBB", -1, 2, width, len(texts)) + b"".join(text.ljust(width) for text in texts)
