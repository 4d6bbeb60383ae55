"""Files of detection tables, read frame by frame; ``mvcap.structures.detection_table`` describes their two layouts."""

from __future__ import annotations

import struct
import threading
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.detection_table import BOX, joint_columns
from mvcap.structures.skeleton import SKELETONS, Skeleton, skeleton

Columns = dict[str, NDArray[Any]]
"""Columns of ``Detections2D`` by name; only those that the file has."""

_NEEDED = ("frame", "view", "xy", "score")
_OPTIONAL = ("person", "carried", "box", "noise_px")
_HELD = 4
"""Maximum number of row groups of a parquet file kept in memory."""


class TableFile(Protocol):
    """A file of detections with access to the rows of one frame and view."""

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of its rows."""

    @property
    def view_names(self) -> tuple[str, ...]:
        """Names of the views in the file."""

    @property
    def last_frame(self) -> int:
        """Highest frame in the file; -1 without rows."""

    def rows(self, frame: int, view: str) -> Columns:
        """Return the columns of one frame and view, rows in the order of the file; may be {} without rows."""


def open_table(path: Path) -> TableFile:
    """Open a file of detections, recognised by its content; InputError if it is neither npz nor parquet."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as fault:
        raise InputError(
            f"table: {path} cannot be read ({fault.strerror}); set estimators.table.file to the detections"
        ) from fault
    if magic == b"PAR1":
        return ParquetTable(path)
    if magic[:2] == b"PK":
        return NpzTable(path)
    raise InputError(f"{path}: neither an npz nor a parquet file; write it with mvcap.structures.detection_table")


class NpzTable:
    """A file in the npz layout. Uncompressed arrays are memory-mapped and read on demand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._arrays = _mapped_arrays(path)
        except (OSError, ValueError, zipfile.BadZipFile, struct.error) as fault:
            raise InputError(f"{path}: cannot be read, or is truncated ({fault}); write it again") from fault
        missing = [name for name in (*_NEEDED, "skeleton", "view_names") if name not in self._arrays]
        if missing:
            raise InputError(f"{path}: no {', '.join(missing)} in it; write it with mvcap.structures.detection_table")
        self.skeleton = skeleton(str(self._arrays["skeleton"]))
        self.view_names = tuple(str(name) for name in self._arrays["view_names"])
        self._check_shapes()

    def _check_shapes(self) -> None:
        rows, joints = len(self._arrays["frame"]), len(self.skeleton)
        wanted = {"box": (rows, 4), "xy": (rows, joints, 2), "score": (rows, joints), "noise_px": (rows, joints)}
        for name in (*_NEEDED, *_OPTIONAL):
            if name in self._arrays and (shape := self._arrays[name].shape) != wanted.get(name, (rows,)):
                raise InputError(
                    f"{self.path}: {name} has shape {shape}, not {wanted.get(name, (rows,))}; write it again"
                )

    @cached_property
    def _order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row numbers sorted by frame and view, and their sorted keys for searching."""
        key = np.asarray(self._arrays["frame"], np.int64) * len(self.view_names) + self._arrays["view"]
        order = np.argsort(key, kind="stable")
        return order, key[order]

    @property
    def last_frame(self) -> int:
        """Highest frame in the file; -1 without rows."""
        return int(np.max(self._arrays["frame"], initial=-1))

    def rows(self, frame: int, view: str) -> Columns:
        """Return the columns of one frame and view, rows in the order of the file."""
        order, keys = self._order
        key = frame * len(self.view_names) + self.view_names.index(view)
        at = order[np.searchsorted(keys, key) : np.searchsorted(keys, key + 1)]
        return {name: self._arrays[name][at] for name in (*_NEEDED, *_OPTIONAL) if name in self._arrays}


def _mapped_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as loaded:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        return {
            name: _mapped(path, info) if info.compress_type == zipfile.ZIP_STORED else loaded[name]
            for name, info in members.items()
            if name in (*_NEEDED, *_OPTIONAL, "skeleton", "view_names")
        }


def _mapped(path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Return a memory-mapped array of an uncompressed zip member."""
    with path.open("rb") as stream:
        stream.seek(info.header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", stream.read(4))
        stream.seek(name_length + extra_length, 1)
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read_header(stream)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} contains Python objects")
        if not np.prod(shape, dtype=np.int64):
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", stream.tell(), shape, "F" if by_columns else "C")


class ParquetTable:
    """A file in the parquet layout; a few row groups are in memory at a time."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self.path = path
        self._lock = threading.Lock()  # the parquet reader is not thread-safe
        self._held: dict[int, Columns] = {}
        try:
            self._file = parquet.ParquetFile(path)
        except (OSError, ValueError) as fault:
            raise InputError(f"{path}: cannot be read, or is truncated ({fault}); write it again") from fault
        self._names = set(self._file.schema_arrow.names)
        self.skeleton = self._find_skeleton()
        wanted = ["frame", "view", *(name for joint in self.skeleton.joints for name in joint_columns(joint)[:3])]
        missing = [name for name in wanted if name not in self._names]
        if missing:
            raise InputError(
                f"{path}: no column {', '.join(missing)}; see mvcap.structures.detection_table for the layout"
            )

    def _find_skeleton(self) -> Skeleton:
        stated = (self._file.schema_arrow.metadata or {}).get(b"skeleton")
        if stated:
            return skeleton(stated.decode())
        joints = {name.removesuffix("_x") for name in self._names if name.endswith("_x")}
        for known in SKELETONS.values():
            if set(known.joints) == joints:
                return known
        raise InputError(
            f"{self.path}: its joints ({', '.join(sorted(joints)) or 'none'}) match no known skeleton "
            f"({', '.join(sorted(SKELETONS))}); name the columns <joint>_x, <joint>_y, <joint>_score"
        )

    @cached_property
    def _groups(self) -> list[tuple[int, int, frozenset[str]]]:
        """First frame, last frame and view names of each row group."""
        groups = []
        for number in range(self._file.num_row_groups):
            table = self._file.read_row_group(number, columns=["frame", "view"])
            frames = table["frame"].to_numpy().astype(np.int64)
            views = frozenset(str(name) for name in table["view"].unique().to_pylist())
            groups.append((int(frames.min(initial=1 << 31)), int(frames.max(initial=-1)), views))
        return groups

    @cached_property
    def view_names(self) -> tuple[str, ...]:
        """Names of the views in the file."""
        return tuple(sorted(frozenset[str]().union(*(views for _, _, views in self._groups))))

    @property
    def last_frame(self) -> int:
        """Highest frame in the file; -1 without rows."""
        return max((last for _, last, _ in self._groups), default=-1)

    def rows(self, frame: int, view: str) -> Columns:
        """Return the columns of one frame and view, rows in the order of the file; {} without rows."""
        with self._lock:
            numbers = [
                n for n, (first, last, views) in enumerate(self._groups) if first <= frame <= last and view in views
            ]
            parts = []
            for number in numbers:
                group = self._group(number)
                mine = (group["frame"] == frame) & (group["view"] == view)
                parts.append({name: column[mine] for name, column in group.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def _group(self, number: int) -> Columns:
        if number not in self._held:
            while len(self._held) >= _HELD:
                del self._held[next(iter(self._held))]
            self._held[number] = self._columns(self._file.read_row_group(number))
        return self._held[number]

    def _columns(self, table: Any) -> Columns:
        def joints(which: int) -> NDArray[Any]:
            names = [joint_columns(joint)[which] for joint in self.skeleton.joints]
            return np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32)

        columns = {name: table[name].to_numpy() for name in ("frame", "person", "carried") if name in self._names}
        columns["view"] = np.array(table["view"].to_pylist(), dtype=np.str_)
        columns["xy"], columns["score"] = np.stack([joints(0), joints(1)], axis=-1), joints(2)
        if self._names.issuperset(BOX):
            columns["box"] = np.stack([table[name].to_numpy() for name in BOX], axis=1)
        if self._names.issuperset(joint_columns(joint)[3] for joint in self.skeleton.joints):
            columns["noise_px"] = joints(3)
        return columns
