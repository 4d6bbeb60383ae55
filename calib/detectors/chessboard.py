"""Chessboards: all inner corners, in the order that the colours of the squares determine, where they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.boards.kinds import Chessboard
from calib.detectors.corners import Surroundings
from calib.detectors.plane import corners_on, plane_map
from calib.detectors.sighting import Sighting, refused_sighting

_REACH = 0.6  # of a square: the edges continue, but the rest belongs to the next corner
_QUICK_PX = 1000  # longer side of the image that is searched first: the search time grows with the area
_KEPT = 0.6  # share of corners that have to be verified: nothing else separates a false board from a covered one
_CROOKED = 0.2  # of a square's side: largest RMS distance of the search's corners from a smooth map


def surroundings(board: Chessboard) -> Surroundings:
    """The surroundings of the inner corners: four uniform squares."""
    x, y = np.meshgrid(np.arange(board.columns), np.arange(board.rows))
    count = x.size
    sign = np.where((x + y).ravel() % 2 == 0, -1.0, 1.0)
    reach = np.full((count, 2, 2), _REACH * board.square_m)
    return Surroundings(reach, np.full((count, 2, 2), np.inf), np.zeros(count, bool), np.ones((count, 2)), sign)


@dataclass(frozen=True)
class ChessboardDetector:
    """Finds one chessboard of which all inner corners are in the image.

    The corners are ordered so that x turns to y clockwise (the board is seen from its front) and the square before the
    first one is black. Where that leaves several orders (`Chessboard.symmetric`), the one whose x axis points most to
    the right in the image is taken: the same in all cameras that stand upright.
    """

    board: Chessboard

    @cached_property
    def _around(self) -> Surroundings:
        return surroundings(self.board)

    def find(self, image: NDArray[Any]) -> Sighting:
        """The board in a grey image (H, W)."""
        board = self.board
        why = f"no chessboard of {board.columns}x{board.rows} inner corners is seen"
        for rough in search_corners(image, board.columns, board.rows):
            tried = self._refine(image, _orient(rough.reshape(board.rows, board.columns, 2)))
            if tried.reason is None:
                return tried
            why = f"false chessboard: {tried.reason}"
        return refused_sighting(len(board.target), why)

    def _refine(self, image: NDArray[Any], grid: Floats) -> Sighting:
        """The detection from rough corners (rows, columns, 2), or why they are no board."""
        board, points, count = self.board, self.board.target.points[:, :2], len(self.board.target)
        fault = self._grid_fault(points, grid.reshape(-1, 2), image.shape)
        if fault:
            return refused_sighting(count, fault)
        if board.columns == board.rows:
            grid = _rightmost([np.rot90(grid, turn) for turn in range(4)])
        found = corners_on(image, points, self._around, board.square_m, points, grid.reshape(-1, 2))
        if found.reason is None and found.polarity < 0:
            grid = self._other_order(grid)
            found = corners_on(image, points, self._around, board.square_m, points, grid.reshape(-1, 2))
        if found.reason is not None:
            return refused_sighting(count, found.reason)
        kept = int(np.isfinite(found.sigma).sum())
        if kept < _KEPT * count:
            return refused_sighting(count, f"only {kept} of its {count} corners are where squares meet")
        return Sighting(found.xy, found.sigma)

    def _other_order(self, grid: Floats) -> Floats:
        """The order for swapped colours; the same where there is none."""
        if self.board.columns == self.board.rows and self.board.columns % 2 == 1:
            return _rightmost([np.rot90(grid, turn) for turn in (1, 3)])
        return grid if self.board.symmetric else np.ascontiguousarray(grid[::-1, ::-1])

    def _grid_fault(self, points: Floats, xy: Floats, shape: tuple[int, ...]) -> str:
        """Why corners (N, 2) are not the image of a flat board; "" if they may be."""
        way = plane_map(points, xy, shape)
        if way is None:
            return "its corners do not lie in a plane"
        side = self.board.square_m * np.linalg.norm(way.axes(points, 0.2 * self.board.square_m), axis=1).min(-1)
        off = np.linalg.norm(way.pixels(points) - xy, axis=-1)
        if np.sqrt((off**2).mean()) < _CROOKED * np.median(side):
            return ""
        worst = int(np.argmax(np.nan_to_num(off, nan=np.inf)))
        x, y = xy[worst]
        return (
            f"its corners form no grid: the one at ({x:.0f}, {y:.0f}) is {off[worst]:.0f} px from "
            f"where the others predict it, with squares of {np.median(side):.0f} px"
        )


def search_corners(image: NDArray[Any], columns: int, rows: int) -> Iterator[Floats]:
    """Rough corners (rows * columns, 2) px of chessboard candidates, one after the other, fast methods first."""
    import cv2

    size = columns, rows
    scale = min(1.0, _QUICK_PX / max(image.shape))
    small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    even = cv2.CALIB_CB_NORMALIZE_IMAGE
    yield from _guess(cv2.findChessboardCornersSB(small, size, flags=even), scale)
    quick = cv2.CALIB_CB_ADAPTIVE_THRESH | even | cv2.CALIB_CB_FAST_CHECK
    yield from _guess(cv2.findChessboardCorners(small, size, flags=quick), scale)
    if scale == 1 and not cv2.checkChessboard(small, size):
        return
    yield from _guess(cv2.findChessboardCorners(image, size, flags=quick), 1.0)
    if cv2.checkChessboard(small, size):
        yield from _guess(cv2.findChessboardCornersSB(image, size, flags=even | cv2.CALIB_CB_EXHAUSTIVE), 1.0)


def _guess(found: tuple[bool, NDArray[Any] | None], scale: float) -> Iterator[Floats]:
    """Corners in pixels of the full image, where there are any."""
    if found[0] and found[1] is not None:
        # A resized image begins half of its own pixel before its first pixel's centre.
        yield (np.asarray(found[1], np.float64).reshape(-1, 2) + 0.5) / scale - 0.5


def _orient(grid: Floats) -> Floats:
    """The grid (rows, columns, 2) as seen from its front, x pointing to the right rather than to the left."""
    across, down = np.diff(grid, axis=1).mean((0, 1)), np.diff(grid, axis=0).mean((0, 1))
    if across[0] * down[1] - across[1] * down[0] < 0:
        grid = grid[::-1]
    return _rightmost([grid, grid[::-1, ::-1]])


def _rightmost(grids: list[Floats]) -> Floats:
    """The grid whose x axis points most to the right."""

    def right(grid: Floats) -> float:
        across = np.diff(grid, axis=1).mean((0, 1))
        return float(across[0] / np.linalg.norm(across))

    return np.ascontiguousarray(max(grids, key=right))
