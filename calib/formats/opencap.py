"""OpenCap's `cameraIntrinsicsExtrinsics.pickle`, one for each camera; only read, and never executed.

A pickle can run any program. Here it is parsed by an unpickler that accepts numpy arrays only, as stand-ins without
calling numpy, and refuses every other name. Keys (source: readers and a writer of others; not tested on a real file):
distortion (1, 5), intrinsicMat, imageSize (height, width), rotation, translation in millimetres; x_cam = R X + t. The
world is that of a board on a wall, y down along it, z into the wall; it is turned about x so that z is up: x, y, z = X,
Z, -Y. A camera is named after its file, or after its folder where the file has OpenCap's name.
"""

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from calib.bounded_files import bounded_bytes, check_pickle, reason_of
from calib.camera import Camera
from calib.errors import RigFileError
from calib.formats.parts import Sizes, camera, mapping, naming, needed, numbers, placed_only, rotation
from calib.formats.parts import rig as rig_of
from calib.rig import Rig

DECLARES_UNIT = True
_METRES = 0.001
_TURN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_NAME = "cameraIntrinsicsExtrinsics"
_MOST_BYTES = 1_000_000
_MOST_ENTRIES = 100
_NUMBERS = ("f4", "f8", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
# What a damaged or hostile pickle can raise while it is parsed.
_FAULTS = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, ImportError),
    *(ArithmeticError, MemoryError, RecursionError),
)


def sniff(path: Path) -> bool:
    """Whether the path is named as a pickle, or is a folder with pickles."""
    return bool(_files(path))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted([*path.glob("*.pickle"), *path.glob(f"*/{_NAME}.pickle")])
    return [path] if path.suffix.lower() in (".pickle", ".pkl") else []


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in metres with z up, of a file or of all files of a folder; they hold the image sizes."""
    files = _files(path) if path.is_dir() else [path]
    sections = {_name(file): mapping(_load(file), file, "the pickle") for file in files}
    placed, unplaced = placed_only(sections, "rotation", "translation", lens="distortion")
    return rig_of(path, _cameras(placed, {_name(file): file for file in files}), unplaced)


def _name(file: Path) -> str:
    return file.parent.name if file.stem == _NAME else file.stem


def _cameras(sections: dict[str, dict[str, object]], files: dict[str, Path]) -> Iterator[Camera]:
    for name, section in sections.items():
        with naming(files[name]):
            keys = ("imageSize", "intrinsicMat", "distortion", "rotation", "translation")
            size, K, distortion, R, t = (needed(section, key, name) for key in keys)
            height, width = numbers(size, (2,), f"camera {name!r}: imageSize")
            R = rotation(numbers(R, (3, 3), f"camera {name!r}: rotation"), f"camera {name!r}: rotation") @ _TURN.T
            t = numbers(t, (3,), f"camera {name!r}: translation") * _METRES
            yield camera(name, (width, height), K, distortion, R, t)


def _load(path: Path) -> object:
    try:
        data = bounded_bytes(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise RigFileError(f"{path}: cannot be read ({reason_of(error)}); give OpenCap's {_NAME}.pickle") from None
    try:
        check_pickle(data)
        return _plain(_SafeUnpickler(io.BytesIO(data)).load())
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:200]
        raise RigFileError(f"{path}: not a pickle of plain arrays ({reason}); give OpenCap's {_NAME}.pickle") from None


class _StandIn:
    """An array, or a type of number, as the pickle lists it: numpy is not called with a file's values."""

    def __init__(self, *made_of: object) -> None:
        self.made_of = made_of
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _SafeUnpickler(pickle.Unpickler):
    """An unpickler that replaces the constituents of numpy's arrays by stand-ins and refuses everything else."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)

        def pieces(*made_of: object) -> _StandIn:
            return _StandIn(*made_of)

        def encoded(text: str, encoding: str) -> bytes:
            if encoding != "latin1":
                raise pickle.UnpicklingError(f"text in {encoding}")
            return text.encode("latin1")

        arrays = {(f"numpy.{core}.multiarray", "_reconstruct"): pieces for core in ("core", "_core")}
        buffers = {(f"numpy.{core}.numeric", "_frombuffer"): pieces for core in ("core", "_core")}
        self._known: dict[tuple[str, str], Callable[..., object]] = {
            **arrays,
            **buffers,
            ("numpy", "ndarray"): pieces,
            ("numpy", "dtype"): pieces,
            ("_codecs", "encode"): encoded,
        }

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """A stand-in; UnpicklingError for everything that is not on the list."""
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not run")
        return self._known[module, name]

    def persistent_load(self, key: object) -> NoReturn:
        """Raise UnpicklingError: external objects are refused."""
        raise pickle.UnpicklingError("it asks for external objects")


def _plain(value: object) -> object:
    """A mapping of numbers as they are and of stand-ins as arrays; ValueError and the like for anything else."""
    if not isinstance(value, dict) or len(value) > _MOST_ENTRIES:
        raise ValueError("not one mapping of arrays and numbers")
    return {key: _value(entry) for key, entry in value.items()}


def _value(entry: object, depth: int = 0) -> object:
    if isinstance(entry, list | tuple):  # what contains itself, or one value many times, ends at the third level
        if depth == 2 or len(entry) > _MOST_ENTRIES:
            raise ValueError("lists that are no matrix")
        return [_value(one, depth + 1) for one in entry]
    if isinstance(entry, dict | set):
        raise ValueError("mappings in a mapping")
    return _array(entry) if isinstance(entry, _StandIn) else entry


def _array(value: _StandIn) -> object:
    if isinstance(value.state, tuple):  # (version, shape, kind, by columns, bytes), numpy's __reduce__
        _, shape, kind, by_columns, data = value.state
    else:  # (bytes, kind, shape, order), numpy's __reduce_ex__ of protocol 5
        data, kind, shape, order = value.made_of
        by_columns = order == "F"
    if not isinstance(kind, _StandIn) or kind.made_of[0] not in _NUMBERS or not isinstance(kind.state, tuple):
        raise ValueError("not of numbers")
    order = ">" if kind.state[1] == ">" else "<"
    flat = np.frombuffer(bytes(data), np.dtype(f"{order}{kind.made_of[0]}"))
    return np.asarray(flat.reshape(shape, order="F" if by_columns else "C"), np.float64)
