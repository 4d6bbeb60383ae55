"""C3D, the point format of biomechanics: all persons in one file, millimetres, residual -1 where a joint is missing.

Written directly and frame by frame: the library for it holds a file in memory whole. The format counts frames and
points in few bits, so a long take becomes several files of at most ``PART_FRAMES`` frames, and a new one begins where
more people come than fit. Parts follow each other without a gap; each says in MVCAP:FRAME_START which frame of the
take its first one is, and holds the persons seen in it.
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
    """Write ``<path>.c3d``, and ``<path>_part02.c3d`` and so on for a long take; points are labelled P1_left_hip.

    POINT:X_SCREEN and Y_SCREEN name the axes that point right and up, as C3D wants it. Scores and errors have no place
    in this format. Raises SessionError when a file cannot be written, InputError when more
    people are there at once than the format holds.
    """
    parts = list(_plan(take))
    pieces = [(number, piece) for number, part in enumerate(parts) for piece in _pieces(part)]
    blocks = zip((number for number, _ in pieces), take.blocks(piece for _, piece in pieces), strict=True)
    paths = []
    for number, numbered in groupby(blocks, key=lambda pair: pair[0]):
        file = path.with_name(f"{path.stem}.c3d" if number == 0 else f"{path.stem}_part{number + 1:02d}.c3d")
        _write_part(take, parts[number], (block for _, block in numbered), file)
        paths.append(file)
    return paths


def _plan(take: PoseStream) -> Iterator[Part]:
    """Cut the take where a part would hold too many frames or points; a first pass over the chunks."""
    people_at_most = c3d_file.POINTS_AT_MOST // len(take.skeleton)
    start, seen = 0, set[int]()
    for chunk in take.chunks():
        for frame in np.unique(chunk.frame).tolist():
            while frame - start >= PART_FRAMES:
                yield Part(start, start + PART_FRAMES, tuple(sorted(seen)))
                start, seen = start + PART_FRAMES, set()
            here = set(chunk.person[chunk.frame == frame].tolist())
            if len(here) > people_at_most:
                raise InputError(f"frame {frame}: C3D cannot hold {len(here)} people; export to parquet or csv")
            if len(seen | here) > people_at_most:
                yield Part(start, frame, tuple(sorted(seen)))
                start, seen = frame, set()
            seen |= here
    while start < take.frames:
        stop = min(start + PART_FRAMES, take.frames)
        yield Part(start, stop, tuple(sorted(seen)))
        start, seen = stop, set()


def _pieces(part: Part) -> Iterator[Part]:
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
