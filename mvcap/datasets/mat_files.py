"""MATLAB files of level 5: written whole with a constant header, read without running anything."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import bounded_bytes, reason_of
from mvcap.datasets.plain_cameras import MOST_BYTES
from mvcap.errors import InputError
from mvcap.structures.npz import written_whole

_HEADER = b"MATLAB 5.0 MAT-file, written by mvcap".ljust(116)


def write_mat(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays, cells (arrays of objects) and structs (dicts); equal ones give identical files.

    SessionError if the file cannot be written.
    """
    from scipy.io import savemat

    with written_whole(path) as temporary:
        savemat(str(temporary), dict(arrays), appendmat=False, do_compression=True, oned_as="row")
        with temporary.open("r+b") as stream:
            stream.write(_HEADER)  # scipy's has the date


def read_mat(path: Path, name: str) -> Any:
    """Return one variable of a MATLAB file; InputError for a file that is damaged or lacks it."""
    import io

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(io.BytesIO(bounded_bytes(path, MOST_BYTES)), variable_names=[name])[name]
    except (
        *(OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, NotImplementedError),
        *(AttributeError, MatReadError, zlib.error, struct.error),
    ) as fault:
        raise InputError(
            f"{path}: cannot be read as MATLAB's file of {name} ({reason_of(fault)}); make it again"
        ) from fault


def cells(shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a cell array of a shape, to be filled."""
    return np.empty(shape, object)
