"""Our own file: every digit of a rig, units that are declared, and one line that names what is wrong."""

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import make_mixed_rig, make_rig

from calib.camera import Camera, Lens
from calib.errors import RigFileError
from calib.formats import own
from calib.geometry import pose, rotation_from_vector
from calib.rig import Rig


@pytest.fixture
def document(tmp_path):
    """The contents of a written file, and a function that writes them back."""
    path = tmp_path / "rig.yaml"
    own.write(make_rig(2, names=["east", "west"]), path)

    def read_again(held):
        path.write_text(yaml.safe_dump(held))
        return own.read(path)

    return yaml.safe_load(path.read_text()), read_again


@given(
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.floats(1, 1e5),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    st.text(min_size=1, max_size=8).filter(str.strip),
)
@settings(max_examples=12, derandomize=True)
def test_any_camera_comes_back_with_every_digit_and_its_name(tmp_path_factory, numbers, focal, distortion, name):
    path = tmp_path_factory.mktemp("own") / "rig.yaml"
    K = [[focal, 0.25, 640.1], [0, focal / 3, 355.7], [0, 0, 1]]
    camera = Camera(Lens(name, (1280, 720), K, distortion), pose(rotation_from_vector(numbers[:3]), numbers[3:]))
    own.write(Rig((camera,)), path)
    (back,) = own.read(path)
    assert (back.name, back.size, back.lens.model) == (name, (1280, 720), "pinhole")
    np.testing.assert_array_equal(back.lens.K, camera.lens.K)
    np.testing.assert_array_equal(back.lens.distortion, camera.lens.distortion)
    np.testing.assert_allclose(back.cam_from_world, camera.cam_from_world, rtol=0, atol=1e-15)


def test_every_lens_model_comes_back(tmp_path):
    own.write(make_mixed_rig(), tmp_path / "rig.yaml")
    back = own.read(tmp_path / "rig.yaml")
    assert [camera.lens.model for camera in back] == ["pinhole", "pinhole", "rational", "fisheye"]
    assert [camera.lens.distortion.size for camera in back] == [0, 5, 8, 4]
    assert back.source == str(tmp_path / "rig.yaml")


def test_the_file_is_known_by_what_it_declares(tmp_path):
    own.write(make_rig(1), tmp_path / "rig.txt")
    assert own.sniff(tmp_path / "rig.txt") and own.DECLARES_UNIT
    (tmp_path / "other.yaml").write_text("format: other")
    assert not own.sniff(tmp_path / "other.yaml") and not own.sniff(tmp_path)


@pytest.mark.parametrize(("unit", "metres"), [("m", 1.0), ("cm", 0.01), ("mm", 0.001)])
def test_lengths_are_in_the_declared_unit(document, unit, metres):
    held, read_again = document
    held["units"]["length"] = unit
    back = read_again(held)
    np.testing.assert_allclose(back.positions, metres * make_rig(2).positions, atol=1e-12)
    np.testing.assert_array_equal(back.cam_from_world[:, :3, :3], make_rig(2).cam_from_world[:, :3, :3])


@pytest.mark.parametrize("key", ["name", "size", "model", "K", "distortion", "cam_from_world"])
def test_a_missing_key_is_named_with_its_camera(document, key):
    held, read_again = document
    del held["cameras"][1][key]
    with pytest.raises(RigFileError) as refused:
        read_again(held)
    assert key in str(refused.value) and ("number 2" if key == "name" else "'west'") in str(refused.value)
    assert "rig.yaml" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("version",), 2, "version 1"),
        (("format",), "other", "calib-rig"),
        (("units",), None, "units"),
        (("units", "length"), "furlong", "'furlong'"),
        (("cameras",), {}, "cameras"),
        (("cameras",), [], "no camera"),
        (("cameras", 0), "east", "a camera"),
        (("cameras", 0, "name"), 7, "7"),
        (("cameras", 1, "name"), "east", "'east'"),
        (("cameras", 1, "size"), [1280], "'west'"),
        (("cameras", 1, "K"), [[1, 2], [3, 4]], "'west'"),
        (("cameras", 1, "model"), "mirror", "'mirror'"),
        (("cameras", 1, "cam_from_world"), [[0.0] * 4] * 4, "'west'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(document, where, value, words):
    held, read_again = document
    section = held
    for key in where[:-1]:
        section = section[key]
    section[where[-1]] = value
    with pytest.raises(RigFileError) as refused:
        read_again(held)
    assert words in str(refused.value) and "rig.yaml" in str(refused.value) and "\n" not in str(refused.value)


def test_text_that_is_no_yaml_is_damaged(tmp_path):
    (tmp_path / "rig.yaml").write_text("format: calib-rig\ncameras: [")
    with pytest.raises(RigFileError, match=r"rig\.yaml.*damaged"):
        own.read(tmp_path / "rig.yaml")


def test_a_written_file_is_plain_text_with_names_as_they_are(tmp_path):
    own.write(make_rig(2, names=["süd", "07"]), tmp_path / "rig.yaml")
    text = (tmp_path / "rig.yaml").read_text(encoding="utf-8")
    assert "name: süd" in text and "'07'" in text and "!!" not in text and "length: m" in text
