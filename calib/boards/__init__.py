"""Boards to film: their kinds, the words and files that name them, and how they are printed."""

from calib.boards.spec import (
    DICTIONARIES,
    FORMS,
    AprilGrid,
    Board,
    BoardSet,
    Charuco,
    Chessboard,
    Tags,
    board_from,
    length_m,
)

__all__ = [
    "DICTIONARIES",
    "FORMS",
    "AprilGrid",
    "Board",
    "BoardSet",
    "Charuco",
    "Chessboard",
    "Tags",
    "board_from",
    "length_m",
]
