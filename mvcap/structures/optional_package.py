"""Packages that only some uses need: imported when they are used, with one line where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from mvcap.errors import InputError


def optional_package(module: str, name: str, extra: str, needed_by: str) -> Any:
    """Return a module of an extra of mvcap.

    name: of the package, for people; needed_by: what it is needed for. InputError that names the extra where it is not
    installed or cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as fault:
        raise InputError(f'{needed_by} needs {name} ({fault}): pip install "mvcap[{extra}]"') from fault
