"""Search of an image for people of all sizes with MoveNet MultiPose, a part of the work at a time.

MultiPose finds bodies of about 45 to 250 px in its input (measured on PARSE's photographs and on 4K pictures), and six
at most. So the image is searched at several scales, each twice as fine as the one before, as far down as the smallest
people that are wanted; where six are found, overlapping halves of the image are searched too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.estimation.movenet_networks import Bodies, MultiPose

_COARSEST_PX = 256
_BODY_PX = 45
_ENLARGED = 1.5  # no detail is gained by enlarging an image more than this
_ROOM, _CLOSE_PX, _CLOSE_SCALES = 1.2, 160, (128, 512)
_MOST, _HALVINGS, _OVERLAP = 6, 2, 0.6
SAME_BODY = 0.35
"""Distance of two bodies as a share of the larger one's extent, below which they are one: see ``body_distance``."""


def search_scales(size: tuple[int, int], smallest: float) -> tuple[int, ...]:
    """Return the long sides, px, at which an image of a size (width, height) is searched, the coarsest first.

    smallest: height of the smallest people that are wanted, as a share of the image's longer side.
    """
    longest = min(_BODY_PX / smallest, _ENLARGED * max(size))
    scales = [_COARSEST_PX]
    while scales[-1] < longest:
        scales.append(int(min(2 * scales[-1], np.ceil(longest / 32) * 32)))
    return tuple(scales)


def scales_of_search(number: int, scales: tuple[int, ...]) -> tuple[int, ...]:
    """Return the scales of the n-th search of a view: all of them in the first, then one at a time.

    A scale takes its turn half as often as the next coarser one, since its cost is four times as high.
    """
    if number == 0:
        return scales
    level = (number & -number).bit_length() - 1  # trailing zero bits: 0 in every second number, 1 in every fourth ...
    return (scales[min(level, len(scales) - 1)],)


class BodyFinder:
    """People anywhere in an image."""

    def __init__(self, model: Path, threshold: float, threads: int, device: str) -> None:
        self._net = MultiPose(model, threads, device)
        self._threshold = threshold

    def __call__(self, image: ImagePyramid, scales: tuple[int, ...]) -> Bodies:
        """Return the bodies in an RGB image at these scales (long sides, px), each once."""
        found = [self._at(image, scale, _HALVINGS) for scale in scales]
        return distinct(_joined(found))

    def among(self, image: ImagePyramid, people: NDArray[np.floating]) -> Bodies:
        """Return the bodies in the part of an image around people (N, 17, 2) px who are close together."""
        low, high = people.min((0, 1)), people.max((0, 1))
        side = _ROOM * float((high - low).max())
        width, height = image.size
        corner = np.clip(np.floor((low + high - side) / 2), 0, (width - 1, height - 1)).astype(int)
        far = np.clip(np.ceil((low + high + side) / 2), corner + 1, (width, height)).astype(int)
        part = ImagePyramid(image.levels[0][corner[1] : far[1], corner[0] : far[0]])
        scale = _CLOSE_PX / max(float(body_extent(people).max()), 1.0) * max(part.size)
        found = self._net(part, int(np.clip(scale, *_CLOSE_SCALES)), self._threshold)
        return Bodies(found.xy + corner, found.joint_score, found.box + np.tile(corner, 2), found.score)

    def _at(self, image: ImagePyramid, scale: int, halvings: int) -> Bodies:
        bodies = self._net(image, scale, self._threshold)
        if len(bodies) < _MOST or not halvings:
            return bodies
        width, height = image.size
        whole = image.levels[0]
        along_x = width >= height
        long = max(width, height)
        half = max(2, round(_OVERLAP * long))
        parts = [bodies]
        for start in (0, long - half):
            cut = ImagePyramid(whole[:, start : start + half] if along_x else whole[start : start + half])
            share = max(cut.size) / long
            inside = self._at(cut, max(_COARSEST_PX // 2, round(scale * share)), halvings - 1)
            shift = np.array([start, 0] if along_x else [0, start])
            parts.append(Bodies(inside.xy + shift, inside.joint_score, inside.box + np.tile(shift, 2), inside.score))
        return distinct(_joined(parts))


def _joined(parts: list[Bodies]) -> Bodies:
    columns = [[getattr(part, name) for part in parts] for name in ("xy", "joint_score", "box", "score")]
    return Bodies(*(np.concatenate(values) for values in columns))


def distinct(bodies: Bodies) -> Bodies:
    """Return bodies without copies, by descending score; of copies the one with the highest score stays."""
    kept: list[int] = []
    for row in np.argsort(-bodies.score, kind="stable").tolist():
        if not kept or body_distance(bodies.xy[row], bodies.xy[kept]).min() > SAME_BODY:
            kept.append(row)
    return bodies[np.array(kept, np.int64)]


def body_extent(xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the longer side (...,) px of the boxes around joints (..., J, 2)."""
    return np.asarray((xy.max(-2) - xy.min(-2)).max(-1), np.float64)


def body_distance(xy: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the distance (N,) of a body (J, 2) from others (N, J, 2): median over the joints, in thirds of an extent.

    The unit is a third of the extent of the larger body, about the length of a limb.
    """
    apart = np.median(np.linalg.norm(others - xy, axis=-1), axis=-1)
    unit = np.maximum(np.maximum(body_extent(others), body_extent(xy)) / 3, 1.0)
    return np.asarray(apart / unit, np.float64)
