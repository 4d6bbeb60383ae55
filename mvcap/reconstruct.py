"""The verb ``reconstruct``: run all stages in order, then write the exported files and the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from calib import Rig
from mvcap import stages
from mvcap.associate import associate, associate_source, associator_of
from mvcap.config import Overrides, build
from mvcap.errors import InputError
from mvcap.estimate import estimate
from mvcap.export import export
from mvcap.plugins import DEFAULT, check_sections, lifting_of, load_plugin
from mvcap.progress import Progress, silent
from mvcap.refine import RefineConfig, refine, refine_lifted_rows, refine_rows
from mvcap.refinement.one_view import OneViewConfig
from mvcap.report import report
from mvcap.rig.one_view_world import level_one_view
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D, TakeInfo
from mvcap.structures.row_checks import check_detections, check_rate, check_rig, take_length
from mvcap.structures.row_source import RowsInMemory
from mvcap.structures.session import Session
from mvcap.track import track, track_lifted_rows, track_rows
from mvcap.tracking.tracklets import TrackConfig
from mvcap.triangulate import lift_source, triangulate, triangulate_source
from mvcap.triangulation.calibration_error import calibration_error_px
from mvcap.triangulation.robust_triangulation import TriangulateConfig

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
    """Run all stages on a session, export the poses and write the report; return the report's numbers.

    Finished stages are kept, and an interrupted run resumes at its last finished chunk. ``redo`` names the first stage
    to run again. Raises StaleError if a stage's result was made with other settings or from other inputs, SessionError
    while another process works on the session. A session of one view is moved to a world with z up by the people in it,
    unless its calibration's world is level.
    """
    session = Session.of(session)
    if redo is not None and redo not in stages.STAGES:
        raise InputError(f"--redo {redo!r}: unknown stage; available: {', '.join(stages.STAGES)}")
    with stages.sole_use(session):
        for name, verb in _VERBS.items():
            verb(session, redo=name == redo, progress=progress)
        if len(session.views) == 1:
            session = level_one_view(session, progress)
        export(session)
        return report(session, progress=progress)


def reconstruct_rows(
    found: Detections2D,
    rig: Rig,
    *,
    rate_hz: float = 25.0,
    frames: int | None = None,
    overrides: Overrides | None = None,
) -> Poses3D:
    """Associate, triangulate, track and refine the detections of a take; return the refined poses.

    The poses are identical to those of ``reconstruct`` on a session with the same detections; the raw poses are in
    ``poses.raw``. found: detections of all views, ``view`` (M,) in the order of the rig's cameras. rate_hz: frames per
    second. frames: length of the take, default up to the last detection. overrides: settings that differ from the
    defaults, nested as in ``configs/default.yaml``. With a rig of one camera, people are tracked in its pictures,
    lifted and smoothed; their scale follows from an assumed stature, or from the setting ``one_view.heights_m``.
    Raises ConfigError or PluginError for a setting that does not exist, InputError for views outside the rig.
    """
    changes = _checked(overrides)
    found = check_detections(found, check_rig(rig))
    count, rate_hz = take_length(frames, found), check_rate(rate_hz)
    if len(rig) == 1:
        return _one_view_rows(found, rig, rate_hz, count, changes)
    associator, _ = load_plugin("associator", changes)
    refiner, _ = load_plugin("refiner", changes)
    config = build(TriangulateConfig, changes.get("triangulate", {}), "triangulate")
    rows = associate_source(RowsInMemory(found, count, 1), rig, rate_hz, associator, count)
    error_px = calibration_error_px(rows, rig)
    triangulated = triangulate_source(rows, rig, config, error_px, count)
    follows = bool(getattr(associator, "follows", False))
    raw = track_rows(triangulated, rate_hz=rate_hz, follows=follows, frames=count, **changes.get("track", {}))
    window = build(RefineConfig, changes.get("refine", {}), "refine")
    linked = rows.between(0, count)
    refined = refine_rows(
        raw, linked, rig, rate_hz=rate_hz, refiner=refiner, calibration_px=error_px, frames=count, window=window,
        gate_sigma=config.gate_sigma,
    )  # fmt: skip
    return replace(refined, take=TakeInfo(rate_hz, count, raw))


def _one_view_rows(found: Detections2D, rig: Rig, rate_hz: float, count: int, changes: dict[str, Any]) -> Poses3D:
    """Track, lift and smooth the detections of a take of one view; the poses are in the rig's world."""
    associator, _ = associator_of(rig, changes)
    lifter, root_depth, _ = lifting_of(changes, rig)
    rows = associate_source(RowsInMemory(found, count, 1), rig, rate_hz, associator, count)
    lifted = lift_source(rows, rig, rate_hz, lifter, root_depth, count)
    linked = rows.between(0, count)
    size = rig[0].size
    raw = track_lifted_rows(lifted, linked, size, rate_hz=rate_hz, frames=count, **changes.get("track", {}))
    refined = refine_lifted_rows(
        raw, linked, rig, rate_hz=rate_hz, lifter=lifter, root_depth=root_depth, frames=count,
        one_view=build(OneViewConfig, changes.get("one_view", {}), "one_view"),
        window=build(RefineConfig, changes.get("refine", {}), "refine"),
    )  # fmt: skip
    return replace(refined, take=TakeInfo(rate_hz, count, raw))


def _checked(overrides: Overrides | None) -> dict[str, Any]:
    """Overrides of the stages on arrays; ConfigError names a key that does not exist, also in a plug-in's section."""
    build(_ArraySettings, overrides or {})
    changes = dict(overrides or {})
    check_sections(changes, ("associator", "refiner", "lifter", "root_depth"))
    return changes


@dataclass(frozen=True)
class _ArraySettings:
    """Settings that ``reconstruct_rows`` takes: those of the stages after ``estimate``."""

    associator: str = DEFAULT["associator"]
    refiner: str = DEFAULT["refiner"]
    lifter: str = DEFAULT["lifter"]
    root_depth: str = DEFAULT["root_depth"]
    triangulate: TriangulateConfig = TriangulateConfig()
    track: TrackConfig = TrackConfig()
    refine: RefineConfig = RefineConfig()
    one_view: OneViewConfig = OneViewConfig()
    associators: dict[str, Any] = field(default_factory=dict)
    refiners: dict[str, Any] = field(default_factory=dict)
    lifters: dict[str, Any] = field(default_factory=dict)
    root_depths: dict[str, Any] = field(default_factory=dict)
