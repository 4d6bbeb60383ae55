"""Recording of one view: one thread reads its source, another writes its files, with a short queue between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mvcap.errors import SourceError
from mvcap.recording.capture_clock import CaptureClock
from mvcap.recording.frame_log import SUFFIX, FrameLog
from mvcap.recording.lost_frames import Gap, LostFrames
from mvcap.recording.matroska import DepthFile, MatroskaFile
from mvcap.structures.live_frames import FiniteStream, LiveFrame, LiveSource, LiveStream, StreamFormat

QUEUE_FRAMES = 120
_SETTLED_NS = 700_000_000  # of a stream's first frames, whose times are told together
_EARLY_FRAMES = 256
_AGAIN_S = 0.5  # until a lost source is opened again
_END_S = 8.0  # for the threads to end: longer than a source waits for a frame


@dataclass(frozen=True)
class RecordingClock:
    """When a recording began, on both clocks of this machine, and its name."""

    name: str
    start_ns: int
    """Monotonic."""
    start_wall_ns: int
    """Since 1970."""


@dataclass
class ViewState:
    """What is known of a view while it is recorded; other threads only read."""

    format: StreamFormat | None = None
    connected: bool = False
    ended: bool = False
    fault: str = ""
    reconnections: int = 0
    written: int = 0
    bytes: int = 0
    queue_lost: int = 0
    received: int = 0
    first_received_ns: int = 0
    lost: LostFrames = field(default_factory=LostFrames)


Listener = Callable[[str, LiveFrame, float], None]
"""Told the view's name, each frame and its capture time s on the monotonic clock; must return at once."""


class ViewRecorder:
    """Reads a source again and again until it is stopped; writes what it gives once a recording has begun.

    When a source is lost the files stay open; once it is back they go on, with a gap. Where frames refer to those
    before, they go on from a key frame. A source that ``ends``, as files do, is not opened again after a fault.
    """

    def __init__(
        self, name: str, source: LiveSource, *, codec: str = "copy", listener: Listener | None = None,
        queue_frames: int = QUEUE_FRAMES,
    ) -> None:  # fmt: skip
        self.name, self.state = name, ViewState()
        self.disk_fault: Exception | None = None
        self._source, self._codec, self._listener = source, codec, listener
        self._queue: queue.Queue[tuple[LiveFrame, float, int] | None] = queue.Queue(queue_frames)
        self._stop = threading.Event()
        self._begun: tuple[Path, RecordingClock] | None = None
        self._needs_key = True
        self._times = CaptureClock()
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._writer: threading.Thread | None = None

    def open(self) -> None:
        """Begin to read; what comes is only counted until ``begin``."""
        self._reader.start()

    def begin(self, folder: Path, clock: RecordingClock) -> None:
        """Begin to write NAME.mkv and the list of its frames into a folder."""
        self.state.lost = LostFrames(self.state.lost.exact)  # counted from here on
        self._needs_key = True
        self._writer = threading.Thread(
            target=self._write, args=(folder, clock), name=f"write {self.name}", daemon=True
        )
        self._writer.start()
        self._begun = (folder, clock)

    def stop(self) -> None:
        """Let both threads end soon."""
        self._stop.set()

    def join(self) -> None:
        """Wait until everything is written and the files are closed; a source that hangs is left behind."""
        self._reader.join(_END_S)
        if self._writer is not None:
            try:
                self._queue.put(None, timeout=_END_S)
            except queue.Full:
                return
            self._writer.join(_END_S)

    @property
    def queued(self) -> int:
        """Frames that wait to be written."""
        return self._queue.qsize()

    # The thread that reads

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                stream = self._source.open()
            except SourceError as fault:
                self.state.fault, self.state.ended = str(fault), self._source.ends
                if self.state.ended:
                    return
                self._stop.wait(_AGAIN_S)
                continue
            try:
                if self._same_format(stream.format):
                    self._read_stream(stream)
            except SourceError as fault:
                self.state.fault, self.state.ended = str(fault), self._source.ends
            finally:
                self.state.connected = False
                stream.close()
            if self.state.ended:
                return
            self._stop.wait(_AGAIN_S)

    def _same_format(self, found: StreamFormat) -> bool:
        """Whether what came back can go on in the same file."""
        before = self.state.format
        if before is not None and (before.codec, before.size) != (found.codec, found.size):
            self.state.fault = (
                f"{self.name}: came back as {found.codec or 'images'} of {found.size[0]}x{found.size[1]}, not "
                f"{before.codec or 'images'} of {before.size[0]}x{before.size[1]}"
            )
            return False
        self.state.format = found
        return True

    def _read_stream(self, stream: LiveStream) -> None:
        """Read until the source ends, is lost or is not wanted any more."""
        if self.state.received:
            self.state.reconnections += 1
            self._times = CaptureClock()
            self._needs_key = True
        first, early = True, list[LiveFrame]()
        while not self._stop.is_set():
            frame = stream.read()
            if early and (frame is None or _is_settled(early, frame)):
                self._take_early(early)
                early, first = [], False
            if frame is None:
                self.state.ended = self._source.ends
                self._note_end(stream)
                self.state.fault = "" if self._source.ends else f"{self.name}: the sender ended the stream"
                return
            if first:
                early.append(frame)
            else:
                self._take(frame)

    def _note_end(self, stream: LiveStream) -> None:
        """Count the frames at the end of a file that could not be read."""
        last_s = self.state.lost.last_s
        if isinstance(stream, FiniteStream) and stream.missing_at_end > 0 and last_s is not None:
            self.state.lost.note_gap(Gap(last_s, last_s, stream.missing_at_end, "number"))

    def _take_early(self, frames: list[LiveFrame]) -> None:
        """Take the first frames of a stream, once their times can be told."""
        stated = [(frame.received_ns / 1e9, frame.source_s) for frame in frames if frame.source_s is not None]
        self._times.settle(stated)
        if frames[0].source_s is None and len(stated) > 1:  # as RTSP has it, whose first time may be unknown
            frames[0] = replace(frames[0], source_s=2 * stated[0][1] - stated[1][1])
        if self.state.received:
            first = frames[0]
            self.state.lost.interrupted(self._times.capture_s(first.received_ns / 1e9, first.source_s))
        for frame in frames:
            self._take(frame)

    def _take(self, frame: LiveFrame) -> None:
        """Count a frame, queue it, and tell the listener."""
        at_s = self._times.capture_s(frame.received_ns / 1e9, frame.source_s)
        self.state.lost.exact = frame.source_s is not None
        self.state.first_received_ns = self.state.first_received_ns or frame.received_ns
        self.state.received += 1
        self.state.connected, self.state.fault = True, ""
        self._keep(frame, at_s)
        if self._listener is not None:
            self._listener(self.name, frame, at_s)

    def _keep(self, frame: LiveFrame, at_s: float) -> None:
        """Queue a frame for writing, if a recording has begun; count it in any case."""
        begun = self._begun
        if begun is not None and at_s < begun[1].start_ns / 1e9:
            return
        lost = self.state.lost.add(at_s, frame.number)
        if begun is None:
            return
        refers = self.state.format is not None and self.state.format.refers
        if self._needs_key and refers and not frame.key:
            if self.state.written:  # of a source that came back: cannot be decoded
                self.state.lost.note_gap(Gap(at_s, at_s, 1, "no key frame"))
            return
        try:
            self._queue.put_nowait((frame, at_s, lost))
            self._needs_key = False
        except queue.Full:
            self.state.queue_lost += 1
            self.state.lost.note_gap(Gap(at_s, at_s, 1, "queue"))
            self._needs_key = True

    # The thread that writes

    def _write(self, folder: Path, clock: RecordingClock) -> None:
        import av

        files: list[Any] = []
        try:
            while (item := self._queue.get()) is not None:
                if not files:
                    files = self._open_files(folder, clock)
                self._write_frame(files, clock, *item)
        except (OSError, av.FFmpegError) as fault:
            self.disk_fault = fault
        for file in reversed(files):
            try:
                file.close()
            except (OSError, av.FFmpegError) as fault:  # a full disk is told again
                self.disk_fault = self.disk_fault or fault

    def _open_files(self, folder: Path, clock: RecordingClock) -> list[Any]:
        form = self.state.format
        assert form is not None
        files: list[Any] = [
            MatroskaFile(folder / f"{self.name}.mkv", form, clock.name, self._codec),
            FrameLog(folder / f"{self.name}{SUFFIX}"),
        ]
        if form.depth_unit_m is not None:
            (folder.parent / "depth").mkdir(exist_ok=True)
            files.append(DepthFile(folder.parent / "depth" / f"{self.name}.mkv", form, clock.name))
        return files

    def _write_frame(self, files: list[Any], clock: RecordingClock, frame: LiveFrame, at_s: float, lost: int) -> None:
        since_s = at_s - clock.start_ns / 1e9
        size = files[0].write(frame, since_s)
        if size is None:
            self.state.lost.note_gap(Gap(at_s, at_s, 1, "damaged"))
            return
        wall_ns = clock.start_wall_ns + round(1e9 * since_s)
        files[1].add(self.state.written, since_s, frame.received_ns, wall_ns, frame.source_s, frame.number, lost, size)
        if len(files) > 2 and frame.depth is not None:
            files[2].write(frame.depth, since_s)
        self.state.written += 1
        self.state.bytes += size


def _is_settled(early: list[LiveFrame], frame: LiveFrame) -> bool:
    """Whether a stream has run for long enough to tell the times of its first frames."""
    return len(early) >= _EARLY_FRAMES or frame.received_ns - early[0].received_ns > _SETTLED_NS
