"""Read-out of occlusion-robust pose maps: people in true depth order, where they overlap, and what is not found."""

import numpy as np
import pytest
from generated_people import crossing

from mvcap.datasets.body_volumes import joint_visibility
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.datasets.pose_maps import MapsConfig, pose_maps
from mvcap.errors import ConfigError
from mvcap.estimation.pose_map_readout import (
    HEAD_JOINTS,
    LIMB_CHAINS,
    MAPS_SKELETON,
    NECK_JOINT,
    ROOT_JOINT,
    ReadOutConfig,
    map_cells,
    read_base_poses,
    read_out_joints,
    read_pose_maps,
)

STRIDE, CONFIG = 4, ReadOutConfig()
JOINTS = len(MAPS_SKELETON)
WRIST, ELBOW, SHOULDER = (MAPS_SKELETON.index(f"right_{part}") for part in ("wrist", "elbow", "shoulder"))
RIGHT_ARM = [SHOULDER, ELBOW, WRIST]


def standing(x, z=4.0, seed=0):
    """Joints (J, 3) m of a person in the camera's frame at x, z, in a posture of their own."""
    truth, *_ = crossing(1, 2, 2)
    body = truth.skeleton.apply(MAPS_SKELETON, truth.xyz[0].astype(float))
    body = (body - body[ROOT_JOINT])[:, [0, 2, 1]] * [1, -1, 1]  # upright; the camera's y points down
    body[RIGHT_ARM[1:]] += np.random.default_rng(seed).normal(0, 0.05, (2, 3))
    return body + np.array([x, 0, z])


def seen(people):
    """Maps with NaN where nothing is stated, and cells (P, J, 2), of people (P, J, 3) before a camera of 640 x 480."""
    places = np.array(people)
    xy = 500 * places[..., :2] / places[..., 2:] + [320, 240]
    states = np.full(xy.shape[:2], JointVisibility.VISIBLE, np.uint8)
    maps, weight = pose_maps(xy, places, states, (640, 480), MapsConfig(stride=STRIDE))
    return np.where(weight[:, None] > 0, maps, np.nan), map_cells(xy, STRIDE), places - places[:, ROOT_JOINT, None]


def test_people_apart_are_read_as_they_are():
    maps, cells, truth = seen([standing(-1.2), standing(0, seed=1), standing(1.2, seed=2)])
    out = read_pose_maps(maps, cells, np.ones((3, JOINTS)), CONFIG)
    np.testing.assert_allclose(out.joints, truth, atol=1e-12)
    for limb in LIMB_CHAINS:  # at its end
        assert (out.read_at[:, list(limb)] == limb[-1]).all()
    assert (out.read_at[:, HEAD_JOINTS] == HEAD_JOINTS[0]).all() and (out.read_at[:, ROOT_JOINT] == NECK_JOINT).all()


@pytest.mark.parametrize(("hidden", "at"), [([], WRIST), ([WRIST], ELBOW), ([WRIST, ELBOW], SHOULDER)])
def test_a_hidden_joint_is_read_at_its_parent(hidden, at):
    maps, cells, truth = seen([standing(0)])
    confidence = np.ones((1, JOINTS))
    confidence[0, hidden], cells[0, hidden] = 0.05, 0
    out = read_pose_maps(maps, cells, confidence, CONFIG)
    assert (out.read_at[0, RIGHT_ARM] == at).all()
    np.testing.assert_allclose(out.joints, truth, atol=1e-12)


def test_a_limb_that_is_not_found_stays_as_read_at_the_trunk():
    maps, cells, truth = seen([standing(0)])
    cells[0, RIGHT_ARM] = np.nan
    out = read_pose_maps(maps, cells, np.ones((1, JOINTS)), CONFIG)
    assert (out.read_at[0, RIGHT_ARM] == NECK_JOINT).all()
    np.testing.assert_allclose(out.joints, truth, atol=1e-12)


def test_where_two_people_meet_the_one_behind_is_read_elsewhere():
    """The wrist of the one behind is at the elbow of the nearer one, where the maps of arms are the nearer one's."""
    front, behind = standing(0, 3.0), standing(0.9, 4.0, seed=1)
    behind[WRIST] = front[ELBOW] * 4.0 / 3.0
    maps, cells, truth = seen([front, behind])
    column, row = np.rint(cells[1, WRIST]).astype(int)
    np.testing.assert_allclose(maps[WRIST, :, row, column], truth[0, WRIST])  # read there, it would be another's
    out = read_pose_maps(maps, cells, np.ones((2, JOINTS)), CONFIG)
    assert out.read_at[1, WRIST] == ELBOW
    np.testing.assert_allclose(out.joints[1], truth[1], atol=1e-12)
    near = read_pose_maps(maps, cells, np.ones((2, JOINTS)), ReadOutConfig(apart_cells=0))
    assert near.read_at[1, WRIST] == WRIST and not np.allclose(near.joints[1, WRIST], truth[1, WRIST])


def test_a_neck_that_meets_another_gives_way_to_the_pelvis():
    front, behind = standing(0, 3.0), standing(0.0, 4.5, seed=1)
    behind = behind + front[NECK_JOINT] * 1.5 - behind[NECK_JOINT]
    maps, cells, truth = seen([front, behind])
    out = read_base_poses(maps, cells, np.ones((2, JOINTS)), CONFIG)
    assert (out.read_at[1] == ROOT_JOINT).all() and (out.read_at[0] == ROOT_JOINT).all()
    rest = [joint for joint in range(JOINTS) if joint not in RIGHT_ARM]  # the nearer wrist is at that pelvis
    np.testing.assert_allclose(out.joints[:, rest], truth[:, rest], atol=1e-12)
    cells[1, ROOT_JOINT] = np.nan  # nothing better than the neck: the nearer person's pose
    out = read_base_poses(maps, cells, np.where(np.isfinite(cells[..., 0]), 1.0, 0.0), CONFIG)
    assert (out.read_at[1] == NECK_JOINT).all()


def test_what_is_not_found_is_nan():
    maps, cells, _ = seen([standing(-1), standing(1)])
    confidence = np.ones((2, JOINTS))
    confidence[0, [NECK_JOINT, ROOT_JOINT]] = 0.1
    out = read_pose_maps(maps, cells, confidence, CONFIG)
    assert np.isnan(out.joints[0]).all() and (out.read_at[0] == -1).all() and np.isfinite(out.joints[1]).all()
    far = read_pose_maps(maps, cells + 1000, np.ones((2, JOINTS)), CONFIG)
    assert np.isnan(far.joints).all()
    none = read_pose_maps(maps, cells[:0], confidence[:0], CONFIG)
    assert none.joints.shape == (0, JOINTS, 3)
    empty = read_pose_maps(np.full_like(maps, np.nan), cells, np.ones((2, JOINTS)), CONFIG)
    assert np.isnan(empty.joints).all() and (empty.read_at == -1).all()


def test_hidden_joints_of_crossing_people_are_found_more_often_than_at_their_own_pixels():
    """The maps of walkers in true depth order; a joint that another person hides is not detected."""
    truth, rig, _ = crossing(4, 2, 12)
    right, own, count = 0, 0, 0
    for frame in range(12):
        xyz = truth.skeleton.apply(MAPS_SKELETON, truth.xyz[truth.frame == frame].astype(float))
        camera = rig[0]
        states, xy = joint_visibility(camera, MAPS_SKELETON, xyz)
        places = xyz @ camera.cam_from_world[:3, :3].T + camera.cam_from_world[:3, 3]
        maps, weight = pose_maps(xy, places, states, camera.size, MapsConfig(stride=8))
        maps = np.where(weight[:, None] > 0, maps, np.nan)
        hidden = states == JointVisibility.OCCLUDED
        seen_in_2d = np.where(states == JointVisibility.OUT_OF_VIEW, 0.0, np.where(hidden, 0.05, 0.9))
        out = read_pose_maps(maps, map_cells(xy, 8), seen_in_2d, CONFIG).joints
        want = places - places[:, ROOT_JOINT, None]
        right += (np.linalg.norm(out - want, axis=-1)[hidden] < 1e-6).sum()
        for person, joint in np.argwhere(hidden):
            column, row = np.rint(map_cells(xy[person, joint], 8)).astype(int)
            own += np.linalg.norm(maps[joint, :, row, column] - want[person, joint]) < 1e-6
        count += hidden.sum()
    assert count > 20 and right > own and right > 0.6 * count


def test_wrong_arguments_are_refused():
    maps, cells, _ = seen([standing(0)])
    with pytest.raises(ValueError, match="panoptic19"):
        read_pose_maps(maps[:17], cells, np.ones((1, JOINTS)), CONFIG)
    with pytest.raises(ConfigError, match="apart_cells"):
        ReadOutConfig(apart_cells=-1)
    assert read_out_joints(WRIST) == (SHOULDER, ELBOW, WRIST, NECK_JOINT, ROOT_JOINT)
