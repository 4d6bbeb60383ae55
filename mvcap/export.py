"""The verb ``export``: write the poses of a session as files for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from mvcap import plugins, stages
from mvcap.errors import InputError, PluginError
from mvcap.structures.artefact import Artefact
from mvcap.structures.npz import NpzStream, written_whole
from mvcap.structures.pose_file import save_poses
from mvcap.structures.pose_stream import Axes, PoseStream
from mvcap.structures.poses import Poses3D, TakeInfo
from mvcap.structures.row_checks import check_poses, check_rate, take_length
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton
from mvcap.structures.table import Table

_POSE_FILE = "npz"
_OF_SUFFIX = {"glb": "gltf"}  # exporters whose files have another suffix than their name


def export_take(take: PoseStream, folder: Path, formats: Iterable[str]) -> list[Path]:
    """Write the take to a folder in each of the formats and return the files, named after the take.

    Raises PluginError for an unknown format, before anything is written; SessionError if a file cannot be written.
    """
    writers = {name: plugins.find_plugin("exporter", name) for name in dict.fromkeys(formats)}
    written: list[Path] = []
    for name, write in writers.items():
        written += write(take, folder / f"{take.name}.{name.partition(':')[0].rpartition('.')[2]}")
    return written


@dataclass(frozen=True)
class ExportConfig:
    """Settings of ``mvcap export``: poses for other tools. poses.npz is always written into the session."""

    formats: tuple[str, ...] = ("trc", "csv", "json")
    """Formats that ``reconstruct`` writes in addition to poses.npz: trc, c3d, bvh, gltf, csv, parquet, json, or all."""
    axes: Literal["z-up", "y-up"] = "z-up"
    """World axes of the files: z-up as in the session, or y-up with (x, y, z) -> (x, z, -y). OpenSim expects y-up."""


def export(
    session: str | Path | Session,
    formats: Iterable[str] | None = None,
    *,
    axes: str | None = None,
    folder: str | Path | None = None,
    stage: str = "refine",
) -> list[Path]:
    """Write a session's poses in the given formats, and poses.npz with raw and refined poses; return the files.

    formats: exporters of ``plugins.TABLE``, ``"package.module:function"``, "npz" (poses.npz) or "all"; default: the
    session's settings. axes: "z-up" or "y-up"; default: the session's settings. folder: default ``exports`` in the
    session, with poses.npz beside it; where one is given, nothing is written outside it, and poses.npz only if it is
    among the formats, so a session may be read-only. stage: "refine" for refined poses, "track" for raw ones.
    """
    session = Session.of(session)
    config = session.settings("export", ExportConfig)
    take = take_of(session, stage, axes or config.axes)
    wanted = list(config.formats if formats is None else formats)
    wanted = [_POSE_FILE, *plugins.TABLE["exporter"]] if "all" in wanted else wanted
    others = [name for name in wanted if name != _POSE_FILE]
    target = session.folder / "exports" if folder is None else Path(folder)
    files = export_take(take, target, others)
    if folder is None:
        return [write_pose_file(session), *files]
    return [write_pose_file(session, target), *files] if _POSE_FILE in wanted else files


def take_of(session: Session, stage: str, axes: str = "z-up") -> PoseStream:
    """Return a stage's poses as the stream that exporters take; InputError for an unknown stage or unknown axes."""
    if stage not in ("track", "refine"):
        raise InputError(f"poses of stage {stage!r} cannot be exported; available stages: track (raw), refine")
    if axes not in ("z-up", "y-up"):
        raise InputError(f"unknown axes {axes!r}; available: z-up, y-up")
    poses = stages.poses(session, stage)
    persons = sorted({int(p) for rows in poses.chunks() for p in np.unique(rows.person)})
    kind = skeleton(poses.skeleton_name)
    name = session.folder.resolve().name
    return PoseStream(kind, poses.chunks, session.frames, session.rate_hz, tuple(persons), name, cast(Axes, axes))


def write_pose_file(session: Session, folder: Path | None = None) -> Path:
    """Write poses.npz into a folder, default the session's, and return its path.

    Its columns are those of ``Poses3D`` of the refined poses, and of the raw ones as ``raw_<column>``. ``about`` is
    JSON: unit, axes, rate, skeleton, views, and the settings and inputs of every stage. The same poses and settings
    give identical files. Memory does not grow with the length of the take.
    """
    path = (folder or session.folder) / "poses.npz"
    refined, raw = stages.poses(session, "refine"), stages.poses(session, "track")
    about = {
        "unit": "m",
        "axes": "z-up",
        "rate_hz": session.rate_hz,
        "frames": session.frames,
        "skeleton": refined.skeleton_name,
        "joints": skeleton(refined.skeleton_name).joints,
        "views": session.names,
        "stages": provenance(session),
    }
    with written_whole(path) as temporary, NpzStream(temporary) as stream:
        text = np.array(json.dumps(about, sort_keys=True))
        stream.begin("about", (), text.dtype)
        stream.extend(text)
        for prefix, poses in (("", refined), ("raw_", raw)):
            _stream_columns(stream, prefix, poses)
    return path


def provenance(session: Session) -> dict[str, Any]:
    """Return fingerprint, version, settings and inputs of every stage that the session has results of."""
    out: dict[str, Any] = {}
    for name in stages.STAGES:
        held = session.artefact(name, Table).manifest
        if held is not None:
            out[name] = {key: held[key] for key in ("fingerprint", "version", "settings", "inputs")}
    return out


def _stream_columns(stream: NpzStream, prefix: str, poses: Artefact[Poses3D]) -> None:
    """Write every column of the poses to the stream, chunk by chunk."""
    rows = sum(len(chunk) for chunk in poses.chunks())
    empty = Poses3D.empty(skeleton(poses.skeleton_name)).arrays()
    for name, column in empty.items():
        stream.begin(f"{prefix}{name}", (rows, *column.shape[1:]), column.dtype)
        for chunk in poses.chunks():
            stream.extend(chunk.arrays()[name])


def write_poses(
    poses: Poses3D,
    path: str | Path,
    *,
    rate_hz: float | None = None,
    axes: Literal["z-up", "y-up"] = "z-up",
    frames: int | None = None,
    exporter: str | None = None,
) -> list[Path]:
    """Write poses to a file in the format of its suffix; return the files, one per person for TRC and BVH.

    path: ``take.npz`` (all columns, read by ``load_poses``), or a file with the name of an exporter of
    ``plugins.TABLE`` as suffix, such as ``take.c3d``. rate_hz: frames per second, default that of the poses. frames:
    length of the take. axes: world axes of the file; npz is always z-up. exporter: its name or
    ``"package.module:function"``, whatever the suffix.
    Raises InputError without a rate, for two rows of a person in a frame, or if there is no file as there is nobody;
    PluginError for an unknown suffix, SessionError if a file cannot be written.
    """
    target = Path(path)
    check_poses(poses)
    if rate_hz is None and poses.rate_hz is None:
        raise InputError(f"{target}: a file of poses needs their frame rate; give rate_hz")
    rate = check_rate(poses.rate_hz if rate_hz is None else rate_hz)
    count = max(take_length(frames, poses), poses.take.frames if poses.take else 0)
    if exporter is None and target.suffix == ".npz":
        take = replace(poses.take, rate_hz=rate, frames=count) if poses.take else TakeInfo(rate, count)
        return [save_poses(target, replace(poses, take=take))]
    suffix = target.suffix.removeprefix(".").lower()
    name = exporter or _OF_SUFFIX.get(suffix, suffix)
    write = plugins.find_plugin("exporter", name)
    rows = poses[np.lexsort((poses.person, poses.frame))]
    persons = tuple(poses.persons.tolist())
    stream = PoseStream(poses.skeleton, lambda: iter((rows,)), count, rate, persons, target.stem, axes)
    files: Any = write(stream, target)
    if not isinstance(files, list):
        raise PluginError(f"exporter {name!r} returned {type(files).__name__} instead of the list of its files")
    if not files:
        raise InputError(
            f"{target}: there is nobody in the poses, and {name} has a file for each person: none is written"
        )
    return files
