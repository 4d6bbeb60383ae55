"""The two BlazePose networks: detection of bodies in an image, and landmarks of the body in a crop.

A crop is four numbers: the midpoint of the hips x, y, and a point x, y that defines size and rotation: the crop is the
square around the hips whose half side is 1.25 times the distance to that point, rotated so that the point is above.
Inputs, outputs and anchors of the networks: MediaPipe 0.10.21, pose_detection and pose_landmark_full.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import SKELETONS

_DETECTOR_PX = 224
_LANDMARK_PX = 256
_JOINTS = 33
_CROP = 1.25
_REACH = 3
"""Half width, in heatmap cells, of the window around a regressed point for the centre of mass."""
_MIN_HEAT = 0.5
_TILE = 0.6
"""Side of the small tiles as a share of the image's short side, and their step as a share of their side."""


def _interpreter(model: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    with _quiet_stderr:
        interpreter.allocate_tensors()
    return interpreter


class _QuietStderr:
    """Suppress the start-up message of the runtime on standard error, for which it has no setting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = -1

    def __enter__(self) -> None:
        self._lock.acquire()
        self._kept = os.dup(2)
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 2)
        os.close(self._kept)
        self._lock.release()


_quiet_stderr = _QuietStderr()


def _sigmoid(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -80, 80).astype(np.float64))))


def _anchors() -> NDArray[np.float64]:
    """Return cell centres (2254, 2) in 0..1: strides 8, 16, 32 with 2, 2, 6 anchors per cell."""
    centres = []
    for stride, repeats in ((8, 2), (16, 2), (32, 6)):
        cells = _DETECTOR_PX // stride
        y, x = np.mgrid[:cells, :cells]
        grid = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        centres.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(centres)


def tiles(width: int, height: int) -> list[tuple[int, int, int]]:
    """Return the squares (left, top, side) px to search: whole image, squares of its short side, and of 0.6 of it."""
    short, long = min(width, height), max(width, height)
    squares = [(-(long - width) // 2, -(long - height) // 2, long)]
    for side in (short, round(_TILE * short)):
        lefts = _starts(width, side)
        squares += [(left, top, side) for top in _starts(height, side) for left in lefts]
    return squares


def _starts(length: int, side: int) -> list[int]:
    """Return the first pixels of the tiles along one axis: equal steps of about 0.6 of the side, from edge to edge."""
    count = 1 + int(np.ceil((length - side) / (_TILE * side)))
    return [round(x) for x in np.linspace(0, length - side, count)]


class BlazePoseDetector:
    """Detector of bodies in an image, applied tile by tile."""

    def __init__(self, model: Path, threshold: float) -> None:
        self._net = _interpreter(model)
        self._input = self._net.get_input_details()[0]["index"]
        by_width = {d["shape"][-1]: d["index"] for d in self._net.get_output_details()}
        self._boxes, self._logits = by_width[12], by_width[1]
        self._anchors = _anchors()
        self.threshold = threshold

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return crops (N, 4) px of the bodies in an RGB image (H, W, 3), one per body, by descending score."""
        found = [self._tile(image, *square) for square in tiles(image.shape[1], image.shape[0])]
        score = np.concatenate([s for s, _ in found])
        crops = np.concatenate([c for _, c in found])
        kept: list[NDArray[np.float64]] = []
        for crop in crops[np.argsort(-score, kind="stable")]:
            radius = np.hypot(*(crop[2:] - crop[:2]))
            if all(np.hypot(*(crop[:2] - k[:2])) > 0.5 * max(radius, np.hypot(*(k[2:] - k[:2]))) for k in kept):
                kept.append(crop)
        return np.array(kept).reshape(-1, 4)

    def _tile(
        self, image: NDArray[np.uint8], left: int, top: int, side: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import cv2

        height, width = image.shape[:2]
        part = image[max(top, 0) : min(top + side, height), max(left, 0) : min(left + side, width)]
        scale = _DETECTOR_PX / side
        inside = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y = round(max(-left, 0) * scale), round(max(-top, 0) * scale)
        square = np.zeros((_DETECTOR_PX, _DETECTOR_PX, 3), np.float32)
        inside = inside[: _DETECTOR_PX - y, : _DETECTOR_PX - x]
        square[y : y + inside.shape[0], x : x + inside.shape[1]] = inside / 127.5 - 1
        self._net.set_tensor(self._input, square[None])
        self._net.invoke()
        score = _sigmoid(self._net.get_tensor(self._logits)[0, :, 0])
        above = score > self.threshold
        values = self._net.get_tensor(self._boxes)[0, above].astype(np.float64) / _DETECTOR_PX
        points = (values[:, 4:8].reshape(-1, 2, 2) + self._anchors[above, None]) * side + (left, top) - 0.5
        return score[above], points.reshape(-1, 4)


@dataclass(frozen=True)
class Landmarks:
    """Output of the landmark network for one crop."""

    xy: NDArray[np.float64]
    """(33, 2) px of the image."""
    score: NDArray[np.float64]
    """(33,) visibility times presence of the joint, 0..1, times the presence of the person."""
    metric: NDArray[np.float64]
    """(33, 3) m about the middle of the hips, as a camera turned to the crop has them: x right in the picture, y down,
    z away; NaN if the network does not give them."""
    doubt_px: NDArray[np.float64]
    """(33,) px, half the distance between the positions of the two passes; 0 with one pass."""
    presence: float
    """Probability that the crop contains a person, 0..1."""
    quality: float
    """Sharpness of the joints: mean peak of the heatmaps times presence."""
    crop: NDArray[np.float64]
    """(4,) the crop for the next frame."""
    inside: bool
    """Whether enough joints (more than 30 %) are in the image."""
    image_from_crop: NDArray[np.float64]
    """(2, 3) transform to px of the image from px of the crop (edges at 0 and 256)."""
    mask: NDArray[np.float32]
    """(256, 256) logits of the person's mask in the crop."""


class Landmarker:
    """Landmark network, applied to crops of the current image."""

    def __init__(self, model: Path, mirror: bool) -> None:
        self._net = _interpreter(model)
        self._input = self._net.get_input_details()[0]["index"]
        by_shape = {tuple(d["shape"][1:]): d["index"] for d in self._net.get_output_details()}
        self._points, self._presence, self._mask = by_shape[(195,)], by_shape[(1,)], by_shape[(256, 256, 1)]
        self._heat, self._metres = by_shape[(64, 64, 39)], by_shape.get((117,))
        self._mirror = mirror
        # Points 33 and 34 (the next crop) and the rest lie on the midline of the body, so they have no mirror partner.
        self._partner = np.concatenate([SKELETONS["blazepose33"].mirror, np.arange(_JOINTS, 39)])
        self._pyramid = ImagePyramid(np.zeros((1, 1, 3), np.uint8))

    def look_at(self, image: NDArray[np.uint8] | ImagePyramid) -> None:
        """Set the current RGB image (H, W, 3)."""
        self._pyramid = image if isinstance(image, ImagePyramid) else ImagePyramid(image)

    def __call__(self, crop: NDArray[np.float64]) -> Landmarks:
        """Return the landmarks of the body in one crop (4,)."""
        image_from_crop = _image_from_crop(crop)
        pixels = self._read(image_from_crop)
        points, presence, sharpness, mask = self._run(pixels)
        spread_px = np.zeros(len(points))
        if self._mirror:
            other, other_presence, other_sharpness, _ = self._run(pixels[:, ::-1])
            other[:, 0], other[:, 5] = _LANDMARK_PX - other[:, 0], -other[:, 5]
            other = _matched_sides(points, other, self._partner)
            spread_px = np.hypot(*(points - other)[:, :2].T) / 2 * np.hypot(*image_from_crop[:, 0])
            points = (points + other) / 2
            presence = (presence + other_presence) / 2
            sharpness = (sharpness + other_sharpness) / 2
        xy = points[:, :2] @ image_from_crop[:, :2].T + image_from_crop[:, 2]
        seen = _sigmoid(points[:_JOINTS, 3]) * _sigmoid(points[:_JOINTS, 4])
        width, height = self._pyramid.size
        within = np.asarray(((xy > -0.5) & (xy < (width - 0.5, height - 0.5))).all(-1))
        inside = bool(within[:_JOINTS].mean() > 0.3)
        score = np.where(within[:_JOINTS], seen * presence, 0)
        crop_after = xy[[33, 34]].ravel()
        quality = presence * sharpness
        metric = points[:_JOINTS, 5:]
        turn = image_from_crop[:, :2] / np.hypot(*image_from_crop[:, 0])  # the crop is rotated in the picture
        metric = np.column_stack([metric[:, :2] @ turn.T, metric[:, 2]])
        return Landmarks(
            xy[:_JOINTS],
            score,
            metric,
            spread_px[:_JOINTS],
            presence,
            quality,
            crop_after,
            inside,
            image_from_crop,
            mask,
        )

    def paint_masks(self, found: Sequence[Landmarks | None]) -> NDArray[np.uint8]:
        """Return a label image (H, W): m + 1 where the m-th mask has the highest probability above 0.5, else 0.

        None stands for a person without a mask, so that labels stay those of the rows.
        """
        import cv2

        width, height = self._pyramid.size
        best = np.zeros((height, width), np.float32)
        label = np.zeros((height, width), np.uint8)
        for number, one in enumerate(found, start=1):
            if one is None:
                continue
            matrix = _between_pixel_centres(one.image_from_crop)
            logit = cv2.warpAffine(one.mask, matrix, (width, height), borderValue=-80)
            better = logit > best
            best[better], label[better] = logit[better], number
        return label

    def _read(self, image_from_crop: NDArray[np.float64]) -> NDArray[np.float32]:
        pixels = self._pyramid.crop(_between_pixel_centres(image_from_crop), (_LANDMARK_PX, _LANDMARK_PX))
        return np.divide(pixels, np.float32(255), dtype=np.float32)

    def _run(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float64], float, float, NDArray[np.float32]]:
        """Return points (39, 8): x, y px of the crop, z, two logits, x, y, z m; presence, sharpness and mask."""
        self._net.set_tensor(self._input, np.ascontiguousarray(pixels)[None])
        self._net.invoke()
        points = self._net.get_tensor(self._points)[0].reshape(39, 5).astype(np.float64)
        heat = _sigmoid(self._net.get_tensor(self._heat)[0])
        points[:, :2] = _sharpened(points[:, :2], heat)
        metres = np.full((39, 3), np.nan)
        if self._metres is not None:
            metres = self._net.get_tensor(self._metres)[0].reshape(39, 3).astype(np.float64)
        presence = float(self._net.get_tensor(self._presence)[0, 0])
        sharpness = float(heat[..., :_JOINTS].max((0, 1)).mean())
        return np.hstack([points, metres]), presence, sharpness, self._net.get_tensor(self._mask)[0, :, :, 0]


def metric_of(rows: Detections2D, metric: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the column ``metric`` (M, 33, 3) m of rows from the landmarks of each; NaN for missing joints."""
    given = np.reshape(np.asarray(metric, np.float64), (len(rows), len(rows.skeleton), 3))
    return np.where((rows.score > 0)[..., None], given, np.nan)


def _matched_sides(
    points: NDArray[np.float64], other: NDArray[np.float64], partner: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the points (39, 8) of the mirrored pass in the joint order of the first pass.

    Left in one pass is right in the mirrored one, unless the passes disagree about the facing direction of the body:
    then the mean of a joint and its mirror partner would lie on the midline. So each joint takes the nearer of the two.
    """
    swapped = other[partner]
    nearer = np.hypot(*(other - points)[:, :2].T) < np.hypot(*(swapped - points)[:, :2].T)
    return np.where(nearer[:, None], other, swapped)


def _sharpened(xy: NDArray[np.float64], heat: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return points (39, 2) px moved to the centre of mass of their heatmap (64, 64, 39) nearby, if its peak is >= 0.5.

    Heatmap cell (i, j) corresponds to crop pixel (4 j, 4 i): measured against the regressed points, which agree with
    this to 0.3 px in the median.
    """
    cell = _LANDMARK_PX // len(heat)
    pad = np.pad(heat, ((_REACH, _REACH), (_REACH, _REACH), (0, 0)))
    reach = np.arange(-_REACH, _REACH + 1)
    nearest = np.clip(np.floor(xy / cell).astype(np.int64), 0, len(heat) - 1)
    rows = nearest[:, 1, None] + reach  # (39, 7) in cells
    columns = nearest[:, 0, None] + reach
    window = pad[rows[:, :, None] + _REACH, columns[:, None] + _REACH, np.arange(len(xy))[:, None, None]]
    mass = np.maximum(window.sum((1, 2)), 1e-9)
    x = (window * columns[:, None]).sum((1, 2)) / mass
    y = (window * rows[:, :, None]).sum((1, 2)) / mass
    peaked = window.max((1, 2)) >= _MIN_HEAT
    return np.where(peaked[:, None], np.stack([x, y], axis=-1) * cell, xy)


def _image_from_crop(crop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (2, 3), the map to image px (centre of the first pixel at 0) from crop px (edges at 0 and 256)."""
    up = crop[2:] - crop[:2]
    up = up if np.hypot(*up) > 1 else np.array([0.0, -1.0])
    step = 2 * _CROP * up / _LANDMARK_PX
    turn = np.array([[-step[1], -step[0]], [step[0], -step[1]]])
    half = np.full(2, _LANDMARK_PX / 2)
    return np.column_stack([turn, crop[:2] - turn @ half])


def _between_pixel_centres(image_from_crop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same map for crop px measured from the centre of the crop's first pixel."""
    matrix = image_from_crop.copy()
    matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5])
    return matrix
