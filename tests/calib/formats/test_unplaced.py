"""A camera without a pose is left out and named, in every format, instead of refusing the others with it."""

import json
import pickle
import tomllib

import cv2
import numpy as np
import pytest
import tomli_w
import yaml
from foreign_files import (
    DIST,
    POSE,
    SIZE,
    K,
    caliscope,
    caliscope_camera,
    camchain,
    dlt,
    mcal,
    mccalib,
    opencap_values,
    xcp,
)
from ring_rigs import make_rig

from calib import FORMATS, RigFileError, load_rig, save_rig
from calib.formats import writable


def named_rig(count, **lens):
    return make_rig(count, names=["east", "west", "north"][:count], **lens)


POINTS = np.array([[0.3, -0.2, 1.1], [-0.5, 0.4, 0.1]])


def of_caliscope(folder):
    null = caliscope_camera(rotation="null", translation="null")
    half = caliscope_camera(translation="null")
    return caliscope(folder, caliscope_camera(), null, half), ["cam_1", "cam_2"]


def of_toml(folder):
    path = folder / "rig.toml"
    save_rig(named_rig(3), path)
    text = path.read_text().split("[cam_01]")
    moved = text[1].replace("rotation = [", "was = [", 1).replace("translation = [", "at = [", 1)
    path.write_text(text[0] + "[cam_01]" + moved)
    return path, ["west"]


def of_rig(folder):
    path = folder / "rig.yaml"
    save_rig(named_rig(2), path)
    document = yaml.safe_load(path.read_text())
    document["cameras"].append(document["cameras"][0] | {"name": "new", "cam_from_world": None})
    path.write_text(yaml.safe_dump(document))
    return path, ["new"]


def of_qualisys(folder):
    path = folder / "a.qca.txt"
    save_rig(named_rig(3, distortion=[]), path)
    _, second, third = named_rig(3).names
    head, one, two, three = path.read_text().split("<camera ")
    start, end = two.index("<transform"), two.index("<intrinsic")
    path.write_text("<camera ".join([head, one, two[:start] + two[end:], three.replace('active="1"', 'active="0"')]))
    return path, [second, third]


def of_panoptic(folder):
    path = folder / "calibration_x.json"
    save_rig(named_rig(2), path, "panoptic")
    document = json.loads(path.read_text())
    document["cameras"].append(document["cameras"][0] | {"name": "new", "R": None, "t": None})
    path.write_text(json.dumps(document))
    return path, ["new"]


def of_multical(folder):
    camera = {"model": "standard", "image_size": SIZE, "K": K, "dist": [DIST]}
    poses = {"a": {"R": POSE[:3, :3].tolist(), "T": POSE[:3, 3].tolist()}, "b": {"R": None, "T": None}, "c": None}
    path = folder / "calibration.json"
    path.write_text(json.dumps({"cameras": dict.fromkeys("abcd", camera), "camera_poses": poses}))
    return path, ["b", "c", "d"]


def of_kalibr(folder):
    """What follows upon a camera without a place has none either."""
    return camchain(folder, T_cn_cnm1=None), [f"cam{number}" for number in range(1, 12)]


def of_mccalib(folder):
    """A camera that shares no board with the others is a group of its own."""
    return mccalib(folder, (0, 1, 0)), ["camera_1"]


def of_easymocap(folder):
    save_rig(named_rig(3), folder, "easymocap")
    keys = ("R_", "Rot_", "T_")
    storage = cv2.FileStorage(str(folder / "extri.yml"), cv2.FILE_STORAGE_READ)
    values = {f"{key}{name}": storage.getNode(f"{key}{name}").mat() for name in named_rig(3).names[:2] for key in keys}
    storage.release()
    text = "%YAML:1.0\n---\n" + "".join(
        f"{key}: !!opencv-matrix\n   rows: {len(value)}\n   cols: {value.shape[1]}\n   dt: d\n   data: "
        f"{[float(number) for number in value.ravel()]}\n"
        for key, value in values.items()
    )
    (folder / "extri.yml").write_text(text)
    return folder, [named_rig(3).names[2]]


def of_opencv(folder):
    path = folder / "rig.json"
    save_rig(named_rig(3), path, "opencv")
    document = json.loads(path.read_text())
    document["cameras"][1] |= {"R": None, "t": None}
    document["cameras"][2] = {key: value for key, value in document["cameras"][2].items() if key not in "Rt"}
    path.write_text(json.dumps(document))
    return path, list(named_rig(3).names[1:])


def of_opencap(folder):
    unplaced = {key: value for key, value in opencap_values().items() if key not in ("rotation", "translation")}
    for name, values in (("Cam0", opencap_values()), ("Cam1", unplaced)):
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(values))
    return folder, ["Cam1"]


def of_dlt(folder):
    path = dlt(folder, upwards=False)
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join([row[0], "NaN", row[2]]) for row in rows))
    return path, ["cam2"]


def of_vicon(folder):
    path = xcp(folder)
    path.write_text(path.read_text().replace("<KeyFrames/>", '<KeyFrames><KeyFrame FOCAL_LENGTH="900"/></KeyFrames>'))
    return path, ["7"]


def of_optitrack(folder):
    path = mcal(folder, encoding="utf-8")
    path.write_text(path.read_text().replace('<Camera Serial="M2"/>', '<Camera Serial="M2"><Extrinsic/></Camera>'))
    return path, ["M2"]


MADE = {name[3:]: made for name, made in list(globals().items()) if name.startswith("of_")}
HELD_ONLY_WITH_A_POSE = {"colmap"}  # a model lists registered images


@pytest.mark.parametrize("format", MADE)
def test_a_camera_that_is_not_placed_is_left_out_and_named(tmp_path, format):
    path, lost = MADE[format](tmp_path)
    rig = load_rig(path, format, size=SIZE)
    assert list(rig.unplaced) == lost and f"without {', '.join(lost)}" in rig.source
    assert len(rig) >= 1 and not set(rig.names) & set(lost)
    assert np.isfinite(rig.select(rig.names[:1]).project(POINTS)).any()


def test_every_format_is_tried():
    assert set(MADE) == set(FORMATS) - HELD_ONLY_WITH_A_POSE and set(writable()) >= HELD_ONLY_WITH_A_POSE


def test_a_file_without_any_placed_camera_is_refused_by_their_names(tmp_path):
    with pytest.raises(RigFileError, match=r"cam_0, cam_1.*extrinsics"):
        load_rig(caliscope(tmp_path, *[caliscope_camera(rotation="null", translation="null")] * 2))


def test_half_a_pose_is_damage_and_refused(tmp_path):
    path, _ = of_toml(tmp_path)
    path.write_text(path.read_text().replace("at = [", "translation = ["))
    with pytest.raises(RigFileError, match=r"'west'.*rotation"):
        load_rig(path)


@pytest.mark.parametrize("null", ["null", "None", "", "nan", float("nan"), [], [[], []], [[float("nan")] * 3] * 3])
def test_null_has_many_spellings(tmp_path, null):
    path = tmp_path / "rig.toml"
    save_rig(named_rig(2), path)
    document = tomllib.loads(path.read_text())
    document["cam_01"] |= {"rotation": null, "translation": null}
    path.write_text(tomli_w.dumps(document))
    assert load_rig(path).unplaced == ("west",)


def test_an_error_beyond_the_reader_names_the_file_too(tmp_path):
    path = tmp_path / "rig.toml"
    save_rig(named_rig(2), path)
    for unit in (-1.0, float("nan")):
        with pytest.raises(RigFileError, match=r"rig\.toml: the world cannot be scaled"):
            load_rig(path, unit=unit)


def spoilt(folder, format, **changes):
    """Three cameras in a list, the second with these changes, or null without any."""
    path = folder / ("calibration_x.json" if format == "panoptic" else "rig.yaml" if format == "rig" else "rig.json")
    save_rig(named_rig(3), path, format)
    document = yaml.safe_load(path.read_text())
    document["cameras"][1] = document["cameras"][1] | changes if changes else None
    path.write_text(json.dumps(document) if path.suffix == ".json" else yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("format", "changes", "name"),
    [
        ("panoptic", {"R": None}, "west"),
        ("panoptic", {"t": None}, "west"),
        ("panoptic", {"distCoef": None}, "west"),
        ("panoptic", {}, "number 2"),
        ("opencv", {"R": None}, "west"),
        ("opencv", {"dist": None}, "west"),
        ("opencv", {}, "number 2"),
        ("rig", {"distortion": None}, "west"),
        ("rig", {}, "number 2"),
    ],
)
def test_null_as_pose_as_lens_or_as_a_whole_camera_leaves_it_out(tmp_path, format, changes, name):
    path = spoilt(tmp_path, format, **changes)
    rig = load_rig(path)
    assert rig.names == ("east", "north") and rig.unplaced == (name,)
    assert f"(without {name}, which has no pose or lens in the file)" in rig.source


def test_null_in_a_table_or_list_without_names_leaves_the_other_names_as_they_are(tmp_path):
    path = tmp_path / "rig.json"
    one = {"K": K, "dist": [0.0] * 5, "R": np.eye(3).tolist(), "t": [0.0, 0.0, 0.0], "size": SIZE}
    for cameras, names, lost in (({"a": one, "b": None}, ("a",), ("b",)), ([None, one], ("1",), ("number 1",))):
        path.write_text(json.dumps({"cameras": cameras}))
        assert (load_rig(path).names, load_rig(path).unplaced) == (names, lost)


@pytest.mark.parametrize("format", ["panoptic", "opencv", "rig"])
@pytest.mark.parametrize("focal", [1e308, 1e12])
def test_a_focal_length_beyond_any_camera_is_refused(tmp_path, format, focal):
    path = spoilt(tmp_path, format, K=[[focal, 0.0, 640.0], [0.0, focal, 360.0], [0.0, 0.0, 1.0]])
    with pytest.raises(RigFileError, match=r"'west': K holds 1e.* beyond any camera"):
        load_rig(path)


def test_numbers_in_messages_are_plain(tmp_path):
    with pytest.raises(RigFileError, match=r"image size is \(0, 720\)"):
        load_rig(spoilt(tmp_path, "rig", size=[0, 720]))
