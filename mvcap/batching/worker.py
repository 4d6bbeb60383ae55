"""What a process of a batch does: take an item, do it while its claim is renewed, and write what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from calib.errors import CalibrationError
from mvcap.batching.claims import Claim
from mvcap.batching.work_queue import WorkQueue
from mvcap.errors import MvcapError, SessionError

BUSY_S = 2.0
"""How long an item is left alone on which a program beside the batch works, s."""
_REASONS = (MvcapError, CalibrationError, OSError, MemoryError)
"""Errors of an item that leave the process sound; after any other it ends, and another one goes on."""
_LONGEST = 1500


def attempt(queue: WorkQueue, name: str, settings: Mapping[str, Any]) -> bool:
    """Do an item if it can be claimed; whether it was.

    An error is its record, in one line. One that is no error of the input, a fault of the program, is raised again
    after that. Where another program works on the item it is released, and can be taken again.
    """
    job = queue.job  # where it cannot be loaded, that is no fault of the item
    claim = queue.take(name)
    if claim is None:
        return False
    with claim.heartbeat(), _Attempt(queue, claim, name, settings) as made:
        made.facts = job.run(queue.folder / name, settings)
    return name not in queue.tried


def work(queue: WorkQueue, settings: Mapping[str, Any], first: int = 0, wait: bool = True) -> None:
    """Do items until none can be taken. first: where in the list to begin, so that processes are not after one item.

    wait: for items on which programs beside the batch work.
    """
    while True:
        free = queue.state().open
        start = first % len(free) if free else 0
        taken = [attempt(queue, name, settings) for name in free[start:] + free[:start] if not _is_busy(queue, name)]
        first = 0
        if any(taken):
            continue
        if not (wait and queue.tried.keys() & {*queue.state().open}):
            return
        time.sleep(BUSY_S / 4)


def reason_line(fault: BaseException) -> str:
    """Return an error as one line of printable characters; that of a fault of the program begins with its kind."""
    text = str(fault) if isinstance(fault, MvcapError | CalibrationError) else f"{type(fault).__name__}: {fault}"
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in " ".join(text.split()))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST // 2]} ... {shown[-_LONGEST // 2 :]}"


def _is_busy(queue: WorkQueue, name: str) -> bool:
    return time.monotonic() - queue.tried.get(name, -BUSY_S) < BUSY_S


class _Attempt:
    """An item being done. On leaving the block, what became of it is written, or its claim released."""

    def __init__(self, queue: WorkQueue, claim: Claim, name: str, settings: Mapping[str, Any]) -> None:
        self._queue, self._claim, self._name, self._settings = queue, claim, name, dict(settings)
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> _Attempt:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> bool:
        self._queue.tried.pop(self._name, None)
        if fault is None:
            self._queue.record(self._claim, self._name, "done", {"settings": self._settings, "facts": self.facts})
            return True
        if isinstance(fault, SessionError) and isinstance(fault.__cause__, BlockingIOError):
            self._queue.tried[self._name] = time.monotonic()  # `mvcap.stages.sole_use` of another program
            self._claim.release()
            return True
        if isinstance(fault, KeyboardInterrupt | SystemExit | GeneratorExit):
            self._claim.release()
            return False
        told = {"settings": self._settings, "reason": reason_line(fault)}
        self._queue.record(self._claim, self._name, "failed", told)
        return isinstance(fault, _REASONS)
