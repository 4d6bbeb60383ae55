"""First poses from pairs: exact without noise, sure of what agrees, and honest about who hangs together with whom."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_boards import BOARD, SMALL, arc_rig, board_sightings, in_place, pose_error, scattered, sightings, with_poses

from calib import geometry
from calib.bundle.equations import small_motion
from calib.poses.consensus import consensus_pose
from calib.poses.extrinsics import connect_views, place_bodies
from calib.targets import Target, scene_points


def lenses_of(rig):
    return [camera.lens for camera in rig]


def apart(pieces=2):
    """A target of pieces that are 0.9 m apart and face all ways, and where they are: body_from_piece (B, 4, 4)."""
    target = Target(
        "boards", np.tile(BOARD.target.points, (pieces, 1)), np.repeat(range(pieces), 35), tuple("abcdef"[:pieces])
    )
    steps = np.array([[0.0, 0.4 * index, 0.1 * index, 0.9 * index, 0.1 * index, 0] for index in range(pieces)])
    return target, small_motion(steps)


def of_pieces(rig, target, pieces, poses, shown, noise=0.0):
    """Sightings of a target of several pieces; shown (C, B): which camera sees which piece."""
    body = geometry.transform(pieces[target.of_piece], target.points)
    seen = sightings(rig, target, geometry.transform(poses[:, None], body[None]), noise)
    return replace(seen, sigma=np.where(np.array(shown)[:, target.of_piece][:, None], seen.sigma, np.nan))


def test_without_noise_the_start_is_the_truth():
    rig, poses = arc_rig(4, 6), scattered(10, 4)
    seen = board_sightings(rig, poses, 0.0)
    start = connect_views(seen, lenses_of(rig))
    angle, shift = pose_error(with_poses(rig, start.cam_from_world), rig)
    assert angle < 1e-3
    assert shift < 1e-4
    assert not start.unconnected
    world = geometry.invert(rig.cam_from_world[0])
    known = np.isfinite(start.world_from_body[:, 0, 0])
    assert known.sum() >= 9
    np.testing.assert_allclose((world @ start.world_from_body)[known], poses[known], atol=1e-4)


def test_pairs_say_how_many_moments_and_how_unsure():
    rig, poses = arc_rig(3, 6), scattered(14, 4)
    seen = board_sightings(rig, poses, 0.2)
    start = connect_views(seen, lenses_of(rig))
    assert {(pair.a, pair.b) for pair in start.pairs} == {("cam01", "cam02"), ("cam01", "cam03"), ("cam02", "cam03")}
    assert sum(pair.in_tree for pair in start.pairs) == 2
    together = (seen.seen.sum(-1) >= 4).astype(int)
    for pair in start.pairs:
        a, b = seen.views.index(pair.a), seen.views.index(pair.b)
        assert 0 < pair.moments <= (together[a] * together[b]).sum()
        assert 0 < pair.error_deg < 3
        assert 0 < pair.error_m < 0.2
    angle, shift = pose_error(with_poses(rig, start.cam_from_world), rig)
    worst = max(pair.error_deg for pair in start.pairs)
    assert angle < 4 * worst
    assert shift < 0.15


def test_the_tree_takes_the_sure_pairs():
    """Every pair has moments of its own; those of the outer two are noisy, so the way goes through the middle."""
    rig, poses = arc_rig(3, 6, degrees=60), scattered(18, 4)
    seen = board_sightings(rig, poses, 0.1)
    turn = np.arange(18) % 3
    sigma = np.where((turn == np.array([1, 2, 0])[:, None])[..., None], np.nan, seen.sigma)
    noisy = seen.xy + np.random.default_rng(0).normal(0, 4.0, seen.xy.shape)
    seen = replace(seen, xy=np.where((turn == 2)[None, :, None, None], noisy, seen.xy), sigma=sigma)
    start = connect_views(seen, lenses_of(rig))
    tree = {(pair.a, pair.b) for pair in start.pairs if pair.in_tree}
    assert tree == {("cam01", "cam02"), ("cam02", "cam03")}
    worst = max(start.pairs, key=lambda pair: pair.error_deg)
    assert (worst.a, worst.b) == ("cam01", "cam03")


def test_a_camera_that_shares_no_moment_is_named():
    rig, poses = arc_rig(4, 6), scattered(12, 4)
    seen = board_sightings(rig, poses, 0.1)
    alone = np.arange(12) < 4
    sigma = np.array(seen.sigma)
    sigma[3, ~alone] = np.nan
    sigma[:3, alone] = np.nan
    start = connect_views(replace(seen, sigma=sigma), lenses_of(rig))
    assert start.unconnected == ("cam04",)
    assert np.isnan(start.cam_from_world[3]).all()
    assert np.isfinite(start.cam_from_world[:3]).all()
    assert np.isnan(start.world_from_body[alone]).all()


def test_the_larger_part_of_a_rig_in_two_parts_is_kept():
    rig, poses = arc_rig(5, 6), scattered(16, 4)
    seen = board_sightings(rig, poses, 0.1)
    first = np.arange(16) < 8
    sigma = np.array(seen.sigma)
    sigma[np.ix_([0, 1], ~first)] = np.nan
    sigma[np.ix_([2, 3, 4], first)] = np.nan
    assert connect_views(replace(seen, sigma=sigma), lenses_of(rig)).unconnected == ("cam01", "cam02")


def test_cameras_that_see_different_boards_are_connected_by_what_others_see():
    """The third camera sees both boards and so tells how they are fixed; the first two share none."""
    rig, poses = arc_rig(3, 6), scattered(12, 4, spread_m=0.3, turned=0.25)
    target, pieces = apart()
    seen = of_pieces(rig, target, pieces, poses, [[1, 0], [0, 1], [1, 1]])
    start = connect_views(seen, lenses_of(rig))
    assert not start.unconnected
    np.testing.assert_allclose(start.body_from_piece, pieces, atol=1e-4)
    angle, shift = pose_error(with_poses(rig, start.cam_from_world), rig)
    assert angle < 1e-2
    assert shift < 1e-3


def test_a_chain_of_boards_and_cameras_is_followed_to_its_end():
    rig, poses = arc_rig(4, 6, degrees=60), scattered(14, 4, spread_m=0.25, turned=0.2)
    target, pieces = apart(3)
    seen = of_pieces(rig, target, pieces, poses, [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
    start = connect_views(seen, lenses_of(rig))
    assert not start.unconnected
    np.testing.assert_allclose(start.body_from_piece, pieces, atol=1e-3)


def test_boards_whose_relation_nobody_sees_leave_their_camera_out():
    rig, poses = arc_rig(3, 6), scattered(12, 4, spread_m=0.3, turned=0.25)
    target, pieces = apart()
    start = connect_views(of_pieces(rig, target, pieces, poses, [[1, 0], [0, 1], [1, 0]]), lenses_of(rig))
    assert start.unconnected == ("cam02",)
    assert np.isnan(start.body_from_piece[1]).all()


def test_a_mirrored_pose_of_a_small_far_board_is_outvoted():
    """Single pictures of it have two poses that fit as well; the one that all moments share is the true one."""
    board = Target("small", SMALL.points * 0.35)
    rig, poses = arc_rig(3, 6), scattered(24, 4, target=board, turned=0.5)
    seen = sightings(rig, board, in_place(board, poses), 0.15)
    start = connect_views(seen, lenses_of(rig))
    angle, shift = pose_error(with_poses(rig, start.cam_from_world), rig)
    assert angle < 4
    assert shift < 0.35


@given(st.integers(0, 10_000), st.integers(0, 10))
@settings(max_examples=25)
def test_what_most_moments_say_wins(seed, false):
    rng = np.random.default_rng(seed)
    true = small_motion(rng.normal(0, 1, 6))
    ideas = true @ small_motion(rng.normal(0, 0.01, (30, 4, 6)))
    ideas[:, 1:] = small_motion(rng.normal(0, 1.5, (30, 3, 6)))  # of a mirrored pose the other ideas are anything
    wrong = rng.permutation(30) < false
    ideas[wrong] = small_motion(rng.normal(0, 1.5, (int(wrong.sum()), 4, 6)))
    found = consensus_pose(ideas)
    off = geometry.invert(true) @ found.a_from_b
    assert np.linalg.norm(geometry.vector_from_rotation(off[:3, :3])) < 0.02
    assert np.linalg.norm(off[:3, 3]) < 0.03
    assert found.count <= 30
    assert found.error_deg < 1.0


def test_one_moment_is_as_unsure_as_a_board_is():
    found = consensus_pose(np.tile(small_motion(np.array([0.1, 0, 0, 1.0, 0, 2])), (1, 4, 1, 1)))
    assert found.count == 1
    assert found.error_deg >= 1.0
    assert found.error_m > 0.01
    assert consensus_pose(np.zeros((0, 4, 4, 4))) is None


def test_cameras_before_a_measured_scene_stand_in_its_world():
    rig = arc_rig(3, 6)
    world = np.random.default_rng(3).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (10, 3))
    seen = sightings(rig, scene_points(world), world[None], 0.0)
    hidden = np.array(seen.sigma)
    hidden[1, :, 4:] = np.nan
    start = connect_views(replace(seen, sigma=hidden), lenses_of(rig))
    np.testing.assert_allclose(start.cam_from_world[[0, 2]], rig.cam_from_world[[0, 2]], atol=1e-5)
    assert start.unconnected == ("cam02",)


def test_bodies_are_placed_by_the_camera_that_sees_them_best():
    rig, poses = arc_rig(3, 6), scattered(8, 4)
    seen = board_sightings(rig, poses, 0.1)
    sigma = np.array(seen.sigma)
    sigma[:, 2] = np.nan
    found = place_bodies(replace(seen, sigma=sigma), lenses_of(rig), rig.cam_from_world, np.eye(4)[None])
    assert np.isnan(found[2]).all()
    known = [0, 1, *range(3, 8)]
    np.testing.assert_allclose(found[known][:, :3, 3], poses[known][:, :3, 3], atol=0.03)


@pytest.mark.parametrize("order", [[3, 1, 0, 2], [2, 3, 1, 0]])
def test_the_order_of_cameras_and_moments_changes_nothing(order):
    rig, poses = arc_rig(4, 6), scattered(10, 4)
    seen = board_sightings(rig, poses, 0.1)
    plain = connect_views(seen, lenses_of(rig))
    names = [rig.names[index] for index in order]
    turned = connect_views(seen.of(names).at(np.arange(10)[::-1]), lenses_of(rig.select(names)))
    back = np.argsort(order)
    angle, shift = pose_error(with_poses(rig, turned.cam_from_world[back]), with_poses(rig, plain.cam_from_world))
    assert angle < 1.5
    assert shift < 0.1
