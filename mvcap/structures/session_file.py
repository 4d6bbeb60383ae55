"""The file ``session.yaml``: its views, rate, length and notes, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calib.bounded_files import bounded_text, parse_yaml, reason_of
from calib.names import CONTROLS, name_fault
from mvcap.errors import SessionError
from mvcap.structures.timeline import MOST_FRAMES, MOST_HZ

_LARGEST_PX = 1_000_000


@dataclass(frozen=True)
class SessionFile:
    """The content of ``session.yaml``."""

    views: tuple[dict[str, Any], ...]
    """For each view: name, path, size (w, h) px, identity, camera."""
    rate_hz: float
    frames: int
    notes: tuple[str, ...]


def check_names(names: Iterable[object], where: object) -> None:
    """Raise SessionError for a name of a view that ``name_fault`` refuses, or that is there twice."""
    seen: set[object] = set()
    for name in names:
        if fault := name_fault(name):
            raise SessionError(f"{where}: the view name {_short(name)} {fault}; rename the view and its camera")
        if name in seen:
            raise SessionError(f"{where}: two views are named {_short(name)}; give each its own name")
        seen.add(name)


def read_session_file(path: Path) -> SessionFile:
    """Read and check ``session.yaml``; SessionError for one that cannot be read, is damaged or names views badly."""
    try:
        held = parse_yaml(bounded_text(path))
    except FileNotFoundError as fault:
        raise SessionError(f"{path.parent} is not a session (no session.yaml); make one with `mvcap init`") from fault
    except OSError as fault:
        raise SessionError(f"{path} cannot be read ({reason_of(fault)}); make it readable") from fault
    except ValueError as fault:
        raise SessionError(_damaged(path, reason_of(fault))) from fault
    try:
        views = tuple(_view(one) for one in _listed(held["views"], "views"))
        notes = tuple(_text(note, "a note") for note in _listed(held["notes"], "notes"))
        rate, frames = _number(held["rate_hz"], "rate_hz"), held["frames"]
        if not views or not 0 < rate <= MOST_HZ or type(frames) is not int or not 0 < frames <= MOST_FRAMES:
            raise ValueError("views, rate_hz or frames is out of range")
    except KeyError as fault:
        raise SessionError(_damaged(path, f"{fault.args[0]} is missing")) from fault
    except (TypeError, ValueError) as fault:
        raise SessionError(_damaged(path, reason_of(fault))) from fault
    check_names((view["name"] for view in views), path)
    return SessionFile(views, rate, frames, notes)


def _damaged(path: Path, why: str) -> str:
    return f"{path} is damaged ({why}); make a new session with `mvcap init`"


def _view(held: Any) -> dict[str, Any]:
    size = _listed(held["size"], "size")
    if len(size) != 2 or any(type(side) is not int or not 0 < side <= _LARGEST_PX for side in size):
        raise ValueError("the size of a view is not two whole numbers of pixels")
    texts = {key: _text(held[key], key) for key in ("path", "identity")}
    return {"name": held["name"], **texts, "size": tuple(size), "camera": _text(held.get("camera", ""), "camera")}


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or CONTROLS.search(value):
        raise ValueError(f"{what} is no text")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{what} is no number")
    return float(value)


def _short(name: object) -> str:
    text = ascii(name)
    return text if len(text) <= 60 else f"{text[:57]}..."
