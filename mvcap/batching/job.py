"""The contract of a job: what ``mvcap batch`` runs over a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Job(Protocol):
    """A verb over many items of a folder; a class without arguments. Its items are named by their paths in it."""

    def items(self, folder: Path) -> list[str]:
        """Return the names of the folder's items, in order; InputError where there is none."""
        ...

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise one of ``mvcap.errors``, naming the key, for settings that cannot be used."""
        ...

    def run(self, item: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Do it, and return facts that JSON can hold: of these the report shows ``verdict``, ``about`` and ``page``.

        page: the path of a page on the item, relative to the folder. Where it was done before, or was interrupted, the
        result is the same as that of one whole run. Errors of ``mvcap.errors`` are reasons that the report shows.
        """
        ...

    def stands(self, item: Path, facts: Mapping[str, Any]) -> bool:
        """Whether the result with these facts is still there and is of the present input."""
        ...
