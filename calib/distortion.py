"""Lens distortion of normalised image coordinates: the map, its inverse, and the radius up to which it is valid.

`pinhole` takes 0, 4 or 5 coefficients (k1 k2 p1 p2 [k3]), `rational` 8 or 12 (k1 k2 p1 p2 k3 k4 k5 k6
[s1 s2 s3 s4]), `fisheye` 4 (k1..k4, equidistant); order and meaning are OpenCV's (source of all formulas:
the OpenCV manual, "Camera Calibration and 3D Reconstruction" and "Fisheye camera model").
Coefficients broadcast over the leading axes of the points.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Model: TypeAlias = Literal["pinhole", "rational", "fisheye"]

COEFFICIENTS: dict[Model, tuple[int, ...]] = {"pinhole": (0, 4, 5), "rational": (8, 12), "fisheye": (4,)}
_ITERATIONS = 40
_QUICK = 8  # plain Newton steps before the damped ones; an ordinary lens needs three
_CHUNK = 8192  # points whose temporaries fit the processor's cache
_MAX_HALVINGS = 20  # of an initial value
_HALVINGS = 40
_CONVERGED = 1e-11  # of a normalised coordinate: a hundred-millionth of a pixel
_EDGE = 1.0 - 1e-9  # a root on the fold itself does not count


def padded(coefficients: ArrayLike, model: Model) -> Floats:
    """Coefficients (..., k) padded with zeros to the longest form of the model: 12, or 4 for a fisheye."""
    given = np.asarray(coefficients, np.float64)
    full = 4 if model == "fisheye" else 12
    if given.shape[-1] == full:
        return given
    if given.shape[-1] not in COEFFICIENTS[model]:
        raise ValueError(f"{given.shape[-1]} coefficients for a {model} lens, which takes {COEFFICIENTS[model]}")
    return np.concatenate([given, np.zeros((*given.shape[:-1], full - given.shape[-1]))], -1)


def valid_radius(coefficients: ArrayLike, model: Model) -> Floats:
    """Undistorted radius (...) up to which the radial map of coefficients (..., k) increases; beyond, it folds back.

    Infinite where the map always increases. For a fisheye it is the tangent of the angle, so 90 degrees are infinity.
    """
    full = padded(coefficients, model)
    flat = full.reshape(-1, full.shape[-1])
    return np.array([_fold(row, model) for row in flat]).reshape(full.shape[:-1])


def _fold(row: Floats, model: Model) -> float:
    if not row.any():
        return np.inf
    if model == "fisheye":  # theta_d = theta (1 + k1 theta^2 + ...): where its derivative is zero
        theta = np.sqrt(_first_root(np.append(row[::-1] * (9, 7, 5, 3), 1.0)))
        return float(np.tan(theta)) if theta < np.pi / 2 else np.inf
    above = np.array([row[4], row[1], row[0], 1.0])
    below = np.array([row[7], row[6], row[5], 1.0])
    # The derivative of r N(u) / D(u), u = r^2, times D^2 is N D + 2 u (N' D - N D'): products are convolutions.
    powers = np.array([3.0, 2.0, 1.0])
    turn = np.convolve(above[:-1] * powers, below) - np.convolve(above, below[:-1] * powers)
    slope = np.convolve(above, below) + np.append(2 * turn, 0.0)
    return float(np.sqrt(min(_first_root(slope), _first_root(below))))


def _first_root(polynomial: Floats) -> float:
    """The smallest positive real root of a polynomial, highest power first, constant 1; infinity if there is none."""
    # The polynomial with reversed coefficients has the reciprocal roots, and its leading coefficient is 1, never tiny.
    inverse = np.roots(polynomial[::-1])
    real = inverse[(np.abs(inverse.imag) <= 1e-7 * np.abs(inverse)) & (inverse.real > 1e-12)].real
    return 1.0 / float(real.max()) if real.size else np.inf


def distort(normalised: ArrayLike, coefficients: ArrayLike, model: Model) -> Floats:
    """Distorted coordinates (..., 2) of undistorted ones (..., 2); no check of the valid radius."""
    return distort_with_jacobian(normalised, coefficients, model)[0]


def distort_with_jacobian(normalised: ArrayLike, coefficients: ArrayLike, model: Model) -> tuple[Floats, Floats]:
    """Distorted coordinates (..., 2) and their derivative (..., 2, 2) by the undistorted ones (..., 2)."""
    points, full = np.asarray(normalised, np.float64), padded(coefficients, model)
    x, y = points[..., 0], points[..., 1]
    k = np.moveaxis(full, -1, 0)
    with np.errstate(all="ignore"):
        columns = _equidistant(x, y, k) if model == "fisheye" else _polynomial(x, y, k)
    xd, yd, dxdx, dxdy, dydx, dydy = np.broadcast_arrays(*columns)
    jacobian = np.stack([dxdx, dxdy, dydx, dydy], -1)
    return np.stack([xd, yd], -1), jacobian.reshape(*jacobian.shape[:-1], 2, 2)


def _polynomial(x: Floats, y: Floats, k: Floats) -> tuple[Floats, ...]:
    if not k[5:].any():
        return _brown(x, y, k)
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = k
    u = x * x + y * y
    above = 1 + u * (k1 + u * (k2 + u * k3))
    below = 1 + u * (k4 + u * (k5 + u * k6))
    radial = above / below
    slope = (k1 + u * (2 * k2 + u * 3 * k3) - radial * (k4 + u * (2 * k5 + u * 3 * k6))) / below
    xd = x * radial + 2 * p1 * x * y + p2 * (u + 2 * x * x) + u * (s1 + u * s2)
    yd = y * radial + p1 * (u + 2 * y * y) + 2 * p2 * x * y + u * (s3 + u * s4)
    mixed = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    prism_x, prism_y = 2 * (s1 + 2 * s2 * u), 2 * (s3 + 2 * s4 * u)
    dxdx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x + x * prism_x
    dydy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x + y * prism_y
    return xd, yd, dxdx, mixed + y * prism_x, mixed + x * prism_y, dydy


def _brown(x: Floats, y: Floats, k: Floats) -> tuple[Floats, ...]:
    """The same where only k1 k2 p1 p2 k3 are not zero, in half the time."""
    k1, k2, p1, p2, k3 = k[:5]
    u, xy = x * x + y * y, x * y
    radial = 1 + u * (k1 + u * (k2 + u * k3))
    slope = 2 * (k1 + u * (2 * k2 + u * 3 * k3))
    p1y, p2x = 2 * p1 * y, 2 * p2 * x
    xd = x * (radial + p1y) + p2 * u + p2x * x
    yd = y * (radial + p2x) + p1 * u + p1y * y
    mixed = xy * slope + 2 * (p1 * x + p2 * y)
    return xd, yd, radial + x * x * slope + p1y + 3 * p2x, mixed, mixed, radial + y * y * slope + 3 * p1y + p2x


def distort_by_coefficients(normalised: ArrayLike, coefficients: ArrayLike, model: Model) -> Floats:
    """Derivatives (..., 2, k) of distorted coordinates by the coefficients (..., k), for points (..., 2)."""
    points, k = np.asarray(normalised, np.float64), np.moveaxis(padded(coefficients, model), -1, 0)
    x, y = points[..., 0], points[..., 1]
    u = x * x + y * y
    if model == "fisheye":
        radius = np.sqrt(u)
        theta = np.arctan(radius)
        scale = np.where(u < 1e-12, 1.0, theta / np.maximum(radius, 1e-300))
        powers = np.stack([theta ** (2 * order) for order in (1, 2, 3, 4)], -1) * scale[..., None]
        return np.asarray(np.stack([x[..., None] * powers, y[..., None] * powers], -2))
    above, below = 1 + u * (k[0] + u * (k[1] + u * k[4])), 1 + u * (k[5] + u * (k[6] + u * k[7]))
    rising, falling = 1 / below, -above / below**2
    radial = {0: u * rising, 1: u**2 * rising, 4: u**3 * rising, 5: u * falling, 6: u**2 * falling, 7: u**3 * falling}
    nothing = np.zeros(np.broadcast(x, above).shape)
    columns = {order: (x * slope, y * slope) for order, slope in radial.items()}
    columns |= {2: (2 * x * y, u + 2 * y * y), 3: (u + 2 * x * x, 2 * x * y)}
    columns |= {8: (u, nothing), 9: (u**2, nothing), 10: (nothing, u), 11: (nothing, u**2)}
    wanted = np.shape(coefficients)[-1]
    both = [
        np.stack([np.stack([nothing + columns[order][axis] for order in range(wanted)], -1)], -2) for axis in (0, 1)
    ]
    return np.asarray(np.concatenate(both, -2))


def _equidistant(x: Floats, y: Floats, k: Floats) -> tuple[Floats, ...]:
    k1, k2, k3, k4 = k
    u = x * x + y * y
    radius = np.sqrt(u)
    theta = np.arctan(radius)
    s = theta * theta
    bent = theta * (1 + s * (k1 + s * (k2 + s * (k3 + s * k4))))
    centre = u < 1e-12  # the quotients are 0/0 there: their series instead
    scale = np.where(centre, 1.0, bent / radius)
    slope = (1 + s * (3 * k1 + s * (5 * k2 + s * (7 * k3 + s * 9 * k4)))) / (1 + u)
    turn = np.where(centre, 2 * (k1 - 1 / 3), (slope - scale) / u)
    return x * scale, y * scale, scale + x * x * turn, x * y * turn, x * y * turn, scale + y * y * turn


def undistort(distorted: ArrayLike, coefficients: ArrayLike, model: Model, *, limit: ArrayLike | None = None) -> Floats:
    """Undistorted coordinates (..., 2) of distorted ones (..., 2), or NaN: never a wrong root.

    Damped Newton steps with the analytic Jacobian, kept inside the valid radius, checked by distorting again.
    `limit` (...) is that radius if it is known already.
    """
    target, full = np.asarray(distorted, np.float64), padded(coefficients, model)
    if not full.any() and model != "fisheye":
        return target + np.zeros((*full.shape[:-1], 1))
    edge = np.asarray(valid_radius(coefficients, model) if limit is None else limit, np.float64)
    if full.ndim == 1:
        return _undistort_one_lens(target, full, model, edge)
    with np.errstate(all="ignore"):
        target, edge = np.broadcast_arrays(target, (edge * _EDGE)[..., None])
        full = np.broadcast_to(full, (*target.shape[:-1], full.shape[-1]))
        known = np.isfinite(target).all(-1)
        wanted, k, edges = target[known], full[known], edge[known][:, 0]
        roots = [
            _roots(wanted[at : at + _CHUNK], k[at : at + _CHUNK], model, edges[at : at + _CHUNK])
            for at in range(0, len(wanted), _CHUNK)
        ]
        found = np.full(target.shape, np.nan)
        found[known] = np.concatenate(roots) if roots else np.nan
    return found


def _undistort_one_lens(target: Floats, k: Floats, model: Model, edge: Floats) -> Floats:
    """Roots (..., 2) for targets (..., 2) of one lens k (12,): plain Newton steps, then `_roots` where they fail."""
    flat = target.reshape(-1, 2)
    known = np.flatnonzero(np.isfinite(flat).all(-1))
    wanted = flat[known]
    wx, wy = np.ascontiguousarray(wanted.T)
    near = _CONVERGED * (1 + np.maximum(np.abs(wx), np.abs(wy)))
    with np.errstate(all="ignore"):
        start = _start(wanted, np.tile(k, (len(known), 1)), model, edge) if model == "fisheye" else wanted
        x, y = start[:, 0], start[:, 1]
        for _ in range(_QUICK):
            xd, yd, a, b, c, d = _equidistant(x, y, k) if model == "fisheye" else _polynomial(x, y, k)
            off_x, off_y = xd - wx, yd - wy
            det = a * d - b * c
            converged = (np.abs(off_x) <= near) & (np.abs(off_y) <= near)
            if converged.all():
                break
            x, y = x - (d * off_x - b * off_y) / det, y - (a * off_y - c * off_x) / det
        root = np.stack([x, y], axis=-1)
        lost = np.flatnonzero(~(converged & (det > 0) & (np.hypot(x, y) < edge * _EDGE)))
        if len(lost):
            edges = np.broadcast_to(edge * _EDGE, len(lost))
            root[lost] = _roots(wanted[lost], np.tile(k, (len(lost), 1)), model, edges)
    out = np.full(flat.shape, np.nan)
    out[known] = root
    return out.reshape(target.shape)


def _roots(target: Floats, k: Floats, model: Model, edge: Floats) -> Floats:
    """Roots (N, 2) for targets (N, 2) or NaN: from a quick first guess; where that fails, from one by bisection."""
    root = _newton(target, _start(target, k, model, edge), k, model, edge)
    lost = np.isnan(root[:, 0])
    if lost.any():
        target, k, edge = target[lost], k[lost], edge[lost]
        root[lost] = _newton(target, _bisect(target, k, model, edge), k, model, edge)
    return root


def _bisect(target: Floats, k: Floats, model: Model, edge: Floats) -> Floats:
    """Initial values (N, 2) on the targets' own rays by bisection of the angle: there the radial map only increases."""
    radial = np.array(k)
    if model != "fisheye":
        radial[:, [2, 3, 8, 9, 10, 11]] = 0.0
    radius = np.hypot(target[:, 0], target[:, 1])
    low, high = np.zeros(len(target)), np.arctan(edge)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        reached = distort(np.stack([np.tan(middle), np.zeros(len(target))], -1), radial, model)[:, 0]
        low, high = np.where(reached < radius, middle, low), np.where(reached < radius, high, middle)
    return _inside(target * (np.tan(low) / np.maximum(radius, 1e-300))[:, None], edge)


def _newton(target: Floats, guess: Floats, k: Floats, model: Model, edge: Floats) -> Floats:
    """Roots (N, 2) reached from a guess (N, 2), else NaN; converged rows take no more steps."""
    root = np.full(target.shape, np.nan)
    rows = np.arange(len(target))
    value, jacobian = distort_with_jacobian(guess, k, model)
    for _ in range(_ITERATIONS):
        error = value - target[rows]
        size = np.abs(error).max(-1)
        converged = size <= _CONVERGED * (1 + np.abs(target[rows]).max(-1))
        accepted = converged & (_determinant(jacobian) > 0) & (np.hypot(*guess.T) < edge[rows])
        root[rows[accepted]] = guess[accepted]
        going = ~converged & np.isfinite(size)
        rows, guess, error, jacobian, size = (part[going] for part in (rows, guess, error, jacobian, size))
        if not rows.size:
            break
        guess, value, jacobian = _step(guess, error, jacobian, size, target[rows], k[rows], model, edge[rows])
    return root


def _step(
    guess: Floats, error: Floats, jacobian: Floats, size: Floats, target: Floats, k: Floats, model: Model, edge: Floats
) -> tuple[Floats, Floats, Floats]:
    """One Newton step, halved row by row until the error falls; -> guess, value, Jacobian."""
    full = _solve(jacobian, error)
    share = np.ones((len(guess), 1))
    for _ in range(8):
        trial = _inside(guess - share * full, edge)
        value, slope = distort_with_jacobian(trial, k, model)
        worse = ~(np.abs(value - target).max(-1) < size)
        if not worse.any():
            break
        share[worse] *= 0.5
    return trial, value, slope


def _start(target: Floats, k: Floats, model: Model, edge: Floats) -> Floats:
    """Initial values (N, 2): the distorted points, halved while they map far outside; for a fisheye, from the angle."""
    radius = np.hypot(target[:, :1], target[:, 1:])
    if model == "fisheye":
        return _inside(np.where(radius > 1e-9, target / radius * np.tan(np.minimum(radius, 1.5)), target), edge)
    guess = _inside(target, edge)
    rows = np.arange(len(target))
    for _ in range(_MAX_HALVINGS):
        value = distort(guess[rows], k[rows], model)
        rows = rows[np.hypot(*value.T) > 3 * radius[rows, 0]]
        if not rows.size:
            break
        guess[rows] *= 0.5
    return guess


def _inside(points: Floats, edge: Floats) -> Floats:
    """Points (N, 2) scaled back along their ray to inside the valid radius (N,)."""
    radius = np.hypot(points[:, 0], points[:, 1])
    return points * np.where(radius > edge, edge / radius * _EDGE, 1.0)[:, None]


def _determinant(matrix: Floats) -> Floats:
    return np.asarray(matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0])


def _solve(matrix: Floats, right: Floats) -> Floats:
    (a, b), (c, d), (x, y) = matrix[:, 0].T, matrix[:, 1].T, right.T
    return np.stack([d * x - b * y, a * y - c * x], -1) / _determinant(matrix)[:, None]
