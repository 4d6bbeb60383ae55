"""One person's observations over a window: the detections of every view, and triangulated initial points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Bools, Floats, Ints
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D, full_covariance

_SMALLEST_M = 0.002  # least standard deviation of a joint given as a 3D point only
_LEAST_PX = 0.05  # least noise of a pixel position
_UNKNOWN_M = 10.0  # standard deviation of a joint without observations
_OUTLIER_SIGMA = 4.0  # of the stated noise: 0.03 % of two-dimensional normal residuals are larger
_NOISE_RANGE = (0.5, 4.0)  # limits of the ratio of actual to stated noise
_ENOUGH_FREEDOM = 200  # least degrees of freedom of the residuals for estimating the noise


@dataclass(frozen=True)
class Observations2D:
    """Observations of one person over consecutive frames."""

    rig: Rig
    first: int
    row: NDArray[np.int64]
    """(T,) row of the table at each frame; -1 = none."""
    point: Floats
    """(T, J, 3) m triangulated, NaN where not."""
    cov: Floats
    """(T, J, 3, 3) m^2 covariance of the point."""
    xy: Floats
    """(C, T, J, 2) px, NaN where unseen."""
    noise_px: Floats
    """(C, T, J) standard deviation along each axis."""
    score: Floats
    """(C, T, J) of the detections, 0 where unseen."""
    calibration_px: Floats
    """(C,) calibration error of each view, constant over all frames."""
    step: int = 1
    """Only the frames whose number it divides were looked at."""

    @classmethod
    def of(cls, poses: Poses3D, evidence: Evidence) -> Observations2D:
        """Gather a person's rows; of two rows in a frame the last one is used."""
        first = int(poses.frame.min())
        row = np.full(int(poses.frame.max()) - first + 1, -1, np.int64)
        row[poses.frame - first] = np.arange(len(poses))
        there, shape = row >= 0, (len(row), len(poses.skeleton))
        point, cov = np.full((*shape, 3), np.nan), np.full((*shape, 3, 3), np.nan)
        point[there] = poses.xyz[row[there]]
        cov[there] = full_covariance(poses.cov[row[there]].astype(np.float64))
        point[~np.isfinite(cov).all((-1, -2))] = np.nan
        calibration_px = np.broadcast_to(evidence.calibration_px, len(evidence.rig))
        pixels = _gather_pixels(poses, evidence, first, shape)
        return cls(evidence.rig, first, row, point, cov, *pixels, calibration_px, evidence.frame_step)

    @property
    def looked_at(self) -> Bools:
        """Whether (T,) a frame was looked at."""
        return np.asarray((self.first + np.arange(len(self.row))) % self.step == 0)

    def with_skipped(self, views: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return numbers of views (T, J) in which a frame that was not looked at has the smaller of its neighbours'.

        Nobody was hidden there: the neighbours are the last frame before and the first after that were looked at.
        """
        inside, before, after = skipped_frames(self.looked_at)
        out = views.copy()
        out[inside] = np.minimum(views[before], views[after])
        return out

    @property
    def seen(self) -> Bools:
        """Whether (C, T, J) a view saw the joint."""
        return np.asarray(np.isfinite(self.xy[..., 0]))

    @property
    def given(self) -> Bools:
        """Whether (T, J) a joint is given as a 3D point only, without the pixels behind it."""
        return np.asarray(np.isfinite(self.point[..., 0]) & ~self.seen.any(0))

    def of_joints(self, joints: NDArray[np.int64]) -> Observations2D:
        """Return the observations of some joints only."""
        xy, noise_px, score = (at[:, :, joints] for at in (self.xy, self.noise_px, self.score))
        point, cov = self.point[:, joints], self.cov[:, joints]
        return replace(self, point=point, cov=cov, xy=xy, noise_px=noise_px, score=score)

    def at_frames(self, frames: NDArray[np.int64]) -> Observations2D:
        """Return the observations of some frames only, as if they were consecutive."""
        row, point, cov = self.row[frames], self.point[frames], self.cov[frames]
        xy, noise_px, score = (at[:, frames] for at in (self.xy, self.noise_px, self.score))
        return replace(self, row=row, point=point, cov=cov, xy=xy, noise_px=noise_px, score=score)

    def noise_scale(self) -> float:
        """Ratio of the actual pixel noise to the stated one, from how well the views agree on the given points.

        Each triangulated point uses up three of the coordinates of its views; views with a residual beyond four times
        the stated noise are not used. 1 if there are too few observations.
        """
        off = self.residuals(self.point, 1.0)
        used = off < _OUTLIER_SIGMA
        freedom = np.maximum(2 * used.sum(0) - 3, 0)
        square = np.where(freedom > 0, np.where(used, off**2, 0).sum(0), 0)
        if freedom.sum() < _ENOUGH_FREEDOM:
            return 1.0
        return float(np.clip(np.sqrt(square.sum() / freedom.sum()), *_NOISE_RANGE))

    def residuals(self, x: Floats, noise_scale: float) -> Floats:
        """Residuals (C, T, J) of joints x (T, J, 3) in the views, in standard deviations; NaN if unseen."""
        return np.asarray(np.linalg.norm(self.rig.project(x) - self.xy, axis=-1) / (self.noise_px * noise_scale))

    def normal(self, x: Floats, noise_scale: float, kernel: Floats) -> tuple[Floats, Floats]:
        """Information (T, J, 3, 3) and gradient (T, J, 3) of the pixels at joints x (T, J, 3).

        ``kernel`` (T, J) is the scale of the kernel of Geman and McClure (1987) in standard deviations. A joint given
        as a point is weighted by its covariance.
        """
        projected, slope = self.rig.project_with_jacobian(x)
        sigma = self.noise_px * noise_scale
        off = (self.xy - projected) / sigma[..., None]
        weight = 1 / (1 + (off**2).sum(-1) / kernel**2) ** 2
        information, gradient = _sum_views(slope / sigma[..., None, None], off, weight)
        self._add_given(information, gradient, x, kernel)
        return information, gradient

    def information(self, x: Floats, noise_scale: float, used: Bools) -> Floats:
        """Information (T, J, 3, 3) of the views used (C, T, J), without a robust kernel, and of given points."""
        _, slope = self.rig.project_with_jacobian(x)
        sigma = (self.noise_px * noise_scale)[..., None, None]
        out, gradient = _sum_views(slope / sigma, np.zeros(self.xy.shape), used.astype(np.float64))
        self._add_given(out, gradient, x, np.full(x.shape[:2], np.inf))
        return out

    def view_covariances(self, x: Floats, noise_scale: float, used: Bools) -> tuple[Floats, Floats]:
        """Covariances (T, J, 3, 3) m^2 of joints x (T, J, 3) by the views used (C, T, J) of their frame alone.

        The first one is due to the noise of the detections, the second one to the systematic errors of the views. These
        are constant over time, so they do not average out over frames: ``calibration_px`` is propagated through the
        triangulation, and an unseen joint keeps the covariance it had when it was last seen.
        """
        _, slope = self.rig.project_with_jacobian(x)
        sigma, no_residuals = (self.noise_px * noise_scale)[..., None, None], np.zeros(self.xy.shape)
        information, gradient = _sum_views(slope / sigma, no_residuals, used.astype(np.float64))
        unknown = np.eye(3) / _UNKNOWN_M**2
        spread = np.linalg.inv(information + unknown)
        common = np.zeros((*x.shape, 3))
        if self.calibration_px.any():
            off = used * self.calibration_px[:, None, None] ** 2
            shared, _ = _sum_views(slope / sigma**2, no_residuals, off)
            common = _fill_unseen(spread @ shared @ spread, np.asarray(used.any(0)))
        if self.given.any():
            self._add_given(information, gradient, x, np.full(x.shape[:2], np.inf))
            spread = np.linalg.inv(information + unknown)
        return np.asarray(spread, np.float64), np.asarray(common, np.float64)

    def _add_given(self, information: Floats, gradient: Floats, x: Floats, kernel: Floats) -> None:
        at = np.nonzero(self.given & np.isfinite(x[..., 0]))
        if len(at[0]):
            precision = np.linalg.inv(self.cov[at] + np.eye(3) * _SMALLEST_M**2)
            off = self.point[at] - x[at]
            square = np.einsum("ni,nij,nj->n", off, precision, off)
            precision /= ((1 + square / kernel[at] ** 2) ** 2)[:, None, None]
            information[at] += precision
            gradient[at] += np.einsum("nij,nj->ni", precision, off)


def skipped_frames(looked_at: Bools) -> tuple[Bools, Ints, Ints]:
    """Return which frames (T,) lie between frames that were looked at, and the nearest of these before and after (K,).

    looked_at: (T,).
    """
    frames = np.flatnonzero(looked_at)
    at = np.searchsorted(frames, np.arange(len(looked_at)))
    inside = ~looked_at & (at > 0) & (at < len(frames))
    return inside, frames[at[inside] - 1], frames[at[inside]]


def _fill_unseen(cov: Floats, seen: Bools) -> Floats:
    """Covariances (T, J, 3, 3); an unseen joint gets that of the last frame in which it was seen, else of the first.

    A joint that is never seen gets the mean of the others.
    """
    frames = np.arange(len(seen))[:, None]
    before = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)
    at = np.where(before >= 0, before, seen.argmax(0))
    out = cov[at, np.arange(seen.shape[1])]
    never = ~seen.any(0)
    if never.any() and not never.all():
        out[:, never] = out[:, ~never].mean(1, keepdims=True)
    return out


def _sum_views(slope: Floats, off: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Sums over views of weighted normal equations, from Jacobians (C, T, J, 2, 3) and residuals (C, T, J, 2)."""
    known = np.isfinite(off[..., 0]) & np.isfinite(slope[..., 0, 0]) & (weight > 0)
    root = np.sqrt(np.where(known, weight, 0))
    # Written out: products of many small matrices cost more than their sums.
    J = [[np.where(known, slope[..., row, axis], 0) * root for axis in range(3)] for row in (0, 1)]
    r = [np.where(known, off[..., row], 0) * root for row in (0, 1)]
    information, gradient = np.empty((*off.shape[1:3], 3, 3)), np.empty((*off.shape[1:3], 3))
    for a in range(3):
        for b in range(a, 3):
            total = (J[0][a] * J[0][b] + J[1][a] * J[1][b]).sum(0)
            information[..., a, b] = information[..., b, a] = total
        gradient[..., a] = (J[0][a] * r[0] + J[1][a] * r[1]).sum(0)
    return information, gradient


def _gather_pixels(
    poses: Poses3D, evidence: Evidence, first: int, shape: tuple[int, int]
) -> tuple[Floats, Floats, Floats]:
    """Pixels (C, T, J, 2), their noise and scores (C, T, J); two rows of a view are merged as parts of the person."""
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
