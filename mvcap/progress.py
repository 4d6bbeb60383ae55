"""How far a stage is: verbs report to a callable, the command line draws it, everyone else hears nothing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the frames done and the frames in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Report to nobody."""
