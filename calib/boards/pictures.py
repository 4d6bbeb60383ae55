"""What is printed on a calibration board: black shapes in metres, and exact images of them.

Everything on a board consists of upright rectangles, so a board is a grid of unequal cells that are black or white.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from calib.boards.spec import AprilGrid, Board, BoardSet, Charuco, Chessboard, Tags

_SAME_M = 1e-9  # edges closer than this are one
_ROWS = 256
_KALIBR_BORDER = 2  # black bits round a tag of a grid; single tags and OpenCV's boards have one

Stroke = tuple[float, float, float, float, bool]
"""Left, top, right, bottom in metres, and whether it is black; later ones lie on top."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """The black cells of one flat board: dark (R, C) between x (C + 1,) and y (R + 1,) m, in the frame of its target.

    x goes right and y down as printed; everything else is white.
    """

    x: Floats
    y: Floats
    dark: Bools

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height."""
        return float(self.x[-1] - self.x[0]), float(self.y[-1] - self.y[0])

    def rectangles(self) -> Floats:
        """Black rectangles (B, 4) as left, top, right, bottom in metres; they do not overlap."""
        begun: dict[tuple[int, int], int] = {}
        found = []
        for row in range(len(self.dark) + 1):
            runs = set(_runs(self.dark[row])) if row < len(self.dark) else set()
            ended = begun.keys() - runs
            found += [(self.x[run[0]], self.y[begun.pop(run)], self.x[run[1]], self.y[row]) for run in ended]
            begun |= dict.fromkeys(runs - begun.keys(), row)
        return np.array(sorted(found, key=lambda one: (one[1], one[0])), np.float64).reshape(-1, 4)

    def picture(self, pixel_m: float, margin_m: float = 0.0) -> NDArray[np.uint8]:
        """The board as grey values (H, W), 0 black and 255 white, each the mean over its pixel.

        The top left corner of the image is margin_m left of and above the board's; the margin at the right and below is
        at least as large.
        """
        down, across = (_overlap(edges, pixel_m, margin_m) for edges in (self.y, self.x))
        cells, out = self.dark @ across.T, np.empty((len(down), len(across)), np.uint8)
        for top in range(0, len(out), _ROWS):  # a large sheet as floats would fill the memory
            out[top : top + _ROWS] = np.rint(255 * (1 - down[top : top + _ROWS] @ cells)).clip(0, 255)
        return out


def drawings(board: Board) -> tuple[Drawing, ...]:
    """What is printed on each piece of a board, in the order of its target's pieces."""
    if isinstance(board, BoardSet):
        return tuple(drawing for one in board.boards for drawing in drawings(one))
    if isinstance(board, Tags):
        side = board.tag_m
        return tuple(draw_strokes(_marker(board.dictionary, name, (0.0, 0.0, side, side))) for name in board.ids)
    if isinstance(board, Chessboard):
        return (draw_strokes(_chessboard(board)),)
    return (draw_strokes(_charuco(board) if isinstance(board, Charuco) else _april_grid(board)),)


def _chessboard(board: Chessboard) -> Iterator[Stroke]:
    """The top left square is black; its lower right corner is the origin."""
    side = board.square_m
    for row, column in np.ndindex(board.rows + 1, board.columns + 1):
        yield ((column - 1) * side, (row - 1) * side, column * side, row * side, (row + column) % 2 == 0)


def _charuco(board: Charuco) -> Iterator[Stroke]:
    """Markers in the white squares, row by row, as OpenCV lays them: a legacy board of even rows begins with one."""
    first = 1 if board.legacy and board.rows % 2 == 0 else 0
    side, edge, ids = board.square_m, 0.5 * (board.square_m - board.marker_m), iter(board.ids)
    for row, column in np.ndindex(board.rows, board.columns):
        left, top = column * side, row * side
        black = (row + column) % 2 == first
        yield (left, top, left + side, top + side, black != board.inverted)
        if not black:
            place = (left + edge, top + edge, left + side - edge, top + side - edge)
            yield from _marker(board.dictionary, next(ids), place, inverted=board.inverted)


def _april_grid(board: AprilGrid) -> Iterator[Stroke]:
    """Tags as Kalibr prints them, half a turn from OpenCV's, and black squares between the corners of four tags."""
    gap, step = board.gap_m, board.tag_m + board.gap_m
    for row, column in np.ndindex(board.rows + 1, board.columns + 1):
        yield (column * step, row * step, column * step + gap, row * step + gap, True)
    for name, corners in zip(board.ids, board.target.points.reshape(-1, 4, 3), strict=True):
        (left, top, _), (right, bottom, _) = corners.min(0), corners.max(0)
        yield from _marker(board.dictionary, name, (right, bottom, left, top), border=_KALIBR_BORDER)


def _marker(
    dictionary: str, name: int, place: tuple[float, float, float, float], *, inverted: bool = False, border: int = 1
) -> Iterator[Stroke]:
    """A marker whose black edge fills a place (left, top, right, bottom) m; right and bottom first: half a turn."""
    left, top, right, bottom = place
    bits = np.pad(_bits(dictionary, name), border)
    yield (left, top, right, bottom, not inverted)
    wide, high = (right - left) / bits.shape[1], (bottom - top) / bits.shape[0]
    for row, column in np.argwhere(bits):
        x, y = left + column * wide, top + row * high
        yield (x, y, x + wide, y + high, inverted)


@cache
def _bits(dictionary: str, name: int) -> NDArray[np.bool_]:
    """White bits (B, B) of a marker, without its black edge."""
    import cv2

    known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    return np.asarray(known.generateImageMarker(name, known.markerSize + 2)[1:-1, 1:-1] > 0)


def draw_strokes(strokes: Iterable[Stroke]) -> Drawing:
    """The drawing of one or more strokes, drawn in order; everything else is white."""
    table = list(strokes)
    places = np.array([stroke[:4] for stroke in table])
    x, y = _edges(places[:, [0, 2]]), _edges(places[:, [1, 3]])
    dark = np.zeros((len(y) - 1, len(x) - 1), bool)
    columns, rows = (np.abs(places[:, at, None] - edges).argmin(-1) for at, edges in (([0, 2], x), ([1, 3], y)))
    for (left, right), (top, bottom), stroke in zip(np.sort(columns), np.sort(rows), table, strict=True):
        dark[top:bottom, left:right] = stroke[4]
    return Drawing(x, y, dark)


def _edges(places: Floats) -> Floats:
    """Distinct values in order."""
    values = np.sort(places, axis=None)
    return np.asarray(values[np.append(True, np.diff(values) > _SAME_M)])


def _runs(row: Bools) -> list[tuple[int, int]]:
    """Start and stop of each run of black cells."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]])))
    return [(int(start), int(stop)) for start, stop in turns.reshape(-1, 2)]


def _overlap(edges: Floats, pixel_m: float, margin_m: float) -> Floats:
    """Share (P, R) of each pixel that each cell between edges (R + 1,) covers."""
    count = int(np.ceil(round((edges[-1] - edges[0] + 2 * margin_m) / pixel_m, 6)))
    place = (edges - edges[0] + margin_m) / pixel_m
    pixel = np.arange(count)[:, None]
    return np.asarray((np.minimum(place[1:], pixel + 1) - np.maximum(place[:-1], pixel)).clip(0, 1))
