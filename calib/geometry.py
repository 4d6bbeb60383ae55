"""Arrays only: transforms, rays, projection, triangulation, similarity.

Every function takes anything that becomes an f64 array and works over all leading axes, which broadcast.

| what | convention |
|---|---|
| axes | T frames, C cameras, P persons, M rows, J joints, N points, in this order; then 2, 3 or 4 last |
| world | metres, right-handed, z up, floor at z = 0 |
| camera | x right, y down, z forward (OpenCV) |
| image | (x, y) in pixels, the centre of the top-left pixel is (0, 0) |
| normalised | image plane at z = 1: x / z, y / z of the camera frame |
| transforms | 4x4, named a_from_b: point_in_a = a_from_b @ point_in_b |
| rotations | matrices inside; rotation vectors (axis times angle, radians) only in files |
| missing | NaN |
"""

import numpy as np
from numpy.typing import ArrayLike

from calib.arrays import Bools, Floats
from calib.distortion import COEFFICIENTS, Model, distort, distort_with_jacobian, undistort, valid_radius

__all__ = [
    "COEFFICIENTS",
    "Floats",
    "Model",
    "distort",
    "distort_with_jacobian",
    "invert",
    "normalise",
    "pixels",
    "pose",
    "project",
    "project_with_jacobian",
    "rays",
    "rotation_from_vector",
    "similarity",
    "transform",
    "triangulate",
    "undistort",
    "valid_radius",
    "vector_from_rotation",
]

MIN_ANGLE = float(np.deg2rad(0.5))  # between two rays; below it depth is noise


def _f64(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float64)


def pose(rotation: ArrayLike, translation: ArrayLike) -> Floats:
    """Transform (..., 4, 4) of a rotation (..., 3, 3) and a translation (..., 3)."""
    rotation, translation = _f64(rotation), _f64(translation)
    lead = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    out = np.zeros((*lead, 4, 4))
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = rotation, translation, 1.0
    return out


def invert(a_from_b: ArrayLike) -> Floats:
    """b_from_a (..., 4, 4) of a rigid a_from_b (..., 4, 4)."""
    given = _f64(a_from_b)
    back = np.swapaxes(given[..., :3, :3], -1, -2)
    return pose(back, -np.einsum("...ij,...j->...i", back, given[..., :3, 3]))


def transform(a_from_b: ArrayLike, points: ArrayLike) -> Floats:
    """Points (..., 3) of frame b in frame a; a_from_b (..., 4, 4) may also hold a scale."""
    matrix = _f64(a_from_b)
    if matrix.ndim > 2 and matrix.shape[-3] == 1:  # one transform for many points: a matrix product
        turned = _f64(points) @ np.swapaxes(matrix[..., 0, :3, :3], -1, -2)
        return np.asarray(turned + matrix[..., :3, 3])
    return np.asarray(np.einsum("...ij,...j->...i", matrix[..., :3, :3], _f64(points)) + matrix[..., :3, 3])


def rotation_from_vector(vector: ArrayLike) -> Floats:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), radians; Rodrigues' formula."""
    vector = _f64(vector)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    cross = np.zeros((*vector.shape, 3))
    x, y, z = np.moveaxis(vector, -1, 0)
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -z, y, -x
    cross[..., 1, 0], cross[..., 2, 0], cross[..., 2, 1] = z, -y, x
    # sinc needs no case at zero: sin(a)/a and (1 - cos a)/a^2 = sinc(a/2)^2 / 2
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def vector_from_rotation(rotation: ArrayLike) -> Floats:
    """Rotation vectors (..., 3), radians, of matrices (..., 3, 3); by the quaternion, so exact up to half a turn."""
    R = _f64(rotation)
    diagonal = np.diagonal(R, axis1=-2, axis2=-1)
    # The four squares of the quaternion; the row of the largest one is well conditioned (Shepperd 1978).
    squares = np.stack([1 + diagonal.sum(-1), *np.moveaxis(1 + 2 * diagonal - diagonal.sum(-1)[..., None], -1, 0)], -1)
    wx, wy, wz = (R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1])
    xy, xz, yz = (R[..., 1, 0] + R[..., 0, 1], R[..., 0, 2] + R[..., 2, 0], R[..., 2, 1] + R[..., 1, 2])
    w2, x2, y2, z2 = np.moveaxis(squares, -1, 0)
    table = np.stack([w2, wx, wy, wz, wx, x2, xy, xz, wy, xy, y2, yz, wz, xz, yz, z2], -1)
    table = table.reshape(*table.shape[:-1], 4, 4)
    best = np.argmax(np.nan_to_num(squares), -1)[..., None, None]
    q = np.take_along_axis(table, best, -2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    q = np.where(q[..., :1] < 0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q[..., :1])
    return np.asarray(q[..., 1:] * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-300), 2.0))


def pixels(distorted: ArrayLike, K: ArrayLike) -> Floats:
    """Pixels (..., 2) of distorted normalised coordinates (..., 2) by the matrix K (..., 3, 3)."""
    K, flat = _f64(K), _f64(distorted)
    return np.stack([_row(K, row, flat[..., 0], flat[..., 1]) + K[..., row, 2] for row in (0, 1)], -1)


def _row(K: Floats, row: int, x: Floats, y: Floats) -> Floats:
    """Product (...) of a row of the upper left 2x2 part of K (..., 3, 3) and (x, y) (...)."""
    return np.asarray(K[..., row, 0] * x + K[..., row, 1] * y)


def normalise(xy: ArrayLike, K: ArrayLike) -> Floats:
    """Distorted normalised coordinates (..., 2) of pixels (..., 2); the inverse of `pixels`."""
    K = _f64(K)
    shifted = _f64(xy) - K[..., :2, 2]
    y = shifted[..., 1] / K[..., 1, 1]
    return np.stack([(shifted[..., 0] - K[..., 0, 1] * y) / K[..., 0, 0], y], -1)


def project(
    points: ArrayLike,
    K: ArrayLike,
    cam_from_world: ArrayLike,
    coefficients: ArrayLike = (),
    model: Model = "pinhole",
    *,
    limit: ArrayLike | None = None,
) -> Floats:
    """Pixels (..., 2) of world points (..., 3).

    NaN at or behind the camera's plane and outside of the radius `limit` (...) up to which the lens model is
    monotonic (worked out when not given): beyond it points far outside of the picture would fold back into it.
    """
    flat, _ = _plane(points, cam_from_world, coefficients, model, limit)
    if not np.any(coefficients) and model != "fisheye":
        return pixels(flat, K)
    return pixels(distort(flat, coefficients, model), K)


def project_with_jacobian(
    points: ArrayLike,
    K: ArrayLike,
    cam_from_world: ArrayLike,
    coefficients: ArrayLike = (),
    model: Model = "pinhole",
    *,
    limit: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Pixels (..., 2) as `project` gives them and their exact derivative (..., 2, 3) by the world point, px/m."""
    flat, depth = _plane(points, cam_from_world, coefficients, model, limit)
    bent, by_plane = distort_with_jacobian(flat, coefficients, model)
    K, R = _f64(K), _f64(cam_from_world)[..., :3, :3]
    out = np.empty((*flat.shape, 3))
    # Written out: products of many small matrices cost more than their sums.
    a, b = ((R[..., row, :] - flat[..., row, None] * R[..., 2, :]) / depth[..., None] for row in (0, 1))
    for row in (0, 1):
        first, second = (_row(K, row, by_plane[..., 0, column], by_plane[..., 1, column]) for column in (0, 1))
        out[..., row, :] = first[..., None] * a + second[..., None] * b
    return pixels(bent, K), out


def _plane(
    points: ArrayLike, cam_from_world: ArrayLike, coefficients: ArrayLike, model: Model, limit: ArrayLike | None
) -> tuple[Floats, Floats]:
    """Undistorted coordinates (..., 2) and depths (...) of world points, NaN where the camera cannot see them."""
    seen = transform(cam_from_world, points)
    edge = _f64(valid_radius(coefficients, model) if limit is None else limit)
    with np.errstate(all="ignore"):
        depth = np.where(seen[..., 2] > 0, seen[..., 2], np.nan)
        flat = seen[..., :2] / depth[..., None]
        outside = np.hypot(flat[..., 0], flat[..., 1]) >= edge
    return np.where(outside[..., None], np.nan, flat), depth


def rays(normalised: ArrayLike, cam_from_world: ArrayLike) -> tuple[Floats, Floats]:
    """Ray origins (..., 3) in metres and unit directions (..., 3), world frame, of undistorted coordinates (..., 2)."""
    flat, world_from_cam = _f64(normalised), invert(cam_from_world)
    ahead = np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], -1)
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    return world_from_cam[..., :3, 3], np.einsum("...ij,...j->...i", world_from_cam[..., :3, :3], ahead)


def triangulate(
    normalised: ArrayLike,
    weight: ArrayLike | None,
    cam_from_world: ArrayLike,
    focal: ArrayLike = 1.0,
    *,
    min_angle: float = MIN_ANGLE,
    passes: int = 3,
) -> Floats:
    """World points (..., 3) nearest to the rays of undistorted coordinates (C, ..., 2).

    Weighted least squares of the distances to the rays: 3x3 normal equations. From the second of the `passes` on a
    distance counts focal (C,) / range, so that what is minimised is close to the pixel error. weight (C, ...) >= 0 is
    one over a variance; a NaN coordinate or weight counts as not seen. NaN where fewer than two views see the point,
    where the rays span less than `min_angle` (radians), or where it would lie behind a camera that sees it.
    """
    flat = _f64(normalised)
    lead = flat.shape[1:-1]
    flat = flat.reshape(len(flat), -1, 2)
    weights = np.ones(flat.shape[:2]) if weight is None else np.broadcast_to(_f64(weight), (len(flat), *lead))
    origin, direction = rays(flat, _f64(cam_from_world)[:, None])
    focal = np.broadcast_to(_f64(focal), (len(flat),))
    weights = weights.reshape(flat.shape[:2])
    points = meeting_points(origin[:, 0], direction, weights, focal, min_angle=min_angle, passes=passes)
    return points.reshape(*lead, 3)


def meeting_points(
    origin: Floats, direction: Floats, weight: Floats, focal: Floats, *, min_angle: float = MIN_ANGLE, passes: int = 3
) -> Floats:
    """World points (N, 3) nearest to rays with origins (C, 3) and unit directions (C, N, 3); see `triangulate`."""
    heaviest = np.nan_to_num(weight, posinf=0.0).max(0, initial=0.0)
    # Negligible weights count as zero, or the equations would be singular.
    seen = np.isfinite(direction).all(-1) & np.isfinite(weight) & (weight > 1e-9 * heaviest)
    direction, weight = np.where(seen[..., None], direction, 0.0), np.where(seen, weight, 0.0)
    determined = _determined(direction, seen, min_angle)
    # Relative to the cameras' mean: large coordinates would lose digits.
    middle = origin.mean(0)
    origin = (origin - middle)[:, None]
    points = _nearest(origin, direction, weight, determined)
    for _ in range(passes - 1):
        reach = np.sqrt(sum((points[:, axis] - origin[..., axis]) ** 2 for axis in range(3)))
        points = _nearest(origin, direction, weight * (focal[:, None] / np.maximum(reach, 1e-6)) ** 2, determined)
    ahead = sum((points[:, axis] - origin[..., axis]) * direction[..., axis] for axis in range(3))
    behind = (ahead <= 0) & seen
    return np.where((determined & ~behind.any(0))[:, None], points + middle, np.nan)


def _determined(direction: Floats, seen: Bools, min_angle: float) -> Bools:
    """Mask (N,) of points whose rays (C, N, 3) span min_angle: two rays at angle a have least eigenvalue 1 - cos a."""
    xx, xy, xz, yy, yz, zz = _outer_sum(direction, direction)
    count = seen.sum(0).astype(np.float64)
    least = least_eigenvalue(count - xx, -xy, -xz, count - yy, -yz, count - zz)
    return np.asarray((count >= 2) & (least >= 1 - np.cos(min_angle)))


def _outer_sum(a: Floats, b: Floats) -> tuple[Floats, ...]:
    """xx, xy, xz, yy, yz, zz (N,) of the sum over C of symmetric outer products of (C, N, 3) and (C, N, 3)."""
    return tuple(
        np.einsum("cn,cn->n", a[..., i], b[..., j]) for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )


def least_eigenvalue(xx: Floats, xy: Floats, xz: Floats, yy: Floats, yz: Floats, zz: Floats) -> Floats:
    """Least eigenvalue (N,) of symmetric 3x3 matrices by their six numbers; Smith, Comm. ACM 4 (1961) 168."""
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    size = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    half = 0.5 * (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz))
    angle = np.arccos(np.clip(half / np.maximum(size**3, 1e-300), -1, 1)) / 3
    return np.asarray(mean + 2 * size * np.cos(angle + 2 * np.pi / 3))


def solve_symmetric(xx: Floats, xy: Floats, xz: Floats, yy: Floats, yz: Floats, zz: Floats, right: Floats) -> Floats:
    """Solutions (N, 3) of symmetric 3x3 systems by their six numbers (N,) and right-hand sides (N, 3); not checked."""
    a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    x, y, z = right[:, 0], right[:, 1], right[:, 2]
    size = xx * a + xy * b + xz * c
    return np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z], -1) / size[:, None]


def _nearest(origin: Floats, direction: Floats, weight: Floats, determined: Bools) -> Floats:
    """Points (N, 3) of least weighted squared distance to rays (C, 1, 3), (C, N, 3)."""
    weight = weight / np.maximum(weight.sum(0), 1e-300)
    weighted = weight[..., None] * direction
    xx, xy, xz, yy, yz, zz = _outer_sum(weighted, direction)
    along = sum(direction[..., axis] * origin[..., axis] for axis in range(3))
    right = np.stack([np.einsum("cn,cn->n", weight, origin[..., i] - along * direction[..., i]) for i in range(3)], -1)
    total = weight.sum(0)
    keep = np.where(determined, 1.0, 0.0)
    one = 1.0 - keep
    matrix = keep * (total - xx) + one, -keep * xy, -keep * xz, keep * (total - yy) + one, -keep * yz
    return solve_symmetric(*matrix, keep * (total - zz) + one, right)


def similarity(
    source: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, *, scale: bool = True
) -> tuple[float, Floats, Floats]:
    """Scale, rotation (3, 3) and translation (3,) that bring source (N, 3) nearest to target (N, 3).

    target = scale * R @ source + t in weighted least squares, weight (N,); never a reflection; scale 1 where
    `scale` is off. NaN rows do not count; all NaN with fewer than three rows left. Umeyama 1991.
    """
    source, target = _f64(source), _f64(target)
    w = np.ones(len(source)) if weight is None else _f64(weight)
    good = np.isfinite(source).all(-1) & np.isfinite(target).all(-1) & (w > 0)
    if good.sum() < 3:
        return np.nan, np.full((3, 3), np.nan), np.full(3, np.nan)
    a, b, w = source[good], target[good], w[good] / w[good].sum()
    mean_a, mean_b = w @ a, w @ b
    a, b = a - mean_a, b - mean_b
    U, S, Vt = np.linalg.svd((b * w[:, None]).T @ a)
    guard = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    R = (U * guard) @ Vt
    spread = float(w @ (a * a).sum(-1))
    factor = float(S @ guard) / spread if scale and spread > 0 else 1.0
    return factor, R, mean_b - factor * R @ mean_a
