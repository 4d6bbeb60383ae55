"""Parquet: the columns of the CSV, compressed; unit, axes, rate and skeleton are keys of the file's metadata."""

from __future__ import annotations

from pathlib import Path

from mvcap.exporters import rows
from mvcap.exporters.take import Take
from mvcap.structures.npz import written_whole


def write(take: Take, path: Path) -> list[Path]:
    """Write ``<path>.parquet``, a row group at a time; null is a missing joint or an unknown number.

    Raises SessionError when the file cannot be written.
    """
    from pyarrow import parquet

    file = path.with_name(f"{path.stem}.parquet")
    schema = rows.schema().with_metadata(rows.notes(take))
    with (
        written_whole(file) as temporary,
        temporary.open("wb") as stream,
        parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        for batch in rows.batches(take):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return [file]
