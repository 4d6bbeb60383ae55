"""TRC, the marker format of OpenSim: one tab-separated text file per person, metres; missing joints are NaN.

An empty cell is a missing marker for many programs too, but OpenSim does not count one at the end of a line, and then
refuses the file. NaN is what OpenSim writes itself.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.npz import written_whole
from mvcap.structures.pose_stream import PoseStream

_FILES_AT_ONCE = 32  # persons written in one pass over the take; the number of open files is limited
_BLOCK_FRAMES = 512


def write(take: PoseStream, path: Path) -> list[Path]:
    """Write ``<path>_person01.trc`` etc., one file per person; every frame of the take has a line, counted from 1.

    The first line states the axes, after the file name. Raises SessionError if a file cannot be written.
    """
    paths = [path.with_name(f"{path.stem}_person{person:02d}.trc") for person in take.persons]
    for first in range(0, len(paths), _FILES_AT_ONCE):
        _write_persons(take, take.persons[first : first + _FILES_AT_ONCE], paths[first : first + _FILES_AT_ONCE])
    return paths


def _write_persons(take: PoseStream, persons: tuple[int, ...], paths: list[Path]) -> None:
    with ExitStack() as stack:
        files = []
        for file in paths:
            temporary = stack.enter_context(written_whole(file))
            files.append(stack.enter_context(temporary.open("w", encoding="utf-8", newline="\n")))
        for file, stream in zip(paths, files, strict=True):
            stream.write(_header(take, file.name))
        for block in take.blocks(take.cut(_BLOCK_FRAMES, persons)):
            for index, stream in enumerate(files):
                _write_lines(stream, block.start, block.xyz[:, index], take.rate_hz)


def _header(take: PoseStream, file_name: str) -> str:
    rate = f"{take.rate_hz:.10g}"
    fields = {
        "DataRate": rate,
        "CameraRate": rate,
        "NumFrames": str(take.frames),
        "NumMarkers": str(len(take.skeleton)),
        "Units": "m",
        "OrigDataRate": rate,
        "OrigDataStartFrame": "1",
        "OrigNumFrames": str(take.frames),
    }
    numbers = range(1, len(take.skeleton) + 1)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{_label(file_name)}\taxes={take.axes}",
        "\t".join(fields),
        "\t".join(fields.values()),
        "Frame#\tTime\t" + "\t\t\t".join(map(_label, take.skeleton.joints)) + "\t\t",
        "\t\t" + "\t".join(f"X{n}\tY{n}\tZ{n}" for n in numbers),
        "",
    ]
    return "\n".join(lines) + "\n"


def _label(name: str) -> str:
    """A name without the characters that end a cell or a line."""
    return name.translate(str.maketrans("\t\r\n", "___"))


def _write_lines(stream: TextIO, start: int, xyz: NDArray[np.float32], rate_hz: float) -> None:
    for frame, row in enumerate(xyz.reshape(len(xyz), -1).tolist(), start):
        cells = "\t".join("NaN" if value != value else f"{value:.6f}" for value in row)
        stream.write(f"{frame + 1}\t{frame / rate_hz:.6f}\t{cells}\n")
