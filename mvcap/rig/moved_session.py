"""Moves the rig, the results and the states of a session to another world, all or nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import save_rig
from calib.arrays import Floats
from calib.geometry import transform
from mvcap import stages
from mvcap.errors import InputError, SessionError
from mvcap.progress import Progress
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.detections import Detections2D
from mvcap.structures.npz import remedy, write_text
from mvcap.structures.pose_stream import move_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import GIVEN_RIG, Session
from mvcap.structures.table import Table

_STAGED, _READY = ".level", "ready"
_COPIED = ("rig.yaml", GIVEN_RIG, "timeline.npz", "config.yaml")


def move_session(session: Session, new_from_old: Floats, scale: float, progress: Progress) -> None:
    """Multiply a session's lengths by `scale` and move it by new_from_old (4, 4): rig, poses, covariances and states.

    Everything is written beside the old files first, then renamed; ``finish_move`` goes on with what was interrupted.
    Fingerprints of the stages follow from the new rig, so that each counts as done. Raises SessionError where a stage
    is not finished or a file cannot be written; the session is then as it was.
    """
    done = [name for name in stages.STAGES[1:] if session.artefact(name, Table).manifest is not None]
    for name in done:
        if not session.artefact(name, Table).complete:
            raise SessionError(
                f"{session.folder}: stage {name!r} is not done; run `mvcap {name} {session.folder}` first"
            )
    staged = session.folder / _STAGED
    fingerprints: dict[str, str] = {}
    try:
        rig = session.rig.scaled_world(scale) if scale != 1 else session.rig
        staged.mkdir()
        save_rig(rig.moved(new_from_old), staged / "rig.yaml")
        identity = hashlib.sha256((staged / "rig.yaml").read_bytes()).hexdigest()
        before = "estimate"
        for number, name in enumerate(done):
            if name == "associate":
                _stage(session.artefact(name, Detections2D), staged, new_from_old, scale)
            else:
                _stage(session.artefact(name, Poses3D), staged, new_from_old, scale)
            _stage_manifest(session.artefact(name, Table), staged, before, identity, fingerprints)
            before = name
            progress("level", number + 1, len(done))
        write_text(staged / _READY, json.dumps(fingerprints))
    except (OSError, SessionError) as fault:
        shutil.rmtree(staged, ignore_errors=True)
        if isinstance(fault, SessionError):
            raise
        why = fault.strerror or fault
        raise SessionError(f"{staged} cannot be written: {why}; {remedy(fault, 'give --out FOLDER')}") from fault
    finish_move(session)


def finish_move(session: Session) -> None:
    """Rename the files of ``move_session`` into place if all of them were written, else remove them.

    Raises SessionError where that is not possible.
    """
    staged = session.folder / _STAGED
    if not staged.is_dir():
        return
    if staged.is_symlink() or any(path.is_symlink() for path in staged.rglob("*")):
        raise SessionError(f"{staged} contains links, which mvcap does not write; remove the folder")
    try:
        if (staged / _READY).exists():
            fingerprints = json.loads((staged / _READY).read_text(encoding="utf-8"))
            for path in _in_order(staged):
                target = session.folder / path.relative_to(staged)
                if target.parent.is_dir() and not target.is_symlink():
                    path.replace(target)
            _keep_overlays(session.folder, fingerprints)
        shutil.rmtree(staged)
    except (OSError, ValueError) as fault:
        raise SessionError(f"{staged} cannot be put into place ({fault}); make the session writable") from fault


def _in_order(staged: Path) -> Iterator[Path]:
    """The files to rename: the rig, then the chunks of each stage and its manifest."""
    if (staged / "rig.yaml").exists():
        yield staged / "rig.yaml"
    for name in stages.STAGES[1:]:
        folder = staged / "artefacts" / name
        yield from sorted(folder.glob("[0-9]*.npz"))
        yield from folder.glob("manifest.json")


def copy_session(session: Session, folder: Path) -> Session:
    """Copy a session without its files, pictures and report into a new folder, session.yaml last; return the copy.

    Raises InputError for a folder that exists, SessionError if it cannot be written.
    """
    if folder.exists():
        raise InputError(f"{folder} exists already; choose another folder")
    try:
        for source in _sources(session):
            target = folder / source.relative_to(session.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    except OSError as fault:
        shutil.rmtree(folder, ignore_errors=True)
        why = fault.strerror or fault
        raise SessionError(f"{folder} cannot be written: {why}; {remedy(fault, 'choose another folder')}") from fault
    return Session.open(folder)


def _sources(session: Session) -> Iterator[Path]:
    yield from (session.folder / name for name in _COPIED if (session.folder / name).is_file())
    for name in stages.STAGES:
        folder = session.folder / "artefacts" / name
        yield from sorted(folder.glob("[0-9]*.npz"))
        yield from folder.glob("manifest.json")
    yield session.folder / "session.yaml"


def _stage(place: Artefact[Detections2D] | Artefact[Poses3D], staged: Path, new_from_old: Floats, scale: float) -> None:
    """Write the moved chunks of an artefact."""
    made: Artefact[Any] = Artefact(staged / "artefacts" / place.name, place.kind)
    for start, _ in place.ranges():
        rows = place.read(start)
        moved = move_poses(rows, new_from_old, scale) if isinstance(rows, Poses3D) else rows
        made.write(start, moved, move_state(place.state(start), new_from_old, scale))


def move_state(state: Mapping[str, NDArray[Any]], new_from_old: Floats, scale: float) -> dict[str, NDArray[Any]]:
    """Return an associator's state in another world: the people tracked (``TrackedBodies.state``); the rest stays."""
    R, out = new_from_old[:3, :3], dict(state)
    if {"xyz", "cov", "velocity"} <= state.keys():
        out["xyz"] = transform(new_from_old, scale * state["xyz"])
        out["cov"] = scale**2 * (R @ state["cov"] @ R.T)
        out["velocity"] = scale * (state["velocity"] @ R.T)
    return {name: np.asarray(value) for name, value in out.items()}


def _stage_manifest(
    place: Artefact[Any], staged: Path, before: str, rig_identity: str, fingerprints: dict[str, str]
) -> None:
    """Write the manifest of a moved artefact: its inputs are the moved ones; note old and new fingerprint."""
    manifest = place.manifest or {}
    inputs = {**manifest["inputs"], "rig": rig_identity}
    if before in inputs:
        inputs[before] = fingerprints.get(inputs[before], inputs[before])
    made = Origin(place.name, manifest["version"], manifest["settings"], inputs).fingerprint
    fingerprints[manifest["fingerprint"]] = made
    held = {**manifest, "inputs": inputs, "fingerprint": made}
    path = staged / "artefacts" / place.name / "manifest.json"
    write_text(path, json.dumps(held, indent=1, sort_keys=True) + "\n")


def _keep_overlays(folder: Path, fingerprints: Mapping[str, str]) -> None:
    """Let the overlay videos count as those of the moved results: what they show is the same in any world."""
    stamp = folder / "overlays" / "made_from.json"
    with suppress(OSError, UnicodeDecodeError):
        text = stamp.read_text(encoding="utf-8")
        for old, new in fingerprints.items():
            text = text.replace(old, new)
        write_text(stamp, text)
