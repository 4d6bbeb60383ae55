"""The long table of the CSV and parquet exports: one row is one joint of one person at one frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mvcap.structures.pose_stream import PoseStream
from mvcap.structures.poses import Poses3D, missing_joints, sigma_m

COLUMNS = ("frame", "time_s", "person", "joint", "x_m", "y_m", "z_m", "score", "error_px", "views", "sigma_m")
_BATCH_ROWS = 4096  # rows of persons per batch; bounds memory independently of the chunk size


def unit_notes(take: PoseStream) -> dict[str, str]:
    """Return unit, axes, rate, skeleton, number of frames and name of the take as text, for the file's metadata."""
    return {
        "unit": "m",
        "axes": take.axes,
        "rate_hz": repr(float(take.rate_hz)),
        "skeleton": take.skeleton.name,
        "frames": str(take.frames),
        "take": take.name,
    }


def schema() -> Any:
    """Return the Arrow schema of the table; null is missing or unknown."""
    import pyarrow as pa

    integers = {"frame": pa.int32(), "person": pa.int32(), "views": pa.uint8()}
    kinds = {**integers, "time_s": pa.float64(), "joint": pa.string()}
    return pa.schema([(name, kinds.get(name, pa.float32())) for name in COLUMNS])


def batches(take: PoseStream) -> Iterator[Any]:
    """Yield Arrow record batches of the take in its axes, in the order of its rows."""
    for chunk in take.turned():
        for first in range(0, len(chunk), _BATCH_ROWS):
            yield _batch(chunk[first : first + _BATCH_ROWS], take.rate_hz)


def _batch(rows: Poses3D, rate_hz: float) -> Any:
    import pyarrow as pa

    joints = len(rows.skeleton)
    frame = np.repeat(rows.frame, joints)
    missing = missing_joints(rows.xyz)
    number = pa.array(np.tile(np.arange(joints, dtype=np.int32), len(rows)))
    xyz = np.where(missing[..., None], np.nan, rows.xyz).reshape(-1, 3)
    columns = {
        "frame": frame,
        "time_s": frame / rate_hz,
        "person": np.repeat(rows.person, joints),
        "joint": pa.DictionaryArray.from_arrays(number, list(rows.skeleton.joints)).cast(pa.string()),
        **{name: np.ascontiguousarray(xyz[:, axis]) for axis, name in enumerate(("x_m", "y_m", "z_m"))},
        "score": rows.score.ravel(),
        "error_px": np.where(missing, np.nan, rows.error_px).astype(np.float32).ravel(),
        "views": np.where(missing, 0, rows.views).astype(np.uint8).ravel(),
        "sigma_m": sigma_m(rows).ravel(),
    }
    arrays = [
        columns[name] if name == "joint" else pa.array(columns[name], field.type, from_pandas=True)
        for name, field in zip(COLUMNS, schema(), strict=True)
    ]
    return pa.record_batch(arrays, schema=schema())
