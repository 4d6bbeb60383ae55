"""Frozen tables of parallel columns; the shapes of columns are declared once and checked on construction.

A table class declares its columns with ``column("J", 2)``: the axes after the row axis M, as letters or numbers.
``J`` is the number of joints of the table's skeleton. An optional column is None where no row has a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.skeleton import Skeleton


def column(*axes: str | int, dtype: type[np.generic] = np.float32) -> Any:
    """Declare a column (M, *axes) of a table."""
    return field(metadata={"axes": axes, "dtype": np.dtype(dtype), "optional": False}, repr=False)


def optional_column(*axes: str | int, dtype: type[np.floating] = np.float32) -> Any:
    """Declare a column that is None where all of its values would be NaN: it takes no room then, in files too."""
    return field(default=None, metadata={"axes": axes, "dtype": np.dtype(dtype), "optional": True}, repr=False)


def _columns(table: Any) -> tuple[Field[Any], ...]:
    """Return the fields of a table, or of its class, that are columns."""
    return tuple(spec for spec in fields(table) if "axes" in spec.metadata)


@dataclass(frozen=True, eq=False)
class Table:
    """Base class of the row tables; see ``Detections2D`` and ``Poses3D``."""

    skeleton: Skeleton

    def __post_init__(self) -> None:
        rows = -1
        for spec in _columns(self):
            if spec.metadata["optional"] and getattr(self, spec.name) is None:
                continue
            array = np.array(getattr(self, spec.name), dtype=spec.metadata["dtype"], order="C", copy=True)
            rows = len(array) if rows < 0 and array.ndim else rows
            expected = (rows, *(len(self.skeleton) if a == "J" else a for a in spec.metadata["axes"]))
            if array.shape != expected:
                raise ValueError(
                    f"{type(self).__name__}.{spec.name} has shape {array.shape}; expected {expected} "
                    f"(M{''.join(f', {a}' for a in spec.metadata['axes'])}) for skeleton {self.skeleton.name}"
                )
            array.setflags(write=False)
            absent = spec.metadata["optional"] and np.isnan(array).all()
            object.__setattr__(self, spec.name, None if absent else array)

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the names of the columns that are always there, in order."""
        return tuple(spec.name for spec in _columns(cls) if not spec.metadata["optional"])

    @classmethod
    def optional_columns(cls) -> tuple[str, ...]:
        """Return the names of the columns that may be None, in order."""
        return tuple(spec.name for spec in _columns(cls) if spec.metadata["optional"])

    @classmethod
    def empty(cls, skeleton: Skeleton) -> Self:
        """Return a table without rows."""
        size = {"J": len(skeleton)}
        arrays = [
            np.zeros((0, *(size.get(a, a) for a in spec.metadata["axes"])), spec.metadata["dtype"])
            for spec in _columns(cls)
            if not spec.metadata["optional"]
        ]
        return cls(skeleton, *arrays)

    @classmethod
    def concatenate(cls, tables: Sequence[Self], skeleton: Skeleton) -> Self:
        """Return the rows of all tables in order; the skeleton is needed if there are no tables."""
        if not tables:
            return cls.empty(skeleton)
        there = {name for table in tables for name in table.arrays()}
        return cls(skeleton, **{name: np.concatenate([table.filled(name) for table in tables]) for name in there})

    @classmethod
    def from_arrays(cls, skeleton: Skeleton, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make a table of named columns; KeyError names a missing one that is not optional."""
        given = {name: arrays[name] for name in cls.columns()}
        return cls(skeleton, **given, **{name: arrays[name] for name in cls.optional_columns() if name in arrays})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, without optional ones that are None."""
        given = {name: getattr(self, name) for name in (*self.columns(), *self.optional_columns())}
        return {name: array for name, array in given.items() if array is not None}

    def filled(self, name: str) -> NDArray[Any]:
        """Return a column; one that is None as an array of NaN."""
        array: NDArray[Any] | None = getattr(self, name)
        if array is not None:
            return array
        [spec] = [spec for spec in _columns(self) if spec.name == name]
        axes = (len(self.skeleton) if axis == "J" else axis for axis in spec.metadata["axes"])
        return np.full((len(self), *axes), np.nan, spec.metadata["dtype"])

    def __len__(self) -> int:
        return len(getattr(self, self.columns()[0]))

    def __getitem__(self, rows: slice | NDArray[Any] | Iterable[int]) -> Self:
        picked = rows if isinstance(rows, slice) else np.asarray(rows)
        columns = {name: array[picked] for name, array in self.arrays().items()}
        return type(self)(self.skeleton, **columns, **self._about())

    def with_columns(self, **columns: NDArray[Any] | None) -> Self:
        """Return the table with some columns replaced."""
        return type(self)(self.skeleton, **{**self.arrays(), **columns}, **self._about())

    def _about(self) -> dict[str, Any]:
        """Return the fields other than skeleton and columns, which stay when rows are selected or columns replaced."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self)[1:] if "axes" not in spec.metadata}
