"""The verb ``mesh``: bodies fitted to the poses of a session, as a mesh per person and frame and as an animation."""

from __future__ import annotations

import importlib.util
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib.arrays import Floats
from calib.bounded_files import bounded_bytes, parse_json
from mvcap import plugins, stages
from mvcap.body_fitting.take_meshes import BodiesOfTake, Chunks, PosedRun, fitted_bodies, posed_runs
from mvcap.body_models.smpl_parameters import SmplFiles
from mvcap.cloud import frame_range
from mvcap.drawing.colours import colour
from mvcap.errors import InputError, SessionError, StaleError
from mvcap.export import take_of
from mvcap.exporters.gltf_skins import SkinFile, SkinnedPerson
from mvcap.exporters.gltf_skins_reader import ANIMATION, FACTS, MESHES
from mvcap.progress import Progress, silent
from mvcap.structures.mesh_file import save_mesh
from mvcap.structures.npz import remedy, write_text
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skinned_body import SkinnedBody

FORMATS = ("ply", "glb", "smpl")
"""ply: a file per person and frame; glb: one animation of all people; smpl: a file of SMPL's parameters per person."""
_PARAMETERS = "smpl"


@dataclass(frozen=True, eq=False)
class MeshFiles:
    """What ``mesh`` wrote."""

    folder: Path
    body: str
    persons: tuple[int, ...]
    meshes: int
    """Bodies of all people and frames."""
    left_out: int
    """Poses without a body, as too few joints are known."""
    distance_mm: float
    """Median distance of the bodies' joints from those of the session."""


def mesh(
    session: str | Path | Session,
    *,
    body: str = "auto",
    smpl: str | Path | None = None,
    formats: Iterable[str] | None = None,
    frames: str | tuple[int, int] | None = None,
    every: int = 1,
    out: str | Path | None = None,
    redo: bool = False,
    progress: Progress = silent,
) -> MeshFiles:
    """Fit a body to every person of a session's poses and write its meshes; the folder appears whole or not at all.

    body: a body model of ``plugins.TABLE`` or ``"package.module:load"``; "auto" is smpl if its file is given, else anny
    where that package is installed, else capsules. smpl: a user's own file of SMPL (.npz). formats: of ``FORMATS``,
    default ply and glb, and smpl of that body.
    frames: "A:B" or (A, B), B exclusive, default all; every: of these, those whose number it divides. out: a folder,
    default SESSION/meshes; one that exists is replaced only with ``redo``, and only if ``mesh`` made it.
    Raises InputError for a body, file or format that cannot be used, SessionError for a session without poses.
    """
    session = Session.of(session)
    wanted = () if formats is None else tuple(dict.fromkeys(formats))
    if unknown := [name for name in wanted if name not in FORMATS] or (formats is not None and not wanted and ["none"]):
        raise InputError(f"unknown format {', '.join(unknown)} of meshes; there are: {', '.join(FORMATS)}")
    if every < 1:
        raise InputError(f"every must be 1 or more, not {every}")
    start, stop = frame_range(frames, session.frames)
    target = session.folder / MESHES if out is None else Path(out)
    take = take_of(session, "refine")
    with stages.sole_use(session), _new_folder(target, redo) as folder:
        model = body_of_name(body, smpl)
        bodies = fitted_bodies(
            model, take.skeleton, take.chunks, lambda frame: start <= frame < stop and frame % every == 0
        )
        wanted = wanted or (FORMATS if model.name == "smpl" else FORMATS[:2])
        origin = {"poses": stages.poses(session, "refine").fingerprint}
        return _written(bodies, take.chunks, (folder, target), wanted, session.rate_hz, take.name, origin, progress)


def mesh_rows(
    poses: Poses3D, *, body: str | SkinnedBody = "auto", smpl: str | Path | None = None, rate_hz: float = 25.0
) -> Iterator[tuple[int, int, Floats]]:
    """Yield person, frame and vertices (V, 3) m of the body fitted to each row of poses in memory.

    Frames of a person ascend; rate_hz is how many there are in a second, by which the motion from frame to frame is
    more or less likely. Triangles are ``body_of_name(body).faces``. Raises InputError as ``mesh`` does.
    """
    model = body if isinstance(body, SkinnedBody) else body_of_name(body, smpl)
    bodies = fitted_bodies(model, poses.skeleton, lambda: [poses])
    for run in posed_runs(bodies, lambda: [poses], rate_hz):
        rest, heads = bodies.rest(run.person)
        for frame, turns, root in zip(run.frames.tolist(), run.turns, run.root, strict=True):
            yield run.person, frame, model.skin(turns, root, rest, heads)


def body_of_name(name: str = "auto", smpl: str | Path | None = None) -> SkinnedBody:
    """Return the body of a name as ``mesh`` takes it; InputError or PluginError if there is none."""
    if name == "auto":
        name = "smpl" if smpl is not None else "anny" if importlib.util.find_spec("anny") else "capsules"
    load: Callable[[Path | None], Any] = plugins.find_plugin("body_model", name)
    made = load(None if smpl is None else Path(smpl))
    if not isinstance(made, SkinnedBody):
        raise InputError(f"the body model {name!r} returned {type(made).__name__}, not a SkinnedBody")
    return made


def _written(
    bodies: BodiesOfTake,
    chunks: Chunks,
    folders: tuple[Path, Path],
    formats: tuple[str, ...],
    rate_hz: float,
    name: str,
    origin: Mapping[str, str],
    progress: Progress,
) -> MeshFiles:
    """Write everything into the first folder, which is to become the second."""
    folder, target = folders
    body, total = bodies.fitted.body, sum(map(len, bodies.frames.values()))
    if not total:
        raise InputError("no person has a body in these frames, as hips and shoulders are not known there")
    people = {person: SkinnedPerson(*bodies.rest(person), frames) for person, frames in bodies.frames.items()}
    distances, done = [], 0
    with ExitStack() as stack:
        files: list[SkinFile | SmplFiles] = []
        if "glb" in formats:
            files.append(stack.enter_context(SkinFile(folder / ANIMATION, body, people, rate_hz, name)))
        if "smpl" in formats:
            shapes = {person: (bodies.fitted.shapes[person], frames) for person, frames in bodies.frames.items()}
            files.append(stack.enter_context(SmplFiles(folder / _PARAMETERS, body, shapes, rate_hz)))
        for run in posed_runs(bodies, chunks, rate_hz):
            distances.append(run.distance.astype(np.float32))
            for file in files:
                file.write(run.person, run.turns, run.root)
            if "ply" in formats:
                _write_run(folder, body, run, people[run.person])
            done += len(run.frames)
            progress("mesh", done, total)
    median = round(1000 * float(np.median(np.concatenate(distances))), 2)
    facts = {
        **origin, "body": body.name, "unit": "m", "axes": "z-up", "rate_hz": rate_hz, "meshes": total,
        "left_out": bodies.left_out, "distance_mm": median,
        "joint_offsets_mm": {name: (1000 * at).round(1).tolist()
                             for name, at in zip(bodies.fitted.names, bodies.fitted.offset, strict=True)},
        "persons": {str(person): {"frames": len(one.frames), "shape": bodies.fitted.shapes[person].round(4).tolist()}
                    for person, one in people.items()},
    }  # fmt: skip
    write_text(folder / FACTS, json.dumps(facts, indent=1))
    return MeshFiles(target, body.name, tuple(people), total, bodies.left_out, median)


def _write_run(folder: Path, body: SkinnedBody, run: PosedRun, person: SkinnedPerson) -> None:
    place = folder / f"person_{run.person:03d}"
    for frame, turns, root in zip(run.frames.tolist(), run.turns, run.root, strict=True):
        vertices = body.skin(turns, root, person.rest, person.heads)
        save_mesh(place / f"{frame:07d}.ply", vertices, body.faces, colour(run.person))


@contextmanager
def _new_folder(target: Path, redo: bool) -> Iterator[Path]:
    """Yield an empty folder beside the target, which takes its place in the end; otherwise it is removed."""
    if target.exists():
        if not _is_ours(target):
            raise InputError(f"{target} exists and was not made by mvcap mesh; give another folder with --out")
        if not redo:
            raise StaleError(
                f"{target} holds meshes already; give --redo to replace them, or another folder with --out"
            )
    folder = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        folder.mkdir(parents=True)
        yield folder
        old = target.rename(folder.with_name(f"{folder.name}.old")) if target.exists() else None
        folder.rename(target)
        if old is not None:
            shutil.rmtree(old)
    except OSError as fault:
        raise SessionError(
            f"{target} cannot be written: {fault.strerror or fault}; {remedy(fault, 'give another folder with --out')}"
        ) from fault
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether a folder was made by ``mesh``, by its list of facts."""
    try:
        facts = parse_json(bounded_bytes(folder / FACTS, 64 << 20))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and "joint_offsets_mm" in facts
