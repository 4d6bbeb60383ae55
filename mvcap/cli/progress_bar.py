"""Progress bar of the command line, drawn on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mvcap.progress import Progress, silent


@contextmanager
def bar(quiet: bool, unit: str = "frames") -> Iterator[Progress]:
    """Draw progress with rate and time left on standard error; nothing if quiet or if that is not a terminal.

    unit: what is counted.
    """
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + "  {task.fields[rate]:>6} /s "),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Bar(*columns, console=Console(stderr=True)) as bar:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, rate="")
            speed = bar.tasks[tasks[stage]].speed
            bar.update(tasks[stage], completed=done, rate=f"{speed:.1f}" if speed else "")

        yield show
