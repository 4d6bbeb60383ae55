"""The verb ``board``: files, what is said about them, and what cannot be done."""

import re

import pytest

from calib.boards import board_from
from calib.boards.sheets import write_board
from calib.errors import CalibrationError
from mvcap.board import board

CHARUCO = "charuco:7x5:27mm:20mm:DICT_5X5_100"
TAGS = "tags:DICT_4X4_50:60mm:3,0,17"


@pytest.mark.parametrize(("out", "more", "told"), [
    ("board.doc", {}, "board.doc: a board is written as"),
    ("board.pdf", {"paper": "B5"}, "no paper 'B5'; there are A4"),
    ("board.png", {"dpi": 3}, "3 pixels an inch"),
    ("there.pdf", {}, "exists already"),
])  # fmt: skip
def test_wrong_requests_are_one_line(tmp_path, out, more, told):
    (tmp_path / "there.pdf").write_text("mine")
    with pytest.raises(CalibrationError, match=re.escape(told)) as error:
        board(CHARUCO, tmp_path / out, **more)
    assert "\n" not in str(error.value)
    assert (tmp_path / "there.pdf").read_text() == "mine"


def test_verb_writes_and_says_how_to_check(tmp_path):
    made = board(TAGS, tmp_path / "new" / "tags.svg", paper="A4")
    assert [path.name for path in made.files] == ["tags.svg"]
    assert made.spec == TAGS and "100 mm" in made.check and "60 mm" in made.check and not made.warning
    pages = board("tags:DICT_4X4_50:100mm:0,1", tmp_path / "tags.png", dpi=60)
    assert [path.name for path in pages.files] == ["tags-1.png", "tags-2.png"]
    with pytest.raises(CalibrationError, match=r"tags-1.png: exists already"):
        board("tags:DICT_4X4_50:100mm:0,1", tmp_path / "tags.png", dpi=60)
    with pytest.raises(CalibrationError, match=r"lower dpi or a \.pdf"):
        board("chessboard:9x6:200mm", tmp_path / "wall.png", paper="own", dpi=1200)
    assert "half a turn" in board("chessboard:8x6:20mm", tmp_path / "even.pdf").warning
    board("chessboard:9x6:20mm", tmp_path / "even.pdf", force=True)
    assert (
        write_board(board_from("aprilgrid:6x5:20mm:6mm:DICT_APRILTAG_36h11"), str(tmp_path / "grid.pdf"))[0]
        .stat()
        .st_size
        > 5000
    )
