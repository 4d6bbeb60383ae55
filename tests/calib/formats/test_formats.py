"""Every format: read by its own convention, written so that it reads back, refused in one line where it is bad."""

import json
import tomllib

import cv2
import numpy as np
import pytest
import tomli_w
import yaml
from ring_rigs import make_mixed_rig, make_rig

from calib import FORMATS, RigFileError, load_rig, save_rig
from calib.formats.panoptic import WORLD_FROM_PANOPTIC
from calib.geometry import transform

MODELS = ("pinhole", "rational", "fisheye")
WRITTEN = [
    *(("rig.yaml", model) for model in MODELS),
    *(("rig.toml", model) for model in MODELS),
    *((f"rig{suffix}", model) for suffix in (".yml", ".xml", ".json") for model in MODELS),
    ("folder", "pinhole"),
]
POINT = np.array([0.3, -0.2, 1.1])
SIZE, K, DIST = (1280, 720), [[900.0, 0, 640.5], [0, 905, 355.5], [0, 0, 1]], [-0.2, 0.05, 0.001, -0.002, 0.01]
RVEC, TVEC = np.array([1.9, 0.4, -0.3]), np.array([0.1, 0.9, 4.0])


def pixels_by_opencv(point=POINT, rvec=RVEC, tvec=TVEC):
    return cv2.projectPoints(point[None], rvec, tvec, np.array(K), np.array(DIST))[0].ravel()


def one_line(refused, *words):
    said = str(refused.value)
    assert "\n" not in said and len(said) < 600, said
    assert all(word in said for word in words), said


@pytest.mark.parametrize(("name", "model"), WRITTEN)
def test_what_is_written_reads_back(tmp_path, points, name, model):
    rig = make_rig(12, model)
    path, kind = tmp_path / name, "easymocap" if name == "folder" else None
    save_rig(rig, path, kind)
    back = load_rig(path)
    assert back.names == rig.names == tuple(f"cam_{number}" for number in range(1, 13))
    assert [camera.size for camera in back] == [camera.size for camera in rig]
    assert back[0].lens.model == model
    np.testing.assert_allclose(back.project(points), rig.project(points), atol=1e-6)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["rig.yaml", "rig.toml", "rig.yml", "rig.json", "rig.xml"])
def test_mixed_lenses_read_back(tmp_path, points, name):
    rig = make_mixed_rig()
    save_rig(rig, tmp_path / name)
    np.testing.assert_allclose(load_rig(tmp_path / name).project(points), rig.project(points), atol=1e-6)


@pytest.mark.parametrize("names", [["01", "02"], ["1.5", "1e3"], ["left cam", "ä: #"], ["00_03", "Ω"]])
@pytest.mark.parametrize("name", ["rig.yaml", "rig.toml", "rig.yml", "rig.json", "rig.xml"])
def test_odd_names_stay_as_they_are(tmp_path, name, names):
    save_rig(make_rig(2, names=names), tmp_path / name)
    assert list(load_rig(tmp_path / name).names) == names


def test_our_own_file_is_exact_and_plain(tmp_path, rig):
    save_rig(rig, tmp_path / "rig.yaml")
    back = load_rig(tmp_path / "rig.yaml")
    np.testing.assert_array_equal(back.cam_from_world, rig.cam_from_world)
    np.testing.assert_array_equal(back.K, rig.K)
    text = (tmp_path / "rig.yaml").read_text()
    assert "!!" not in text and "length: m" in text
    # a hand that writes millimetres and 1e3
    by_hand = yaml.safe_load(text)
    by_hand["units"]["length"] = "mm"
    for camera in by_hand["cameras"]:
        for row in camera["cam_from_world"][:3]:
            row[3] *= 1000
    (tmp_path / "mm.yaml").write_text(yaml.safe_dump(by_hand, sort_keys=False))
    np.testing.assert_allclose(load_rig(tmp_path / "mm.yaml").positions, rig.positions, atol=1e-9)


def test_anipose_would_read_our_order(tmp_path):
    """It sorts the sections as text, so the sections have to sort as the cameras do."""
    save_rig(make_rig(12), tmp_path / "rig.toml")
    document = tomllib.loads((tmp_path / "rig.toml").read_text())
    sections = [key for key in document if key != "metadata"]
    assert sections == sorted(sections)
    assert [document[key]["name"] for key in sections] == [f"cam_{number}" for number in range(1, 13)]


def toml(tmp_path, **changes):
    section = {"name": "east", "size": [1280.0, 720.0], "matrix": K, "distortions": DIST}
    section |= {"rotation": RVEC.tolist(), "translation": TVEC.tolist(), "fisheye": False} | changes
    path = tmp_path / "a.toml"
    path.write_text(tomli_w.dumps({"cam_0": {k: v for k, v in section.items() if v is not None}, "metadata": {}}))
    return path


def test_toml_projects_as_opencv_does(tmp_path):
    np.testing.assert_allclose(load_rig(toml(tmp_path))["east"].project(POINT), pixels_by_opencv(), atol=1e-9)
    assert load_rig(toml(tmp_path, distortions=DIST[:4]))[0].lens.distortion.size == 4


@pytest.mark.parametrize("layout", ["single", "table", "list"])
@pytest.mark.parametrize(
    "keys",
    [("K", "dist", "R", "t"), ("camera_matrix", "distortion_coefficients", "rvec", "tvec"), ("mtx", "D", "R", "T")],
)
def test_plain_json_in_every_layout(tmp_path, layout, keys):
    rotation = RVEC.tolist() if keys[2] == "rvec" else cv2.Rodrigues(RVEC)[0].tolist()
    translation = [[number] for number in TVEC]
    values = dict(zip(keys, (K, [DIST], rotation, translation), strict=True)) | {"image_size": SIZE}
    document = {
        "single": values,
        "table": {"east": values},
        "list": {"cameras": [values | {"name": "east"}]},
    }[layout]
    path = tmp_path / "east.json"
    path.write_text(json.dumps(document))
    rig = load_rig(path)
    assert rig.names == ("east",)
    np.testing.assert_allclose(rig[0].project(POINT), pixels_by_opencv(), atol=1e-9)


def storage(path, **values):
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in values.items():
        file.write(key, value)
    file.release()


def test_a_folder_of_opencv_files(tmp_path):
    shared = {"camera_matrix": np.array(K), "distortion_coefficients": np.array([DIST])}
    placed = {"R": cv2.Rodrigues(RVEC)[0], "T": TVEC[:, None]}
    storage(tmp_path / "west.xml", image_width=1280, image_height=720, **shared, **placed)
    storage(tmp_path / "east.yml", **shared, **placed)
    with pytest.raises(RigFileError) as refused:
        load_rig(tmp_path)
    one_line(refused, "'east'", "size=")
    rig = load_rig(tmp_path, size={"east": SIZE})
    assert rig.names == ("east", "west")
    np.testing.assert_allclose(rig.project(POINT), [pixels_by_opencv()] * 2, atol=1e-9)


def easymocap(tmp_path, names=("01", "b"), skip=(), sized=True):
    intri, extri = {}, {}
    for name in names:
        intri |= {f"K_{name}": np.array(K), f"dist_{name}": np.array([DIST])}
        intri |= {f"H_{name}": 720, f"W_{name}": 1280} if sized else {}
        extri |= {f"R_{name}": RVEC[:, None], f"Rot_{name}": cv2.Rodrigues(RVEC)[0], f"T_{name}": TVEC[:, None]}
    for file, values in (("intri.yml", intri), ("extri.yml", extri)):
        storage(tmp_path / file, **{key: value for key, value in values.items() if key not in skip})
        with (tmp_path / file).open("a") as out:
            out.write("names:\n" + "".join(f'  - "{name}"\n' for name in names))
    return tmp_path


def test_easymocap_projects_as_opencv_does(tmp_path):
    for path in (easymocap(tmp_path), tmp_path / "intri.yml", tmp_path / "extri.yml"):
        rig = load_rig(path)
        assert rig.names == ("01", "b")
        np.testing.assert_allclose(rig.project(POINT), [pixels_by_opencv()] * 2, atol=1e-9)
    rig = load_rig(easymocap(tmp_path, sized=False, skip=("Rot_b",)), size=SIZE)
    np.testing.assert_allclose(rig.project(POINT), [pixels_by_opencv()] * 2, atol=1e-9)
    unquoted = (tmp_path / "intri.yml").read_text().replace('"01"', "01")
    (tmp_path / "intri.yml").write_text(unquoted)
    assert load_rig(tmp_path, size=SIZE).names == ("01", "b")


@pytest.mark.parametrize("missing", ["K_b", "dist_b", "T_b"])
def test_easymocap_says_what_is_missing(tmp_path, missing):
    with pytest.raises(RigFileError) as refused:
        load_rig(easymocap(tmp_path, skip=(missing,)))
    one_line(refused, "'b'", missing, str(tmp_path))


def test_easymocap_s_other_file_and_size_are_asked_for(tmp_path):
    with pytest.raises(RigFileError) as refused:
        load_rig(easymocap(tmp_path, sized=False))
    one_line(refused, "'01'", "H_01", "size=")
    (tmp_path / "extri.yml").unlink()
    with pytest.raises(RigFileError) as refused:
        load_rig(tmp_path)
    one_line(refused, "extri.yml")


@pytest.mark.parametrize("model", ["rational", "fisheye"])
def test_easymocap_cannot_hold_every_lens(tmp_path, model):
    with pytest.raises(RigFileError) as refused:
        save_rig(make_rig(2, model), tmp_path, "easymocap")
    one_line(refused, "'cam_1'", model)
    assert not list(tmp_path.iterdir())


def qca(left=8, top=4, **transform_changes):
    """A file made from the source's words: 1/64 px, mm, camera in world, axes x right, y up, z backward."""
    R, position = np.diag([1.0, -1, -1]) @ cv2.Rodrigues(RVEC)[0], -cv2.Rodrigues(RVEC)[0].T @ TVEC * 1000
    places = {f"r{row + 1}{column + 1}": R[row, column] for row in range(3) for column in range(3)}
    places |= dict(zip("xyz", position, strict=True)) | transform_changes
    radial = {"radialDistortion1": DIST[0], "radialDistortion2": DIST[1], "radialDistortion3": DIST[4]}
    tangential = {"tangentalDistortion1": DIST[2], "tangentalDistortion2": DIST[3]}
    centre = {"centerPointU": (640.5 + left) * 64, "centerPointV": (355.5 + top) * 64}
    inside = {"focalLengthU": 900 * 64, "focalLengthV": 905 * 64, "skew": 0} | centre | radial | tangential
    fov = {"left": left, "top": top, "right": left + 1279, "bottom": top + 719}

    def tag(name, values):
        return f"<{name} " + " ".join(f'{key}="{value}"' for key, value in values.items()) + "/>"

    body = tag("fov_video", fov) + tag("transform", places) + tag("intrinsic", inside)
    return (
        f'<calibration><cameras><camera active="1" serial="77" viewrotation="0">{body}</camera></cameras></calibration>'
    )


def test_qualisys_by_its_own_words(tmp_path):
    path = tmp_path / "a.qca.txt"
    path.write_text(qca())
    rig = load_rig(path)
    assert rig.names == ("77",) and rig[0].size == (1280, 720)
    np.testing.assert_allclose(rig[0].project(POINT), pixels_by_opencv(), atol=1e-9)
    for change, said in (('viewrotation="90"', "viewrotation"), ("", "viewrotation")):
        path.write_text(qca().replace('viewrotation="0"', change))
        if change:
            with pytest.raises(RigFileError) as refused:
                load_rig(path)
            one_line(refused, "'77'", said)
        else:
            load_rig(path)


def panoptic_file(tmp_path, **changes):
    R, t = cv2.Rodrigues(RVEC)[0].tolist(), [[100 * number] for number in TVEC]
    section = {"name": "00_03", "type": "hd", "resolution": SIZE, "K": K, "distCoef": DIST, "R": R, "t": t} | changes
    path = tmp_path / "calibration_x.json"
    path.write_text(json.dumps({"calibDataSource": "x", "cameras": [section, section | {"name": "01_01"}]}))
    return path


def test_panoptic_is_centimetres_and_turned_to_z_up(tmp_path):
    rig = load_rig(panoptic_file(tmp_path))
    assert rig.names == ("00_03", "01_01")
    theirs = np.array([20.0, -150.0, 30.0])  # 150 cm above the floor
    ours = transform(WORLD_FROM_PANOPTIC, theirs)
    np.testing.assert_allclose(ours, [0.2, 0.3, 1.5])
    np.testing.assert_allclose(rig[0].project(ours), pixels_by_opencv(theirs / 100), atol=1e-9)


@pytest.mark.parametrize("name", ["rig.toml", "rig.json", "folder"])
def test_a_unit_nobody_says_is_asked_for(tmp_path, rig, points, name):
    path, kind = tmp_path / name, "easymocap" if name == "folder" else None
    save_rig(rig.scaled_world(1000), path, kind)
    with pytest.raises(RigFileError) as refused:
        load_rig(path)
    one_line(refused, 'unit="mm"', "--rig-unit mm")
    for unit in ("mm", 0.001, "0.001"):
        np.testing.assert_allclose(load_rig(path, unit=unit).positions, rig.positions, atol=1e-9)
    with pytest.raises(RigFileError, match="not a unit"):
        load_rig(path, unit="feet")


def test_a_unit_that_is_declared_is_kept(tmp_path, rig):
    save_rig(rig, tmp_path / "rig.yaml")
    np.testing.assert_allclose(load_rig(tmp_path / "rig.yaml", unit="mm").positions, rig.positions)


SPOILT = [
    ({"matrix": [[0.0, 0, 640], [0, 900, 360], [0, 0, 1]]}, "singular"),
    ({"matrix": [[float("nan"), 0, 640], [0, 900, 360], [0, 0, 1]]}, "NaN"),
    ({"matrix": [[900.0, 0], [0, 900]]}, "3x3"),
    ({"matrix": [["a", 0, 0], [0, 900, 0], [0, 0, 1]]}, "3x3"),
    ({"rotation": [[1.0, 0, 0], [0, 1, 0], [0, 0, -1]]}, "is a reflection"),
    ({"rotation": [[1.0, 0.2, 0], [0, 1, 0], [0, 0, 1]]}, "orthonormal"),
    ({"rotation": [1.0, 2.0]}, "rotation"),
    ({"rotation": None}, "extrinsics"),
    ({"translation": [1.0, float("nan"), 0]}, "NaN"),
    ({"distortions": [0.1] * 6}, "6 distortion"),
    ({"distortions": [0.1] * 14}, "14"),
    ({"distortions": None}, "distortions"),
    ({"distortions": DIST, "fisheye": True}, "fisheye"),
    ({"size": [0, 0]}, "size"),
    ({"size": None}, "size="),
]


@pytest.mark.parametrize(("changes", "word"), SPOILT)
def test_a_spoilt_camera_is_named_in_one_line(tmp_path, changes, word):
    path = toml(tmp_path, **changes)
    with pytest.raises(RigFileError) as refused:
        load_rig(path)
    one_line(refused, str(path), "'east'", word)


@pytest.mark.parametrize("key", ["K", "distCoef", "R", "t", "resolution"])
def test_panoptic_says_what_is_missing(tmp_path, key):
    path = panoptic_file(tmp_path)
    document = json.loads(path.read_text())
    document["cameras"] = [{name: one[name] for name in one if name != key} for one in document["cameras"]]
    path.write_text(json.dumps(document))
    with pytest.raises(RigFileError) as refused:
        load_rig(path, "panoptic")
    one_line(refused, "'00_03'", key)


def test_two_cameras_of_one_name(tmp_path):
    path = panoptic_file(tmp_path)
    path.write_text(path.read_text().replace("01_01", "00_03"))
    with pytest.raises(RigFileError) as refused:
        load_rig(path)
    one_line(refused, "'00_03'", str(path))
    section = json.dumps({"K": K, "dist": DIST, "R": RVEC.tolist(), "t": TVEC.tolist(), "size": SIZE})
    (tmp_path / "twice.json").write_text(f'{{"east": {section}, "east": {section}}}')
    with pytest.raises(RigFileError) as refused:
        load_rig(tmp_path / "twice.json")
    one_line(refused, "'east'")


def written(tmp_path, rig):
    """A good file of every kind."""
    for name in ("rig.yaml", "rig.toml", "rig.yml", "rig.xml", "rig.json"):
        save_rig(rig, tmp_path / name)
    (tmp_path / "a.qca.txt").write_text(qca())
    return sorted(path for path in [*tmp_path.iterdir(), panoptic_file(tmp_path)] if path.is_file())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_a_file_cut_off_is_refused_in_one_line(tmp_path, rig, share):
    for path in written(tmp_path, rig):
        text = path.read_text()
        path.write_text(text[: int(share * len(text))])
        with pytest.raises(RigFileError) as refused:
            load_rig(path)
        one_line(refused, path.name)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00nonsense", b"hello", b"{}", b"[]", b"[1, 2]", b"null"])
@pytest.mark.parametrize("format", [None, *FORMATS])
def test_a_wrong_file_is_refused_in_one_line(tmp_path, content, format):
    for name in ("a.yaml", "a.toml", "a.json", "a.yml", "a.xml", "a.qca.txt", "a.mp4", "intri.yml"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(RigFileError) as refused:
            load_rig(path, format)
        one_line(refused)
        path.unlink()


def test_what_is_not_there_and_what_is_not_known(tmp_path, rig):
    with pytest.raises(RigFileError, match="no such file"):
        load_rig(tmp_path / "nothing.toml")
    with pytest.raises(RigFileError, match="formats are"):
        load_rig(tmp_path)
    with pytest.raises(RigFileError, match="there are rig"):
        load_rig(tmp_path, "word")
    for only_read in ("vicon", "optitrack", "opencap", "caliscope", "multical", "mccalib", "dlt"):
        with pytest.raises(RigFileError, match=f"{only_read} files are only read; write one of rig, qualisys"):
            save_rig(rig, tmp_path / "x", only_read)


def test_writing_is_all_or_nothing(tmp_path, rig, monkeypatch):
    path = tmp_path / "rig.yaml"
    save_rig(rig, path)
    before = path.read_text()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(RigFileError, match="no space left"):
        save_rig(rig.scaled_world(2), path)
    assert path.read_text() == before and [file.name for file in tmp_path.iterdir()] == ["rig.yaml"]
