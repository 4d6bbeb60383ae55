"""What the formats share: raw values become cameras or an error with a name, files are read as text, written whole."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import DISTORTION, make_mixed_rig, make_rig
from scipy.spatial.transform import Rotation

from calib.camera import Camera, Lens
from calib.errors import CalibrationError, RigFileError
from calib.formats import parts
from calib.geometry import COEFFICIENTS, rotation_from_vector

K = [[900.0, 0, 640], [0, 905, 355], [0, 0, 1]]


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_come_in_the_shape_that_is_asked_for():
    np.testing.assert_array_equal(parts.numbers([1, 2, 3, 4], (2, 2), "K"), [[1, 2], [3, 4]])
    assert parts.numbers([[1, 2], [3, 4]], (-1,), "K").shape == (4,)
    assert parts.numbers("1.5", (), "K") == 1.5 and parts.numbers([], (-1,), "K").shape == (0,)


@pytest.mark.parametrize(
    ("value", "shape", "words"),
    [
        ([1, 2, 3], (2, 2), "2x2"),
        ([[1], [2, 3]], (3,), "3"),
        (["a", "b"], (2,), "2"),
        (None, (3, 3), "3x3"),
        ([1, 2, 3], (-1, 2), "nx2"),
        ([1, np.nan], (2,), "NaN"),
        ([1, np.inf], (-1,), "infinity"),
    ],
)
def test_values_that_are_no_such_numbers_are_named(value, shape, words):
    with pytest.raises(CalibrationError, match="camera 'east': K") as refused:
        parts.numbers(value, shape, "camera 'east': K")
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_key_that_is_missing_is_named_with_its_camera():
    assert parts.needed({"K": 0}, "K", "east") == 0
    for section in ({}, {"K": None}):
        with pytest.raises(CalibrationError, match=r"'east'.*K is missing"):
            parts.needed(section, "K", "east")


def test_a_table_has_keys_of_text_and_nothing_else_is_one(tmp_path):
    assert parts.mapping({1: "a", "b": 2}, tmp_path, "the file") == {"1": "a", "b": 2}
    for wrong in (None, [], "text", 3):
        with pytest.raises(RigFileError, match="units"):
            parts.mapping(wrong, tmp_path / "rig.yaml", "units")


# --- rotations -------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-4, 4), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.01))
@settings(max_examples=20, derandomize=True)
def test_rotations_of_quaternions_are_scipy_s_whatever_their_length(wxyz):
    R = parts.rotation_from_quaternion(wxyz)
    np.testing.assert_allclose(R, Rotation.from_quat(np.roll(wxyz, -1)).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(parts.rotation_from_quaternion(-np.array(wxyz)), R, atol=1e-12)


@given(st.lists(st.floats(-1.8, 1.8), min_size=3, max_size=3))
@settings(max_examples=20, derandomize=True)
def test_quaternions_and_rotations_are_inverse(vector):
    R = rotation_from_vector(vector)
    q = parts.quaternion_from_rotation(R)
    assert np.linalg.norm(q) == pytest.approx(1.0) and q[0] >= -1e-12
    np.testing.assert_allclose(parts.rotation_from_quaternion(q), R, atol=1e-9)


def test_a_zero_quaternion_is_refused():
    with pytest.raises(CalibrationError, match="quaternion is zero"):
        parts.rotation_from_quaternion([0, 0, 0, 0])


def test_a_rotation_is_a_vector_or_a_matrix_in_any_nesting():
    vector = np.array([0.3, -0.2, 1.1])
    R = rotation_from_vector(vector)
    for value in (vector, vector.tolist(), [[number] for number in vector], R, R.tolist(), R.ravel().tolist()):
        np.testing.assert_allclose(parts.rotation(value, "R"), R, atol=1e-12)
    with pytest.raises(CalibrationError, match="the rotation"):
        parts.rotation([1.0, 2.0], "the rotation")


# --- cameras ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", DISTORTION)
def test_cameras_of_raw_values_project_as_opencv_does(model):
    rvec, tvec, bent = [1.9, 0.4, -0.3], [0.1, 0.9, 4.0], DISTORTION[model]
    fisheye = model == "fisheye"
    camera = parts.camera(
        "east", [1280.0, 720.0], np.ravel(K).tolist(), [bent], rvec, [[t] for t in tvec], fisheye=fisheye
    )
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 1, 3))
    project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
    theirs = project(points, np.array(rvec), np.array(tvec), np.array(K), np.array(bent))[0]
    np.testing.assert_allclose(camera.project(points[:, 0]), theirs.reshape(-1, 2), atol=1e-9)
    assert camera.lens.model == model and camera.size == (1280, 720)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": [1280]}, "image size"),
        ({"K": [[1, 2], [3, 4]]}, "K"),
        ({"distortion": [0.1] * 6}, "6 distortion"),
        ({"R": np.diag([1, 1, -1.0])}, "reflection|mirror"),
        ({"t": [0, 0]}, "translation"),
    ],
)
def test_raw_values_that_are_wrong_are_named_with_their_camera(changes, words):
    values = {"size": (8, 8), "K": K, "distortion": [], "R": np.eye(3), "t": [0, 0, 1]} | changes
    with pytest.raises(CalibrationError, match=rf"'east'.*({words})"):
        parts.camera("east", **values)


@pytest.mark.parametrize("fisheye", [False, True])
def test_the_model_of_a_lens_follows_from_its_count_of_coefficients(fisheye):
    models = ["fisheye"] if fisheye else ["pinhole", "rational"]
    known = {count: model for model in models for count in COEFFICIENTS[model]}
    assert {count: parts.model_for(count, fisheye, "east") for count in known} == known
    for count in set(range(16)) - set(known):
        with pytest.raises(CalibrationError, match=rf"'east': {count} distortion"):
            parts.model_for(count, fisheye, "east")


def test_sizes_are_one_for_all_or_by_camera_or_asked_for():
    assert parts.size_for("east", (640, 480), "size") == (640, 480)
    assert parts.size_for("east", {"east": (640, 480)}, "size") == (640, 480)
    for sizes in (None, {"west": (640, 480)}):
        with pytest.raises(CalibrationError, match=r"'east'.*width"):
            parts.size_for("east", sizes, "width")


def test_short_rows_of_coefficients_are_filled_with_zeros():
    np.testing.assert_array_equal(parts.five(np.array([])), np.zeros(5))
    np.testing.assert_array_equal(parts.five(np.array([1.0, 2, 3, 4])), [1, 2, 3, 4, 0])
    np.testing.assert_array_equal(parts.five(np.arange(5.0)), np.arange(5.0))


# --- rigs ------------------------------------------------------------------------------------------------------------


def test_errors_of_cameras_begin_with_the_file_s_name(tmp_path):
    path = tmp_path / "rig.toml"
    with pytest.raises(RigFileError) as refused, parts.naming(path):
        raise CalibrationError("camera 'east': K is missing")
    assert str(refused.value) == f"{path}: camera 'east': K is missing"
    with pytest.raises(RigFileError, match=r"^already named$"), parts.naming(path):
        raise RigFileError("already named")
    with pytest.raises(KeyError), parts.naming(path):  # a fault of the program is none of the file
        raise KeyError("east")


def test_a_rig_knows_its_file_and_the_cameras_without_a_pose(tmp_path):
    cameras, path = make_rig(2).cameras, tmp_path / "rig.toml"
    assert parts.rig(path, iter(cameras)).source == str(path)
    partly = parts.rig(path, cameras, ["north", "south"])
    assert partly.names == ("cam_1", "cam_2") and "north, south" in partly.source and str(path) in partly.source


@pytest.mark.parametrize(("unplaced", "words"), [((), "no camera"), (("north", "south"), "north, south")])
def test_a_file_without_any_posed_camera_is_refused(tmp_path, unplaced, words):
    with pytest.raises(RigFileError, match=words) as refused:
        parts.rig(tmp_path / "rig.toml", (), unplaced)
    assert str(refused.value).startswith(f"{tmp_path / 'rig.toml'}: ")


def test_a_camera_that_fails_while_it_is_made_is_named_with_the_file(tmp_path):
    def cameras():
        yield make_rig(1)[0]
        raise CalibrationError("camera 'west': size is missing")

    with pytest.raises(RigFileError, match=r"rig\.toml: camera 'west'"):
        parts.rig(tmp_path / "rig.toml", cameras())


def test_lenses_that_a_format_cannot_hold_are_refused_by_camera_and_model(tmp_path):
    path = tmp_path / "a.xcp"
    parts.refuse_lenses(make_mixed_rig(), path, "xcp", ("pinhole", "rational", "fisheye"))
    with pytest.raises(RigFileError, match=r"'cam_3'.*xcp holds no rational"):
        parts.refuse_lenses(make_mixed_rig(), path, "xcp", ("pinhole", "fisheye"))
    lens = make_rig(1)[0].lens
    skewed = Camera(Lens("east", lens.size, lens.K + np.eye(3, k=1) * [1, 1.5, 0], lens.distortion), np.eye(4))
    rig = parts.rig(path, [skewed])
    parts.refuse_lenses(rig, path, "xcp", ("pinhole",))
    with pytest.raises(RigFileError, match=r"'east'.*skew.*1\.5 px"):
        parts.refuse_lenses(rig, path, "xcp", ("pinhole",), skew=False)


# --- files -----------------------------------------------------------------------------------------------------------


def test_text_is_read_with_or_without_a_byte_order_mark_and_what_is_none_is_named(tmp_path):
    path = tmp_path / "a.txt"
    for data in (b"caf\xc3\xa9", b"\xef\xbb\xbfcaf\xc3\xa9"):
        path.write_bytes(data)
        assert parts.text_of(path) == "café"
    path.write_bytes(b"\xff\xfe\x00\x01")
    for wrong in (path, tmp_path, tmp_path / "none.txt"):
        with pytest.raises(RigFileError) as refused:
            parts.text_of(wrong)
        assert str(refused.value).startswith(f"{wrong}: ") and "\n" not in str(refused.value)


def test_the_head_of_a_file_is_short_and_a_folder_has_none(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 10_000 + b"end")
    assert parts.head_of(path) == "x" * 4096
    assert parts.head_of(tmp_path) == "" and parts.head_of(tmp_path / "none") == ""
    path.write_bytes(b"\xff\xfebinary")
    assert "binary" in parts.head_of(path)


def test_words_are_looked_for_in_files_only(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("<Camera>" + " " * 5000 + "<Pose>")
    assert parts.has(path, "<Camera>", "<Pose>") and not parts.has(path, "<Camera>", "<Lens>")
    assert parts.has(path) and not parts.has(tmp_path, "a") and not parts.has(tmp_path / "none", "a")


def test_damage_is_told_in_one_line(tmp_path):
    error = parts.damaged(tmp_path / "a.xml", ValueError("line 3:\n   unexpected\tend"))
    assert isinstance(error, RigFileError) and "line 3: unexpected end" in str(error) and "\n" not in str(error)


@given(st.text(max_size=40))
@settings(max_examples=20, derandomize=True)
def test_any_text_is_written_as_it_is_and_nothing_is_left_beside_it(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("written") / "deep" / "rig.txt"
    parts.write_text(path, text)
    assert path.read_bytes() == text.encode("utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["rig.txt"]


def test_a_place_that_cannot_be_written_is_named_and_stays_as_it_is(tmp_path):
    folder = tmp_path / "rig.yaml"
    folder.mkdir()
    with pytest.raises(RigFileError, match="cannot be written") as refused:
        parts.write_bytes(folder, b"data")
    assert str(refused.value).startswith(f"{folder}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["rig.yaml"] and not list(folder.iterdir())


def test_a_folder_that_is_a_file_is_named_and_stays_as_it_is(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RigFileError, match="cannot be written") as refused:
        parts.write_bytes(tmp_path / "file" / "rig.yaml", b"data")
    assert str(refused.value).startswith(f"{tmp_path / 'file' / 'rig.yaml'}: ")
    assert (tmp_path / "file").read_text() == "no folder"
