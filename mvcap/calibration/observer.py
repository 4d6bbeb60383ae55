"""Observations of a board or of control points from pictures, with errors that say what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from calib.boards import FORMS, Board, Chessboard
from calib.calibration import Calibration, Finding
from calib.observations import Observations
from calib.observe import looks_like, observations
from calib.quality.verdict import with_findings
from mvcap.calibration.board_detections import BoardDetection, common_size, detect_board
from mvcap.calibration.click_page import write_click_page
from mvcap.calibration.control_points import control_point_observations, read_control_points
from mvcap.calibration.image_sets import ImageSet
from mvcap.calibration.input_causes import Sides
from mvcap.calibration.moments import MOST_MOMENTS, Moments, spread_evenly
from mvcap.errors import InputError
from mvcap.progress import Progress

_LEAST_POINTS = 4  # of a board in a picture, for a pose
_MOST_LOOKED_AT = 12  # most pictures that are searched for a board of any kind
_NEVER_SEEN, _SELDOM = 0.3, 0.2  # share of points never seen, and of pictures with the board: it may be another one


class Observer:
    """Finds a board in pictures, and caches the detections in `folder`/sightings."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.cache = folder / "sightings"
        self.progress = progress
        self.sides = Sides({}, {})

    def board(self, material: Moments, board: Board | None) -> Observations:
        """Observations of the board by all views at all moments; InputError where they cannot give a rig.

        `sides` then says how often each view sees the board, and how often mirrored.
        """
        if len(material.views) < 2:
            raise InputError(f"one view only, {material.names[0]!r}; a rig needs two or more cameras that film at once")
        if not material.moments:
            raise InputError("the session has no pictures, only detections made elsewhere; calibrate it with --people")
        if board is None:
            raise InputError(_which_board(material.views))
        shown = [column[column >= 0].tolist() for column in material.shown.T]
        detections = detect_board(board, list(zip(material.views, shown, strict=True)), self.cache, self.progress)
        sizes = tuple(common_size(view, of_view) for view, of_view in zip(material.views, detections, strict=True))
        by_number = [{one.number: one.sighting for one in of_view} for of_view in detections]
        rows = [
            (view, moment, float(time_s), sightings[number])
            for moment, numbers, times in zip(material.moments, material.shown.tolist(), material.time_s, strict=True)
            for view, number, time_s, sightings in zip(material.names, numbers, times, by_number, strict=True)
            if number >= 0
        ]
        found = [(view, sighting.mirrored) for view, _, _, sighting in rows if sighting.seen.any()]
        self.sides = Sides(
            {view: sum(one == view for one, _ in found) for view in material.names},
            {view: sum(one == view and mirrored for one, mirrored in found) for view in material.names},
        )
        seen = observations(board, material.names, sizes, rows)
        _check_seen(board, seen, material)
        return seen

    def doubted(self, made: Calibration, material: Moments, board: Board) -> Calibration:
        """A calibration with the verdict "do not use", extended by a finding where the pictures show another board."""
        other = _recognise_other(material.views, board) if made.verdict == "do not use" else None
        if other is None:
            return made
        return with_findings(
            made, [Finding("refuse", "the board", other, "give the board that was filmed with --board", 1)]
        )

    def lenses(self, pictures: Sequence[ImageSet], board: Board | None, most: int | None) -> tuple[Observations, ...]:
        """Observations of a board by single cameras: one table each, as their pictures have no common moments."""
        if not pictures:
            return ()
        if board is None:
            raise InputError(_which_board(pictures))
        wanted = [spread_evenly(len(one), most or MOST_MOMENTS).tolist() for one in pictures]
        detections = detect_board(board, list(zip(pictures, wanted, strict=True)), self.cache, self.progress)
        tables = tuple(_of_lens(board, one, of_view) for one, of_view in zip(pictures, detections, strict=True))
        if not any(table.seen.any() for table in tables):
            count = sum(map(len, wanted))
            raise InputError(f"{board.spec} is in none of the {count} photos for the lenses; {_hint(pictures, board)}")
        return tables

    def scene(self, material: Moments, file: Path, pixels: Path | None) -> Observations:
        """Observations of the control points in a file; without pixels, write a page to click them, and raise."""
        points = read_control_points(file, pixels)
        if not points.pixels:
            page = self.folder / "click.html"
            write_click_page(page, list(points.xyz), material.views)
            raise InputError(
                f"{file}: has no pixels of the points in the views; open {page}, click them, and give the file that it "
                "saves with --scene-pixels"
            )
        return control_point_observations(points, material.names, [view.size for view in material.views])


def _of_lens(board: Board, pictures: ImageSet, detections: Sequence[BoardDetection]) -> Observations:
    rows = [(pictures.name, one.label, np.nan, one.sighting) for one in detections]
    return observations(board, [pictures.name], [common_size(pictures, detections)], rows)


def _check_seen(board: Board, seen: Observations, material: Moments) -> None:
    """Raise InputError where no two views ever saw the board together, or the pictures show another board."""
    pictures = int((material.shown >= 0).sum())
    sees = seen.seen.sum(2) >= _LEAST_POINTS
    by = [name for name, any_moment in zip(seen.views, sees.any(1), strict=True) if any_moment]
    if not by:
        raise InputError(f"{board.spec} is in none of the {pictures} pictures; {_hint(material.views, board)}")
    if len(by) == 1:
        others = ", ".join(name for name in seen.views if name != by[0])
        todo = f"film it where {by[0]} and each of {others} see it at once"
        raise InputError(f"{board.spec} is seen by {by[0]} alone; {_recognise_other(material.views, board) or todo}")
    if not (sees.sum(0) >= 2).any():
        todo = "film it where both see it: " + ", ".join(f"{a} and {b}" for a, b in pairwise(by))
        raise InputError(
            f"no two cameras ever see {board.spec} at once; {_recognise_other(material.views, board) or todo}"
        )
    never = 1 - seen.seen.any((0, 1)).mean()
    if (never > _NEVER_SEEN or sees.sum() < _SELDOM * pictures) and (other := _recognise_other(material.views, board)):
        raise InputError(f"{board.spec} is seen in {sees.sum()} of {pictures} pictures, and never whole; {other}")


def _which_board(views: Sequence[ImageSet]) -> str:
    shown = _recognise_other(views, Chessboard(3, 3, 0.03))
    hint = "" if shown is None else "; " + shown.partition(", not ")[0]
    return f"give the board that was filmed with --board, as in --board {FORMS['chessboard'].split()[0]}{hint}"


def _hint(views: Sequence[ImageSet], board: Board) -> str:
    return (
        _recognise_other(views, board)
        or "no other board is found in them: check the light and the focus of the pictures"
    )


def _recognise_other(views: Sequence[ImageSet], board: Board) -> str | None:
    """A sentence on the board that some of the pictures show instead; None where they show no other."""
    several = [(view, number) for view in views for number in spread_evenly(len(view), _MOST_LOOKED_AT).tolist()]
    chosen = (several[index] for index in spread_evenly(len(several), _MOST_LOOKED_AT))
    pictures = (picture for view, number in chosen for _, picture in view.read([number]))
    return looks_like([picture for picture in pictures if not isinstance(picture, str)], board)
