"""The report over all items of a batch: batch.json, batch.html, and a table of text."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvcap.batching.work_queue import WorkQueue
from mvcap.structures.npz import write_text

_HEAD = ("session", "state", "verdict", "seconds", "about")
_STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.3em .9em;border-bottom:1px solid #ddd;vertical-align:top}"
    "td:nth-child(4){text-align:right}.failed{background:#fbe9e7}.left{background:#fff8e1}"
)


@dataclass(frozen=True)
class BatchResult:
    """What became of the items of a folder.

    sessions: one dictionary an item, in order, with ``item`` and ``state``: "done" (then ``facts``), "failed" (then
    ``reason``), "in work" (another process holds it) or "left"; and of ended ones ``seconds``, ``host``, ``attempt``.
    """

    folder: Path
    verb: str
    sessions: tuple[dict[str, Any], ...]
    seconds: float

    def count(self, state: str) -> int:
        """Return how many items are in a state."""
        return sum(one["state"] == state for one in self.sessions)

    @property
    def complete(self) -> bool:
        """Whether every item is done."""
        return self.count("done") == len(self.sessions)

    def summary(self) -> str:
        """One line: how many are done, failed, in work and left."""
        told = [f"{self.count(state)} {state}" for state in ("done", "failed", "in work", "left")]
        return f"{len(self.sessions)} sessions: {', '.join(one for one in told if not one.startswith('0 '))}"

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        states = {state.replace(" ", "_"): self.count(state) for state in ("done", "failed", "in work", "left")}
        about = {"folder": str(self.folder), "verb": self.verb, "seconds": round(self.seconds, 2)}
        return {**about, **states, "sessions": list(self.sessions)}

    def rows(self) -> list[tuple[str, ...]]:
        """The table of the report: session, state, verdict, seconds, about."""
        return [_row(one) for one in self.sessions]


def batch_result(queue: WorkQueue, seconds: float) -> BatchResult:
    """Collect the records of a queue."""
    state = queue.state()
    sessions: list[dict[str, Any]] = []
    for name in queue.names:
        record = queue.read_record(name)
        if record:
            sessions.append(record)
        else:
            sessions.append({"item": name, "state": "in work" if name in state.held else "left"})
    return BatchResult(queue.folder, queue.verb, tuple(sessions), seconds)


def write_batch_report(result: BatchResult) -> tuple[Path, Path]:
    """Write batch.json and batch.html into the folder, each a whole file; SessionError if they cannot be written."""
    files = result.folder / "batch.json", result.folder / "batch.html"
    write_text(files[0], json.dumps(result.as_dict(), indent=1) + "\n")
    write_text(files[1], _page(result))
    return files


def text_table(rows: Sequence[tuple[str, ...]], most: int = 0) -> list[str]:
    """Return lines of a table with its head; ``most`` limits the characters of a line, 0 does not."""
    whole = [_HEAD, *rows]
    widths = [max(len(row[column]) for row in whole) for column in range(len(_HEAD) - 1)]
    padded = [[*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]] for row in whole]
    lines = ["  ".join(row) for row in padded]
    return [line.rstrip() if not most or len(line) <= most else f"{line[: most - 3]}..." for line in lines]


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    facts = one.get("facts") or {}
    seconds = f"{one['seconds']:.1f}" if "seconds" in one else ""
    about = one.get("reason") or facts.get("about") or ""
    return str(one["item"]), str(one["state"]), str(facts.get("verdict") or ""), seconds, str(about)


def _page(result: BatchResult) -> str:
    lines = []
    for one, row in zip(result.sessions, result.rows(), strict=True):
        cells = [html.escape(cell) for cell in row]
        if page := (one.get("facts") or {}).get("page"):
            cells[0] = f'<a href="{html.escape(_link(str(page)))}">{cells[0]}</a>'
        kind = "" if one["state"] == "done" else ' class="failed"' if one["state"] == "failed" else ' class="left"'
        lines.append(f"<tr{kind}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    title = html.escape(f"{result.verb}: {result.folder.resolve().name}")
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{html.escape(result.summary())}, {result.seconds:.0f} s</p>\n<table><tr>{head}</tr>\n"
        + "\n".join(lines)
        + "\n</table></html>\n"
    )


def _link(page: str) -> str:
    from urllib.parse import quote

    return quote(page)
