"""Downsampled time series of a take for plots: samples at a fixed stride and means over bins, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.joint_angles import ANGLES, joint_angles
from mvcap.structures.poses import Poses3D, sigma_m
from mvcap.structures.skeleton import Skeleton
from mvcap.triangulation.reprojection_residuals import Residuals


@dataclass(frozen=True, eq=False)
class PersonSeries:
    """One person in N samples (every ``stride`` frames) and in N bins of the take; NaN where unknown."""

    root: NDArray[np.float64]
    """(N, 3) m, midpoint of the hips."""
    limbs: NDArray[np.float64]
    """(N, B') m, limb lengths."""
    present: NDArray[np.float64]
    """(N,) share of each bin's frames in which the person is present."""
    error_px: NDArray[np.float64]
    """(N,) px, mean reprojection error of each bin."""
    sigma_mm: NDArray[np.float64]
    """(N, 2) mm, standard deviation of the joints' positions (root mean square over the axes): median of the joints,
    and what 95 % of them are within."""
    angles_deg: NDArray[np.float64]
    """(N, A) degrees of ``joint_angles.ANGLES``."""


@dataclass(eq=False)
class _Person:
    root: NDArray[np.float64]
    limbs: NDArray[np.float64]
    frames: NDArray[np.float64]
    error: NDArray[np.float64]
    counted: NDArray[np.float64]
    sigma_mm: NDArray[np.float64]
    angles: NDArray[np.float64]
    by_view: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    """View -> (2, N): sum and number of errors."""


class SeriesCollector:
    """Collects at most ``samples`` points per person; the stride follows from the number of frames."""

    def __init__(self, skeleton: Skeleton, frames: int, rate_hz: float, samples: int = 2000) -> None:
        self.skeleton = skeleton
        self.frames = frames
        self.rate_hz = rate_hz
        self.stride = max(1, -(-frames // samples))
        self.samples = -(-frames // self.stride)
        self._people: dict[int, _Person] = {}

    def add(self, poses: Poses3D) -> None:
        """Add a chunk of poses."""
        kept = poses[poses.frame % self.stride == 0]
        roots, limbs = _root(kept), limb_lengths(kept.skeleton, kept.xyz)
        sigma_mm, angles = _sigma_mm(kept), joint_angles(kept)
        for person in np.unique(poses.person).tolist():
            one = self._person(person)
            mine = kept.person == person
            at = kept.frame[mine] // self.stride
            one.root[at], one.limbs[at] = roots[mine], limbs[mine]
            one.sigma_mm[at], one.angles[at] = sigma_mm[mine], angles[mine]
            rows = poses[poses.person == person]
            bins = rows.frame // self.stride
            np.add.at(one.frames, bins, 1)
            known = np.isfinite(rows.error_px)
            np.add.at(one.error, bins, np.where(known, rows.error_px, 0).sum(1))
            np.add.at(one.counted, bins, known.sum(1))

    def add_residuals(self, found: Residuals) -> None:
        """Add a chunk of residuals, for ``error_by_view``."""
        known = np.isfinite(found.error_px)
        total = np.where(known, found.error_px, 0).sum(1)
        count = known.sum(1)
        for person in np.unique(found.person).tolist():
            series = self._person(person).by_view
            for view in np.unique(found.view[found.person == person]).tolist():
                mine = (found.person == person) & (found.view == view)
                sums = series.setdefault(view, np.zeros((2, self.samples)))
                bins = found.frame[mine] // self.stride
                np.add.at(sums[0], bins, total[mine])
                np.add.at(sums[1], bins, count[mine])

    @property
    def time_s(self) -> NDArray[np.float64]:
        """Times (N,) s of the samples."""
        return np.arange(self.samples) * self.stride / self.rate_hz

    @property
    def people(self) -> dict[int, PersonSeries]:
        """Series by person id, in ascending order."""
        return {person: self._series(self._people[person]) for person in sorted(self._people)}

    def error_by_view(self) -> dict[int, dict[int, NDArray[np.float64]]]:
        """Return the mean reprojection error (N,) px of each bin, by person and view."""
        return {
            person: {view: _ratio(sums[0], sums[1]) for view, sums in sorted(self._people[person].by_view.items())}
            for person in sorted(self._people)
        }

    def _series(self, one: _Person) -> PersonSeries:
        whole = np.minimum(self.stride, self.frames - np.arange(self.samples) * self.stride)
        error_px = _ratio(one.error, one.counted)
        return PersonSeries(one.root, one.limbs, one.frames / whole, error_px, one.sigma_mm, one.angles)

    def _person(self, person: int) -> _Person:
        if person not in self._people:
            n = self.samples
            root, limbs, sigma, angles = (
                np.full((n, width), np.nan) for width in (3, len(self.skeleton.limbs), 2, len(ANGLES))
            )
            self._people[person] = _Person(root, limbs, np.zeros(n), np.zeros(n), np.zeros(n), sigma, angles)
        return self._people[person]


def _ratio(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _sigma_mm(poses: Poses3D) -> NDArray[np.float64]:
    """Return the median and the 95th percentile (M, 2) mm of the joints' standard deviations; NaN where none is."""
    sigma = 1000 * sigma_m(poses).astype(np.float64)
    out = np.full((len(poses), 2), np.nan)
    known = np.isfinite(sigma).any(1)
    if known.any():
        out[known] = np.nanpercentile(sigma[known], (50, 95), axis=1).T
    return out


def _root(poses: Poses3D) -> NDArray[np.float64]:
    """Return the midpoint (M, 3) of the hips, NaN if one is missing; without hips in the skeleton, the joints' mean."""
    xyz = poses.xyz.astype(np.float64)
    joints = poses.skeleton.joints
    if "left_hip" in joints and "right_hip" in joints:
        return np.asarray(xyz[:, [joints.index("left_hip"), joints.index("right_hip")]].mean(1))
    known = np.isfinite(xyz).all(-1, keepdims=True)
    return _ratio(np.where(known, xyz, 0).sum(1), known.sum(1).astype(np.float64))
