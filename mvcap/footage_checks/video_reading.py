"""Reads a video that may be damaged: its packets' times, then its pictures, and takes note of all that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvcap.footage_checks.picture_series import BURST, PictureSeries, moments
from mvcap.footage_checks.view_reading import Decode, ReadingJob, ViewReading
from mvcap.structures.footage import CLOCK_TAG
from mvcap.structures.video_container import missing_bytes

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Ints = NDArray[np.int64]
Tell = Callable[[int, int], None]
"""Called with pictures done and in total, every third of a second or so."""
_ALL = 3000  # pictures up to which "sampled" means all
_STRETCH_S = 1.5
_LOCAL = 9  # packets
_SUSPECT = 8  # parts where packets are smallest that are looked at, too: pictures that do not change need few bytes
_THREADS = 4
_TELL_S = 0.3
_NO_TIME = np.iinfo(np.int64).min
# Codecs whose packets and pictures do not correspond one to one, so that a missing picture is no damage.
_HIDDEN = {"vp8", "mpeg4", "msmpeg4v3", "vp9", "av1"}


@dataclass(frozen=True, eq=False)
class PacketTable:
    """Packets (P,) in the order of the file: pts and dts in the time base (or no time), bytes, and whether a key."""

    pts: Ints
    dts: Ints
    size: Ints
    key: NDArray[np.bool_]
    time_base: float
    stopped: str = ""

    @property
    def shown(self) -> Ints:
        """Presentation times (F,) of the pictures, each once, increasing."""
        return np.unique(self.pts[self.pts != _NO_TIME])


def read_video(job: ReadingJob, tell: Tell, packets_read: Callable[[ViewReading], None]) -> ViewReading:
    """Read a video and return what could be read; packets_read gets the reading before pictures are decoded."""
    import av

    reading = ViewReading(job.name, job.path, missing_bytes=missing_bytes(job.path))
    try:
        with opened(job.path) as (container, stream):
            reading.codec = stream.codec_context.name
            reading.clock = str(container.metadata.get(CLOCK_TAG, ""))
            table = scan(container, stream)
    except (av.FFmpegError, ValueError) as fault:
        reading.refused, reading.no_index = _why(job.path, fault)
        return reading
    _note_times(reading, table)
    packets_read(reading)
    if reading.frames:
        _decode(job, reading, table, tell)
    return reading


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and its first stream of pictures; av.FFmpegError or ValueError if there is none."""
    import av

    with av.open(str(path), "r", metadata_errors="replace") as container:
        streams = container.streams.video
        if not streams:
            raise ValueError("it holds no video stream")
        if streams[0].codec_context is None or streams[0].time_base is None:
            raise ValueError("its codec is unknown, or its header is damaged")
        streams[0].thread_type = "AUTO"
        streams[0].codec_context.thread_count = _THREADS
        yield container, streams[0]


def scan(container: InputContainer, stream: VideoStream) -> PacketTable:
    """Read the table of packets to the end, or as far as it goes; nothing is decoded."""
    import av

    rows: list[tuple[int, int, int, bool]] = []
    stopped = ""
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                pts = _NO_TIME if packet.pts is None else packet.pts
                rows.append((pts, _NO_TIME if packet.dts is None else packet.dts, packet.size, packet.is_keyframe))
    except av.FFmpegError as fault:
        stopped = _plain(fault)
    table = np.array(rows, np.int64).reshape(-1, 4)
    return PacketTable(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0, float(stream.time_base or 1), stopped)


def _note_times(reading: ViewReading, table: PacketTable) -> None:
    timed = table.pts != _NO_TIME
    reading.time_s = np.asarray(table.shown * table.time_base, np.float64)
    reading.untimed = int((~timed).sum())
    reading.double = int(timed.sum()) - reading.frames
    order = table.dts[table.dts != _NO_TIME]
    reading.backwards = int((np.diff(order) < 0).sum())
    reading.stopped = table.stopped


def _why(path: Path, fault: Exception) -> tuple[str, bool]:
    """Return why a file cannot be opened, and whether it is an mp4 or mov without its index."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if not head:
        return "it is empty (0 bytes)", False
    if head[4:8] in (b"ftyp", b"mdat", b"wide") and not _has_index(path):
        return "its index (moov) is missing: the recording was not finished", True
    return (str(fault) if type(fault) is ValueError else f"it is no video that can be read ({_plain(fault)})"), False


def _has_index(path: Path) -> bool:
    """Return whether an mp4 or mov has its index (moov) among its outermost boxes."""
    position, size = 0, path.stat().st_size
    with path.open("rb") as stream:
        while position + 8 <= size:
            stream.seek(position)
            head = stream.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            if head[4:8] == b"moov":
                return position + length <= size
            if length < 8:
                return False
            position += length
    return False


def _plain(fault: Exception) -> str:
    return str(getattr(fault, "strerror", None) or fault)


# Pictures


def _decode(job: ReadingJob, reading: ViewReading, table: PacketTable, tell: Tell) -> None:
    import av

    shown = table.shown
    zero_s = 0.0 if reading.clock else float(reading.time_s[0])  # views without a clock begin together
    at = moments(float(reading.time_s[0]), float(reading.time_s[-1]), zero_s)
    stretches = stretches_of(shown, table, at, job.decode)
    reading.whole = stretches == [(0, len(shown))]
    series, marks = PictureSeries(at, zero_s), _Marks(table.time_base)
    clock = _Paced(tell, sum(stop - start for start, stop in stretches))
    for number, (start, stop) in enumerate(stretches):
        try:
            with opened(job.path) as (container, stream):
                _seek(container, stream, table, int(shown[start]))
                last = int(shown[stop - 1])
                for picture in _pictures(container, stream, marks, None if reading.whole else last):
                    clock.step()
                    if picture.pts is None or picture.pts < shown[start] or picture.pts <= marks.last:
                        continue
                    if picture.pts > last and not reading.whole:
                        break
                    marks.follow(picture, shown, new=marks.window != number, hidden=reading.codec in _HIDDEN)
                    marks.window = number
                    _take(picture, series, marks, reading)
        except av.FFmpegError as fault:
            reading.stopped = reading.stopped or _plain(fault)
    reading.pictures = series.facts()
    reading.failed_s, reading.corrupt_s = marks.times(marks.failed), marks.times(marks.corrupt)
    if reading.whole and reading.codec not in _HIDDEN and (marks.failed or marks.corrupt or reading.missing_bytes):
        lost = shown[~np.isin(shown, np.array(marks.seen, np.int64))]
        reading.lost_s = np.asarray(lost * table.time_base, np.float64)


class _Marks:
    """Which packets failed, and which pictures came out."""

    def __init__(self, time_base: float) -> None:
        self.time_base = time_base
        self.failed: list[int] = []
        self.corrupt: list[int] = []
        self.seen: list[int] = []
        self.last = _NO_TIME
        self.window = -1
        self.stretch = 0
        self._failed = 0
        self._damaged = False

    def follow(self, picture: VideoFrame, shown: Ints, new: bool, hidden: bool) -> None:
        """Begin a new stretch where pictures are missing, and at each one from a damaged one to the next key."""
        failed, self._failed = self._failed != len(self.failed), len(self.failed)
        self._damaged = picture.is_corrupt or failed or (self._damaged and not picture.key_frame)
        place = int(np.searchsorted(shown, int(picture.pts or 0)))
        gap = not hidden and self.seen and place > 0 and shown[place - 1] != self.seen[-1]
        if new or gap or self._damaged:
            self.stretch += 1

    def times(self, marks: list[int]) -> NDArray[np.float64]:
        """Return times in s, each once, increasing."""
        return np.asarray(np.unique(np.array(marks, np.int64)) * self.time_base, np.float64)


class _Paced:
    """Tells how far it is, not more often than needed."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._total, self._done, self._told = tell, total, 0, 0.0

    def step(self) -> None:
        """Count a picture."""
        self._done += 1
        now = time.monotonic()
        if now - self._told > _TELL_S:
            self._told = now
            self._tell(min(self._done, self._total), self._total)


def _pictures(container: InputContainer, stream: VideoStream, marks: _Marks, last: int | None) -> Iterator[VideoFrame]:
    """Yield pictures as they are decoded; packets that fail are marked."""
    import av

    pending = -1
    for packet in container.demux(stream):
        pending = pending if packet.pts is None else packet.pts
        try:
            yield from packet.decode()
        except av.FFmpegError:
            if packet.size and (last is None or pending <= last):
                marks.failed.append(pending)


def _seek(container: InputContainer, stream: VideoStream, table: PacketTable, pts: int) -> None:
    before = np.flatnonzero(table.key & (table.pts != _NO_TIME) & (table.pts <= pts))
    if len(before) and before[-1] > 0:
        at = table.dts[before[-1]]
        container.seek(int(at if at != _NO_TIME else table.pts[before[-1]]), stream=stream, backward=True)


def _take(picture: VideoFrame, series: PictureSeries, marks: _Marks, reading: ViewReading) -> None:
    import av

    pts = int(picture.pts or 0)
    marks.last = pts
    marks.seen.append(pts)
    try:
        grey: Any = picture.reformat(format="gray").to_ndarray()
        turn = int(picture.rotation) % 360
    except (av.FFmpegError, ValueError):
        marks.corrupt.append(pts)
        return
    if picture.is_corrupt:
        marks.corrupt.append(pts)
    if not reading.size[0]:
        reading.size, reading.rotation_deg = (picture.width, picture.height), turn
    series.add(pts * marks.time_base, grey, marks.stretch)


def stretches_of(shown: Ints, table: PacketTable, at: NDArray[np.float64], decode: Decode) -> list[tuple[int, int]]:
    """Return which pictures (start, stop of their numbers) are decoded: all, or some in a row from each moment on.

    Of a long take also those where packets are smallest for as long, in which pictures may be frozen, and the last.
    """
    count = len(shown)
    if decode == "all" or count <= _ALL:
        return [(0, count)]
    time_s = shown * table.time_base
    interval_s = float(np.median(np.diff(time_s)))
    length = max(round(_STRETCH_S / interval_s), BURST + 3)
    starts = {int(np.searchsorted(time_s, one - 1e-9)) for one in at} | {count - length}
    timed = table.pts != _NO_TIME
    order = np.argsort(table.pts[timed], kind="stable")
    starts |= _suspects(table.size[timed][order][:count], length)
    out: list[tuple[int, int]] = []
    for start in sorted(starts):
        begin = max(start, out[-1][1] if out else 0)
        stop = min(start + length, count)
        if stop > begin:
            out.append((begin, stop))
    return out


def _suspects(size: Ints, length: int) -> set[int]:
    """Return where stretches begin that show parts with the smallest packets (bytes, by time), and their ends."""
    from scipy.ndimage import median_filter

    local = median_filter(size.astype(np.float64), _LOCAL, mode="nearest")  # a key frame does not change it
    usual, found = float(np.median(local)), local.copy()
    starts: set[int] = set()
    for _ in range(_SUSPECT):
        lowest = int(np.argmin(found))
        if not found[lowest] < usual / 2:
            break
        high = local > np.sqrt(max(local[lowest], 1.0) * usual)
        left = np.flatnonzero(high[:lowest])
        right = np.flatnonzero(high[lowest:])
        first = int(left[-1]) if len(left) else 0
        last = lowest + int(right[0]) if len(right) else len(size)
        starts |= {max(0, one - length // 2) for one in (first, last, (first + last) // 2)}
        found[max(0, first - length) : last + length] = np.inf
    return {min(start, len(size) - length) for start in starts}
