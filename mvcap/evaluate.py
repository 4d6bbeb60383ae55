"""The verb ``evaluate``: how good the whole pipeline, or a result made elsewhere, is on a public benchmark."""

from __future__ import annotations

import json
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap import config, plugins, stages
from mvcap.associate import associate
from mvcap.benchmarks.shelf import read_people
from mvcap.errors import InputError
from mvcap.estimate import estimate
from mvcap.evaluation.benchmark_clip import BenchmarkClip, Options, one_line_reason
from mvcap.evaluation.head_rules import read_as_shelf
from mvcap.init import init_without_footage
from mvcap.metrics.association import Pairs, actors, project_poses, row_pairs
from mvcap.metrics.pcp import pcp_4da, pcp_voxelpose
from mvcap.metrics.scores import association_scores, pcp_scores, pose_scores, rounded_or_none
from mvcap.progress import Progress, silent
from mvcap.refine import refine
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton
from mvcap.structures.table import Table
from mvcap.track import track
from mvcap.triangulate import triangulate

_VERBS = {"estimate": estimate, "associate": associate, "triangulate": triangulate, "track": track, "refine": refine}
_COUNTED = ("associate", "triangulate")


@dataclass(frozen=True)
class _Run:
    """One clip and what was made of it."""

    clip: BenchmarkClip
    refined: Poses3D
    raw: Poses3D | None = None
    rows: Detections2D | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


def evaluate(
    kind: str,
    folder: str | Path,
    *,
    noise_px: float | None = None,
    detections: str | None = None,
    views: Sequence[str] | None = None,
    clips: Sequence[str] | None = None,
    poses: str | Path | None = None,
    overrides: config.Overrides | None = None,
    session: str | Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run the stages estimate to refine on a benchmark and score their result; return the scores, ready for JSON.

    kind: a benchmark of ``plugins.TABLE``; folder: its files. noise_px: of projected truth, where that is the input.
    detections: of MVOR "labels", "openpose" or "rtpose". views, clips: to use these only. poses: score this file
    instead of running anything: poses.npz of a session, or skel.txt of 4D Association. overrides: settings of the
    pipeline. session: folder to keep the sessions in, one for each clip if there are several; left out, they are
    temporary.

    The figures are those of the refined poses, with the same ones of the tracked, unrefined poses under "raw". PCP and
    recall are percent, association and covariance 0..1, ``seconds_per_frame`` is processor time of associate and
    triangulate together (None where a kept session had them already). None (null) is what the benchmark has no truth
    for. Each rule stands with its metric in ``mvcap.metrics``. Raises InputError for a benchmark or a file that cannot
    be used.
    """
    read = plugins.find_plugin("benchmark", kind)
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: no such folder; give the folder with the files of {kind}")
    options = Options(noise_px, detections, _tuple(views), _tuple(clips))
    chosen: list[BenchmarkClip] = read(place, options)
    if poses is not None:
        runs = [_made_elsewhere(chosen, Path(poses))]
    else:
        with _folder(session) as home:
            runs = [
                _run(clip, home / clip.name if len(chosen) > 1 else home, overrides or {}, progress) for clip in chosen
            ]
    return {"benchmark": kind, "folder": str(place), **_facts(runs), **_scores(runs)}


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(names) if names else None


@contextmanager
def _folder(session: str | Path | None) -> Iterator[Path]:
    if session is not None:
        yield Path(session).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="mvcap-evaluate-") as folder:
        yield Path(folder) / "session"


def _run(clip: BenchmarkClip, folder: Path, overrides: config.Overrides, progress: Progress) -> _Run:
    session = init_without_footage(clip.rig, folder, clip.frames, clip.rate_hz)
    session.override(config.merge(clip.estimator(folder), overrides))
    seconds = {}
    for name, verb in _VERBS.items():
        kept = session.artefact(name, Table).complete
        begun = time.process_time()
        verb(session, progress=progress)
        seconds[name] = float("nan") if kept else time.process_time() - begun
    rows = stages.detections(session, "associate").between(0, clip.frames)
    raw, refined = (stages.poses(session, stage).between(0, clip.frames) for stage in ("track", "refine"))
    return _Run(clip, refined, raw, rows, seconds)


def _made_elsewhere(clips: Sequence[BenchmarkClip], path: Path) -> _Run:
    if len(clips) > 1:
        raise InputError(
            f"{path}: poses are of one clip; choose one of {', '.join(c.name for c in clips)} with --clips"
        )
    if path.suffix == ".txt":
        return _Run(clips[0], read_people(path)[0])
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
        name = json.loads(str(held["about"]))["skeleton"] if "about" in held else str(held["skeleton"])
        refined = Poses3D.from_arrays(skeleton(name), held)
        raw = {key.removeprefix("raw_"): value for key, value in held.items() if key.startswith("raw_")}
        return _Run(clips[0], refined, Poses3D.from_arrays(skeleton(name), raw) if raw else None)
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as fault:
        raise InputError(
            f"{path}: cannot be read as poses ({one_line_reason(fault)}); give poses.npz of a session, or skel.txt"
        ) from fault


def _facts(runs: Sequence[_Run]) -> dict[str, Any]:
    """What was run on what, and how long it took."""
    frames = sum(run.clip.frames for run in runs)
    seconds = {name: sum(run.seconds.get(name, 0) for run in runs) / frames for name in _VERBS if runs[0].seconds}
    return {
        "clips": [run.clip.name for run in runs],
        "views": list(runs[0].clip.rig.names),
        "detections": runs[0].clip.detections if runs[0].rows is not None else "made elsewhere",
        "frames": frames,
        "scored_frames": sum(int(run.clip.scored.sum()) for run in runs),
        "rate_hz": runs[0].clip.rate_hz,
        "seconds_per_frame": rounded_or_none(sum(seconds[name] for name in _COUNTED)) if seconds else None,
        "stage_seconds_per_frame": {name: rounded_or_none(value) for name, value in seconds.items()},
    }


def _scores(runs: Sequence[_Run]) -> dict[str, Any]:
    association = _association(runs)
    refined = {"stage": "refine", **_of_stage(runs, [run.refined for run in runs]), "association": association}
    raw_tables = [run.raw for run in runs if run.raw is not None]
    if len(raw_tables) < len(runs):
        return {**refined, "raw": None}
    return {**refined, "raw": {"stage": "track", **_of_stage(runs, raw_tables), "association": association}}


def _of_stage(runs: Sequence[_Run], found: Sequence[Poses3D]) -> dict[str, Any]:
    """Scores of one stage's poses, all clips pooled."""
    clip = runs[0].clip
    frames = sum(int(run.clip.scored.sum()) for run in runs)
    truth = _pooled([_scored(run.clip.truth, run.clip) for run in runs])
    main = _pooled([_scored(run.clip.read(poses), run.clip) for run, poses in zip(runs, found, strict=True)])
    scores = pose_scores(truth, main, frames, None if clip.moments else clip.rate_hz)
    return {"pcp": _pcp(clip, found[0]) if clip.pcp_rules else None, **scores}


def _pcp(clip: BenchmarkClip, found: Poses3D) -> dict[str, Any]:
    out = {}
    for name, count in (("4da", pcp_4da), ("voxelpose", pcp_voxelpose)):
        reading = clip.pcp_rules[name]
        truth = read_as_shelf(_scored(clip.truth, clip), name)
        out[name] = pcp_scores(count(truth, _scored(reading(found), clip)))
    return out


def _scored(table: Poses3D, clip: BenchmarkClip) -> Poses3D:
    """Rows of the frames whose truth counts, bodies without any joint left out."""
    inside = (table.frame >= 0) & (table.frame < clip.frames)
    inside[inside] = clip.scored[table.frame[inside]]
    return table[inside & (table.score > 0).any(-1)]


def _pooled(tables: Sequence[Poses3D]) -> Poses3D:
    """Tables of several clips as one, clips far apart in time and nobody the same in two of them."""
    if len(tables) == 1:
        return tables[0]
    apart = 1_000_000
    parts = [
        table.with_columns(frame=table.frame + index * apart, person=table.person + index * apart)
        for index, table in enumerate(tables)
    ]
    return Poses3D.concatenate(parts, tables[0].skeleton)


def _association(runs: Sequence[_Run]) -> dict[str, Any] | None:
    counted = [_pairs(run.rows, run.clip) for run in runs if run.rows is not None]
    if not counted:
        return None
    whole = Pairs(*(sum(getattr(one, name) for one in counted) for name in ("true", "told", "right")))
    return {**association_scores(whole), "true_pairs": whole.true, "told_pairs": whole.told}


def _pairs(rows: Detections2D, clip: BenchmarkClip) -> Pairs:
    truth = project_poses(clip.truth, clip.rig) if clip.labels is None else clip.labels
    scored: NDArray[np.bool_] = clip.scored[rows.frame]
    rows = rows[scored]
    return row_pairs(rows, actors(rows, truth))
