"""Files of detection tables, read frame by frame; ``mvcap.structures.detection_table`` describes their two layouts."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import reason_of
from mvcap.errors import InputError
from mvcap.estimation.parquet_table import Columns, ParquetTable, whole_numbers
from mvcap.structures.npz import mapped_arrays
from mvcap.structures.skeleton import Skeleton, skeleton

_NEEDED = ("frame", "view", "xy", "score")
_OPTIONAL = ("person", "carried", "box", "noise_px", "metric")


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

    def sample(self, view: str, count: int) -> Columns:
        """Return the columns of some rows of a view, at least ``count`` if there are as many; may be {} without."""


def open_table(path: Path, kind: Skeleton | None = None) -> TableFile:
    """Open a file of detections, recognised by its content; InputError if it is neither npz nor parquet.

    kind: the skeleton of its rows instead of the one that the file names.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except (OSError, ValueError) as fault:
        raise InputError(
            f"table: {path} cannot be read ({reason_of(fault)}); set estimators.table.file to the detections"
        ) from fault
    if magic == b"PAR1":
        return ParquetTable(path, kind)
    if magic[:2] == b"PK":
        return NpzTable(path, kind)
    raise InputError(f"{path}: neither an npz nor a parquet file; write it with mvcap.structures.detection_table")


class NpzTable:
    """A file in the npz layout. Uncompressed arrays are memory-mapped and read on demand."""

    def __init__(self, path: Path, kind: Skeleton | None = None) -> None:
        self.path = path
        try:
            self._arrays = mapped_arrays(path, (*_NEEDED, *_OPTIONAL, "skeleton", "view_names"))
        except (OSError, ValueError) as fault:
            raise InputError(f"{path}: cannot be read, or is truncated ({reason_of(fault)}); write it again") from fault
        needed = (*_NEEDED, *(() if kind else ("skeleton",)), "view_names")
        missing = [name for name in needed if name not in self._arrays]
        if missing:
            raise InputError(f"{path}: no {', '.join(missing)} in it; write it with mvcap.structures.detection_table")
        try:
            self.skeleton = kind or skeleton(str(self._arrays["skeleton"]))
        except InputError as fault:
            raise InputError(f"{path}: {fault}") from fault
        names = self._arrays["view_names"]
        self.view_names = tuple(str(name) for name in names.ravel())
        if names.ndim != 1 or names.dtype.kind != "U" or len(set(self.view_names)) != names.size:
            raise InputError(f"{path}: view_names must be a row of names, each once; write it again")
        self._check_shapes()
        self._frame, self._view = self._whole("frame"), self._whole("view")
        if self._view.size and int(self._view.max()) >= len(self.view_names):
            raise InputError(
                f"{path}: rows are of view {self._view.max()}, but view_names has {len(self.view_names)} names "
                f"(0 to {len(self.view_names) - 1}); name every view"
            )

    def _check_shapes(self) -> None:
        rows, joints = (*self._arrays["frame"].shape, 0)[0], len(self.skeleton)
        wanted = {"box": (rows, 4), "xy": (rows, joints, 2), "score": (rows, joints), "noise_px": (rows, joints),
                  "metric": (rows, joints, 3)}  # fmt: skip
        for name in (*_NEEDED, *_OPTIONAL):
            if name not in self._arrays:
                continue
            array = self._arrays[name]
            if array.shape != wanted.get(name, (rows,)):
                raise InputError(
                    f"{self.path}: {name} has shape {array.shape}, not {wanted.get(name, (rows,))}; write it again"
                )
            if array.dtype.kind not in "fiu":
                raise InputError(f"{self.path}: {name} holds {array.dtype} instead of numbers; write it again")

    def _whole(self, name: str) -> NDArray[np.int64]:
        try:
            return whole_numbers(self._arrays[name])
        except ValueError as fault:
            raise InputError(f"{self.path}: {name} {fault}; write it again") from fault

    @cached_property
    def _order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row numbers sorted by frame and view, and their sorted keys for searching."""
        key = self._frame * len(self.view_names) + self._view
        order = np.argsort(key, kind="stable")
        return order, key[order]

    @property
    def last_frame(self) -> int:
        """Highest frame in the file; -1 without rows."""
        return int(self._frame.max(initial=-1))

    def rows(self, frame: int, view: str) -> Columns:
        """Return the columns of one frame and view, rows in the order of the file; {} for a view that it has not."""
        if view not in self.view_names:
            return {}
        order, keys = self._order
        key = frame * len(self.view_names) + self.view_names.index(view)
        return self._at(order[np.searchsorted(keys, key) : np.searchsorted(keys, key + 1)])

    def sample(self, view: str, count: int) -> Columns:
        """Return the columns of up to ``count`` rows of a view, from all over the file; {} for a view it has not."""
        if view not in self.view_names:
            return {}
        mine = np.flatnonzero(self._view == self.view_names.index(view))
        return self._at(mine[np.linspace(0, len(mine) - 1, min(count, len(mine))).astype(np.int64)])

    def _at(self, at: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        return {name: self._arrays[name][at] for name in (*_NEEDED, *_OPTIONAL) if name in self._arrays}
