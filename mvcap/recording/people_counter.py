"""How many people each view shows while it is recorded, counted on the pictures of the page."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from mvcap.recording.preview import Preview
from mvcap.structures.contracts import UNKNOWN_FRAMES, Estimator, View

_EVERY_S = 1.0  # for all views, one after the other
_SHARE = 0.25  # of the time of a processor, at most
_NICE = 10  # how far other threads come first, on Linux


class PeopleCounter:
    """Looks at the newest picture of view after view, in a thread of its own, until it is stopped.

    It takes no frame from those that read and write: it asks the preview. codec_of: the codec of a view's packets.
    """

    def __init__(self, preview: Preview, codec_of: Callable[[str], str], estimator: Estimator) -> None:
        self._preview, self._codec_of, self._estimator = preview, codec_of, estimator
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="count people", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the picture that it is at."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        names = self._preview.names
        while True:
            for index, name in enumerate(names):
                took_s = self._count(index, name)
                if self._stop.wait(max(_EVERY_S / len(names) - took_s, took_s * (1 / _SHARE - 1))):
                    return

    def _count(self, index: int, name: str) -> float:
        """Count the people of a view's newest picture; return how long it took, s."""
        begun = time.thread_time()
        picture = self._preview.picture(name, self._codec_of(name))
        if picture is not None:
            view = View(index, name, (picture.shape[1], picture.shape[0]), 1.0, UNKNOWN_FRAMES)
            self._preview.note_people(name, len(self._estimator.estimate(picture, 0, view, {}).rows))
        return time.thread_time() - begun
