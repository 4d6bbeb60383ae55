"""DeepLabCut's tables, CSV and HDF5: results of one or several animals, and labels (``CollectedData_...``).

CSV: lines ``scorer``, ``individuals`` (only of several), ``bodyparts``, ``coords``, then a line for each frame; labels
have the names of images in place of frames and no likelihood. HDF5: the same table as pandas writes it, in its formats
``table`` and ``fixed``; the names of its columns are pickled lists of text, read without executing anything.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import check_pickle
from mvcap.estimation.point_tables import (
    PointTable,
    csv_columns,
    csv_head,
    frames_of,
    hdf5_array,
    naming,
    open_hdf5,
    texts_of,
)

_COORDS = ("x", "y", "likelihood")
_UNIQUE = "single"  # DeepLabCut's individual for points that only one has, such as corners of the room
_MOST_PICKLE = 1 << 24
Column = tuple[str, str, str]
"""Individual ("" without), body part, coordinate."""


def read_deeplabcut(path: Path) -> PointTable:
    """Read a table of DeepLabCut, CSV or HDF5; InputError names the file and what is wrong."""
    with naming(path, "DeepLabCut"):
        columns, frames, values = _of_csv(path) if path.suffix.lower() == ".csv" else _of_hdf5(path)
        return _table(columns, frames, values)


def _of_csv(path: Path) -> tuple[list[Column], NDArray[np.int64], NDArray[np.float64]]:
    head = csv_head(path, 4)
    lines = {row[0]: row for row in head if row and row[0] in ("scorer", "individuals", "bodyparts", "coords")}
    if not {"bodyparts", "coords"} <= set(lines):
        raise ValueError("no lines 'bodyparts' and 'coords' at its beginning")
    coords = lines["coords"]
    index = next((at for at, cell in enumerate(coords) if cell in _COORDS), 0)
    width = {len(row) for row in lines.values()}
    if not index or len(width) != 1:
        raise ValueError("its lines 'bodyparts' and 'coords' do not fit each other")
    individuals = lines.get("individuals", [""] * len(coords))
    columns = list(zip(individuals[index:], lines["bodyparts"][index:], coords[index:], strict=True))
    cells = csv_columns(path, len(lines), len(coords), range(index))
    return columns, frames_of(cells[index - 1]), np.stack(cells[index:], axis=1)


def _of_hdf5(path: Path) -> tuple[list[Column], NDArray[np.int64], NDArray[np.float64]]:
    with open_hdf5(path) as file:
        groups = [name for name in file if type(file.get(name, getlink=True)).__name__ == "HardLink"]
        group = next((file[name] for name in groups if "pandas_type" in file[name].attrs), None)
        if group is None:
            raise ValueError("no table of pandas in it; SLEAP's files are read by the estimator sleap")
        names, frames, values = _of_table(group, path) if "table" in group else _of_fixed(group, path)
    columns = [(name[-3] if len(name) > 3 else "", name[-2], name[-1]) for name in names]
    return columns, frames, values


def _of_table(group: Any, path: Path) -> tuple[list[tuple[str, ...]], NDArray[np.int64], NDArray[np.float64]]:
    rows = hdf5_array(group, "table", path)
    if not rows.dtype.names:
        raise ValueError("its table has no columns")
    names: list[tuple[str, ...]] = []
    blocks = []
    for block in (field for field in rows.dtype.names if field.startswith("values_block_")):
        names += _names(group["table"].attrs[f"{block}_kind"])
        blocks.append(np.asarray(rows[block], np.float64).reshape(len(rows), -1))
    if not blocks:
        raise ValueError("its table has no values")
    return names, frames_of(_plain(rows["index"])), np.concatenate(blocks, axis=1)


def _of_fixed(group: Any, path: Path) -> tuple[list[tuple[str, ...]], NDArray[np.int64], NDArray[np.float64]]:
    names: list[tuple[str, ...]] = []
    blocks = []
    for block in range(int(group.attrs["nblocks"])):
        names += list(zip(*_levels(group, f"block{block}_items", path), strict=True))
        blocks.append(np.asarray(hdf5_array(group, f"block{block}_values", path), np.float64))
    if not blocks:
        raise ValueError("its table has no values")
    index = (
        np.array(_levels(group, "axis1", path)[-1])
        if "axis1_level0" in group
        else _plain(hdf5_array(group, "axis1", path))
    )
    return names, frames_of(index), np.concatenate(blocks, axis=1)


def _levels(group: Any, axis: str, path: Path) -> list[list[str]]:
    """Return the texts of each level of an axis with several."""
    levels = []
    for level in range(int(group.attrs[f"{axis}_nlevels"])):
        texts = texts_of(hdf5_array(group, f"{axis}_level{level}", path))
        at = hdf5_array(group, f"{axis}_label{level}", path).astype(np.int64)
        levels.append([texts[one] for one in at.tolist()])
    return levels


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    return np.array(texts_of(values)) if values.dtype.kind in "SO" else values


class _Texts(pickle.Unpickler):
    """Unpickles only lists of text and numbers."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no text")


def _names(pickled: Any) -> list[tuple[str, ...]]:
    """Return the names of columns, which PyTables pickles."""
    data = bytes(np.asarray(pickled).item())
    if len(data) > _MOST_PICKLE:
        raise ValueError("the names of its columns are too long")
    check_pickle(data)
    try:
        found = _Texts(io.BytesIO(data), encoding="utf-8").load()
    except (pickle.UnpicklingError, EOFError, RecursionError, ImportError) as fault:
        raise ValueError(f"the names of its columns cannot be read ({fault}); export it as CSV") from fault
    if not isinstance(found, list) or not all(isinstance(name, tuple) and len(name) >= 2 for name in found):
        raise ValueError("its columns have no body parts")
    return [tuple(str(part) for part in name) for name in found]


def _table(columns: Sequence[Column], frames: NDArray[np.int64], values: NDArray[np.float64]) -> PointTable:
    if values.ndim != 2 or values.shape != (len(frames), len(columns)):
        raise ValueError("its columns do not fit their names")
    if unknown := sorted({coordinate for _, _, coordinate in columns} - set(_COORDS)):
        raise ValueError(f"a coordinate {unknown[0][:40]!r}, where x, y and likelihood are known")
    at = {column: number for number, column in enumerate(columns)}
    if len(at) != len(columns):
        raise ValueError("a column is there twice, as of two scorers")
    people = list(dict.fromkeys(individual for individual, _, _ in columns))
    people = [person for person in people if person != _UNIQUE] or people
    names = tuple(dict.fromkeys(part for person, part, _ in columns if person in people))
    padded = np.concatenate([values, np.full((len(frames), 1), np.nan)], axis=1)  # the last column: not there
    where = np.array([[[at.get((who, part, c), -1) for c in _COORDS] for part in names] for who in people], np.int64)
    cells = padded[:, where.reshape(-1)].reshape(-1, len(names), 3)
    ids = np.arange(len(people)) if len(people) > 1 else np.full(1, -1)
    return PointTable(
        names, np.repeat(frames, len(people)), np.tile(ids, len(frames)), cells[..., :2].copy(), cells[..., 2].copy()
    )
