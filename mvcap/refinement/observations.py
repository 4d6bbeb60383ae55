"""One person's evidence over a window: what every view saw, and the points to start from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Bools, Floats
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D, full_covariance

_SMALLEST_M = 0.002  # no joint that is given without its pixels is known better than this
_LEAST_PX = 0.05
_UNKNOWN_M = 10.0
_OUTSIDE = 4.0  # times the stated noise: of two-dimensional normal residuals, 0.03 % are further off
_NOISE_RANGE = (0.5, 4.0)  # how far the noise may be from what was stated
_ENOUGH = 200  # degrees of freedom from which on the residuals are asked about the noise


@dataclass(frozen=True)
class Observations2D:
    """Consecutive frames of one person."""

    rig: Rig
    first: int
    row: NDArray[np.int64]
    """(T,) row of the table at each frame; -1 = none."""
    point: Floats
    """(T, J, 3) m as triangulated, NaN where it was not."""
    cov: Floats
    """(T, J, 3, 3) m^2 of it."""
    xy: Floats
    """(C, T, J, 2) px, NaN where unseen."""
    noise_px: Floats
    """(C, T, J) standard deviation along each axis."""
    score: Floats
    """(C, T, J) of the detections, 0 where unseen."""
    calibration_px: Floats
    """(C,) how far the rays of each view are off at all frames."""

    @classmethod
    def of(cls, poses: Poses3D, evidence: Evidence) -> Observations2D:
        """Gather a person's rows; of two rows at one frame the last counts."""
        first = int(poses.frame.min())
        row = np.full(int(poses.frame.max()) - first + 1, -1, np.int64)
        row[poses.frame - first] = np.arange(len(poses))
        there, shape = row >= 0, (len(row), len(poses.skeleton))
        point, cov = np.full((*shape, 3), np.nan), np.full((*shape, 3, 3), np.nan)
        point[there] = poses.xyz[row[there]]
        cov[there] = full_covariance(poses.cov[row[there]].astype(np.float64))
        point[~np.isfinite(cov).all((-1, -2))] = np.nan
        calibration_px = np.broadcast_to(evidence.calibration_px, len(evidence.rig))
        return cls(evidence.rig, first, row, point, cov, *_pixels(poses, evidence, first, shape), calibration_px)

    @property
    def seen(self) -> Bools:
        """Whether (C, T, J) a view saw the joint."""
        return np.asarray(np.isfinite(self.xy[..., 0]))

    @property
    def given(self) -> Bools:
        """Whether (T, J) a joint comes as a point alone, without the pixels that it was made of."""
        return np.asarray(np.isfinite(self.point[..., 0]) & ~self.seen.any(0))

    def of_joints(self, joints: NDArray[np.int64]) -> Observations2D:
        """Return the same of some joints only."""
        xy, noise_px, score = (at[:, :, joints] for at in (self.xy, self.noise_px, self.score))
        point, cov = self.point[:, joints], self.cov[:, joints]
        return replace(self, point=point, cov=cov, xy=xy, noise_px=noise_px, score=score)

    def at_frames(self, frames: NDArray[np.int64]) -> Observations2D:
        """Return the same of some frames only, as if they followed one another."""
        row, point, cov = self.row[frames], self.point[frames], self.cov[frames]
        xy, noise_px, score = (at[:, frames] for at in (self.xy, self.noise_px, self.score))
        return replace(self, row=row, point=point, cov=cov, xy=xy, noise_px=noise_px, score=score)

    def noise_scale(self) -> float:
        """Noise of the pixels over what was stated for it, from how well the views agree on the points given.

        A triangulated point takes three of the coordinates that its views have together; views that are no part of
        it, further off than four times the stated noise, say nothing. 1 where there is too little to tell.
        """
        off = self.residuals(self.point, 1.0)
        used = off < _OUTSIDE
        freedom = np.maximum(2 * used.sum(0) - 3, 0)
        square = np.where(freedom > 0, np.where(used, off**2, 0).sum(0), 0)
        if freedom.sum() < _ENOUGH:
            return 1.0
        return float(np.clip(np.sqrt(square.sum() / freedom.sum()), *_NOISE_RANGE))

    def residuals(self, x: Floats, noise_scale: float) -> Floats:
        """Distances (C, T, J) of what the views saw from joints x (T, J, 3), in standard deviations; NaN if unseen."""
        return np.asarray(np.linalg.norm(self.rig.project(x) - self.xy, axis=-1) / (self.noise_px * noise_scale))

    def normal(self, x: Floats, noise_scale: float, kernel: Floats) -> tuple[Floats, Floats]:
        """Information (T, J, 3, 3) and gradient (T, J, 3) of the pixels at joints x (T, J, 3).

        ``kernel`` (T, J) is the scale of the kernel of Geman and McClure (1987) in standard deviations. A joint that is
        given as a point counts with its covariance.
        """
        projected, slope = self.rig.project_with_jacobian(x)
        sigma = self.noise_px * noise_scale
        off = (self.xy - projected) / sigma[..., None]
        weight = 1 / (1 + (off**2).sum(-1) / kernel**2) ** 2
        information, gradient = _summed(slope / sigma[..., None, None], off, weight)
        self._add_given(information, gradient, x, kernel)
        return information, gradient

    def information(self, x: Floats, noise_scale: float, used: Bools) -> Floats:
        """Information (T, J, 3, 3) of the views used (C, T, J), at full weight, and of points given."""
        _, slope = self.rig.project_with_jacobian(x)
        sigma = (self.noise_px * noise_scale)[..., None, None]
        out, gradient = _summed(slope / sigma, np.zeros(self.xy.shape), used.astype(np.float64))
        self._add_given(out, gradient, x, np.full(x.shape[:2], np.inf))
        return out

    def common_covariance(self, x: Floats, noise_scale: float, used: Bools) -> Floats:
        """Covariance (T, J, 3, 3) m^2 that a wrong calibration gives joints x (T, J, 3) by the views used (C, T, J).

        It is the same from frame to frame, so that no number of them makes it less: errors of ``calibration_px`` go
        through the triangulation, and a joint that nobody sees has what it had when it was seen.
        """
        if not self.calibration_px.any():
            return np.zeros((*x.shape, 3))
        _, slope = self.rig.project_with_jacobian(x)
        sigma, nothing = (self.noise_px * noise_scale)[..., None, None], np.zeros(self.xy.shape)
        information, _ = _summed(slope / sigma, nothing, used.astype(np.float64))
        off = used * self.calibration_px[:, None, None] ** 2
        moved, _ = _summed(slope / sigma**2, nothing, off)
        spread = np.linalg.inv(information + np.eye(3) / _UNKNOWN_M**2)
        return _carried_on(spread @ moved @ spread, np.asarray(used.any(0)))

    def _add_given(self, information: Floats, gradient: Floats, x: Floats, kernel: Floats) -> None:
        at = np.nonzero(self.given & np.isfinite(x[..., 0]))
        if len(at[0]):
            precision = np.linalg.inv(self.cov[at] + np.eye(3) * _SMALLEST_M**2)
            off = self.point[at] - x[at]
            square = np.einsum("ni,nij,nj->n", off, precision, off)
            precision /= ((1 + square / kernel[at] ** 2) ** 2)[:, None, None]
            information[at] += precision
            gradient[at] += np.einsum("nij,nj->ni", precision, off)


def _carried_on(cov: Floats, seen: Bools) -> Floats:
    """Covariances (T, J, 3, 3), of joints that are not seen those of the frame before at which they were, or after.

    A joint that never is seen has the mean of the others.
    """
    frames = np.arange(len(seen))[:, None]
    before = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)
    at = np.where(before >= 0, before, seen.argmax(0))
    out = cov[at, np.arange(seen.shape[1])]
    never = ~seen.any(0)
    if never.any() and not never.all():
        out[:, never] = out[:, ~never].mean(1, keepdims=True)
    return out


def _summed(slope: Floats, off: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Sums over views of weighted normal equations, from slopes (C, T, J, 2, 3) and residuals (C, T, J, 2)."""
    known = np.isfinite(off).all(-1) & np.isfinite(slope).all((-1, -2)) & (weight > 0)
    information, gradient = np.zeros((*off.shape[1:3], 3, 3)), np.zeros((*off.shape[1:3], 3))
    for view in range(len(off)):
        at = np.nonzero(known[view])
        J, w = slope[view][at], weight[view][at]
        weighted = (J * w[:, None, None]).swapaxes(-1, -2)
        information[at] += weighted @ J
        gradient[at] += (weighted @ off[view][at][..., None])[..., 0]
    return information, gradient


def _pixels(poses: Poses3D, evidence: Evidence, first: int, shape: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """Pixels (C, T, J, 2), their noise and scores (C, T, J); two rows of a view are two parts of the person."""
    rows = evidence.rows
    full = (len(evidence.rig), *shape)
    xy, noise, score = np.full((*full, 2), np.nan), np.ones(full), np.zeros(full)
    inside = np.flatnonzero((rows.frame >= first) & (rows.frame < first + shape[0]))
    rows = rows[inside]
    values: Floats = np.concatenate([rows.xy, rows.noise_px[..., None], rows.score[..., None]], axis=-1).astype(
        np.float64
    )
    if rows.skeleton.joints != poses.skeleton.joints:
        values = np.asarray(rows.skeleton.apply(poses.skeleton, values), np.float64)
    known = np.isfinite(values).all(-1) & (values[..., 2] > 0)
    row, joint = np.nonzero(known)
    at = rows.view[row], rows.frame[row] - first, joint
    xy[at], noise[at], score[at] = (
        values[row, joint, :2], np.maximum(values[row, joint, 2], _LEAST_PX), values[row, joint, 3]
    )  # fmt: skip
    return xy, noise, score
