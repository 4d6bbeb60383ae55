"""Several views recorded together, on one clock, until time is up, somebody ends it, or the disk is nearly full."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mvcap.errors import InputError, MvcapError, SourceError
from mvcap.recording.frame_log import SUFFIX
from mvcap.recording.view_recorder import Listener, RecordingClock, ViewRecorder
from mvcap.structures.live_frames import LiveFrame, LiveSource
from mvcap.structures.npz import write_text

FACTS = "recording.json"
VIDEOS = "videos"
_STEP_S = 0.1
_NOTED_S = 1.0  # between two states on the disk
_OPEN_S = 15.0  # for all sources to answer
_WARM_UP_S = 1.0  # a source that is asked sends what it kept at first; clocks are known after that
_GAPS_SHOWN = 1000
_RESERVE, _RESERVED = ".reserve", 1 << 18


@dataclass(frozen=True)
class RecordedView:
    """What was recorded of a view."""

    name: str
    frames: int
    lost: int
    seconds: float
    """From the beginning of the recording to its last frame."""
    rate_hz: float | None
    """Frames delivered a second, gaps left out."""
    declared_hz: float | None
    reconnections: int
    megabytes: float
    gaps: tuple[dict[str, Any], ...] = ()
    controls: dict[str, float | str] = field(default_factory=dict)
    """Exposure, gain, white balance ... as the camera told them when it was opened last."""
    notes: tuple[str, ...] = ()
    """What was asked of the camera and could not be done, and why a file was not read to its end; a line each."""


@dataclass(frozen=True)
class Recording:
    """A folder with ``videos`` and ``recording.json``."""

    folder: Path | None
    views: tuple[RecordedView, ...]
    reason: str
    """Why it ended."""
    complete: bool
    """Whether it ended as it was meant to: not by a full disk or a fault in writing."""


@dataclass
class RecorderState:
    """What the page and the line on the screen show."""

    phase: str = "opening"
    """opening, ready, recording, ended"""
    seconds: float = 0.0
    free_bytes: int = 0
    reason: str = ""


@dataclass
class Recorder:
    """Records sources into a folder. ``run`` does it all; ``start`` and ``stop`` may be called from other threads.

    folder: None to write nothing, for those who only ``listen``. waits: wait for ``start`` before anything is written.
    keep_free: bytes that stay free on the disk.
    """

    folder: Path | None
    sources: Mapping[str, LiveSource]
    codec: str = "copy"
    seconds: float | None = None
    keep_free: int = 2 << 30
    waits: bool = False
    state: RecorderState = field(default_factory=RecorderState)

    def __post_init__(self) -> None:
        self.views = [
            ViewRecorder(name, source, codec=self.codec, listener=self._tell) for name, source in self.sources.items()
        ]
        self._listeners: list[Listener] = []
        self._start, self._stop = threading.Event(), threading.Event()
        self._clock: RecordingClock | None = None
        self._cut_short = False
        if not self.waits:
            self._start.set()

    def listen(self, listener: Listener) -> None:
        """Let somebody see every frame as it comes."""
        self._listeners.append(listener)

    def _tell(self, name: str, frame: LiveFrame, at_s: float) -> None:
        for listener in self._listeners:
            listener(name, frame, at_s)

    def start(self) -> None:
        """Begin to write."""
        self._start.set()

    def stop(self, reason: str = "asked to stop") -> None:
        """End the recording in good order."""
        self.state.reason = self.state.reason or reason
        self._stop.set()

    def run(self, tick: Callable[[Recorder], None] = lambda recorder: None) -> Recording:
        """Open the sources, record, close the files and return what there is; tick is called ten times a second.

        Raises SourceError, before anything is written, if a source does not answer, InputError for a folder that is in
        use or has no room.
        """
        self._check_folder()
        for view in self.views:
            view.open()
        try:
            self._wait_for_sources(tick)
            self.state.phase = "ready"
            while not self._start.wait(_STEP_S) and not self._stop.is_set():
                tick(self)
            if self._stop.is_set():
                raise InputError("nothing was recorded: it was ended before it began")
            self._begin()
            self._record(tick)
        finally:
            for view in self.views:
                view.stop()
            for view in self.views:
                view.join()
            self.state.phase = "ended"
        made = self._result()
        self._note("complete" if made.complete else "cut short", made)
        tick(self)
        return made

    def _check_folder(self) -> None:
        if self.folder is None:
            return
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise InputError(f"{self.folder}: is there already; give a folder that does not exist")
        parent = next(one for one in (self.folder, *self.folder.absolute().parents) if one.is_dir())
        self.state.free_bytes = shutil.disk_usage(parent).free
        if self.state.free_bytes <= self.keep_free:
            raise InputError(
                f"{parent}: {self.state.free_bytes / 1e9:.2f} GB are free, and {self.keep_free / 1e9:.2f} GB are to "
                "stay free: make room, or lower --keep-free"
            )

    def _wait_for_sources(self, tick: Callable[[Recorder], None]) -> None:
        end = time.monotonic() + _OPEN_S
        while not self._stop.is_set():
            now = time.monotonic()
            warm = [
                view.state.connected and now - view.state.first_received_ns / 1e9 >= _WARM_UP_S for view in self.views
            ]
            if all(ready or view.state.ended for ready, view in zip(warm, self.views, strict=True)):
                return
            missing = [view for view in self.views if not view.state.received]
            missing = [view for view in missing if view.state.ended] or (missing if now > end else [])
            if missing:
                listed = "; ".join(f"{view.name}: {view.state.fault or 'sends nothing'}" for view in missing)
                raise SourceError(f"nothing was recorded, as not all sources answer: {listed}")
            tick(self)
            self._stop.wait(_STEP_S)

    def _begin(self) -> None:
        self._clock = RecordingClock(uuid.uuid4().hex, time.monotonic_ns(), time.time_ns())
        self.state.phase = "recording"
        if self.folder is None:
            return
        try:
            (self.folder / VIDEOS).mkdir(parents=True, exist_ok=True)
            (self.folder / _RESERVE).write_bytes(bytes(_RESERVED))
        except OSError as fault:
            raise InputError(f"{self.folder}: cannot be written ({fault.strerror})") from fault
        for view in self.views:
            view.begin(self.folder / VIDEOS, self._clock)
        self._note("recording", None)

    def _record(self, tick: Callable[[Recorder], None]) -> None:
        assert self._clock is not None
        noted = time.monotonic()
        while not self._stop.wait(_STEP_S):
            self.state.seconds = (time.monotonic_ns() - self._clock.start_ns) / 1e9
            full = self._is_full()
            broken = next((view for view in self.views if view.disk_fault), None)
            if broken is not None:
                self.stop(_not_written(broken))
            elif full:
                self._cut_short = True
                self.stop(f"the disk is nearly full: {self.state.free_bytes / 1e9:.2f} GB are free")
            elif self.seconds is not None and self.state.seconds >= self.seconds:
                self.stop("the time is up")
            elif all(view.state.ended for view in self.views):
                self.stop("all sources ended")
            if time.monotonic() - noted > _NOTED_S:
                noted = time.monotonic()
                self._note("recording", None)
            tick(self)

    def _is_full(self) -> bool:
        if self.folder is None:
            return False
        self.state.free_bytes = shutil.disk_usage(self.folder).free
        return self.state.free_bytes <= self.keep_free

    def _result(self) -> Recording:
        views = tuple(_recorded(view, self._clock) for view in self.views)
        broken = next((view for view in self.views if view.disk_fault), None)
        if broken is not None:
            self.state.reason = _not_written(broken)
        return Recording(self.folder, views, self.state.reason, broken is None and not self._cut_short)

    def _note(self, state: str, made: Recording | None) -> None:
        """Write the facts; on a full disk those of before stay."""
        if self.folder is None or self._clock is None:
            return
        if made is not None:
            (self.folder / _RESERVE).unlink(missing_ok=True)  # so that there is room for the last facts on a full disk
        views = made.views if made else tuple(_recorded(view, self._clock) for view in self.views)
        facts = {
            "state": state, "reason": self.state.reason, "clock": self._clock.name,
            "start_wall_ns": self._clock.start_wall_ns, "start_monotonic_ns": self._clock.start_ns,
            "seconds": self.state.seconds, "views": [asdict(view) for view in views],
            "frames_in": f"{VIDEOS}/NAME{SUFFIX}",
        }  # fmt: skip
        try:
            write_text(self.folder / FACTS, json.dumps(facts, indent=1) + "\n")
        except (MvcapError, OSError) as fault:  # a full disk must not cost the recording
            self.state.reason = self.state.reason or f"{FACTS} cannot be written ({fault})"


def _not_written(view: ViewRecorder) -> str:
    return f"view {view.name} cannot be written ({view.disk_fault})"


def _recorded(view: ViewRecorder, clock: RecordingClock | None) -> RecordedView:
    state, begin_s = view.state, clock.start_ns / 1e9 if clock else 0.0
    gaps = tuple(
        {"start_s": round(gap.start_s - begin_s, 4), "stop_s": round(gap.stop_s - begin_s, 4), "lost": gap.lost,
         "why": gap.why}
        for gap in state.lost.gaps[:_GAPS_SHOWN]
    )  # fmt: skip
    last = state.lost.last_s
    form, left = state.format, (state.fault,) if state.ended and state.fault else ()
    return RecordedView(
        view.name, state.written, state.lost.lost, max(last - begin_s, 0.0) if last is not None else 0.0,
        state.lost.rate_hz, form.rate_hz if form else None, state.reconnections, state.bytes / 1e6,
        gaps, dict(form.controls) if form else {}, (*(form.notes if form else ()), *left),
    )  # fmt: skip
