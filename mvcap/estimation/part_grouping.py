"""Grouping of OpenPose's part candidates into people by the scores of the limbs between them.

A candidate belongs to at most one person. Parts that no limb connects stay separate fragments; association across views
assigns them later. Source: Z. Cao et al., "OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity
Fields", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

BODY25_LIMBS: NDArray[np.int64] = np.array(
    [
        (1, 8), (9, 10), (10, 11), (8, 9), (8, 12), (12, 13), (13, 14), (1, 2), (2, 3), (3, 4), (2, 17), (1, 5), (5, 6),
        (6, 7), (5, 18), (1, 0), (0, 15), (0, 16), (15, 17), (16, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23),
        (11, 24),
    ]
)  # fmt: skip
"""(26, 2) joints of ``body25`` that OpenPose's part affinity fields connect, in its order."""

BODY25_LENGTH: NDArray[np.float64] = np.array(
    [
        0.288, 0.245, 0.246, 0.060, 0.060, 0.245, 0.246, 0.110, 0.186, 0.146, 0.145, 0.110, 0.186, 0.146, 0.145, 0.130,
        0.035, 0.035, 0.060, 0.060, 0.120, 0.040, 0.045, 0.120, 0.040, 0.045,
    ]
)  # fmt: skip
"""(26,) length of each of these limbs as a share of the standing height (trunk, arms, legs and feet: D. Winter,
"Biomechanics and Motor Control of Human Movement", after Drillis and Contini; joint centres lie farther inside)."""

# OpenPose's defaults: the minimum dot product of a sample, and the share of samples that must reach it.
SAMPLE_SCORE, SAMPLE_SHARE = 0.05, 0.95
_SAMPLES = 10
# A limb may be longer than its body's height allows by this factor before its score is reduced: people differ by 10 %,
# and an arm towards the camera is nearer than the body.
_SLACK = 1.25
_LONG, _ENOUGH = 0.1, 3  # limbs of at least a tenth of the height; three of them determine the height


def line_integral(paf: NDArray[np.floating], a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return scores (Na, Nb) of the limbs from each of ``a`` (Na, 2) to each of ``b`` (Nb, 2).

    ``a``, ``b`` in px of the map ``paf`` (H, W, 2). The score is the mean of the dot products of the limb's direction
    and the field (x, y) at ten points from end to end, reduced if the limb is longer than half the map's height. 0 if
    fewer samples agree than OpenPose requires, if both ends coincide, or if an end is NaN.
    """
    start = np.asarray(a, dtype=np.float64).reshape(-1, 1, 2)
    along = np.asarray(b, dtype=np.float64).reshape(1, -1, 2) - start
    length = np.hypot(along[..., 0], along[..., 1])
    real = np.isfinite(length) & (length > 1e-6)
    unit = np.where(real[..., None], along, 0) / np.where(real, length, 1)[..., None]
    points = start[..., None, :] + along[..., None, :] * np.linspace(0, 1, _SAMPLES)[:, None]
    field = _sampled(paf, np.where(real[..., None, None], points, 0))
    dots = np.einsum("abkd,abd->abk", field, unit)
    agree = (dots > SAMPLE_SCORE).mean(-1) > SAMPLE_SHARE
    too_long = np.minimum(0.5 * paf.shape[0] / np.where(real, length, 1) - 1, 0)
    return np.where(real & agree, np.maximum(dots.mean(-1) + too_long, 0), 0)


def group_parts(
    xy: Sequence[NDArray[np.floating]],
    limb_scores: Sequence[NDArray[np.floating]],
    limbs: NDArray[np.int64] = BODY25_LIMBS,
    length: NDArray[np.float64] = BODY25_LENGTH,
) -> NDArray[np.int64]:
    """Return people and fragments (N, J) as indices of their candidates, -1 = none; every candidate is in one row.

    ``xy``: J arrays (n, 2) px, the candidates of each joint. ``limb_scores``: for each of ``limbs`` (L, 2) the scores
    of its pairs (n_a, n_b), 0 = none. ``length`` (L,): limb lengths as shares of the standing height.

    The pairs of each limb are matched one to one with the greatest sum of scores (Hungarian algorithm). In the order of
    the limbs, matched pairs join parts into people unless a person would get two candidates of a joint. When two people
    overlap, two assignments of their legs may have similar scores although one connects a tall person's shank with a
    short person's thigh. So limbs with alternatives are matched again, with lower scores for pairs that are too long
    for the body of their first end.
    """
    pairs = [_matched(scores) for scores in limb_scores]
    people = _assembled([len(points) for points in xy], pairs, limbs)
    # A limb has alternatives only if it has more nonzero scores than matched pairs.
    ambiguous = [at for at, scores in enumerate(limb_scores) if np.count_nonzero(scores) > len(pairs[at])]
    if not ambiguous:
        return people
    height, certain = body_height(pick_candidates(xy, people), limbs, length)
    allowed = _SLACK * np.where(certain, height, np.inf)
    for limb in ambiguous:
        a, b = limbs[limb]
        limit = np.full(len(xy[a]), np.inf)
        has = people[:, a] >= 0
        limit[people[has, a]] = allowed[has] * length[limb]
        pairs[limb] = _matched(_penalised(limb_scores[limb], xy[a], xy[b], limit))
    return _assembled([len(points) for points in xy], pairs, limbs)


def pick_candidates(values: Sequence[NDArray[np.floating]], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return values (N, J, ...) of the candidates of people (N, J), NaN for none; ``values``: J arrays (n, ...)."""
    last = np.full((1, *values[0].shape[1:]), np.nan)
    start = np.cumsum([0, *(len(own) for own in values[:-1])])
    return np.concatenate([*values, last])[np.where(people >= 0, start + people, -1)]


def body_height(
    xy: NDArray[np.floating],
    limbs: NDArray[np.int64] = BODY25_LIMBS,
    length: NDArray[np.float64] = BODY25_LENGTH,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the standing height (N,) px of bodies xy (N, J, 2), and whether (N,) enough limbs are visible for it.

    Foreshortening makes limbs look shorter, hardly anything makes them look longer. So the height is the upper quartile
    of the estimates from the long limbs if there are three of them, otherwise the largest estimate. NaN without limbs.
    """
    along = xy[:, limbs[:, 0]] - xy[:, limbs[:, 1]]
    estimates = np.hypot(along[..., 0], along[..., 1]) / length
    long = np.sort(estimates[:, length >= _LONG], axis=1)  # NaN come last
    count = np.isfinite(long).sum(1)
    quartile = (0.75 * (count - 1)).astype(np.int64).clip(0)
    largest = np.fmax.reduce(estimates, axis=1, initial=np.nan)
    certain = count >= _ENOUGH
    return np.where(certain, long[np.arange(len(long)), quartile], largest), certain


def _sampled(field: NDArray[np.floating], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the field (H, W, 2) at points (..., 2) px by bilinear interpolation; points outside are clamped."""
    last = np.array([field.shape[1] - 1, field.shape[0] - 1])
    points = np.clip(points, 0, last)
    low = np.minimum(points.astype(np.int64), np.maximum(last - 1, 0))
    x0, y0 = low[..., 0], low[..., 1]
    x1, y1 = np.minimum(x0 + 1, last[0]), np.minimum(y0 + 1, last[1])
    u, v = np.moveaxis((points - low)[..., None], -2, 0)
    upper = field[y0, x0] * (1 - u) + field[y0, x1] * u
    lower = field[y1, x0] * (1 - u) + field[y1, x1] * u
    return np.asarray(upper * (1 - v) + lower * v, dtype=np.float64)


def _penalised(
    scores: NDArray[np.floating],
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    limit: NDArray[np.float64],
) -> NDArray[np.floating]:
    """Return scores (Na, Nb), divided by length / limit for pairs longer than the limit (Na,) px of their first end."""
    along = a[:, None] - b
    distance = np.hypot(along[..., 0], along[..., 1])
    return scores / np.maximum(1, distance / np.maximum(limit, 1e-6)[:, None])


def _assembled(
    counts: Sequence[int], pairs: Sequence[Sequence[tuple[int, int]]], limbs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return people (N, J) joined by the matched pairs of each limb, starting with every candidate separate."""
    person_of = [[{joint: one} for one in range(count)] for joint, count in enumerate(counts)]
    for (a, b), matched in zip(limbs.tolist(), pairs, strict=True):
        for one, other in matched:
            person, joined = person_of[a][one], person_of[b][other]
            if person.keys().isdisjoint(joined):
                person.update(joined)
                for joint, part in joined.items():
                    person_of[joint][part] = person
    rows = list({id(person): person for own in person_of for person in own}.values())
    people = np.full((len(rows), len(counts)), -1)
    for row, person in enumerate(rows):
        people[row, list(person)] = list(person.values())
    return people


def _matched(scores: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Return one-to-one pairs (a, b) with the greatest sum of scores (Na, Nb), each score above OpenPose's minimum."""
    from scipy.optimize import linear_sum_assignment

    if scores.size == 0:
        return []
    if scores.size == 1:
        return [(0, 0)] if scores[0, 0] > SAMPLE_SCORE else []
    a, b = linear_sum_assignment(scores, maximize=True)
    good = scores[a, b] > SAMPLE_SCORE
    return list(zip(a[good].tolist(), b[good].tolist(), strict=True))
