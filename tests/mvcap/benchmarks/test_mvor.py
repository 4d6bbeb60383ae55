"""MVOR: cameras and poses in the room's frame, labels of hands, and detections of two programs, by image id."""

import json

import numpy as np
import pytest
from benchmark_folders import write_mvor
from synthetic_take import recordings

from mvcap.benchmarks import mvor
from mvcap.errors import InputError
from mvcap.estimators.table import DetectionTable, DetectionTableConfig
from mvcap.evaluation.benchmark_clip import Options
from mvcap.metrics.association import project_poses
from mvcap.structures.contracts import View

DATA = recordings() and recordings() / "mvor_dev"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mvor")
    return folder, *write_mvor(folder)


def estimated(clip, folder, frame):
    """Rows of one frame from the clip's estimator, by view."""
    settings = clip.estimator(folder)
    assert settings["estimator"] == "table"
    table = DetectionTable(DetectionTableConfig(**settings["estimators"]["table"]))
    views = [View(at, name, (640, 480), 0.05, clip.frames) for at, name in enumerate(clip.rig.names)]
    return [table.estimate(None, frame, view, {}).rows for view in views]


def test_cameras_and_poses_come_back_in_the_room(written):
    folder, rig, xyz = written
    [clip] = mvor.read(folder, Options())
    np.testing.assert_allclose(clip.rig.cam_from_world, rig.cam_from_world, atol=1e-9)
    np.testing.assert_allclose([camera.lens.K for camera in clip.rig], [camera.lens.K for camera in rig])
    assert clip.rig.names == ("cam1", "cam2", "cam3") and clip.frames == 3 and clip.rate_hz == 0.05
    assert clip.moments and clip.scored.all()
    np.testing.assert_allclose(np.delete(clip.truth.xyz, 7, 1), np.delete(xyz, 7, 1), atol=1e-6)
    assert np.isnan(clip.truth.xyz[:, 7]).all()  # the joint whose flag is 0
    assert clip.truth.frame.tolist() == [0, 0, 1, 1, 2, 2] and clip.truth.person.tolist() == [1, 2] * 3


def test_labels_lie_where_the_poses_are_seen(written):
    folder, rig, xyz = written
    [clip] = mvor.read(folder, Options())
    labels = clip.labels
    assert len(labels) == 18 and set(labels.person.tolist()) == {1, 2}  # who has a box only has no row
    for frame, view, person, xy, score in zip(
        labels.frame, labels.view, labels.person, labels.xy, labels.score, strict=True
    ):
        wanted = rig.project(xyz[2 * frame + person - 1])[view]
        there = score > 0
        np.testing.assert_allclose(xy[there], wanted[there], atol=1e-3)
        np.testing.assert_array_equal(score, [1, 1, 1, 1, 1, 1, 1, 0, 0.5, 0.5])
    assert np.nanmin(labels.noise_px[:, 8:]) > np.nanmin(labels.noise_px[:, :7])  # a hidden joint is noisier


def test_the_estimator_finds_the_labels_without_their_persons(written, tmp_path):
    [clip] = mvor.read(written[0], Options())
    found = estimated(clip, tmp_path, 1)
    for view, rows in enumerate(found):
        wanted = clip.labels[(clip.labels.frame == 1) & (clip.labels.view == view)]
        np.testing.assert_array_equal(rows.xy, wanted.xy)
        assert (rows.person == -1).all() and len(rows) == 2


def test_detections_of_a_program_are_found_by_image(written, tmp_path):
    [clip] = mvor.read(written[0], Options(detections="openpose", views=("cam3", "cam1")))
    assert clip.rig.names == ("cam3", "cam1") and "openpose" in clip.detections
    for rows in estimated(clip, tmp_path, 2):
        assert rows.skeleton.name == "coco17" and (rows.score == 0.75).all()
        assert rows.xy[:, 0].tolist() == [[52, 52], [52, 52]]  # written with the moment's number
    assert set(clip.labels.view.tolist()) == {0, 1}
    third = clip.labels[(clip.labels.frame == 0) & (clip.labels.view == 0) & (clip.labels.person == 1)]
    wanted = written[1].project(written[2][0])[2]
    np.testing.assert_allclose(third.xy[0, :7], wanted[:7], atol=1e-3)


def test_kinds_that_there_are_not(written):
    with pytest.raises(InputError, match=r"best.*labels, openpose, rtpose"):
        mvor.read(written[0], Options(detections="best"))
    with pytest.raises(InputError, match="--noise"):
        mvor.read(written[0], Options(noise_px=2.0))
    with pytest.raises(InputError, match=r"rtpose_kps\.json"):
        mvor.read(written[0], Options(detections="rtpose"))  # its file was not written


@pytest.mark.parametrize(
    "spoil",
    [
        lambda held: held.pop("annotations3D"),
        lambda held: held["cameras_info"]["camParams"].pop("extrinsics"),
        lambda held: held["cameras_info"]["camParams"]["extrinsics"].pop(),
        lambda held: held["annotations"][0].update(keypoints=[1, 2]),
        lambda held: held["annotations"][0].update(image_id=7),
        lambda held: held["annotations3D"][0].update(image_ids="7_8_9"),
        lambda held: held["cameras_info"]["camParams"].update(firstCamToRoomRef=[0] * 16),
    ],
)
def test_a_damaged_file_is_named(written, tmp_path, spoil):
    held = json.loads((written[0] / "camma_mvor_2018.json").read_text())
    spoil(held)
    (tmp_path / "camma_mvor_2018.json").write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"camma_mvor_2018\.json") as caught:
        mvor.read(tmp_path, Options())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_what_is_no_json_of_mvor(tmp_path, text):
    (tmp_path / "camma_mvor_2018.json").write_text(text)
    with pytest.raises(InputError, match=r"camma_mvor_2018\.json"):
        mvor.read(tmp_path, Options())


@pytest.mark.skipif(not (DATA and DATA.is_dir()), reason="no recordings of MVOR; set MVCAP_DATA")
def test_real_labels_lie_where_the_poses_are_seen():
    [clip] = mvor.read(DATA, Options())
    assert clip.moments and clip.frames == 387 and len(clip.truth) == 573
    seen = project_poses(clip.truth, clip.rig)
    keys = zip(clip.labels.frame, clip.labels.view, clip.labels.person, strict=True)
    where = {key: row for row, key in enumerate(keys)}
    keys = enumerate(zip(seen.frame, seen.view, seen.person, strict=True))
    both = [(row, where[key]) for row, key in keys if key in where]
    ours, theirs = np.array(both).T
    apart = np.linalg.norm(seen.xy[ours] - clip.labels.xy[theirs], axis=-1)
    median = np.nanmedian(apart, axis=0)
    assert len(both) > 1000 and (median < 15).all()  # another order of joints would be 30 px and more
    assert 1.3 < np.nanmedian(clip.truth.xyz[:, 0, 2]) < 1.9
    [found] = mvor.read(DATA, Options(detections="openpose", views=("cam1", "cam3")))
    assert found.rig.names == ("cam1", "cam3") and set(np.unique(found.labels.view)) == {0, 1}
