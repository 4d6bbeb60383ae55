"""The verb ``evaluate``: score the whole pipeline, or poses computed by another program, on a public benchmark."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap import config, plugins, stages
from mvcap.associate import associate
from mvcap.benchmarks.shelf import read_people
from mvcap.errors import InputError
from mvcap.estimate import estimate
from mvcap.evaluation.benchmark_clip import BenchmarkClip, Options
from mvcap.evaluation.head_rules import read_as_shelf
from mvcap.metrics.association import Pairs, actors, project_poses, row_pairs
from mvcap.metrics.matching import match
from mvcap.metrics.pcp import pcp_4da, pcp_voxelpose
from mvcap.metrics.scores import association_scores, pcp_scores, pose_scores, rounded_or_none
from mvcap.progress import Progress, silent
from mvcap.refine import refine
from mvcap.structures.detections import Detections2D
from mvcap.structures.pose_file import load_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_checks import check_poses, check_rate, check_rig, take_length
from mvcap.structures.session import Session
from mvcap.structures.table import Table
from mvcap.track import track
from mvcap.triangulate import triangulate

_VERBS = {"estimate": estimate, "associate": associate, "triangulate": triangulate, "track": track, "refine": refine}
_COUNTED = ("associate", "triangulate")


@dataclass(frozen=True)
class _Run:
    """One clip and its results."""

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

    kind: a benchmark of ``plugins.TABLE``; folder: its files. noise_px: pixel noise added to the projected ground
    truth, for benchmarks that use it as input. detections: for MVOR "labels", "openpose" or "rtpose". views, clips: use
    only these. poses: score this file instead of running the pipeline: poses.npz of a session, or skel.txt of 4D
    Association. overrides: settings of the pipeline. session: folder to keep the sessions in, with one subfolder per
    clip if there are several clips; default: temporary sessions.

    The scores are those of the refined poses; the same scores of the tracked, unrefined poses are under "raw". PCP and
    recall are in percent, association and covariance scores in 0..1. ``seconds_per_frame`` is the processor time of
    associate and triangulate together (None where the kept session already had their results). A score is None (null)
    where the benchmark has no ground truth for it. ``mvcap.metrics`` documents each metric's rule. Raises InputError
    for a benchmark or a file that cannot be used.
    """
    read = plugins.find_plugin("benchmark", kind)
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: no such folder; give the folder with the files of {kind}")
    options = Options(noise_px, detections, _tuple(views), _tuple(clips))
    chosen: list[BenchmarkClip] = read(place, options)
    if poses is not None:
        runs = [_external_result(chosen, Path(poses))]
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
    session = Session.create(clip.rig, folder, frames=clip.frames, rate_hz=clip.rate_hz)
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


def _external_result(clips: Sequence[BenchmarkClip], path: Path) -> _Run:
    """Read the poses of a file; InputError if it is unreadable or more than one clip is chosen."""
    if len(clips) > 1:
        raise InputError(
            f"{path}: a poses file covers one clip; choose one of {', '.join(c.name for c in clips)} with --clips"
        )
    if path.suffix == ".txt":
        return _Run(clips[0], read_people(path)[0])
    found = load_poses(path)
    return _Run(clips[0], found, found.raw)


def _facts(runs: Sequence[_Run]) -> dict[str, Any]:
    """Return the clips, views, input, frame counts and processing times of the runs."""
    frames = sum(run.clip.frames for run in runs)
    seconds = {name: sum(run.seconds.get(name, 0) for run in runs) / frames for name in _VERBS if runs[0].seconds}
    return {
        "clips": [run.clip.name for run in runs],
        "views": list(runs[0].clip.rig.names),
        "detections": runs[0].clip.detections if runs[0].rows is not None else "none: poses from a file",
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
    """Return the scores of one stage's poses, all clips pooled."""
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
    """Return the rows of the scored frames, without bodies that have no joint."""
    inside = (table.frame >= 0) & (table.frame < clip.frames)
    inside[inside] = clip.scored[table.frame[inside]]
    return table[inside & (table.score > 0).any(-1)]


def _pooled(tables: Sequence[Poses3D]) -> Poses3D:
    """Concatenate the tables of several clips; frame and person numbers are offset so that no two clips share one."""
    if len(tables) == 1:
        return tables[0]
    offset = 1_000_000
    parts = [
        table.with_columns(frame=table.frame + index * offset, person=table.person + index * offset)
        for index, table in enumerate(tables)
    ]
    return Poses3D.concatenate(parts, tables[0].skeleton)


def _association(runs: Sequence[_Run]) -> dict[str, Any] | None:
    counted = [_pairs(run.rows, run.clip) for run in runs if run.rows is not None]
    if not counted:
        return None
    whole = Pairs(*(sum(getattr(one, name) for one in counted) for name in ("true", "predicted", "right")))
    return {**association_scores(whole), "true_pairs": whole.true, "told_pairs": whole.predicted}


def _pairs(rows: Detections2D, clip: BenchmarkClip) -> Pairs:
    truth = project_poses(clip.truth, clip.rig) if clip.labels is None else clip.labels
    scored: NDArray[np.bool_] = clip.scored[rows.frame]
    rows = rows[scored]
    return row_pairs(rows, actors(rows, truth))


def score(
    poses: Poses3D, truth: Poses3D, rig: Rig | None = None, *, rate_hz: float | None = None, frames: int | None = None
) -> dict[str, Any]:
    """Score poses against ground truth; return the scores of ``mvcap evaluate``, None without truth for a score.

    ``mpjpe_mm``, ``pa_mpjpe_mm``, ``ap``, recall, coverage, identity switches, MOTA, IDF1, jitter, and the share of
    joints inside their 68 and 95 % covariance ellipsoids; ``mvcap.metrics`` documents each rule. Poses are converted to
    the truth's skeleton by joint name. truth: rows, such as ``Poses3D.from_dense`` of an array (T, P, J, 3) m.
    rig: adds ``reprojection_px``, the median distance in the views between estimated and true joints of matched people.
    rate_hz: frames per second, for scores over time, default that of the poses. frames: length of the take.
    """
    count = take_length(frames, check_poses(poses), check_poses(truth))
    rate = poses.rate_hz if rate_hz is None else check_rate(rate_hz)
    found = poses if poses.skeleton.joints == truth.skeleton.joints else poses.to_skeleton(truth.skeleton)
    found = found[np.flatnonzero((found.score > 0).any(-1))]
    scores = pose_scores(truth, found, count, rate)
    if rig is not None:
        check_rig(rig)
        pairs = match(truth, found)
        error = rig.reprojection_error(found.xyz[pairs.found], rig.project(truth.xyz[pairs.truth]))
        known = error[np.isfinite(error)]
        scores["reprojection_px"] = rounded_or_none(float(np.median(known)) if len(known) else float("nan"))
    return scores
