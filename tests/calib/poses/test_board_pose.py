"""Poses of targets in single pictures: exact where the picture is, two where two fit, none where nothing is fixed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ring_rigs import DISTORTION
from seen_boards import BOARD, SMALL

from calib import Camera, Lens, geometry
from calib.bundle.equations import small_motion
from calib.poses.board_pose import board_poses, homographies
from calib.targets import Target, wand

K = np.array([[1000.0, 0, 640], [0, 1005.0, 350], [0, 0, 1]])
PINHOLE = Lens("one", (1280, 720), K, np.array(DISTORTION["pinhole"]))
ANGLES = st.floats(-0.7, 0.7)


def seen_from(poses, target, lens=PINHOLE, noise=0.0):
    """Pixels (T, N, 2) of a target at cam_from_body (T, 4, 4)."""
    xy = np.stack([Camera(lens, pose).project(target.points) for pose in poses])
    return xy + np.random.default_rng(0).normal(0, noise, xy.shape) if noise else xy


def at(turned, place=(0.0, 0.0, 2.0)):
    """cam_from_body of a board that faces the camera but for a turn, its middle somewhere."""
    R = geometry.rotation_from_vector(np.asarray(turned, float))
    return geometry.pose(R, np.asarray(place) - R @ BOARD.target.points.mean(0))


@given(ANGLES, ANGLES, ANGLES, st.floats(-0.3, 0.3), st.floats(-0.2, 0.2), st.floats(1.2, 6.0))
def test_the_pose_of_a_flat_board_is_exact(a, b, c, x, y, z):
    pose = at((a, b, c), (x * z, y * z, z))
    found = board_poses(seen_from([pose], BOARD.target), BOARD.target, PINHOLE)
    np.testing.assert_allclose(found.cam_from_piece[0, 0, 0], pose, atol=1e-4)
    assert found.rms[0, 0, 0] < 1e-3


@pytest.mark.parametrize("model", DISTORTION)
def test_every_lens_model_will_do(model):
    lens = Lens("one", (1280, 720), K, np.array(DISTORTION[model]), model)
    pose = at((0.4, -0.3, 0.2), (0.2, 0.1, 1.5))
    found = board_poses(seen_from([pose], BOARD.target, lens), BOARD.target, lens)
    np.testing.assert_allclose(found.cam_from_piece[0, 0, 0], pose, atol=1e-5)


def test_a_flat_piece_may_lie_anywhere_in_its_frame():
    """Tags on the walls of a room have points whose z is not zero."""
    tilted = Target("wall", geometry.transform(small_motion(np.array([0.7, -1.1, 0.4, 2.0, -3.0, 1.0])), SMALL.points))
    middle = tilted.points.mean(0)
    pose = geometry.pose(np.eye(3), np.array([0, 0, 2.5]) - middle)
    found = board_poses(seen_from([pose], tilted), tilted, PINHOLE)
    np.testing.assert_allclose(found.cam_from_piece[0, 0, 0], pose, atol=1e-5)


def test_a_body_with_depth_has_one_pose():
    solid = Target("cube", np.random.default_rng(2).uniform(-0.3, 0.3, (12, 3)))
    pose = geometry.pose(geometry.rotation_from_vector([0.5, 1.0, -0.4]), [0.1, 0.0, 2.0])
    xy = seen_from([pose, pose], solid)
    xy[1, 5:] = np.nan  # five points are too few for a body of any shape
    found = board_poses(xy, solid, PINHOLE)
    np.testing.assert_allclose(found.cam_from_piece[0, 0, 0], pose, atol=1e-5)
    assert np.isnan(found.cam_from_piece[:, 1]).all()
    assert np.isnan(found.rms[:, 1]).all()


def test_a_small_board_far_away_has_two_poses_that_fit_nearly_as_well():
    small = Target("small", SMALL.points * 0.2)
    R = geometry.rotation_from_vector([0.0, 0.6, 0.0])
    pose = geometry.pose(R, [0.2, 0.1, 4.0])
    xy = seen_from(np.tile(pose, (40, 1, 1)), small, noise=0.3)
    found = board_poses(xy, small, PINHOLE)
    np.testing.assert_array_less(found.rms[0, :, 0], found.rms[1, :, 0])
    assert np.median(found.rms[1, :, 0] / found.rms[0, :, 0]) < 1.5
    turned = np.trace(found.cam_from_piece[:, :, 0, :3, :3] @ R.T, axis1=-2, axis2=-1)
    off = np.rad2deg(np.arccos(np.clip((turned - 1) / 2, -1, 1)))
    assert np.mean(off[0] < 15) < 1.0  # the better one is not always the true one
    assert np.mean(off.min(0) < 15) > 0.9  # but one of them is


def test_pieces_are_found_each_for_itself():
    target = Target("two", np.tile(SMALL.points, (2, 1)), np.repeat([0, 1], 12), ("a", "b"))
    poses = [at((0.2, 0.3, 0.0), (0.3, 0, 2)), at((-0.4, 0.1, 0.5), (-0.4, 0, 2.2))]
    xy = np.concatenate([seen_from([pose], SMALL) for pose in poses], 1)
    xy = np.concatenate([xy, xy])
    xy[1, 12:] = np.nan
    found = board_poses(xy, target, PINHOLE)
    assert found.cam_from_piece.shape == (2, 2, 2, 4, 4)
    np.testing.assert_allclose(found.cam_from_piece[0, 0], poses, atol=1e-5)
    assert np.isnan(found.rms[0, 1, 1])


@pytest.mark.parametrize("kept", [[], [0], [0, 1, 2], [0, 1, 2, 3, 4, 5, 6], [0, 1, 7]], ids=str)
def test_too_few_points_or_points_on_a_line_fix_nothing(kept):
    xy = seen_from([at((0.3, 0.2, 0.1))], BOARD.target)
    xy[0, [index for index in range(len(BOARD.target)) if index not in kept]] = np.nan
    found = board_poses(xy, BOARD.target, PINHOLE)
    assert np.isnan(found.cam_from_piece).all()
    assert np.isnan(found.rms).all()


def test_a_wand_alone_has_no_pose():
    target = wand([0.0, 0.2, 0.3, 0.5, 0.6])
    xy = seen_from([geometry.pose(np.eye(3), [0, 0, 2.0])], target)
    assert np.isnan(board_poses(xy, target, PINHOLE).rms).all()


@given(st.integers(0, 2**31))
def test_nonsense_gives_a_pose_in_front_or_none_but_no_error(seed):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-200, 1500, (3, len(BOARD.target), 2))
    xy[1] = 300.0
    xy[2, rng.random(len(BOARD.target)) < 0.85] = np.nan
    found = board_poses(xy, BOARD.target, PINHOLE)
    known = np.isfinite(found.rms)
    assert np.isfinite(found.cam_from_piece[known]).all()
    depth = geometry.transform(found.cam_from_piece[known][:, None], BOARD.target.points[None])[..., 2]
    seen = np.broadcast_to(np.isfinite(xy).all(-1)[None, :, None], (*found.rms.shape, len(BOARD.target)))[known]
    assert np.all(depth[seen] > 0)


def test_homographies_are_those_of_opencv():
    cv2 = pytest.importorskip("cv2")
    poses = [at((0.3, 0.2, 0.1)), at((-0.5, 0.1, 1.0), (0.3, -0.1, 3.0))]
    xy = seen_from(poses, BOARD.target, noise=0.5)
    xy[1, ::3] = np.nan
    maps = homographies(xy, BOARD.target.points)
    for row, found in zip(xy, maps, strict=True):
        seen = np.isfinite(row).all(-1)
        theirs, _ = cv2.findHomography(BOARD.target.points[seen, :2], row[seen])
        plane = np.array([[0.0, 0, 1], [0.6, 0, 1], [0.6, 0.4, 1], [0, 0.4, 1]])
        mine, other = plane @ found.T, plane @ theirs.T
        np.testing.assert_allclose(mine[:, :2] / mine[:, 2:], other[:, :2] / other[:, 2:], atol=0.15)


def test_homographies_need_four_points_that_are_not_on_a_line():
    xy = np.tile(seen_from([at((0.3, 0.2, 0.1))], BOARD.target), (3, 1, 1))
    xy[0, 3:] = np.nan
    xy[1, 7:] = np.nan
    xy[2] = np.nan
    assert np.isnan(homographies(xy, BOARD.target.points)).all()
