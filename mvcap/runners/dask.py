"""Runner dask: workers of Dask distributed, on a cluster that runs already or on this machine (extra ``batch``).

Dask runs the tasks of a worker that died again, also those that had ended. The claims and records of the queue make
that harmless: an item that is ended or held is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mvcap.batching.work_queue import WorkQueue
from mvcap.batching.worker import attempt
from mvcap.config import allow_plugins, allowed_plugins
from mvcap.errors import InputError
from mvcap.progress import Progress
from mvcap.structures.optional_package import optional_package

_LOOK_S = 0.3
_CONNECT_S = 20.0
_AGAIN_S = 2.0  # an item that nobody holds and no task has is given to the scheduler again, after so long


class DaskRunner:
    """Runner dask: an item is a task of Dask distributed; scheduler: an address, by default a cluster made here."""

    def __init__(self, workers: int, scheduler: str | None = None) -> None:
        self.workers, self.scheduler = workers, scheduler
        self._dask = optional_package("distributed", "dask", "batch", "--engine dask")

    def run(self, queue: WorkQueue, settings: Mapping[str, Any], wait: bool, progress: Progress) -> None:
        """Return when every item is ended, or is held elsewhere and is not waited for."""
        with ExitStack() as stack:
            stack.callback(queue.release_dead)
            client = self._client(stack)
            tasks: dict[str, Any] = {}
            given_up: dict[str, float] = {}
            while True:
                state = queue.state()
                progress("sessions", len(state.ended), len(queue.names))
                for name in [name for name, task in tasks.items() if task.done()]:
                    tasks.pop(name)
                    given_up[name] = time.monotonic()
                if not tasks and not state.open and not (wait and state.held):
                    return
                now = time.monotonic()
                for name in state.open:
                    if name not in tasks and now - given_up.get(name, -_AGAIN_S) >= _AGAIN_S:
                        if name in given_up and not wait:
                            return
                        tasks[name] = self._submit(client, queue, name, settings)
                time.sleep(_LOOK_S)

    def _client(self, stack: ExitStack) -> Any:
        """A client of the scheduler, or of a cluster of this machine that ends with the stack."""
        if self.scheduler is not None:
            try:
                return stack.enter_context(self._dask.Client(self.scheduler, timeout=_CONNECT_S))
            except (OSError, ValueError, ImportError) as fault:
                why = " ".join(str(fault).split()) or type(fault).__name__
                raise InputError(
                    f"--scheduler {self.scheduler}: no scheduler of Dask answers there ({why}); start one with `dask "
                    "scheduler`, or leave the option out"
                ) from fault
        cluster = self._dask.LocalCluster(
            n_workers=self.workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        stack.enter_context(cluster)
        return stack.enter_context(self._dask.Client(cluster))

    @staticmethod
    def _submit(client: Any, queue: WorkQueue, name: str, settings: Mapping[str, Any]) -> Any:
        folder, allowed = str(queue.folder.resolve()), sorted(allowed_plugins())
        return client.submit(
            dask_attempt, folder, queue.verb, name, dict(settings), queue.stale_s, allowed, pure=False, priority=0
        )


def dask_attempt(
    folder: str, verb: str, name: str, settings: Mapping[str, Any], stale_s: float, allowed: list[str]
) -> bool:
    """Do one item of a queue, in a worker of Dask; whether this task did it."""
    allow_plugins(*allowed)
    return attempt(WorkQueue(Path(folder), verb, (name,), stale_s), name, settings)
