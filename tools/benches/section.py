"""One table of the bench: what was asked for, the clock, and how a table is printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass
class Options:
    """What was asked for."""

    quick: bool
    work: Path
    data: Path
    """Folder of the benchmarks' own data (shelf_dev, mvor_dev, ...)."""
    peers: bool = False
    """Install and run the programs of others too."""
    out: Path | None = None
    """Folder for the plots."""


@dataclass
class Section:
    """Tables under one title, and lines of facts below them."""

    title: str
    measured: str
    tables: dict[str, list[Row]] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)

    def add(self, table: str, row: Row) -> None:
        """Put a row at the end of a table."""
        self.tables.setdefault(table, []).append(row)


@dataclass
class Clock:
    """Wall and processor seconds of a block of work."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def clock() -> Iterator[Clock]:
    """Time a block."""
    out, wall, cpu = Clock(), time.perf_counter(), time.process_time()
    yield out
    out.wall_s, out.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


def say(line: str) -> None:
    """Tell what is being done, beside the tables."""
    print(f"  .. {line}", file=sys.stderr, flush=True)


def printed(section: Section, seconds: float) -> None:
    """Print the tables; a key that some rows of a table lack is shown as a dash there."""
    print(f"\n{section.title}   [{seconds:.0f} s]\n  {section.measured}")
    for name, table in section.tables.items():
        keys = list(dict.fromkeys(key for row in table for key in row))
        cells = [keys, *([_shown(row.get(key)) for key in keys] for row in table)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        print(f"\n  {name}")
        for first, *rest in cells:
            padded = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
            print("  " + "  ".join([first.ljust(widths[0]), *padded]))
    print()
    for fact in section.facts:
        print(f"  {fact}")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "-" if value is None else str(value)
