"""Signed distance maps of one person's masks: how far a pixel is from the nearest pixel that cannot be the person.

A pixel is free if the view shows there that the person is not: nobody's pixel, or one of somebody who stands clearly
behind. Pixels beyond the border, and those of somebody who may stand in front, are not free: there the view is silent
and must not carve. Distances follow the exact Euclidean transform on the image, reduced where a voxel covers many
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig

_PIXELS_PER_VOXEL = 3.0
_LEAST_PIXELS = 24
_CLEARLY_BEHIND_M = 0.4


@dataclass(frozen=True)
class Silhouette:
    """One view's mask of one person, cropped and reduced."""

    view: int
    mine: NDArray[np.uint8]
    """(h, w) 1 where the pixel is the person's."""
    distance: NDArray[np.float32]
    """(h, w) reduced pixels to the nearest free pixel, negative inside the free region."""
    offset: NDArray[np.float64]
    """(2,) px: image = reduced * scale + offset."""
    scale: float
    focal: float
    """px of the image."""
    size: tuple[int, int]
    """Width and height of the image, px."""

    def reduced(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return positions (N, 2) px of the image in the reduced crop."""
        return np.asarray((xy - self.offset) / self.scale, np.float32)

    def signed(self, xy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return distances (N,) px at positions (N, 2) px of the image; NaN where a position is NaN or beyond it."""
        values = sample(self.distance, self.reduced(xy)) * np.float32(self.scale)
        with np.errstate(invalid="ignore"):
            x, y = xy[:, 0], xy[:, 1]
            values[~((x >= 0) & (y >= 0) & (x <= self.size[0] - 1) & (y <= self.size[1] - 1))] = np.nan
        return values

    def is_mine(self, xy: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return whether positions (N, 2) px of the image are on the person's mask."""
        return np.asarray(nearest(self.mine, self.reduced(xy)) > 0)


def silhouettes_of(
    person: int,
    labels: Sequence[NDArray[np.uint8] | None],
    rig: Rig,
    centres: NDArray[np.float64],
    spacing_m: float,
) -> list[Silhouette]:
    """Return the silhouettes of the person of an index in every view that shows the person.

    labels: C label images, 0 = nobody. centres: (P, 3) m of all people, NaN where unknown, which tell who stands
    behind whom.
    """
    found = []
    for view, image in enumerate(labels):
        if image is None:
            continue
        mine = image == person + 1
        if np.count_nonzero(mine) < _LEAST_PIXELS:
            continue
        camera = rig[view]
        far = np.linalg.norm(centres - camera.position, axis=-1)
        behind = np.flatnonzero(far > far[person] + _CLEARLY_BEHIND_M) + 1
        free = (image == 0) | np.isin(image, behind)
        focal = float(rig.focal[view])
        size_px = spacing_m * focal / max(far[person], 0.5) if np.isfinite(far[person]) else 1.0
        found.append(_silhouette(view, mine, free, focal, max(1, int(size_px / _PIXELS_PER_VOXEL))))
    return found


def _silhouette(view: int, mine: NDArray[np.bool_], free: NDArray[np.bool_], focal: float, scale: int) -> Silhouette:
    import cv2

    height, width = mine.shape
    rows, columns = np.flatnonzero(~free.all(1)), np.flatnonzero(~free.all(0))
    margin = max(8 * scale, int(0.1 * (rows[-1] - rows[0] + 1)))
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    bottom, right = min(rows[-1] + margin + 1, height), min(columns[-1] + margin + 1, width)
    crops = [part[top:bottom, left:right].astype(np.uint8) for part in (mine, free)]
    if scale > 1:
        shape = (-(-crops[0].shape[1] // scale), -(-crops[0].shape[0] // scale))
        more = ((0, shape[1] * scale - crops[0].shape[0]), (0, shape[0] * scale - crops[0].shape[1]))
        padded = [np.pad(crop, more, mode="edge") for crop in crops]
        share = [cv2.resize(p.astype(np.float32), shape, interpolation=cv2.INTER_AREA) for p in padded]
        crops = [(part >= 0.5).astype(np.uint8) for part in share]
    # Beyond the image nothing is free; beyond a crop that ends inside the image everything is.
    sides = (top == 0, bottom == height, left == 0, right == width)
    inner, outer = crops
    edge = [int(not side) for side in sides]
    outer = np.pad(outer, 1, constant_values=0)
    outer[0, :], outer[-1, :] = edge[0], edge[1]
    outer[1:-1, 0], outer[1:-1, -1] = edge[2], edge[3]
    inside = cv2.distanceTransform(1 - outer, cv2.DIST_L2, cv2.DIST_MASK_5)
    outside = cv2.distanceTransform(outer, cv2.DIST_L2, cv2.DIST_MASK_5)
    signed = np.where(outer > 0, 0.5 - outside, inside - 0.5).astype(np.float32)
    middle = (scale - 1) / 2
    offset = np.array([left - scale + middle, top - scale + middle], np.float64)
    return Silhouette(view, np.pad(inner, 1), signed, offset, float(scale), focal, (width, height))


_ROW = 4096


def sample(image: NDArray[np.float32], xy: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return bilinear samples (N,) or (N, B) of an image (h, w) or (h, w, B) at pixels (N, 2), its border continued.

    NaN where a position is NaN.
    """
    import cv2

    count = len(xy)
    rows = -(-count // _ROW) if count else 1
    flat = np.zeros((rows * _ROW, 2), np.float32)
    flat[:count] = xy
    np.nan_to_num(flat, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    np.clip(flat, -1e5, 1e5, out=flat)
    maps = flat.reshape(rows, _ROW, 2)
    found = cv2.remap(image, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    values = np.asarray(found, np.float32).reshape(rows * _ROW, *image.shape[2:])[:count]
    values[~(np.isfinite(xy[:, 0]) & np.isfinite(xy[:, 1]))] = np.nan
    return values


def nearest(image: NDArray[np.uint8], xy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the pixels (N,) or (N, B) of an image (h, w) or (h, w, B) nearest to positions (N, 2); 0 beyond it."""
    height, width = image.shape[:2]
    with np.errstate(invalid="ignore"):
        x, y = np.rint(xy[:, 0]), np.rint(xy[:, 1])
        within = (x >= 0) & (y >= 0) & (x < width) & (y < height)  # not where NaN
    out = np.zeros((len(x), *image.shape[2:]), np.uint8)
    out[within] = image[y[within].astype(np.int64), x[within].astype(np.int64)]
    return out
