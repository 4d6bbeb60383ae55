"""Faces made unrecognisable in images: heads in 3D projected into the view, and heads that were detected in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Floats
from calib.geometry import transform
from mvcap.structures.feet_and_heads import is_head
from mvcap.structures.skeleton import Skeleton

_HEAD_RADIUS_M = 0.16
"""A head is within this distance of the middle of its joints: half of 0.23 m from chin to crown, and their error."""
_ABOVE_SHOULDERS_M = 0.25
_CELLS = 5
"""A blurred head keeps so many cells across."""
_SHOULDERS_PER_RADIUS = 2.2
"""Shoulder joints are 0.35 m apart, of which the radius is this part."""
_LEAST_PX = 3.0
_LEAST_HEADS = 4.0
"""A body is at least so many heads long, or more of it is out of the picture than is in it."""


def head_circles(camera: Camera, skeleton: Skeleton, xyz: Floats) -> Floats:
    """Return circles (N, 3) x, y, radius px of the heads of people xyz (P, J, 3) m that the camera may see.

    Without any joint of the head, it is 25 cm beyond the shoulders from the hips, or above them without hips.
    """
    head = is_head(skeleton)
    centre = _mean(xyz[:, head])
    shoulders, hips = (_mean(xyz[:, _named(skeleton, part)]) for part in ("shoulder", "hip"))
    up = shoulders - hips
    length = np.linalg.norm(up, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        up = np.where(length > 0, up / length, [0.0, 0.0, 1.0])
    centre = np.where(np.isfinite(centre), centre, shoulders + _ABOVE_SHOULDERS_M * up)
    place = transform(camera.cam_from_world, centre)
    with np.errstate(invalid="ignore", divide="ignore"):
        radius = camera.lens.K[0, 0] * _HEAD_RADIUS_M / place[:, 2]
    found = np.concatenate([camera.project(centre), radius[:, None]], -1)
    return np.asarray(found[np.isfinite(found).all(-1) & (place[:, 2] > 0)])


def detected_head_circles(skeleton: Skeleton, xy: Floats) -> Floats:
    """Return circles (N, 3) px of the heads of detections xy (M, J, 2) px: about the head's joints.

    The radius is the larger of twice their reach (at most a quarter of the body) and of the shoulders' distance / 2.2,
    and at least 3 px.
    """
    head = is_head(skeleton)
    out = []
    for body in xy:
        seen = body[head][np.isfinite(body[head]).all(-1)]
        if not len(seen):
            continue
        centre = seen.mean(0)
        body_px = float(np.linalg.norm(np.nanmax(body, 0) - np.nanmin(body, 0)))
        reach = min(2 * float(np.linalg.norm(seen - centre, axis=-1).max()), body_px / _LEAST_HEADS)
        pair = body[_named(skeleton, "shoulder")]
        apart = float(np.linalg.norm(pair[0] - pair[-1])) if len(pair) > 1 else np.nan
        out.append([*centre, np.nanmax([reach, apart / _SHOULDERS_PER_RADIUS, _LEAST_PX])])
    return np.array(out, np.float64).reshape(-1, 3)


def blur_circles(image: NDArray[np.uint8], circles: Floats) -> NDArray[np.uint8]:
    """Return the image (H, W, 3) with what is in the circles (N, 3) px averaged over five cells across each."""
    import cv2

    out = image.copy()
    height, width = image.shape[:2]
    for x, y, radius in circles:
        left, top = (int(np.floor(max(0, edge - radius))) for edge in (x, y))
        right, bottom = (int(np.ceil(min(side, edge + radius + 1))) for edge, side in ((x, width), (y, height)))
        if right <= left or bottom <= top:
            continue
        window = out[top:bottom, left:right]
        cell = max(2 * radius / _CELLS, 1.0)
        cells = (max(1, round((right - left) / cell)), max(1, round((bottom - top) / cell)))
        small = cv2.resize(window, cells, interpolation=cv2.INTER_AREA)
        flat = cv2.resize(small, window.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        rows, columns = np.ogrid[top:bottom, left:right]
        inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
        window[inside] = flat[inside]
    return np.asarray(out)


def _named(skeleton: Skeleton, part: str) -> list[int]:
    return [at for at, joint in enumerate(skeleton.joints) if joint.rpartition("_")[2] == part]


def _mean(points: Floats) -> Floats:
    """Means (P, 3) of the known points (P, K, 3); NaN without any."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(-1))
    total = np.where(known[..., None], points, 0).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / known.sum(1)[:, None])
