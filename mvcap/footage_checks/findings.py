"""What a check of footage found: one finding each, and their kinds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
"""Error: the footage cannot be used as it is. Warning: results suffer. Note: it is handled, or small."""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
KINDS = (
    "unreadable", "truncated", "damaged", "timestamps", "size change", "gap", "jitter", "rate change",
    "rate difference", "drift", "length", "frozen", "repeated pictures", "exposure", "same camera", "changed",
)  # fmt: skip
"""Kinds of findings, in the order in which they are listed."""


@dataclass(frozen=True)
class FootageFinding:
    """One thing that is wrong with one view, or with two or more together.

    start_s, stop_s: where in the footage, s from the zero of its container; None if it is all of it, or has no place.
    figures: what was measured, by name. meaning, advice: one line each, what it is and what to do. repairable: whether
    ``--repair`` writes a copy without it.
    """

    kind: str
    severity: Severity
    views: tuple[str, ...]
    meaning: str
    advice: str
    start_s: float | None = None
    stop_s: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    repairable: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values, for JSON."""
        figures = {name: value if isfinite(value) else None for name, value in self.figures.items()}
        return {**asdict(self), "views": list(self.views), "figures": figures}


def by_severity(findings: list[FootageFinding]) -> list[FootageFinding]:
    """Return findings by severity, then kind, then place."""
    return sorted(
        findings, key=lambda one: (SEVERITIES.index(one.severity), KINDS.index(one.kind), one.views, one.start_s or 0.0)
    )


def counted(count: int, noun: str) -> str:
    """Return "1 picture" or "2 pictures"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed_times(times_s: list[float], most: int = 5) -> str:
    """Return "0.52 s, 1.20 s and 7 more"."""
    shown = ", ".join(f"{time_s:.2f} s" for time_s in times_s[:most])
    return shown + (f" and {len(times_s) - most} more" if len(times_s) > most else "")
