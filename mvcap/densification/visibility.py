"""Which views see which points of a surface, by depth images of the points themselves, and the colours they give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.densification.silhouettes import nearest

_GRAZING = 0.15
_DEPTH_SPACINGS = 3.0


def visible(
    xyz: NDArray[np.floating], normals: NDArray[np.floating], rig: Rig, spacing_m: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Return which views (C, N) see points (N, 3) m, the cosine (C, N) of their angle to the normal, and pixels.

    Each view draws all points as squares of about two spacings into a depth image; a point is hidden where its depth is
    more than three spacings behind that of its pixel, or where its normal (N, 3) points away. Pixels: (C, N, 2).
    """
    import cv2

    xy = rig.project(xyz)
    seen = np.zeros(xy.shape[:2], np.bool_)
    cosine = np.zeros(xy.shape[:2])
    for view, camera in enumerate(rig):
        away = camera.position - xyz
        far = np.linalg.norm(away, axis=-1)
        cosine[view] = (away * normals).sum(-1) / np.maximum(far, 1e-9)
        width, height = camera.size
        with np.errstate(invalid="ignore"):
            x, y = xy[view].T
            inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        rows = np.flatnonzero(inside)
        if not len(rows):
            continue
        cell = max(1.0, 0.8 * spacing_m * float(rig.focal[view]) / float(np.median(far[rows])))
        at = (xy[view, rows] / cell).astype(np.int64)
        first = at.min(0)
        at -= first
        image = np.full((at[:, 1].max() + 3, at[:, 0].max() + 3), np.inf, np.float32)
        order = np.argsort(-far[rows], kind="stable")  # the nearest point is written last
        image[at[order, 1] + 1, at[order, 0] + 1] = far[rows][order]
        image = cv2.erode(image, np.ones((3, 3), np.uint8))
        front = far[rows] <= image[at[:, 1] + 1, at[:, 0] + 1] + _DEPTH_SPACINGS * spacing_m
        seen[view, rows] = front & (cosine[view, rows] > _GRAZING)
    return seen, cosine, xy


def colours(
    images: Sequence[NDArray[np.uint8] | None],
    xy: NDArray[np.floating],
    seen: NDArray[np.bool_],
    cosine: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """Return colours (N, 3) of points at pixels (C, N, 2): means over the views that see them, weighted by cosine.

    Points that no view with an image sees take the view that looks at them least from behind; grey without images.
    """
    held = [view for view, image in enumerate(images) if image is not None]
    total = np.full((xy.shape[1], 3), 128.0)
    if not held:
        return total.astype(np.uint8)
    weight = np.where(seen, np.maximum(cosine, 0.01) ** 2, 0.0)[held]
    alone = weight.sum(0) == 0
    weight[:, alone] = np.exp(8 * np.where(np.isfinite(xy[held][:, alone]).all(-1), cosine[held][:, alone], -9.0))
    total = np.zeros((xy.shape[1], 3))
    for at, view in enumerate(held):
        image = images[view]
        if image is not None:
            rows = np.flatnonzero(weight[at] > 0)
            total[rows] += weight[at, rows, None] * nearest(image, xy[view, rows])
    return np.asarray(np.rint(total / np.maximum(weight.sum(0), 1e-12)[:, None]), np.uint8)
