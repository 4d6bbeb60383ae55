"""The two networks of a top-down estimator: boxes of people in an image, and the joints in a box.

Any ONNX file that fits its model card works. Pixel coordinates are 0 at the centre of the first pixel, in the image and
in the crop; a SimCC bin or heatmap cell i corresponds to crop pixel i * input size / number of bins or cells, as in the
training of the networks (Li et al., "SimCC", 2022; Xiao et al., "Simple Baselines", 2018).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import AssetError
from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.estimation.model_card import DetectorCard, PoseCard
from mvcap.estimation.onnx_network import OnnxNetwork
from mvcap.structures.skeleton import skeleton

Boxes = NDArray[np.float64]
"""(N, 4) left, top, right, bottom, px of the image."""

_PAD = 114
"""Grey value of the padding, as in the training of the detectors."""


class PersonDetector:
    """Detector of the people in an image."""

    def __init__(self, card: DetectorCard, path: Path, threads: int, device: str) -> None:
        self._card = card
        self._net = OnnxNetwork(path, threads, device, "correct the card")

    def __call__(self, image: NDArray[np.uint8]) -> Boxes:
        """Return the boxes (N, 4) px of the people in an RGB image (H, W, 3), by descending score."""
        import cv2

        height, width = image.shape[:2]
        scale = self._card.size / max(height, width)
        inside = (max(1, round(width * scale)), max(1, round(height * scale)))
        square = np.full((self._card.size, self._card.size, 3), _PAD, np.uint8)
        square[: inside[1], : inside[0]] = cv2.resize(image, inside, interpolation=cv2.INTER_LINEAR)
        dets, labels = self._outputs(_normalised(square, self._card)[None])
        people = (labels == self._card.person_label) & (dets[:, 4] > self._card.threshold)
        found = dets[people]
        found = found[np.argsort(-found[:, 4], kind="stable"), :4].astype(np.float64)
        # The detector measures boxes from the edge of the first pixel, we from its centre.
        boxes = found * np.tile((width / inside[0], height / inside[1]), 2) - 0.5
        return np.asarray(np.clip(boxes, -0.5, np.tile((width, height), 2) - 0.5), dtype=np.float64)

    def _outputs(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
        """Return boxes with scores (N, 5) and labels (N,), recognised by their shapes."""
        outputs = self._net(batch)
        boxes = [out[0] for out in outputs if out.ndim == 3 and out.shape[-1] == 5]
        labels = [out[0] for out in outputs if out.ndim == 2]
        if len(boxes) != 1 or len(labels) != 1:
            shapes = ", ".join(str(out.shape) for out in outputs)
            raise AssetError(
                f"{self._net.name}: outputs {shapes} instead of (1, N, 5) and (1, N); export it with its NMS"
            )
        return boxes[0], labels[0]


class PoseNetwork:
    """Estimator of the joints of the person in each box."""

    def __init__(self, card: PoseCard, path: Path, threads: int, device: str) -> None:
        self._card = card
        self._joints = len(skeleton(card.skeleton))
        self._net = OnnxNetwork(path, threads, device, "correct the card")
        self._one_by_one = isinstance(self._net.input.shape[0], int)

    def __call__(self, image: NDArray[np.uint8], boxes: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return points (N, J, 2) px and scores (N, J) of the people in boxes (N, 4) of an RGB image (H, W, 3)."""
        if not len(boxes):
            return np.zeros((0, self._joints, 2)), np.zeros((0, self._joints))
        maps = [picture_from_crop(box, self._card.size, self._card.box_scale) for box in boxes]
        pyramid = ImagePyramid(image)
        batch = np.stack([_normalised(pyramid.crop(matrix, self._card.size), self._card) for matrix in maps])
        parts = np.split(batch, len(batch)) if self._one_by_one else [batch]
        found = [self._decode(self._net(part)) for part in parts]
        xy = np.concatenate([points for points, _ in found])
        matrix = np.stack(maps)
        xy = np.einsum("nab,njb->nja", matrix[:, :, :2], xy) + matrix[:, None, :, 2]
        return xy, np.clip(np.concatenate([score for _, score in found]), 0, 1)

    def _decode(self, outputs: list[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return points (N, J, 2) px of the crop and scores (N, J)."""
        expected = (2, 3) if self._card.output == "simcc" else (1, 4)
        if (len(outputs), outputs[0].ndim) != expected or any(out.shape[1] != self._joints for out in outputs):
            shapes = ", ".join(str(out.shape) for out in outputs)
            wanted = "(N, J, bins) twice" if self._card.output == "simcc" else "(N, J, h, w)"
            raise AssetError(
                f"{self._net.name}: outputs {shapes} instead of {wanted} with J = {self._joints} "
                f"({self._card.skeleton}); correct output or skeleton in the card"
            )
        size = np.array(self._card.size, dtype=np.float64)
        return decode_simcc(outputs[0], outputs[1], size) if len(outputs) == 2 else decode_heatmaps(outputs[0], size)


def picture_from_crop(box: NDArray[np.floating], size: tuple[int, int], box_scale: float) -> NDArray[np.float64]:
    """Return the matrix (2, 3) to px of the image from px of the crop.

    The crop is the box scaled by box_scale and extended to the aspect ratio of the crop. The centre of the box maps to
    crop px (w / 2, h / 2), as in the training of the networks.
    """
    width, height = np.maximum(box[2:] - box[:2], 1) * box_scale
    step = max(width / size[0], height / size[1])
    corner = (box[:2] + box[2:]) / 2 - step * np.array(size) / 2
    return np.array([[step, 0, corner[0]], [0, step, corner[1]]], dtype=np.float64)


def decode_simcc(
    x: NDArray[np.floating], y: NDArray[np.floating], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (N, J, 2) px of a crop of size (2,) and scores (N, J) from distributions (N, J, bins) of x and y.

    The peak is refined with a parabola; the score is the lower of the two axes.
    """
    points, tops = [], []
    for bins, length in ((np.asarray(x, np.float64), size[0]), (np.asarray(y, np.float64), size[1])):
        peak = bins.argmax(-1)
        points.append((peak + _vertex(*_around(bins, peak))) * length / bins.shape[-1])
        tops.append(bins.max(-1))
    return np.stack(points, axis=-1), np.minimum(*tops)


def decode_heatmaps(
    maps: NDArray[np.floating], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (N, J, 2) px of a crop of size (2,) and scores (N, J) from heatmaps (N, J, h, w).

    The peak is refined with a parabola through the logarithms along each axis, which is exact for a Gaussian.
    """
    count, joints, height, width = maps.shape
    values = np.asarray(maps, np.float64)
    row, column = np.divmod(values.reshape(count, joints, height * width).argmax(-1), width)
    logs = np.log(np.maximum(values, 1e-10))
    along_x = np.take_along_axis(logs, row[..., None, None], axis=2)[:, :, 0]
    along_y = np.take_along_axis(logs, column[..., None, None], axis=3)[..., 0]
    x = column + _vertex(*_around(along_x, column))
    y = row + _vertex(*_around(along_y, row))
    return np.stack([x * size[0] / width, y * size[1] / height], axis=-1), values.max((-2, -1))


def _around(bins: NDArray[np.float64], peak: NDArray[np.integer]) -> tuple[NDArray[np.float64], ...]:
    """Return the values before, at and after the peak; at the ends the peak's value replaces the missing one."""
    last = bins.shape[-1] - 1
    at = [np.clip(peak + step, 0, last)[..., None] for step in (-1, 0, 1)]
    return tuple(np.take_along_axis(bins, index, axis=-1)[..., 0] for index in at)


def _vertex(before: NDArray[np.float64], top: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertex position of the parabola through three values at -1, 0, 1, limited to +-0.5."""
    curvature = before - 2 * top + after
    flat = curvature > -1e-12
    return np.where(flat, 0, np.clip(0.5 * (before - after) / np.where(flat, -1, curvature), -0.5, 0.5))


def _normalised(image: NDArray[np.uint8], card: DetectorCard | PoseCard) -> NDArray[np.float32]:
    """Return the network input (3, H, W) of an RGB image (H, W, 3)."""
    channels = image if card.colour == "rgb" else image[..., ::-1]
    mean, std = np.array(card.mean, np.float32), np.array(card.std, np.float32)
    return np.ascontiguousarray(((channels.astype(np.float32) - mean) / std).transpose(2, 0, 1))
