"""Folders that are made whole: built beside their place under a temporary name, and renamed once all is written."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mvcap.errors import InputError, SessionError
from mvcap.structures.npz import remedy, written_whole
from mvcap.structures.own_files import is_locked, lock

_LOCK = ".being_written"


@contextmanager
def built_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder to write into, which becomes ``out`` on success and is removed otherwise.

    What a killed process left beside ``out`` is removed. Raises InputError if ``out`` exists and is not an empty
    folder, SessionError if it cannot be written or the disk is full.
    """
    check_new(out)
    _remove_leftovers(out)
    place = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        place.mkdir(parents=True)
        with (place / _LOCK).open("xb") as held:
            lock(held.fileno())
            yield place
            (place / _LOCK).unlink()
            if out.exists():
                out.rmdir()
            place.rename(out)
    except OSError as fault:
        raise SessionError(
            f"{out} cannot be written: {fault.strerror or fault}; {remedy(fault, 'choose a writable folder')}"
        ) from fault
    except SessionError as fault:  # of a file in the temporary folder, which the user has never heard of
        cause = fault.__cause__
        why = cause.strerror or cause if isinstance(cause, OSError) else None
        if why is None or str(place) not in str(fault):
            raise
        raise SessionError(f"{out} cannot be written: {why}; {remedy(fault, 'choose a writable folder')}") from fault
    finally:
        shutil.rmtree(place, ignore_errors=True)


def check_new(out: Path) -> None:
    """Raise InputError if there is something at a place that is not an empty folder."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InputError(f"{out}: there is something already; give a new folder, or remove it first")


def _remove_leftovers(out: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(out.name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for path in out.parent.iterdir():
            mine = pattern.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
            if mine and (path / _LOCK).exists() and not is_locked(path / _LOCK):
                shutil.rmtree(path, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of bytes whole; SessionError if it cannot be written."""
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def place_copy(source: Path, target: Path) -> None:
    """Make a file appear at another place: as a second name of the same data, or a copy where there are no such names.

    Raises SessionError if it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except OSError as fault:
        raise SessionError(
            f"{target} cannot be written: {fault.strerror or fault}; {remedy(fault, 'choose a writable folder')}"
        ) from fault
