"""JSON: a list of frames, each with its people and their joints by name; coordinates of missing joints are null."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.npz import written_whole
from mvcap.structures.pose_stream import Block, PoseStream

_BLOCK_FRAMES = 256
_DECIMALS = 6  # of metres: 0.001 mm


def write(take: PoseStream, path: Path) -> list[Path]:
    """Write ``<path>.json``, one line per frame, including frames without people.

    Raises SessionError if the file cannot be written.
    """
    file = path.with_name(f"{path.stem}.json")
    head = json.dumps(_head(take))
    with written_whole(file) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f'{head[:-1]}, "frames": [')
        between = "\n"
        for block in take.blocks(take.cut(_BLOCK_FRAMES)):
            for frame in _frames(take, block):
                stream.write(between + json.dumps(frame, allow_nan=False))
                between = ",\n"
        stream.write("\n]}\n")
    return [file]


def _head(take: PoseStream) -> dict[str, Any]:
    skeleton = {
        "name": take.skeleton.name,
        "joints": list(take.skeleton.joints),
        "bones": take.skeleton.bones.tolist(),
    }
    return {
        "format": "mvcap-poses-1",
        "name": take.name,
        "unit": "m",
        "axes": take.axes,
        "rate_hz": take.rate_hz,
        "joint_values": ["x", "y", "z", "score"],
        "skeleton": skeleton,
    }


def _frames(take: PoseStream, block: Block) -> Iterator[dict[str, Any]]:
    values = np.concatenate([block.xyz, block.score[..., None]], -1).astype(np.float64).round(_DECIMALS)
    present = np.asarray((block.score > 0).any(-1))
    for index in range(len(values)):
        frame = block.start + index
        persons = np.flatnonzero(present[index]).tolist()
        people = [{"id": block.part.persons[p], "joints": _joints(take, values[index, p])} for p in persons]
        yield {"frame": frame, "time_s": round(frame / take.rate_hz, _DECIMALS), "people": people}


def _joints(take: PoseStream, values: NDArray[np.float64]) -> dict[str, list[float | None]]:
    plain = [[None if value != value else value for value in joint] for joint in values.tolist()]
    return dict(zip(take.skeleton.joints, plain, strict=True))
