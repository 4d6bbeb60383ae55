"""The world by a board, by points, by people, and its scale: against a world that is known."""

import numpy as np
import pytest

from calib import CalibrationError
from calib.align import align_to_board, align_to_people, align_to_points, scale_check, unit_from_points
from calib.boards import Chessboard
from calib.geometry import pose, rotation_from_vector, transform
from calib.targets import free_points

OLD_FROM_NEW = pose(rotation_from_vector([0.3, -0.5, 1.1]), [0.7, -2.0, 0.4])
MARKS = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [1, 1, 1.5], [-1, 2, 0.5]])
BOARD = Chessboard(9, 6, 0.1)


def same(rig, other, atol=1e-9):
    np.testing.assert_allclose(rig.cam_from_world, other.cam_from_world, atol=atol)


@pytest.fixture
def lost(rig):
    """The rig in a world that means nothing."""
    return rig.moved(OLD_FROM_NEW)


def test_a_moved_rig_sees_the_same(rig, points):
    turned = rig.moved(OLD_FROM_NEW)
    np.testing.assert_allclose(turned.project(transform(OLD_FROM_NEW, points)), rig.project(points), atol=1e-8)


@pytest.mark.parametrize("face_down", [False, True])
def test_a_board_on_the_floor_makes_the_world(rig, lost, face_down):
    flip = np.diag([1.0, -1, -1]) if not face_down else np.eye(3)  # z of a board goes into it: down, where it lies
    world_from_board = pose(flip, [0, 0, 0])
    found = align_to_board(lost, BOARD.target, OLD_FROM_NEW @ world_from_board)
    same(found.rig, rig)
    assert ("face down" in found.summary()) == face_down
    assert "above the floor" in found.summary()


def test_the_origin_may_be_the_middle_and_x_is_along_the_longer_side(rig, lost):
    tall = Chessboard(6, 9, 0.1)
    found = align_to_board(lost, tall.target, OLD_FROM_NEW @ pose(np.diag([1.0, -1, -1]), [0, 0, 0]), origin="middle")
    middle = (tall.target.points.min(0) + tall.target.points.max(0)) / 2 * (1, -1, -1)
    np.testing.assert_allclose(transform(found.new_from_old, transform(OLD_FROM_NEW, middle)), 0, atol=1e-12)
    along = found.new_from_old[:3, :3] @ OLD_FROM_NEW[:3, :3] @ [0, -1.0, 0]
    np.testing.assert_allclose(along, [1, 0, 0], atol=1e-12)


def test_only_flat_things_tell_a_floor(lost):
    with pytest.raises(CalibrationError, match="not flat"):
        align_to_board(lost, free_points(4), np.eye(4))
    with pytest.raises(CalibrationError, match="board and its pose"):
        align_to_board(lost)


def test_measured_points_make_the_world_by_their_pixels(rig, lost):
    xy = rig.project(MARKS) + np.random.default_rng(1).normal(0, 0.3, (len(rig), len(MARKS), 2))
    xy[0, 2] = np.nan
    found = align_to_points(lost, MARKS, xy=xy, names=["a", "b", "c", "d", "e"])
    same(found.rig, rig, 0.01)
    assert 0 < found.rms_m < 0.003 and abs(found.scale - 1) < 1e-3 and "5 points fit" in found.summary()


def test_points_also_say_the_scale_and_a_wrong_unit(rig, lost):
    halved = lost.scaled_world(0.5)
    places = 0.5 * transform(OLD_FROM_NEW, MARKS)
    found = align_to_points(halved, MARKS, points=places)
    same(found.rig, rig)
    assert found.scale == pytest.approx(2) and "differed by -50.00 %" in found.summary()
    kept = align_to_points(halved, MARKS, points=places, scale=False)
    assert kept.scale == 1 and kept.rms_m > 0.3 and "was not corrected" in kept.summary()
    assert "millimetres" in align_to_points(lost, 1000 * MARKS, points=transform(OLD_FROM_NEW, MARKS)).summary()


def test_points_that_tell_no_world_are_refused(lost):
    places = transform(OLD_FROM_NEW, MARKS)
    line = np.linspace(0, 1, 4)[:, None] * [1.0, 2, 0.5]
    with pytest.raises(CalibrationError, match="on a line"):
        align_to_points(lost, line, points=transform(OLD_FROM_NEW, line))
    with pytest.raises(CalibrationError, match="only mirrored"):
        align_to_points(lost, MARKS * (1, -1, 1), points=places)
    with pytest.raises(CalibrationError, match="three are needed"):
        align_to_points(lost, MARKS[:2], points=places[:2])
    with pytest.raises(CalibrationError, match="pixels in two views"):
        align_to_points(lost, MARKS)
    with pytest.raises(CalibrationError, match="one for each point of the rig"):
        align_to_points(lost, MARKS, points=places[:3])


def walkers(seed=0, bent=0.05):
    """Feet (N, 3), a third of them in the air and a few far below by mistake, and upright bodies, z up."""
    rng = np.random.default_rng(seed)
    feet = np.c_[rng.uniform(-2, 2, (600, 2)), rng.normal(0, 0.01, 600)]
    feet[:200, 2] += rng.uniform(0, 0.25, 200)
    feet[200:210, 2] += rng.normal(0, 0.5, 10)
    up = rng.normal((0, 0, 1.6), (0.1, 0.1, 0.02), (300, 3))
    up[: int(bent * 300)] = rng.normal(0, 1, (int(bent * 300), 3))
    return feet, up


def test_people_make_a_floor(rig, lost):
    feet, up = walkers()
    found = align_to_people(lost, transform(OLD_FROM_NEW, feet), up @ OLD_FROM_NEW[:3, :3].T)
    tilt = np.rad2deg(np.arccos((found.new_from_old @ OLD_FROM_NEW)[2, 2]))
    assert tilt < 0.3
    assert abs((found.rig.positions[:, 2] - rig.positions[:, 2]).mean()) < 0.015
    assert "above the floor" in found.summary()


def test_people_who_stand_in_one_place_leave_the_tilt_to_their_bodies(lost):
    feet, up = walkers()
    found = align_to_people(lost, transform(OLD_FROM_NEW, feet * (0.02, 0.02, 1)), up @ OLD_FROM_NEW[:3, :3].T)
    assert np.rad2deg(np.arccos((found.new_from_old @ OLD_FROM_NEW)[2, 2])) < 2


def test_nobody_makes_no_floor(lost):
    with pytest.raises(CalibrationError, match="too few to fit a floor"):
        align_to_people(lost, np.full((20, 3), np.nan), np.ones((3, 3)))


def test_lengths_tell_the_scale():
    rng = np.random.default_rng(2)
    measured = MARKS / 1.02 + rng.normal(0, 0.001, MARKS.shape)
    lengths = {(a, b): float(np.linalg.norm(MARKS[a] - MARKS[b])) for a in range(5) for b in range(a)}
    found = scale_check(measured, lengths)
    assert abs(found.ratio - 1.02) < 4 * found.sigma and found.sigma < 0.002 and "have an error of -" in found.summary()
    assert "the scale is right" in scale_check(MARKS, lengths).summary()
    assert "millimetres" in scale_check(1000 * MARKS, lengths).summary()
    assert len(scale_check(np.where(np.arange(5)[:, None] == 4, np.nan, MARKS), lengths).ratios) == 10
    with pytest.raises(CalibrationError, match="above 0"):
        scale_check(MARKS, {(0, 1): 0.0})
    with pytest.raises(CalibrationError, match="both its ends"):
        scale_check(np.full((5, 3), np.nan), lengths)


def test_units_are_known_by_their_factor():
    assert [unit_from_points(factor) for factor in (1000, 0.001, 0.01, 25.4 / 1000, 1.02, np.nan)] == [
        "millimetres", "millimetres", "centimetres", "inches", None, None
    ]  # fmt: skip


def test_a_calibration_knows_where_its_board_was(rig, lost):
    from calib.calibration import Calibration
    from calib.observations import Observations

    shape = (len(rig), 2, len(BOARD.target))
    seen = Observations(BOARD.target, rig.names, tuple(c.size for c in rig), np.full((*shape, 2), np.nan),
                        np.full(shape, np.nan), np.zeros(shape[:2]), ("a", "b"))  # fmt: skip
    places = np.stack([np.full((4, 4), np.nan), OLD_FROM_NEW @ pose(np.diag([1.0, -1, -1]), [0, 0, 0])])
    made = object.__new__(Calibration)
    held = {"rig": lost, "observations": seen, "world_from_body": places, "body_from_piece": np.eye(4)[None]}
    for name, value in held.items():
        object.__setattr__(made, name, value)
    same(align_to_board(made, moment="b").rig, rig)
    same(align_to_board(made, moment=1).rig, rig)
    with pytest.raises(CalibrationError, match="not known at 'a'; the nearest moment with a pose is 'b'"):
        align_to_board(made, moment=0)
    with pytest.raises(CalibrationError, match="no moment is named 'c'"):
        align_to_board(made, moment="c")
    with pytest.raises(CalibrationError, match="counted from 0"):
        align_to_board(made, moment=5)
