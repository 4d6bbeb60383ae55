from dataclasses import replace

import numpy as np
import pytest
from recorded_take import COCO, dataset_of_walkers, same_truth

from calib.bounded_arrays import bounded_arrays
from mvcap.datasets.ground_truth import (
    JointVisibility,
    as_skeleton,
    derivable,
    followed,
    in_memory,
    packed_frames,
    root_depth,
    unpacked_frames,
)
from mvcap.errors import InputError
from mvcap.structures.npz import write_npz
from mvcap.structures.skeleton import skeleton


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return dataset_of_walkers(tmp_path_factory.mktemp("walk"), images=False)


def test_frames_survive_their_file(walk, tmp_path):
    write_npz(tmp_path / "a.npz", packed_frames(list(walk.frames())))
    back = list(unpacked_frames(bounded_arrays(tmp_path / "a.npz")))
    for one, other in zip(walk.frames(), back, strict=True):
        assert (one.frame, one.split) == (other.frame, other.split)
        for name in ("persons", "xyz", "sigma_m", "xy", "visibility", "box", "area_px", "ignored", "pictured"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_only_middles_are_derived(walk):
    """Pelvis and neck follow from their neighbours; the top of the head would be a guess."""
    target = skeleton("mpii16")
    matrix = derivable(COCO, target)
    assert np.isnan(matrix[target.index("head_top")]).all() and np.isfinite(matrix[target.index("head_bottom")]).all()
    made = as_skeleton(walk, target)
    for one, plain in zip(walk.frames(), made.frames(), strict=True):
        pelvis = target.index("pelvis")
        np.testing.assert_allclose(plain.xyz[:, pelvis], one.xyz[:, [11, 12]].mean(1))
        for view, camera in enumerate(walk.rig):
            np.testing.assert_allclose(plain.xy[:, view, pelvis], camera.project(plain.xyz[:, pelvis]), atol=1e-9)
        hips = one.visibility[:, :, [11, 12]]
        np.testing.assert_array_equal(plain.visibility[:, :, pelvis], hips.max(-1))
        assert np.isnan(plain.xyz[:, target.index("head_top")]).all()
        assert (plain.visibility[:, :, target.index("head_top")] == JointVisibility.UNKNOWN).all()
        assert np.isnan(plain.xyz[0, target.index("left_wrist")]).all()
        np.testing.assert_allclose(plain.sigma_m[:, pelvis], 0.01 / np.sqrt(2))


def test_a_derived_joint_without_a_source_is_missing(walk):
    frames = list(walk.frames())
    frames[0].xyz[0, 11], frames[0].visibility[0, :, 11] = np.nan, 0
    one = next(as_skeleton(replace(walk, frames=in_memory(frames)), skeleton("panoptic19")).frames())
    assert np.isnan(one.xyz[0, 2]).all() and (one.visibility[0, :, 2] == 0).all()


def test_depth_of_the_root_is_along_the_axis_of_the_camera(walk):
    one = list(walk.frames())[1]
    depth = root_depth(one, COCO, walk.rig)
    hips = one.xyz[:, [11, 12]].mean(1)
    for view, camera in enumerate(walk.rig):
        np.testing.assert_allclose(depth[:, view], (hips - camera.position) @ camera.cam_from_world[2, :3])


def test_datasets_tell_their_splits_and_people(walk):
    assert walk.splits() == ["train", "val", "test"] and walk.persons() == [1, 2]
    assert [one.frame for one in walk.of_split("val")] == [12]
    told = []
    assert same_truth(walk, followed(walk, lambda *words: told.append(words), "coco", 8))
    assert told[-1] == ("coco", 8, 8) and len(told) == 8
    with pytest.raises(InputError, match="has no cameras"):
        replace(walk, rig=None).cameras()
