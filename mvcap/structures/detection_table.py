"""Writers of detection files in two layouts, which the estimator ``table`` reads back.

npz: the columns of ``Detections2D`` by name, and two more arrays: ``skeleton``, its ``stored_name``, and
``view_names`` (C,), the name of each view number in the column ``view``. Nothing is lost; ``metric`` is left out where
no row has it.

parquet: one row is one person in one view at one frame. Columns: ``frame``, ``view`` (name), ``person``,
``carried``, ``box_left``, ``box_top``, ``box_right``, ``box_bottom``, and for each joint ``<joint>_x``, ``<joint>_y``,
``<joint>_score`` and ``<joint>_noise_px``. The key ``skeleton`` of the file's metadata is its ``stored_name``. The
column ``metric`` is not kept.

A file of another program may lack ``person``, ``carried``, box and noise, and its rows may be in any order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from mvcap.structures.detections import Detections2D
from mvcap.structures.npz import NpzStream, written_whole
from mvcap.structures.skeleton import Skeleton

BOX = ("box_left", "box_top", "box_right", "box_bottom")
_ROWS = 4096
"""Rows per write and per parquet row group: a few MB, independent of the size of the incoming chunks."""


def write_detections_npz(
    path: Path, tables: Iterable[Detections2D], view_names: Sequence[str], skeleton: Skeleton
) -> None:
    """Write chunks of detections in the order of frames as npz; memory does not grow with their number.

    Raises SessionError if the file cannot be written, ValueError for chunks out of order or with another skeleton.
    """
    with written_whole(path) as temporary, ExitStack() as stack:
        columns = (*Detections2D.columns(), *Detections2D.optional_columns())
        parts = {name: stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for name in columns}
        rows = 0
        given = set(Detections2D.columns())
        for table in _checked(tables, len(view_names), skeleton):
            rows += len(table)
            given |= table.arrays().keys()
            for name in columns:
                parts[name].write(table.filled(name).tobytes())
        stream = stack.enter_context(NpzStream(temporary))
        texts = {"skeleton": np.array(skeleton.stored_name), "view_names": np.array(view_names, dtype=np.str_)}
        for name, text in texts.items():
            stream.begin(name, text.shape, text.dtype)
            stream.extend(text)
        size = {"J": len(skeleton)}
        for spec in fields(Detections2D)[1:]:
            if spec.name not in given:
                continue
            shape = (rows, *(size.get(axis, axis) for axis in spec.metadata["axes"]))
            stream.begin(spec.name, shape, spec.metadata["dtype"])
            _copy(parts[spec.name], stream, spec.metadata["dtype"])


def write_detections_parquet(
    path: Path, tables: Iterable[Detections2D], view_names: Sequence[str], skeleton: Skeleton
) -> None:
    """Write chunks of detections in the order of frames as parquet, one row group at a time.

    Raises SessionError if the file cannot be written, ValueError for chunks out of order or with another skeleton.
    """
    from pyarrow import parquet

    schema = _schema(skeleton)
    with (
        written_whole(path) as temporary,
        temporary.open("wb") as sink,
        parquet.ParquetWriter(sink, schema, compression="zstd") as writer,
    ):
        for table in _in_groups(_checked(tables, len(view_names), skeleton), skeleton):
            writer.write_table(_arrow(table, view_names, schema))


def joint_columns(joint: str) -> tuple[str, str, str, str]:
    """Return the names of a joint's columns in a parquet file: x, y, score, noise."""
    return f"{joint}_x", f"{joint}_y", f"{joint}_score", f"{joint}_noise_px"


def _checked(tables: Iterable[Detections2D], views: int, skeleton: Skeleton) -> Iterator[Detections2D]:
    last = np.iinfo(np.int32).min
    for table in tables:
        if table.skeleton != skeleton:
            raise ValueError(f"a chunk has the skeleton {table.skeleton.name}, the file {skeleton.name}")
        if len(table) and (table.frame.min() < last or not 0 <= table.view.min() <= table.view.max() < views):
            raise ValueError("chunks must be in the order of frames, and each of their views needs a name")
        last = max(last, int(table.frame.max(initial=last)))
        yield table


def _copy(part: IO[bytes], stream: NpzStream, dtype: np.dtype[Any]) -> None:
    part.seek(0)
    while block := part.read(1 << 24):
        stream.extend(np.frombuffer(block, dtype=dtype))


def _in_groups(tables: Iterable[Detections2D], skeleton: Skeleton) -> Iterator[Detections2D]:
    """Yield the same rows in tables of the size of a row group."""
    waiting: list[Detections2D] = []
    for table in tables:
        waiting.append(table)
        if sum(len(part) for part in waiting) >= _ROWS:
            joined = Detections2D.concatenate(waiting, skeleton)
            full = len(joined) // _ROWS * _ROWS
            yield from (joined[start : start + _ROWS] for start in range(0, full, _ROWS))
            waiting = [joined[full:]]
    if any(len(part) for part in waiting):
        yield Detections2D.concatenate(waiting, skeleton)


def _schema(skeleton: Skeleton) -> Any:
    import pyarrow as pa

    kinds = {"frame": pa.int32(), "view": pa.string(), "person": pa.int32(), "carried": pa.int32()}
    numbers = [*BOX, *(name for joint in skeleton.joints for name in joint_columns(joint))]
    return pa.schema(
        [*kinds.items(), *((name, pa.float32()) for name in numbers)], metadata={"skeleton": skeleton.stored_name}
    )


def _arrow(table: Detections2D, view_names: Sequence[str], schema: Any) -> Any:
    import pyarrow as pa

    names = np.array(view_names, dtype=object)[table.view]
    joints = np.concatenate([table.xy, table.score[..., None], table.noise_px[..., None]], axis=-1)
    numbers = [*table.box.T, *joints.reshape(len(table), 4 * len(table.skeleton)).T]
    columns = [table.frame, names, table.person, table.carried, *(np.ascontiguousarray(column) for column in numbers)]
    return pa.table([pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)], schema=schema)
