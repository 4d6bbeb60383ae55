"""Claims on names in a shared folder: one process at a time works on a name, and a dead one's claim is taken over.

The N-th claim on a name is the file NAME.N.claim. It is written whole under another name and then linked to its own,
which one process only can do, on NFS, too. Its holder renews the file's time (the heartbeat). A claim is stale if its
process has ended on this host, or if its heartbeat is older than a limit by the clock of the file server, which the
time of a file written just now tells. A stale claim is never removed to take it over, since two processes might do so
at once: claim N + 1 is made, again by one process only, and the highest number holds.

Assumed of the file system: ``link`` (or exclusive creation, where it has no links) and ``rename`` are atomic; a process
that has changed a folder sees its present entries; times of files are set by one clock. Local file systems and NFS 3
and 4 are such.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mvcap.batching.holder import Holder
from mvcap.errors import SessionError
from mvcap.structures.npz import remedy

STALE_S = 120.0
"""Default age of a heartbeat from which its claim is stale, s; NFS may show times of files that are 60 s old."""
_SUFFIX = ".claim"
_LONGEST_KEY = 180  # bytes; names of files have at most 255
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def file_key(name: str) -> str:
    """Return the name of an item as the start of a file's name: as it is, or shortened with a hash of the whole."""
    raw = os.fsencode(name)
    if len(raw) <= _LONGEST_KEY:
        return name
    return f"{os.fsdecode(raw[: _LONGEST_KEY - 60])}~{hashlib.sha256(raw).hexdigest()[:40]}"


@dataclass(frozen=True)
class Claims:
    """The claims in a folder. stale_s: age of a heartbeat from which its claim can be taken over, s."""

    folder: Path
    stale_s: float = STALE_S

    @property
    def heartbeat_s(self) -> float:
        """How often a holder renews the time of its claim, s."""
        return min(self.stale_s / 6, 10.0)

    def numbers(self) -> dict[str, int]:
        """Return the highest number of the claims on each key that has one."""
        highest: dict[str, int] = {}
        for name in self.files():
            if name.endswith(_SUFFIX) and not name.startswith("."):
                key, _, number = name.removesuffix(_SUFFIX).rpartition(".")
                if key and number.isdecimal():
                    highest[key] = max(highest.get(key, 0), int(number))
        return highest

    def files(self) -> list[str]:
        """Return the names of all files in the folder; SessionError if it cannot be read."""
        try:
            return os.listdir(self.folder)  # noqa: PTH208 - names alone, thousands of them
        except OSError as fault:
            raise SessionError(
                f"{self.folder} cannot be read: {fault.strerror}; it must stay while a batch runs: run it again"
            ) from fault

    def path(self, key: str, number: int) -> Path:
        """Return the file of a claim."""
        return self.folder / f"{key}.{number}{_SUFFIX}"

    def holder(self, key: str, number: int) -> Holder | None:
        """Return who holds a claim; None if it is gone or not whole."""
        with suppress(OSError, UnicodeDecodeError):
            return Holder.parse(self.path(key, number).read_text(encoding="utf-8"))
        return None

    def is_stale(self, key: str, number: int) -> bool:
        """Whether a claim's process is known to have ended, or its heartbeat is too old; False if the claim is gone."""
        path = self.path(key, number)
        try:
            with path.open("rb") as file:  # opening asks the file server, stat may answer from memory
                renewed = os.fstat(file.fileno()).st_mtime
                held = Holder.parse(file.read(65536).decode("utf-8", "replace"))
        except OSError:
            return False
        return (held is not None and held.is_dead()) or self._server_time() - renewed > self.stale_s

    def take(self, key: str, number: int) -> Claim | None:
        """Make the claim of this number; None if another process was faster. SessionError if it cannot be written."""
        held = Holder.this_process()
        temporary, path = self.folder / f".claim.{held.token}", self.path(key, number)
        try:
            try:
                temporary.write_text(held.text(), encoding="utf-8")
                mine = _linked(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as fault:
            path_of = f"{path} cannot be written: {fault.strerror or fault}"
            raise SessionError(f"{path_of}; {remedy(fault, 'choose a folder that can be written')}") from fault
        return Claim(self, key, number, held) if mine else None

    def forget(self, key: str) -> None:
        """Remove all claims on a key, once what became of it is written."""
        for number in range(self.numbers().get(key, 0), 0, -1):
            with suppress(OSError):
                self.path(key, number).unlink()

    def _server_time(self) -> float:
        """The clock that sets the times of files in the folder, s."""
        probe = self.folder / f".clock.{os.getpid()}.{threading.get_ident()}"
        try:
            probe.write_bytes(b"")
            os.utime(probe)
            return probe.stat().st_mtime
        except OSError:
            return 0.0  # a full disk: no claim counts as old
        finally:
            with suppress(OSError):
                probe.unlink()


def _linked(temporary: Path, path: Path) -> bool:
    """Give a file a second name, unless that exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return temporary.stat().st_nlink == 2  # NFS: the answer to the first request was lost
    except OSError as fault:
        if fault.errno not in _NO_LINKS:
            raise
        return _created(temporary, path)
    return True


def _created(temporary: Path, path: Path) -> bool:
    """Create a file with the content of another, unless it exists; for file systems without links."""
    try:
        with path.open("xb") as file:
            file.write(temporary.read_bytes())
    except FileExistsError:
        return False
    return True


@dataclass(frozen=True)
class Claim:
    """A claim of this process."""

    claims: Claims
    key: str
    number: int
    holder: Holder

    def is_held(self) -> bool:
        """Whether the claim is still this process's: its file is there, and no later claim was made."""
        present = self.claims.holder(self.key, self.number)
        later = self.claims.path(self.key, self.number + 1)
        return present is not None and present.token == self.holder.token and not later.exists()

    def release(self) -> None:
        """Give the claim up; the name can be claimed again."""
        if self.is_held():
            with suppress(OSError):
                self.claims.path(self.key, self.number).unlink()

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Renew the claim's time from a thread until the block ends."""
        ended = threading.Event()
        path = self.claims.path(self.key, self.number)

        def renew() -> None:
            while not ended.wait(self.claims.heartbeat_s):
                with suppress(OSError):  # a network may be away for a moment
                    os.utime(path)

        thread = threading.Thread(target=renew, name=f"heartbeat {self.key}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
