"""The kinds of calibration boards, and their points in metres.

Every board's frame has x to the right and y down the print as seen from its front, so z points into the board, away
from the viewer. The origin is the first inner corner of a chessboard and the outer top left corner of any other board.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from calib.arrays import Floats
from calib.errors import CalibrationError
from calib.targets import Target

# Bits across and number of markers of every dictionary that OpenCV has.
DICTIONARIES: dict[str, tuple[int, int]] = {
    **{f"DICT_{n}X{n}_{count}": (n, count) for n in (4, 5, 6, 7) for count in (50, 100, 250, 1000)},
    "DICT_ARUCO_ORIGINAL": (5, 1024),
    "DICT_ARUCO_MIP_36h12": (6, 250),
    "DICT_APRILTAG_16h5": (4, 30),
    "DICT_APRILTAG_25h9": (5, 35),
    "DICT_APRILTAG_36h10": (6, 2320),
    "DICT_APRILTAG_36h11": (6, 587),
}
_LEAST_M, _MOST_M = 1e-3, 3.0  # plausible sides of a printed square


def dictionary_name(name: str) -> str:
    """The name as OpenCV spells it, whatever the case and with or without DICT_; CalibrationError if there is none."""
    known = {key.lower(): key for key in DICTIONARIES}
    lower = str(name).strip().lower()
    for guess in (lower, f"dict_{lower}"):
        if guess in known:
            return known[guess]
    raise CalibrationError(f"there is no marker dictionary {name!r}; there are {', '.join(DICTIONARIES)}")


def _length(board: str, what: str, metres: float) -> float:
    value = float(metres)
    if not _LEAST_M <= value <= _MOST_M:
        raise CalibrationError(
            f"{board}: a {what} of {value:g} m is not plausible; lengths are in metres here, 0.03 (30 mm) for instance"
        )
    return round(value, 9)  # so that 5.4 cm and 54 mm are the same


def _count(board: str, what: str, count: int, least: int) -> int:
    if int(count) != count or count < least:
        raise CalibrationError(f"{board}: {what} has to be a whole number, {least} or more, not {count}")
    return int(count)


def _text(metres: float) -> str:
    return f"{1000 * metres:.10g}mm"


def _flat(xy: Floats) -> Floats:
    return np.concatenate([xy, np.zeros((*xy.shape[:-1], 1))], -1).reshape(-1, 3)


def _grid(columns: int, rows: int, step: float) -> Floats:
    """Points (rows, columns, 2) of a grid, row by row."""
    x, y = np.meshgrid(np.arange(columns) * step, np.arange(rows) * step)
    return np.stack([x, y], -1)


@dataclass(frozen=True)
class Chessboard:
    """Squares in two colours; columns, rows count inner corners, which are its points, row by row; square_m is a side.

    The square up and left of the first corner is black. Where columns and rows are both even or both odd the board
    turned by half is the same board (see `symmetric`).
    """

    columns: int
    rows: int
    square_m: float

    def __post_init__(self) -> None:
        for what in ("columns", "rows"):
            object.__setattr__(self, what, _count("chessboard", f"{what} of inner corners", getattr(self, what), 3))
        object.__setattr__(self, "square_m", _length("chessboard", "square", self.square_m))

    @property
    def symmetric(self) -> bool:
        """Whether half a turn changes nothing: then cameras that are not upright may disagree on the first corner."""
        return (self.columns + self.rows) % 2 == 0

    @cached_property
    def target(self) -> Target:
        """The inner corners (columns * rows) row by row from the top left one, which is the origin."""
        return Target(self.spec, _flat(_grid(self.columns, self.rows, self.square_m)))

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of the printed squares."""
        return (self.columns + 1) * self.square_m, (self.rows + 1) * self.square_m

    @property
    def spec(self) -> str:
        """The text that makes this board."""
        return f"chessboard:{self.columns}x{self.rows}:{_text(self.square_m)}"


@dataclass(frozen=True)
class Charuco:
    """A chessboard with markers in its white squares; columns, rows count squares; its points are the inner corners.

    legacy: the layout before OpenCV 4.6, whose first square is white where rows are even; inverted: black and white
    swapped in print; first_id: of the first marker, for several boards of one dictionary.
    """

    columns: int
    rows: int
    square_m: float
    marker_m: float
    dictionary: str = "DICT_5X5_100"
    legacy: bool = False
    inverted: bool = False
    first_id: int = 0

    def __post_init__(self) -> None:
        for what in ("columns", "rows"):
            object.__setattr__(self, what, _count("charuco", f"{what} of squares", getattr(self, what), 3))
        object.__setattr__(self, "dictionary", dictionary_name(self.dictionary))
        for what in ("square", "marker"):
            object.__setattr__(self, f"{what}_m", _length("charuco", what, getattr(self, f"{what}_m")))
        if self.marker_m >= self.square_m:
            raise CalibrationError(
                f"charuco: a marker of {_text(self.marker_m)} does not fit into a square of {_text(self.square_m)}; "
                "the square comes first"
            )
        _enough("charuco", self.dictionary, self.first_id, len(self.ids))

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of its markers, in OpenCV's order."""
        first = 0 if not self.legacy or self.rows % 2 else 1
        marked = sum((x + y + first) % 2 for y in range(self.rows) for x in range(self.columns))
        return tuple(range(self.first_id, self.first_id + marked))

    @cached_property
    def target(self) -> Target:
        """The inner corners row by row from the top left one; the origin is the print's outer top left corner."""
        inner = _grid(self.columns - 1, self.rows - 1, self.square_m) + self.square_m
        return Target(self.spec, _flat(inner))

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of the printed squares."""
        return self.columns * self.square_m, self.rows * self.square_m

    @property
    def spec(self) -> str:
        """The text that makes this board."""
        lengths = f"{_text(self.square_m)}:{_text(self.marker_m)}"
        first = f":first={self.first_id}" if self.first_id else ""
        flags = ":legacy" * self.legacy + ":inverted" * self.inverted
        return f"charuco:{self.columns}x{self.rows}:{lengths}:{self.dictionary}{first}{flags}"


@dataclass(frozen=True)
class AprilGrid:
    """Kalibr's grid of tags with black squares between their corners; columns, rows count tags.

    Ids run from the tag at the bottom left to the right, then row by row upwards; the points are each tag's corners,
    bottom left, bottom right, top right, top left. gap_m is the distance between two tags, and the side of the black
    squares, of which a row is also along every side of the board: the origin is the outer corner of the top left one.
    """

    columns: int
    rows: int
    tag_m: float
    gap_m: float
    dictionary: str = "DICT_APRILTAG_36h11"
    first_id: int = 0

    def __post_init__(self) -> None:
        for what in ("columns", "rows"):
            object.__setattr__(self, what, _count("aprilgrid", f"{what} of tags", getattr(self, what), 1))
        object.__setattr__(self, "dictionary", dictionary_name(self.dictionary))
        for what in ("tag", "gap"):
            object.__setattr__(self, f"{what}_m", _length("aprilgrid", what, getattr(self, f"{what}_m")))
        if self.gap_m >= self.tag_m:
            raise CalibrationError(
                f"aprilgrid: a gap of {_text(self.gap_m)} is not smaller than a tag of {_text(self.tag_m)}; "
                "the tag comes first"
            )
        _enough("aprilgrid", self.dictionary, self.first_id, len(self.ids))

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of its tags, in the order of its points."""
        return tuple(range(self.first_id, self.first_id + self.columns * self.rows))

    @cached_property
    def target(self) -> Target:
        """Four corners a tag: bottom left, bottom right, top right, top left; tags in order of id."""
        step, (_, height) = self.tag_m + self.gap_m, self.size_m
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * self.tag_m + self.gap_m
        up = _grid(self.columns, self.rows, step)[:, :, None] + corners
        return Target(self.spec, _flat(up * [1, -1] + [0, height]))

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of the print with the outer black squares."""
        step = self.tag_m + self.gap_m
        return self.columns * step + self.gap_m, self.rows * step + self.gap_m

    @property
    def spec(self) -> str:
        """The text that makes this board."""
        first = f":first={self.first_id}" if self.first_id else ""
        return f"aprilgrid:{self.columns}x{self.rows}:{_text(self.tag_m)}:{_text(self.gap_m)}:{self.dictionary}{first}"


@dataclass(frozen=True)
class Tags:
    """Single tags of one size, each a rigid piece of its own: their poses relative to each other are estimated."""

    dictionary: str
    tag_m: float
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dictionary", dictionary_name(self.dictionary))
        object.__setattr__(self, "tag_m", _length("tags", "tag", self.tag_m))
        object.__setattr__(self, "ids", tuple(int(one) for one in self.ids))
        if not self.ids or len(set(self.ids)) < len(self.ids):
            raise CalibrationError(f"tags: ids have to be one or more different numbers, not {list(self.ids)}")
        for one in self.ids:
            _enough("tags", self.dictionary, one, 1)

    @cached_property
    def target(self) -> Target:
        """Four corners a tag, as OpenCV draws it: top left (the tag's own origin), then clockwise."""
        corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * self.tag_m
        piece = np.repeat(np.arange(len(self.ids)), 4)
        names = tuple(f"tag {one}" for one in self.ids)
        return Target(self.spec, _flat(np.tile(corners, (len(self.ids), 1))), piece, names)

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of one tag."""
        return self.tag_m, self.tag_m

    @property
    def spec(self) -> str:
        """The text that makes these tags."""
        return f"tags:{self.dictionary}:{_text(self.tag_m)}:{','.join(map(str, self.ids))}"


def _enough(board: str, dictionary: str, first: int, count: int) -> None:
    held = DICTIONARIES[dictionary][1]
    if first < 0 or first + count > held:
        raise CalibrationError(
            f"{board}: ids {first} to {first + count - 1} are asked for, but {dictionary} has 0 to {held - 1}; "
            "use a larger dictionary"
        )


Single: TypeAlias = Chessboard | Charuco | AprilGrid | Tags


@dataclass(frozen=True)
class BoardSet:
    """Boards fixed to one another, as on a cube, one rigid piece each: their relative poses are estimated."""

    boards: tuple[Single, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boards", tuple(self.boards))
        if not self.boards:
            raise CalibrationError("a set of boards needs at least one board")
        shapes: list[object] = []
        for board in self.boards:
            if isinstance(board, Chessboard):
                shapes.append(("a chessboard of that size", *sorted((board.columns, board.rows))))
            else:
                shapes += [(board.dictionary, one) for one in board.ids]
        twice = next((shape for shape in shapes if shapes.count(shape) > 1), None)
        if twice is not None:
            raise CalibrationError(f"boards of a set cannot be distinguished: {twice} is there twice; use other ids")

    @cached_property
    def target(self) -> Target:
        """The boards' points one board after the other; every board is a piece, of single tags every tag."""
        points, piece = [], []
        pieces: list[str] = []
        for index, board in enumerate(self.boards):
            target = board.target
            points.append(target.points)
            piece.append(target.of_piece + len(pieces))
            pieces += [f"board {index + 1}"] if target.pieces == ("board",) else list(target.pieces)
        return Target(self.spec, np.concatenate(points), np.concatenate(piece), tuple(pieces))

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of the largest board."""
        return max((board.size_m for board in self.boards), key=lambda size: size[0] * size[1])

    @property
    def spec(self) -> str:
        """The boards' texts, joined by +."""
        return "+".join(board.spec for board in self.boards)


Board: TypeAlias = Single | BoardSet
