"""An image at halved sizes, made when needed: crops of any size are read without aliasing and at little cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ImagePyramid:
    """An RGB image (H, W, 3) and its halved versions."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.levels = [image]
        self.size = (image.shape[1], image.shape[0])
        """Width and height of the image, px."""

    def level(self, scale: float) -> int:
        """Return the level from which pixels that are ``scale`` px of the image apart are read; it exists then."""
        import cv2

        wanted = max(0, int(np.floor(np.log2(max(scale, 1e-6)))))
        while len(self.levels) <= wanted and min(self.levels[-1].shape[:2]) > 1:
            self.levels.append(np.asarray(cv2.pyrDown(self.levels[-1]), np.uint8))
        return min(wanted, len(self.levels) - 1)

    def crop(self, image_from_crop: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a crop (h, w, 3) of a size (w, h); black outside the image.

        image_from_crop: (2, 3), the map to px of the image from px of the crop, both 0 at the first pixel's centre.
        """
        import cv2

        level = self.level(float(np.hypot(*image_from_crop[:, 0])))
        # pyrDown keeps the centre of the first pixel in place: coordinates at level l are px of the image / 2^l.
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(self.levels[level], image_from_crop / 2**level, size, flags=flags), np.uint8)

    def reduced(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the whole image scaled to a size (w, h), edge to edge."""
        import cv2

        level = self.level(max(min(self.size[0] / size[0], self.size[1] / size[1]) / 1.5, 1.0))
        source = self.levels[level]
        how = cv2.INTER_AREA if source.shape[1] > size[0] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(source, size, interpolation=how), np.uint8)
