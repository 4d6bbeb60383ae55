"""A detection table in a parquet file, read by row groups; ``mvcap.estimation.detection_files`` opens it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import reason_of
from mvcap.errors import InputError
from mvcap.structures.detection_table import BOX, joint_columns
from mvcap.structures.skeleton import SKELETONS, Skeleton, skeleton

Columns = dict[str, NDArray[Any]]
"""Columns of ``Detections2D`` by name; only those that the file has."""

_HELD = 4
"""Maximum number of row groups of a parquet file kept in memory."""
_MOST_ROWS = 1 << 28
_MOST_GROUP_ROWS = 1 << 22  # as a group is read at once
_LARGEST = 1 << 31
_FAULTS = (OSError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, NotImplementedError, struct.error)
"""What pyarrow and the conversion of its columns raise for damaged data; its own errors are among them."""


def whole_numbers(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return numbers from 0 that count frames or views; ValueError says what is wrong with others."""
    if values.dtype.kind not in "iuf":
        raise ValueError("holds no numbers")
    if not values.size:
        return np.zeros(values.shape, np.int64)
    low, high = values.min(), values.max()
    if not (low >= 0 and high < _LARGEST):  # so for NaN
        raise ValueError(f"holds numbers from {low} to {high}; they count from 0")
    whole = values.astype(np.int64)
    if values.dtype.kind == "f" and (whole != values).any():
        raise ValueError("holds numbers that are not whole")
    return whole


class ParquetTable:
    """A file in the parquet layout; a few row groups are in memory at a time."""

    def __init__(self, path: Path, kind: Skeleton | None = None) -> None:
        from pyarrow import parquet

        self.path = path
        self._lock = threading.Lock()  # the parquet reader is not thread-safe
        self._held: dict[int, Columns] = {}
        with self._naming():
            self._file = parquet.ParquetFile(path)
            self._names = set(self._file.schema_arrow.names)
            self._check_size()
        self.skeleton = kind or self._find_skeleton()
        own = self.skeleton.labels if {f"{name}_x" for name in self.skeleton.labels} <= self._names else ()
        self._joints = own or self.skeleton.joints
        wanted = ["frame", "view", *(name for joint in self._joints for name in joint_columns(joint)[:3])]
        missing = [name for name in wanted if name not in self._names]
        if missing:
            raise InputError(
                f"{path}: no column {', '.join(missing[:20])}; see mvcap.structures.detection_table for the layout"
            )

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Name the file in an InputError for whatever damaged data raises."""
        try:
            yield
        except _FAULTS as fault:
            raise InputError(
                f"{self.path}: cannot be read, or is truncated ({reason_of(fault)}); write it again"
            ) from fault

    def _check_size(self) -> None:
        about = self._file.metadata
        largest = max((about.row_group(number).num_rows for number in range(about.num_row_groups)), default=0)
        if about.num_rows > _MOST_ROWS or largest > _MOST_GROUP_ROWS:
            raise ValueError(
                f"{about.num_rows} rows, {largest} in a row group; at most {_MOST_ROWS} and {_MOST_GROUP_ROWS} are read"
            )

    def _find_skeleton(self) -> Skeleton:
        with self._naming():
            stated = (self._file.schema_arrow.metadata or {}).get(b"skeleton", b"").decode()
        if stated:
            try:
                return skeleton(stated)
            except InputError as fault:
                raise InputError(f"{self.path}: {fault}") from fault
        joints = {name.removesuffix("_x") for name in self._names if name.endswith("_x")}
        for known in SKELETONS.values():
            if set(known.joints) == joints:
                return known
        raise InputError(
            f"{self.path}: its joints ({', '.join(sorted(joints)[:40]) or 'none'}) match no known skeleton "
            f"({', '.join(sorted(SKELETONS))}); name the columns <joint>_x, <joint>_y, <joint>_score, or set "
            "estimators.table.skeleton to a skeleton file"
        )

    @cached_property
    def _groups(self) -> list[tuple[int, int, frozenset[str]]]:
        """First frame, last frame and view names of each row group."""
        groups = []
        with self._naming():
            for number in range(self._file.num_row_groups):
                table = self._file.read_row_group(number, columns=["frame", "view"])
                frames = _frames(table)
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

    def sample(self, view: str, count: int) -> Columns:
        """Return the columns of the rows of a view in the first row groups that have ``count``; {} without rows."""
        with self._lock:
            parts: list[Columns] = []
            for number, (_, _, views) in enumerate(self._groups):
                if view not in views or sum(len(part["frame"]) for part in parts) >= count:
                    continue
                group = self._group(number)
                parts.append({name: column[group["view"] == view] for name, column in group.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def _group(self, number: int) -> Columns:
        if number not in self._held:
            while len(self._held) >= _HELD:
                del self._held[next(iter(self._held))]
            with self._naming():
                self._held[number] = self._columns(self._file.read_row_group(number))
        return self._held[number]

    def _columns(self, table: Any) -> Columns:
        def joints(which: int) -> NDArray[Any]:
            names = [joint_columns(joint)[which] for joint in self._joints]
            return np.stack([_numbers(table, name) for name in names], axis=1).astype(np.float32)

        columns: Columns = {"frame": _frames(table).astype(np.int32)}
        columns |= {name: _ids(table, name) for name in ("person", "carried") if name in self._names}
        columns["view"] = np.array(table["view"].to_pylist(), dtype=np.str_)
        with np.errstate(over="ignore"):  # to infinite, which is missing
            columns["xy"], columns["score"] = np.stack([joints(0), joints(1)], axis=-1), joints(2)
            if self._names.issuperset(BOX):
                columns["box"] = np.stack([_numbers(table, name) for name in BOX], axis=1)
            if self._names.issuperset(joint_columns(joint)[3] for joint in self._joints):
                columns["noise_px"] = joints(3)
        return columns


def _frames(table: Any) -> NDArray[np.int64]:
    if table["view"].null_count or table["frame"].null_count:
        raise ValueError("a row has no frame or no view")
    try:
        return whole_numbers(table["frame"].to_numpy())
    except ValueError as fault:
        raise ValueError(f"the column frame {fault}") from fault


def _numbers(table: Any, name: str) -> NDArray[Any]:
    values: NDArray[Any] = table[name].to_numpy()
    if values.dtype.kind not in "fiub":
        values = values.astype(np.float64)  # None and decimals; ValueError for text
    return values


def _ids(table: Any, name: str) -> NDArray[np.int32]:
    values = _numbers(table, name)
    known = (values >= -1) & (values < _LARGEST)  # False for NaN
    return np.where(known, np.where(known, values, 0), -1).astype(np.int32)
