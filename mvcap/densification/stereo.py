"""Plane sweep inside a hull: each point is tried along its normal where the views' textures agree best.

A small square in the hull's tangent plane is moved inwards in steps of a third of the spacing, drawn into the views
that see the point, and the patches are compared by normalised cross-correlation, averaged over the pairs of views
(Collins 1996; Furukawa and Ponce 2010 for patches on surfaces). The body is inside the hull, so only that side is
swept. A point moves only if the patches have texture, agree clearly better than on the hull, have one best depth, and
if the points around it moved alike; all others stay, so plain clothes and skin keep the hull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.densification.carving import Surface
from mvcap.densification.silhouettes import sample

_VIEWS = 4
_SIDE = 5
_DEEPEST_M = 0.08
_CHUNK = 2048
_ANCHORS = 2
_FEW = 6


@dataclass(frozen=True)
class SweepLimits:
    """What a point needs to be moved."""

    texture: float
    """Standard deviation of a patch, grey levels of 255."""
    score: float
    """Least mean correlation (-1 to 1) of the pairs of views."""
    gain: float
    """Least correlation above that on the hull, and above that of any other depth."""


@dataclass(frozen=True)
class Sweep:
    """Result of a sweep for N points."""

    depth_m: NDArray[np.float64]
    """(N,) m inwards from the point; 0 where it stays."""
    sigma_m: NDArray[np.float64]
    """(N,) m, by the sharpness of the correlation's peak; NaN where the point stays."""


def sweep(
    surface: Surface,
    seen: NDArray[np.bool_],
    cosine: NDArray[np.floating],
    rig: Rig,
    images: Sequence[NDArray[np.uint8] | None],
    spacing_m: float,
    limits: SweepLimits,
) -> Sweep:
    """Return how far each point of a surface lies behind the hull, by the images of the views (C, N) that see it."""
    import cv2

    grey = [None if one is None else cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in images]
    rank = np.where(seen & np.array([one is not None for one in grey])[:, None], cosine, -1.0)
    order = np.argsort(-rank, axis=0)[:_VIEWS]
    usable = np.take_along_axis(rank, order, 0) > 0
    rows = np.flatnonzero(usable.sum(0) >= 2)
    depths = np.arange(-spacing_m / 2, _DEEPEST_M, spacing_m / 3)
    scores = np.zeros((len(surface.xyz), len(depths)), np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        for tried in (depths[::_FEW], depths):  # a few depths tell where all is plain
            made = _scores(surface[part], order[:, part], usable[:, part], rig, grey, spacing_m, tried, limits)
            kept = made.any(-1)
            part = part[kept] if len(tried) < len(depths) else part
        scores[part] = made
    return _smoothed(surface, _peaks(scores, depths, limits), spacing_m)


def _scores(
    surface: Surface,
    order: NDArray[np.integer],
    usable: NDArray[np.bool_],
    rig: Rig,
    grey: Sequence[NDArray[np.float32] | None],
    spacing_m: float,
    depths: NDArray[np.float64],
    limits: SweepLimits,
) -> NDArray[np.float32]:
    """Mean correlations (n, D) of the patches at every depth; 0 where fewer than two views have texture."""
    first, second = _tangents(surface.normals)
    at = (np.arange(_SIDE) - _SIDE // 2).astype(np.float64)
    a, b = (part.ravel() for part in np.meshgrid(at, at))
    out = np.zeros((len(surface.xyz), len(depths)), np.float32)
    for piece in np.array_split(np.arange(len(depths)), _ANCHORS):
        middle = float(depths[piece].mean())
        xy, slope = rig.project_with_jacobian(surface.xyz - middle * surface.normals)
        far = np.linalg.norm(surface.xyz[None] - rig.positions[:, None], axis=-1) / rig.focal[:, None]
        step = np.maximum(0.5 * spacing_m, 1.2 * np.median(np.where(np.isfinite(far), far, np.inf), axis=0))
        total = np.zeros((len(out), len(piece), _SIDE * _SIDE), np.float32)
        count = np.zeros((len(out), len(piece)), np.float32)
        for view, image in enumerate(grey):
            rows = np.flatnonzero(((order == view) & usable).any(0))
            if image is None or not len(rows):
                continue
            along, right, up = (
                (slope[view, rows] @ axis[rows, :, None])[..., 0] for axis in (-surface.normals, first, second)
            )
            square = (right[:, None] * a[:, None] + up[:, None] * b[:, None]) * step[rows, None, None]
            moved = along[:, None] * (depths[piece] - middle)[:, None]
            pixels = xy[view, rows, None, None] + moved[:, :, None] + square[:, None]
            patch = sample(image, pixels.reshape(-1, 2)).reshape(len(rows), len(piece), -1)
            patch -= patch.mean(-1, keepdims=True)
            length = np.linalg.norm(patch, axis=-1)
            good = length > limits.texture * _SIDE
            total[rows] += np.where(good[..., None], patch / np.maximum(length, 1e-6)[..., None], 0)
            count[rows] += good
        pairs = count * (count - 1)
        out[:, piece] = np.where(count >= 2, ((total**2).sum(-1) - count) / np.maximum(pairs, 1), 0)
    return out


def _tangents(normals: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two unit vectors (N, 3) at right angles to each normal and to each other."""
    axis = np.eye(3)[np.abs(normals).argmin(-1)]
    first = np.cross(normals, axis)
    first /= np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), 1e-9)
    return first, np.cross(normals, first)


def _peaks(scores: NDArray[np.float32], depths: NDArray[np.float64], limits: SweepLimits) -> Sweep:
    """The best depth of each point, between steps by a parabola; 0 where it is not clearly best."""
    count, last = len(scores), len(depths) - 1
    rows = np.arange(count)
    best = scores.argmax(-1)
    top = scores[rows, best]
    near = np.abs(np.arange(len(depths)) - best[:, None]) <= 2
    other = np.where(near, -1.0, scores).max(-1)
    on_hull = scores[:, np.abs(depths) <= abs(depths[0])].max(-1)
    inner = np.clip(best, 1, last - 1)
    left, middle, right = (scores[rows, inner + shift].astype(np.float64) for shift in (-1, 0, 1))
    bend = np.maximum(2 * middle - left - right, 1e-3)
    shift = np.clip((right - left) / (2 * bend), -0.5, 0.5)
    step = float(depths[1] - depths[0])
    good = (top >= limits.score) & (top - other >= limits.gain) & (top - on_hull >= limits.gain) & (best < last)
    depth = np.where(good, depths[inner] + shift * step, 0.0)
    sigma = np.where(good, step * np.sqrt(np.maximum(1 - top, 0.02) / bend), np.nan)
    return Sweep(depth, sigma)


def _smoothed(surface: Surface, found: Sweep, spacing_m: float) -> Sweep:
    """Each depth as the median of its neighbours'; 0 where fewer than half of them moved, or not alike."""
    from scipy.spatial import cKDTree

    moved = found.depth_m != 0
    if moved.sum() < 8:
        return Sweep(np.zeros(len(moved)), np.full(len(moved), np.nan))
    neighbours = min(12, len(moved))
    index = cKDTree(surface.xyz).query(surface.xyz, k=neighbours)[1].reshape(len(moved), -1)
    same = (surface.normals[index] * surface.normals[:, None]).sum(-1) > 0.5
    voting = same & moved[index]
    depth = np.where(voting, found.depth_m[index], np.nan)
    enough = voting.sum(-1) >= 0.5 * np.maximum(same.sum(-1), 4)
    middle, spread = np.zeros(len(moved)), np.full(len(moved), np.inf)
    if enough.any():
        middle[enough] = np.nanmedian(depth[enough], axis=-1)
        spread[enough] = np.nanmedian(np.abs(depth[enough] - middle[enough, None]), axis=-1)
    alike = spread < spacing_m / 2
    sigma = np.where(alike, np.fmax(found.sigma_m, spread), np.nan)
    return Sweep(np.where(alike, middle, 0.0), sigma)
