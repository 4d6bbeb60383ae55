"""Up and floor of a take: against the truth in any world, with cameras that are held on their side, on a stage."""

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, poses, rig

from calib import CalibrationError
from calib.geometry import pose, rotation_from_vector
from mvcap.rig.level_world import level_world
from mvcap.structures.pose_stream import move_poses
from mvcap.structures.poses import Poses3D

RIG = rig()
WALK = poses(150)


def off_deg(found, old_from_true):
    """Angle between the new z and the true one."""
    up = found.new_from_old[:3, :3] @ old_from_true[:3, 2]
    return np.degrees(np.arccos(np.clip(up[2], -1, 1)))


@pytest.mark.parametrize("seed", range(6))
def test_up_and_floor_are_those_of_the_truth_in_any_world(seed):
    rng = np.random.default_rng(seed)
    there = pose(rotation_from_vector(rng.normal(0, 2, 3)), rng.normal(0, 3, 3))
    found = level_world(RIG.moved(there), [move_poses(WALK, there)], RATE_HZ)
    assert off_deg(found, there) < 1
    floor = (found.new_from_old @ there)[2, 3]
    assert -0.08 < floor < 0, "their soles glide 2 to 8 cm above it"
    assert np.allclose(found.new_from_old[:2, 3], 0)
    assert (found.rig.positions[:, 2] > 2.2).all() and "people lean" in found.summary()


def test_x_stays_as_far_as_the_floor_allows():
    for turn in ([np.pi, 0, 0], [0.2, 0.1, 0], [-np.pi / 2, 0, 0]):
        there = pose(rotation_from_vector(turn), [0, 0, 0])
        x = level_world(RIG.moved(there), [move_poses(WALK, there)], RATE_HZ).new_from_old[:3, 0]
        assert x[0] > 0.97


def test_cameras_on_their_side_hardly_matter():
    on_side = [pose(rotation_from_vector([0, 0, np.pi / 2]), [0, 0, 0]) @ camera.cam_from_world for camera in RIG]
    cameras = type(RIG)(tuple(type(one)(one.lens, at) for one, at in zip(RIG, on_side, strict=True)))
    there = pose(rotation_from_vector([np.pi, 0, 0]), [0, 0, 1])
    assert off_deg(level_world(cameras.moved(there), [move_poses(WALK, there)], RATE_HZ), there) < 4


def test_people_on_a_platform_are_not_the_floor():
    xyz = WALK.xyz.copy()
    xyz[(WALK.person == 2), :, 2] += 0.6
    found = level_world(RIG, [WALK.with_columns(xyz=xyz)], RATE_HZ)
    assert off_deg(found, np.eye(4)) < 3 and abs(found.new_from_old[2, 3]) < 0.1


def test_people_who_lie_do_not_turn_a_world_that_is_level():
    whole = poses(150, missing=0)
    hip = whole.xyz[:, 11:12]
    lying = (whole.xyz - hip) @ rotation_from_vector([np.pi / 2, 0, 0]).T + hip * [1, 1, 0] + [0, 0, 0.2]
    found = level_world(RIG, [whole.with_columns(xyz=lying)], RATE_HZ)
    assert off_deg(found, np.eye(4)) < 3, "bodies alone would turn it by 90 degrees"


def test_tables_of_a_take_together_are_one():
    whole = level_world(RIG, [WALK], RATE_HZ)
    parts = level_world(RIG, [WALK[WALK.frame < 40], WALK[WALK.frame >= 40]], RATE_HZ)
    np.testing.assert_allclose(parts.new_from_old, whole.new_from_old, atol=1e-9)


def test_too_few_people_are_refused():
    with pytest.raises(CalibrationError, match="too few"):
        level_world(RIG, [Poses3D.empty(COCO)], RATE_HZ)
