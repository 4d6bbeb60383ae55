"""Mappings of arrays in an npz as VideoPose3D keeps them: pickles, which are read without running any."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calib.bounded_arrays import check_expansion
from calib.bounded_files import check_pickle, reason_of
from mvcap.errors import InputError
from mvcap.structures.npz import written_whole

_ALLOWED = {"_reconstruct", "ndarray", "dtype", "_frombuffer"}


def write_mappings(path: Path, values: Mapping[str, Any]) -> None:
    """Write an npz of mappings, each an array of one object; SessionError if it cannot be written."""
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=True, **{name: np.array(value, object) for name, value in values.items()})


def read_mapping(path: Path, name: str) -> Any:
    """Return a mapping of an npz; InputError for a file that is damaged, or holds anything but arrays and values."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_expansion(path, [archive.getinfo(f"{name}.npy")])
            data = archive.read(f"{name}.npy")
        member = io.BytesIO(data)
        version = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        header(member)
        check_pickle(data[member.tell() :])
        return _ArraysOnly(member, encoding="latin1").load().item()
    except (
        *(OSError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError, EOFError),
        *(RuntimeError, SyntaxError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error),
    ) as fault:
        raise InputError(f"{path}: cannot be read as {name} ({reason_of(fault)}); make the dataset again") from fault


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays and plain values, as a pickle could otherwise run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] != "numpy" or name not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return super().find_class(module, name)
