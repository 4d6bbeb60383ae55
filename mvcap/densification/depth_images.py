"""Depth images of calibrated cameras: without lens distortion, and which of them agree with points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig


def known_depth(depth: NDArray[np.floating], label: NDArray[np.uint8] | None, farthest_m: float) -> NDArray[np.float32]:
    """Return a depth image (H, W) m with 0 where it is unknown, too far, or, if there are labels, of nobody."""
    out = np.nan_to_num(np.asarray(depth, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    out = np.where((out > 0) & (out <= farthest_m), out, 0)
    return np.asarray(out if label is None else np.where(label > 0, out, 0), np.float32)


def as_pinhole(image: NDArray[Any], camera: Camera, smooth: bool) -> NDArray[Any]:
    """Return an image (H, W) or (H, W, 3) as a camera of the same matrix without lens distortion takes it.

    smooth: between pixels by interpolation, as for colours; otherwise the nearest pixel, as for depths, which must not
    be averaged across an edge. 0 where the lens shows nothing.
    """
    import cv2

    lens = camera.lens
    if lens.model != "fisheye" and not lens.distortion.any():
        return image
    width, height = camera.size
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    flat = np.stack([x, y], -1) - lens.K[:2, 2]
    row = flat[..., 1] / lens.K[1, 1]
    normalised = np.stack([(flat[..., 0] - lens.K[0, 1] * row) / lens.K[0, 0], row], -1)
    maps = np.nan_to_num(lens.distort(normalised), nan=-1e4).astype(np.float32)
    way = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.remap(image, maps[..., 0], maps[..., 1], way, borderValue=0))


def agreeing_views(
    xyz: NDArray[np.floating], depths: Sequence[NDArray[np.floating] | None], rig: Rig, within_m: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Return which views (C, N) measure points (N, 3) m where they are, by how many metres they differ, and pixels.

    Differences (C, N) m are of depths, NaN where a view does not agree; pixels (C, N, 2).
    """
    xy = rig.project(xyz)
    apart = np.full(xy.shape[:2], np.nan)
    for view, (camera, depth) in enumerate(zip(rig, depths, strict=True)):
        if depth is None:
            continue
        height, width = depth.shape
        with np.errstate(invalid="ignore"):
            x, y = np.rint(xy[view, :, 0]), np.rint(xy[view, :, 1])
            rows = np.flatnonzero((x >= 0) & (y >= 0) & (x < width) & (y < height))
        measured = np.asarray(depth[y[rows].astype(np.int64), x[rows].astype(np.int64)], np.float64)
        pose = camera.cam_from_world
        apart[view, rows] = np.where(measured > 0, measured, np.nan) - (xyz[rows] @ pose[2, :3] + pose[2, 3])
    with np.errstate(invalid="ignore"):
        agree = np.abs(apart) <= within_m
    return agree, np.where(agree, apart, np.nan), xy
