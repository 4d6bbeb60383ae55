"""The times of every frame of a recorded view, as a line each of a CSV file that is complete after a crash."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError

COLUMNS = ("frame", "capture_s", "received_ns", "wall_ns", "source_s", "number", "lost_before", "bytes")
SUFFIX = ".frames.csv"


class FrameLog:
    """Writes the lines; each is on its way to the disk before the next frame comes."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("w", encoding="ascii", newline="", buffering=1)
        self._stream.write(",".join(COLUMNS) + "\n")

    def add(
        self, frame: int, capture_s: float, received_ns: int, wall_ns: int, source_s: float | None,
        number: int | None, lost: int, size: int,
    ) -> None:  # fmt: skip
        """Write the line of a frame."""
        known = "" if source_s is None else f"{source_s:.6f}", "" if number is None else str(number)
        line = [str(frame), f"{capture_s:.6f}", str(received_ns), str(wall_ns), *known, str(lost), str(size)]
        self._stream.write(",".join(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """The times (F,) of the frames of a recorded view."""

    capture_s: NDArray[np.float64]
    """Since the recording began, on the clock that all its views share."""
    wall_ns: NDArray[np.int64]
    """Since 1970, by this machine's clock, which may be set meanwhile."""
    source_s: NDArray[np.float64]
    """As the source states it; NaN where it does not."""
    lost_before: NDArray[np.int64]


def read_frame_log(path: str | Path) -> FrameTimes:
    """Read the times of a view; a last line that a crash cut short is left out. InputError for another file."""
    path = Path(path)
    try:
        with path.open(encoding="ascii", newline="") as stream:
            rows = [row for row in csv.reader(stream) if len(row) == len(COLUMNS)]
        if not rows or tuple(rows[0]) != COLUMNS:
            raise ValueError("other columns")
        table = rows[1:]
        return FrameTimes(
            np.array([float(row[1]) for row in table]),
            np.array([int(row[3]) for row in table], np.int64),
            np.array([float(row[4] or "nan") for row in table]),
            np.array([int(row[6]) for row in table], np.int64),
        )
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror})") from fault
    except ValueError as fault:
        raise InputError(f"{path}: is not the list of frames of a recording ({fault})") from fault
