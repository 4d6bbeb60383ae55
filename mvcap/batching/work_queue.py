"""The items of a folder as a queue: which are open, held, done and failed, with one file of record for each ended one.

FOLDER/.mvcap_batch/VERB/NAME.N.claim   a process works on the item, see ``mvcap.batching.claims``
FOLDER/.mvcap_batch/VERB/NAME.done      what came out, JSON
FOLDER/.mvcap_batch/VERB/NAME.failed    why nothing did, JSON

Claims and records are in one folder: who has made a claim has changed it, and so sees the records that were there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from calib.bounded_files import bounded_text
from mvcap.batching.claims import STALE_S, Claim, Claims, file_key
from mvcap.batching.job import Job
from mvcap.errors import SessionError
from mvcap.plugins import find_plugin
from mvcap.structures.npz import write_text
from mvcap.structures.own_files import is_locked

FOLDER = ".mvcap_batch"
MOST_ATTEMPTS = 3
"""An item whose process has ended so often without a result, as for want of memory, has failed."""
DIED = (
    f"the process that worked on it ended {MOST_ATTEMPTS} times without a result (was it killed, or out of memory?); "
    "run it alone to see why"
)
Ended = Literal["done", "failed"]


@dataclass(frozen=True)
class QueueState:
    """What is ended, what is held by a live process, and what can be taken, by name of item, in order of the items."""

    ended: dict[str, Ended]
    held: tuple[str, ...]
    open: tuple[str, ...]


@dataclass(frozen=True)
class WorkQueue:
    """The items of a folder for one verb. stale_s: as of ``Claims``."""

    folder: Path
    verb: str
    """A job of the table of names, or ``"package.module:Name"``."""
    names: tuple[str, ...]
    stale_s: float = STALE_S
    tried: dict[str, float] = field(default_factory=dict, compare=False)
    """Items that another program works on (not a batch), and when this process found that, on its own clock, s."""

    @classmethod
    def open(cls, folder: Path, verb: str, stale_s: float = STALE_S) -> WorkQueue:
        """Find the items of a folder and make the place of its records; SessionError if that cannot be written."""
        queue = cls(folder, verb, (), stale_s)
        names = tuple(queue.job.items(folder))
        try:
            queue.place.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            why = fault.strerror or fault
            raise SessionError(f"{queue.place} cannot be made: {why}; choose a folder that can be written") from fault
        return cls(folder, verb, names, stale_s)

    @property
    def job(self) -> Job:
        """The job of the verb; PluginError if there is none of that name."""
        made: Job = find_plugin("job", self.verb)()
        return made

    @property
    def place(self) -> Path:
        """The folder of claims and records."""
        return self.folder / FOLDER / self.verb.replace(":", "_")

    @property
    def claims(self) -> Claims:
        """The claims on the items."""
        return Claims(self.place, self.stale_s)

    def state(self) -> QueueState:
        """Return what is ended, held and open, from one look at the folder and at the claims of what is not ended."""
        numbers, found = self.claims.numbers(), set(self.claims.files())
        ended: dict[str, Ended] = {}
        held, free = [], []
        for name in self.names:
            key = file_key(name)
            if f"{key}.done" in found:
                ended[name] = "done"
            elif f"{key}.failed" in found:
                ended[name] = "failed"
            elif key in numbers and not self.claims.is_stale(key, numbers[key]):
                held.append(name)
            else:
                free.append(name)
        return QueueState(ended, tuple(held), tuple(free))

    def take(self, name: str) -> Claim | None:
        """Claim an item; None if it is ended or another process holds it, or was faster."""
        key = file_key(name)
        number = self._number(key)
        if self._has_record(key) or (number and not self.claims.is_stale(key, number)):
            return None
        claim = self.claims.take(key, number + 1)
        if claim is None:
            return None
        if self._has_record(key):  # it was ended between the look and the claim
            self.claims.forget(key)
            return None
        if number >= MOST_ATTEMPTS:
            self.record(claim, name, "failed", {"reason": DIED})
            return None
        return claim

    def record(self, claim: Claim, name: str, ended: Ended, facts: Mapping[str, Any]) -> bool:
        """Write what became of an item and remove its claims; False, and nothing, where the claim was taken over.

        SessionError if it cannot be written; the claim is then released.
        """
        if not claim.is_held():
            return False
        holder = claim.holder
        whole = {
            "item": name,
            "state": ended,
            **facts,
            "seconds": round(time.time() - holder.begun, 3),
            "host": holder.host,
            "pid": holder.pid,
            "begun": holder.begun,
            "attempt": claim.number,
        }
        try:
            write_text(self.place / f"{claim.key}.{ended}", json.dumps(whole, indent=1) + "\n")
        except SessionError:
            claim.release()
            raise
        self.claims.forget(claim.key)
        return True

    def read_record(self, name: str) -> dict[str, Any]:
        """Return the record of an ended item; empty if there is none or it is damaged."""
        for ended in ("done", "failed"):
            with suppress(OSError, ValueError):
                found = json.loads(bounded_text(self.place / f"{file_key(name)}.{ended}"))
                if isinstance(found, dict) and found.get("state") == ended:
                    return found
        return {}

    def forget_records(self, names: Iterable[str]) -> None:
        """Remove the records of items, so that they can be taken again; SessionError if they cannot be removed."""
        for name in names:
            for ended in ("done", "failed"):
                path = self.place / f"{file_key(name)}.{ended}"
                try:
                    path.unlink(missing_ok=True)
                except OSError as fault:
                    raise SessionError(f"{path} cannot be removed: {fault.strerror}; make it writable") from fault

    def release_dead(self) -> None:
        """Remove the last claim of every item whose process has ended on this host, so that it counts as no attempt."""
        for key, number in self.claims.numbers().items():
            held = self.claims.holder(key, number)
            if held is not None and held.is_dead():
                with suppress(OSError):
                    self.claims.path(key, number).unlink()

    def remove_leftovers(self) -> None:
        """Remove temporary files that killed processes left, once they are older than any process that writes one."""
        with suppress(OSError):
            for path in self.place.glob(".*"):
                old = time.time() - path.stat().st_mtime > max(self.stale_s, STALE_S)
                if old and not is_locked(path):
                    path.unlink(missing_ok=True)

    def holders(self, names: Iterable[str]) -> list[str]:
        """Return the hosts, each once, whose processes hold items."""
        numbers = self.claims.numbers()
        keys = [key for key in map(file_key, names) if key in numbers]
        found = (self.claims.holder(key, numbers[key]) for key in keys)
        return sorted({held.host for held in found if held is not None})

    def _has_record(self, key: str) -> bool:
        return any((self.place / f"{key}.{ended}").exists() for ended in ("done", "failed"))

    def _number(self, key: str) -> int:
        """The highest number of the claims on a key, 0 if it has none."""
        number = 0
        while self.claims.path(key, number + 1).exists():
            number += 1
        return number
