"""The verb ``refine``: better poses of every person, window by window, by any refiner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calib import Rig
from mvcap import plugins, stages
from mvcap.config import plain
from mvcap.errors import ConfigError
from mvcap.progress import Progress, silent
from mvcap.refinement.limb_lengths import person_limbs
from mvcap.structures.artefact import Artefact
from mvcap.structures.contracts import Evidence, State
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.triangulation.calibration_error import calibration_error_px, excess_error_px, with_calibration_error
from mvcap.triangulation.reprojection_residuals import linked_rows, residuals
from mvcap.triangulation.robust_triangulation import TriangulateConfig

_VERSION = 3
_CHUNK_FRAMES = 500


@dataclass(frozen=True)
class RefineConfig:
    """Settings of the verb ``refine``."""

    overlap_s: float = 1.0
    """A window reaches so far beyond the frames that are kept of it, on both sides."""

    def __post_init__(self) -> None:
        if self.overlap_s < 0:
            raise ConfigError("config key 'refine.overlap_s' is 0 or more")


def refine(session: str | Path | Session, *, redo: bool = False, progress: Progress = silent) -> Artefact[Poses3D]:
    """Refine a session's tracked poses with the refiner that its settings name; each person's limbs keep one length."""
    session = session if isinstance(session, Session) else Session.open(session)
    before = stages.poses(session, "track")
    config = session.settings("refine", RefineConfig)
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
    limbs, worth = person_limbs(before, session.rate_hz), calibration_error_px(found, session.rig)
    reach = round(config.overlap_s * session.rate_hz)

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        window = before.between(start - reach, stop + reach)
        seen = found.between(start - reach, stop + reach)
        calibration_px = excess_error_px(worth, seen)
        seen = with_calibration_error(seen, calibration_px)
        row, pose = linked_rows(seen, window)
        parts = []
        for person in np.unique(window.person):
            poses, views = window[window.person == person], seen[row[window.person[pose] == person]]
            mine = limbs[int(person)]
            evidence = Evidence(session.rig, views, session.rate_hz, mine.length_m, mine.sigma, calibration_px)
            parts.append(refiner.refine(poses, evidence))
        rows = _kept(parts, window, start, stop)
        return _with_errors(rows, seen, session.rig, gate), {}

    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def _with_errors(poses: Poses3D, found: Detections2D, rig: Rig, gate: float) -> Poses3D:
    """Poses with error_px measured anew where they are now: the mean over the views within the gate, else over all."""
    linked = residuals(found, poses, rig)
    sums, counts = np.zeros((2, *poses.score.shape)), np.zeros((2, *poses.score.shape))
    for use, known in enumerate((linked.normalised <= gate, np.isfinite(linked.error_px))):
        np.add.at(sums[use], linked.pose, np.where(known, linked.error_px, 0))
        np.add.at(counts[use], linked.pose, known)
    use_all = counts[0] == 0
    total, count = np.where(use_all, sums[1], sums[0]), np.where(use_all, counts[1], counts[0])
    error = np.where((count > 0) & (poses.views > 0), total / np.maximum(count, 1), np.nan)
    return poses.with_columns(error_px=error)


def _kept(parts: list[Poses3D], window: Poses3D, start: int, stop: int) -> Poses3D:
    """Rows of frames start to stop, in the order of frames and persons."""
    rows = Poses3D.concatenate(parts, window.skeleton)
    rows = rows[(rows.frame >= start) & (rows.frame < stop)]
    return rows[np.lexsort((rows.person, rows.frame))]
