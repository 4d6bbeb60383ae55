"""Recognises which board images show where the described one is not found in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.boards.kinds import DICTIONARIES, AprilGrid, Board, BoardSet, Charuco, Chessboard, Single, Tags
from calib.detectors.charuco import marker_corners
from calib.detectors.markers import Markers, grey_of, on_edges
from calib.errors import CalibrationError

_PICTURES = 4  # images that are searched, evenly spaced
_LONGEST_PX = 1000  # longer side of the images that are searched
_LARGEST = 16  # most columns or rows that are tried
_AGREE = 5  # least markers that fit a board's layout
# The largest of each family contains the smaller ones; those of few bits come last, as they give false positives.
_FAMILIES = (
    "DICT_APRILTAG_36h11", "DICT_ARUCO_MIP_36h12", "DICT_7X7_1000", "DICT_6X6_1000", "DICT_5X5_1000",
    "DICT_APRILTAG_25h9", "DICT_ARUCO_ORIGINAL", "DICT_4X4_1000", "DICT_APRILTAG_16h5",
)  # fmt: skip


def looks_like(images: Sequence[NDArray[np.uint8]], board: Board) -> str | None:
    """A sentence on the board that images (grey or RGB) seem to show instead of `board`, with its text; or None.

    Images do not show lengths: those of `board` are assumed. A board that explains as many of the markers as any other
    is not contradicted: of a board that is partly seen, smaller ones explain as many.
    """
    rows = sorted({int(row) for row in np.linspace(0, len(images) - 1, _PICTURES)}) if len(images) else []
    greys = [_downscale(grey_of(images[row])) for row in rows]
    singles = board.boards if isinstance(board, BoardSet) else (board,)
    if any(_shows_chessboard(greys, single) for single in singles if isinstance(single, Chessboard)):
        return None
    best = _by_markers(greys)
    guess = (None if best is None else _board_of(best, board)) or _as_chessboard(greys, board)
    if guess is None or guess in singles or (best is not None and _explains(greys, singles, best)):
        return None
    return f"the images seem to show {guess.spec}{_difference(guess, singles[0])}, not {board.spec}"


def _downscale(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    scale = min(1.0, _LONGEST_PX / max(image.shape))
    return (
        image if scale == 1 else np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    )


def _difference(guess: Single, board: Single) -> str:
    if isinstance(guess, Tags) or isinstance(board, Tags) or type(guess) is not type(board):
        return ""
    if (guess.columns, guess.rows) == (board.rows, board.columns):
        return " (columns and rows swapped)"
    if not isinstance(guess, Chessboard) and (guess.columns, guess.rows) == (board.columns, board.rows):
        other = not isinstance(board, Chessboard) and guess.dictionary != board.dictionary
        return " (of another dictionary)" if other else " (markers of another size)"
    return " (with the given lengths, as images do not show them)"


@dataclass(frozen=True, eq=False)
class _Layout:
    """A board layout that fits markers, how many of them, and their size over the repeating unit."""

    kind: str
    columns: int
    rows: int
    legacy: bool
    agree: int
    part: float


@dataclass(frozen=True, eq=False)
class _Guess:
    """Markers of a family of dictionaries: their layout, and the ids that are seen often."""

    family: str
    layout: _Layout | None
    ids: list[int]


def _by_markers(greys: Sequence[NDArray[np.uint8]]) -> _Guess | None:
    """The layout that most markers of any dictionary fit; mirrored only where none fits as seen from the front."""
    best = _best_family(greys)
    if best is None or best.layout is None:
        behind = _best_family([np.ascontiguousarray(grey[:, ::-1]) for grey in greys])
        best = behind if behind is not None and behind.layout is not None else best
    return best


def _explains(greys: Sequence[NDArray[np.uint8]], singles: Sequence[Single], guess: _Guess) -> bool:
    """Whether boards explain as many markers in an image, from the front or from behind, as the guess."""
    wanted = len(guess.ids) if guess.layout is None else guess.layout.agree
    most = 0
    for image in (turned for grey in greys for turned in (grey, np.ascontiguousarray(grey[:, ::-1]))):
        most = max(most, sum(_agreeing(image, single) for single in singles if not isinstance(single, Chessboard)))
        if most >= wanted:
            return True
    return False


def _agreeing(grey: NDArray[np.uint8], board: Charuco | AprilGrid | Tags) -> int:
    """Number of markers in an image that fit the layout of a board."""
    most = 0
    for border in (1, 2):
        markers = _read(grey, board.dictionary, border)
        markers = markers.of(board.ids)
        if isinstance(board, Tags):
            most = max(most, len(markers.ids))
        elif len(markers.ids) >= _AGREE:
            row = markers.ids - board.ids[0]
            most = max(most, *(_fit_layout(markers.xy, places[row])[0] for places in _unit_places(board)))
    return most


def _unit_places(board: Charuco | AprilGrid) -> list[Floats]:
    """Corners (K, 4, 2) of a board's markers, in its repeating units, in each layout that the print may have."""
    if isinstance(board, AprilGrid):
        made = _places("aprilgrid", board.columns, 0, board.columns * board.rows - 1)
        return [] if made is None else [made[0]]
    kinds = (False, True) if board.rows % 2 == 0 else (False,)
    every = [Charuco(board.columns, board.rows, 1.0, 0.999999, "DICT_7X7_1000", legacy=legacy) for legacy in kinds]
    return [corners for corners in map(marker_corners, every) if len(corners) >= len(board.ids)]


def _shows_chessboard(greys: Sequence[NDArray[np.uint8]], board: Chessboard) -> bool:
    """Whether an image shows exactly this chessboard."""
    import cv2

    flags = cv2.CALIB_CB_NORMALIZE_IMAGE
    size = (board.columns, board.rows)
    return any(cv2.findChessboardCornersSB(grey, size, None, flags)[0] for grey in greys)


def _best_family(greys: Sequence[NDArray[np.uint8]]) -> _Guess | None:
    best, score = None, 0
    for family, border in ((name, border) for name in _FAMILIES for border in (1, 2)):
        if border == 2 and "APRILTAG" not in family:
            continue
        seen = [markers for markers in (_read(grey, family, border) for grey in greys) if len(markers.ids)]
        if not seen:
            continue
        largest = int(max(markers.ids.max() for markers in seen))
        layouts = [one for one in (_layout(markers, largest) for markers in seen) if one is not None]
        layout = max(layouts, key=lambda one: one.agree, default=None)
        ids = [int(one) for one in np.unique(np.concatenate([markers.ids for markers in seen]))]
        often = [one for one in ids if 2 * sum(one in markers.ids for markers in seen) >= len(greys)]
        agreement = 10 * layout.agree if layout is not None else len(often)
        if agreement > score:
            best, score = _Guess(family, layout, often), agreement
    return best


def _read(grey: NDArray[np.uint8], family: str, border: int) -> Markers:
    """Markers of a whole dictionary in an image, read without error correction to avoid false positives."""
    from cv2 import aruco

    parameters = aruco.DetectorParameters()
    parameters.markerBorderBits, parameters.detectInvertedMarker = border, True
    parameters.errorCorrectionRate = 0.0
    parameters.minMarkerPerimeterRate = 0.05
    detector = aruco.ArucoDetector(aruco.getPredefinedDictionary(getattr(aruco, family)), parameters)
    quads, ids, _ = detector.detectMarkers(grey)
    known = np.zeros(0, np.intp) if ids is None else np.asarray(ids, np.intp).ravel()
    xy = np.asarray(quads, np.float64).reshape(-1, 4, 2)[: len(known)]
    return Markers(known, on_edges(grey, xy, DICTIONARIES[family][0] + 2 * border), np.zeros(len(known), bool))


def _layout(markers: Markers, largest: int) -> _Layout | None:
    """The smallest board with ids up to `largest` whose layout the markers fit; None where too few do."""
    best: _Layout | None = None
    if len(markers.ids) < _AGREE:
        return None
    for kind, columns, first in product(("charuco", "aprilgrid"), range(1, _LARGEST + 1), (0, 1)):
        made = _places(kind, columns, first, largest)
        if made is None or made[1] > _LARGEST:
            continue
        agree, part = _fit_layout(markers.xy, made[0][markers.ids])
        if agree >= _AGREE and (best is None or agree > best.agree):
            best = _Layout(kind, columns, made[1], first == 1, agree, part)
    return best


def _places(kind: str, columns: int, first: int, largest: int) -> tuple[Floats, int] | None:
    """Corners (K, 4, 2) of markers of the size of the repeating unit, 1, and the rows that ids up to `largest` need."""
    if kind == "aprilgrid":
        if first:
            return None
        rows = largest // columns + 1
        grid = np.stack(np.meshgrid(np.arange(columns), -np.arange(rows)), -1).reshape(-1, 1, 2)
        return grid + np.array([[1.0, 1], [0, 1], [0, 0], [1, 0]]), rows
    if columns < 3:
        return None
    for rows in range(3, _LARGEST + 1):
        if first and rows % 2:
            continue
        corners = marker_corners(Charuco(columns, rows, 1.0, 0.999999, "DICT_7X7_1000", legacy=first == 1))
        if len(corners) > largest:
            return corners, rows
    return None


def _fit_layout(xy: Floats, places: Floats) -> tuple[int, float]:
    """Number of markers (M, 4, 2) px that fit their places as squares of one size, and that size.

    The homography comes from their centres and is independent of their size; a wrong layout shears them.
    """
    import cv2

    cv2.setRNGSeed(0)
    side = float(np.linalg.norm(np.diff(xy, axis=1), axis=-1).mean())
    homography, inlier = cv2.findHomography(places.mean(1), xy.mean(1), cv2.RANSAC, 0.2 * side)
    if homography is None or inlier.sum() < _AGREE or abs(np.linalg.det(homography)) < 1e-12:
        return 0, 1.0
    back = cv2.perspectiveTransform(xy.reshape(-1, 1, 2), np.linalg.inv(homography)).reshape(xy.shape)
    back = back[inlier.ravel() > 0] - back[inlier.ravel() > 0].mean(1, keepdims=True)
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    best = 0, 1.0
    for turn in range(4):
        turned = np.roll(square, turn, axis=0)
        size = np.median((back * turned).sum((1, 2)) / 2)
        near = np.abs(back - size * turned).max((1, 2)) < 0.15
        if 0.25 < size < 0.97 and near.sum() > best[0]:
            best = int(near.sum()), float(size)
    return best


def _board_of(guess: _Guess, board: Board) -> Single | None:
    """The board of a layout with the lengths of the one described."""
    family, layout, ids = guess.family, guess.layout, guess.ids
    given = board.boards[0] if isinstance(board, BoardSet) else board
    tag = given.tag_m if isinstance(given, Tags | AprilGrid) else given.square_m
    if layout is None:
        return (
            None
            if set(ids) <= set(getattr(given, "ids", ()))
            else Tags(_smallest(family, max(ids), given), tag, tuple(ids))
        )
    count = layout.columns * layout.rows
    try:
        if layout.kind == "aprilgrid":
            name = _smallest(family, count - 1, given)
            gap = given.gap_m if isinstance(given, AprilGrid) else round(tag * max(1 / layout.part - 1, 0.05), 5)
            return AprilGrid(layout.columns, layout.rows, tag, gap, name)
        name = _smallest(family, count // 2 - 1, given)
        marker = round(tag * min(layout.part, 0.95), 4)
        if isinstance(given, Charuco) and abs(given.marker_m - marker) < 0.08 * tag:
            marker = given.marker_m
        return Charuco(layout.columns, layout.rows, tag, marker, name, layout.legacy)
    except CalibrationError:  # inconsistent lengths
        return None


def _smallest(family: str, largest: int, given: Single) -> str:
    """The likely dictionary of a family: the described one if it belongs to it, else the smallest with the ids."""
    stem = family.removesuffix("_1000")
    same = [name for name in DICTIONARIES if name.startswith(stem) and DICTIONARIES[name][1] > largest]
    mine = getattr(given, "dictionary", "")
    return mine if mine in same else min(same or [family], key=lambda name: DICTIONARIES[name][1])


def _within(columns: int, rows: int, given: Charuco | AprilGrid) -> bool:
    """Whether the corners of a chessboard may be those between the markers of the described board."""
    most = sorted((given.columns + 1, given.rows + 1))
    return rows <= most[0] and columns <= most[1]


def _as_chessboard(greys: Sequence[NDArray[np.uint8]], board: Board) -> Chessboard | None:
    """The largest chessboard that is completely visible."""
    import cv2

    given = board.boards[0] if isinstance(board, BoardSet) else board
    side = given.tag_m if isinstance(given, Tags | AprilGrid) else given.square_m
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_LARGER
    sizes: list[tuple[int, int]] = []
    for grey in greys:
        found, _, meta = cv2.findChessboardCornersSBWithMeta(grey, (3, 3), flags)
        if found and meta is not None:
            rows, columns = np.asarray(meta).shape[:2]
            if rows * columns > 9:  # three by three is found by chance
                sizes.append((max(rows, columns), min(rows, columns)))
    if not sizes:
        return None
    columns, rows = max(sizes, key=lambda size: size[0] * size[1])  # partly hidden boards appear smaller
    if isinstance(given, Charuco | AprilGrid) and _within(columns, rows, given):
        return None
    if isinstance(given, Chessboard) and (given.rows, given.columns) == (columns, rows):
        columns, rows = rows, columns
    return Chessboard(columns, rows, side)
