"""Copies what can be read of a video into a new Matroska file, with times that increase; nothing is re-encoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import SessionError
from mvcap.footage_checks.video_reading import PacketTable, opened, scan
from mvcap.structures.npz import written_whole

Ints = NDArray[np.int64]
_NO_TIME = np.iinfo(np.int64).min
_MS = 1000  # ticks a second of the times in a Matroska file


@dataclass(frozen=True)
class CopyJob:
    """A file to copy into a folder, under a name without ending.

    first_s, last_s: times of the first and the last picture that can be decoded; others are left out. cuts_s: times
    from which on pictures have another size: each begins a new file; sizes (w, h): of the files, if there are cuts.
    """

    source: Path
    folder: Path
    name: str
    first_s: float
    last_s: float
    cuts_s: tuple[float, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def targets(self) -> tuple[Path, ...]:
        """The files that are written."""
        if not self.cuts_s:
            return (self.folder / f"{self.name}.mkv",)
        return tuple(self.folder / f"{self.name}-part{part}.mkv" for part in range(1, len(self.cuts_s) + 2))

    def run(self, tell: Callable[[int, int], None], partial: Any) -> tuple[int, ...] | str:
        """Write the files; return the number of pictures in each, or why they cannot be written."""
        import av

        try:
            with opened(self.source) as (container, stream):
                table = scan(container, stream)
            ms = increasing_times(table)
            bounds = _bounds(self, table)
            sizes = self.sizes or (None,) * len(bounds)
            return tuple(
                _write(self.source, target, table, ms, part, size, tell)
                for target, part, size in zip(self.targets, bounds, sizes, strict=True)
            )
        except SessionError as fault:
            return str(fault)
        except (av.FFmpegError, ValueError) as fault:
            return f"FFmpeg cannot put its pictures into a new file ({getattr(fault, 'strerror', None) or fault})"


def increasing_times(table: PacketTable) -> Ints:
    """Return the presentation time (P,) of each packet, ms, no two equal.

    Where decoding times go back, all that follows is moved behind what was before, one usual interval later; a packet
    without a time gets one between its neighbours, one of several at one time its part of the interval behind.
    ValueError if hardly any has one.
    """
    timed = (table.pts != _NO_TIME) & (np.abs(table.pts) < 1 << 53)
    if timed.sum() < 2 or 2 * timed.sum() < len(timed):
        raise ValueError("most of its pictures have no time")
    number = np.arange(len(timed))
    pts = np.interp(number, number[timed], table.pts[timed].astype(np.float64)) * table.time_base
    order = np.where((table.dts != _NO_TIME) & (np.abs(table.dts) < 1 << 53), table.dts * table.time_base, np.nan)
    step = np.diff(order)
    usual_s = float(np.median(step[step > 0])) if (step > 0).any() else float(np.median(np.abs(np.diff(pts))))
    moved = np.concatenate([[0.0], np.cumsum(np.where(step < 0, usual_s - step, 0.0))])
    exact = _MS * (pts + moved)
    shown = np.argsort(exact, kind="stable")
    exact[shown] = _parted(exact[shown], _MS * usual_s)
    ms = np.rint(exact).astype(np.int64)
    ms[shown] = number + np.maximum.accumulate(ms[shown] - number)
    return np.asarray(ms)


def _parted(ms: NDArray[np.float64], usual_ms: float) -> NDArray[np.float64]:
    """Return times (P,), which do not decrease, with equal ones spread over an interval or the gap behind them."""
    first = np.flatnonzero(np.r_[True, np.diff(ms) > 0])
    count = np.diff(np.r_[first, len(ms)])
    behind = np.r_[ms[first[1:]], np.inf] - ms[first]
    step = np.minimum(behind / count, usual_ms)
    return np.asarray(ms + (np.arange(len(ms)) - np.repeat(first, count)) * np.repeat(step, count))


def _bounds(job: CopyJob, table: PacketTable) -> list[Ints]:
    """Return the packets of each part: from its first key on, those that show pictures that can be decoded."""
    pts_s = np.where(table.pts != _NO_TIME, table.pts * table.time_base, np.nan)
    half = 0.5e-3
    kept = ~(pts_s < job.first_s - half) & ~(pts_s > job.last_s + half)
    starts = [0]
    for cut_s in job.cuts_s:
        keys = np.flatnonzero(table.key & (pts_s >= cut_s - half))
        starts.append(max(int(keys[0]) if len(keys) else len(kept), starts[-1]))
    parts = []
    for start, stop in zip(starts, [*starts[1:], len(kept)], strict=True):
        rows = start + np.flatnonzero(kept[start:stop])
        keys = rows[table.key[rows]]
        parts.append(rows[rows >= keys[0]] if len(keys) else rows[:0])
    if any(not len(part) for part in parts):
        raise ValueError("it holds no picture at which decoding can begin")
    return parts


def _write(
    source: Path, target: Path, table: PacketTable, ms: Ints, rows: Ints, size: tuple[int, int] | None,
    tell: Callable[[int, int], None],
) -> int:  # fmt: skip
    """Copy packets (rows of the table) into a new file, whose header has that size if any; return how many."""
    import av

    times = ms[rows]
    ordered = np.sort(times)
    decode_ms = ordered - max(0, int((ordered - times).max()))  # increasing, and none after its picture is shown
    place = {row: number for number, row in enumerate(rows.tolist())}
    written = 0
    options = {"avoid_negative_ts": "disabled"}
    with (
        written_whole(target) as temporary,
        opened(source) as (container, stream),
        av.open(str(temporary), "w", format="matroska", options=options) as out,
    ):
        out.metadata.update(container.metadata)
        copy = out.add_stream_from_template(stream)
        if size is not None:
            copy.width, copy.height = size
        for row, packet in enumerate(_packets(container, stream, len(table.pts))):
            number = place.get(row)
            if number is None:
                continue
            packet.stream = copy
            packet.time_base = _ms_base()
            packet.pts, packet.dts = int(times[number]), int(decode_ms[number])
            packet.duration = 0
            out.mux(packet)
            written += 1
            if written % 500 == 0:
                tell(written, len(rows))
    return written


def _ms_base() -> Any:
    from fractions import Fraction

    return Fraction(1, _MS)


def _packets(container: Any, stream: Any, count: int) -> Any:
    """Yield the packets of the table, in its order."""
    import av

    given = 0
    try:
        for packet in container.demux(stream):
            if given == count:
                return
            if packet.size and not packet.is_discard:
                given += 1
                yield packet
    except av.error.InvalidDataError:
        return
