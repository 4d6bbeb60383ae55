"""Single tags: four corners each, black on white, found where their straight edges meet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.boards.kinds import DICTIONARIES, Tags
from calib.detectors.corners import Surroundings
from calib.detectors.markers import Markers
from calib.detectors.plane import corners_on
from calib.detectors.sighting import Sighting, refused_sighting

_ALONG = 0.5  # of a tag's side, the part of its edge that belongs to one corner
_MARGIN = 1.0  # of a bit: the white margin that is assumed around a tag
_WAYS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # positions of a tag's corners in it, x right and y down


def surroundings(board: Tags, border: int) -> Surroundings:
    """The surroundings of the four corners of a tag whose black border is `border` bits wide."""
    bit = board.tag_m / (DICTIONARIES[board.dictionary][0] + 2 * border)
    reach, plain, side = np.full((4, 2, 2), _MARGIN * bit), np.full((4, 2, 2), np.inf), np.empty((4, 2))
    for corner, far in enumerate(_WAYS):
        for axis in range(2):
            reach[corner, axis, 0 if far[axis] else 1] = _ALONG * board.tag_m
            side[corner, axis] = -1.0 if far[axis] else 1.0
        plain[corner, 0 if far[0] else 1, 0 if far[1] else 1] = border * bit
    return Surroundings(reach, plain, np.ones(4, bool), side, -np.ones(4))


@dataclass(frozen=True)
class TagsDetector:
    """Finds single tags, each independently of the others."""

    board: Tags

    @cached_property
    def _points(self) -> NDArray[np.float64]:
        return self.board.target.points[:4, :2]

    def find(self, image: NDArray[Any], markers: Markers, border: int) -> Sighting:
        """The tags in a grey image (H, W) among those read there, whose border is `border` bits wide."""
        count = len(self.board.target)
        xy, sigma = np.full((count, 2), np.nan), np.full(count, np.nan)
        markers = markers.of(self.board.ids)
        why, variant, mirrored = "none of the tags is seen", set(), []
        for one in range(len(markers.ids)):
            if (markers.ids == markers.ids[one]).sum() > 1:
                why = f"tag {markers.ids[one]} is seen more than once"
                continue
            around = surroundings(self.board, border)
            found = corners_on(image, self._points, around, self.board.tag_m, self._points, markers.xy[one])
            if found.reason is not None:
                why = f"tag {markers.ids[one]}: {found.reason}"
                continue
            row = 4 * self.board.ids.index(int(markers.ids[one]))
            xy[row : row + 4], sigma[row : row + 4] = found.xy, found.sigma
            mirrored.append(bool(markers.mirrored[one]))
            variant |= {"inverted"} if found.polarity < 0 else set()
        if not mirrored:
            return refused_sighting(count, why)
        return Sighting(xy, sigma, None, all(mirrored), ", ".join(variant))
