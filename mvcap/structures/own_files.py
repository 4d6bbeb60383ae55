"""What mvcap writes into a session's folder: links among it are refused, only its own files are ever deleted.

A session may come from somebody else. A link in it would let a stage write, or delete, outside the session.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mvcap.errors import SessionError

FILES = ("session.yaml", "rig.yaml", "timeline.npz", "config.yaml", "poses.npz", "report.html", "report.json")
FOLDERS = ("artefacts", "clouds", "exports", "masks", "overlays", "plots", "proxies")
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}(?P<suffix>\.[^.]+)?|\..+-[0-9a-f]{8}\.mp4")
_RIG_PART = re.compile(r"\.rig\.yaml\.(?P<process>[0-9]{1,10})\.part")
_CHUNK = re.compile(r"[0-9]{7,}\.npz|manifest\.json")


def refuse_links(folder: Path, footage: Iterable[str]) -> None:
    """Raise SessionError, which names it, for a link in a session's folder; those of its footage are allowed.

    A link of the footage has none of mvcap's own names: it is only read.
    """
    places = [Path(path).absolute() for path in footage if path]
    allowed = {part.parent.resolve() / part.name for place in places for part in (place, *place.parents)}
    for entry in _entries(folder):
        if not entry.is_symlink():
            continue
        path = Path(entry.path)
        top = path.relative_to(folder).parts[0]
        if top in (*FILES, *FOLDERS) or path.parent.resolve() / path.name not in allowed:
            raise SessionError(
                f"{path} is a link; what is in a session must lie in its folder: replace the link by a copy, or "
                "remove it"
            )


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a session's folder, and nothing else.

    A file that is being written is locked by its process (``written_whole``); where there are no locks it is kept.
    """
    for entry in _entries(folder):
        with suppress(OSError):
            if entry.is_file(follow_symlinks=False) and _is_leftover(entry):
                Path(entry.path).unlink()


def remove_artefact(folder: Path) -> None:
    """Delete the files of an artefact, the manifest first, and its folder unless something else lies in it.

    Raises SessionError where the folder is a link or cannot be written.
    """
    if folder.is_symlink():
        raise SessionError(f"{folder} is a link; what is in a session must lie in its folder: remove the link")
    try:
        (folder / "manifest.json").unlink(missing_ok=True)
    except OSError as fault:
        raise SessionError(f"{folder} cannot be removed: {fault.strerror}; make it writable") from fault
    with suppress(OSError):
        for path in folder.iterdir():
            if _CHUNK.fullmatch(path.name) and not path.is_dir():
                path.unlink()
        folder.rmdir()  # fails where something is in it that mvcap did not write


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a session's folder, and all below mvcap's own folders; links are not followed."""
    waiting = [(folder, True)]
    while waiting:
        place, is_top = waiting.pop()
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False) and (entry.name in FOLDERS or not is_top):
                    waiting.append((Path(entry.path), False))


def _is_leftover(entry: os.DirEntry[str]) -> bool:
    if named := _RIG_PART.fullmatch(entry.name):
        return not _is_running(int(named["process"]))
    found = _TEMPORARY.fullmatch(entry.name)
    if found is None or (found["suffix"] and not found["name"].endswith(found["suffix"])):
        return False
    return not is_locked(Path(entry.path))


def _is_running(process: int) -> bool:
    if os.name == "nt":  # a signal would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed, or its process ends; without effect where there are no locks."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD: set[Path] = set()


@contextmanager
def folder_in_use(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while it is changed, if they ask too; BlockingIOError if one is at work.

    Within a process the folder may be asked for again. The system lifts the lock when the process ends, however it
    does; without effect where there are no locks.
    """
    place = folder.resolve()
    if place in _HELD:
        yield
        return
    with ExitStack() as stack:
        with suppress(ImportError):
            import fcntl

            descriptor = os.open(place, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:
                pass  # a file system without locks
        _HELD.add(place)
        stack.callback(_HELD.discard, place)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process is writing a file; True where that cannot be known."""
    try:
        import fcntl
    except ImportError:
        return False  # Windows: a file that is open cannot be deleted there
    try:
        with path.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
