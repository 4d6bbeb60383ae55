"""Runner local: processes of this machine; one that ends before its time is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mvcap.batching.work_queue import MOST_ATTEMPTS, WorkQueue
from mvcap.config import allowed_plugins
from mvcap.errors import InputError, SessionError
from mvcap.progress import Progress
from mvcap.runners.local_worker import CANNOT_GO_ON

_LOOK_S, _LOOK_AGAIN_S = 0.05, 0.5  # how often processes, and the folder, are looked at
_PATIENCE_S = 30.0  # for workers that were told to stop
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_KEPT_LINES = 50
_BEGINS_S = 5.0  # a worker this young may have no item yet


class LocalRunner:
    """Runner local: processes of this machine, each doing one item after another. No scheduler is needed."""

    def __init__(self, workers: int, scheduler: str | None = None) -> None:
        if scheduler is not None:
            raise InputError("--scheduler is for --engine dask; without it, processes of this machine are used")
        self.workers = workers

    def run(self, queue: WorkQueue, settings: Mapping[str, Any], wait: bool, progress: Progress) -> None:
        """Return when every item is ended, or is held elsewhere and is not waited for."""
        running: list[_Worker] = []
        try:
            self._run(queue, settings, wait, progress, running)
        finally:
            for worker in running:
                worker.stop()
            for worker in running:
                worker.wait(_PATIENCE_S)
            with suppress(SessionError):
                queue.release_dead()

    def _run(
        self, queue: WorkQueue, settings: Mapping[str, Any], wait: bool, progress: Progress, running: list[_Worker]
    ) -> None:
        started, broken, ended, looked = 0, 0, -1, -_LOOK_AGAIN_S
        while True:
            gone = [worker for worker in running if worker.has_ended()]
            if not gone and time.monotonic() - looked < _LOOK_AGAIN_S:
                time.sleep(_LOOK_S)
                continue
            for worker in gone:
                running.remove(worker)
                worker.check()
            state, looked = queue.state(), time.monotonic()
            progress("sessions", len(state.ended), len(queue.names))
            broke = [worker for worker in gone if worker.status]
            broken = (broken if len(state.ended) == ended else 0) + len(broke)
            ended = len(state.ended)
            if broken > (MOST_ATTEMPTS + 1) * self.workers:
                raise SessionError(f"{queue.folder}: worker processes end before they have begun: {gone[-1].said()}")
            nothing_left = not state.open and not (wait and state.held)
            left_over = bool(gone) and not broke and not wait  # what other programs work on
            if not running and (nothing_left or left_over):
                return
            beginning = sum(worker.age_s() < _BEGINS_S for worker in running)
            for _ in range(min(self.workers - len(running), len(state.open) - beginning)):
                running.append(_Worker(queue, settings, started * len(state.open) // self.workers, wait))
                started += 1


class _Worker:
    """A process that does items; its standard input is what keeps it."""

    def __init__(self, queue: WorkQueue, settings: Mapping[str, Any], first: int, wait: bool) -> None:
        request = {
            "folder": str(queue.folder), "verb": queue.verb, "names": queue.names, "stale_s": queue.stale_s,
            "settings": dict(settings), "first": first, "wait": wait, "path": sys.path,
            "allowed": sorted(allowed_plugins()),
        }  # fmt: skip
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mvcap.runners.local_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,
        )
        self._lines: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def status(self) -> int:
        """Exit status, negative for a signal; 0 while it runs."""
        return self._process.returncode or 0

    def age_s(self) -> float:
        """Time since it was started, s."""
        return time.monotonic() - self._begun

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raise SessionError for what no worker can get past, as a full disk."""
        if self.status == CANNOT_GO_ON:
            raise SessionError(self.said())

    def said(self) -> str:
        """Return the last line of its standard error, or how it ended."""
        self._reader.join(1.0)
        lines = [line for line in self._lines if line.strip()]
        return lines[-1].decode("utf-8", "replace").strip() if lines else f"ended with status {self.status}"

    def stop(self) -> None:
        """Tell it to stop: its claim is released."""
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait for its end, and end it after so long."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        """Keep the last lines of its standard error; not in a file, for the disk may be full."""
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            self._lines.extend(stream)
