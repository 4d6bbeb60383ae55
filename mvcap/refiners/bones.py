"""Sparse least squares over a window: measurements in units of their covariance, limbs of constant length, smoothness.

The unknowns are all joints of one person at all frames of the window. Three kinds of residuals, each divided by its
standard deviation: a joint from where it was triangulated (robust: the kernel of Geman and McClure), a limb from the
person's own length of it, and each joint's acceleration from zero. Limbs tie joints together within a frame and
acceleration ties a joint to itself two frames on, so with time as the outer order the normal equations of each group of
joints that limbs connect are a narrow band, solved exactly in time linear in the frames (Gauss-Newton, banded
Cholesky).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError
from mvcap.plugins import Evidence
from mvcap.structures.poses import Poses3D, Provenance, full_covariance, packed_covariance
from mvcap.structures.skeleton import Skeleton

Floats = NDArray[np.float64]

# How much more freely than the torso a joint accelerates: each segment further out adds one.
_REACH: Mapping[str, int] = {
    "elbow": 1, "knee": 1, "wrist": 2, "ankle": 2, "heel": 2, "toe": 2, "pinky": 2, "index": 2, "thumb": 2
}  # fmt: skip
_SMALLEST_M = 0.002  # no triangulated joint of a person is known better than this


@dataclass(frozen=True)
class BonesConfig:
    """Settings of the refiner ``bones``."""

    acceleration_mps2: float = 12.0
    """How strongly the torso's joints accelerate, one standard deviation; knees and elbows twice, hands and feet three
    times as much."""
    limb_sigma: float = 0.004
    """Standard deviation of a limb's length as a share of it."""
    outlier_sigma: float = 3.0
    """Distance of a measurement, in standard deviations, from which on it is believed less and less."""
    fill_s: float = 0.25
    """Joints not measured for at most so long are filled in; longer gaps stay gaps."""
    steps: int = 6
    """Gauss-Newton steps."""

    def __post_init__(self) -> None:
        if min(self.acceleration_mps2, self.limb_sigma, self.outlier_sigma) <= 0 or self.steps < 1:
            raise ConfigError("bones: acceleration_mps2, limb_sigma and outlier_sigma are above 0, steps at least 1")


class Bones:
    """Refiner ``bones``."""

    Config = BonesConfig

    def __init__(self, config: BonesConfig) -> None:
        self.config = config

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Move one person's rows, and add rows for frames in short gaps. A joint that is filled in has no views."""
        if len(poses) < 3:
            return poses
        rate_hz, limb_length_m = evidence.rate_hz, evidence.limb_length_m
        window = _Window.of(poses)
        ever = np.asarray(window.measured.any(0))
        known = np.isfinite(limb_length_m) & ever[poses.skeleton.limbs].all(-1)
        limbs, lengths = poses.skeleton.limbs[known], limb_length_m[known]
        stiffness = self._stiffness(poses.skeleton, rate_hz)
        refined = window.start.copy()
        for joints in _groups(limbs, len(poses.skeleton)):
            mine = np.isin(limbs[:, 0], joints)
            ends = np.searchsorted(joints, limbs[mine])
            refined[:, joints] = self._solve(window, joints, ends, lengths[mine], stiffness[joints])
        keep = window.measured | _short_gaps(window.measured, round(self.config.fill_s * rate_hz))
        return window.rows(poses, np.where(keep[..., None], refined, np.nan), stiffness)

    def _stiffness(self, skeleton: Skeleton, rate_hz: float) -> Floats:
        """Weight (J,) of the squared second difference of each joint, 1/m^2."""
        reach = [max(_REACH.get(part, 0) for part in joint.split("_")) for joint in skeleton.joints]
        sigma_m = self.config.acceleration_mps2 * (1 + np.array(reach)) / rate_hz**2
        return np.asarray(1 / sigma_m**2)

    def _solve(
        self, window: _Window, joints: NDArray[np.int64], limbs: NDArray[np.int64], lengths: Floats, stiffness: Floats
    ) -> Floats:
        """Positions (T, J', 3) of a group of joints; limbs (B', 2) index into it."""
        x = window.start[:, joints].copy()
        target, precision = window.target[:, joints], window.precision[:, joints]
        smooth = _smoothness_band(len(x), len(joints), stiffness)
        for _ in range(self.config.steps):
            off = target - x
            square = np.einsum("tji,tjik,tjk->tj", off, precision, off, optimize=True)
            weight = precision / ((1 + square / (3 * self.config.outlier_sigma**2)) ** 2)[..., None, None]
            blocks, right = _measurement(weight, off)
            self._add_limbs(blocks, right, x, limbs, lengths)
            band = smooth.copy()
            _add_blocks(band, blocks)
            x = x + _step(band, right.ravel() - _band_times(smooth, x.ravel()), x.shape)
        return x

    def _add_limbs(self, blocks: Floats, right: Floats, x: Floats, limbs: NDArray[np.int64], lengths: Floats) -> None:
        """Add the limbs' normal equations to blocks (T, 3J', 3J') and right (T, 3J')."""
        for (a, b), length in zip(limbs, lengths, strict=True):
            apart = x[:, b] - x[:, a]
            now = np.maximum(np.linalg.norm(apart, axis=-1), 1e-6)
            slope = np.concatenate([-apart, apart], axis=-1) / now[:, None]
            weight = 1 / (self.config.limb_sigma * length) ** 2
            at = np.concatenate([3 * a + np.arange(3), 3 * b + np.arange(3)])
            blocks[:, at[:, None], at] += weight * slope[:, :, None] * slope[:, None]
            right[:, at] += weight * slope * (length - now)[:, None]


@dataclass(frozen=True)
class _Window:
    """One person's measurements on consecutive frames."""

    first: int
    row: NDArray[np.int64]
    """(T,) row of the table at each frame; -1 = none."""
    measured: NDArray[np.bool_]
    """(T, J)"""
    target: Floats
    """(T, J, 3) m where measured, 0 elsewhere."""
    precision: Floats
    """(T, J, 3, 3) 1/m^2, 0 where not measured."""
    start: Floats
    """(T, J, 3) m: measurements joined by straight lines, 0 for a joint that is never measured."""

    @classmethod
    def of(cls, poses: Poses3D) -> _Window:
        first = int(poses.frame[0])
        frames = int(poses.frame[-1]) - first + 1
        row = np.full(frames, -1, np.int64)
        row[poses.frame - first] = np.arange(len(poses))
        shape = (frames, len(poses.skeleton))
        there = row >= 0
        xyz = np.full((*shape, 3), np.nan)
        xyz[there] = poses.xyz[row[there]]
        cov = np.zeros((*shape, 3, 3))
        cov[there] = full_covariance(poses.cov[row[there]].astype(np.float64))
        measured = np.isfinite(xyz).all(-1) & np.isfinite(cov).all((-1, -2))
        cov = np.where(measured[..., None, None], cov, 0) + np.eye(3) * _SMALLEST_M**2
        precision = np.where(measured[..., None, None], np.linalg.inv(cov), 0)
        return cls(first, row, measured, np.where(measured[..., None], xyz, 0), precision, _joined(xyz, measured))

    def rows(self, poses: Poses3D, xyz: Floats, stiffness: Floats) -> Poses3D:
        """Table of the frames where any joint is kept; what was not measured has no views and a wider covariance."""
        frames = np.flatnonzero(np.isfinite(xyz).all(-1).any(-1))
        row, measured = self.row[frames], self.measured[frames]
        known = row >= 0
        xyz = xyz[frames]
        kept = np.asarray(np.isfinite(xyz).all(-1))

        def carried(values: NDArray[np.generic], blank: float) -> Floats:
            full = np.full((len(frames), *values.shape[1:]), blank)
            full[known] = values[row[known]]
            shape = (*measured.shape, *[1] * (full.ndim - 2))
            return np.where(measured.reshape(shape), full, blank)

        nearest, distance = _nearest(self.measured)
        near, away = nearest[frames], distance[frames].astype(np.float64)
        joint = np.arange(xyz.shape[1])
        filled = kept & ~measured
        source = self.row[near]  # the row that measured the joint last or next
        grown = full_covariance(poses.cov[source, joint].astype(np.float64))
        grown = grown + np.eye(3) * (away**4 / (4 * stiffness))[..., None, None]
        cov = np.where(filled[..., None], packed_covariance(grown), carried(poses.cov, np.nan))
        # A joint filled in is believed less the longer ago it was measured.
        score = np.where(filled, 0.5 * poses.score[source, joint] / (1 + away), carried(poses.score, 0))
        group = np.where(known, poses.group[np.maximum(row, 0)], -1)
        return Poses3D(
            poses.skeleton,
            frame=self.first + frames,
            person=np.full(len(frames), poses.person[0]),
            group=group,
            xyz=xyz,
            score=np.where(kept, np.maximum(score, 1e-6), 0),
            error_px=carried(poses.error_px, np.nan),
            views=carried(poses.views, 0),
            cov=np.where(kept[..., None], cov, np.nan),
            provenance=np.where(filled, Provenance.INTERPOLATED, carried(poses.provenance, 0)),
        )


def _joined(xyz: Floats, measured: NDArray[np.bool_]) -> Floats:
    """Measurements (T, J, 3) joined by straight lines in time, held at the ends."""
    frames = np.arange(len(xyz))
    out = np.zeros_like(xyz)
    for joint in np.flatnonzero(measured.any(0)):
        at = np.flatnonzero(measured[:, joint])
        for axis in range(3):
            out[:, joint, axis] = np.interp(frames, at, xyz[at, joint, axis])
    return out


def _nearest(measured: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nearest frame (T, J) that measured each joint, and its distance in frames; a frame itself where none did."""
    frames = np.arange(len(measured))[:, None]
    before = np.maximum.accumulate(np.where(measured, frames, -1), axis=0)
    after = np.minimum.accumulate(np.where(measured, frames, 2 * len(measured))[::-1], axis=0)[::-1]
    use_before = (before >= 0) & ((frames - before <= after - frames) | (after >= len(measured)))
    nearest = np.where(use_before, before, np.where(after < len(measured), after, frames))
    return nearest, np.abs(nearest - frames)


def _short_gaps(measured: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Where (T, J) a joint is missing for at most so many frames between two measurements."""
    frames = np.arange(len(measured))[:, None]
    before = np.maximum.accumulate(np.where(measured, frames, -longest - 2), axis=0)
    after = np.minimum.accumulate(np.where(measured, frames, 2 * len(measured) + longest)[::-1], axis=0)[::-1]
    return np.asarray(~measured & (after - before - 1 <= longest))


def _groups(limbs: NDArray[np.int64], joints: int) -> list[NDArray[np.int64]]:
    """Joints in the groups that limbs connect, each sorted; most joints are a group of their own."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(limbs)), (limbs[:, 0], limbs[:, 1])), shape=(joints, joints))
    count, label = connected_components(graph, directed=False)
    return [np.flatnonzero(label == number) for number in range(count)]


def _measurement(weight: Floats, off: Floats) -> tuple[Floats, Floats]:
    """Blocks (T, 3J, 3J) and right-hand sides (T, 3J) of weights (T, J, 3, 3) and residuals (T, J, 3)."""
    frames, joints = off.shape[:2]
    blocks = np.zeros((frames, joints, 3, joints, 3))
    at = np.arange(joints)
    blocks[:, at, :, at] = weight.swapaxes(0, 1)
    right = np.einsum("tjik,tjk->tji", weight, off)
    return blocks.reshape(frames, 3 * joints, 3 * joints), right.reshape(frames, -1)


def _smoothness_band(frames: int, joints: int, stiffness: Floats) -> Floats:
    """Lower band (6J + 1, 3JT) of the squared second differences of all coordinates, time the outer order."""
    size = 3 * joints
    weight = np.repeat(stiffness, 3)
    difference = np.zeros((3, frames))  # lower band of D^T D of the second difference D
    difference[0, 2:] += 1
    difference[0, 1:-1] += 4
    difference[0, :-2] += 1
    difference[1, 1:-1] += -2
    difference[1, :-2] += -2
    difference[2, :-2] += 1
    band = np.zeros((2 * size + 1, size * frames))
    for step in range(3):
        band[step * size] = (difference[step][:, None] * weight).ravel()
    return band


def _add_blocks(band: Floats, blocks: Floats) -> None:
    """Add symmetric blocks (T, n, n) to the diagonal of a lower band."""
    frames, size, _ = blocks.shape
    by_frame = band.reshape(len(band), frames, size)
    for below in range(size):
        by_frame[below, :, : size - below] += np.diagonal(blocks, -below, 1, 2)


def _band_times(band: Floats, x: Floats) -> Floats:
    """Product of a symmetric matrix, given by its lower band, and a vector."""
    out = band[0] * x
    for below in np.flatnonzero(band[1:].any(1)) + 1:
        entries = band[below, :-below]
        out[below:] += entries * x[:-below]
        out[:-below] += entries * x[below:]
    return np.asarray(out)


def _step(band: Floats, right: Floats, shape: tuple[int, ...]) -> Floats:
    from scipy.linalg import solveh_banded

    # Enough to make a joint that nothing measures solvable; far below any measurement's weight.
    band[0] += 1e-3
    return np.asarray(solveh_banded(band, right, lower=True, overwrite_ab=True, overwrite_b=True)).reshape(shape)
