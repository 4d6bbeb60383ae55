"""The verb ``reconstruct``: all stages in order, then the files and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mvcap import stages
from mvcap.associate import associate
from mvcap.errors import InputError
from mvcap.estimate import estimate
from mvcap.export import export
from mvcap.progress import Progress, silent
from mvcap.refine import refine
from mvcap.report import report
from mvcap.structures.session import Session
from mvcap.track import track
from mvcap.triangulate import triangulate

_VERBS: dict[str, Callable[..., Any]] = {
    "estimate": estimate,
    "associate": associate,
    "triangulate": triangulate,
    "track": track,
    "refine": refine,
}


def reconstruct(
    session: str | Path | Session, *, redo: str | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Take a session from footage to people in 3D, files and a report; return the report's numbers.

    What is done already is kept, an interrupted run goes on where it stood, and what was made with other settings or
    from other inputs is refused (StaleError). ``redo`` names the first stage to remake.
    """
    session = session if isinstance(session, Session) else Session.open(session)
    if redo is not None and redo not in stages.STAGES:
        raise InputError(f"--redo {redo!r}: there is no such stage; there are: {', '.join(stages.STAGES)}")
    for name, verb in _VERBS.items():
        verb(session, redo=name == redo, progress=progress)
    export(session)
    return report(session, progress=progress)
