"""Reprojection residuals of the poses: medians by view and joint, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

USED_SIGMA = 5.0  # a detection with a residual beyond this many times its noise does not support the pose


class Histogram:
    """Medians of positive numbers in constant memory: R histograms with bins of equal ratio, about 1 % wide."""

    def __init__(self, rows: int, low: float = 1e-3, high: float = 1e4, bins: int = 1600) -> None:
        self._edges = np.geomspace(low, high, bins + 1)
        self._counts = np.zeros((rows, bins), np.int64)

    def add(self, row: NDArray[np.integer], value: NDArray[np.floating]) -> None:
        """Add values (N,) to rows (N,); NaN is left out, values beyond the bins count in the outermost ones."""
        known = np.isfinite(value)
        row, value = row[known], value[known]
        bins = self._counts.shape[1]
        place = np.clip(np.searchsorted(self._edges, value, "right") - 1, 0, bins - 1)
        np.add.at(self._counts, (row, place), 1)

    @property
    def count(self) -> NDArray[np.int64]:
        """Number of values (R,) in each row."""
        return np.asarray(self._counts.sum(-1))

    def medians(self) -> NDArray[np.float64]:
        """Median (R,) of each row, interpolated within its bin; NaN for a row without values."""
        return self.quantiles(0.5)

    def median(self) -> float:
        """Median of all rows together; NaN if there are no values."""
        return self.quantile(0.5)

    def quantiles(self, share: float) -> NDArray[np.float64]:
        """Value (R,) below which so large a share, 0..1, of each row lies; NaN for a row without values."""
        return np.array([self._quantile(counts, share) for counts in self._counts])

    def quantile(self, share: float) -> float:
        """Value below which so large a share, 0..1, of all rows together lies; NaN if there are no values."""
        return self._quantile(self._counts.sum(0), share)

    def merged(self, rows: int) -> Histogram:
        """Return a histogram of ``rows`` rows, each the sum of neighbouring ones."""
        out = Histogram(0)
        out._edges, out._counts = self._edges, self._counts.reshape(rows, -1, self._counts.shape[1]).sum(1)
        return out

    def part(self, rows: slice) -> Histogram:
        """Return a histogram of some of the rows."""
        out = Histogram(0)
        out._edges, out._counts = self._edges, self._counts[rows]
        return out

    def _quantile(self, counts: NDArray[np.int64], share: float) -> float:
        total = int(counts.sum())
        if not total:
            return float("nan")
        upto = np.cumsum(counts)
        place = min(int(np.searchsorted(upto, share * total)), int(np.flatnonzero(counts)[-1]))
        part = (share * total - (upto[place] - counts[place])) / max(counts[place], 1)
        low, high = self._edges[place], self._edges[place + 1]
        return float(low * (high / low) ** part)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residuals of the N detections that belong to a pose: distance of each joint from its reprojection."""

    pose: NDArray[np.int64]
    """(N,) row of the pose."""
    frame: NDArray[np.int32]
    view: NDArray[np.int64]
    person: NDArray[np.int32]
    error_px: NDArray[np.float64]
    """(N, J) px, NaN where the view saw no such joint or the pose lacks it."""
    normalised: NDArray[np.float64]
    """(N, J) error divided by the detection's expected noise."""
    seen: NDArray[np.bool_]
    """(N, J) whether the view saw the joint."""


@dataclass(frozen=True, eq=False)
class LinkedOffsets:
    """Where the N detections that belong to a pose lie beside its reprojection."""

    row: NDArray[np.int64]
    """(N,) row of the detections."""
    pose: NDArray[np.int64]
    """(N,) row of the pose."""
    view: NDArray[np.int64]
    off_px: NDArray[np.float64]
    """(N, J, 2) reprojected joint less detection, px; NaN where the view saw no such joint or the pose lacks it."""
    noise_px: NDArray[np.floating]
    """(N, J) of the detections."""
    seen: NDArray[np.bool_]
    """(N, J) whether the view saw the joint."""


def linked_offsets(detections: Detections2D, poses: Poses3D, rig: Rig) -> LinkedOffsets:
    """Offsets of detections from the poses that they belong to, in the joints of the poses; see ``residuals``."""
    row, pose = linked_rows(detections, poses)
    view = detections.view[row].astype(np.int64)
    xy, noise = detections.xy[row], detections.noise_px[row]
    if detections.skeleton.joints != poses.skeleton.joints:
        xy = detections.skeleton.apply(poses.skeleton, xy)
        noise = detections.skeleton.apply(poses.skeleton, noise[..., None])[..., 0]
    off = np.full((len(row), len(poses.skeleton), 2), np.nan)
    for camera in np.unique(view).tolist():
        mine = view == camera
        off[mine] = rig[camera].project(poses.xyz[pose[mine]].astype(np.float64)) - xy[mine]
    return LinkedOffsets(row, pose, view, off, noise, np.asarray(np.isfinite(xy).all(-1)))


def residuals(detections: Detections2D, poses: Poses3D, rig: Rig) -> Residuals:
    """Residuals of detections against the poses that they belong to: same frame, detection's person = pose's group.

    A joint that the detections' skeleton lacks is left out. Detections that belong to no pose give no row.
    """
    linked = linked_offsets(detections, poses, rig)
    error, noise = np.linalg.norm(linked.off_px, axis=-1), linked.noise_px
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = np.where(noise > 0, error / noise, np.nan)
    frame, person = detections.frame[linked.row], poses.person[linked.pose]
    return Residuals(linked.pose, frame, linked.view, person, error, normalised, linked.seen)


class ViewResiduals:
    """Residuals of a whole take by view and joint, added chunk by chunk."""

    def __init__(self, rig: Rig, skeleton: Skeleton) -> None:
        self.names = rig.names
        self.skeleton = skeleton
        self.rig = rig
        cells = len(rig) * len(skeleton)
        self._error, self._normalised = Histogram(cells), Histogram(cells)
        self._used, self._joints = np.zeros(cells, np.int64), np.zeros(cells, np.int64)
        self._found, self._matched = np.zeros(len(rig), np.int64), np.zeros(len(rig), np.int64)

    def add(self, detections: Detections2D, poses: Poses3D) -> Residuals:
        """Add a chunk of associated detections and the poses of the same frames; return their residuals."""
        found = residuals(detections, poses, self.rig)
        cell = found.view[:, None] * len(self.skeleton) + np.arange(len(self.skeleton))
        self._error.add(cell.ravel(), found.error_px.ravel())
        self._normalised.add(cell.ravel(), found.normalised.ravel())
        np.add.at(self._joints, cell[found.seen], 1)
        np.add.at(self._used, cell[found.normalised <= USED_SIGMA], 1)
        self._found += np.bincount(detections.view, minlength=len(self.names))
        self._matched += np.bincount(found.view, minlength=len(self.names))
        return found

    @property
    def median_px(self) -> NDArray[np.float64]:
        """Median residual (C,) px of each view."""
        return self._error.merged(len(self.names)).medians()

    @property
    def median_normalised(self) -> NDArray[np.float64]:
        """Median residual (C,) of each view in units of the expected noise; 1.2 if the noise is as expected."""
        return self._normalised.merged(len(self.names)).medians()

    @property
    def overall_normalised(self) -> float:
        """Median residual of all views in units of the expected noise."""
        return self._normalised.median()

    @property
    def by_view_and_joint_px(self) -> NDArray[np.float64]:
        """Median residual (C, J) px, NaN without detections."""
        return self._error.medians().reshape(len(self.names), -1)

    @property
    def used_share(self) -> NDArray[np.float64]:
        """Share (C,) of a view's joints of 3D people whose residual is within five times the noise."""
        return _share(self._used.reshape(len(self.names), -1).sum(1), self._joints.reshape(len(self.names), -1).sum(1))

    @property
    def matched_share(self) -> NDArray[np.float64]:
        """Share (C,) of a view's detections that belong to a person in 3D."""
        return _share(self._matched, self._found)


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def linked_rows(detections: Detections2D, poses: Poses3D) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the detections that belong to a pose, and the rows of those poses, matched by frame and group."""
    key = {(f, g): i for i, (f, g) in enumerate(zip(poses.frame.tolist(), poses.group.tolist(), strict=True))}
    rows = [key.get(pair, -1) for pair in zip(detections.frame.tolist(), detections.person.tolist(), strict=True)]
    pose = np.array(rows, np.int64)
    row = np.flatnonzero((pose >= 0) & (detections.person >= 0))
    return row, pose[row]
