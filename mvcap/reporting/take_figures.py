"""Figures of a whole take that need its rig, detections and poses together, collected chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from calib import Rig
from mvcap.reporting.accuracy import WANTED_MM, AccuracyCounts
from mvcap.reporting.joint_sources import JointCounts
from mvcap.reporting.unconfirmed_tracks import UnconfirmedTracks
from mvcap.reporting.view_exchange import sample_frames, view_agreement
from mvcap.reporting.view_support import ViewSupport
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.triangulation.reprojection_residuals import Residuals


class TakeFigures:
    """Accuracy, one-view parts, confirmation by further views, and joints by source, of a whole take."""

    def __init__(self, rig: Rig, frames: int, rate_hz: float, wanted_mm: float = WANTED_MM, step: int = 1) -> None:
        """Start with no counts. step: only the frames whose number it divides were looked at."""
        self._rig = rig
        self._accuracy = AccuracyCounts(frames, rate_hz, wanted_mm, step)
        self._support = ViewSupport(rig, rate_hz / step)
        self._joints = JointCounts()
        self._unconfirmed = UnconfirmedTracks(rate_hz, step)

    def add(self, refined: Poses3D, found: Sequence[Residuals], raw: Poses3D | None = None) -> None:
        """Add a chunk of refined poses, and of the same frames the residuals and the poses before refinement."""
        self._accuracy.add(refined, found)
        self._support.add(refined, found)
        self._joints.add(refined, raw)
        self._unconfirmed.add(refined)

    def summary(self, detections: Iterable[Detections2D] = ()) -> dict[str, Any]:
        """Return the report's ``accuracy``, ``one_view``, ``confirmation``, ``joints``, ``unconfirmed``, ``agreement``.

        detections: chunks of the rows of all views in order of time, after association, for the last two keys.
        """
        confirmation = self._support.summary()
        known = {view: share for view, share in enumerate(confirmation["per_view"]) if share is not None}
        suspects = sorted(range(len(self._rig)), key=lambda view: known.get(view, 0.0))
        agreement = view_agreement(sample_frames(self._unconfirmed.link(detections)), self._rig, suspects)
        return {
            **self._accuracy.summary(self._rig.names),
            "confirmation": confirmation,
            "joints": self._joints.summary(),
            "unconfirmed": self._unconfirmed.summary(self._rig.names),
            "agreement": agreement.plain() if agreement else None,
        }

    def people(self) -> dict[int, dict[str, Any]]:
        """Return the figures of each person, to stand with the others of the person."""
        return self._accuracy.people()
