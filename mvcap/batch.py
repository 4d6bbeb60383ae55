"""The verb ``batch``: one verb over all sessions of a folder, by many processes, on one machine or many."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mvcap.batching.batch_report import BatchResult, batch_result, write_batch_report
from mvcap.batching.claims import STALE_S
from mvcap.batching.work_queue import WorkQueue
from mvcap.errors import ConfigError, InputError
from mvcap.plugins import find_plugin
from mvcap.progress import Progress, silent

_LEAST_STALE_S = 1.0


def batch(
    folder: str | Path,
    verb: str = "reconstruct",
    *,
    workers: int | None = None,
    engine: str = "local",
    scheduler: str | None = None,
    settings: Mapping[str, Any] | None = None,
    redo: Literal["failed"] | None = None,
    wait: bool = True,
    stale_s: float = STALE_S,
    progress: Progress = silent,
) -> BatchResult:
    """Run a verb on every session of a folder that is not done; write batch.json and batch.html there.

    The folder is the queue: any number of machines that share it may run the same at once; see
    ``mvcap.batching.claims``. verb: a job of the table of names. workers: processes, by default one a processor;
    engine: ``local`` or ``dask``, the latter with the address of a scheduler or a cluster of this machine. settings: of
    the verb, the same for all. redo: also those that failed before. wait: for sessions that other machines hold; they
    are taken over when their heartbeat is older than stale_s.
    A session that fails is told in the result, and the others go on. Raises InputError for a folder without sessions or
    sessions that were done with other settings, SessionError where the folder cannot be written.
    """
    begun, place = time.monotonic(), Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: no such folder; give the folder that holds the sessions")
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: give one process or more")
    if not stale_s >= _LEAST_STALE_S:
        raise InputError(f"--stale {stale_s:g}: give {_LEAST_STALE_S:g} s or more")
    if redo not in (None, "failed"):
        raise InputError(f"--redo {redo}: give failed, or nothing")
    asked = _plain_settings(settings or {})
    runner = find_plugin("runner", engine)(workers or _processors(), scheduler)
    find_plugin("job", verb)().check(asked)
    queue = WorkQueue.open(place, verb, stale_s)
    _forget(queue, asked, redo)
    runner.run(queue, asked, wait, progress)
    queue.remove_leftovers()
    result = batch_result(queue, time.monotonic() - begun)
    write_batch_report(result)
    return result


def _plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them: they are sent to processes and kept in records."""
    try:
        made: dict[str, Any] = json.loads(json.dumps(settings, default=_plain_value))
    except (TypeError, ValueError) as fault:
        raise ConfigError(f"settings of a batch are numbers, texts, lists and sections of these: {fault}") from fault
    return made


def _plain_value(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} is none of these")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _forget(queue: WorkQueue, settings: Mapping[str, Any], redo: str | None) -> None:
    """Remove records of what is to be done again; InputError for what was done with other settings."""
    ended = queue.state().ended
    again = [name for name, state in ended.items() if state == "failed" and redo == "failed"]
    others = []
    for name in (name for name, state in ended.items() if state == "done"):
        record = queue.read_record(name)
        if not queue.job.stands(queue.folder / name, record.get("facts") or {}):
            again.append(name)
        elif record.get("settings") != settings:
            others.append(name)
    if others:
        more = "" if len(others) == 1 else f" and {len(others) - 1} more"
        raise InputError(
            f"{queue.folder / others[0]}{more}: done with other settings than these; give the same --set, or remove "
            f"{queue.place} to run all of them again"
        )
    queue.forget_records(again)
