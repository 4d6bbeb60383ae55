"""Archives of numpy's arrays (.npz) read within limits and without executing anything.

An array is only made when as many bytes as its shape needs are there, and compressed members only up to 100 times the
size of the file (64 MB are always granted), so neither a stated shape nor a compressed zero can fill the memory. Every
fault is a ValueError or an OSError, without the file's name, which the caller adds.
"""

import lzma
import math
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from calib.bounded_files import reason_of

GRANTED_BYTES = 64 << 20
"""Bytes that compressed arrays of a small file may take."""
MOST_TIMES = 100
"""How many times larger than their file compressed arrays may be in all."""
_FAULTS = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError, SyntaxError, RuntimeError),
    *(OSError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
)
"""What a damaged archive can raise while it is read."""


def bounded_arrays(path: Path, wanted: Callable[[str], bool] | Collection[str] = bool) -> dict[str, NDArray[Any]]:
    """The arrays of an npz by name, those that are `wanted` (names, or whether a name is); others are not read.

    Raises OSError where the file cannot be opened, ValueError for all that is damaged, beyond the limits, of Python
    objects, or there twice.
    """
    chosen = wanted if callable(wanted) else wanted.__contains__
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a regular file")
    with path.open("rb") as file:
        return _read(path, file, chosen)


def _read(path: Path, file: IO[bytes], chosen: Callable[[str], bool]) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise ValueError("an array is in it twice")
            read = {name: info for name, info in members.items() if chosen(name)}
            check_expansion(path, read.values())
            return {name: _array(archive, info) for name, info in read.items()}
    except _FAULTS as fault:
        raise ValueError(reason_of(fault)) from None


def check_array(name: str, array: NDArray[Any], shape: tuple[int, ...], kinds: str) -> None:
    """Raise ValueError, which names it, for an array of another shape or of another kind (dtype.kind) of numbers."""
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(f"{name} is {_sides(array.shape)} {array.dtype}, not {_sides(shape)} numbers")


def check_expansion(path: Path, members: Collection[zipfile.ZipInfo]) -> None:
    """Raise ValueError for members of a zip file that would be far larger than the file."""
    if sum(info.file_size for info in members) > max(GRANTED_BYTES, MOST_TIMES * path.stat().st_size):
        raise ValueError(f"its arrays are more than {MOST_TIMES} times larger than the file")


def array_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, the order (whether by columns) and the type of an npy of so many bytes, its header read off.

    ValueError for a header that is damaged, of Python objects, or of another number of bytes than the array has.
    """
    version = npy.read_magic(stream)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("Python objects, which are not read")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f"the shape {_sides(shape)} is not that of the bytes that are there")
    if (math.prod(shape) and not dtype.itemsize) or math.prod(side or 1 for side in shape) >= 1 << 60:
        raise ValueError(f"the shape {_sides(shape)} is not that of an array")
    return shape, by_columns, dtype


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)[:60]


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as stream:
        shape, by_columns, dtype = array_header(stream, info.file_size)
        count = math.prod(shape) * dtype.itemsize
        data = stream.read(count)
        if len(data) != count or stream.read(1):
            raise ValueError(f"{info.filename} is cut off")
    flat = np.frombuffer(bytearray(data), dtype)
    return flat.reshape(shape, order="F" if by_columns else "C")
