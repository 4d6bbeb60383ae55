"""The newest moment that all live views show, decoded; what came before it and was not looked at is dropped."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.recording.picture_decoder import PictureDecoder
from mvcap.recording.view_recorder import ViewRecorder
from mvcap.structures.live_frames import LiveFrame

_HELD_S = 1.0  # of frames that wait to be looked at
_IMAGES = 12  # of a stream that has to be decoded from its beginning on
_FRESH_S = 1.0  # a view whose newest frame is older than that of the others by this is away
_USUAL_S = 0.02
_SAME = 0.5  # of an interval: views show one moment at times that differ by less


@dataclass(frozen=True, eq=False)
class Moment:
    """Images of C views at one time."""

    at_s: float
    """Capture time on the monotonic clock, s."""
    images: tuple[NDArray[np.uint8] | None, ...]
    """RGB (H, W, 3); None of a view that is away or lost the frame."""
    passed: int
    """Frames of the fastest view since the last moment that were not looked at."""


class MomentPicker:
    """Takes the frames of several views as they come, and gives the newest moment whenever it is asked.

    Packets of JPEG, and images, are decoded only if their moment is picked; other streams as they come, since each
    frame refers to the one before. ``listen`` is a recorder's listener.
    """

    def __init__(self, views: Sequence[ViewRecorder]) -> None:
        self._views = list(views)
        self._streams = {view.name: _Stream(view) for view in views}
        self._last_s = float("-inf")
        self.came = threading.Event()

    def listen(self, name: str, frame: LiveFrame, at_s: float) -> None:
        """Take a frame of a view."""
        self._streams[name].add(frame, at_s)
        self.came.set()

    def newest(self) -> Moment | None:
        """Return the newest moment that every view that is there shows, None if there is none since the last one."""
        self.came.clear()
        held = [self._streams[view.name].times() for view in self._views]
        newest = max((times[-1] for times in held if times), default=None)
        if newest is None:
            return None
        there = [bool(times) and times[-1] > newest - _FRESH_S for times in held]
        at_s = min(times[-1] for times, is_there in zip(held, there, strict=True) if is_there)
        if at_s <= self._last_s + _SAME * self._interval_s():
            return None
        same_s = _SAME * self._interval_s()
        between = [sum(self._last_s + same_s < one < at_s - same_s for one in times) for times in held]
        passed = max(between) if self._last_s > 0 else 0
        images = tuple(
            self._streams[view.name].image_at(at_s) if is_there else None
            for view, is_there in zip(self._views, there, strict=True)
        )
        self._last_s = at_s
        return Moment(at_s, images, passed)

    def _interval_s(self) -> float:
        """Of the fastest view, s, or a usual one before it is known: the first frames are one moment, too."""
        return min((one for view in self._views if (one := view.state.lost.interval_s)), default=_USUAL_S)

    def close(self) -> None:
        """Let the threads that decode end."""
        for stream in self._streams.values():
            stream.close()


class _Stream:
    """The newest frames of one view."""

    def __init__(self, view: ViewRecorder) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._held: deque[tuple[float, LiveFrame]] = deque()
        self._queue: queue.Queue[tuple[LiveFrame, float] | None] = queue.Queue(256)
        self._thread: threading.Thread | None = None

    @property
    def _codec(self) -> str:
        return self._view.state.format.codec if self._view.state.format else ""

    def add(self, frame: LiveFrame, at_s: float) -> None:
        form = self._view.state.format
        if form is None or not form.refers:
            self._hold(frame, at_s)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._decode, name=f"decode {self._view.name}", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait((frame, at_s))
        except queue.Full:
            while not self._queue.empty():  # too far behind: go on from the next key frame
                self._queue.get_nowait()

    def _hold(self, frame: LiveFrame, at_s: float) -> None:
        with self._lock:
            self._held.append((at_s, frame))
            while self._held[0][0] < at_s - _HELD_S or (frame.packet is None and len(self._held) > _IMAGES):
                self._held.popleft()

    def _decode(self) -> None:
        decoder = PictureDecoder(self._codec)
        while (item := self._queue.get()) is not None:
            frame, at_s = item
            picture = decoder.picture(frame)
            if picture is not None:
                self._hold(LiveFrame(frame.received_ns, frame.source_s, frame.number, decoded=picture), at_s)

    def times(self) -> list[float]:
        with self._lock:
            return [at_s for at_s, _ in self._held]

    def image_at(self, at_s: float) -> NDArray[np.uint8] | None:
        """The image nearest to a time, None if it is more than half an interval away."""
        with self._lock:
            if not self._held:
                return None
            nearest_s, frame = min(self._held, key=lambda one: abs(one[0] - at_s))
        interval = self._view.state.lost.interval_s or 0.05
        if abs(nearest_s - at_s) > 0.6 * interval:
            return None
        return PictureDecoder(self._codec).image(frame)

    def close(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(5)
