"""Parquet: the columns of the CSV, compressed; unit, axes, rate and skeleton are in the file's metadata."""

from __future__ import annotations

from pathlib import Path

from mvcap.structures import long_table
from mvcap.structures.npz import written_whole
from mvcap.structures.pose_stream import PoseStream


def write(take: PoseStream, path: Path) -> list[Path]:
    """Write ``<path>.parquet``, one row group per block; null is a missing joint or an unknown number.

    Raises SessionError if the file cannot be written.
    """
    from pyarrow import parquet

    file = path.with_name(f"{path.stem}.parquet")
    schema = long_table.schema().with_metadata(long_table.unit_notes(take))
    with (
        written_whole(file) as temporary,
        temporary.open("wb") as stream,
        parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        for batch in long_table.batches(take):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return [file]
