"""A flat board in an image: a map of its plane with radial distortion, and the corners that lie on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from calib.detectors import corners
from calib.detectors.corners import Corners, Surroundings

_LEAST = 6  # corners of a detection, or all four of a tag: fewer fit by chance
_BENDS = np.array([-0.8, -0.5, -0.3, -0.18, -0.1, -0.05, -0.02, 0.0, 0.03, 0.08, 0.16])  # at half the diagonal
_BEND_FROM = 12  # points from which on distortion is estimated
_OFF = 0.2  # of a square's side: largest distance of a corner from the map, as boards are not quite flat
_NEIGHBOURS = 5  # corners that give the local distance of a board from the map
_TIMES = 5.0  # times the median distance from the neighbours' prediction, for an outlier
_MATCH = 0.6  # least share of the grey values' variance that a corner explains
_WEAK = 0.3  # of the median contrast of the board, below which a corner is covered
_WORST = 6.0  # times the median unexplained variance, and the median sigma
_MOVED = 0.3  # of a side: largest distance of a corner from the map's prediction
_ROUGH_PX = 0.25  # expected error for which no corner is dropped
_VAGUE, _VAGUE_PX = 0.07, 1.0  # largest expected error: of a side, and for a crossing px
_CURVED_FROM = 12  # good corners from which on the bending of edges is taken from their offsets
_CURVED_PX = 0.004  # shift of a corner by it, above which the corners are fitted again
_RIM_PX = 2.5
_FLOOR_PX = 0.005  # least error of a corner: bent edges, uneven light, blur that varies over the image
_SWOLLEN = 0.04  # px per px of blur: white spreads over black, which shifts a tag's corner but no crossing
_OVER_BLUR = 0.02  # px per px of blur: a blurred board moves, and the rows are not exposed at once


@dataclass(frozen=True, eq=False)
class PlaneMap:
    """Pixels of points of a plane (m): a homography (3, 3), then Fitzgibbon's division model about the middle."""

    homography: Floats
    bend: float
    middle: Floats
    scale: float

    def pixels(self, points: Floats) -> Floats:
        """Pixels (..., 2) of points (..., 2) m."""
        lifted = points @ self.homography[:, :2].T + self.homography[:, 2]
        with np.errstate(all="ignore"):
            straight = lifted[..., :2] / lifted[..., 2:]
            under = 1 - 4 * self.bend * (straight**2).sum(-1, keepdims=True)
            bent = 2 * straight / (1 + np.sqrt(under))
        return np.asarray(bent * self.scale + self.middle)

    def axes(self, points: Floats, step_m: float) -> Floats:
        """Pixels a metre (..., 2, 2) along the plane's x and y (columns)."""
        across, down = np.array([step_m, 0.0]), np.array([0.0, step_m])
        pairs = [(self.pixels(points + way) - self.pixels(points - way)) / (2 * step_m) for way in (across, down)]
        return np.stack(pairs, -1)

    def second(self, points: Floats, step_m: float) -> Floats:
        """Pixels a metre squared (..., 2, 2), the second derivatives along the plane's x and y (columns)."""
        middle = 2 * self.pixels(points)
        ways = np.array([step_m, 0.0]), np.array([0.0, step_m])
        pairs = [(self.pixels(points + way) + self.pixels(points - way) - middle) / step_m**2 for way in ways]
        return np.stack(pairs, -1)


def plane_map(
    points: Floats, xy: Floats, shape: tuple[int, ...], near: PlaneMap | None = None, steps: int = 8
) -> PlaneMap | None:
    """The map that brings points (N, 2) m nearest to pixels xy (N, 2); None where they determine none.

    near: a map of the same image, from whose distortion the search begins, in at most so many steps.
    """
    middle, scale = np.array([shape[1] - 1, shape[0] - 1]) / 2, float(np.hypot(shape[0], shape[1])) / 2
    if len(points) < _BEND_FROM:
        bends = np.zeros(1)
    else:
        bends = _BENDS if near is None else near.bend + np.array([-0.04, 0.0, 0.04])
    maps = [_with_bend(points, xy, middle, scale, bend) for bend in bends]
    errors = [np.inf if one is None else _rms(one.pixels(points) - xy) for one in maps]
    best = int(np.argmin(errors))
    if not np.isfinite(errors[best]):
        return None
    if near is not None and len(bends) > 1 and best != 1 and steps:  # the distortion lies farther away
        return plane_map(points, xy, shape, maps[best], steps - 1)
    if 0 < best < len(bends) - 1 and np.isfinite(errors[best - 1 : best + 2]).all():
        fine = np.polyfit(bends[best - 1 : best + 2], np.square(errors[best - 1 : best + 2]), 2)
        vertex = float(np.clip(-fine[1] / (2 * fine[0]), bends[best - 1], bends[best + 1])) if fine[0] > 0 else 0.0
        finer = _with_bend(points, xy, middle, scale, vertex)
        if finer is not None and _rms(finer.pixels(points) - xy) < errors[best]:
            return finer
    return maps[best]


def _rms(off: Floats) -> float:
    value = float(np.sqrt((off**2).sum(-1).mean()))
    return value if np.isfinite(value) else np.inf


def _with_bend(points: Floats, xy: Floats, middle: Floats, scale: float, bend: float) -> PlaneMap | None:
    """The direct linear transform from points to straightened pixels."""
    bent = (xy - middle) / scale
    straight = bent / (1 + bend * (bent**2).sum(-1, keepdims=True))
    near, far = _unit(points), _unit(straight)
    a, b = _apply(near, points), _apply(far, straight)
    one, nil = np.ones((len(a), 1)), np.zeros((len(a), 3))
    lifted = np.concatenate([a, one], -1)
    rows = np.concatenate(
        [np.concatenate([lifted, nil, -b[:, :1] * lifted], -1), np.concatenate([nil, lifted, -b[:, 1:] * lifted], -1)]
    )
    values, vectors = np.linalg.eigh(rows.T @ rows)
    if values[1] < 1e-12 * max(values[-1], 1e-300):
        return None
    homography = np.linalg.inv(far) @ vectors[:, 0].reshape(3, 3) @ near
    sign = np.sign(np.median(points @ homography[2, :2] + homography[2, 2])) or 1.0
    return PlaneMap(homography * sign / np.linalg.norm(homography), bend, middle, scale)


def _unit(points: Floats) -> Floats:
    """The similarity (3, 3) that centres points and scales them to unit spread."""
    centre = points.mean(0)
    size = max(float(np.sqrt(((points - centre) ** 2).mean())), 1e-12)
    return np.array([[1 / size, 0, -centre[0] / size], [0, 1 / size, -centre[1] / size], [0, 0, 1.0]])


def _apply(matrix: Floats, points: Floats) -> Floats:
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2])


def corners_in_plane(xy: Floats, places: Floats, tolerance: float, least: int = 2) -> Bools:
    """Mask (M,) of markers whose corners xy (M, 4, 2) px fit one homography from their places (M, 4, 2) m.

    tolerance: of a marker's side; all False if fewer than `least` agree.
    """
    import cv2

    none: Bools = np.zeros(len(places), bool)
    if len(places) < least:
        return none
    side = float(np.linalg.norm(np.diff(xy, axis=1), axis=-1).mean())
    cv2.setRNGSeed(0)
    _, inlier = cv2.findHomography(
        places.reshape(-1, 2), xy.reshape(-1, 2), cv2.RANSAC, max(2.0, tolerance * side), maxIters=200
    )
    if inlier is None or not inlier.any():
        return none
    good = np.asarray(inlier).reshape(-1, 4).sum(1) >= 3
    return good if good.sum() >= least else none


@dataclass(frozen=True, eq=False)
class Found:
    """Corners of a board in an image, xy (N, 2) and sigma (N,) px, NaN where not seen.

    polarity: -1 where black and white are swapped; reason: why none are given.
    """

    xy: Floats
    sigma: Floats
    polarity: int = 1
    reason: str | None = None


def corners_on(
    image: NDArray[Any], points: Floats, around: Surroundings, side_m: float, known: Floats, known_xy: Floats
) -> Found:
    """All visible corners (points (N, 2) m of a flat board) in an image, from a few rough positions.

    known (K, 2) m and known_xy (K, 2) px: markers' corners, or those of a fast detector. side_m: of a square, or of the
    board's repeating unit: the scale of all tolerances.
    """
    nothing = Found(np.full((len(points), 2), np.nan), np.full(len(points), np.nan))
    least = min(_LEAST, len(points))
    way = plane_map(known, known_xy, image.shape)
    if way is None:
        return replace(nothing, reason="the points found do not lie in a plane")
    fitted, good, polarity = _fit_expected(image, points, around, side_m, way)
    if good.sum() >= least:
        finer = plane_map(points[good], fitted.xy[good], image.shape, way) if good.sum() >= 8 else None
        if finer is not None and not good.all():
            again, more, polarity = _fit_expected(image, points, around, side_m, finer)
            take = more & ~good
            fitted = _merge(fitted, again, take)
            good = good | take
    good = _drop_off_map(points, fitted, good, side_m, image.shape, way)
    if good.sum() >= _CURVED_FROM:
        fitted = _fit_bent_edges(image, points, around, side_m, way, fitted, good)
    if good.sum() < least:
        return replace(nothing, reason=f"only {int(good.sum())} corners are sharp and uncovered; {least} are needed")
    blur = fitted.blur.max(-1)
    moving = _OVER_BLUR * np.maximum(blur - 1.0, 0)
    swollen = np.where(around.tag, _SWOLLEN * blur, 0.0)
    sigma = np.sqrt(fitted.sigma**2 + _FLOOR_PX**2 + moving**2 + swollen**2)
    return Found(np.where(good[:, None], fitted.xy, np.nan), np.where(good, sigma, np.nan), polarity)


def _fit_expected(
    image: NDArray[Any], points: Floats, around: Surroundings, side_m: float, way: PlaneMap
) -> tuple[Corners, Bools, int]:
    """Corners fitted from the map's predictions, which of them are accepted, and the polarity of the print."""
    expected, axes = way.pixels(points), way.axes(points, 0.2 * side_m)
    height, width = image.shape
    inside: Bools = np.all(expected >= _RIM_PX, axis=-1)
    inside &= (expected <= np.array([width, height]) - 1 - _RIM_PX).all(-1)
    start = np.where(inside[:, None], expected, np.nan)
    fitted = corners.fit(image, start, axes, around, second=way.second(points, 0.2 * side_m))
    side = side_m * np.linalg.norm(axes, axis=1).min(-1)
    signed = fitted.contrast * around.sign
    vague = np.where(around.tag, _VAGUE * side, np.minimum(_VAGUE * side, _VAGUE_PX))
    with np.errstate(all="ignore"):
        moved = np.linalg.norm(fitted.xy - expected, axis=-1)
        good = (fitted.match > _MATCH) & (moved < _MOVED * side + 0.5) & (fitted.sigma < vague)
    if not good.any():
        return fitted, good, 1
    polarity = 1 if np.median(np.sign(signed[good])) >= 0 else -1
    typical = np.median(np.abs(signed[good]))
    unexplained = np.median(1 - fitted.match[good])
    good &= (polarity * signed > _WEAK * typical) & (1 - fitted.match < _WORST * unexplained + 0.03)
    good &= fitted.sigma < np.maximum(_WORST * np.median(fitted.sigma[good]), _ROUGH_PX) if good.any() else good
    return fitted, good, polarity


def _fit_bent_edges(
    image: NDArray[Any],
    points: Floats,
    around: Surroundings,
    side_m: float,
    way: PlaneMap,
    fitted: Corners,
    good: Bools,
) -> Corners:
    """The corners fitted again where a lens bends their edges otherwise than the map: at the edge of a fisheye.

    The difference is that of a polynomial of second or third degree through the offsets of the corners from the map.
    """
    centre, size = points[good].mean(0), max(float(np.abs(points[good] - points[good].mean(0)).max()), 1e-9)
    (x, y), one = ((points - centre) / size).T, np.ones(len(points))
    columns = [one, x, y, x * x, x * y, y * y]
    second = [[0 * one] * 3 + [2 * one, 0 * one, 0 * one], [0 * one] * 3 + [0 * one, 0 * one, 2 * one]]
    if good.sum() >= 2 * _CURVED_FROM:
        columns += [x**3, x * x * y, x * y * y, y**3]
        second[0] += [6 * x, 2 * y, 0 * one, 0 * one]
        second[1] += [0 * one, 0 * one, 2 * x, 6 * y]
    off = fitted.xy[good] - way.pixels(points[good])
    weights = np.linalg.lstsq(np.stack(columns, -1)[good], off, rcond=None)[0]
    more = np.stack([np.stack(part, -1) @ weights for part in second], -1) / size**2  # (N, 2, 2) px/m^2
    axes = way.axes(points, 0.2 * side_m)
    length = np.linalg.norm(axes, axis=1)
    reach_px = np.minimum(0.5 * side_m * length, corners.RADIUS_PX[0])
    shift = np.linalg.norm(more, axis=1) * (reach_px / np.maximum(length, 1e-9)) ** 2 / 6
    if not np.nanmax(shift[good]) > _CURVED_PX:
        return fitted
    start = np.where(good[:, None], fitted.xy, np.nan)
    again = corners.fit(image, start, axes, around, second=way.second(points, 0.2 * side_m) + more)
    return _merge(fitted, again, good & np.isfinite(again.xy).all(-1) & (again.match > _MATCH))


def _merge(first: Corners, second: Corners, take: Bools) -> Corners:
    def mix(a: Floats, b: Floats) -> Floats:
        return np.where(take if a.ndim == 1 else take[:, None], b, a)

    return Corners(*(mix(getattr(first, f), getattr(second, f)) for f in ("xy", "sigma", "contrast", "blur", "match")))


def _neighbour_offset(points: Floats, apart: Floats, good: Bools) -> Floats:
    """Median offset (N, 2) px of the nearest good corners from the map: bent boards and lenses are smooth."""
    away = np.linalg.norm(points[:, None] - points[good], axis=-1)
    away[away < 1e-9] = np.inf
    nearest = np.argsort(away, axis=1)[:, :_NEIGHBOURS]
    return np.asarray(np.median(apart[good][nearest], axis=1))


def _drop_off_map(
    points: Floats, fitted: Corners, good: Bools, side_m: float, shape: tuple[int, ...], near: PlaneMap
) -> Bools:
    """Good corners that also fit their neighbours; the map is fitted again without the worst."""
    bad: Bools = np.zeros_like(good)
    for _ in range(3):
        if good.sum() <= 4:  # any four points fit a map
            return good
        way = plane_map(points[good], fitted.xy[good], shape, near)
        if way is None:
            return np.zeros_like(good)
        side = side_m * np.linalg.norm(way.axes(points, 0.2 * side_m), axis=1).min(-1)
        apart = fitted.xy - way.pixels(points)
        far = np.linalg.norm(apart, axis=-1)
        off = np.linalg.norm(apart - _neighbour_offset(points, apart, good), axis=-1)
        typical = np.median(off[good])
        limit = np.maximum(_TIMES * typical, 4 * fitted.sigma) + 0.15
        bad = good & ~((off < limit) & (far < _OFF * side + 0.3))
        off = np.maximum(off, far - _OFF * side)
        if not bad.any():
            return good
        # The worst may have biased the map for others: only those of a similar size are dropped now.
        good = good & ~(bad & (off / side > 0.5 * np.nanmax(np.where(bad, off / side, 0))))
    return np.asarray(good & ~bad)
