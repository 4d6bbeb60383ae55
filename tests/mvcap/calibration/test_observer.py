"""From pictures to observations of a board or of measured points, and the page on which points are clicked."""

import base64
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_take import make_session

from calib.boards import board_from
from mvcap.calibration.click_page import write_click_page
from mvcap.calibration.control_points import control_point_observations, read_control_points
from mvcap.calibration.image_sets import find_lens_photos
from mvcap.calibration.moments import find_moments
from mvcap.calibration.observer import Observer
from mvcap.errors import InputError
from mvcap.progress import silent

BOARD, SQUARE, SIZE = board_from("chessboard:5x4:30mm"), 20, (180, 140)
CORNERS = {"cam1": [(20, 12), (32, 20)], "cam2": [(12, 24), (24, 8)]}  # left, top of the board in each picture


def picture(left, top):
    """A board of 6 by 5 squares that faces the camera."""
    image = np.full((SIZE[1], SIZE[0]), 225, np.uint8)
    for row in range(5):
        for column in range(row % 2, 6, 2):
            x, y = left + SQUARE * column, top + SQUARE * row
            image[y : y + SQUARE, x : x + SQUARE] = 25
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def inner_corners(left, top):
    """Pixels (20, 2) of the corners between squares, row by row; a pixel's centre is a whole number."""
    column, row = np.meshgrid(np.arange(1, 6), np.arange(1, 5))
    return np.stack([left + SQUARE * column, top + SQUARE * row], -1).reshape(-1, 2) - 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of two cameras at three moments; the third shows nothing."""
    place = tmp_path_factory.mktemp("stills")
    for camera, corners in CORNERS.items():
        for number, (left, top) in enumerate(corners):
            cv2.imwrite(str(place / f"{camera}_{number}.png"), picture(left, top))
        cv2.imwrite(str(place / f"{camera}_2.png"), np.full((SIZE[1], SIZE[0]), 200, np.uint8))
    return place


@pytest.fixture(scope="module")
def cache(tmp_path_factory, folder):
    """A folder in which what was found in these pictures is kept."""
    place = tmp_path_factory.mktemp("found")
    Observer(place, silent).board(find_moments(folder), BOARD)
    return place


@pytest.fixture
def observer(cache, monkeypatch):
    """One that does not look for boards of any kind where it refuses: that takes seconds."""
    monkeypatch.setattr("mvcap.calibration.observer.looks_like", lambda pictures, board: None)
    return Observer(cache, silent)


# --- a board ---------------------------------------------------------------------------------------------------------


def test_corners_are_observed_where_they_are(observer, folder):
    seen = observer.board(find_moments(folder), BOARD)
    assert seen.views == ("cam1", "cam2") and seen.sizes == (SIZE, SIZE)
    assert seen.moments == ("0", "1"), "a moment without any observation of the board is left out"
    assert seen.seen.sum(2).tolist() == [[20, 20], [20, 20]]
    for view, corners in enumerate(CORNERS.values()):
        for moment, place in enumerate(corners):
            found = seen.xy[view, moment]
            there = inner_corners(*place)
            assert min(np.abs(found - there).max(), np.abs(found[::-1] - there).max()) < 0.1
    assert np.isnan(seen.time_s).all() and (seen.sigma[seen.seen] > 0).all()


def test_pictures_are_searched_once_and_kept(observer, folder, cache, monkeypatch):
    kept = sorted(cache.rglob("*.npz"))
    assert kept
    monkeypatch.setattr(cv2, "findChessboardCornersSB", None)
    monkeypatch.setattr(cv2, "findChessboardCorners", None)
    again = observer.board(find_moments(folder), BOARD)
    assert again.seen.sum() == 80 and sorted(cache.rglob("*.npz")) == kept


def test_a_view_without_a_picture_of_a_moment_has_no_observation_then(observer, folder):
    found = find_moments(folder)
    shown = found.shown.copy()
    shown[1, 0] = -1
    seen = observer.board(replace(found, shown=shown), BOARD)
    assert seen.seen.sum(2).tolist() == [[20, 0], [20, 20]]


def test_views_that_never_see_the_board_at_once_make_no_rig(observer, folder):
    found = find_moments(folder)
    shown = found.shown.copy()
    shown[0, 1] = shown[1, 0] = -1
    with pytest.raises(InputError, match="cam1"):
        observer.board(replace(found, shown=shown), BOARD)
    shown[:, 1] = -1
    with pytest.raises(InputError, match="cam2"):
        observer.board(replace(found, shown=shown), BOARD)


def test_what_cannot_make_a_rig_is_refused(observer, folder, tmp_path):
    found = find_moments(folder)
    with pytest.raises(InputError, match="cam1"):
        observer.board(replace(found, views=found.views[:1], shown=found.shown[:, :1]), BOARD)
    with pytest.raises(InputError, match="--board"):
        observer.board(replace(found, shown=found.shown[2:], moments=("2",), time_s=found.time_s[2:]), None)
    session = make_session(tmp_path, 3, people=1, cameras=2)
    with pytest.raises(InputError, match="--people"):
        observer.board(find_moments(session), BOARD)


def test_a_board_that_is_in_no_picture_is_refused(observer, folder):
    found = find_moments(folder)
    with pytest.raises(InputError, match=re.escape(BOARD.spec)):
        observer.board(replace(found, shown=found.shown[2:], moments=("2",), time_s=found.time_s[2:]), BOARD)


# --- lenses ----------------------------------------------------------------------------------------------------------


def test_photos_for_lenses_are_a_table_for_each_camera(observer, folder):
    tables = observer.lenses(find_lens_photos(folder), BOARD, None)
    assert [table.views for table in tables] == [("cam1",), ("cam2",)]
    assert all(table.seen.sum(2).tolist() == [[20, 20]] for table in tables)
    assert tables[0].moments == ("cam1_0.png", "cam1_1.png")
    assert observer.lenses(find_lens_photos(folder), BOARD, 1)[0].seen.shape[1] == 1
    assert observer.lenses((), BOARD, None) == ()
    with pytest.raises(InputError, match="--board"):
        observer.lenses(find_lens_photos(folder)[:1], None, None)


# --- measured points -------------------------------------------------------------------------------------------------

POINTS = {"a": (0, 0, 0), "b": (1, 0, 0), "c": (0, 1, 0), "d": (0.5, 0.5, 1)}


def point_files(folder):
    points, pixels = folder / "points.csv", folder / "pixels.csv"
    points.write_text("\n".join(["name,x_m,y_m,z_m", *(f"{name},{x},{y},{z}" for name, (x, y, z) in POINTS.items())]))
    rows = [f"{view},{name},{10 * at + 3},{5 * at + 2}" for view in CORNERS for at, name in enumerate(POINTS)]
    pixels.write_text("\n".join(["view,name,u,v", *rows]))
    return points, pixels


def test_points_with_pixels_are_observed_and_without_a_page_asks_for_them(observer, folder, tmp_path):
    points, pixels = point_files(tmp_path)
    seen = observer.scene(find_moments(folder), points, pixels)
    expected = control_point_observations(read_control_points(points, pixels), ("cam1", "cam2"), [SIZE, SIZE])
    np.testing.assert_array_equal(seen.xy, expected.xy)
    assert seen.xy[1, 0, 2].tolist() == [23, 12]
    fresh = Observer(tmp_path, silent)
    with pytest.raises(InputError, match=r"click\.html"):
        fresh.scene(find_moments(folder), points, None)
    assert (tmp_path / "click.html").stat().st_size > 1000


# --- the page --------------------------------------------------------------------------------------------------------


def held_by(page):
    """Points and pictures that a page holds."""
    text = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'= (\{"points".*\});', text)[1])
    images = {}
    for view in data["views"]:
        kind, _, encoded = view["data"].partition(";base64,")
        assert kind == "data:image/jpeg"
        images[view["name"]] = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    return data["points"], images, text


def test_a_page_holds_the_first_picture_of_every_view(folder, tmp_path):
    write_click_page(tmp_path / "click.html", ["a", "b"], find_moments(folder).views)
    points, images, text = held_by(tmp_path / "click.html")
    assert points == ["a", "b"] and list(images) == ["cam1", "cam2"]
    for name, image in images.items():
        true = cv2.imread(str(folder / f"{name}_0.png"))
        assert image.shape == true.shape and np.abs(image.astype(int) - true).mean() < 3
    assert "http:" not in text.replace("http://www.w3.org", "") and "https:" not in text, "it works without a network"


def test_colours_are_not_exchanged(tmp_path):
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 2] = 220
    for camera in ("cam1", "cam2"):
        cv2.imwrite(str(tmp_path / f"{camera}_0.png"), red)
    write_click_page(tmp_path / "click.html", ["a"], find_moments(tmp_path).views)
    _, images, _ = held_by(tmp_path / "click.html")
    assert images["cam1"][20, 30, 2] > 200 > 50 > images["cam1"][20, 30, 0]


def test_names_of_points_cannot_end_the_script(folder, tmp_path):
    write_click_page(tmp_path / "click.html", ["</script><b>", 'a "quote"'], find_moments(folder).views)
    points, _, text = held_by(tmp_path / "click.html")
    assert points == ["</script><b>", 'a "quote"'] and text.count("</script>") == 1


def test_a_picture_that_cannot_be_read_is_passed_over_and_a_view_of_none_is_named(tmp_path):
    for camera in ("cam1", "cam2"):
        (tmp_path / f"{camera}_0.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "cam1_1.png"), np.full((30, 40, 3), 90, np.uint8))
    views = find_moments(tmp_path).views
    with pytest.raises(InputError, match="cam2"):
        write_click_page(tmp_path / "click.html", ["a"], views)
    assert not (tmp_path / "click.html").exists()
    write_click_page(tmp_path / "click.html", ["a"], views[:1])
    assert held_by(tmp_path / "click.html")[1]["cam1"].shape == (30, 40, 3)
