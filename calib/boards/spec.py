"""Calibration boards, and the text, file or mapping that describes one.

The kinds themselves are in `calib.boards.kinds`. Lengths in text name their unit: mm, cm, m or in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calib.boards.kinds import DICTIONARIES, AprilGrid, Board, BoardSet, Charuco, Chessboard, Single, Tags
from calib.bounded_files import bounded_text, parse_yaml, reason_of
from calib.errors import CalibrationError

__all__ = [
    "DICTIONARIES", "FORMS", "AprilGrid", "Board", "BoardSet", "Charuco", "Chessboard", "Single", "Tags", "board_from",
    "length_m",
]  # fmt: skip

MOST_PLACES = 1000
"""Most columns, rows or ids of a board."""
_LONGEST = 1000
UNITS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "inch": 0.0254}
FORMS = {
    "chessboard": "chessboard:9x6:30mm (inner corners, side of a square)",
    "charuco": "charuco:7x5:120mm:90mm:DICT_5X5_100 (squares, side of a square, of a marker; then :legacy, :inverted)",
    "aprilgrid": "aprilgrid:6x6:88mm:26.4mm:DICT_APRILTAG_36h11 (tags, side of a tag, gap between tags)",
    "tags": "tags:DICT_4X4_50:100mm:0,1,5 (dictionary, side of a tag, ids)",
}


def board_from(given: str | Path | Mapping[str, Any] | Sequence[Any]) -> Board:
    """A board from its text, from a YAML file, or from what such a file holds.

    Text: the forms of `FORMS`, several joined by "+". A file holds a text, a mapping with `board` (the kind) and the
    fields of its class without "_m" (`square: 30 mm`), a list of these, or Kalibr's target file.
    Raises CalibrationError.
    """
    if isinstance(given, Path) or _names_file(given):
        return _from_file(Path(given))  # type: ignore[arg-type]
    if isinstance(given, str):
        return _set([_from_text(part) for part in given.split("+")])
    if isinstance(given, Mapping):
        return _from_mapping(given)
    if not isinstance(given, Sequence):
        raise CalibrationError(f"a board is a text, a YAML file or a mapping, not {given!r}")
    boards = [board_from(part) for part in given]
    return _set([single for board in boards for single in (board.boards if isinstance(board, BoardSet) else (board,))])


def length_m(text: str | float) -> float:
    """Metres of a length with its unit, as "30mm", "3 cm", "0.03 m" or "1.2in"; CalibrationError without a unit."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*([a-z]+)\s*", str(text).lower())
    if match is None or match[2] not in UNITS:
        raise CalibrationError(f"{str(text)[:60]!r} is not a length with a unit; write it as 30mm, 3cm, 0.03m or 1.2in")
    return float(match[1]) * UNITS[match[2]]


def _set(boards: list[Single]) -> Board:
    return boards[0] if len(boards) == 1 else BoardSet(tuple(boards))


def _from_text(text: str) -> Single:
    if len(text) > _LONGEST:
        raise CalibrationError(f"board {text[:60]!r}...: longer than {_LONGEST} characters; as {FORMS['charuco']}")
    kind, *parts = (part.strip() for part in text.strip().split(":"))
    kind = kind.lower()
    if kind not in FORMS:
        raise CalibrationError(f"board {text!r}: the kind has to be one of {', '.join(FORMS)}; as {FORMS['charuco']}")
    try:
        return _of_kind(kind, _fields(kind, parts))
    except (CalibrationError, KeyError, ValueError, IndexError) as error:
        why = str(error) if isinstance(error, CalibrationError) else f"it is written as {FORMS[kind]}"
        raise CalibrationError(f"board {text[:200]!r}: {why}") from error


def _fields(kind: str, parts: list[str]) -> dict[str, Any]:
    """The fields of a board by name from the parts of its text."""
    if kind == "tags":
        dictionary, tag, ids = parts
        return {"dictionary": dictionary, "tag": tag, "ids": ids}
    columns, rows = parts[0].lower().split("x")
    names = {"chessboard": ["square"], "charuco": ["square", "marker"], "aprilgrid": ["tag", "gap"]}[kind]
    fields: dict[str, Any] = {"columns": columns, "rows": rows, **dict(zip(names, parts[1:], strict=False))}
    for part in parts[1 + len(names) :]:
        name, _, value = part.partition("=")
        if name in ("legacy", "inverted") and kind == "charuco":
            fields[name] = True
        elif name == "first" and kind != "chessboard":
            fields["first_id"] = value
        elif kind != "chessboard" and "dictionary" not in fields:
            fields["dictionary"] = part
        else:
            raise ValueError(part)
    return fields


def _of_kind(kind: str, fields: Mapping[str, Any]) -> Single:
    """A board from its fields as text or numbers; lengths with units."""
    given = dict(fields)
    for name in ("square", "marker", "tag", "gap"):
        if name in given:
            given[f"{name}_m"] = length_m(given.pop(name))
    for name in ("columns", "rows", "first_id"):
        if name in given:
            given[name] = _count(name, given[name])
    if kind == "tags":
        given["ids"] = _ids(given["ids"])
    makers: dict[str, type[Single]] = {
        "chessboard": Chessboard, "charuco": Charuco, "aprilgrid": AprilGrid, "tags": Tags,
    }  # fmt: skip
    wanted = makers[kind].__dataclass_fields__
    unknown = [name for name in given if name not in wanted]
    missing = [name for name in list(wanted)[:4] if name not in given and name != "dictionary"]
    if unknown or missing:
        problem = f"has no {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
        raise CalibrationError(f"a {kind} {problem.replace('_m', '')}; it is written as {FORMS[kind]}")
    return makers[kind](**given)


def _count(name: str, given: Any) -> int:
    count = int(given)
    if abs(count) > MOST_PLACES:
        raise CalibrationError(f"{name} is {count}; {MOST_PLACES} at most")
    return count


def _ids(given: str | Sequence[int] | int) -> tuple[int, ...]:
    """Ids from "0,1,5", "0-3" or a list."""
    if isinstance(given, int):
        return (given,)
    if not isinstance(given, str):
        return tuple(int(one) for one in given)
    found: list[int] = []
    for part in given.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), min(int(last or first), int(first) + MOST_PLACES) + 1)
    if len(found) > MOST_PLACES:
        raise CalibrationError(f"{len(found)} ids or more; {MOST_PLACES} at most")
    return tuple(found)


def _from_mapping(given: Mapping[str, Any]) -> Board:
    if "target_type" in given:
        return _from_kalibr(given)
    if "boards" in given and len(given) == 1:
        return board_from(given["boards"])
    fields = dict(given)
    kind = str(fields.pop("board", "")).lower()
    if kind not in FORMS:
        raise CalibrationError(f"board: the kind of board must be one of {', '.join(FORMS)}, not {kind!r}")
    try:
        return _of_kind(kind, fields)
    except (KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise CalibrationError(f"board {_shown(given)}: it is written as {FORMS[kind]}") from error


def _shown(given: Mapping[str, Any]) -> str:
    text = str(dict(given))
    return text if len(text) <= 200 else f"{text[:197]}..."


def _from_kalibr(given: Mapping[str, Any]) -> Board:
    """Kalibr's target files: lengths in metres, the gap between tags as a part of the tag."""
    try:
        if given["target_type"] == "aprilgrid":
            tag = float(given["tagSize"])
            columns, rows = (_count(key, given[key]) for key in ("tagCols", "tagRows"))
            return AprilGrid(columns, rows, tag, tag * float(given["tagSpacing"]))
        if given["target_type"] == "checkerboard":
            across, down = float(given["colSpacingMeters"]), float(given["rowSpacingMeters"])
            if math.isclose(across, down):
                columns, rows = (_count(key, given[key]) for key in ("targetCols", "targetRows"))
                return Chessboard(columns, rows, across)
    except (KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise CalibrationError(f"Kalibr target {_shown(given)}: {reason_of(error)} is missing or wrong") from error
    raise CalibrationError(f"Kalibr target {_shown(given)}: only aprilgrid and checkerboards of squares can be used")


def _from_file(path: Path) -> Board:
    try:
        held = parse_yaml(bounded_text(path))
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{path}: cannot be read as a board: {reason_of(error)}") from error
    try:
        if any(map(_names_file, _parts(held))):
            raise CalibrationError("a board file that names another file; write the board into it")
        return board_from(held)
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error


def _names_file(given: object) -> bool:
    return isinstance(given, str) and given.strip().lower().endswith((".yaml", ".yml"))


def _parts(held: object) -> list[object]:
    """What a board file holds, taken apart: texts, mappings that describe a board, and anything else."""
    if isinstance(held, Mapping) and "boards" in held:
        return _parts(held["boards"])
    return [part for one in held for part in _parts(one)] if isinstance(held, list) else [held]
