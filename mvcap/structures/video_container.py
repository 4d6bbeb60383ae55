"""The length that a video container declares, from its outermost boxes: a fast test for files that are cut short."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """Return the number of bytes by which a file is shorter than its container declares; 0 if complete or unknown."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(12)
        stream.seek(0)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            end = _end_of_boxes(stream, size)
        elif head[:4] == _EBML:
            end = _end_of_segment(stream)
        elif head[:4] == b"RIFF":
            end = 8 + int.from_bytes(head[4:8], "little")
        else:
            end = 0
    return max(0, end - size)


def _end_of_boxes(stream: BinaryIO, size: int) -> int:
    """Return the end of the last outermost box of an mp4 or mov; a box has length (4), name (4), 64-bit length (8)."""
    position = 0
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # the box extends to the end of the file
            return size
        if length < 8:
            return position
        position += length
    return position


def _end_of_segment(stream: BinaryIO) -> int:
    """Return the end of the Segment of a Matroska or WebM file; 0 for a live recording, which has no length."""
    stream.seek(4)
    length = _ebml_length(stream)
    if length is None:
        return 0
    stream.seek(length, 1)
    if stream.read(4) != _SEGMENT:
        return 0
    length = _ebml_length(stream)
    return 0 if length is None else stream.tell() + length


def _ebml_length(stream: BinaryIO) -> int | None:
    """Read a variable-length number: the number of leading zero bits of its first byte is that of further bytes."""
    first = stream.read(1)
    if not first or not first[0]:
        return None
    following = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> following)]) + stream.read(following), "big")
    return None if value == (1 << 7 * (following + 1)) - 1 else value
