"""Checks that coordinates of a file are pixels of the view's images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.contracts import View

_BODY_JOINTS = 5
LARGEST_SHARE = 2.0
"""Shares of the image are 0 to 1 or -1 to 1, for joints beyond the edge a little more; no body is 2 px large."""
_TINY_PX = 16
_SAME_SIZE = 0.02  # of the size; encoders pad images by a few pixels
_MARGIN = 1.1


class PixelCheck:
    """Gathers the coordinates of a view, part by part, and refuses those that are shares of the image."""

    def __init__(self, size: tuple[int, int]) -> None:
        """size: width and height px of the images, (0, 0) if unknown."""
        self._size = size
        self._low = np.full(2, np.inf)
        self._high = np.full(2, -np.inf)
        self._bodies = 0

    def add(self, xy: NDArray[np.floating], score: NDArray[np.floating]) -> None:
        """Add joints xy (M, J, 2) and scores (M, J), 0 where missing."""
        known = score > 0
        if not known.any():
            return
        points = xy[known]
        self._low = np.minimum(self._low, points.min(0))
        self._high = np.maximum(self._high, points.max(0))
        if self._high.max() <= LARGEST_SHARE:  # else it is decided
            spread = np.where(known[..., None], xy, -np.inf).max(1) > np.where(known[..., None], xy, np.inf).min(1)
            self._bodies += int(((known.sum(-1) >= _BODY_JOINTS) & spread.any(-1)).sum())

    def finish(self, where: Path | str) -> None:
        """Raise InputError if all coordinates are shares of the image: no body can be so small in so large an image.

        An image of up to 16 px, and joints that are nowhere a body, are not decided.
        """
        farthest = max(*np.abs(self._low), *np.abs(self._high))
        if not self._bodies or farthest > LARGEST_SHARE or 0 < max(self._size) <= _TINY_PX:
            return
        width, height = self._size
        raise InputError(
            f"{where}: coordinates are not pixels but shares of the image: x is {self._low[0]:.3g} to "
            f"{self._high[0]:.3g} and y {self._low[1]:.3g} to {self._high[1]:.3g}"
            f"{f' where images are {width} x {height} px' if width else ''}; write them in pixels "
            "(OpenPose: --keypoint_scale 0)"
        )


def check_pixels(
    xy: NDArray[np.floating], score: NDArray[np.floating], size: tuple[int, int], where: Path | str
) -> None:
    """Raise InputError if joints xy (M, J, 2) with scores (M, J) are shares of images of ``size`` (w, h), not px."""
    check = PixelCheck(size)
    check.add(xy, score)
    check.finish(where)


def check_image_size(sizes: Iterable[tuple[Any, Any]], xy: NDArray[np.floating], view: View, where: Path) -> None:
    """Raise InputError if a file states that its images have another size than the view's.

    sizes: width and height px of its images; those that are 0 or that the joints xy (M, J, 2) exceed are not believed.
    """
    farthest = np.nanmax(np.abs(xy).reshape(-1, 2), axis=0) if np.isfinite(xy).any() else np.zeros(2)
    for width, height in sizes:
        stated, real = np.array([width, height], float), np.array(view.size, float)
        if min(*stated, *real) <= 0 or (farthest > _MARGIN * stated).any():
            continue
        if (np.abs(stated / real - 1) > _SAME_SIZE).any():
            raise InputError(
                f"{where}: coordinates are of images of {width} x {height} px, but view {view.name} has "
                f"{view.size[0]} x {view.size[1]}; scale them, or make them from the view's own images"
            )
