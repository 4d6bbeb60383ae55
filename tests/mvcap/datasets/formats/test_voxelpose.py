import json

import numpy as np
import pytest
import yaml
from recorded_take import dataset_of_walkers, same_truth

from mvcap.datasets.formats.panoptic import PANOPTIC19
from mvcap.datasets.formats.voxelpose import VoxelPoseFolder
from mvcap.datasets.ground_truth import as_skeleton
from mvcap.errors import InputError


def test_sequences_and_configuration(tmp_path):
    truth = dataset_of_walkers(tmp_path)
    VoxelPoseFolder().write(truth, tmp_path / "voxelpose")
    same_truth(as_skeleton(truth, PANOPTIC19), VoxelPoseFolder().read(tmp_path / "voxelpose"), ("xyz",))
    held = yaml.safe_load((tmp_path / "voxelpose" / "voxelpose.yaml").read_text())
    assert held["DATASET"]["TRAIN_SEQUENCES"] == ["walk_train"]
    assert held["DATASET"]["TEST_SEQUENCES"] == ["walk_val", "walk_test"] and held["DATASET"]["CAMERA_NUM"] == 3
    assert json.loads((tmp_path / "voxelpose" / "camera_list.json").read_text()) == [[0, 0], [0, 1], [0, 2]]
    space = held["MULTI_PERSON"]
    centre, size = np.array(space["SPACE_CENTER"]), np.array(space["SPACE_SIZE"])
    for one in truth.frames():
        points = 1e3 * one.xyz[np.isfinite(one.xyz).all(-1)]
        assert (np.abs(points - centre) < size / 2).all()
    assert space["MAX_PEOPLE_NUM"] == 2 and size.max() < 8000


def test_poses_are_what_its_loader_makes_of_them(tmp_path):
    """The loader turns Panoptic's axes by M and takes centimetres times ten: our world in millimetres."""
    truth = dataset_of_walkers(tmp_path, frames=3)
    VoxelPoseFolder().write(truth, tmp_path / "voxelpose")
    scene = json.loads((tmp_path / "voxelpose/walk_train/hdPose3d_stage1_coco19/body3DScene_00000000.json").read_text())
    M = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose = np.reshape(scene["bodies"][0]["joints19"], (19, 4))[:, :3] @ M * 10
    first = next(as_skeleton(truth, PANOPTIC19).frames())
    known = np.isfinite(first.xyz[0]).all(-1)
    np.testing.assert_allclose(pose[known], 1e3 * first.xyz[0, known], atol=1e-3)


def test_it_needs_images(tmp_path):
    with pytest.raises(InputError, match="VoxelPose is trained on images"):
        VoxelPoseFolder().write(dataset_of_walkers(tmp_path, frames=3, images=False), tmp_path / "voxelpose")
    assert not (tmp_path / "voxelpose").exists()
