"""SLEAP's analysis files, HDF5 and CSV.

HDF5: ``tracks`` (tracks, 2, nodes, frames) px, or with these axes in the order of its attribute ``dims``;
``point_scores`` (tracks, nodes, frames); ``node_names``. CSV: a line for each instance: ``track``, ``frame_idx``,
``instance.score``, then ``NODE.x``, ``NODE.y``, ``NODE.score`` of each node.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

_AXES = {"track": "track", "tracks": "track", "node": "node", "nodes": "node", "frame": "frame", "frames": "frame",
         "xy": "xy", "space": "xy", "coord": "xy", "coords": "xy"}  # fmt: skip


def read_sleap(path: Path) -> PointTable:
    """Read an analysis file of SLEAP, CSV or HDF5; InputError names the file and what is wrong."""
    with naming(path, "SLEAP"):
        return _of_csv(path) if path.suffix.lower() == ".csv" else _of_hdf5(path)


def _of_hdf5(path: Path) -> PointTable:
    with open_hdf5(path) as file:
        if "tracks" not in file or "node_names" not in file:
            raise ValueError("no 'tracks' and 'node_names' in it; export it from SLEAP as analysis HDF5")
        names = tuple(texts_of(hdf5_array(file, "node_names", path)))
        xy = hdf5_array(file, "tracks", path).astype(np.float64)
        dims = _dims(file["tracks"].attrs.get("dims"), ("track", "xy", "node", "frame"))
        tracked = bool(texts_of(hdf5_array(file, "track_names", path))) if "track_names" in file else False
        xy = _ordered(xy, dims, ("frame", "track", "node", "xy"))
        if xy.shape[2:] != (len(names), 2):
            raise ValueError(f"its tracks have the shape {xy.shape}, not that of {len(names)} nodes")
        score = np.full(xy.shape[:3], np.nan)
        if "point_scores" in file:
            given = hdf5_array(file, "point_scores", path).astype(np.float64)
            given_dims = _dims(file["point_scores"].attrs.get("dims"), tuple(dim for dim in dims if dim != "xy"))
            score = _ordered(given, given_dims, ("frame", "track", "node"))
            if score.shape != xy.shape[:3]:
                raise ValueError("its point_scores have another shape than its tracks")
    frames, people = xy.shape[:2]
    there = np.flatnonzero(np.isfinite(xy).all(-1).any(-1).ravel())
    frame, track = np.divmod(there, max(people, 1))
    carried = track if tracked else np.full(len(track), -1)
    flat = (frames * people, len(names))
    return PointTable(names, frame, carried, xy.reshape(*flat, 2)[there], score.reshape(flat)[there])


def _dims(stated: Any, usual: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the axes that an attribute states, else the usual ones."""
    if stated is None:
        return usual
    text = stated.decode() if isinstance(stated, bytes) else stated
    listed = json.loads(text) if isinstance(text, str) else texts_of(np.asarray(text))
    axes = tuple(_AXES.get(str(name), "") for name in listed)
    if sorted(axes) != sorted(usual):
        raise ValueError(f"its axes are {', '.join(map(str, listed))[:80]}, not {', '.join(usual)}")
    return axes


def _ordered(values: NDArray[np.float64], dims: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.float64]:
    if values.ndim != len(wanted):
        raise ValueError(f"an array of {values.ndim} axes where there are {len(wanted)}")
    return values.transpose([dims.index(axis) for axis in wanted])


def _of_csv(path: Path) -> PointTable:
    head = csv_head(path, 1)
    cells = head[0] if head else []
    if "track" not in cells or "frame_idx" not in cells:
        raise ValueError("no columns 'track' and 'frame_idx'; export it from SLEAP as analysis CSV")
    names = tuple(dict.fromkeys(cell.removesuffix(".x") for cell in cells if cell.endswith(".x")))
    at = {cell: number for number, cell in enumerate(cells)}
    if len(at) != len(cells) or not all(f"{name}.y" in at for name in names) or not names:
        raise ValueError("its columns are not NODE.x, NODE.y and NODE.score of each node")
    columns = csv_columns(path, 1, len(cells), [at["track"]])
    tracks = [str(one) for one in columns[at["track"]]]
    ids = {name: number for number, name in enumerate(dict.fromkeys(name for name in tracks if name))}
    carried = np.array([ids.get(name, -1) for name in tracks], np.int64)
    xy = np.stack([np.stack([columns[at[f"{name}.{axis}"]] for name in names], 1) for axis in "xy"], axis=-1)
    nothing = np.full(len(tracks), np.nan)
    score = np.stack([columns[at[f"{name}.score"]] if f"{name}.score" in at else nothing for name in names], axis=1)
    return PointTable(names, frames_of(columns[at["frame_idx"]]), carried, xy, score)
