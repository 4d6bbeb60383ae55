import json
from dataclasses import replace

import numpy as np
import pytest
from recorded_take import dataset_of_walkers, same_truth

from calib import Camera, Rig
from calib.formats import panoptic
from calib.geometry import transform
from mvcap.benchmarks.panoptic import read
from mvcap.datasets.formats.panoptic import PANOPTIC19, PanopticPoses, with_names
from mvcap.datasets.ground_truth import as_skeleton
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import Options


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panoptic")
    truth = dataset_of_walkers(folder)
    PanopticPoses().write(truth, folder / "panoptic")
    return truth, folder / "panoptic"


def test_it_is_read_back(written):
    truth, folder = written
    back = PanopticPoses().read(folder)
    assert back.views == truth.views and back.rate_hz == truth.rate_hz and back.name == "walk"
    np.testing.assert_allclose(back.rig.P, truth.rig.P, atol=1e-9)
    same_truth(as_skeleton(truth, PANOPTIC19), back, ("xyz", "xy"), atol=1e-3)


def test_the_files_are_as_the_toolbox_reads_them(written):
    """Projection with the toolbox's own rule, x = K (R X + t) in cm with its distortion, lands on the people."""
    truth, folder = written
    place = folder / "walk_train"
    one = next(truth.frames())
    scene = json.loads((place / "hdPose3d_stage1_coco19" / f"body3DScene_{one.frame:08d}.json").read_text())
    joints = np.reshape(scene["bodies"][0]["joints19"], (19, 4))
    assert joints[5, 3] == -1 and (np.delete(joints[:, 3], 5) == 1).all()  # the left wrist has no truth
    cameras = json.loads((place / "calibration_walk_train.json").read_text())["cameras"]
    assert [(one["panel"], one["node"], one["name"], one["type"]) for one in cameras[:2]] == [
        (0, 0, "00_00", "hd"), (0, 1, "00_01", "hd"),
    ]  # fmt: skip
    for view, camera in enumerate(cameras):
        x = np.array(camera["R"]) @ joints[9, :3] + np.ravel(camera["t"])  # right shoulder
        x = x[:2] / x[2]
        k1, k2, p1, p2, k3 = camera["distCoef"]
        r = x @ x
        bent = x * (1 + k1 * r + k2 * r**2 + k3 * r**3) + np.array(
            [2 * p1 * x[0] * x[1] + p2 * (r + 2 * x[0] ** 2), 2 * p2 * x[0] * x[1] + p1 * (r + 2 * x[1] ** 2)]
        )
        pixel = np.array(camera["K"])[:2] @ [*bent, 1]
        np.testing.assert_allclose(pixel, one.xy[0, view, 6], atol=1e-3)
        assert (place / "hdImgs" / camera["name"] / f"{camera['name']}_{one.frame:08d}.png").exists()


def test_the_benchmark_reads_it(written):
    truth, folder = written
    [clip] = read(folder / "walk_train", Options(views=("00_00", "00_02")))
    first = list(as_skeleton(truth, PANOPTIC19).of_split("train"))
    found = clip.truth.of(frame=2)
    np.testing.assert_allclose(found.xyz, first[1].xyz, atol=1e-6, equal_nan=True)


def test_files_of_panoptic_itself_are_read(tmp_path):
    truth = dataset_of_walkers(tmp_path, frames=3, images=False)
    place = tmp_path / "171204_pose1" / "hdPose3d_stage1_coco19"
    place.mkdir(parents=True)
    panoptic.write(with_names(truth.rig, ["00_00", "00_01", "00_02"]), place.parent / "calibration_171204_pose1.json")
    cm = transform(np.linalg.inv(panoptic.WORLD_FROM_PANOPTIC), np.ones((19, 3)))
    bodies = [{"id": 4, "joints19": np.column_stack([cm, np.full(19, 0.4)]).ravel().tolist()}]
    (place / "body3DScene_00000100.json").write_text(json.dumps({"bodies": bodies}))
    [one] = PanopticPoses().read(tmp_path).frames()
    assert one.frame == 100 and one.split == "train" and one.persons.tolist() == [4]
    np.testing.assert_allclose(one.xyz, 1.0)


def test_lenses_that_it_cannot_hold_are_refused_before_anything_is_written(tmp_path):
    truth = dataset_of_walkers(tmp_path, frames=3, images=False)
    wide = replace(truth.rig[0].lens, model="fisheye", distortion=np.zeros(4))
    rig = Rig((Camera(wide, truth.rig[0].cam_from_world), *list(truth.rig)[1:]))
    with pytest.raises(InputError, match="cameras cam1: Panoptic's calibration holds pinhole lenses"):
        PanopticPoses().write(replace(truth, rig=rig), tmp_path / "panoptic")
    assert not (tmp_path / "panoptic").exists()


def test_damaged_files_are_one_line(written, tmp_path):
    with pytest.raises(InputError, match="no hdPose3d_stage1_coco19"):
        PanopticPoses().read(tmp_path)
    place = tmp_path / "seq" / "hdPose3d_stage1_coco19"
    place.mkdir(parents=True)
    with pytest.raises(InputError, match="no calibration_"):
        PanopticPoses().read(tmp_path)
    _, folder = written
    (place.parent / "calibration_seq.json").write_bytes((folder / "walk_val/calibration_walk_val.json").read_bytes())
    for text in ("{", '{"bodies": [{"id": 1}]}', '{"bodies": [{"id": 1, "joints19": [1]}]}'):
        (place / "body3DScene_00000001.json").write_text(text)
        with pytest.raises(InputError, match=r"body3DScene_00000001\.json: cannot be read as Panoptic's poses"):
            PanopticPoses().read(tmp_path)
