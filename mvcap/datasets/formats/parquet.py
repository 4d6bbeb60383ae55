"""Parquet: a table a split, one row a person, view and frame; for pandas, polars and DuckDB.

``SPLIT.parquet``   frame, view, image, person, joints_px (2J), joints_visibility (J), joints_m (3J), joints_sigma_m
                    (J), root_depth_m, body_box (4), area_px; null where unknown, NaN within lists

The metadata of the file has skeleton, cameras, rate and units. Frames are written in row groups; a person without
truth in a view has no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calib.bounded_files import parse_json, reason_of
from mvcap.datasets.ground_truth import (
    SPLITS,
    GroundTruth,
    TruthFrame,
    bare_frame,
    image_name,
    in_memory,
    root_depth,
    shown_views,
)
from mvcap.datasets.plain_cameras import plain_rig, rig_of, text_of
from mvcap.errors import InputError
from mvcap.structures.npz import written_whole
from mvcap.structures.skeleton import skeleton

_ROWS_OF_GROUP = 4096
_KEY = b"mvcap"
_LISTS = {"joints_px": "xy", "joints_visibility": "visibility", "body_box": "box"}


class ParquetTables:
    """Parquet: a table a split, one row a person, view and frame, with all joints."""

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write ``SPLIT.parquet`` of each split, row group by row group."""
        import pyarrow as pa
        from pyarrow import parquet

        schema = _schema(truth)
        for split in truth.splits():
            with (
                written_whole(folder / f"{split}.parquet") as temporary,
                temporary.open("wb") as stream,
                parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
            ):
                held: list[dict[str, Any]] = []
                for row in _rows(truth, split):
                    held.append(row)
                    if len(held) == _ROWS_OF_GROUP:
                        writer.write_table(pa.Table.from_pylist(held, schema))
                        held = []
                writer.write_table(pa.Table.from_pylist(held, schema))

    def read(self, folder: Path) -> GroundTruth:
        """Return the dataset in a folder."""
        import pyarrow as pa
        from pyarrow import parquet

        paths = {split: folder / f"{split}.parquet" for split in SPLITS if (folder / f"{split}.parquet").exists()}
        if not paths:
            raise InputError(f"{folder}: no train.parquet, val.parquet or test.parquet in it; give a whole dataset")
        frames: list[TruthFrame] = []
        try:
            for split, path in paths.items():
                table = parquet.read_table(path)
                about = parse_json(table.schema.metadata[_KEY])
                rig, kind = rig_of(about["cameras"], path), skeleton(about["skeleton"])
                frames += _frames(table.to_pylist(), split, rig.names, len(kind))
        except (OSError, KeyError, TypeError, ValueError, IndexError, AttributeError, pa.ArrowException) as fault:
            raise InputError(f"{folder}: cannot be read as tables ({reason_of(fault)}); make it again") from fault
        return GroundTruth(about["name"], kind, rig, about["rate_hz"], in_memory(frames), suffix="")


def _schema(truth: GroundTruth) -> Any:
    import pyarrow as pa

    about = {
        "name": truth.name,
        "rate_hz": truth.rate_hz,
        "skeleton": truth.skeleton.stored_name,
        "joints": list(truth.skeleton.joints),
        "cameras": plain_rig(truth.cameras()),
        "units": {"joints_px": "px", "joints_m": "m, world", "body_box": "left, top, right, bottom px"},
    }
    numbers = pa.list_(pa.float64())
    columns = {
        "frame": pa.int64(), "view": pa.string(), "image": pa.string(), "person": pa.int32(), "joints_px": numbers,
        "joints_visibility": pa.list_(pa.uint8()), "joints_m": numbers, "joints_sigma_m": numbers,
        "root_depth_m": pa.float64(), "body_box": numbers, "area_px": pa.float64(),
    }  # fmt: skip
    return pa.schema(list(columns.items()), metadata={_KEY: text_of(about).encode()})


def _rows(truth: GroundTruth, split: str) -> Iterator[dict[str, Any]]:
    rig = truth.cameras()
    for one in truth.of_split(split):
        depth = root_depth(one, truth.skeleton, rig)
        for view in shown_views(truth, one):
            for at, person in enumerate(one.persons.tolist()):
                area, root = one.area_px[at, view], depth[at, view]
                yield {
                    "frame": one.frame,
                    "view": rig.names[view],
                    "image": image_name(rig.names[view], one.frame, truth.suffix) if truth.suffix else None,
                    "person": person,
                    "joints_m": one.xyz[at].ravel().tolist(),
                    "joints_sigma_m": one.sigma_m[at].tolist(),
                    **{key: getattr(one, column)[at, view].ravel().tolist() for key, column in _LISTS.items()},
                    "root_depth_m": float(root) if np.isfinite(root) else None,
                    "area_px": float(area) if np.isfinite(area) else None,
                }


def _frames(rows: list[dict[str, Any]], split: str, views: tuple[str, ...], joints: int) -> Iterator[TruthFrame]:
    held: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        held.setdefault(row["frame"], []).append(row)
    for frame, mine in held.items():
        persons = sorted({row["person"] for row in mine})
        out = bare_frame(frame, split, persons, np.full((len(persons), joints, 3), np.nan), len(views))
        for row in mine:
            at, view = persons.index(row["person"]), views.index(row["view"])
            out.xyz[at] = np.reshape(row["joints_m"], (joints, 3))
            out.sigma_m[at] = row["joints_sigma_m"]
            out.xy[at, view] = np.reshape(row["joints_px"], (joints, 2))
            out.visibility[at, view], out.box[at, view] = row["joints_visibility"], row["body_box"]
            out.area_px[at, view] = np.nan if row["area_px"] is None else row["area_px"]
            out.pictured[view] = row["image"] is not None
        yield out
