"""People in one picture from OpenPose's kind of evidence: candidates of each part, and scores of the limbs between.

A candidate belongs to one person at most. What no limb holds together stays apart, as a fragment: other views tell
whose it is. Z. Cao et al., "OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", 2019.
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
"Biomechanics and Motor Control of Human Movement", after Drillis and Contini; joints' centres lie further inside)."""

# What OpenPose takes by default: the dot product of a sample that counts, and the share of samples that must.
SAMPLE_SCORE, SAMPLE_SHARE = 0.05, 0.95
_SAMPLES = 10
# How much longer than its body allows a limb is taken to be before it counts against it: people differ by a tenth,
# and an arm towards the camera is nearer than the body.
_SLACK = 1.25
_LONG, _ENOUGH = 0.1, 3  # limbs of at least a tenth of the height, of which three tell the height


def line_integral(paf: NDArray[np.floating], a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Score (Na, Nb) of the limbs from each of ``a`` (Na, 2) to each of ``b`` (Nb, 2), px of the map ``paf`` (H, W, 2).

    The mean of the dot products of the limb's direction and the field (x, y) at ten points from end to end, taken down
    where the limb is longer than half the map's height. 0 where fewer samples agree than OpenPose asks for, where
    both ends are one point, and where an end is NaN.
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
    """People and fragments (N, J) as the indices of their candidates, -1 = none; every candidate is in exactly one row.

    ``xy``: J arrays (n, 2) px, the candidates of each joint. ``limb_scores``: for each of ``limbs`` (L, 2) the scores
    of its pairs (n_a, n_b), 0 = none. ``length`` (L,): limbs as shares of the standing height.

    Each limb's pairs are matched one to one so that their scores are the greatest together (Kuhn and Munkres), and
    matched pairs join parts into people in the limbs' order, where they do not bring two candidates of a joint. Where
    two people overlap, two ways to share out their legs may score alike, but put a tall one's shank to a small one's
    thigh: so limbs with a choice are matched again, with pairs marked down that are longer than the body found for
    their first end allows.
    """
    pairs = [_matched(scores) for scores in limb_scores]
    people = _assembled([len(points) for points in xy], pairs, limbs)
    # Another match is possible only where there are more scores than were taken.
    open_limbs = [at for at, scores in enumerate(limb_scores) if np.count_nonzero(scores) > len(pairs[at])]
    if not open_limbs:
        return people
    height, sure = body_height(pick_candidates(xy, people), limbs, length)
    allowed = _SLACK * np.where(sure, height, np.inf)
    for limb in open_limbs:
        a, b = limbs[limb]
        limit = np.full(len(xy[a]), np.inf)
        has = people[:, a] >= 0
        limit[people[has, a]] = allowed[has] * length[limb]
        pairs[limb] = _matched(_marked_down(limb_scores[limb], xy[a], xy[b], limit))
    return _assembled([len(points) for points in xy], pairs, limbs)


def pick_candidates(values: Sequence[NDArray[np.floating]], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values (N, J, ...) of the candidates of people (N, J); ``values``: J arrays (n, ...). NaN where there is none."""
    last = np.full((1, *values[0].shape[1:]), np.nan)
    start = np.cumsum([0, *(len(own) for own in values[:-1])])
    return np.concatenate([*values, last])[np.where(people >= 0, start + people, -1)]


def body_height(
    xy: NDArray[np.floating],
    limbs: NDArray[np.int64] = BODY25_LIMBS,
    length: NDArray[np.float64] = BODY25_LENGTH,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Height (N,) px that the bodies xy (N, J, 2) would have standing, and whether (N,) enough of them is seen.

    A limb looks shorter where it points to or from the camera, hardly ever longer. So it is the upper quartile over
    the long limbs where there are three of them, otherwise what the limb says that looks longest. NaN without limbs.
    """
    along = xy[:, limbs[:, 0]] - xy[:, limbs[:, 1]]
    told = np.hypot(along[..., 0], along[..., 1]) / length
    long = np.sort(told[:, length >= _LONG], axis=1)  # NaN come last
    count = np.isfinite(long).sum(1)
    quartile = (0.75 * (count - 1)).astype(np.int64).clip(0)
    longest = np.fmax.reduce(told, axis=1, initial=np.nan)
    sure = count >= _ENOUGH
    return np.where(sure, long[np.arange(len(long)), quartile], longest), sure


def _sampled(field: NDArray[np.floating], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Field (H, W, 2) at points (..., 2), linear between pixels; outside it goes on as at its edge."""
    last = np.array([field.shape[1] - 1, field.shape[0] - 1])
    points = np.clip(points, 0, last)
    low = np.minimum(points.astype(np.int64), np.maximum(last - 1, 0))
    x0, y0 = low[..., 0], low[..., 1]
    x1, y1 = np.minimum(x0 + 1, last[0]), np.minimum(y0 + 1, last[1])
    u, v = np.moveaxis((points - low)[..., None], -2, 0)
    upper = field[y0, x0] * (1 - u) + field[y0, x1] * u
    lower = field[y1, x0] * (1 - u) + field[y1, x1] * u
    return np.asarray(upper * (1 - v) + lower * v, dtype=np.float64)


def _marked_down(
    scores: NDArray[np.floating],
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    limit: NDArray[np.float64],
) -> NDArray[np.floating]:
    """Scores (Na, Nb) of pairs, less by as much as each is longer than the limit (Na,) px of its first end."""
    along = a[:, None] - b
    distance = np.hypot(along[..., 0], along[..., 1])
    return scores / np.maximum(1, distance / np.maximum(limit, 1e-6)[:, None])


def _assembled(
    counts: Sequence[int], pairs: Sequence[Sequence[tuple[int, int]]], limbs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """People (N, J) from the matched pairs of each limb; at the start each of the joints' candidates is alone."""
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
    """Pairs (a, b), one to one, of the greatest sum of scores (Na, Nb); none where the score is OpenPose's nothing."""
    from scipy.optimize import linear_sum_assignment

    if scores.size == 0:
        return []
    if scores.size == 1:
        return [(0, 0)] if scores[0, 0] > SAMPLE_SCORE else []
    a, b = linear_sum_assignment(scores, maximize=True)
    good = scores[a, b] > SAMPLE_SCORE
    return list(zip(a[good].tolist(), b[good].tolist(), strict=True))
