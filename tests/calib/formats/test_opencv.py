"""OpenCV's values as its users write them: mtx, dist, rvecs, tvecs; a file or a folder a camera; sizes from outside."""

import json

import cv2
import numpy as np
import pytest
import yaml
from ring_rigs import make_rig

from calib import RigFileError, load_rig, save_rig
from calib.formats import format_of, opencv

SIZES = {"east": (1280, 720), "west": (1280, 720), "north": (1280, 720)}
POINT = np.array([[0.2, -0.1, 1.0]])


def spelled(camera, poses=1):
    """As the tutorials of OpenCV name the results of calibrateCamera."""
    rvec = cv2.Rodrigues(camera.cam_from_world[:3, :3])[0]
    return {
        "mtx": camera.lens.K,
        "dist": camera.lens.distortion[None],
        "rvecs": np.stack([rvec] * poses),
        "tvecs": np.stack([camera.cam_from_world[:3, 3:]] * poses),
    }


def write(path, values):
    path.parent.mkdir(exist_ok=True)
    plain = {key: value.tolist() for key, value in values.items()}
    if path.suffix == ".npz":
        np.savez(path, **values)
    elif path.suffix == ".json":
        path.write_text(json.dumps(plain))
    elif path.suffix == ".yaml":
        path.write_text(yaml.safe_dump(plain))  # without OpenCV's first line
    else:
        file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        for key, value in values.items():
            file.write(key, value.reshape(len(value), -1) if value.ndim > 2 else value)
        file.release()


@pytest.mark.parametrize("suffix", [".npz", ".json", ".yaml", ".yml", ".xml"])
@pytest.mark.parametrize("each", ["{}{}", "{}/calib{}"])
def test_a_folder_of_one_file_a_camera_with_sizes_from_the_footage(tmp_path, suffix, each):
    truth = make_rig(3, names=list(SIZES))
    for camera in truth:
        write(tmp_path / each.format(camera.name, suffix), spelled(camera))
    assert format_of(tmp_path) == "opencv"
    rig = load_rig(tmp_path, size={name.upper(): size for name, size in SIZES.items()})
    assert sorted(rig.names) == sorted(truth.names) and {one.size for one in rig} == {(1280, 720)}
    np.testing.assert_allclose(rig.select(truth.names).project(POINT), truth.project(POINT), atol=1e-8)


def test_several_poses_are_those_of_a_board_and_not_taken(tmp_path):
    write(tmp_path / "east.npz", spelled(make_rig(1, names=["east"])[0], poses=4))
    with pytest.raises(RigFileError, match=r"east\.npz: camera 'east'.*board in 4 pictures"):
        load_rig(tmp_path, size=(1280, 720))


def test_an_error_names_the_file_of_the_folder(tmp_path):
    for camera in make_rig(2, names=["east", "west"]):
        write(tmp_path / f"{camera.name}.json", spelled(camera))
    held = json.loads((tmp_path / "west.json").read_text())
    (tmp_path / "west.json").write_text(json.dumps(held | {"mtx": [[1, 2], [3, 4]]}))
    with pytest.raises(RigFileError, match=r"west\.json: camera 'west'.*3x3"):
        load_rig(tmp_path, size=(1280, 720))


def test_damaged_and_hostile_arrays_are_refused_in_one_line(tmp_path):
    write(tmp_path / "east.npz", spelled(make_rig(1, names=["east"])[0]))
    whole = (tmp_path / "east.npz").read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(60):
        data = bytearray(whole[: rng.integers(20, len(whole))] if trial % 3 == 0 else whole)
        for at in rng.integers(4, len(data), 8):
            data[at] = rng.integers(256)
        (tmp_path / "a.npz").write_bytes(bytes(data))
        try:
            load_rig(tmp_path / "a.npz", size=(1280, 720))
        except RigFileError as refused:
            assert "\n" not in str(refused) and "a.npz" in str(refused)
    np.savez(tmp_path / "a.npz", mtx=np.array([{"K": 1}], dtype=object))
    with pytest.raises(RigFileError, match=r"a\.npz"):
        load_rig(tmp_path / "a.npz", size=(1280, 720))
    np.savez_compressed(tmp_path / "a.npz", mtx=np.zeros(2_000_000))
    with pytest.raises(RigFileError, match="too large"):
        load_rig(tmp_path / "a.npz", size=(1280, 720))


@pytest.mark.parametrize("format", ["easymocap", "toml", "opencv"])
def test_sizes_that_the_file_lacks_come_from_the_caller_by_name(tmp_path, format):
    truth = make_rig(2, names=["east", "west"])
    path = tmp_path / {"easymocap": "", "toml": "rig.toml", "opencv": "rig.json"}[format]
    save_rig(truth, path, format)
    for file in (tmp_path / "intri.yml",) if format == "easymocap" else (path,):
        lines = file.read_text().splitlines()
        if format == "opencv":
            held = json.loads(file.read_text())
            for one in held["cameras"]:
                del one["image_width"], one["image_height"]
            lines = [json.dumps(held)]
        elif format == "toml":
            import tomllib

            import tomli_w

            held = tomllib.loads(file.read_text())
            kept = {key: {k: v for k, v in part.items() if k != "size"} for key, part in held.items()}
            lines = [tomli_w.dumps(kept)]
        file.write_text("\n".join(line for line in lines if not line.startswith(("W_", "H_"))))
    with pytest.raises(RigFileError, match="no image size"):
        load_rig(path)
    with pytest.raises(RigFileError, match=r"'west'.*no image size"):
        load_rig(path, size={"east": (1280, 720), "other": (640, 480)})
    rig = load_rig(path, size={"East": (1280, 720), "WEST": (1280, 722)})
    assert rig["east"].size == (1280, 720) and rig["west"].size == (1280, 722)
    np.testing.assert_allclose(rig.project(POINT), truth.project(POINT), atol=1e-8)


def test_other_yaml_is_not_taken_for_a_calibration(tmp_path):
    (tmp_path / "a.yaml").write_text("cameras: 3\nnotes: [mtx, dist]\n")
    assert not opencv.sniff(tmp_path / "a.yaml")
