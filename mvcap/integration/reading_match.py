"""Which reading of one method is the same person as which of another: by joints in the picture and by poses in 3D.

In the picture, object keypoint similarity (COCO); in 3D, how well poses about their roots agree in units of the
covariances that both state. People who cover each other in the picture differ in 3D, people in the same pose stand
elsewhere in the picture. No truth is used.
"""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.integration.body_readings import BodyReadings

LEAST_SIMILARITY = 0.05
"""Pairs that are less similar than this, of 1, stay apart."""
_TOLERANCE = 2.0  # of annotators' standard deviations, as both are estimates
_AXES = 3.0


def match_readings(first: BodyReadings, first_xy: Floats, second: BodyReadings, second_xy: Floats) -> Ints:
    """Return pairs (K, 2) of bodies of two methods in one picture, one to one, with the greatest sum of similarities.

    first_xy: (P, J, 2) px, second_xy: (Q, J', 2) px, each in the joints of its readings, NaN where missing.
    """
    from scipy.optimize import linear_sum_assignment

    similarity = reading_similarity(first, first_xy, second, second_xy)
    row, column = linear_sum_assignment(similarity, maximize=True)
    keep = similarity[row, column] >= LEAST_SIMILARITY
    return np.stack([row[keep], column[keep]], -1).astype(np.int64)


def reading_similarity(first: BodyReadings, first_xy: Floats, second: BodyReadings, second_xy: Floats) -> Floats:
    """Return similarities (P, Q) 0..1 of bodies; arguments as for ``match_readings``.

    It is the geometric mean of the object keypoint similarity and of the mean over joints of exp(-m / 6), m the squared
    Mahalanobis distance of the two readings; only the former where no joint has both readings, 0 without common joints
    in the picture.
    """
    other = second.as_skeleton(first.skeleton)
    names = second.skeleton.joints
    at = np.array([names.index(name) if name in names else -1 for name in first.skeleton.joints])
    other_xy = np.where((at >= 0)[:, None], second_xy[:, at], np.nan)
    flat = _keypoint_similarity(first_xy, other_xy, np.asarray(first.skeleton.sigma))
    away = first.joints[:, None] - other.joints[None]
    spread = first.covariance[:, None] + other.covariance[None]
    both = first.known[:, None] & other.known[None]
    away, spread = np.where(both[..., None], away, 0.0), np.where(both[..., None, None], spread, np.eye(3))
    square = (away * np.linalg.solve(spread, away[..., None])[..., 0]).sum(-1)
    count = both.sum(-1)
    deep = (np.exp(-square / (2 * _AXES)) * both).sum(-1) / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, np.sqrt(flat * deep), flat))


def _keypoint_similarity(a: Floats, b: Floats, sigma: Floats) -> Floats:
    """Object keypoint similarity (P, Q) of joints (P, J, 2) and (Q, J, 2) px; the area is that of the first's box."""
    there = np.asarray(np.isfinite(a).all(-1))
    seen = np.where(there[..., None], a, np.nan)
    have = np.isfinite(seen).any((1, 2))
    area = np.ones(len(a))
    if have.any():
        extent = np.nanmax(seen[have], axis=1) - np.nanmin(seen[have], axis=1)
        area[have] = np.maximum(extent.prod(-1), 1.0)
    square = ((a[:, None] - b[None]) ** 2).sum(-1)
    both = np.isfinite(square)
    wide = 2 * area[:, None, None] * (2 * _TOLERANCE * sigma) ** 2
    close = np.where(both, np.exp(-np.where(both, square, 0.0) / wide), 0.0)
    return np.asarray(close.sum(-1) / np.maximum(both.sum(-1), 1))
