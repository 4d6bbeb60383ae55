"""Atomic writing of files and of npz archives, which are byte-identical for equal arrays, streamed or mapped."""

from __future__ import annotations

import errno
import io
import os
import struct
import tokenize
import uuid
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from calib.bounded_arrays import array_header, bounded_arrays
from calib.bounded_files import reason_of
from mvcap.errors import SessionError
from mvcap.structures.own_files import lock

_DATE = (1980, 1, 1, 0, 0, 0)  # constant date of zip entries, so that equal results give identical files


def remedy(fault: Exception, instead: str) -> str:
    """Return what to do about a file that could not be written, `instead` being another place: permission or space."""
    while not isinstance(fault, OSError) and isinstance(before := fault.__cause__ or fault.__context__, Exception):
        fault = before
    if isinstance(fault, OSError) and fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"give permission to write there, or {instead}"
    return f"free some space or {instead}"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to ``path`` on success; otherwise remove it.

    Raises SessionError if the folder cannot be written or the disk is full.
    """
    # The name is set before the file exists, so that the file is removed whenever an interruption comes.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as held:
            lock(held.fileno())  # while it is locked, nobody takes it for what a killed process left
            yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as fault:
        raise SessionError(
            f"{path} cannot be written: {fault.strerror or fault}; {remedy(fault, 'choose a writable folder')}"
        ) from fault
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; SessionError if it cannot be written."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an uncompressed npz atomically; equal arrays give identical files. SessionError if it cannot be written."""
    with written_whole(path) as temporary, NpzStream(temporary) as stream:
        for name, array in arrays.items():
            stream.begin(name, array.shape, array.dtype)
            stream.extend(array)


def mapped_arrays(path: Path, wanted: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return arrays of an npz by name; those that are not compressed are mapped, and read where they are used.

    Raises OSError for a file that cannot be opened, ValueError of one line for one that is damaged, contains Python
    objects, or is beyond the limits of ``calib.bounded_arrays``.
    """
    try:
        with path.open("rb") as stream:
            with zipfile.ZipFile(stream) as archive:
                stored = {
                    info.filename.removesuffix(".npy"): info
                    for info in archive.infolist()
                    if info.compress_type == zipfile.ZIP_STORED
                }
            rest = bounded_arrays(path, [name for name in wanted if name not in stored])
            return {**rest, **{name: _mapped(path, stream, info) for name, info in stored.items() if name in wanted}}
    except (*(ValueError, TypeError, LookupError, EOFError, ArithmeticError, MemoryError, RuntimeError, SyntaxError),
            *(zipfile.BadZipFile, struct.error, tokenize.TokenError)) as fault:  # fmt: skip
        raise ValueError(reason_of(fault)) from None


def _mapped(path: Path, stream: IO[bytes], info: zipfile.ZipInfo) -> NDArray[Any]:
    """Return a memory-mapped array of an uncompressed zip member."""
    stream.seek(info.header_offset + 26)
    name_length, extra_length = struct.unpack("<HH", stream.read(4))
    begin = stream.seek(name_length + extra_length, io.SEEK_CUR)
    shape, by_columns, dtype = array_header(stream, begin + info.file_size)
    if begin + info.file_size > os.fstat(stream.fileno()).st_size:
        raise ValueError(f"{info.filename} is cut off")
    if not np.prod(shape, dtype=np.int64):
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", stream.tell(), shape, "F" if by_columns else "C")


class NpzStream:
    """Writes an npz block by block along the first axis, for arrays that are larger than memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._member: IO[bytes] | None = None

    def begin(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Start the next array; its final shape must be known."""
        self._end()
        self._member = self._zip.open(zipfile.ZipInfo(f"{name}.npy", _DATE), "w", force_zip64=True)
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_2_0(self._member, header)

    def extend(self, piece: NDArray[Any]) -> None:
        """Add rows to the current array; ValueError if none was begun."""
        if self._member is None:
            raise ValueError("begin an array first")
        self._member.write(np.ascontiguousarray(piece).tobytes())

    def _end(self) -> None:
        if self._member is not None:
            self._member.close()
            self._member = None

    def __enter__(self) -> NpzStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._end()
                self._zip.close()
        finally:
            self._zip.fp = None  # after a fault, ZipFile must not try to write again when it is deleted
            self._file.close()
