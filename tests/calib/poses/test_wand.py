"""A wand: relative poses with the size that its length gives, and where it is at every moment."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from seen_boards import arc_rig, in_place, scattered, sightings

from calib.geometry import invert, transform, vector_from_rotation
from calib.poses.wand import wand_poses, wand_relations
from calib.targets import wand

RIG = arc_rig(3, 6)
WAND = wand([0.0, 0.3, 0.5])
POSES = scattered(25, 5, target=WAND, turned=1.5)


@cache
def seen(noise_px=0.0):
    return sightings(RIG, WAND, in_place(WAND, POSES), noise_px)


def relations(observations):
    return wand_relations(observations, [camera.lens for camera in RIG])


def off(found, a, b):
    """Angle, degrees, and distance, m, between a relative pose and the truth."""
    true = RIG.cam_from_world[a] @ invert(RIG.cam_from_world[b])
    error = found.a_from_b @ invert(true)
    angle = np.rad2deg(np.linalg.norm(vector_from_rotation(error[:3, :3])))
    return angle, np.linalg.norm(found.a_from_b[:3, 3] - true[:3, 3])


def test_without_noise_every_pair_has_its_true_relative_pose_in_metres():
    found = relations(seen())
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    for (a, b), relation in found.items():
        angle, distance = off(relation, a, b)
        assert angle < 0.01 and distance < 1e-3
        assert 20 <= relation.count <= len(POSES)


def test_noise_makes_the_expected_error_larger_and_it_is_about_what_happens():
    quiet, noisy = relations(seen(0.1)), relations(seen(0.5))
    for a, b in quiet:
        assert noisy[a, b].error_deg > 2 * quiet[a, b].error_deg > 0
        angle, distance = off(noisy[a, b], a, b)
        assert angle < 4 * noisy[a, b].error_deg and distance < 4 * noisy[a, b].error_m + 0.005


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_wand_of_another_length_makes_the_rig_larger_by_as_much(factor):
    longer = replace(seen(), target=wand(factor * np.array([0.0, 0.3, 0.5])))
    plain = relations(seen())
    for pair, relation in relations(longer).items():
        np.testing.assert_allclose(relation.a_from_b[:3, 3], factor * plain[pair].a_from_b[:3, 3], rtol=1e-6)
        np.testing.assert_allclose(relation.a_from_b[:3, :3], plain[pair].a_from_b[:3, :3], atol=1e-9)


def test_two_points_of_a_wand_are_enough_for_its_length():
    ends = np.where(np.arange(3) == 1, np.nan, seen().sigma)
    for (a, b), relation in relations(replace(seen(), sigma=ends)).items():
        assert max(off(relation, a, b)) < 0.01


def test_pairs_that_share_too_little_have_no_relation():
    sigma = np.array(seen().sigma)
    sigma[2, 3:] = np.nan  # nine points
    assert set(relations(replace(seen(), sigma=sigma))) == {(0, 1)}
    lone = np.where(np.arange(3) == 1, seen().sigma, np.nan)  # the middle point alone has no length
    assert relations(replace(seen(), sigma=lone)) == {}


def test_a_wand_is_placed_where_its_points_are():
    poses = wand_poses(RIG, seen())
    known = np.isfinite(poses).all((1, 2))
    assert known.sum() >= 23
    truth = in_place(WAND, POSES)
    np.testing.assert_allclose(transform(poses[:, None], WAND.points)[known], truth[known], atol=1e-6)
    R = poses[known, :3, :3]
    np.testing.assert_allclose(R @ R.swapaxes(1, 2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1.0)


def test_noise_of_single_points_is_spread_over_the_whole_wand():
    poses = wand_poses(RIG, seen(0.5))
    known = np.isfinite(poses).all((1, 2))
    placed = transform(poses[:, None], WAND.points)
    np.testing.assert_allclose(np.linalg.norm(placed[:, 2] - placed[:, 0], axis=-1)[known], 0.5)
    assert np.linalg.norm(placed - in_place(WAND, POSES), axis=-1)[known].max() < 0.02


def test_a_wand_of_which_one_point_is_known_has_no_pose():
    sigma = np.array(seen().sigma)
    sigma[:, 4, 1:] = np.nan
    sigma[1:, 7] = np.nan  # one camera alone
    observations = replace(seen(), sigma=sigma)
    poses = wand_poses(RIG, observations)
    assert np.isnan(poses[[4, 7]]).all() and np.isfinite(poses[5]).all()


def test_a_wand_along_any_axis_of_the_world_has_a_rotation():
    for direction in np.eye(3):
        world = np.array([0, 0, 1.1]) + np.outer([0.0, 0.3, 0.5], direction)
        pose = wand_poses(RIG, sightings(RIG, WAND, world[None], 0.0))[0]
        np.testing.assert_allclose(pose[:3, 0], direction, atol=1e-7)
        np.testing.assert_allclose(pose[:3, 3], [0, 0, 1.1], atol=1e-7)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
