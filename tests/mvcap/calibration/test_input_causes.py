"""What is wrong with board or pictures is named before its symptoms: parity, mirrored pictures, frame rates."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from generated_boards import arc_rig

from calib.boards import board_from
from calib.calibrate import calibrate
from calib.calibration import SYMPTOM, Finding
from calib.errors import CalibrationError
from calib.geometry import pose, rotation_from_vector, transform
from calib.observations import Observations
from calib.targets import two_sided
from mvcap.calibration.image_sets import ImageSet
from mvcap.calibration.input_causes import Sides, made_from_board
from mvcap.calibration.moments import Moments

RIG = arc_rig(3, 6)
CHARUCO, CHESSBOARD = board_from("charuco:7x5:120mm:90mm:DICT_5X5_100"), board_from("chessboard:6x5:90mm")
FRONT = Sides(dict.fromkeys(RIG.names, 12), dict.fromkeys(RIG.names, 0))


def lens_is_known(seen):
    return calibrate(seen, lenses={camera.name: camera.lens for camera in RIG}, fix_lenses=True)


def seen_of(board, moments=12, seed=0, noise_px=0.05):
    """A rig's observations of a board that stands here and there, and the moments' Moments."""
    rng = np.random.default_rng(seed)
    R = rotation_from_vector(rng.normal(0, 0.3, (moments, 3))) @ np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    bodies = pose(R, np.array([0.0, 0, 1.1]) + rng.uniform(-0.4, 0.4, (moments, 3)))
    world = transform(bodies[:, None], board.target.points - board.target.points.mean(0))
    xy = np.stack([camera.project(world) for camera in RIG])
    xy += rng.normal(0, noise_px, xy.shape)
    sizes = tuple(camera.size for camera in RIG)
    names, clock = tuple(map(str, range(moments))), np.tile(np.arange(moments) * 1.0, (len(RIG), 1))
    return Observations(board.target, RIG.names, sizes, xy, np.full(xy.shape[:3], noise_px), clock, names)


def material(time_s=None, rates=(10.0, 10.0, 10.0)):
    views = tuple(
        ImageSet(name, footage=SimpleNamespace(rate_hz=rate, path=Path(name)))
        for name, rate in zip(RIG.names, rates, strict=True)
    )
    time_s = np.tile(np.arange(12.0), (3, 1)).T if time_s is None else time_s
    return Moments(views, np.zeros(time_s.shape, np.int64), time_s, tuple(map(str, range(len(time_s)))))


def flipped_chessboard(seen, view):
    """What a detector makes of the mirror image of a chessboard of 6 by 5 corners: it reads its columns backwards."""
    row = seen.views.index(view)
    order = np.arange(30).reshape(5, 6)[:, ::-1].ravel()
    xy = np.array(seen.xy)
    xy[row] = xy[row][:, order]
    xy[row, ..., 0] = seen.sizes[row][0] - 1 - xy[row, ..., 0]
    return replace(seen, xy=xy)


def flipped_charuco(seen, view):
    """A mirrored view sees the back of the board only."""
    row, count = seen.views.index(view), len(seen.target)
    xy = np.concatenate([seen.xy, np.full_like(seen.xy, np.nan)], 2)
    xy[row, :, count:] = seen.xy[row] * [-1, 1] + [seen.sizes[row][0] - 1, 0]
    xy[row, :, :count] = np.nan
    sigma = np.where(np.isfinite(xy[..., 0]), 0.05, np.nan)
    return replace(seen, target=two_sided(seen.target), xy=xy, sigma=sigma)


def test_a_board_that_is_seen_well_gives_no_cause():
    made = made_from_board(lens_is_known, seen_of(CHARUCO), material(), CHARUCO, FRONT)
    assert made.verdict != "do not use" and all(one.rank == SYMPTOM for one in made.findings)


@pytest.mark.parametrize(("board", "flip"), [(CHARUCO, flipped_charuco), (CHESSBOARD, flipped_chessboard)])
def test_one_mirrored_view_is_named(board, flip):
    view = RIG.names[1]
    sides = Sides(FRONT.seen, {**FRONT.mirrored, view: 12} if board is CHARUCO else FRONT.mirrored)
    whole = seen_of(board)
    try:
        made = made_from_board(lens_is_known, flip(whole, view), material(), board, sides)
        assert made.verdict == "do not use" and made.reason.startswith(f"{view}: its pictures are mirrored")
        assert view in made.next_action and "hflip" in made.next_action
    except CalibrationError as error:
        assert str(error).startswith(f"{view}: its pictures are mirrored")


def test_all_views_mirrored_is_said():
    made = made_from_board(lens_is_known, seen_of(CHARUCO), material(), CHARUCO, replace(FRONT, mirrored=FRONT.seen))
    assert made.verdict == "usable with limits" and "no view ever shows the front" in made.reason
    assert "36 detections" in made.reason and "hflip" in made.next_action
    some = replace(FRONT, mirrored={**FRONT.mirrored, RIG.names[0]: 12})
    made = made_from_board(lens_is_known, seen_of(CHARUCO), material(), CHARUCO, some)
    assert "front" not in made.reason  # a camera on the other side of a board that is printed on both


@pytest.mark.parametrize("spec", ["chessboard:8x6:90mm", "chessboard:7x5:90mm"])
def test_a_chessboard_that_looks_the_same_turned_by_half_is_the_cause(spec):
    board = board_from(spec)
    seen = seen_of(board)
    made = made_from_board(lens_is_known, seen, material(), board, FRONT)
    assert made.verdict != "do not use" and "turned by half" not in made.reason
    assert any("turned by half" in one.what and one.severity == "note" for one in made.findings)
    xy = np.array(seen.xy)
    xy[1] = xy[1, :, ::-1]  # a camera upside down
    try:
        made = made_from_board(lens_is_known, replace(seen, xy=xy), material(), board, FRONT)
        assert made.verdict == "do not use" and made.reason.startswith(f"the board: {board.spec} looks the same")
        assert "ChArUco" in made.next_action
    except CalibrationError as error:
        assert str(error).startswith(f"the board: {board.spec} looks the same")


def test_different_frame_rates_are_the_cause_where_the_pictures_do_not_fit():
    seen = seen_of(CHARUCO)
    late = np.tile(np.arange(12.0), (3, 1)).T + np.array([0, 0.05, 0.03])
    rates = (10.0, 8.0, 10.0)
    made = made_from_board(lens_is_known, seen, material(late, rates), CHARUCO, FRONT)
    assert made.verdict != "do not use" and any("rates differ" in one.what for one in made.findings)
    xy = np.array(seen.xy)
    xy[1] = np.roll(xy[1], 1, axis=0)  # each picture is of another moment
    bad = replace(seen, xy=xy)
    try:
        made = made_from_board(lens_is_known, bad, material(late, rates), CHARUCO, FRONT)
        assert made.verdict == "do not use" and made.reason.startswith("the videos: their frame rates differ")
        assert "8" in made.reason and "50 ms" in made.reason
    except CalibrationError as error:
        assert str(error).startswith("the videos: their frame rates differ")
    made_or_not = []
    try:
        made_or_not.append(made_from_board(lens_is_known, bad, material(), CHARUCO, FRONT).reason)
    except CalibrationError as error:
        made_or_not.append(str(error))
    assert "rates" not in made_or_not[0]


def test_a_late_camera_is_the_reason_before_residuals_and_a_limit_of_a_lens():
    from calib.quality.verdict import main_reason

    symptom = Finding("refuse", "the rig", "residuals are large", "check")
    late = Finding("limit", "cam2", "its images are 40 ms later", "shift", 2)
    lens = Finding("limit", "cam1", "the lens is extrapolated", "film the corners")
    assert main_reason([symptom, lens, late]) is late
    assert main_reason([symptom, lens]) is symptom and main_reason([lens]) is None
