"""Progress of a stage: verbs call a callback; the command line draws a bar, the default does nothing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the frames done and the total number of frames."""


def silent(stage: str, done: int, total: int) -> None:
    """Ignore the progress."""
