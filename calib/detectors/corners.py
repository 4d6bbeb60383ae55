"""Subpixel corners: a model of two blurred straight edges, fitted to the grey values around each corner.

A corner of a chessboard is the product of two edges, f(a / w1) f(b / w2), with a, b the distances to the two lines in
px, w their blur and f the error function; the corner of a tag on white is the same with steps from 0 to 1. Position,
directions and blurs of both edges, contrast, brightness and its slope are estimated together by Gauss-Newton (10
numbers a corner), on whole pixels, so noise is not interpolated and the inverse normal matrix is the covariance. The
window is the part of the board around the corner that contains only its two edges, along the projected axes. Wide
lenses bend the edges: their curvatures, which the board's map gives, are part of the distances a and b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats

RADIUS_PX = (9, 18)
"""Least and largest radius of a window, px: over longer distances lenses bend edges."""
_RADIUS_BLURS = 7.0  # of a window, in blurs: blurred edges need more of their length
_MARGIN = (0.4, 1.8)  # px, and in blurs, to anything but the two edges
_TIP = (0.5, 2.0, 1.5)  # radius left out: px and blurs at the tip of a tag's corner, blurs at a crossing
_LEAST_PX = 1.2  # of a window
_BLUR = (0.35, 6.0)  # px, allowed standard deviation of an edge's blur
_CHUNK = 48  # corners whose windows fit the processor's cache
_BEGIN_PX = 0.9  # initial blur
_FREE = 10
_MOST_CURVED = 0.01  # half the curvature of an edge, 1/px
_ALIKE = 0.7  # largest assumed correlation of neighbouring residuals
_MORE = 1.4  # exponent, measured: compression correlates pixels over more than an autoregression predicts


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The board around each of N points, in metres along the board's axes.

    reach (N, 2, 2): distance along x and y, in the negative and positive direction, over which the two edges continue;
    plain (N, 2, 2): distance from the edges up to which each quadrant [x > 0, y > 0] is uniform, inf where all of it
    is; tag (N,): a tag's corner on white, else a crossing; side (N, 2): +1 or -1, the direction of the tag from its
    corner; sign (N,): -1 where the quadrant x > 0, y > 0 (for a tag's corner: the tag) is black, else 1.
    """

    reach: Floats
    plain: Floats
    tag: Bools
    side: Floats
    sign: Floats

    def __getitem__(self, rows: Any) -> Surroundings:
        return Surroundings(self.reach[rows], self.plain[rows], self.tag[rows], self.side[rows], self.sign[rows])


@dataclass(frozen=True, eq=False)
class Corners:
    """N fitted corners: xy (N, 2) and sigma (N,) px; contrast (N,) signed grey levels between the two colours.

    blur (N, 2) px of the two edges; match (N,): the share of the grey values' variance that the model explains. NaN
    where there were too few pixels to fit.
    """

    xy: Floats
    sigma: Floats
    contrast: Floats
    blur: Floats
    match: Floats


def fit(
    image: NDArray[Any],
    xy: Floats,
    axes: Floats,
    around: Surroundings,
    rounds: int = 5,
    *,
    second: Floats | None = None,
) -> Corners:
    """Corners near xy (N, 2) in a grey image (H, W); axes (N, 2, 2): px a metre along the board's x and y (columns).

    second (N, 2, 2): px a metre squared, the second derivatives along them; edges are straight without.
    """
    parts = []
    for start in range(0, len(xy), _CHUNK):
        rows = slice(start, start + _CHUNK)
        part = None if second is None else second[rows]
        parts.append(_fit(image, xy[rows], axes[rows], around[rows], rounds, part))
    if not parts:
        empty = np.zeros(0)
        return Corners(np.zeros((0, 2)), empty, empty, np.zeros((0, 2)), empty)
    fields = ("xy", "sigma", "contrast", "blur", "match")
    return Corners(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def _fit(
    image: NDArray[Any], xy: Floats, axes: Floats, around: Surroundings, rounds: int, second: Floats | None
) -> Corners:
    good: Bools = np.isfinite(np.concatenate([xy, axes.reshape(-1, 4)], -1)).all(-1)
    xy = np.where(good[:, None], xy, 0.0)
    inverse = np.linalg.inv(np.where(good[:, None, None], axes, np.eye(2)))
    normal = inverse / np.linalg.norm(inverse, axis=-1, keepdims=True)
    angle = np.arctan2(normal[..., 1], normal[..., 0])
    curved = _curvatures(axes, normal, second, good)
    state = np.concatenate([xy, angle, np.full((len(xy), 2), np.log(_BEGIN_PX)), np.zeros((len(xy), 4))], -1)
    window = _window(image, state, inverse, around, good, RADIUS_PX[0])
    state = _steps(state, window, around, curved, rounds)
    blur = float(np.median(np.exp(state[good, 4:6]))) if good.any() else 0.0
    window = _window(image, state, inverse, around, good, int(np.clip(_RADIUS_BLURS * blur, *RADIUS_PX)))
    return _measure(_steps(state, window, around, curved, 3), window, around, curved, good)


def _curvatures(axes: Floats, normal: Floats, second: Floats | None, good: Bools) -> Floats:
    """Half the curvature (N, 2) 1/px of the two edges towards their normals (N, 2, 2), from the map's derivatives.

    An edge runs along the other axis.
    """
    out = np.zeros((len(axes), 2))
    if second is None:
        return out
    with np.errstate(all="ignore"):
        for axis, along in ((0, 1), (1, 0)):
            squared = (axes[..., along] ** 2).sum(-1)
            out[:, axis] = 0.5 * (second[..., along] * normal[:, axis]).sum(-1) / squared
    return np.where(good[:, None] & np.isfinite(out), np.clip(out, -_MOST_CURVED, _MOST_CURVED), 0.0)


def _offsets(radius: int) -> NDArray[np.intp]:
    """Pixels (P, 2) of a window relative to its middle."""
    span = np.arange(-radius, radius + 1)
    offsets = np.stack(np.meshgrid(span, span), -1).reshape(-1, 2)
    return np.asarray(offsets[(offsets**2).sum(-1) <= (radius + 0.5) ** 2])


class _Window(NamedTuple):
    """Pixels at (N, P, 2) within a radius, their grey values (N, P), and counts (N, P), 1 for those that are used."""

    at: Floats
    grey: Floats
    counts: Floats
    radius: int


def _window(
    image: NDArray[Any], state: Floats, inverse: Floats, around: Surroundings, good: Bools, radius: int
) -> _Window:
    """The pixels around each corner that contain nothing but its two edges."""
    xy, blur = state[:, :2], np.exp(state[:, 4:6]).max(-1)
    height, width = image.shape
    at = np.rint(xy).astype(np.intp)[:, None] + _offsets(radius)
    inside = (at >= 0).all(-1) & (at[..., 0] < width) & (at[..., 1] < height)
    grey = image[np.clip(at[..., 1], 0, height - 1), np.clip(at[..., 0], 0, width - 1)].astype(np.float64)
    scale = np.linalg.norm(inverse, axis=-1)  # metres a pixel across each edge
    away = (at - xy[:, None]) @ np.swapaxes(inverse, -1, -2) / scale[:, None]
    upper = away > 0
    margin = _MARGIN[0] + _MARGIN[1] * blur[:, None]
    reach = _shrink(around.reach / scale[..., None], margin[..., None])
    plain = _shrink(around.plain.reshape(-1, 4) / scale.max(-1, keepdims=True), margin)
    limit = np.where(upper, reach[:, None, :, 1], reach[:, None, :, 0])
    near = (np.abs(away) <= limit).all(-1)
    quadrant = np.take_along_axis(plain, upper[..., 0].astype(np.intp) * 2 + upper[..., 1], axis=1)
    clear = np.abs(away).min(-1) <= quadrant
    # At the tip, the blurred corner is a product of two blurred steps only where the edges are perpendicular.
    tip = (np.where(around.tag, _TIP[0], 0.0) + np.where(around.tag, _TIP[1], _TIP[2]) * blur)[:, None]
    clear &= (np.abs(at - xy[:, None]) ** 2).sum(-1) >= tip**2
    count = (inside & near & clear & good[:, None]).astype(np.float64)
    return _Window(at.astype(np.float64), grey, count, radius)


def _shrink(distance: Floats, margin: Floats) -> Floats:
    """Distances in px less a margin, but not below _LEAST_PX where the distance allows it."""
    return np.maximum(distance - margin, np.minimum(distance, _LEAST_PX))


def _model(state: Floats, at: Floats, around: Surroundings, curved: Floats) -> tuple[Floats, Floats]:
    """Grey values (N, P) of the model and their derivatives (N, P, 10); curved (N, 2): half the edges' curvatures."""
    from scipy.special import erf

    x = at - state[:, None, :2]
    one = around.tag[:, None].astype(np.float64)
    scale = 1 / (1 + one) ** 2
    jacobian = np.empty((*x.shape[:2], _FREE))
    edges, slopes, by_angle, by_blur = [], [], [], []
    for axis in range(2):
        cosine, sine = np.cos(state[:, 2 + axis, None]), np.sin(state[:, 2 + axis, None])
        width = np.exp(state[:, 4 + axis, None])
        along = np.where(around.tag, around.side[:, axis], 1.0)[:, None]
        beside = x[..., 1] * cosine - x[..., 0] * sine
        scaled = (x[..., 0] * cosine + x[..., 1] * sine - curved[:, axis, None] * beside**2) / width
        edges.append(one + along * erf(scaled / np.sqrt(2)))
        slope = along * np.sqrt(2 / np.pi) * np.exp(-0.5 * scaled**2)
        slopes.append((slope / width, cosine, sine))
        by_angle.append(slope / width * beside)
        by_blur.append(-slope * scaled)
    height = state[:, 9, None] * scale
    jacobian[..., 9] = scale * edges[0] * edges[1]
    for axis, other in ((0, edges[1]), (1, edges[0])):
        slope, cosine, sine = slopes[axis]
        partial = height * other
        moved = partial * slope
        jacobian[..., 2 + axis] = partial * by_angle[axis]
        jacobian[..., 4 + axis] = partial * by_blur[axis]
        if axis == 0:
            jacobian[..., 0], jacobian[..., 1] = -moved * cosine, -moved * sine
        else:
            jacobian[..., 0] -= moved * cosine
            jacobian[..., 1] -= moved * sine
    jacobian[..., 6], jacobian[..., 7:9] = 1.0, x
    grey = state[:, 6, None] + (x @ state[:, 7:9, None])[..., 0] + state[:, 9, None] * jacobian[..., 9]
    return grey, jacobian


def _steps(state: Floats, window: _Window, around: Surroundings, curved: Floats, steps: int) -> Floats:
    """Some steps from a state whose grey values are still unknown, without the pixels that no corner uses."""
    order = np.argsort(-window.counts, axis=1, kind="stable")[:, : max(int(window.counts.sum(1).max(initial=0)), 1)]
    take = np.take_along_axis
    at, grey, count = take(window.at, order[..., None], 1), take(window.grey, order, 1), take(window.counts, order, 1)
    state = state.copy()
    state[:, 6:] = 0.0
    for _ in range(steps):
        state = _step(state, at, grey, count, around, curved)
    return state


def _step(state: Floats, at: Floats, grey: Floats, count: Floats, around: Surroundings, curved: Floats) -> Floats:
    """One damped Gauss-Newton step of every corner; large steps are clipped."""
    model, jacobian = _model(state, at, around, curved)
    first = not state[:, 9].any()
    weighted = jacobian * count[..., None]
    if first:  # no corner has a contrast yet: only the numbers that the model is linear in
        weighted[..., :6] = 0
    matrix = np.swapaxes(weighted, -1, -2) @ weighted
    right = (np.swapaxes(weighted, -1, -2) @ (grey - model)[..., None])[..., 0]
    diagonal = np.einsum("nii->ni", matrix)
    diagonal *= 1.001
    diagonal += 1e-6 * (1 + diagonal.max(-1, keepdims=True))
    step = np.linalg.solve(matrix, right[..., None])[..., 0]
    limits = np.array([1.5, 1.5, 0.2, 0.2, 0.4, 0.4])
    state = state.copy()
    state[:, :6] += np.clip(step[:, :6], -limits, limits)
    state[:, 6:] += step[:, 6:]
    state[:, 4:6] = np.clip(state[:, 4:6], *np.log(_BLUR))
    return state


def _measure(state: Floats, window: _Window, around: Surroundings, curved: Floats, good: Bools) -> Corners:
    """The fitted corners, with their expected error from the residual and the normal matrix."""
    at, grey, count, radius = window
    model, jacobian = _model(state, at, around, curved)
    weighted = jacobian * count[..., None]
    matrix = np.swapaxes(weighted, -1, -2) @ weighted
    diagonal = np.maximum(np.einsum("nii->ni", matrix), 1e-9)
    matrix += 1e-9 * np.eye(_FREE) * diagonal[:, None]
    number = count.sum(-1)
    residual = (grey - model) * count
    squares = (residual**2).sum(-1)
    mean = (grey * count).sum(-1) / np.maximum(number, 1)
    spread = ((grey - mean[:, None]) ** 2 * count).sum(-1)
    variance = np.maximum(squares / np.maximum(number - _FREE, 1), 1 / 12) * _autocorrelation(residual, count, radius)
    covariance = np.linalg.inv(matrix)[:, :2, :2]
    sigma = np.sqrt(variance * np.trace(covariance, axis1=1, axis2=2) / 2)
    nan = np.where(good & (number > 3 * _FREE), 1.0, np.nan)
    contrast = state[:, 9] * np.where(around.tag, 1.0, 2.0)
    match = 1 - squares / np.maximum(spread, 1e-9)
    return Corners(state[:, :2] * nan[:, None], sigma * nan, contrast * nan, np.exp(state[:, 4:6]), match * nan)


def _autocorrelation(residual: Floats, count: Floats, radius: int) -> Floats:
    """Factor (N,) on the variance of sums over that of white noise, from the correlation of neighbouring pixels.

    Compression and model errors leave residuals (N, P) that are correlated over some pixels; they are treated as an
    autoregression of first order along both axes.
    """
    factor = np.ones(len(residual))
    width = 2 * radius + 1
    cells = _offsets(radius) + radius
    flat = np.zeros((2, len(residual), width, width))
    flat[:, :, cells[:, 1], cells[:, 0]] = residual, count
    for first, second in ((flat[..., 1:], flat[..., :-1]), (flat[..., 1:, :], flat[..., :-1, :])):
        both = first[1] * second[1]
        power = 0.5 * ((first[0] ** 2 + second[0] ** 2) * both).sum((1, 2))
        correlation = np.clip((first[0] * second[0]).sum((1, 2)) / np.maximum(power, 1e-9), 0.0, _ALIKE)
        factor *= ((1 + correlation) / (1 - correlation)) ** _MORE
    return factor
