"""Folders that are made in pieces: built beside their place, where an interrupted run leaves them and the next goes on.

Every file in it is renamed into place once it is whole, so what is there is done.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mvcap.datasets.output_folder import check_new
from mvcap.errors import InputError, MvcapError, SessionError
from mvcap.structures.npz import remedy, write_text
from mvcap.structures.own_files import folder_in_use

PIECES = "pieces"
"""Folder of what is needed until all is made."""
_ASKED = "asked.json"


@contextmanager
def resumed_folder(out: Path, asked: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folder ``OUT.unfinished`` to write into, new or as an interrupted run with the same settings left it.

    It becomes ``out`` on success, without its ``PIECES``; after a fault it stays if a file was finished. asked: what
    the result depends on, plain values. Raises InputError if ``out`` exists and is not an empty folder, where another
    process is at work, or where what is unfinished is of other settings; SessionError if the disk is full.
    """
    check_new(out)
    place = out.with_name(f"{out.name}.unfinished")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with folder_in_use(place):
            _begin(place, asked)
            yield place
            shutil.rmtree(place / PIECES, ignore_errors=True)
            (place / _ASKED).unlink()
            if out.exists():
                out.rmdir()
            place.rename(out)
    except BlockingIOError as fault:
        raise InputError(f"{out}: another process is making it; wait for it, or give another folder") from fault
    except (OSError, MvcapError) as fault:
        cause = fault if isinstance(fault, OSError) else fault.__cause__
        if not isinstance(cause, OSError) or (isinstance(fault, MvcapError) and str(place) not in str(fault)):
            raise
        raise SessionError(
            f"{out} cannot be written: {cause.strerror or cause}; {remedy(cause, 'choose a writable folder')}, then "
            "run the same again: it goes on where it stopped"
        ) from fault
    finally:
        _remove_if_nothing_is_done(place)


def _begin(place: Path, asked: Mapping[str, Any]) -> None:
    """Note what was asked, or check that the same was; remove what a killed process had half written."""
    wanted = json.loads(json.dumps(asked))
    if any(place.iterdir()):
        try:
            held = json.loads((place / _ASKED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            held = None
        if not isinstance(held, dict):
            raise InputError(f"{place}: is in the way, and nothing that can be gone on with; remove it")
        other = [name for name in sorted({*held, *wanted}) if held.get(name) != wanted.get(name)]
        if other:
            named = ", ".join(f"{name} {held.get(name)}, not {wanted.get(name)}"[:120] for name in other[:3])
            raise InputError(f"{place}: was begun with {named}; run it with those again, or remove it")
        for path in [one for one in place.rglob(".*") if one.is_file() and not one.is_symlink()]:
            path.unlink()
    else:
        write_text(place / _ASKED, json.dumps(wanted, indent=1))


def _remove_if_nothing_is_done(place: Path) -> None:
    done = [path for path in place.rglob("*") if path.is_file() and path.name != _ASKED and path.name[0] != "."]
    if (place / _ASKED).exists() and not done:
        shutil.rmtree(place, ignore_errors=True)
    elif place.is_dir() and not any(place.iterdir()):
        place.rmdir()
