"""Which process holds a claim: its host, its number there, and whether it still runs."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """A process that works on an item; ``token`` is new for each claim."""

    host: str
    place: str
    """The boot of the host and the namespace of its process numbers; "" where the system does not tell."""
    pid: int
    started: str
    """When the process began, in ticks since boot: process numbers are used again. "" where it is not known."""
    begun: float
    """When the claim was made, seconds since 1970, by the clock of the host."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def this_process(cls) -> Holder:
        """Return a new holder for a claim of this process."""
        return cls(socket.gethostname(), _place(), os.getpid(), started_ticks(os.getpid()), time.time())

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Return the holder that a claim's file names; None for a file that is not (yet) whole."""
        try:
            held = json.loads(text)
            kinds = {"host": str, "place": str, "pid": int, "started": str, "begun": float, "token": str}
            if not isinstance(held, dict) or any(type(held.get(name)) is not kind for name, kind in kinds.items()):
                return None
            return cls(**{name: held[name] for name in kinds})
        except ValueError:
            return None

    def text(self) -> str:
        """Return the content of a claim's file."""
        return json.dumps(asdict(self)) + "\n"

    def is_dead(self) -> bool:
        """Whether the process is known to have ended: only this host, since its last start, can tell."""
        if (self.host, self.place) != (socket.gethostname(), _place()) or os.name == "nt":
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False  # it runs, as another user
        now = started_ticks(self.pid)
        return bool(self.started and now and now != self.started) or is_zombie(self.pid)


def started_ticks(pid: int) -> str:
    """Return when a process began, in ticks since boot; "" where the system does not tell."""
    return _stat(pid, 19)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits for its parent to ask for its status."""
    return _stat(pid, 0) in ("Z", "X")


def _stat(pid: int, number: int) -> str:
    """A field of /proc/PID/stat, counted from the state; the program's name before it may hold anything."""
    with suppress(OSError, IndexError):
        whole = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return whole.rpartition(")")[2].split()[number]
    return ""


@cache
def _place() -> str:
    parts = []
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)
