"""The verb ``refine``: improve the poses of every person, window by window, with a refiner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib import Rig
from calib.arrays import Floats
from mvcap import plugins, stages
from mvcap.config import plain
from mvcap.errors import ConfigError, InputError, PluginError
from mvcap.progress import Progress, silent
from mvcap.refinement.limb_lengths import person_limbs
from mvcap.refinement.one_view import STATURE_SIGMA, OneViewConfig, smoothed
from mvcap.reporting.world_frame import WorldFrame
from mvcap.structures.anthropometry import STATURE_M, typical_limbs
from mvcap.structures.artefact import Artefact
from mvcap.structures.assumed_camera import lens_of
from mvcap.structures.contracts import Evidence, Lifter, Refiner, RootDepth, State
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_checks import (
    check_detections,
    check_errors_px,
    check_gate,
    check_linked,
    check_poses,
    check_rate,
    check_rig,
    take_length,
)
from mvcap.structures.row_source import RowsInMemory, RowSource
from mvcap.structures.session import Session
from mvcap.triangulation.calibration_error import calibration_error_px, excess_error_px, with_calibration_error
from mvcap.triangulation.lifted_people import LIFT_REACH_S, lift_person, poses_in_world
from mvcap.triangulation.reprojection_residuals import linked_rows, residuals
from mvcap.triangulation.robust_triangulation import TriangulateConfig
from mvcap.triangulation.systematic_error import SystematicError

_VERSION = 4
_CHUNK_FRAMES = 500


@dataclass(frozen=True)
class RefineConfig:
    """Settings of ``mvcap refine``: smooth motion and limbs of constant length. The method is set under
    ``refiners``."""

    overlap_s: float = 1.0
    """How far a window extends beyond the frames that are kept of it, on both sides, seconds. Longer costs time and
    changes little."""

    def __post_init__(self) -> None:
        if self.overlap_s < 0:
            raise ConfigError("config key 'refine.overlap_s' must be 0 or more")


def refine(session: str | Path | Session, *, redo: bool = False, progress: Progress = silent) -> Artefact[Poses3D]:
    """Refine a session's tracked poses with the refiner in its settings; limb lengths of a person are constant.

    In a session of one view, the people are lifted again along their whole tracks and smoothed; see
    ``mvcap.refinement.one_view``. InputError for a stature of a person who is not there.
    """
    session = Session.of(session)
    before = stages.poses(session, "track")
    config = session.settings("refine", RefineConfig)
    if len(session.rig) == 1:
        return _refine_one_view(session, before, config, redo, progress)
    refiner, settings = plugins.load_plugin("refiner", session.overrides)
    if redo:
        stages.discard(session, "refine")
    place = session.artefact("refine", Poses3D)
    settings = {**settings, **plugins.weight_identities(refiner, session.rig), **plain(config)}
    origin = stages.origin_of("refine", _VERSION, settings, before, session)
    place.begin(origin, before.skeleton_name, session.frames, _CHUNK_FRAMES)
    if place.complete:
        return place
    found = stages.detections(session, "associate")
    gate = session.settings("triangulate", TriangulateConfig).gate_sigma
    reach = round(config.overlap_s * session.rate_hz)
    error_px, step = calibration_error_px(found, session.rig), stages.frame_step(session)
    late = session.offsets
    sigma_frames = np.zeros(len(session.rig)) if late is None else late.late_sigma_s * session.rate_hz
    work = _Windows(before, found, session.rig, session.rate_hz, refiner, gate, error_px, step, sigma_frames)

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        return work.refined(start, stop, reach), {}

    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def _refine_one_view(
    session: Session, before: Artefact[Poses3D], config: RefineConfig, redo: bool, progress: Progress
) -> Artefact[Poses3D]:
    """Refine a session of one view."""
    one_view = session.settings("one_view", OneViewConfig)
    lifter, root_depth, settings = plugins.lifting_of(session.overrides, session.rig)
    work = OneViewWindows(
        before, stages.detections(session, "associate"), session.rig, session.rate_hz, lifter, root_depth, one_view,
        lens_of(session.notes).focal_sigma,
    )  # fmt: skip
    if redo:
        stages.discard(session, "refine")
    place = session.artefact("refine", Poses3D)
    origin = stages.origin_of("refine", _VERSION, {**settings, **plain(config), **plain(one_view)}, before, session)
    reach = round(max(config.overlap_s, LIFT_REACH_S) * session.rate_hz)

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        return work.refined(start, stop, reach), {}

    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def refine_lifted_rows(
    poses: Poses3D,
    found: Detections2D,
    rig: Rig,
    *,
    rate_hz: float = 25.0,
    lifter: str | Lifter = plugins.DEFAULT["lifter"],
    root_depth: str | RootDepth = plugins.DEFAULT["root_depth"],
    one_view: OneViewConfig | None = None,
    frames: int | None = None,
    window: RefineConfig | None = None,
) -> Poses3D:
    """Smooth the tracked poses of a take of one view, as ``refine`` does; its people are lifted again from ``found``.

    poses, found, rate_hz, frames, window: as of ``refine_rows``, for a rig of one camera. lifter, root_depth: names of
    ``plugins.TABLE``, or objects of these contracts. one_view: statures that are known. Raises
    PluginError for a name that does not exist, InputError for a stature of a person who is not there.
    """
    found = check_detections(found, check_rig(rig))
    count, rate_hz = take_length(frames, check_poses(poses), found), check_rate(rate_hz)
    check_linked(found, poses)
    before, seen = RowsInMemory(poses, count, _CHUNK_FRAMES), RowsInMemory(found, count, _CHUNK_FRAMES)
    plugin, depth = plugins.instance("lifter", lifter, {}), plugins.instance("root_depth", root_depth, {})
    work = OneViewWindows(before, seen, rig, rate_hz, plugin, depth, one_view or OneViewConfig())
    reach = round(max((window or RefineConfig()).overlap_s, LIFT_REACH_S) * rate_hz)
    parts = [work.refined(start, stop, reach) for start, stop in before.ranges()]
    return Poses3D.concatenate(parts, poses.skeleton)


def refine_rows(
    poses: Poses3D,
    found: Detections2D,
    rig: Rig,
    *,
    rate_hz: float = 25.0,
    refiner: str | Refiner = "bones",
    calibration_px: Floats | None = None,
    frames: int | None = None,
    window: RefineConfig | None = None,
    offset_sigma_frames: Floats | None = None,
    gate_sigma: float = TriangulateConfig.gate_sigma,
    **settings: Any,
) -> Poses3D:
    """Refine tracked poses of a take with the detections that they were triangulated from.

    poses: rows with one ``person`` over time, as ``track_rows`` gives them. found: associated rows, linked to the poses
    by frame and ``group``. rate_hz: frames a second. refiner: a name of ``plugins.TABLE`` with its ``settings``, or an
    object of that contract. calibration_px: (C,) px calibration error of each view. frames: length of the take. window:
    how far windows overlap. offset_sigma_frames: (C,) standard deviation of the views' time offsets, which are then
    estimated too. gate_sigma: residual, in standard deviations, up to which a view counts in ``error_px``.
    Raises PluginError or ConfigError for a name or setting that does not exist.
    """
    found = check_detections(found, check_rig(rig))
    count, rate_hz = take_length(frames, check_poses(poses), found), check_rate(rate_hz)
    check_linked(found, poses)
    before, seen = RowsInMemory(poses, count, _CHUNK_FRAMES), RowsInMemory(found, count, _CHUNK_FRAMES)
    error_px = np.zeros(len(rig)) if calibration_px is None else check_errors_px(calibration_px, len(rig))
    plugin = plugins.instance("refiner", refiner, settings)
    gate = check_gate(gate_sigma)
    work = _Windows(before, seen, rig, rate_hz, plugin, gate, error_px, offset_sigma_frames=offset_sigma_frames)
    reach = round((window or RefineConfig()).overlap_s * rate_hz)
    parts = [work.refined(start, stop, reach) for start, stop in before.ranges()]
    return Poses3D.concatenate(parts, poses.skeleton)


class _Windows:
    """Refines windows of frames; a person's limb lengths are estimated over the whole take."""

    def __init__(
        self,
        before: RowSource[Poses3D],
        found: RowSource[Detections2D],
        rig: Rig,
        rate_hz: float,
        refiner: Refiner,
        gate_sigma: float,
        error_px: Floats,
        step: int = 1,
        offset_sigma_frames: Floats | None = None,
    ) -> None:
        self._offset_sigma = np.zeros(len(rig)) if offset_sigma_frames is None else offset_sigma_frames
        self._before, self._found, self._rig, self._rate_hz, self._step = before, found, rig, rate_hz, step
        self._refiner, self._gate_sigma, self._error_px = refiner, gate_sigma, error_px
        self._limbs = person_limbs(before, rate_hz / step)
        self._systematic_px = _systematic_error_px(before, found, rig)

    def refined(self, start: int, stop: int, reach: int) -> Poses3D:
        """Refined rows of frames start to stop, from a window that extends ``reach`` frames beyond both."""
        window = self._before.between(start - reach, stop + reach)
        seen = self._found.between(start - reach, stop + reach)
        calibration_px = excess_error_px(self._error_px, seen)
        seen = with_calibration_error(seen, calibration_px)
        common_px = np.maximum(calibration_px, self._systematic_px)
        row, pose = linked_rows(seen, window)
        parts = []
        for person in np.unique(window.person):
            poses, views = window[window.person == person], seen[row[window.person[pose] == person]]
            limbs = self._limbs[int(person)]
            evidence = Evidence(
                self._rig, views, self._rate_hz, limbs.length_m, limbs.sigma, common_px, self._offset_sigma, self._step
            )
            made: Any = self._refiner.refine(poses, evidence)
            if not isinstance(made, Poses3D):
                name = type(self._refiner).__name__
                raise PluginError(f"refiner {name} returned {type(made).__name__} instead of Poses3D")
            parts.append(made)
        rows = _rows_between(parts, window, start, stop)
        return _with_errors(rows, seen, self._rig, self._gate_sigma)


class OneViewWindows:
    """Smooths windows of frames of a take of one view; what is of a whole take is known from its tracked poses."""

    def __init__(
        self,
        before: RowSource[Poses3D],
        found: RowSource[Detections2D],
        rig: Rig,
        rate_hz: float,
        lifter: Lifter,
        root_depth: RootDepth,
        config: OneViewConfig,
        focal_sigma: float = 0.0,
    ) -> None:
        self._before, self._found, self._camera, self._rate_hz = before, found, rig[0], rate_hz
        self._lifter, self._root_depth, self._focal_sigma = lifter, root_depth, focal_sigma
        world, persons = WorldFrame(before.skeleton), set()
        for rows in before.chunks():
            world.add(rows)
            persons |= set(np.unique(rows.person).tolist())
        self._limbs = {person: limbs.length_m for person, limbs in person_limbs(before, rate_hz).items()}
        self._heights = _known_heights(config, persons)
        facts = world.facts(rig)
        up = None if facts is None else np.array([0.0, 0, 1] if facts["turned_nats"] <= 0 else facts["up"])
        self._up = None if up is None else self._camera.cam_from_world[:3, :3] @ up

    def refined(self, start: int, stop: int, reach: int) -> Poses3D:
        """Refined rows of frames start to stop, from a window that extends ``reach`` frames beyond both."""
        window = self._before.between(start - reach, stop + reach)
        seen = self._found.between(start - reach, stop + reach)
        row, pose = linked_rows(seen, window)
        parts = []
        for person in np.unique(window.person).tolist():
            mine = window.person[pose] == person
            made = self._smoothed(person, seen[row[mine]])
            tracks = dict(zip(seen.frame[row[mine]].tolist(), seen.person[row[mine]].tolist(), strict=True))
            parts.append(made.with_columns(group=np.array([tracks.get(one, -1) for one in made.frame.tolist()])))
        return _rows_between(parts, window, start, stop)

    def _smoothed(self, person: int, rows: Detections2D) -> Poses3D:
        lens, rate_hz = self._camera.lens, self._rate_hz
        lifted = lift_person(rows, lens, rate_hz, self._lifter, self._root_depth, self._focal_sigma)
        limb_m = self._limbs[person]
        if person in self._heights and np.isfinite(limb_m).any():
            stature = STATURE_M * np.nanmedian(limb_m / typical_limbs(rows.skeleton))
            factor = self._heights[person] / float(stature)
            lifted, limb_m = lifted.scaled(factor, STATURE_SIGMA), factor * limb_m
        smooth = smoothed(lifted, self._rate_hz, limb_m, self._up)
        return poses_in_world(lifted, self._camera, person, smooth.frame, smooth.xyz, smooth.covariance)


def _known_heights(config: OneViewConfig, persons: set[int]) -> dict[int, float]:
    """Statures m by person; InputError names one who is not there."""
    heights = {int(person): height for person, height in config.heights_m.items()}
    if missing := sorted(set(heights) - persons):
        there = ", ".join(map(str, sorted(persons))) or "nobody"
        raise InputError(f"--height {missing[0]}=...: there is no person {missing[0]}; there are: {there}")
    return heights


def _systematic_error_px(before: RowSource[Poses3D], found: RowSource[Detections2D], rig: Rig) -> Floats:
    """Systematic error (C,) px of each view over the take."""
    errors = SystematicError(rig)
    for start, stop in before.ranges():
        errors.add(found.between(start, stop), before.between(start, stop))
    return errors.error_px()


def _with_errors(poses: Poses3D, found: Detections2D, rig: Rig, gate: float) -> Poses3D:
    """Poses with error_px updated to their new positions: the mean over the views within the gate, else over all."""
    linked = residuals(found, poses, rig)
    sums, counts = np.zeros((2, *poses.score.shape)), np.zeros((2, *poses.score.shape))
    for use, known in enumerate((linked.normalised <= gate, np.isfinite(linked.error_px))):
        np.add.at(sums[use], linked.pose, np.where(known, linked.error_px, 0))
        np.add.at(counts[use], linked.pose, known)
    use_all = counts[0] == 0
    total, count = np.where(use_all, sums[1], sums[0]), np.where(use_all, counts[1], counts[0])
    error = np.where((count > 0) & (poses.views > 0), total / np.maximum(count, 1), np.nan)
    return poses.with_columns(error_px=error)


def _rows_between(parts: list[Poses3D], window: Poses3D, start: int, stop: int) -> Poses3D:
    """Rows of frames start to stop, in the order of frames and persons."""
    rows = Poses3D.concatenate(parts, window.skeleton)
    rows = rows[(rows.frame >= start) & (rows.frame < stop)]
    return rows[np.lexsort((rows.person, rows.frame))]
