"""CMU Panoptic: people and cameras are read in metres with z up, whatever the first frame of a clip."""

import json
import shutil

import numpy as np
import pytest
from benchmark_folders import people_as, write_panoptic
from synthetic_take import recordings

from calib.errors import CalibrationError
from mvcap.benchmarks import panoptic
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import Options
from mvcap.structures.pose_file import load_poses
from mvcap.structures.skeleton import skeleton

BAND = recordings() and recordings() / "motion" / "panoptic_band"


def test_people_and_cameras_come_back(tmp_path):
    rig = write_panoptic(tmp_path, frames=4, people=2, cameras=10, first=731)
    [clip] = panoptic.read(tmp_path, Options())
    frame, person, xyz = people_as("panoptic19", 4, 2)
    assert clip.frames == 4 and clip.scored.all() and clip.rate_hz == pytest.approx(29.97)
    np.testing.assert_array_equal(clip.truth.frame, frame)
    np.testing.assert_array_equal(clip.truth.person, person)
    np.testing.assert_allclose(clip.truth.xyz, xyz, atol=1e-6)
    assert clip.rig.names == tuple(rig.names[at] for at in (0, 2, 4, 6, 8))  # spread over the list
    np.testing.assert_allclose(clip.rig.cam_from_world, rig.cam_from_world[::2], atol=1e-9)
    np.testing.assert_allclose(clip.rig.project(xyz), rig.project(xyz)[::2], atol=1e-6)


def test_a_joint_without_a_score_is_unknown(tmp_path):
    write_panoptic(tmp_path, frames=2, lost=("left_ear", "right_knee"))
    [clip] = panoptic.read(tmp_path, Options())
    unknown = np.isin(skeleton("panoptic19").joints, ("left_ear", "right_knee"))
    assert (np.isnan(clip.truth.xyz).any(-1) == unknown).all() and (clip.truth.score == ~unknown).all()


def test_frames_without_people_count_and_do_not_shift_the_others(tmp_path):
    write_panoptic(tmp_path, frames=5, people=1)
    poses = tmp_path / "hdPose3d_stage1_coco19"
    (poses / "body3DScene_00000102.json").write_text('{"bodies": []}')
    (poses / "body3DScene_00000103.json").unlink()
    [clip] = panoptic.read(tmp_path, Options())
    assert clip.frames == 5 and clip.truth.frame.tolist() == [0, 1, 4]


def test_options_choose_views_clips_and_noise(tmp_path):
    write_panoptic(tmp_path / "one", frames=2)
    write_panoptic(tmp_path / "two", frames=3)
    [clip] = panoptic.read(tmp_path, Options(noise_px=0.5, views=("cam6", "cam2"), clips=("two",)))
    assert (clip.name, clip.frames, clip.rig.names) == ("two", 3, ("cam6", "cam2"))
    settings = clip.estimator(tmp_path / "session")
    oracle = settings["estimators"]["oracle"]
    assert settings["estimator"] == "oracle" and oracle["noise_px"] == 0.5 and not oracle["carry"]
    np.testing.assert_array_equal(load_poses(tmp_path / "session" / "truth.npz").xyz, clip.truth.xyz)
    assert [one.name for one in panoptic.read(tmp_path, Options())] == ["one", "two"]
    assert panoptic.read(tmp_path, Options())[0].estimator(tmp_path)["estimators"]["oracle"]["noise_px"] == 2
    with pytest.raises(InputError, match=r"three.*one, two"):
        panoptic.read(tmp_path, Options(clips=("three",)))
    with pytest.raises(CalibrationError, match="cam9"):
        panoptic.read(tmp_path, Options(views=("cam9",)))
    with pytest.raises(InputError, match="--detections"):
        panoptic.read(tmp_path, Options(detections="openpose"))


def test_a_clip_without_a_calibration_has_that_of_the_others(tmp_path):
    rig = write_panoptic(tmp_path / "one", frames=2)
    write_panoptic(tmp_path / "two", frames=2)
    (tmp_path / "two" / "calibration_studio.json").unlink()
    _, clip = panoptic.read(tmp_path, Options())
    np.testing.assert_allclose(clip.rig.cam_from_world, rig.cam_from_world[:5], atol=1e-9)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"bodies": 3}', '{"bodies": ["a"]}', '{"bodies": [{"id": 0, "joints19": [1, 2]}]}',
             json.dumps({"bodies": [{"id": "a", "joints19": [0] * 76}]})]
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, text):
    write_panoptic(tmp_path, frames=3)
    path = tmp_path / "hdPose3d_stage1_coco19" / "body3DScene_00000101.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"body3DScene_00000101\.json") as caught:
        panoptic.read(tmp_path, Options())
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else(tmp_path):
    write_panoptic(tmp_path / "clip", frames=1)
    (tmp_path / "clip" / "calibration_studio.json").unlink()
    shutil.copytree(tmp_path / "clip", tmp_path / "poses only")
    (tmp_path / "empty").mkdir()
    for folder in ("poses only", "empty"):
        with pytest.raises(InputError, match=r"hdPose3d_stage1_coco19.*calibration_"):
            panoptic.read(tmp_path / folder, Options())


@pytest.mark.skipif(not (BAND and BAND.is_dir()), reason="no recordings of Panoptic; set MVCAP_DATA")
def test_clips_share_a_calibration():
    clips = panoptic.read(BAND, Options())
    assert [clip.name for clip in clips] == ["160906_band1", "160906_band2"]
    for clip in clips:
        assert clip.frames == 20 and len(clip.rig) == 5 and len(np.unique(clip.truth.person)) == 3
        assert 0.8 < np.nanmedian(clip.truth.xyz[:, 0, 2]) < 1.8
    assert [clip.name for clip in panoptic.read(BAND, Options(clips=("160906_band2",)))] == ["160906_band2"]


def test_a_rig_of_fewer_cameras_than_usual_is_used_whole(tmp_path):
    write_panoptic(tmp_path, frames=1, cameras=3)
    [clip] = panoptic.read(tmp_path, Options())
    assert len(clip.rig) == 3


@pytest.mark.parametrize("name", [None, "body3DScene_x.json", "body3DScene_.json", "body3DScene_1e9.json"])
def test_poses_without_a_frame_number_or_without_files_are_named(tmp_path, name):
    write_panoptic(tmp_path, frames=1)
    folder = tmp_path / "hdPose3d_stage1_coco19"
    next(folder.glob("*.json")).unlink()
    if name:
        (folder / name).write_text('{"bodies": []}')
    with pytest.raises(InputError, match=name or "hdPose3d_stage1_coco19"):
        panoptic.read(tmp_path, Options())


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "{}", '{"bodies": 3}', '{"bodies": [{"id": 1e400, "joints19": [0]}]}', "\x00", "[1]"]
)
def test_damaged_poses_are_named(tmp_path, text):
    write_panoptic(tmp_path, frames=1)
    path = next((tmp_path / "hdPose3d_stage1_coco19").glob("*.json"))
    path.write_text(text)
    with pytest.raises(InputError, match=path.name):
        panoptic.read(tmp_path, Options())
