"""The verb ``board``: write a calibration board to print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calib.boards import Chessboard, board_from
from calib.boards.sheets import ruler_check, write_board


@dataclass(frozen=True)
class PrintedBoard:
    """The written files, the specification that ``calibrate`` takes, the size in m, and how to check the print."""

    files: tuple[Path, ...]
    spec: str
    size_m: tuple[float, float]
    check: str
    warning: str = ""
    """A problem that this board may cause, or an empty string."""


def board(
    spec: str | Path, out: str | Path, *, paper: str = "A4", dpi: float = 300.0, force: bool = False
) -> PrintedBoard:
    """Write a board at true scale to a .pdf, .svg or .png file, one page per board.

    spec: a specification (``charuco:7x5:30mm:22mm:DICT_5X5_100``) or a YAML file; paper: A4 to A0, letter, or own for a
    page of the board's size; dpi: pixels per inch of a .png; force: overwrite existing files.
    Raises CalibrationError.
    """
    made = board_from(spec)
    files = write_board(made, out, paper=paper, dpi=dpi, force=force)
    return PrintedBoard(tuple(files), made.spec, made.size_m, ruler_check(made), _warning(made))


def _warning(made: object) -> str:
    if isinstance(made, Chessboard) and made.symmetric:
        return (
            f"a chessboard of {made.columns}x{made.rows} inner corners looks the same after half a turn, so the corner "
            f"order is ambiguous between cameras; use {made.columns}x{made.rows - 1}, or a charuco board"
        )
    return ""
