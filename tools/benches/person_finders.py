"""Networks that find people in an image, behind one call: MoveNet MultiPose beside the detectors that others use.

Each is given what it was trained with. NanoDet (416 px) and RTMDet: BGR by ImageNet's mean and deviation; of eight
inputs tried on 41 of PARSE's photographs NanoDet finds most people with this one. CenterNet (512 px): RGB 0..255, and
boxes in pixels of its input; with normalised pixels it finds nobody. All images are scaled in proportion, without
aliasing, and padded at the right and below, which suits both better than stretching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benches.section import Options, Section

NANODET_PX, CENTERNET_PX = 416, 512
NANODET_SCORE, CENTERNET_SCORE, RTMDET_SCORE, MOVENET_SCORE, BLAZEPOSE_SCORE = 0.35, 0.3, 0.3, 0.2, 0.5
COVERED, HIPS_OFF, SIZES = 0.4, 0.25, 2.0
"""A person is found by a box of such an overlap (IoU), or by hips within so many extents and a size within a factor."""
APART, HIPS_APART = 0.1, 0.5
"""What overlaps with nobody by so much, or whose hips are nobody's within so many extents, is a false person."""
_MEAN_BGR, _STD_BGR = np.array([103.53, 116.28, 123.675], np.float32), np.array([57.375, 57.12, 58.395], np.float32)
_SAME, _STRIDES = 0.6, (8, 16, 32)
_RTMDET = "models/rtmdet_nano_person_320_nms.onnx"


@dataclass(frozen=True)
class Found:
    """N found bodies: boxes (N, 4) px, or, of a detector without boxes, hips (N, 2) px and radius (N,) px around them.

    Pixels are 0 at the centre of the first one.
    """

    box: Any
    hips: Any = None
    radius: Any = None

    def __len__(self) -> int:
        return len(self.box)


@dataclass(frozen=True)
class Truth:
    """M people in an image: box (M, 4) of the joints inside it, middle of the hips (M, 2), longer side (M,) px."""

    box: Any
    hips: Any
    extent: Any


Finder = Callable[[Any], Found]
"""Bodies in an RGB image (H, W, 3)."""


def finders(options: Options, section: Section) -> dict[str, Finder]:
    """All finders whose networks are there, by name; tell which are not."""
    from mvcap.errors import MvcapError

    rtmdet = options.data / _RTMDET
    made = {
        "MultiPose, 256": lambda: MultiPoseAt(256),
        "MultiPose, 512": lambda: MultiPoseAt(512),
        "MultiPose, all scales of `people`": AllScales,
        "NanoDet": lambda: NanoDet(NANODET_SCORE),
        "NanoDet, half its threshold": lambda: NanoDet(NANODET_SCORE / 2),
        "CenterNet": lambda: CenterNet(CENTERNET_SCORE),
        "CenterNet, half its threshold": lambda: CenterNet(CENTERNET_SCORE / 2),
        "BlazePose's detector, tiled": BlazePoseTiles,
        "RTMDet-nano, 320": lambda: RtmDet(rtmdet, 320, RTMDET_SCORE),
        "RTMDet-nano, 320, half its threshold": lambda: RtmDet(rtmdet, 320, RTMDET_SCORE / 2),
        "RTMDet-nano, 640": lambda: RtmDet(rtmdet, 640, RTMDET_SCORE),
    }
    out: dict[str, Finder] = {}
    for name, make in made.items():
        if options.quick and ("half" in name or "640" in name):
            continue
        try:
            out[name] = make()
        except MvcapError as error:
            section.facts.append(f"{name} left out: {error}")
    return out


def covers(found: Found, people: Truth) -> Any:
    """Whether (N, M) a found body is that of a person."""
    if found.hips is None:
        return overlap(found, people) > COVERED
    size = 2 * found.radius[:, None] / people.extent
    return (_hips_off(found, people) < HIPS_OFF) & (size < SIZES) & (size > 1 / SIZES)


def is_nobody(found: Found, people: Truth) -> Any:
    """Whether (N,) a found body lies where no person is."""
    near = overlap(found, people) > APART if found.hips is None else _hips_off(found, people) < HIPS_APART
    return ~near.any(1)


def overlap(found: Found, people: Truth) -> Any:
    """Intersection over union (N, M)."""
    from mvcap.estimators.topdown import box_iou

    return box_iou(np.asarray(found.box, np.float64), np.asarray(people.box, np.float64))


def _hips_off(found: Found, people: Truth) -> Any:
    return np.linalg.norm(found.hips[:, None] - people.hips, axis=-1) / people.extent


def clipped(box: Any, image: Any) -> Any:
    """The parts (N, 4) of boxes that are inside an image."""
    height, width = image.shape[:2]
    return np.clip(box, -0.5, np.tile((width, height), 2) - 0.5)


def padded(image: Any, side: int, grey: int) -> tuple[Any, Any]:
    """The image scaled into a square of a side, and the pixels of the image (4,) that one of the square stands for."""
    from mvcap.estimation.image_pyramid import ImagePyramid

    height, width = image.shape[:2]
    scale = side / max(height, width)
    inside = max(1, round(width * scale)), max(1, round(height * scale))
    square = np.full((side, side, 3), grey, np.uint8)
    square[: inside[1], : inside[0]] = ImagePyramid(image).reduced(inside)
    return square, np.tile((width / inside[0], height / inside[1]), 2)


def bgr_batch(square: Any) -> Any:
    """A batch (1, 3, S, S) of an RGB square, as NanoDet and RTMDet were trained with."""
    return (((square[..., ::-1] - _MEAN_BGR) / _STD_BGR).transpose(2, 0, 1)[None]).astype(np.float32)


def distinct(box: Any, score: Any) -> Any:
    """Rows of the boxes that overlap with no better one by more than 0.6, the best first (NanoDet's own value)."""
    from mvcap.estimators.topdown import box_iou

    kept: list[int] = []
    for row in np.argsort(-score, kind="stable").tolist():
        if not kept or box_iou(box[[row]], box[kept]).max() < _SAME:
            kept.append(row)
    return np.array(kept, np.int64)


class MultiPoseAt:
    """MoveNet MultiPose over the whole image at one scale."""

    def __init__(self, side: int) -> None:
        from mvcap.estimation.converted_networks import converted_network
        from mvcap.estimation.movenet_networks import MultiPose

        self._net, self._side = MultiPose(converted_network("movenet-multipose"), 1, "cpu"), side

    def __call__(self, image: Any) -> Found:
        """Return the bodies in an RGB image."""
        from mvcap.estimation.image_pyramid import ImagePyramid

        return Found(clipped(self._net(ImagePyramid(image), self._side, MOVENET_SCORE).box, image))


class AllScales:
    """MoveNet MultiPose as the estimator `people` searches the first image of a view."""

    def __init__(self) -> None:
        from mvcap.estimation.body_finder import BodyFinder
        from mvcap.estimation.converted_networks import converted_network
        from mvcap.estimators.people import PeopleConfig

        self._how = PeopleConfig()
        self._finder = BodyFinder(converted_network("movenet-multipose"), self._how.detector_threshold, 1, "cpu")

    def __call__(self, image: Any) -> Found:
        """Return the bodies in an RGB image."""
        from mvcap.estimation.body_finder import search_scales
        from mvcap.estimation.image_pyramid import ImagePyramid

        pyramid = ImagePyramid(image)
        return Found(clipped(self._finder(pyramid, search_scales(pyramid.size, self._how.smallest)).box, image))


class NanoDet:
    """NanoDet of 416 px, with three strides."""

    def __init__(self, threshold: float) -> None:
        from mvcap.estimation.converted_networks import converted_network
        from mvcap.estimation.onnx_network import OnnxNetwork

        self._net, self._threshold = OnnxNetwork(converted_network("nanodet"), 1, "cpu"), threshold

    def __call__(self, image: Any) -> Found:
        """Return the bodies in an RGB image."""
        square, stretch = padded(image, NANODET_PX, 0)
        box, score = nanodet_boxes(self._net(bgr_batch(square)), self._threshold)
        return Found(clipped(box[distinct(box, score)] * stretch - 0.5, image))


def nanodet_boxes(outputs: list[Any], threshold: float) -> tuple[Any, Any]:
    """Boxes (N, 4) px of the square and scores (N,) of people from NanoDet's outputs.

    Of each stride, scores (1, S * S, 80) of COCO's classes, person first, and (1, S * S, 44): logits over 0..10 strides
    from a cell's centre to each of the box's sides (generalised focal loss).
    """
    boxes, scores = [], []
    by_size = [sorted((one for one in outputs if one.shape[-1] == width), key=lambda one: -one.shape[1])
               for width in (80, 44)]  # fmt: skip
    for cells, logits, stride in zip(*by_size, _STRIDES, strict=True):
        sure = cells[0, :, 0] > threshold
        side = round(np.sqrt(cells.shape[1]))
        y, x = np.divmod(np.flatnonzero(sure), side)
        share = np.exp(logits[0, sure].reshape(-1, 4, 11).astype(np.float64))
        reach = (share * np.arange(11)).sum(-1) / share.sum(-1) * (-1, -1, 1, 1)
        boxes.append((np.stack([x, y, x, y], -1) + 0.5 + reach) * stride)
        scores.append(cells[0, sure, 0])
    return np.concatenate(boxes), np.concatenate(scores)


class CenterNet:
    """CenterNet with MobileNet, of 512 px."""

    def __init__(self, threshold: float) -> None:
        from mvcap.estimation.converted_networks import converted_network
        from mvcap.estimation.onnx_network import OnnxNetwork

        self._net, self._threshold = OnnxNetwork(converted_network("centernet"), 1, "cpu"), threshold

    def __call__(self, image: Any) -> Found:
        """Return the bodies in an RGB image."""
        square, stretch = padded(image, CENTERNET_PX, 0)
        rows = next(one[0] for one in self._net(square[None].astype(np.float32)) if one.shape[-1] == 6)
        rows = rows[(rows[:, 5] == 0) & (rows[:, 4] > self._threshold)].astype(np.float64)
        return Found(clipped(rows[distinct(rows[:, :4], rows[:, 4]), :4] * stretch - 0.5, image))


class RtmDet:
    """RTMDet-nano, exported with its own suppression of copies."""

    def __init__(self, path: Path, side: int, threshold: float) -> None:
        from mvcap.errors import AssetError
        from mvcap.estimation.onnx_network import OnnxNetwork

        if not path.is_file():
            raise AssetError(f"no file {path}; give --data FOLDER or set MVCAP_DATA")
        self._net, self._side, self._threshold = OnnxNetwork(path, 1, "cpu"), side, threshold

    def __call__(self, image: Any) -> Found:
        """Return the bodies in an RGB image."""
        square, stretch = padded(image, self._side, 114)
        outputs = self._net(bgr_batch(square))
        rows = next(one[0] for one in outputs if one.ndim == 3)
        label = next(one[0] for one in outputs if one.ndim == 2)
        rows = rows[(label == 0) & (rows[:, 4] > self._threshold)].astype(np.float64)
        return Found(clipped(rows[:, :4] * stretch - 0.5, image))


class BlazePoseTiles:
    """BlazePose's detector over tiles, as the estimator `blazepose` uses it: hips and a radius, no box."""

    def __init__(self) -> None:
        from mvcap import assets
        from mvcap.estimation.blazepose_networks import BlazePoseDetector

        self._net = BlazePoseDetector(assets.path("blazepose-detector"), BLAZEPOSE_SCORE)

    def __call__(self, image: Any) -> Found:
        """Return the bodies in an RGB image."""
        crop = self._net(image)
        radius = np.hypot(*(crop[:, 2:] - crop[:, :2]).T)
        around = np.concatenate([crop[:, :2] - radius[:, None], crop[:, :2] + radius[:, None]], 1)
        return Found(around, crop[:, :2], radius)
