"""CSV: one line per frame, person and joint, after a comment line (#) with unit, axes, rate and skeleton."""

from __future__ import annotations

from pathlib import Path

from mvcap.structures import long_table
from mvcap.structures.npz import written_whole
from mvcap.structures.pose_stream import PoseStream


def write(take: PoseStream, path: Path) -> list[Path]:
    """Write ``<path>.csv``; an empty cell is a missing joint or an unknown number.

    Raises SessionError if the file cannot be written.
    """
    from pyarrow import csv

    file = path.with_name(f"{path.stem}.csv")
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    note = " ".join(f"{key}={value}" for key, value in long_table.unit_notes(take).items() if key != "take")
    with written_whole(file) as temporary, temporary.open("wb") as stream:
        stream.write(f"# mvcap poses: {note}\n{','.join(long_table.COLUMNS)}\n".encode())
        with csv.CSVWriter(stream, long_table.schema(), write_options=options) as writer:
            for batch in long_table.batches(take):
                writer.write_batch(batch)
    return [file]
