"""C3D, the point format of biomechanics: all persons in one file, millimetres, residual -1 for missing joints.

The file is written directly, frame by frame, because the c3d library keeps whole files in memory. The format has few
bits for the numbers of frames and points, so a long take is split into files of at most ``PART_FRAMES`` frames, and a
new file begins when more persons appear than fit. The files are contiguous in time; each states its first frame of the
take in MVCAP:FRAME_START and contains the persons seen in its frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from mvcap.errors import InputError
from mvcap.exporters import c3d_file
from mvcap.structures.npz import written_whole
from mvcap.structures.pose_stream import Block, Part, PoseStream

PART_FRAMES = 30_000
_BLOCK_FRAMES = 256
_MM_PER_M = 1000.0
_UPWARD = {"z-up": "+Z", "y-up": "+Y"}


def write(take: PoseStream, path: Path) -> list[Path]:
    """Write ``<path>.c3d``, and ``<path>_part02.c3d`` etc. for a long take; points are labelled like P1_left_hip.

    POINT:X_SCREEN and Y_SCREEN state the axes that point right and up, as C3D requires. The format has no fields for
    scores and errors. Raises SessionError if a file cannot be written, InputError if one frame has more people than
    the format can hold.
    """
    parts = list(_plan(take))
    ranges = [(number, block) for number, part in enumerate(parts) for block in _block_ranges(part)]
    blocks = zip((number for number, _ in ranges), take.blocks(block for _, block in ranges), strict=True)
    paths = []
    for number, numbered in groupby(blocks, key=lambda pair: pair[0]):
        file = path.with_name(f"{path.stem}.c3d" if number == 0 else f"{path.stem}_part{number + 1:02d}.c3d")
        _write_part(take, parts[number], (block for _, block in numbered), file)
        paths.append(file)
    return paths


def _plan(take: PoseStream) -> Iterator[Part]:
    """Yield the parts of the take, each within the format's limits of frames and points, in a first pass over it."""
    people_at_most = c3d_file.POINTS_AT_MOST // len(take.skeleton)
    start, seen = 0, set[int]()
    for chunk in take.chunks():
        for frame in np.unique(chunk.frame).tolist():
            while frame - start >= PART_FRAMES:
                yield Part(start, start + PART_FRAMES, tuple(sorted(seen)))
                start, seen = start + PART_FRAMES, set()
            present = set(chunk.person[chunk.frame == frame].tolist())
            if len(present) > people_at_most:
                raise InputError(f"frame {frame}: C3D cannot hold {len(present)} people; export to parquet or csv")
            if len(seen | present) > people_at_most:
                yield Part(start, frame, tuple(sorted(seen)))
                start, seen = frame, set()
            seen |= present
    while start < take.frames:
        stop = min(start + PART_FRAMES, take.frames)
        yield Part(start, stop, tuple(sorted(seen)))
        start, seen = stop, set()


def _block_ranges(part: Part) -> Iterator[Part]:
    for start in range(part.start, part.stop, _BLOCK_FRAMES):
        yield Part(start, min(start + _BLOCK_FRAMES, part.stop), part.persons)


def _write_part(take: PoseStream, part: Part, blocks: Iterator[Block], path: Path) -> None:
    labels = [f"P{person}_{joint}" for person in part.persons for joint in take.skeleton.joints]
    notes: dict[str, str | float] = {
        "AXES": take.axes,
        "SKELETON": take.skeleton.name,
        "FRAME_START": float(part.start),
    }
    screen = ("+X", _UPWARD[take.axes])
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        stream.write(c3d_file.preamble(labels, part.stop - part.start, take.rate_hz, "mm", screen, notes))
        for block in blocks:
            stream.write(c3d_file.point_frames(block.xyz.reshape(len(block.xyz), -1, 3) * _MM_PER_M))
        stream.write(c3d_file.padding(stream.tell()))
