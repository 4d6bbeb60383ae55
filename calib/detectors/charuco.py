"""ChArUco boards: the markers identify the corners of the squares, which are then measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.boards.kinds import Charuco
from calib.detectors.corners import Surroundings
from calib.detectors.markers import Markers
from calib.detectors.plane import corners_in_plane, corners_on
from calib.detectors.sighting import Sighting, refused_sighting

_REACH = 0.6  # of a square: the edges continue, but the rest belongs to the next corner
_TOLERANCE = 0.35  # of a marker's side, largest distance of its corners from the others' plane


def marker_corners(board: Charuco) -> Floats:
    """Corners (K, 4, 2) m of the board's markers in the order of `board.ids`: top left, then clockwise."""
    first = 0 if not board.legacy or board.rows % 2 else 1
    squares = [(x, y) for y in range(board.rows) for x in range(board.columns) if (x + y + first) % 2]
    gap = (board.square_m - board.marker_m) / 2
    corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * board.marker_m + gap
    return np.asarray(np.array(squares, np.float64)[:, None] * board.square_m + corners)


def surroundings(board: Charuco) -> Surroundings:
    """The surroundings of the inner corners: uniform squares, and markers in every second one."""
    x, y = np.meshgrid(np.arange(board.columns - 1), np.arange(board.rows - 1))
    first = 0 if not board.legacy or board.rows % 2 else 1
    dark = ((x + y + first) % 2 == 0).ravel()  # the square right and down of the corner
    count = len(dark)
    gap = (board.square_m - board.marker_m) / 2
    same = np.eye(2, dtype=bool)
    marked = np.where(dark[:, None, None], ~same, same)
    sign = np.where(dark, -1.0, 1.0) * (-1.0 if board.inverted else 1.0)
    reach = np.full((count, 2, 2), _REACH * board.square_m)
    return Surroundings(reach, np.where(marked, gap, np.inf), np.zeros(count, bool), np.ones((count, 2)), sign)


@dataclass(frozen=True)
class CharucoDetector:
    """Finds one ChArUco board by its markers, also in the other layout, inverted or seen from behind."""

    board: Charuco

    @cached_property
    def _layouts(self) -> list[tuple[Charuco, Floats, Surroundings]]:
        """The board as described, and in the other layout, which has the same ids where rows are even."""
        boards = [self.board]
        if self.board.rows % 2 == 0:
            boards.append(_other_layout(self.board))
        return [(board, marker_corners(board), surroundings(board)) for board in boards]

    def find(self, image: NDArray[Any], markers: Markers) -> Sighting:
        """The board in a grey image (H, W) with the markers read there."""
        count = len(self.board.target)
        chosen = self._best_layout(markers.of(self.board.ids))
        if chosen is None:
            seen = len(markers.of(self.board.ids).ids)
            why = "no marker of the board is seen" if not seen else "the markers seen do not fit the board's layout"
            return refused_sighting(count, why if seen != 1 else "only one marker of the board is seen")
        (board, corners, around), markers, row = chosen
        known = corners[row].reshape(-1, 2)
        points = self.board.target.points[:, :2]
        found = corners_on(image, points, around, board.square_m, known, markers.xy.reshape(-1, 2))
        if found.reason is not None:
            return refused_sighting(count, found.reason)
        variant = ["other layout"] * (board is not self.board) + ["inverted"] * (found.polarity < 0)
        return Sighting(found.xy, found.sigma, None, bool(markers.mirrored[0]), ", ".join(variant))

    def _best_layout(
        self, markers: Markers
    ) -> tuple[tuple[Charuco, Floats, Surroundings], Markers, NDArray[np.intp]] | None:
        """The layout that most markers fit, these markers, and their rows in it; None for fewer than two."""
        best = None
        for layout in self._layouts:
            ids = np.array(layout[0].ids)
            for side in (False, True):
                mine = markers.at((markers.mirrored == side) & np.isin(markers.ids, ids))
                row = mine.ids - ids[0]
                good = corners_in_plane(mine.xy, layout[1][row], _TOLERANCE)
                if best is None or good.sum() > best[0]:
                    best = int(good.sum()), layout, mine.at(good), row[good]
        return best[1:] if best is not None and best[0] >= 2 else None


def _other_layout(board: Charuco) -> Charuco:
    """The same print in the other layout; it may have one marker more or less."""
    from calib.errors import CalibrationError

    try:
        return replace(board, legacy=not board.legacy)
    except CalibrationError:  # one marker more than the dictionary holds
        return board
