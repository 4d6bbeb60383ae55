"""The result of a stage on disk: a folder of chunks, one npz per range of frames, and a manifest with its origin.

A chunk is written atomically and contains the stage's state at its end, so an interrupted stage resumes after its last
chunk and its result is identical, byte by byte, to that of an uninterrupted run. An artefact made with other settings
or from other inputs is never used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from calib.bounded_arrays import bounded_arrays
from calib.bounded_files import bounded_bytes, parse_json, reason_of
from mvcap.errors import SessionError, StaleError
from mvcap.structures.npz import write_npz, write_text
from mvcap.structures.own_files import remove_artefact
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.structures.table import Table

T = TypeVar("T", bound=Table)
_STATE = "state."
_MANIFEST: Mapping[str, type] = {
    "fingerprint": str, "version": int, "settings": dict, "inputs": dict, "skeleton": str, "frames": int,
    "chunk_frames": int, "complete": bool,
}  # fmt: skip
_MOST_FRAMES = 100_000_000


@dataclass(frozen=True)
class Origin:
    """Origin of an artefact: the stage, its settings, and the identity of each input."""

    stage: str
    version: int
    """Version of the stage's method; increased when the method changes, so that older artefacts are stale."""
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    def plain(self) -> dict[str, Any]:
        """Return the origin as plain JSON values."""
        held = {"stage": self.stage, "version": self.version, "settings": self.settings, "inputs": self.inputs}
        plain: dict[str, Any] = json.loads(json.dumps(held, sort_keys=True, default=list))
        return plain

    @property
    def fingerprint(self) -> str:
        """Sha256 of the origin; as inputs are fingerprints too, it covers everything down to the footage."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()


class Artefact(Generic[T]):
    """One stage's result in a session folder."""

    def __init__(self, folder: Path, kind: type[T]) -> None:
        self.folder = folder
        self.kind = kind

    @property
    def name(self) -> str:
        """Name of the artefact, which is that of its folder."""
        return self.folder.name

    @property
    def manifest(self) -> dict[str, Any] | None:
        """The content of the manifest, or None if there is no artefact; SessionError if it is damaged."""
        path = self.folder / "manifest.json"
        try:
            loaded: Any = parse_json(bounded_bytes(path))
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise SessionError(f"{path} cannot be read ({reason_of(fault)}); make it readable") from fault
        except ValueError as fault:
            raise SessionError(self._damaged(path, reason_of(fault))) from fault
        if not isinstance(loaded, dict) or not loaded.keys() >= _MANIFEST.keys():
            raise SessionError(self._damaged(path, "incomplete manifest"))
        if wrong := [key for key, kind in _MANIFEST.items() if type(loaded[key]) is not kind]:
            raise SessionError(self._damaged(path, f"{wrong[0]} is not of type {_MANIFEST[wrong[0]].__name__}"))
        if not 0 < loaded["frames"] <= _MOST_FRAMES or loaded["chunk_frames"] < 1:
            raise SessionError(self._damaged(path, "frames or chunk_frames is out of range"))
        return dict(loaded)

    def _damaged(self, path: Path, why: object) -> str:
        return f"{path} is damaged ({why}); remove the folder {self.folder} and run again"

    def begin(self, origin: Origin, skeleton_name: str, frames: int, chunk_frames: int) -> None:
        """Create the artefact, or continue the existing one; StaleError if that has another origin."""
        recorded = self.manifest
        if recorded is not None:
            self._refuse_other(recorded, origin)
            return
        manifest = {
            "format": 1,
            "fingerprint": origin.fingerprint,
            **origin.plain(),
            "skeleton": skeleton_name,
            "frames": frames,
            "chunk_frames": chunk_frames,
            "complete": False,
        }
        self._record(manifest)

    def finish(self, **facts: Any) -> None:
        """Mark the artefact as complete and record facts about it, such as the seconds it took."""
        self._record({**self._recorded(), **facts, "complete": True})

    def note(self, **facts: Any) -> None:
        """Record facts about the artefact while it is being made."""
        self._record({**self._recorded(), **facts})

    def remove(self) -> None:
        """Delete the artefact, the manifest first, so that an interrupted removal leaves no partial artefact.

        What mvcap did not write into its folder stays there.
        """
        remove_artefact(self.folder)

    @property
    def complete(self) -> bool:
        """Whether the artefact exists and is complete."""
        recorded = self.manifest
        return recorded is not None and bool(recorded["complete"])

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the existing artefact."""
        return str(self._recorded()["fingerprint"])

    @property
    def skeleton_name(self) -> str:
        """Name of the skeleton of its rows."""
        return str(self._recorded()["skeleton"])

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of its rows."""
        return skeleton(self.skeleton_name)

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first frame and the end (exclusive) of every chunk."""
        recorded = self._recorded()
        step = int(recorded["chunk_frames"])
        frames = int(recorded["frames"])
        return [(start, min(start + step, frames)) for start in range(0, frames, step)]

    def has(self, start: int) -> bool:
        """Return whether the chunk that begins at a frame exists."""
        return self._chunk(start).exists()

    def write(self, start: int, rows: T, state: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Write one chunk and the stage's state at its end."""
        held = {f"{_STATE}{name}": np.asarray(value) for name, value in (state or {}).items()}
        write_npz(self._chunk(start), {**rows.arrays(), **held})

    def read(self, start: int) -> T:
        """Return the rows of the chunk that begins at a frame; SessionError if it cannot be read."""
        arrays = self._load(start)
        try:
            return self.kind.from_arrays(skeleton(self.skeleton_name), arrays)
        except (LookupError, ValueError, TypeError, ArithmeticError) as fault:
            raise SessionError(self._unreadable(start, reason_of(fault))) from fault

    def state(self, start: int) -> dict[str, NDArray[Any]]:
        """Return the stage's state at the end of the chunk that begins at a frame."""
        return {name.removeprefix(_STATE): value for name, value in self._load(start, _STATE).items()}

    def between(self, start: int, stop: int) -> T:
        """Return the rows of frames start to stop (exclusive), across chunks."""
        parts = [self.read(first) for first, end in self.ranges() if first < stop and end > start]
        rows = self.kind.concatenate(parts, skeleton(self.skeleton_name))
        frame = rows.arrays()["frame"]
        return rows[(frame >= start) & (frame < stop)]

    def chunks(self) -> Iterator[T]:
        """Yield all chunks in the order of frames, with one at a time in memory."""
        for start, _ in self.ranges():
            yield self.read(start)

    def _recorded(self) -> dict[str, Any]:
        recorded = self.manifest
        if recorded is None:
            raise SessionError(f"{self.folder.parent} has no {self.name} yet; run `mvcap {self.name}` first")
        return recorded

    def _record(self, manifest: Mapping[str, Any]) -> None:
        write_text(self.folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    def _chunk(self, start: int) -> Path:
        return self.folder / f"{start:07d}.npz"

    def _load(self, start: int, prefix: str = "") -> dict[str, NDArray[Any]]:
        try:
            return bounded_arrays(self._chunk(start), lambda name: name.startswith(prefix))
        except (OSError, ValueError) as fault:
            raise SessionError(self._unreadable(start, reason_of(fault))) from fault

    def _unreadable(self, start: int, why: object) -> str:
        return f"{self._chunk(start)} cannot be read ({why}); make it again with --redo {self.name}"

    def _refuse_other(self, recorded: Mapping[str, Any], origin: Origin) -> None:
        if recorded["fingerprint"] == origin.fingerprint:
            return
        wanted = origin.plain()
        changes = [
            *_differences(recorded["settings"], wanted["settings"]),
            *(f"input {name}" for name in wanted["inputs"] if recorded["inputs"].get(name) != wanted["inputs"][name]),
        ]
        if recorded["version"] != wanted["version"]:
            changes.append("the method (another version of mvcap)")
        raise StaleError(
            f"{self.folder}: made with other settings or inputs ({'; '.join(changes) or 'origin'}); "
            f"make it again with --redo {self.name}, or restore the previous settings and inputs"
        )


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [line for key in keys for line in _differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))]
    return [] if old == new else [f"{path} was {old!r}, now {new!r}"]
