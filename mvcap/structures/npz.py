"""Numpy archives written whole or not at all, the same bytes for the same arrays, and piece by piece if need be."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mvcap.errors import SessionError

_DATE = (1980, 1, 1, 0, 0, 0)  # a zip entry has a date; ours must not, so that equal results are equal files


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and move it there when all went well; else leave nothing behind.

    Raises SessionError where the folder cannot be written or the disk is full.
    """
    # The name is known before the file is there: whenever an interruption comes, the file goes.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as fault:
        raise SessionError(
            f"{path} cannot be written: {fault.strerror or fault}; free some space or choose a folder you may write"
        ) from fault
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an uncompressed npz whole or not at all; equal arrays make equal files."""
    with written_whole(path) as temporary, NpzStream(temporary) as stream:
        for name, array in arrays.items():
            stream.begin(name, array.shape, array.dtype)
            stream.extend(array)


class NpzStream:
    """An npz written piece by piece along the first axis, for arrays that are larger than memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._member: IO[bytes] | None = None

    def begin(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Start the next array; its whole shape must be known."""
        self._end()
        self._member = self._zip.open(zipfile.ZipInfo(f"{name}.npy", _DATE), "w", force_zip64=True)
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_2_0(self._member, header)

    def extend(self, piece: NDArray[Any]) -> None:
        """Add rows to the array that was begun."""
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
            self._zip.fp = None  # a zip that could not be written is given up: it would try again when it is deleted
            self._file.close()
