"""Quality numbers of a take, collected chunk by chunk in constant memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.reporting.figures import tidy
from mvcap.reporting.time_spans import bin_count, frame_bins, in_looked_frames, longest_spans
from mvcap.reporting.verdict import verdict
from mvcap.reporting.world_frame import WorldFrame
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.triangulation.reprojection_residuals import USED_SIGMA, Histogram, Residuals, ViewResiduals

_FEW_VIEWS = 2
_SPAN_AT_LEAST_S = 0.5
_SPANS_AT_MOST = 3


class LimbLengths:
    """Mean and relative spread of limb lengths (B',) over all frames, outliers included."""

    def __init__(self, limbs: int) -> None:
        self.count = np.zeros(limbs, np.int64)
        self.mean = np.zeros(limbs)
        self._square = np.zeros(limbs)

    def add(self, lengths: NDArray[np.floating]) -> None:
        """Add lengths (T, B') m, NaN where unknown (the pairwise update of Chan, Golub and LeVeque, 1979)."""
        known = np.isfinite(lengths)
        count = known.sum(0)
        if not count.any():
            return
        mean = np.where(known, lengths, 0).sum(0) / np.maximum(count, 1)
        square = np.where(known, (lengths - mean) ** 2, 0).sum(0)
        total = np.maximum(self.count + count, 1)
        step = mean - self.mean
        self._square += square + step**2 * self.count * count / total
        self.mean += step * count / total
        self.count += count

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation divided by mean (B',) of each limb's length; NaN with fewer than two lengths."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.count > 1, np.sqrt(self._square / self.count) / self.mean, np.nan)


def refined_bone_spread(lengths: LimbLengths) -> float:
    """Return the median over limbs of the limb length's standard deviation divided by its mean; NaN if unknown."""
    known = lengths.spread[np.isfinite(lengths.spread)]
    return float(np.median(known)) if len(known) else float("nan")


class _Person:
    """Counts and histograms of one person."""

    def __init__(self, skeleton: Skeleton, bins: int) -> None:
        self.frames = 0
        self.first = -1
        self.last = -1
        self.missing = 0
        self.error = Histogram(1)
        self.views = np.zeros(256, np.int64)
        self.limbs = LimbLengths(len(skeleton.limbs))
        self.joints = np.zeros(bins, np.int64)
        self.few = np.zeros(bins, np.int64)


class PoseQuality:
    """Quality numbers of a table of poses, raw or refined, added chunk by chunk in the order of frames."""

    def __init__(self, skeleton: Skeleton, frames: int, step: int = 1) -> None:
        """Start with no rows. step: only the frames whose number it divides were looked at, and count views."""
        self.skeleton = skeleton
        self.frames = frames
        self.step = step
        self.people: dict[int, _Person] = {}
        self.lengths = Histogram(len(skeleton.limbs), 1e-5, 1e6, 4000)
        self.error = Histogram(len(skeleton))
        self.missing = np.zeros(len(skeleton), np.int64)
        self.rows = 0
        self.frames_with_people = 0
        self.people_at_once = 0
        self.world = WorldFrame(skeleton)

    def add(self, poses: Poses3D, found: Sequence[Residuals] | None = None) -> None:
        """Add a chunk of poses.

        With ``found``, the residuals of the same frames, reprojection errors are those of every inlier joint in every
        view; without, they are ``error_px`` of the poses, each joint's mean over its views.
        """
        if not len(poses):
            return
        self.world.add(poses)
        per_frame = np.unique(poses.frame, return_counts=True)[1]
        self.frames_with_people += len(per_frame)
        self.people_at_once = max(self.people_at_once, int(per_frame.max()))
        self.rows += len(poses)
        lengths = limb_lengths(poses.skeleton, poses.xyz)
        limb = np.tile(np.arange(lengths.shape[1]), len(poses))
        self.lengths.add(limb, lengths.ravel())
        if found is None:
            self._add_errors(poses.person, poses.error_px)
        for part in found or ():
            self._add_errors(part.person, np.where(part.normalised <= USED_SIGMA, part.error_px, np.nan))
        self.missing += (poses.score == 0).sum(0)
        for person in np.unique(poses.person).tolist():
            mine = poses.person == person
            self._add_person(self._person(person), poses[mine], lengths[mine])

    def _add_errors(self, person: NDArray[np.integer], error_px: NDArray[np.floating]) -> None:
        """Add reprojection errors (N, J) px of the persons (N,), NaN where unknown."""
        self.error.add(np.tile(np.arange(len(self.skeleton)), len(error_px)), error_px.ravel())
        for one in np.unique(person).tolist():
            mine = error_px[person == one].ravel()
            self._person(one).error.add(np.zeros(len(mine), np.int64), mine)

    def _person(self, person: int) -> _Person:
        if person not in self.people:
            _, frames = in_looked_frames(np.empty(0, np.int64), self.frames, self.step)
            self.people[person] = _Person(self.skeleton, bin_count(frames))
        return self.people[person]

    def _add_person(self, one: _Person, rows: Poses3D, lengths: NDArray[np.float64]) -> None:
        present = rows.score > 0
        one.first = int(rows.frame.min()) if one.first < 0 else one.first
        one.last = int(rows.frame.max())
        one.frames += len(rows)
        one.missing += int((~present).sum())
        one.limbs.add(lengths)
        present &= (rows.frame % self.step == 0)[:, None]
        one.views += np.bincount(rows.views[present], minlength=256)
        bins = frame_bins(*in_looked_frames(rows.frame, self.frames, self.step))
        np.add.at(one.joints, bins, present.sum(1))
        np.add.at(one.few, bins, (present & (rows.views == _FEW_VIEWS)).sum(1))


def summarise(
    poses: PoseQuality,
    rate_hz: float,
    views: Sequence[str],
    residuals: ViewResiduals | None = None,
    raw: PoseQuality | None = None,
    seconds_per_frame: Mapping[str, float] | None = None,
    warnings: Sequence[str] = (),
    late_frames: Mapping[str, float] | None = None,
    more: Mapping[str, Any] | None = None,
    more_of_people: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return all numbers of a take and the verdict on them, ready for JSON; None where a number is unknown.

    ``poses``: the refined poses; ``raw``: the poses before refinement; ``more``: keys that other modules collect, on
    which the verdict depends as well. ``bone_spread`` of a person: for each limb the
    standard deviation of its length over all frames, outliers included, divided by its mean; the median over limbs.
    """
    summary: dict[str, Any] = {
        "frames": poses.frames,
        "views": len(views),
        "rate_hz": rate_hz,
        "duration_s": tidy(poses.frames / rate_hz),
        "frames_with_people": poses.frames_with_people,
        "people_at_once": poses.people_at_once,
        "seconds_per_frame": {stage: tidy(seconds) for stage, seconds in (seconds_per_frame or {}).items()},
        "median_reprojection_px": tidy(poses.error.median()),
        "people": [
            {**_person(person, poses, raw, rate_hz, len(views)), **(more_of_people or {}).get(person, {})}
            for person in sorted(poses.people)
        ],
        "limb_length_m": dict(zip(_limb_names(poses.skeleton), map(tidy, poses.lengths.medians()), strict=True)),
        "per_joint": _joints(poses),
        "late_frames": {view: tidy(frames) for view, frames in (late_frames or {}).items()},
        "world": poses.world.facts(residuals.rig if residuals is not None else None),
        "warnings": list(warnings),
        **_per_view(views, residuals),
        **(more or {}),
    }
    summary["verdict"] = verdict(summary)
    return summary


def _person(person: int, poses: PoseQuality, raw: PoseQuality | None, rate_hz: float, views: int) -> dict[str, Any]:
    one = poses.people[person]
    before = raw.people.get(person) if raw is not None else None
    counted = np.cumsum(one.views)
    joints = int(counted[-1])
    return {
        "id": person,
        "frames": one.frames,
        "first_s": tidy(one.first / rate_hz),
        "last_s": tidy(one.last / rate_hz),
        "median_reprojection_px": tidy(one.error.median()),
        "bone_spread": tidy(refined_bone_spread(one.limbs)),
        "bone_spread_raw": tidy(refined_bone_spread(before.limbs)) if before is not None else None,
        "views_used": int(np.searchsorted(counted, joints / 2)) if joints else None,
        "share_two_views": tidy(one.few.sum() / joints) if joints and views > _FEW_VIEWS else None,
        "share_joints_missing": tidy(one.missing / (one.frames * len(poses.skeleton))),
        "two_views_only": _weak_spans(one, poses.frames / rate_hz) if views > _FEW_VIEWS else [],
    }


def _weak_spans(one: _Person, duration_s: float) -> list[dict[str, float | None]]:
    """Return the longest time spans in which most of a person's joints were seen by two views only."""
    weak = (one.joints > 0) & (2 * one.few > one.joints)
    spans = longest_spans(weak, duration_s, _SPAN_AT_LEAST_S, _SPANS_AT_MOST)
    return [{"from_s": tidy(start), "to_s": tidy(stop)} for start, stop in spans]


def _joints(poses: PoseQuality) -> list[dict[str, Any]]:
    medians = poses.error.medians()
    return [
        {
            "joint": joint,
            "median_reprojection_px": tidy(medians[index]),
            "share_missing": tidy(poses.missing[index] / poses.rows) if poses.rows else None,
        }
        for index, joint in enumerate(poses.skeleton.joints)
    ]


def _per_view(views: Sequence[str], residuals: ViewResiduals | None) -> dict[str, Any]:
    if residuals is None:
        return {"normalised_residual": None, "per_view": [{"name": name} for name in views], "per_view_joint_px": []}
    columns = {
        "median_residual_px": residuals.median_px,
        "median_normalised": residuals.median_normalised,
        "share_joints_used": residuals.used_share,
        "share_matched": residuals.matched_share,
    }
    return {
        "normalised_residual": tidy(residuals.overall_normalised),
        "per_view": [
            {"name": name, **{key: tidy(values[view]) for key, values in columns.items()}}
            for view, name in enumerate(views)
        ],
        "per_view_joint_px": [[tidy(value) for value in row] for row in residuals.by_view_and_joint_px],
    }


def _limb_names(skeleton: Skeleton) -> list[str]:
    return [f"{skeleton.joints[a]} to {skeleton.joints[b]}" for a, b in skeleton.limbs.tolist()]
