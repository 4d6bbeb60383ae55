"""AprilGrids in Kalibr's layout: with the black squares, every corner of a tag is a crossing of two edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.boards.kinds import DICTIONARIES, AprilGrid
from calib.detectors.corners import Surroundings
from calib.detectors.markers import Markers
from calib.detectors.plane import corners_in_plane, corners_on
from calib.detectors.sighting import Sighting, refused_sighting

_ALONG = 0.5  # of a tag's side, the part of its edge that belongs to one corner
_TOLERANCE = 0.2  # of a tag's side, largest distance of its corners from the others' plane
_WAYS = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])  # positions of a tag's corners in it, x right and y down


def surroundings(board: AprilGrid, border: int) -> Surroundings:
    """The surroundings of the corners of tags whose black border is `border` bits wide."""
    count, bits = len(board.ids), DICTIONARIES[board.dictionary][0]
    reach = np.empty((4, 2, 2))
    plain = np.full((4, 2, 2), np.inf)
    sign = np.empty(4)
    for corner, (right, low) in enumerate(_WAYS):
        # The tag lies towards x > 0 of its left corners and y > 0 of its upper ones.
        for axis, far in enumerate((right, low)):
            reach[corner, axis] = board.gap_m
            reach[corner, axis, 0 if far else 1] = _ALONG * board.tag_m
        plain[corner, 0 if right else 1, 0 if low else 1] = border * board.tag_m / (bits + 2 * border)
        sign[corner] = -1.0 if right == low else 1.0  # black lies on the diagonal that the tag is on
    return Surroundings(
        np.tile(reach, (count, 1, 1)),
        np.tile(plain, (count, 1, 1)),
        np.zeros(4 * count, bool),
        np.ones((4 * count, 2)),
        np.tile(sign, count),
    )


@dataclass(frozen=True)
class AprilGridDetector:
    """Finds one AprilGrid by its tags, in whichever orientation they are printed."""

    board: AprilGrid

    @cached_property
    def _places(self) -> Floats:
        """Corners (K, 4, 2) m of the tags: top left, then clockwise, as printed."""
        return self.board.target.points[:, :2].reshape(-1, 4, 2)[:, [3, 2, 1, 0]]

    def find(self, image: NDArray[Any], markers: Markers, border: int) -> Sighting:
        """The board in a grey image (H, W) with the tags read there, whose border is `border` bits wide."""
        count = len(self.board.target)
        markers = markers.of(self.board.ids)
        least = min(2, len(self.board.ids))
        if len(markers.ids) < least:
            return refused_sighting(
                count, "no tag of the board is seen" if not len(markers.ids) else "only one tag is seen"
            )
        best = None
        for side in (False, True):
            mine = markers.at(markers.mirrored == side)
            for turn in range(4):
                # Kalibr's tags are printed half a turn from OpenCV's; others' may be turned in any way.
                places = np.roll(self._places[mine.ids - self.board.first_id], turn, axis=1)
                good = corners_in_plane(mine.xy, places, _TOLERANCE, least)
                if best is None or good.sum() > best[0]:
                    best = int(good.sum()), mine.at(good), places[good]
        assert best is not None
        if best[0] < least:
            return refused_sighting(count, "the tags seen do not fit the board's layout")
        points, known = self.board.target.points[:, :2], best[2].reshape(-1, 2)
        around = surroundings(self.board, border)
        found = corners_on(image, points, around, self.board.gap_m, known, best[1].xy.reshape(-1, 2))
        if found.reason is not None:
            return refused_sighting(count, found.reason)
        mirrored = bool(best[1].mirrored[0])
        return Sighting(found.xy, found.sigma, None, mirrored, "inverted" if found.polarity < 0 else "")
