"""Google's MoveNet networks: COCO-17 joints of one person in a square crop, and of up to six people in an image.

Inputs and outputs: the model cards of MoveNet.SinglePose (Lightning, Thunder) and MoveNet.MultiPose, version 4. Crops
are upright squares around the body; pixels are not normalised. Coordinates are y, x in 0..1 between the outer edges of
the input. Our pixel coordinates are 0 at the centre of the first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.estimation.onnx_network import OnnxNetwork
from mvcap.structures.skeleton import SKELETONS

COCO17 = SKELETONS["coco17"]
_STEP_PX = 32  # MultiPose takes sides that are multiples of it
_MOST_PEOPLE, _VALUES = 6, 56


@dataclass(frozen=True)
class Square:
    """An upright square of an image, which may reach beyond its edges."""

    centre: NDArray[np.float64]
    """(2,) px"""
    side: float
    """px"""

    def read(self, image: ImagePyramid, size: int) -> NDArray[np.uint8]:
        """Return the square of an image as (size, size, 3); black outside the image."""
        step = self.side / size
        corner = self.centre + (step - self.side) / 2  # the centre of the crop's first pixel
        return image.crop(np.array([[step, 0, corner[0]], [0, step, corner[1]]], np.float64), (size, size))

    def pixels(self, share: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return px of the image (..., 2) of positions (..., 2) in 0..1 from edge to edge of the square."""
        return np.asarray(self.centre + (share - 0.5) * self.side, np.float64)


class SinglePose:
    """MoveNet Lightning or Thunder: the person in the middle of a crop."""

    def __init__(self, model: Path, threads: int, device: str) -> None:
        self._net = OnnxNetwork(model, threads, device)
        self.size = int(self._net.input.shape[1])

    def __call__(
        self, pixels: NDArray[np.uint8], square: Square, mirrored: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return joints (17, 2) px of the image and scores (17,) from the pixels (S, S, 3) of a square.

        mirrored: look at the mirror image of the crop, and name the joints by their true sides.
        """
        if mirrored:
            pixels = pixels[:, ::-1]
        (out,) = self._net(pixels[None].astype(np.int32))
        found = np.asarray(out, np.float64).reshape(17, 3)
        share, score = found[:, 1::-1], found[:, 2]
        if mirrored:
            share = np.stack([1 - share[:, 0], share[:, 1]], -1)[COCO17.mirror]
            score = score[COCO17.mirror]
        return square.pixels(share), np.clip(score, 0, 1)


@dataclass(frozen=True)
class Bodies:
    """N bodies in an image, by descending score."""

    xy: NDArray[np.float64]
    """(N, 17, 2) px"""
    joint_score: NDArray[np.float64]
    """(N, 17) in 0..1"""
    box: NDArray[np.float64]
    """(N, 4) left, top, right, bottom, px"""
    score: NDArray[np.float64]
    """(N,) in 0..1"""

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: NDArray[Any]) -> Bodies:
        return Bodies(self.xy[rows], self.joint_score[rows], self.box[rows], self.score[rows])


class MultiPose:
    """MoveNet MultiPose: the six people of an image that it is surest of."""

    def __init__(self, model: Path, threads: int, device: str) -> None:
        self._net = OnnxNetwork(model, threads, device)

    def __call__(self, image: ImagePyramid, long_side: int, threshold: float) -> Bodies:
        """Return the bodies in an image that is scaled to a long side of so many px.

        threshold: score in 0..1 above which a body counts.
        """
        width, height = image.size
        scale = long_side / max(height, width)
        inside = max(1, round(width * scale)), max(1, round(height * scale))
        padded = [-(-length // _STEP_PX) * _STEP_PX for length in inside]
        canvas = np.zeros((padded[1], padded[0], 3), np.int32)
        canvas[: inside[1], : inside[0]] = image.reduced(inside)
        (out,) = self._net(canvas[None])
        found = np.asarray(out, np.float64).reshape(_MOST_PEOPLE, _VALUES)
        found = found[found[:, 55] > threshold]
        found = found[np.argsort(-found[:, 55], kind="stable")]
        stretch = np.array(padded) * (width / inside[0], height / inside[1])
        joints = found[:, :51].reshape(-1, 17, 3)
        corners = found[:, 51:55].reshape(-1, 2, 2)
        xy, box = (points[..., 1::-1] * stretch - 0.5 for points in (joints, corners))
        return Bodies(xy, np.clip(joints[..., 2], 0, 1), box.reshape(-1, 4), found[:, 55])
