"""Every format that is written: random rigs come back as they were, and what cannot be held is refused or said."""

import json
import re
import struct
import tomllib
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import DISTORTION, make_mixed_rig, make_rig

from calib import Camera, Lens, Rig, RigFileError, load_rig, save_rig
from calib.formats import file_storage, format_of, writable
from calib.geometry import pose, rotation_from_vector

# Format: what file or folder it is written as, the lens models that it holds, how a reader is told the unit.
HOLDS = {
    "rig": ("rig.yaml", ("pinhole", "rational", "fisheye"), None),
    "toml": ("rig.toml", ("pinhole", "rational", "fisheye"), None),
    "opencv": ("rig.json", ("pinhole", "rational", "fisheye"), None),
    "easymocap": ("folder", ("pinhole",), None),
    "qualisys": ("rig.qca.txt", ("pinhole",), None),
    "panoptic": ("calibration_rig.json", ("pinhole",), None),
    "colmap": ("model", ("pinhole", "rational", "fisheye"), "m"),
    "kalibr": ("camchain.yaml", ("pinhole", "fisheye"), None),
}
NAMES = st.lists(
    st.text("abcXYZ019_-", min_size=1, max_size=8).filter(lambda name: not re.fullmatch(r"[-_]+", name)),
    min_size=1, max_size=5, unique_by=str.lower,
)  # fmt: skip
POINTS = np.random.default_rng(1).uniform((-0.4, -0.4, 0.6), (0.4, 0.4, 1.4), (30, 3))


def one_line(refused, *words):
    said = str(refused.value)
    assert "\n" not in said and len(said) < 600, said
    assert all(word in said for word in words), said


def random_rig(names, models, seed):
    """Cameras anywhere at 3 to 9 m about the middle, turned any way about their axes, lenses of the models given."""
    rng = np.random.default_rng(seed)
    cameras = []
    for name in names:
        model = str(rng.choice(models))
        bent = np.array(DISTORTION[model]) * rng.uniform(0.2, 1)
        bent = bent[: rng.choice([0, 4])] if model == "pinhole" and rng.random() < 0.7 else bent
        f, width = rng.uniform(500, 2500), int(rng.integers(640, 4000))
        K = [[f, 0, width / 2 + rng.normal(0, 9)], [0, f * rng.uniform(0.98, 1.02), 400], [0, 0, 1]]
        turned = rotation_from_vector(rng.normal(size=3) * rng.choice([0.01, 1, 3]))
        ahead = rng.uniform(3, 9) * np.array([0, 0, 1.0])
        cameras.append(Camera(Lens(name, (width, 801), K, bent, model), pose(turned, ahead - turned @ (0, 0, 1))))
    return Rig(tuple(cameras))


def test_all_that_are_written_are_tried():
    assert list(HOLDS) and set(HOLDS) == set(writable())


@pytest.mark.parametrize("format", HOLDS)
@settings(max_examples=15, deadline=None)
@given(names=NAMES, seed=st.integers(0, 10**6))
def test_random_rigs_come_back(tmp_path_factory, format, names, seed):
    file, models, unit = HOLDS[format]
    models = [model for model in models if format != "kalibr" or model == "fisheye"] or models
    rig = random_rig(names, models, seed)
    path = tmp_path_factory.mktemp("written") / file
    save_rig(rig, path, format)
    assert format_of(path) == format
    back = load_rig(path, unit=unit)
    assert back.names == rig.names and [one.size for one in back] == [one.size for one in rig]
    assert [one.lens.model for one in back] == [one.lens.model for one in rig]
    points = POINTS
    if format == "kalibr":  # its world is its first camera
        points = POINTS @ rig[0].cam_from_world[:3, :3].T + rig[0].cam_from_world[:3, 3]
    np.testing.assert_allclose(back.project(points), rig.project(POINTS), atol=2e-6)
    assert not list(path.parent.rglob("*.part"))


@pytest.mark.parametrize("format", HOLDS)
def test_lenses_that_cannot_be_held_are_refused_before_anything_is_written(tmp_path, format):
    file, models, _ = HOLDS[format]
    for model in DISTORTION:
        path = tmp_path / model / file
        if model not in models:
            with pytest.raises(RigFileError) as refused:
                save_rig(make_rig(2, model), path, format)
            one_line(refused, "'cam_1'", model)
            assert not path.exists()


def skewed():
    lens = make_rig(1)[0].lens
    K = np.array(lens.K)
    K[0, 1] = 3.5
    return Rig((Camera(Lens("east", lens.size, K, lens.distortion[:4]), make_rig(1)[0].cam_from_world),))


@pytest.mark.parametrize("format", HOLDS)
def test_a_skew_is_kept_or_refused(tmp_path, format):
    file, _, unit = HOLDS[format]
    if format in ("qualisys", "colmap", "kalibr"):
        with pytest.raises(RigFileError) as refused:
            save_rig(skewed(), tmp_path / file, format)
        one_line(refused, "'east'", "skew", "3.5")
        return
    save_rig(skewed(), tmp_path / file, format)
    assert load_rig(tmp_path / file, unit=unit)[0].lens.K[0, 1] == pytest.approx(3.5)


def test_coefficients_that_cannot_be_held_are_refused(tmp_path):
    with pytest.raises(RigFileError) as refused:
        save_rig(make_rig(2), tmp_path / "camchain.yaml")
    one_line(refused, "'cam_1'", "fifth coefficient", "0.01")
    with pytest.raises(RigFileError) as refused:
        save_rig(make_rig(2, "rational", [*DISTORTION["rational"], 0.01, 0, 0, 0]), tmp_path / "model", "colmap")
    one_line(refused, "'cam_1'", "thin-prism")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
def test_colmap_of_either_kind(tmp_path, suffix, points):
    rig = make_mixed_rig()
    lost = save_rig(rig, tmp_path / f"cameras{suffix}")
    assert len(lost) == 1 and "unit" in lost[0]
    kinds = sorted(f"{name}{suffix}" for name in ("cameras", "images", "points3D"))
    assert sorted(file.name for file in tmp_path.iterdir()) == kinds
    for path in (tmp_path, tmp_path / f"cameras{suffix}", tmp_path / f"images{suffix}"):
        np.testing.assert_allclose(load_rig(path, unit="m").project(points), rig.project(points), atol=1e-6)
    with pytest.raises(RigFileError) as refused:
        load_rig(tmp_path)
    one_line(refused, "no unit", "an arbitrary scale")
    np.testing.assert_allclose(load_rig(tmp_path, unit=0.25).positions, rig.positions / 4, atol=1e-9)
    (tmp_path / f"images{suffix}").unlink()
    with pytest.raises(RigFileError):
        load_rig(tmp_path / f"cameras{suffix}", unit="m")


def test_colmap_counts_pixels_from_their_corner(tmp_path):
    save_rig(make_rig(1, distortion=[]), tmp_path, "colmap")
    line = next(row for row in (tmp_path / "cameras.txt").read_text().splitlines() if not row.startswith("#"))
    assert line.split()[:4] == ["1", "PINHOLE", "1280", "720"]
    assert [float(word) for word in line.split()[4:]] == pytest.approx([900, 905, 640.3 + 0.5, 355.7 + 0.5])


@pytest.mark.parametrize("name", ["left cam", "a/b", "a\\b"])
def test_colmap_cannot_hold_every_name(tmp_path, name):
    with pytest.raises(RigFileError) as refused:
        save_rig(make_rig(1, names=[name]), tmp_path, "colmap")
    one_line(refused, repr(name), "rename")


@pytest.mark.parametrize("format", ["qualisys", "panoptic", "kalibr", "rig", "toml", "opencv"])
@pytest.mark.parametrize("names", [["01", "02"], ["1.5", "1e3"], ["left cam", "ä: #"], ["<a&b>", '"']])
def test_odd_names_stay_as_they_are(tmp_path, format, names):
    path = tmp_path / HOLDS[format][0]
    save_rig(make_rig(2, names=names, distortion=[0.1, 0, 0, 0]), path, format)
    assert list(load_rig(path).names) == names


def test_kalibr_says_that_the_world_is_lost(tmp_path):
    rig = make_rig(3, "fisheye")
    [line] = save_rig(rig, tmp_path / "camchain.yaml")
    assert "world" in line and "'cam_1'" in line
    document = yaml.safe_load((tmp_path / "camchain.yaml").read_text())
    assert list(document) == ["cam0", "cam1", "cam2"] and "T_cn_cnm1" not in document["cam0"]
    step = rig[2].cam_from_world @ np.linalg.inv(rig[1].cam_from_world)
    np.testing.assert_allclose(document["cam2"]["T_cn_cnm1"], step, atol=1e-12)
    assert save_rig(load_rig(tmp_path / "camchain.yaml"), tmp_path / "again.yaml", "kalibr") == []


# The faults of other converters, none of which is to be ours


def test_qualisys_image_is_not_a_pixel_too_large_and_distortion_has_no_unit(tmp_path):
    """Pose2Sim's writer puts right = width and multiplies the distortion by 64."""
    save_rig(make_rig(2), tmp_path / "a.qca.txt")
    camera = ElementTree.parse(tmp_path / "a.qca.txt").getroot().find("cameras/camera")
    assert camera.find("fov_video").attrib == {"left": "0", "top": "0", "right": "1279", "bottom": "719"}
    inside = camera.find("intrinsic")
    assert float(inside.get("radialDistortion1")) == DISTORTION["pinhole"][0]
    assert float(inside.get("radialDistortion3")) == DISTORTION["pinhole"][4]
    assert float(inside.get("tangentalDistortion2")) == DISTORTION["pinhole"][3]
    assert float(inside.get("focalLengthU")) == 900 * 64


def test_twelve_cameras_keep_their_order(tmp_path):
    """aniposelib sorts sections as text: cam_0, cam_1, cam_10, cam_11, cam_2."""
    names = [f"view{number}" for number in range(12)]
    rig = make_rig(12, names=names, distortion=[0.1, 0.01, 0, 0])
    for format, (file, _, unit) in HOLDS.items():
        path = tmp_path / format / file
        save_rig(rig, path, format)
        assert list(load_rig(path, unit=unit).names) == names, format
    theirs = (tmp_path / "toml/rig.toml").read_text()
    for number in range(12):
        theirs = theirs.replace(f"[cam_{number:02}]", f"[cam_{number}]")
    (tmp_path / "theirs.toml").write_text(theirs)
    assert list(load_rig(tmp_path / "theirs.toml").names) == names


def test_easymocap_has_its_names_and_rows(tmp_path):
    """Pose2Sim's writer numbers the keys, K_1, and writes a flat distortion, which its own reader refuses."""
    save_rig(make_rig(2, names=["cam01", "cam02"]), tmp_path, "easymocap")
    file = cv2.FileStorage(str(tmp_path / "intri.yml"), cv2.FILE_STORAGE_READ)
    assert file.getNode("dist_cam02").mat().shape == (1, 5) and file.getNode("K_cam01").mat().shape == (3, 3)
    assert file.getNode("K_1").empty()


def test_all_coefficients_and_the_fisheye_are_kept(tmp_path):
    """FreeMoCap reads k1, k2, p1, p2 only, and no `fisheye`."""
    for model in ("pinhole", "fisheye"):
        save_rig(make_rig(1, model), tmp_path / "rig.toml")
        section = tomllib.loads((tmp_path / "rig.toml").read_text())["cam_00"]
        assert section["distortions"] == DISTORTION[model] and section["fisheye"] is (model == "fisheye")
        np.testing.assert_array_equal(load_rig(tmp_path / "rig.toml")[0].lens.distortion, DISTORTION[model])


def test_panoptic_is_written_as_its_toolbox_reads_it(tmp_path):
    rig = make_rig(2)
    save_rig(rig, tmp_path / "c.json", "panoptic")
    section = json.loads((tmp_path / "c.json").read_text())["cameras"][1]
    assert section["resolution"] == [1280, 720] and section["type"] == "hd" and section["node"] == 1
    theirs = np.array([40.0, -120.0, 20.0])  # cm, y down: 1.2 m above the floor
    seen = cv2.projectPoints(
        theirs, cv2.Rodrigues(np.array(section["R"]))[0], np.array(section["t"]), np.array(section["K"]),
        np.array(section["distCoef"]),
    )[0].ravel()  # fmt: skip
    np.testing.assert_allclose(seen, rig[1].project([0.4, 0.2, 1.2]), atol=1e-6)


# OpenCV's storage, which is read without OpenCV


@pytest.mark.parametrize("suffix", [".yml", ".xml"])
def test_storage_is_read_as_opencv_wrote_it(tmp_path, suffix):
    texts = ["01", "left cam", "ä: #", "1e3", "a\"b<c>&'d\\e", "x_1", "1_0", "nan", "{y}", "true"]
    file = cv2.FileStorage(str(tmp_path / f"a{suffix}"), cv2.FILE_STORAGE_WRITE)
    matrix = np.array([[1e-300, -2.5e17, 3], [np.inf, 0.1, -0.0]])
    for key, value in (("m", matrix), ("whole", 5), ("real", 1e-9), ("three", np.ones((2, 1, 3)))):
        file.write(key, value)
    file.startWriteStruct("names", cv2.FILE_NODE_SEQ)
    for text in texts:
        file.write("", text)
    file.endWriteStruct()
    file.startWriteStruct("list", cv2.FILE_NODE_SEQ)
    for number in range(2):
        file.startWriteStruct("", cv2.FILE_NODE_MAP)
        file.write("name", texts[number])
        file.write("k", np.float32([[number, 0.5]]))
        file.endWriteStruct()
    file.endWriteStruct()
    file.release()
    values = file_storage.load(tmp_path / f"a{suffix}")
    assert values["names"] == texts and values["whole"] == 5 and values["real"] == 1e-9
    np.testing.assert_array_equal(values["m"], matrix)
    assert values["three"].shape == (2, 3)
    assert [entry["name"] for entry in values["list"]] == texts[:2]
    np.testing.assert_array_equal(values["list"][1]["k"], [[1, 0.5]])


def test_storage_of_opencv_4(tmp_path):
    (tmp_path / "a.yml").write_text(
        "%YAML:1.0\n---\nK: !!opencv-matrix\n   rows: 2\n   cols: 1\n   dt: d\n   data: [ 5.0e-01, .Nan ]\nn: -3\n"
    )
    values = file_storage.load(tmp_path / "a.yml")
    assert values["K"][0, 0] == 0.5 and np.isnan(values["K"][1, 0]) and values["n"] == -3
    for bad, word in (("data: [ 1., 2.", "cut off"), ("data: [ 1. ]", "2 x 1"), ("data: [ a, b ]", "2 x 1")):
        (tmp_path / "a.yml").write_text(
            f"%YAML 1.2\n---\nK: !!opencv-matrix\n   rows: 2\n   cols: 1\n   dt: d\n   {bad}\n"
        )
        with pytest.raises(RigFileError) as refused:
            file_storage.load(tmp_path / "a.yml")
        one_line(refused, word)


# COLMAP as others write it


@pytest.mark.parametrize("file", ["model", "cameras.bin"])
def test_colmap_itself_reads_and_writes_the_same(tmp_path, file, points):
    pycolmap = pytest.importorskip("pycolmap", reason="COLMAP is not installed")
    rig = make_mixed_rig()
    save_rig(rig, tmp_path / file, "colmap")
    model = pycolmap.Reconstruction(tmp_path / file if file == "model" else tmp_path)
    for image in model.images.values():
        placed = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
        seen = model.cameras[image.camera_id].img_from_cam(np.array([placed * point for point in points]))
        np.testing.assert_allclose(seen - 0.5, rig[image.name.removesuffix(".png")].project(points), atol=1e-8)
    for kind in ("binary", "text"):
        (tmp_path / kind).mkdir()
        getattr(model, f"write_{kind}")(tmp_path / kind)
        back = load_rig(tmp_path / kind, unit="m").reordered(rig.names)
        np.testing.assert_allclose(back.project(points), rig.project(points), atol=1e-8)


def test_colmap_models_of_others(tmp_path):
    (tmp_path / "images.txt").write_text(
        "# a comment\n1 1 0 0 0 0 0 3 1 cam1/frame_01.jpg\n10 20 -1 30 40 5\n"
        "2 0.5 0.5 0.5 0.5 1 2 3 2 cam2/frame_01.jpg\n\n3 1 0 0 0 0 0 3 3 cam3/frame_01.jpg\n\n"
    )
    rows = ["1 SIMPLE_RADIAL 640 480 500 320 240 -0.1", "2 RADIAL_FISHEYE 640 480 500 320 240 0.02 0.01"]
    (tmp_path / "cameras.txt").write_text("\n".join([*rows, "3 SIMPLE_PINHOLE 640 480 500 320.5 240.5", ""]))
    rig = load_rig(tmp_path, unit="m")
    assert rig.names == ("cam1", "cam2", "cam3")
    assert rig[0].lens.distortion.tolist() == [-0.1, 0, 0, 0] and rig[0].lens.K[0, 2] == 319.5
    assert rig[1].lens.model == "fisheye" and rig[1].lens.distortion.tolist() == [0.02, 0.01, 0, 0]
    np.testing.assert_allclose(rig[1].cam_from_world[:3], [[0, 0, 1, 1], [1, 0, 0, 2], [0, 1, 0, 3]], atol=1e-12)
    np.testing.assert_allclose(rig[2].project([0, 0, 0]), [320, 240])
    for bad, words in (("3 FOV 640 480 500 500 320 240 0.9", "FOV"), ("3 PINHOLE 640 480 500", "PINHOLE with 1")):
        (tmp_path / "cameras.txt").write_text("\n".join([*rows, bad]))
        with pytest.raises(RigFileError) as refused:
            load_rig(tmp_path, unit="m")
        one_line(refused, "'cam3'", words)


@pytest.mark.parametrize("file", ["cameras.bin", "images.bin"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_binary_model_cut_off_is_refused_in_one_line(tmp_path, file, share):
    save_rig(make_rig(), tmp_path / "cameras.bin")
    data = (tmp_path / file).read_bytes()
    for broken in (data[: int(share * len(data))], struct.pack("<Q", 2**60) + data[8:], b"\xff" * len(data)):
        (tmp_path / file).write_bytes(broken)
        with pytest.raises(RigFileError) as refused:
            load_rig(tmp_path, unit="m")
        one_line(refused)
