"""Boards on paper at true scale: PDF, SVG and PNG, with a bar to check the print and the text that names the board."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from calib.arrays import Floats
from calib.boards.files import LETTER, Sheet, Text, as_pdf, as_png, as_svg
from calib.boards.pictures import Drawing, drawings
from calib.boards.spec import AprilGrid, Board, BoardSet, Charuco, Chessboard, Tags
from calib.errors import CalibrationError
from calib.formats.parts import write_bytes

PAPERS = {
    "A4": (210.0, 297.0),
    "A3": (297.0, 420.0),
    "A2": (420.0, 594.0),
    "A1": (594.0, 841.0),
    "A0": (841.0, 1189.0),
    "letter": (215.9, 279.4),
}
"""Width and height, mm; printed upright or across, as the board fits. `own` is as large as the board."""
BAR_MM = 100.0
_MARGIN_MM, _GAP_MM = 10.0, 8.0  # unprintable margin of printers; gap between the board and the text below
_TEXT_MM, _LINE_MM, _BAR_HIGH_MM = 3.0, 4.2, 4.0
_QUIET = 0.25  # of a single tag's side: white all round it

_Single: TypeAlias = Chessboard | Charuco | AprilGrid | Tags
_Size: TypeAlias = tuple[float, float]


def write_board(
    board: Board, path: str | Path, *, paper: str = "A4", dpi: float = 300.0, force: bool = False
) -> list[Path]:
    """Write a board's pages as one .pdf, or as .svg or .png, numbered where there are several; -> the files.

    paper: one of `PAPERS` or own; dpi: pixels an inch of a .png; force: overwrite existing files. Raises
    CalibrationError.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".pdf", ".svg", ".png"):
        raise CalibrationError(f"{path}: a board is written as .pdf, .svg or .png; give one of these endings")
    if not 50 <= dpi <= 1200:
        raise CalibrationError(f"{dpi:g} pixels an inch are out of range; give 50 to 1200")
    pages = sheets(board, paper)
    if kind == ".pdf":
        files = {path: as_pdf(pages, board.spec)}
    else:
        paths = [path.with_stem(f"{path.stem}-{number}") for number in range(1, len(pages) + 1)]
        made = (as_svg(page) if kind == ".svg" else as_png(page, dpi) for page in pages)
        files = dict(zip(paths if len(pages) > 1 else [path], made, strict=True))
    if not force and (there := [name for name in files if name.exists()]):
        raise CalibrationError(f"{there[0]}: exists already; give another name, or --force to overwrite it")
    for name, data in files.items():
        write_bytes(name, data)
    return list(files)


def ruler_check(board: Board) -> str:
    """Instructions to print a board and to check it with a ruler."""
    lengths = dict.fromkeys(f"{_part(one)} {1000 * _side_m(one):.6g} mm" for one in _singles(board))
    return (
        f"Print at 100 %, not fitted to the page. The bar has to be {BAR_MM:g} mm long, {' and '.join(lengths)}. "
        "If a ruler over several of them says otherwise, give the length that you measure. Mount it flat."
    )


def sheets(board: Board, paper: str = "A4") -> tuple[Sheet, ...]:
    """Pages of a board: one for each board of a set; single tags, as many on a page as fit.

    Raises CalibrationError for unknown paper and for paper that is too small, with what would fit.
    """
    known = {name.lower(): name for name in (*PAPERS, "own")}
    if paper.lower() not in known:
        raise CalibrationError(f"there is no paper {paper!r}; there are {', '.join(known.values())}")
    singles = _singles(board)
    pages: list[Sheet] = []
    for number, single in enumerate(singles, 1):
        place = f"Board {number} of {len(singles)}; --board takes their texts joined by +." if len(singles) > 1 else ""
        notes = tuple(filter(None, (f"--board {single.spec}", place, ruler_check(single))))
        pages += _pages(single, known[paper.lower()], notes)
    return tuple(pages)


def _pages(board: _Single, paper: str, notes: tuple[str, ...]) -> Iterator[Sheet]:
    page = _own_page(board, notes) if paper == "own" else _orient_paper(board, PAPERS[paper], notes)
    if page is None:
        raise CalibrationError(_too_small(board, paper, notes))
    names = [f"id {name}" for name in board.ids] if isinstance(board, Tags) else [""]
    parts = list(zip(drawings(board), names, strict=True))
    across, down = (int((room + _step(board) - side + 1e-6) // _step(board))
                    for room, side in zip(_room(board, page, notes), _size_mm(board), strict=True))  # fmt: skip
    for start in range(0, len(parts), across * down):
        yield _sheet(board, page, parts[start : start + across * down], across, notes)


def _sheet(board: _Single, page: _Size, parts: list[tuple[Drawing, str]], across: int, notes: Iterable[str]) -> Sheet:
    """A page with drawings and their names, `across` side by side, centred, and the notes below."""
    (wide, high), lines, step = _size_mm(board), _wrap_notes(page[0], notes), _step(board)
    rows, across = math.ceil(len(parts) / across), min(across, len(parts))
    left = 0.5 * (page[0] - (across - 1) * step - wide)
    top = _edge_mm(board) + 0.5 * (_room(board, page, notes)[1] - (rows - 1) * step - high)
    black, texts = [], []
    for place, (drawing, name) in enumerate(parts):
        x, y = left + place % across * step, top + place // across * step
        shift = np.array([x - 1000 * drawing.x[0], y - 1000 * drawing.y[0]])
        black.append(1000 * drawing.rectangles() + np.tile(shift, 2))
        texts.append(Text(x, y + high + _LINE_MM, _TEXT_MM, name))
    foot = page[1] - _MARGIN_MM - _LINE_MM * (len(lines) - 1)
    texts += [Text(_MARGIN_MM, foot + _LINE_MM * row, _TEXT_MM, line) for row, line in enumerate(lines)]
    black.append(_bar(_MARGIN_MM, foot - _LINE_MM - _BAR_HIGH_MM))
    texts.append(Text(_MARGIN_MM + BAR_MM + 2, foot - _LINE_MM, _TEXT_MM, f"{BAR_MM:g} mm"))
    return Sheet(page, np.concatenate(black), tuple(text for text in texts if text.text))


def _bar(left: float, top: float) -> Floats:
    """A bar of exactly BAR_MM with a tick every ten."""
    thin, bottom = 0.3, top + _BAR_HIGH_MM
    at = left + np.clip(np.linspace(0, BAR_MM, 11) - 0.5 * thin, 0, BAR_MM - thin)
    ticks = [(x, top + (0 if row in (0, 5, 10) else 1.5), x + thin, bottom) for row, x in enumerate(at)]
    return np.array([*ticks, (left, bottom, left + BAR_MM, bottom + 0.4)])


# --- page layout -----------------------------------------------------------------------------------------------------


def _singles(board: Board) -> tuple[_Single, ...]:
    return board.boards if isinstance(board, BoardSet) else (board,)


def _side_m(board: _Single) -> float:
    """The length that is measured with a ruler."""
    return board.square_m if isinstance(board, Chessboard | Charuco) else board.tag_m


def _part(board: _Single) -> str:
    return "a square" if isinstance(board, Chessboard | Charuco) else "a tag"


def _size_mm(board: _Single) -> _Size:
    return 1000 * board.size_m[0], 1000 * board.size_m[1]


def _edge_mm(board: _Single) -> float:
    """White margin around a board, mm."""
    return max(_MARGIN_MM, _QUIET * _size_mm(board)[0]) if isinstance(board, Tags) else _MARGIN_MM


def _step(board: _Single) -> float:
    """Distance, mm, from one tag on a page to the next; for a board, one a page, larger than any page."""
    return (1 + _QUIET) * _size_mm(board)[0] + _LINE_MM if isinstance(board, Tags) else 1e6


def _wrap_notes(page_mm: float, notes: Iterable[str]) -> list[str]:
    letters = int((page_mm - 2 * _MARGIN_MM) / (LETTER * _TEXT_MM))
    return [line for note in notes for line in textwrap.wrap(note, letters, break_on_hyphens=False)]


def _below_mm(board: _Single, page_mm: float, notes: Iterable[str]) -> float:
    """Height, mm, of everything below a board: gap, its name, the bar and the text."""
    gap = max(_GAP_MM, _edge_mm(board) - _MARGIN_MM) + (_LINE_MM if isinstance(board, Tags) else 0)
    return gap + _BAR_HIGH_MM + _LINE_MM * len(_wrap_notes(page_mm, notes))


def _room(board: _Single, page: _Size, notes: Iterable[str]) -> _Size:
    """Width and height, mm, available for boards on a page."""
    edge = _edge_mm(board)
    return page[0] - 2 * edge, page[1] - edge - _MARGIN_MM - _below_mm(board, page[0], notes)


def _orient_paper(board: _Single, paper: _Size, notes: tuple[str, ...]) -> _Size | None:
    """The paper upright or across, whichever the board fits on; None for neither."""
    for page in (paper, paper[::-1]):
        if all(side <= room + 1e-6 for side, room in zip(_size_mm(board), _room(board, page, notes), strict=True)):
            return page
    return None


def _own_page(board: _Single, notes: tuple[str, ...]) -> _Size:
    """A page as large as a board, and wide enough for the bar."""
    wide = max(_size_mm(board)[0] + 2 * _edge_mm(board), BAR_MM + 4 * _MARGIN_MM)
    return wide, _size_mm(board)[1] + _edge_mm(board) + _MARGIN_MM + _below_mm(board, wide, notes)


def _too_small(board: _Single, paper: str, notes: tuple[str, ...]) -> str:
    """The message for paper that is too small, with what would fit."""
    fit = [name for name, size in PAPERS.items() if name != "letter" and _orient_paper(board, size, notes)]
    less = next((one for one in _smaller(board) if _orient_paper(one, PAPERS[paper], notes)), None)
    other = f"paper {min(fit, key=lambda name: PAPERS[name])} or own" if fit else "paper own"
    wide, high = _size_mm(board)
    smaller = f", or {less.spec}, the largest that fits" if less else ""
    return f"a board of {wide:.6g} x {high:.6g} mm does not fit on {paper}; use {other}{smaller}"


def _smaller(board: _Single) -> Iterator[_Single]:
    """The same board with sides of fewer and fewer whole millimetres."""
    for side in range(math.ceil(1000 * _side_m(board)) - 1, 4, -1):
        factor = side / 1000 / _side_m(board)
        if isinstance(board, Chessboard):
            yield replace(board, square_m=side / 1000)
        elif isinstance(board, Charuco):
            yield replace(board, square_m=side / 1000, marker_m=round(factor * board.marker_m, 4))
        elif isinstance(board, AprilGrid):
            yield replace(board, tag_m=side / 1000, gap_m=round(factor * board.gap_m, 4))
        else:
            yield replace(board, tag_m=side / 1000)
