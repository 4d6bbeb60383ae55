"""Features of calibrated views matched along epipolar lines, and joined into tracks of three and more views.

SIFT keypoints (Lowe 2004) are undistorted first, so that epipolar lines are straight. Two keypoints can match only if
each lies near the epipolar line of the other, each is the other's nearest descriptor among those, and clearly nearer
than the second nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig

_RATIO = 0.8
_ABOVE_CHANCE = 4
_SAME_PLACE_PX = 1.0


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of one view."""

    xy: NDArray[np.float64]
    """(K, 2) px."""
    flat: NDArray[np.float64]
    """(K, 2) undistorted normalised coordinates."""
    descriptor: NDArray[np.float32]
    """(K, 128), unit length (root SIFT)."""


def keypoints_of(
    image: NDArray[np.uint8], label: NDArray[np.uint8] | None, rig: Rig, view: int, most: int
) -> Keypoints:
    """Return the strongest SIFT keypoints of an image (H, W, 3), off the pixels of people and 8 px around them."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    free = None
    if label is not None:
        free = np.asarray(255 * (1 - cv2.dilate((label > 0).astype(np.uint8), np.ones((17, 17), np.uint8))), np.uint8)
    sift = cv2.SIFT_create(nfeatures=most)  # type: ignore[attr-defined]
    found, described = sift.detectAndCompute(grey, free)
    if described is None or not len(found):
        return Keypoints(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    xy = np.array([one.pt for one in found], np.float64)
    # SIFT finds a corner again for each of its directions: one of them is enough.
    first = np.sort(np.unique(np.rint(xy / _SAME_PLACE_PX).astype(np.int64), axis=0, return_index=True)[1])
    flat = rig[view].lens.undistort(xy[first])
    kept = first[np.isfinite(flat).all(-1)]
    flat = flat[np.isfinite(flat).all(-1)]
    root = np.sqrt(described[kept] / np.maximum(described[kept].sum(-1, keepdims=True), 1e-9))
    return Keypoints(xy[kept], flat, root.astype(np.float32))


def epipolar_matches(
    one: Keypoints, two: Keypoints, rig: Rig, views: tuple[int, int], band_px: float
) -> NDArray[np.int64]:
    """Return pairs (M, 2) of indices of keypoints of two views that match; none if they may all be by chance.

    As many matches are by chance as are found along lines that are displaced by ten bands, where nothing is right.
    """
    if min(len(one.xy), len(two.xy)) < 2:
        return np.zeros((0, 2), np.int64)
    apart = (2 - 2 * one.descriptor @ two.descriptor.T).astype(np.float32)
    found = _nearest_on_lines(apart, one.flat, two.flat, rig, views, band_px)
    displaced = two.flat + 10 * band_px / rig.focal[views[1]]
    chance = _nearest_on_lines(apart, one.flat, displaced, rig, views, band_px)
    return found if len(found) >= _ABOVE_CHANCE * len(chance) else found[:0]


def _nearest_on_lines(
    apart: NDArray[np.float32],
    one: NDArray[np.float64],
    two: NDArray[np.float64],
    rig: Rig,
    views: tuple[int, int],
    band_px: float,
) -> NDArray[np.int64]:
    """Pairs (M, 2) by descriptor distances (K, L) that are mutual, clear, and on each other's epipolar lines."""
    a, b = views
    relative = rig.cam_from_world[b] @ np.linalg.inv(rig.cam_from_world[a])
    x, y, z = relative[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]
    ahead = [np.concatenate([flat, np.ones((len(flat), 1))], -1) for flat in (one, two)]
    lines = ahead[0] @ essential.T, ahead[1] @ essential  # in the second view, in the first
    residual = np.abs(lines[0] @ ahead[1].T)
    far = residual / np.maximum(np.hypot(lines[0][:, 0], lines[0][:, 1]), 1e-12)[:, None] * rig.focal[b]
    back = residual / np.maximum(np.hypot(lines[1][:, 0], lines[1][:, 1]), 1e-12)[None] * rig.focal[a]
    near = np.where((far > band_px) | (back > band_px), np.float32(9.0), apart)
    rows = np.arange(len(one))
    best = near.argmin(1)
    mutual = near.argmin(0)[best] == rows
    second = np.partition(near, 1, axis=1)[:, 1]
    good = mutual & (near[rows, best] < _RATIO**2 * np.minimum(second, 2.0))
    return np.stack([rows[good], best[good]], -1)


def tracks_of(found: Sequence[Keypoints], pairs: dict[tuple[int, int], NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return pixels (C, N, 2) of points that views share, NaN where a view does not see one.

    Matches are joined where they share a keypoint; a point with two keypoints in one view is left out.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    begin = np.concatenate([[0], np.cumsum([len(one.xy) for one in found])]).astype(np.int64)
    ends = [np.zeros((0, 2), np.int64), *(np.asarray(m) + begin[[a, b]] for (a, b), m in pairs.items())]
    links = np.concatenate(ends)
    count = int(begin[-1])
    out = np.full((len(found), 0, 2), np.nan)
    if not len(links):
        return out
    graph = coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), (count, count))
    name = connected_components(graph, directed=False)[1]
    view = np.repeat(np.arange(len(found)), np.diff(begin))
    size = np.bincount(name)
    here = np.unique(np.stack([name, view], -1), axis=0)
    views = np.bincount(here[:, 0], minlength=len(size))
    good = np.flatnonzero((size >= 2) & (views == size))
    place = np.full(len(size), -1)
    place[good] = np.arange(len(good))
    out = np.full((len(found), len(good), 2), np.nan)
    rows = np.flatnonzero(place[name] >= 0)
    out[view[rows], place[name[rows]]] = np.concatenate([one.xy for one in found])[rows]
    return out
