"""A cloud drawn back into the views, and how far its outline is that of the masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig


def drawn_outline(xyz: NDArray[np.floating], camera: Camera, spacing_m: float) -> NDArray[np.bool_]:
    """Return the pixels (H, W) that points (N, 3) m cover, gaps closed, each half a spacing wide on all sides."""
    import cv2

    width, height = camera.size
    image = np.zeros((height, width), np.uint8)
    if not len(xyz):
        return image > 0
    xy = camera.project(xyz)
    with np.errstate(invalid="ignore"):
        within = (xy[:, 0] >= 0) & (xy[:, 1] >= 0) & (xy[:, 0] <= width - 1) & (xy[:, 1] <= height - 1)
    at = np.rint(xy[within]).astype(np.int64)
    image[at[:, 1], at[:, 0]] = 1
    far = float(np.median(np.linalg.norm(xyz - camera.position, axis=-1)))
    pixels = spacing_m * float(camera.lens.K[0, 0]) / max(far, 0.1)
    closed = cv2.morphologyEx(image, cv2.MORPH_CLOSE, _disc(int(np.ceil(pixels))))
    return np.asarray(cv2.dilate(closed, _disc(round(pixels / 2)))) > 0


def _disc(radius: int) -> Any:
    import cv2

    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def outline_overlap(
    xyz: NDArray[np.floating], labels: Sequence[NDArray[np.uint8] | None], person: int, rig: Rig, spacing_m: float
) -> NDArray[np.float64]:
    """Return intersection over union (C,) of a person's points (N, 3) drawn back with the person's mask in each view.

    person: index of the person, whose label is one more. Pixels of other people are not counted, as these may stand in
    front. NaN for a view that does not show the person.
    """
    out = np.full(len(labels), np.nan)
    for view, label in enumerate(labels):
        if label is None or not (label == person + 1).any():
            continue
        mine = label == person + 1
        drawn = drawn_outline(xyz, rig[view], spacing_m) & ((label == 0) | mine)
        out[view] = (drawn & mine).sum() / (drawn | mine).sum()
    return out
