"""The relative pose of two views of the same points, up to the distance between them.

An initial essential matrix from random samples of five points (Nister 2004, by OpenCV), of its four poses the one with
the most points in front of both cameras; then Levenberg-Marquardt on the five parameters, with distances from the
epipolar lines in units of the noise (Sampson 1982) and the loss of Geman and McClure (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib.arrays import Bools, Floats
from calib.errors import CalibrationError
from calib.geometry import pose, rotation_from_vector

LEAST_POINTS = 12
GATE = 3.0
"""Standard deviations from its epipolar line beyond which a point is an outlier."""
_SOFTNESS = 2.0  # scale of the loss, standard deviations
_SAMPLES = 400  # most points that random samples are drawn from: more cost time without gain
_TRIES = 500
_STEPS = 30
_SMALL = 1e-7


@dataclass(frozen=True, eq=False)
class RelativePose:
    """The pose of camera b relative to camera a.

    b_from_a (4, 4) with a translation of length 1; covariance (5, 5) of a small rotation (3, radians) in b's frame and
    of the translation's direction (2, radians), for errors that are independent between groups of points; inliers (N,):
    points within the gate of their epipolar line and in front of both cameras; rms: of their residuals, standard
    deviations.
    """

    b_from_a: Floats
    covariance: Floats
    inliers: Bools
    rms: float

    @property
    def error_rad(self) -> float:
        """Expected error of the rotation and of the translation's direction, the larger of the two, radians."""
        spread = np.diag(self.covariance)
        return float(np.sqrt(max(spread[:3].sum(), spread[3:].sum())))


def relative_pose(
    a: ArrayLike,
    b: ArrayLike,
    noise_a: ArrayLike,
    noise_b: ArrayLike,
    start: ArrayLike | None = None,
    group: ArrayLike | None = None,
) -> RelativePose:
    """The pose of camera b from camera a, of points a (N, 2) and b (N, 2): undistorted normalised coordinates.

    noise_a, noise_b (N,): standard deviations of each coordinate in the same unit (pixels over focal length). start:
    b_from_a (4, 4) to refine instead of searching for one. group (N,) integers: points whose errors are the same, as
    those of one joint that stands still, which the covariance takes into account (the sandwich of Liang and Zeger
    1986). Points with NaN do not count. Raises CalibrationError with fewer than 12 points or where too few fit any
    pose.
    """
    left, right, sa, sb = (np.asarray(part, np.float64) for part in (a, b, noise_a, noise_b))
    good = np.isfinite(left).all(-1) & np.isfinite(right).all(-1) & (sa > 0) & (sb > 0)
    if good.sum() < LEAST_POINTS:
        raise CalibrationError(
            f"{good.sum()} points are seen by both cameras, which is too few for their relative pose; "
            f"film so that they share {LEAST_POINTS} or more"
        )
    seen = left[good], right[good], sa[good], sb[good]
    first = _first_pose(*seen) if start is None else _with_unit_translation(np.asarray(start, np.float64))
    b_from_a = _refine(first, *seen)
    covariance = _covariance(b_from_a, *seen, None if group is None else np.asarray(group)[good])
    residual = epipolar_residual(b_from_a, left, right, sa, sb)
    inliers = good & (np.abs(residual) < GATE) & in_front(b_from_a, left, right)
    if inliers.sum() < max(LEAST_POINTS, 0.25 * good.sum()):
        raise CalibrationError(
            f"only {inliers.sum()} of {good.sum()} points fit any relative pose of the two cameras; "
            "check that both film the same scene at the same time, and that their lenses are right"
        )
    return RelativePose(b_from_a, covariance, inliers, float(np.sqrt(np.mean(residual[inliers] ** 2))))


def epipolar_residual(
    b_from_a: ArrayLike, a: ArrayLike, b: ArrayLike, noise_a: ArrayLike, noise_b: ArrayLike
) -> Floats:
    """Signed epipolar residuals (...,) of pairs of points (..., 2), in standard deviations; NaN where not seen."""
    return _residual(np.asarray(b_from_a, np.float64), *_homogeneous(a, b), np.asarray(noise_a), np.asarray(noise_b))[0]


def in_front(b_from_a: ArrayLike, a: ArrayLike, b: ArrayLike) -> Bools:
    """Whether the points (..., 2), (..., 2) lie in front of both cameras: diverging rays meet behind one of them."""
    moved = np.asarray(b_from_a, np.float64)
    x, y = _homogeneous(a, b)
    turned, shift = x @ moved[:3, :3].T, moved[:3, 3]
    # depth_b * y = depth_a * turned + shift, in least squares
    xx, xy, yy = (turned * turned).sum(-1), (turned * y).sum(-1), (y * y).sum(-1)
    xs, ys = turned @ shift, y @ shift
    with np.errstate(invalid="ignore"):
        return np.asarray((xy * ys - yy * xs > 0) & (xx * ys - xy * xs > 0))


def _homogeneous(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    parts = (np.asarray(part, np.float64) for part in (a, b))
    left, right = (np.concatenate([part, np.ones((*part.shape[:-1], 1))], -1) for part in parts)
    return left, right


def _first_pose(a: Floats, b: Floats, noise_a: Floats, noise_b: Floats) -> Floats:
    """Pose (4, 4) by random samples (RANSAC), with the median noise for all points."""
    import cv2

    some = np.unique(np.linspace(0, len(a) - 1, _SAMPLES).astype(int))
    width = 2.0 * float(np.median(np.hypot(noise_a, noise_b)))
    found, _ = cv2.findEssentialMat(a[some], b[some], np.eye(3), cv2.RANSAC, 0.999, width, _TRIES)
    if found is None or found.shape[1] != 3:
        raise CalibrationError(
            "no relative pose of the two cameras fits their points; film people or boards that move in front of both"
        )
    best, most = np.eye(4), -1
    for essential in np.asarray(found, np.float64).reshape(-1, 3, 3):
        for trial in _poses(essential):
            residual = epipolar_residual(trial, a, b, noise_a, noise_b)
            count = int((in_front(trial, a, b) & (np.abs(residual) < GATE)).sum())
            if count > most:
                best, most = trial, count
    return best


def _poses(essential: Floats) -> list[Floats]:
    """The four poses of an essential matrix (Hartley and Zisserman, 9.6.2)."""
    U, _, Vt = np.linalg.svd(essential)
    U, Vt = U * np.sign(np.linalg.det(U)), Vt * np.sign(np.linalg.det(Vt))
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    return [pose(U @ part @ Vt, sign * U[:, 2]) for part in (turn, turn.T) for sign in (1.0, -1.0)]


def _with_unit_translation(b_from_a: Floats) -> Floats:
    shift = b_from_a[:3, 3]
    if not np.linalg.norm(shift) > 0:
        raise CalibrationError("two cameras in one place see no depth; move one of them")
    return pose(b_from_a[:3, :3], shift / np.linalg.norm(shift))


def _residual(
    b_from_a: Floats, x: Floats, y: Floats, noise_a: Floats, noise_b: Floats
) -> tuple[Floats, Floats, Floats]:
    """Residuals (...,) in standard deviations, their scale (...,) and the points of a turned into b's frame."""
    R, t = b_from_a[:3, :3], b_from_a[:3, 3]
    turned = x @ R.T
    line_b = np.cross(t, turned)  # E x
    line_a = np.cross(y, t) @ R  # E' y
    variance = noise_b**2 * (line_b[..., :2] ** 2).sum(-1) + noise_a**2 * (line_a[..., :2] ** 2).sum(-1)
    scale = 1 / np.sqrt(np.maximum(variance, 1e-300))
    return np.asarray((y * line_b).sum(-1) * scale), scale, turned


def _refine(first: Floats, a: Floats, b: Floats, noise_a: Floats, noise_b: Floats) -> Floats:
    """The pose (4, 4) of least robust cost near the initial one."""
    x, y = _homogeneous(a, b)
    now, damping = first, 1e-3
    cost = _cost(_residual(now, x, y, noise_a, noise_b)[0])
    for _ in range(_STEPS):
        residual, slope, weight = _slopes(now, x, y, noise_a, noise_b)
        matrix, right = slope.T @ (weight[:, None] * slope), -slope.T @ (weight * residual)
        damped = matrix + np.diag(damping * np.diag(matrix) + 1e-12)
        step: Floats = np.asarray(np.linalg.solve(damped, right), np.float64)
        trial = _apply_step(now, step)
        new = _cost(_residual(trial, x, y, noise_a, noise_b)[0])
        if new < cost:
            small = cost - new < _SMALL * cost
            now, cost, damping = trial, new, damping / 5
            if small:
                break
        else:
            damping *= 10
    return now


def _covariance(
    b_from_a: Floats, a: Floats, b: Floats, noise_a: Floats, noise_b: Floats, group: NDArray[np.integer] | None
) -> Floats:
    """Covariance (5, 5) at the best pose: from the scatter of residuals, or of the groups' gradients if larger."""
    x, y = _homogeneous(a, b)
    residual, slope, weight = _slopes(b_from_a, x, y, noise_a, noise_b)
    inverse = np.linalg.pinv(slope.T @ (weight[:, None] * slope))
    inside = residual[np.abs(residual) < GATE]
    plain = inverse * max(1.0, float(np.mean(inside**2)) if len(inside) else 1.0)
    if group is None:
        return np.asarray(plain)
    _, of = np.unique(group, return_inverse=True)
    gradients = np.zeros((int(of.max()) + 1, 5))
    np.add.at(gradients, of, slope * (weight * residual)[:, None])
    sandwich = inverse @ (gradients.T @ gradients) @ inverse
    return np.asarray(sandwich if np.trace(sandwich) > np.trace(plain) else plain)


def _cost(residual: Floats) -> float:
    square = residual**2 / _SOFTNESS**2
    return float((square / (1 + square)).sum())


def _tangent(t: Floats) -> Floats:
    """Two directions (3, 2) perpendicular to a unit vector."""
    return np.asarray(np.linalg.svd(t[None])[2][1:].T)


def _apply_step(b_from_a: Floats, step: Floats) -> Floats:
    """The pose turned by step[:3] in b's frame, its translation's direction turned by step[3:]."""
    t = b_from_a[:3, 3] + _tangent(b_from_a[:3, 3]) @ step[3:]
    return pose(rotation_from_vector(step[:3]) @ b_from_a[:3, :3], t / np.linalg.norm(t))


def _slopes(b_from_a: Floats, x: Floats, y: Floats, noise_a: Floats, noise_b: Floats) -> tuple[Floats, Floats, Floats]:
    """Residuals (N,), their derivatives (N, 5) and their weights (N,) by the loss."""
    t = b_from_a[:3, 3]
    residual, scale, turned = _residual(b_from_a, x, y, noise_a, noise_b)
    # y . (t x p) with p = R x: by a rotation w, w . (p x (y x t)); by t, p x y
    slope = np.concatenate([np.cross(turned, np.cross(y, t)), np.cross(turned, y) @ _tangent(t)], -1)
    return residual, slope * scale[:, None], 1 / (1 + residual**2 / _SOFTNESS**2) ** 2
