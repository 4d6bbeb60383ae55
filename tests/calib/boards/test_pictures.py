"""What is printed: every board's black and white, exact lengths in all files, and boards that are found again."""

import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calib.boards import BoardSet, board_from
from calib.boards.files import as_pdf, as_png, as_svg
from calib.boards.pictures import draw_strokes, drawings
from calib.boards.sheets import BAR_MM, PAPERS, ruler_check, sheets
from calib.errors import CalibrationError

SPECS = {
    "charuco": "charuco:7x5:27mm:20mm:DICT_5X5_100",
    "even": "charuco:6x4:30mm:22mm:DICT_4X4_50",
    "legacy": "charuco:6x4:30mm:22mm:DICT_4X4_50:legacy",
    "inverted": "charuco:5x4:30mm:22mm:DICT_4X4_50:first=10:inverted",
    "chessboard": "chessboard:9x6:19.05mm",
    "aprilgrid": "aprilgrid:6x5:20mm:6mm:DICT_APRILTAG_36h11",
    "tags": "tags:DICT_4X4_50:60mm:3,0,17",
}


def dictionary(name):
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))


def found(made, picture):
    """Corners (N, 2) px that OpenCV finds of a board as it is described, NaN where it does not."""
    out = np.full((len(made.target), 2), np.nan)
    layout = cv2.aruco.CharucoBoard(
        (made.columns, made.rows), made.square_m, made.marker_m, dictionary(made.dictionary), np.array(made.ids)
    )
    layout.setLegacyPattern(made.legacy)
    xy, ids, *_ = cv2.aruco.CharucoDetector(layout).detectBoard(255 - picture if made.inverted else picture)
    out[ids.ravel()] = xy.reshape(-1, 2)
    return out


@pytest.mark.parametrize("kind", ["charuco", "even", "legacy", "inverted"])
def test_charuco_is_drawn_as_opencv_draws_it(kind):
    made = board_from(SPECS[kind])
    picture = drawings(made)[0].picture(made.square_m / 60)
    layout = cv2.aruco.CharucoBoard(
        (made.columns, made.rows), made.square_m, made.marker_m, dictionary(made.dictionary), np.array(made.ids)
    )
    layout.setLegacyPattern(made.legacy)
    theirs = layout.generateImage(picture.shape[::-1], marginSize=0, borderBits=1)
    theirs = 255 - theirs if made.inverted else theirs
    assert (abs(picture.astype(int) - theirs) > 128).mean() < 0.02  # theirs rounds the bits to pixels


@pytest.mark.parametrize("kind", ["charuco", "even", "legacy", "inverted"])
def test_charuco_is_found_where_its_target_says(kind):
    made, pixel = board_from(SPECS[kind]), 0.0005
    xy = found(made, drawings(made)[0].picture(pixel, 0.02))
    assert abs(xy - ((made.target.points[:, :2] + 0.02) / pixel - 0.5)).max() < 0.15


def test_chessboard_is_black_up_and_left_of_its_origin():
    made, pixel = board_from(SPECS["chessboard"]), 0.0005
    drawing = drawings(made)[0]
    assert drawing.x[0] == drawing.y[0] == -made.square_m and drawing.dark[0, 0] and not drawing.dark[0, 1]
    picture = drawing.picture(pixel, 0.02)
    good, xy = cv2.findChessboardCornersSB(picture, (9, 6))
    expected = (made.target.points[:, :2] + made.square_m + 0.02) / pixel - 0.5
    assert good
    assert min(abs(one.reshape(-1, 2) - expected).max() for one in (xy, xy[::-1])) < 0.1


def test_april_grid_is_kalibrs():
    made, pixel = board_from(SPECS["aprilgrid"]), 0.00025
    drawing = drawings(made)[0]
    assert drawing.size_m == pytest.approx(made.size_m)
    picture = drawing.picture(pixel, 0.01)
    settings = cv2.aruco.DetectorParameters()
    settings.markerBorderBits, settings.cornerRefinementMethod = 2, cv2.aruco.CORNER_REFINE_SUBPIX
    xy, ids, _ = cv2.aruco.ArucoDetector(dictionary(made.dictionary), settings).detectMarkers(picture)
    assert sorted(ids.ravel()) == list(made.ids)
    mine = ((made.target.points[:, :2] + 0.01) / pixel - 0.5).reshape(-1, 4, 2)
    for corners, name in zip(xy, ids.ravel(), strict=True):  # half a turn: OpenCV's first corner is at the lower right
        assert abs(corners[0] - mine[name][[1, 0, 3, 2]]).max() < 1.5
    assert mine[0, 0, 0] == mine[:, :, 0].min() and mine[0, 0, 1] == mine[:, :, 1].max()  # id 0 at the bottom left


def test_tags_are_pieces_of_their_own():
    made = board_from(SPECS["tags"])
    for drawing, name in zip(drawings(made), made.ids, strict=True):
        picture = drawing.picture(0.0005, 0.02)
        xy, ids, _ = cv2.aruco.ArucoDetector(dictionary(made.dictionary)).detectMarkers(picture)
        assert ids.ravel().tolist() == [name]
        assert abs(xy[0][0] - ((made.target.points[:4, :2] + 0.02) / 0.0005 - 0.5)).max() < 1.0


@pytest.mark.parametrize("kind", SPECS)
def test_rectangles_are_the_drawing(kind):
    for drawing in drawings(board_from(SPECS[kind])):
        boxes = drawing.rectangles()
        again = draw_strokes(
            [(drawing.x[0], drawing.y[0], drawing.x[-1], drawing.y[-1], False), *((*box, True) for box in boxes)]
        )
        pixel = drawing.size_m[0] / 200
        assert np.array_equal(again.picture(pixel), drawing.picture(pixel))
        area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum()
        assert area == pytest.approx((np.diff(drawing.y)[:, None] * np.diff(drawing.x) * drawing.dark).sum())


@given(st.floats(0.0003, 0.004), st.floats(0, 0.03))
def test_pictures_keep_the_area_of_ink(pixel, margin):
    drawing = drawings(board_from(SPECS["chessboard"]))[0]
    picture = drawing.picture(pixel, margin)
    ink = (1 - picture / 255.0).sum() * pixel**2
    assert ink == pytest.approx(0.5 * np.prod(drawing.size_m), rel=0.01)


# --- paper -----------------------------------------------------------------------------------------------------------


def lengths_of(boxes):
    """Horizontal and vertical lengths that occur."""
    return np.concatenate([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]])


def pdf_boxes(data):
    """Rectangles (B, 4) mm from the top left corner of each page of a PDF as we write it."""
    pages = []
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    for content, (_, high) in zip(re.findall(rb"stream\n(.*?)\nendstream", data, re.S), sizes, strict=True):
        numbers = np.array([line.split()[:4] for line in content.splitlines() if line.endswith(b" re")], float)
        x, y, wide, tall = numbers.T
        top = float(high) - y - tall
        pages.append(np.stack([x, top, x + wide, top + tall], -1) * 25.4 / 72)
    return pages


def svg_boxes(data):
    parts = re.findall(r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)H", data.decode())
    return np.array(parts, float)


@pytest.mark.parametrize("kind", SPECS)
def test_lengths_are_exact_in_every_file(kind):
    made = board_from(SPECS[kind])
    pages = sheets(made, "A4")
    in_pdf = pdf_boxes(as_pdf(pages, made.spec))
    for page, boxes in zip(pages, in_pdf, strict=True):
        assert abs(boxes - page.black).max() < 1e-4
        assert abs(svg_boxes(as_svg(page)) - page.black).max() < 1e-4
        bar = page.black[-1]
        assert bar[2] - bar[0] == pytest.approx(BAR_MM, abs=1e-9)
        assert abs(page.black[-12:, 0].min() - bar[0]) < 1e-9 and abs(page.black[-12:, 2].max() - bar[2]) < 1e-9
        assert (page.black[:, :2] > 9.99).all() and (page.black[:, 2:] < np.array(page.size_mm) - 9.99).all()
    printed = pages[0].black[:-12]
    wide, high = printed[:, 2].max() - printed[:, 0].min(), printed[:, 3].max() - printed[:, 1].min()
    if kind not in ("tags", "inverted"):  # whose white corners are no ink
        assert (wide, high) == pytest.approx(np.multiply(made.size_m, 1000), abs=1e-6)


def test_pdf_is_one_that_readers_can_walk():
    made = board_from("+".join([SPECS["charuco"], SPECS["even"]]))
    data = as_pdf(sheets(made), made.spec)
    start = int(re.search(rb"startxref\n(\d+)", data)[1])
    assert data[start:].startswith(b"xref\n0 9\n")
    for number, place in enumerate(re.findall(rb"^(\d{10}) 00000 n", data[start:], re.M), 1):
        assert data[int(place) :].startswith(b"%d 0 obj\n" % number)
    for length, content in re.findall(rb"<< /Length (\d+) >>\nstream\n(.*?)\nendstream", data, re.S):
        assert int(length) == len(content)
    assert b"/Count 2" in data and b"/PrintScaling /None" in data


def test_png_tells_its_size_and_shows_the_board():
    made = board_from(SPECS["charuco"])
    page = sheets(made)[0]
    data = as_png(page, 200)
    at = data.index(b"pHYs")
    across, down, unit = struct.unpack(">IIB", data[at + 4 : at + 13])
    assert (across, down, unit) == (7874, 7874, 1)
    assert struct.unpack(">I", data[at + 13 : at + 17])[0] == zlib.crc32(data[at : at + 13])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (int(np.ceil(297 / 25.4 * 200)), int(np.ceil(210 / 25.4 * 200)))
    xy = found(made, picture) * 25.4 / 200
    step = np.diff(xy.reshape(4, 6, 2), axis=1)[..., 0]
    assert step.mean() == pytest.approx(27, abs=0.01) and abs(step - 27).max() < 0.05
    assert (picture[int(285 / 25.4 * 200) :, :1000] < 100).any()  # text under the bar


def test_settings_are_on_the_paper_as_they_are_given_back():
    for spec in SPECS.values():
        for page in sheets(board_from(spec)):
            text = " ".join(line.text for line in page.texts)
            assert board_from(re.search(r"--board (\S+)", text)[1]).spec == board_from(spec).spec
            assert "100 mm" in text
    both = sheets(BoardSet((board_from(SPECS["charuco"]), board_from(SPECS["even"]))))
    assert "Board 2 of 2" in " ".join(line.text for line in both[1].texts)
    assert "square 27 mm and a square 30 mm" in ruler_check(board_from(f"{SPECS['charuco']}+{SPECS['even']}"))


def test_paper_is_turned_as_the_board_lies_and_tags_fill_pages():
    assert sheets(board_from("chessboard:11x5:20mm"))[0].size_mm == (297.0, 210.0)
    assert sheets(board_from("chessboard:5x11:18mm"))[0].size_mm == (210.0, 297.0)
    assert len(sheets(board_from("tags:DICT_4X4_50:60mm:0-7"))) == 2
    own = sheets(board_from("charuco:7x5:120mm:90mm:DICT_5X5_100"), "own")[0]
    assert own.size_mm[0] == pytest.approx(860) and 620 < own.size_mm[1] < 650
    assert sheets(board_from("chessboard:4x3:5mm"), "own")[0].size_mm[0] >= BAR_MM


@pytest.mark.parametrize(
    "spec", ["charuco:7x5:120mm:90mm:DICT_5X5_100", "aprilgrid:6x6:88mm:26.4mm", "chessboard:9x6:40mm"]
)
def test_board_that_is_too_large_says_what_would_do(spec):
    with pytest.raises(CalibrationError, match=r"does not fit on A4") as told:
        sheets(board_from(spec))
    larger = re.search(r"paper (A\d)", str(told.value))[1]
    smaller = re.search(r"or (\S+), the largest that fits", str(told.value))[1]
    assert sheets(board_from(spec), larger) and sheets(board_from(smaller), "a4")
    assert "\n" not in str(told.value)
    area = [np.prod(size) for size in PAPERS.values()]
    assert area[0] < area[1] < area[2] < area[3] < area[4]
