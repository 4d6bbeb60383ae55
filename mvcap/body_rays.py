"""How near the rays of two bodies in different views pass each other, and which views took left for right.

Two-dimensional estimators now and then name the left limbs right and the right ones left, most of all of a person seen
from behind. One view cannot tell; several can: the exchanged body fits the others' rays, the body as named does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D

Floats = NDArray[np.float64]
_FAR = 6.0
"""Standard deviations beyond which a joint is no further evidence."""
EXCHANGE_COST = 1.0
"""Mean squared deviations that left and right exchanged must save to be believed: it is rare."""


def ray_distance(rows: Detections2D, xy: Floats, rig: Rig) -> tuple[Floats, Floats]:
    """Distances (M, M, J) between rows' rays of equal joints, and of a joint and the other row's mirror joint.

    In standard deviations: each ray's pixel noise over its focal length, times the depth at which the rays are nearest.
    NaN where a joint is not seen by both; infinite for rays that are nearest behind a camera.
    """
    stacked = np.full((len(rig), *xy.shape), np.nan)
    stacked[rows.view, np.arange(len(rows))] = xy
    direction = rig.rays(stacked)[1][rows.view, np.arange(len(rows))]
    spread = rows.noise_px.astype(np.float64) / rig.focal[rows.view, None]
    origin = rig.positions[rows.view]
    mirror = rows.skeleton.mirror
    same = _distance(origin, direction, spread, direction, spread)
    return same, _distance(origin, direction, spread, direction[:, mirror], spread[:, mirror])


def _distance(origin: Floats, a: Floats, spread_a: Floats, b: Floats, spread_b: Floats) -> Floats:
    """Distances (M, M, J) of rays a (M, J, 3) from rays b (M, J, 3) with origins (M, 3), in standard deviations."""
    baseline = origin[None] - origin[:, None]
    cosine = np.einsum("ajx,bjx->abj", a, b)
    sine2 = np.maximum(1 - cosine**2, 1e-9)
    along_a = np.einsum("abx,ajx->abj", baseline, a)
    along_b = np.einsum("abx,bjx->abj", baseline, b)
    depth_a, depth_b = (along_a - cosine * along_b) / sine2, (cosine * along_a - along_b) / sine2
    # The common normal of both rays, and the baseline's part along it.
    across = np.einsum("abx,abjx->abj", baseline, np.cross(a[:, None], b[None]))
    gap = np.abs(across) / np.sqrt(sine2)
    deviation = np.hypot(spread_a[:, None] * depth_a, spread_b[None] * depth_b)
    distance = np.where((depth_a > 0) & (depth_b > 0), gap / np.maximum(deviation, 1e-9), np.inf)
    return np.where(np.isfinite(cosine), distance, np.nan)


def mean_square(distance: Floats, far: float = _FAR) -> Floats:
    """Mean over joints of squared distances (..., J), each cut off at ``far``; NaN without a common joint."""
    known = np.isfinite(distance) | np.isposinf(distance)
    square = np.where(known, np.minimum(distance, far) ** 2, 0).sum(-1)
    count = known.sum(-1)
    return np.where(count > 0, square / np.maximum(count, 1), np.nan)


def exchanged(same: Floats, crossed: Floats) -> NDArray[np.bool_]:
    """Which rows (N,) of one body have left and right exchanged, from mean squares (N, N) of its rows' distances.

    The choice that fits best over all pairs; the minority is exchanged, of a tie the rows that come later.
    """
    same, crossed = np.nan_to_num(same), np.nan_to_num(crossed) + EXCHANGE_COST
    best, best_cost = np.zeros(len(same), bool), np.triu(same, 1).sum()
    for reference in range(len(same)):
        flags = crossed[reference] < same[reference]
        flags[reference] = False
        different = flags[:, None] != flags[None]
        cost = np.triu(np.where(different, crossed, same), 1).sum()
        if cost < best_cost:
            best, best_cost = flags, cost
    return ~best if 2 * best.sum() > len(best) else best


def exchanged_by_person(person: NDArray[np.integer], same: Floats, crossed: Floats) -> NDArray[np.bool_]:
    """Which rows (M,) have left and right exchanged, person by person; -1 = nobody, from mean squares (M, M)."""
    flags = np.zeros(len(person), bool)
    for number in np.unique(person[person >= 0]):
        mine = np.flatnonzero(person == number)
        at = np.ix_(mine, mine)
        flags[mine] = exchanged(same[at], crossed[at])
    return flags


def put_right(rows: Detections2D, flags: NDArray[np.bool_]) -> Detections2D:
    """Return the rows with left and right joints exchanged where flags (M,) say so."""
    if not flags.any():
        return rows
    mirror, flip = rows.skeleton.mirror, flags[:, None]
    return rows.with_columns(
        xy=np.where(flip[..., None], rows.xy[:, mirror], rows.xy),
        score=np.where(flip, rows.score[:, mirror], rows.score),
        noise_px=np.where(flip, rows.noise_px[:, mirror], rows.noise_px),
    )


def exchanged_rows(rows: Detections2D, rig: Rig) -> NDArray[np.bool_]:
    """Which rows (M,) of one frame's people have left and right exchanged."""
    if not (rows.person >= 0).any():
        return np.zeros(len(rows), bool)
    body = rows.of_body()
    same, crossed = map(mean_square, ray_distance(body, body.xy.astype(np.float64), rig))
    return exchanged_by_person(rows.person, same, crossed)
