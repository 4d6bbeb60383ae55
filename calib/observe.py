"""Finds a board in every image and collects the detections in one table of observations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from calib.boards.kinds import Board, BoardSet, Chessboard, Single, Tags
from calib.detectors.aprilgrid import AprilGridDetector
from calib.detectors.charuco import CharucoDetector
from calib.detectors.chessboard import ChessboardDetector
from calib.detectors.markers import Markers, Reader, grey_of
from calib.detectors.recognise import looks_like
from calib.detectors.sighting import Sighting, refused_sighting
from calib.detectors.tags import TagsDetector
from calib.errors import CalibrationError
from calib.observations import Observations, Refusal
from calib.targets import two_sided

__all__ = ["Finder", "Sighting", "looks_like", "observations"]

_BORDERS = {"charuco": (1,), "aprilgrid": (2, 1), "tags": (1, 2)}  # border widths in bits, the most common first


class Finder:
    """Finds a board in the images of one view; the border width that worked before is tried first.

    Boards that are inverted, in ChArUco's other layout, or seen from behind are found as well; the detection records
    it.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.target = board.target
        self._singles = board.boards if isinstance(board, BoardSet) else (board,)
        self._readers = _readers(self._singles)
        self._detectors = [_detector(single) for single in self._singles]
        self._border = [_BORDERS.get(_kind(single), (1,)) for single in self._singles]

    def find(self, image: NDArray[np.uint8]) -> Sighting:
        """The board's points in an image, uint8 (H, W) or RGB (H, W, 3)."""
        grey = grey_of(image)
        read: dict[tuple[str, int], Markers] = {}
        parts = [self._find_one(row, grey, read) for row in range(len(self._singles))]
        if len(parts) == 1:
            return parts[0]
        found = [part for part in parts if part.reason is None]
        if not found:
            reasons = "; ".join(dict.fromkeys(str(part.reason) for part in parts))
            return refused_sighting(len(self.target), reasons)
        return Sighting(
            np.concatenate([part.xy for part in parts]),
            np.concatenate([part.sigma for part in parts]),
            None,
            all(part.mirrored for part in found),
            ", ".join(dict.fromkeys(part.variant for part in found if part.variant)),
        )

    def _find_one(self, row: int, grey: NDArray[np.uint8], read: dict[tuple[str, int], Markers]) -> Sighting:
        single, detector = self._singles[row], self._detectors[row]
        if isinstance(detector, ChessboardDetector):
            return detector.find(grey)
        assert not isinstance(single, Chessboard)
        sighting = refused_sighting(len(single.target), "no marker of the board is seen")
        for border in self._border[row]:
            key = single.dictionary, border
            if key not in read:
                read[key] = self._readers[key].read(grey)
            if isinstance(detector, CharucoDetector):
                tried = detector.find(grey, read[key])
            else:
                tried = detector.find(grey, read[key], border)
            if tried.reason is None:
                self._border[row] = (border,)  # a printed board does not change
                return tried
            sighting = tried if border == self._border[row][0] else sighting
        return sighting


def _kind(board: Single) -> str:
    return type(board).__name__.lower()


def _detector(board: Single) -> ChessboardDetector | CharucoDetector | AprilGridDetector | TagsDetector:
    if isinstance(board, Chessboard):
        return ChessboardDetector(board)
    if isinstance(board, Tags):
        return TagsDetector(board)
    return CharucoDetector(board) if _kind(board) == "charuco" else AprilGridDetector(board)  # type: ignore[arg-type]


def _readers(boards: Sequence[Single]) -> dict[tuple[str, int], Reader]:
    """One reader per dictionary and border width: the boards of a set are read in one pass."""
    ids: dict[tuple[str, int], set[int]] = {}
    for board in boards:
        if isinstance(board, Chessboard):
            continue
        for border in _BORDERS[_kind(board)]:
            ids.setdefault((board.dictionary, border), set()).update(board.ids)
    return {key: Reader(key[0], tuple(sorted(held)), key[1]) for key, held in ids.items()}


def observations(
    board: Board,
    views: Sequence[str],
    sizes: Mapping[str, tuple[int, int]] | Sequence[tuple[int, int]],
    rows: Iterable[tuple[str, str, float, Sighting]],
) -> Observations:
    """The table of board detections: rows of (view, moment, time in s or NaN, detection).

    sizes (w, h) px of the views, in their order or by name. Moments are in order of their times, else as they come;
    those at which no view saw anything are left out, and the reason of every failed detection is kept. A board seen
    from both sides becomes two pieces, as its back is a separate sheet.
    """
    size_of = dict(sizes) if isinstance(sizes, Mapping) else dict(zip(views, sizes, strict=True))
    kept = list(rows)
    unknown = sorted({view for view, *_ in kept} - set(views))
    if unknown:
        raise CalibrationError(f"detections of unknown views: {', '.join(unknown)}")
    moments = _moments(kept)
    place = {moment: index for index, moment in enumerate(moments)}
    target = board.target
    sides = {sighting.mirrored for *_, sighting in kept if sighting.seen.any()}
    both = len(sides) == 2 and len(target.pieces) == 1
    points = len(target)
    target = two_sided(target) if both else target
    xy = np.full((len(views), len(moments), len(target), 2), np.nan)
    sigma, time_s = np.full(xy.shape[:3], np.nan), np.full(xy.shape[:2], np.nan)
    refusals = []
    for view, moment, time, sighting in kept:
        if sighting.reason is not None:
            refusals.append(Refusal(view, moment, sighting.reason))
        if moment in place:
            at = views.index(view), place[moment]
            side = slice(points, None) if both and sighting.mirrored else slice(0, points)
            xy[at][side], sigma[at][side], time_s[at] = sighting.xy, sighting.sigma, time
    return Observations(
        target,
        tuple(views),
        tuple(size_of[view] for view in views),
        xy,
        sigma,
        time_s,
        tuple(moments),
        tuple(refusals),
    )


def _moments(rows: Sequence[tuple[str, str, float, Sighting]]) -> list[str]:
    """Names of the moments at which something was seen, sorted by the earliest time of any view."""
    seen = {moment for _, moment, _, sighting in rows if sighting.seen.any()}
    first: dict[str, float] = {}
    for _, moment, time, _ in rows:
        if moment in seen:
            first[moment] = min(first.get(moment, np.inf), np.inf if np.isnan(time) else time)
    return sorted(first, key=lambda moment: first[moment])
