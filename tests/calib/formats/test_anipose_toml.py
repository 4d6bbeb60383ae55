"""The TOML of anipose, Pose2Sim and FreeMoCap: a section a camera, rotation vectors, no unit of its own."""

import tomllib

import cv2
import numpy as np
import pytest
import tomli_w
from ring_rigs import DISTORTION, make_mixed_rig, make_rig

from calib.errors import RigFileError
from calib.formats import anipose_toml

SECTION = {
    "name": "east", "size": [1280.0, 720.0], "matrix": [[900.0, 0, 640], [0, 905, 355], [0, 0, 1]],
    "distortions": [-0.2, 0.05, 1e-3, -2e-3, 0.01], "rotation": [1.9, 0.4, -0.3], "translation": [0.1, 0.9, 4.0],
}  # fmt: skip
POINTS = np.random.default_rng(0).uniform(-0.4, 0.4, (6, 3))


def written(tmp_path, sections):
    path = tmp_path / "calibration.toml"
    path.write_text(tomli_w.dumps(sections))
    return path


@pytest.mark.parametrize("count", [1, 12])
def test_rigs_come_back_in_their_order_though_sections_are_sorted_as_text(tmp_path, points, count):
    rig = make_rig(count)
    anipose_toml.write(rig, tmp_path / "rig.toml")
    back = anipose_toml.read(tmp_path / "rig.toml")
    assert back.names == rig.names
    np.testing.assert_allclose(back.project(points), rig.project(points), atol=1e-8)
    sections = [key for key in tomllib.loads((tmp_path / "rig.toml").read_text()) if key != "metadata"]
    assert sections == sorted(sections) == [f"cam_{number:02}" for number in range(count)]


def test_lenses_come_back_and_none_of_them_is_without_coefficients(tmp_path):
    rig = make_mixed_rig()
    anipose_toml.write(rig, tmp_path / "rig.toml")
    back = anipose_toml.read(tmp_path / "rig.toml")
    assert [camera.lens.model for camera in back] == [camera.lens.model for camera in rig]
    np.testing.assert_array_equal(back[0].lens.distortion, np.zeros(5))  # the readers of the format expect some
    for one, other in zip(list(back)[1:], list(rig)[1:], strict=True):
        np.testing.assert_array_equal(one.lens.distortion, other.lens.distortion)


def test_a_camera_projects_as_opencv_does(tmp_path):
    (camera,) = anipose_toml.read(written(tmp_path, {"cam_0": SECTION}))
    rvec, tvec = np.array(SECTION["rotation"]), np.array(SECTION["translation"])
    theirs = cv2.projectPoints(POINTS, rvec, tvec, np.array(SECTION["matrix"]), np.array(SECTION["distortions"]))[0]
    np.testing.assert_allclose(camera.project(POINTS), theirs[:, 0], atol=1e-9)


def test_a_fisheye_is_one_by_its_flag(tmp_path):
    bent = {"distortions": DISTORTION["fisheye"]}
    path = written(tmp_path, {"a": SECTION | bent | {"fisheye": True}, "b": SECTION | bent | {"name": "west"}})
    assert [camera.lens.model for camera in anipose_toml.read(path)] == ["fisheye", "pinhole"]


def test_names_are_the_sections_where_none_is_given(tmp_path):
    bare = {key: value for key, value in SECTION.items() if key != "name"}
    sections = {"left": bare, "right": bare, "metadata": {"error": 0.3}, "units": {"length": 3}}
    assert anipose_toml.read(written(tmp_path, sections)).names == ("left", "right")


def test_lengths_are_as_the_file_has_them(tmp_path):
    assert not anipose_toml.DECLARES_UNIT
    far = SECTION | {"translation": [100.0, 900.0, 4000.0]}
    (camera,) = anipose_toml.read(written(tmp_path, {"cam_0": far}))
    np.testing.assert_array_equal(camera.cam_from_world[:3, 3], [100, 900, 4000])


def test_a_size_that_the_file_lacks_is_taken_from_the_caller(tmp_path):
    path = written(tmp_path, {"a": {key: value for key, value in SECTION.items() if key != "size"}})
    assert anipose_toml.read(path, (640, 480))[0].size == (640, 480)
    assert anipose_toml.read(path, {"east": (640, 481)})[0].size == (640, 481)
    with pytest.raises(RigFileError, match=r"calibration\.toml.*'east'.*size"):
        anipose_toml.read(path)


def test_the_file_s_own_size_goes_before_the_caller_s(tmp_path):
    assert anipose_toml.read(written(tmp_path, {"a": SECTION}), (640, 480))[0].size == (1280, 720)


@pytest.mark.parametrize("key", ["distortions", "rotation", "translation"])
def test_a_missing_part_is_named_with_its_camera(tmp_path, key):
    path = written(tmp_path, {"a": {name: value for name, value in SECTION.items() if name != key}})
    with pytest.raises(RigFileError, match=rf"calibration\.toml.*'east'.*{key}"):
        anipose_toml.read(path)


def test_other_tomls_are_refused_in_one_line(tmp_path):
    for content, words in (
        ("[cameras.0]\nmatrix = 3\n", r"\[cameras\.N\]"),
        ("[metadata]\nerror = 0\n", "no camera"),
        ("[a\n", "damaged"),
    ):
        path = tmp_path / "other.toml"
        path.write_text(content)
        with pytest.raises(RigFileError, match=words) as refused:
            anipose_toml.read(path)
        assert "other.toml" in str(refused.value) and "\n" not in str(refused.value)


def test_it_is_known_by_its_suffix(tmp_path):
    path = tmp_path / "a.TOML"
    path.write_text("")
    (tmp_path / "folder.toml").mkdir()
    assert anipose_toml.sniff(path)
    assert not anipose_toml.sniff(tmp_path / "folder.toml") and not anipose_toml.sniff(tmp_path / "a.yaml")
