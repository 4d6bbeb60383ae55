"""Formats of others that are only read: files made from the words of their makers, seen as OpenCV sees them."""

import io
import json
import os
import pickle
import pickletools
import subprocess

import cv2
import numpy as np
import pytest
import tomli_w
import yaml
from ring_rigs import look_at, make_rig

from calib import FORMATS, RigFileError, load_rig
from calib.formats import format_of
from calib.geometry import invert

SIZE, K, DIST = (1280, 720), [[900.0, 0, 640.5], [0, 905, 355.5], [0, 0, 1]], [-0.2, 0.05, 0.001, -0.002, 0.01]
POSE = look_at((2.0, -3.5, 1.8))  # in a world with z up
POINTS = np.array([[0.3, -0.2, 1.1], [-0.5, 0.4, 0.1], [0.6, 0.1, 1.7]])


def seen(points=POINTS, cam_from_world=POSE, K=K, bent=DIST):
    """By OpenCV: pixels (N, 2)."""
    rotation, translation = cv2.Rodrigues(cam_from_world[:3, :3])[0], cam_from_world[:3, 3]
    return cv2.projectPoints(points, rotation, translation, np.array(K), np.array(bent, float))[0][:, 0]


def one_line(refused, *words):
    said = str(refused.value)
    assert "\n" not in said and len(said) < 700, said
    assert all(word in said for word in words), said


def refused_with(path, *words, **said):
    with pytest.raises(RigFileError) as refused:
        load_rig(path, **said)
    one_line(refused, *words)


def told(path, format):
    """The format is told by the content."""
    assert format_of(path) == format and format in FORMATS
    return path


# Caliscope


def caliscope(tmp_path, *sections):
    path = tmp_path / "camera_array.toml"
    path.write_text(tomli_w.dumps({"cameras": {str(number): section for number, section in enumerate(sections)}}))
    return path


def caliscope_camera(**changes):
    section = {"cam_id": 0, "size": SIZE, "rotation_count": 1, "error": 0.4, "matrix": K, "distortions": DIST}
    placed = {"rotation": POSE[:3, :3].tolist(), "translation": POSE[:3, 3].tolist(), "ignore": False}
    return {key: value for key, value in {**section, **placed, **changes}.items() if value is not None}


def test_caliscope_with_a_matrix_or_a_vector_and_cameras_that_are_not_placed(tmp_path):
    vector = cv2.Rodrigues(POSE[:3, :3])[0].ravel().tolist()
    unposed = caliscope_camera(rotation=None, translation=None)
    sections = [caliscope_camera(), caliscope_camera(rotation=vector), unposed, caliscope_camera(ignore=True)]
    rig = load_rig(told(caliscope(tmp_path, *sections), "caliscope"), unit="mm")  # which counts for others only
    assert rig.names == ("cam_0", "cam_1") and "without cam_2, cam_3" in rig.source
    assert [one.size for one in rig] == [SIZE, SIZE]  # quarter turns are for looking only
    np.testing.assert_allclose(rig.project(POINTS), [seen()] * 2, atol=1e-8)
    refused_with(caliscope(tmp_path, unposed, unposed), "cam_0, cam_1", "extrinsics")
    fisheye = caliscope_camera(fisheye=True, distortions=DIST[:4])
    assert load_rig(caliscope(tmp_path, fisheye))[0].lens.model == "fisheye"
    old = {key: value for key, value in caliscope_camera(port=0).items() if key != "cam_id"}
    assert load_rig(caliscope(tmp_path, old)).names == ("port_0",)
    refused_with(caliscope(tmp_path, caliscope_camera(matrix=None)), "'cam_0'", "matrix is missing")
    refused_with(caliscope(tmp_path, caliscope_camera(matrix="null")), "'cam_0'", "null")


# Vicon


def quaternion(R):
    """x, y, z, w of a rotation, by its axis and angle."""
    vector = cv2.Rodrigues(R)[0].ravel()
    angle = np.linalg.norm(vector)
    return [*(vector / angle * np.sin(angle / 2)), np.cos(angle / 2)]


def xcp(tmp_path, radial="", extra="", frame=True, skew="0"):
    def text(values):
        return " ".join(repr(float(value)) for value in values)

    where = invert(POSE)[:3, 3] * 1000
    key = (
        f'<KeyFrame FOCAL_LENGTH="900.0" ORIENTATION="{text(quaternion(POSE[:3, :3]))}" POSITION="{text(where)}" '
        f'PRINCIPAL_POINT="640.5 355.5" WORLD_ERROR="0.1" {radial}/>'
    )
    camera = '<Camera DEVICEID="{}" PIXEL_ASPECT_RATIO="1" SENSOR_SIZE="1280 720" SKEW="{}" TYPE="video">{}</Camera>'
    frames = f"<KeyFrames>{key}{extra}</KeyFrames>" if frame else "<KeyFrames/>"
    body = camera.format("2121", skew, frames) + camera.format("7", "0", "<KeyFrames/>")
    path = tmp_path / "take.xcp"
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?><Cameras VERSION="1.0">{body}</Cameras>')
    return path


SQUARE = [[900.0, 0, 640.5], [0, 900, 355.5], [0, 0, 1]]


def test_vicon_without_distortion(tmp_path):
    for radial in ("", 'VICON_RADIAL="0 0"', 'VICON_RADIAL2="ViconRadial2 640.5 355.5 0 0 0"'):
        rig = load_rig(told(xcp(tmp_path, radial), "vicon"))
        assert rig.names == ("2121",) and rig[0].size == SIZE and "without 7" in rig.source
        np.testing.assert_allclose(rig[0].project(POINTS), seen(K=SQUARE, bent=[0] * 5), atol=1e-6)


@pytest.mark.parametrize("k", [(-2e-8, 0), (6e-8, 3e-14), (1.5e-7, 0, 4e-20), (-9e-8, 5e-15, 0)])
def test_vicon_s_numbers_straighten_a_pixel(tmp_path, k):
    """They are not OpenCV's: what the lens bends, they undo, in pixels."""
    kind = "VICON_RADIAL" if len(k) == 2 else "VICON_RADIAL2"
    words = " ".join(map(str, k)) if len(k) == 2 else f"ViconRadial2 640.5 355.5 {' '.join(map(str, k))}"
    camera = load_rig(xcp(tmp_path, f'{kind}="{words}"'))[0]
    bent = np.random.default_rng(0).uniform((0, 0), (1279, 719), (200, 2))
    off = bent - (640.5, 355.5)
    r2 = (off**2).sum(1, keepdims=True)
    straight = off * (1 + k[0] * r2 + k[1] * r2**2 + (k[2] if len(k) > 2 else 0) * r2**3)
    assert np.linalg.norm(straight - off, axis=1).max() > 5
    np.testing.assert_allclose(camera.lens.undistort(bent) * 900, straight, atol=0.15)


def test_vicon_s_files_that_are_refused(tmp_path):
    refused_with(xcp(tmp_path, 'VICON_RADIAL="-0.1 0.02"'), "'2121'", "per square pixel")
    refused_with(xcp(tmp_path, 'VICON_RADIAL2="ViconRadial2 1 2"'), "'2121'", "2 numbers")
    refused_with(xcp(tmp_path, extra="<KeyFrame/>"), "'2121'", "moves")
    refused_with(xcp(tmp_path, skew="0.3"), "'2121'", "skew")
    refused_with(xcp(tmp_path, frame=False), "2121, 7", "extrinsics")


# OptiTrack


def mcal(tmp_path, lens="IntrinsicStandardCameraModel", encoding="utf-16"):
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # theirs from ours: y up
    world_from_cam = turn @ invert(POSE)[:3, :3] @ np.diag([1, -1, -1])
    places = dict(zip("XYZ", turn @ invert(POSE)[:3, 3], strict=True))
    places |= {f"OrientMatrix{index}": value for index, value in enumerate(world_from_cam.ravel())}
    inside = {"HorizontalFocalLength": 900, "VerticalFocalLength": 905, "LensCenterX": 640.5, "LensCenterY": 355.5}
    inside |= {"k1": DIST[0], "k2": DIST[1], "k3": DIST[4], "TangentialX": DIST[2], "TangentialY": DIST[3]}

    def tag(name, values):
        return f"<{name} " + " ".join(f'{key}="{float(value)!r}"' for key, value in values.items()) + "/>"

    sensor = '<Attributes ImagerPixelWidth="1280" ImagerPixelHeight="720"/>'
    own = tag("Intrinsic", inside | {"k1": 0.5})
    camera = f'<Camera Serial="M21614">{sensor}{own}{tag(lens, inside)}{tag("Extrinsic", places)}</Camera>'
    camera += '<Camera Serial="M2"/>'
    text = f'<?xml version="1.0" encoding="UTF-16LE"?><calibrationProfile><Cameras>{camera}</Cameras>'
    path = tmp_path / "system.mcal"
    path.write_bytes((text + "</calibrationProfile>").encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_optitrack_is_turned_to_z_up(tmp_path, encoding):
    rig = load_rig(told(mcal(tmp_path, encoding=encoding), "optitrack"))
    assert rig.names == ("M21614",) and rig[0].size == SIZE and "without M2" in rig.source
    assert rig[0].position[2] == pytest.approx(1.8)
    np.testing.assert_allclose(rig[0].project(POINTS), seen(), atol=1e-8)
    path = mcal(tmp_path).rename(tmp_path / "exported.xml")
    assert format_of(path) == "optitrack"
    refused_with(mcal(tmp_path, lens="Other"), "'M21614'", "IntrinsicStandardCameraModel")


# OpenCap


def opencap_values():
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # ours from theirs: y down the wall
    R = POSE[:3, :3] @ turn
    return {
        "distortion": np.array([DIST]),
        "intrinsicMat": np.array(K),
        "imageSize": np.array([[720.0], [1280.0]]),
        "rotation": R,
        "translation": POSE[:3, 3:] * 1000,
        "rotation_EulerAngles": cv2.Rodrigues(R)[0],
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_opencap_of_every_protocol(tmp_path, protocol, order):
    values = {key: np.array(value, order=order) for key, value in opencap_values().items()}
    values["imageSize"] = values["imageSize"].astype("i8")
    for name in ("Cam0", "Cam1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cameraIntrinsicsExtrinsics.pickle").write_bytes(pickle.dumps(values, protocol))
    rig = load_rig(told(tmp_path, "opencap"))
    assert rig.names == ("Cam0", "Cam1") and rig[0].size == SIZE
    np.testing.assert_allclose(rig.project(POINTS), [seen()] * 2, atol=1e-8)
    (tmp_path / "left.pickle").write_bytes(pickle.dumps(values, protocol))
    assert load_rig(tmp_path / "left.pickle").names == ("left",)


def test_opencap_as_older_numpy_names_its_parts(tmp_path):
    data = pickle.dumps(opencap_values(), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "a.pickle").write_bytes(data)
    np.testing.assert_allclose(load_rig(tmp_path / "a.pickle")[0].project(POINTS), seen(), atol=1e-8)


class Runs:
    """A pickle of this runs a command when it is loaded."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def hostile(tmp_path):
    touched = tmp_path / "touched"
    code = f"open({str(touched)!r}, 'w')"
    calls = [(eval, code), (exec, code), (os.system, f"touch {touched}"), (subprocess.call, ["touch", str(touched)])]
    calls += [(getattr, "", "join"), (np.load, str(touched)), (np.fromfile, str(touched)), (np.dtype, "O")]
    for call in calls:
        yield pickle.dumps(opencap_values() | {"rotation": Runs(*call)})
        yield pickle.dumps(Runs(*call), 0)
    array = pickle.dumps(np.array([eval, code], dtype=object))
    yield array
    yield b"\x80\x02c__builtin__\neval\n(V" + code.encode() + b"\ntR."
    yield b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(J\xff\xff\xff\x7ftU\x01bt R."
    yield b"\x80\x02Pnowhere\n."
    yield b"\x80\x02(" * 100_000
    yield b"\x80\x02" + b"(l" * 5_000 + b"." + b"\0" * 2_000_000


def test_a_hostile_pickle_runs_nothing(tmp_path):
    for number, data in enumerate(hostile(tmp_path)):
        path = tmp_path / f"{number}.pickle"
        path.write_bytes(data)
        refused_with(path, path.name)
        assert not (tmp_path / "touched").exists(), pickletools.dis(data, io.StringIO())
        path.unlink()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_pickle_cut_off_or_incomplete(tmp_path, share):
    data = pickle.dumps(opencap_values())
    path = tmp_path / "a.pickle"
    path.write_bytes(data[: int(share * len(data))])
    refused_with(path, "a.pickle")
    for key in ("imageSize", "intrinsicMat", "distortion", "rotation", "translation"):
        path.write_bytes(pickle.dumps({k: v for k, v in opencap_values().items() if k != key}))
        refused_with(path, "'a'", key)
    path.write_bytes(pickle.dumps(opencap_values() | {"rotation": np.array([["a"] * 3] * 3)}))
    refused_with(path, "a.pickle")


# Kalibr


def camchain(tmp_path, **changes):
    step = make_rig(2)
    sections = {}
    for number in range(12):
        section = {"camera_model": "pinhole", "intrinsics": [900, 905, 640.5, 355.5], "resolution": list(SIZE)}
        section |= {"distortion_model": "radtan", "distortion_coeffs": DIST[:4], "cam_overlaps": [1]}
        if number:
            section["T_cn_cnm1"] = (step[1].cam_from_world @ invert(step[0].cam_from_world)).tolist()
        sections[f"cam{number}"] = section
    sections["cam1"] |= changes
    path = tmp_path / "camchain.yaml"
    path.write_text("%YAML:1.0\n---\n" + yaml.safe_dump(sections))  # sorted as text: cam0, cam1, cam10, ...
    return path


def test_kalibr_s_chain_is_followed(tmp_path):
    rig = load_rig(told(camchain(tmp_path), "kalibr"))
    assert rig.names == tuple(f"cam{number}" for number in range(12))
    base = make_rig(2)
    step = base[1].cam_from_world @ invert(base[0].cam_from_world)
    np.testing.assert_allclose(rig[2].cam_from_world, step @ step, atol=1e-12)
    ahead = np.array([[0.2, 0.1, 4.0]])
    np.testing.assert_allclose(rig[0].project(ahead), seen(ahead, np.eye(4), bent=[*DIST[:4], 0]), atol=1e-8)
    fisheye = load_rig(camchain(tmp_path, distortion_model="equidistant"))
    assert [one.lens.model for one in fisheye][:2] == ["pinhole", "fisheye"]
    plain = load_rig(camchain(tmp_path, distortion_model="none", distortion_coeffs=[]))
    assert plain[1].lens.distortion.size == 0


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"camera_model": "omni"}, "omni"),
        ({"distortion_model": "fov", "distortion_coeffs": [0.9]}, "fov"),
        ({"distortion_coeffs": DIST}, "5 coefficients"),
        ({"T_cn_cnm1": None}, "T_cn_cnm1"),
        ({"resolution": None}, "resolution"),
        ({"intrinsics": [1, 2]}, "intrinsics"),
    ],
)
def test_kalibr_s_files_that_are_refused(tmp_path, changes, word):
    refused_with(camchain(tmp_path, **changes), "'cam1'", word)


# multical and MC-Calib


def multical(tmp_path, names, master=None, **changes):
    camera = {"model": "standard", "image_size": SIZE, "K": K, "dist": [DIST]} | changes
    pose = {"R": POSE[:3, :3].tolist(), "T": POSE[:3, 3].tolist()}
    keys = [name if master in (None, name) else f"{name}_to_{master}" for name in names]
    path = tmp_path / "calibration.json"
    cameras = dict.fromkeys([*names, "lost"], camera)
    path.write_text(json.dumps({"cameras": cameras, "camera_poses": dict.fromkeys(keys, pose), "image_sets": {}}))
    return path


@pytest.mark.parametrize("master", [None, "cam2", "a_to_b"])
def test_multical_by_name_or_to_a_master(tmp_path, master):
    names = ["cam2", "cam10", "a_to_b"]
    rig = load_rig(told(multical(tmp_path, names, master), "multical"))
    assert list(rig.names) == names and "without lost" in rig.source
    np.testing.assert_allclose(rig.project(POINTS), [seen()] * 3, atol=1e-8)
    mm = load_rig(tmp_path / "calibration.json", unit="mm")
    np.testing.assert_allclose(mm.positions, rig.positions / 1000, atol=1e-12)
    assert load_rig(multical(tmp_path, names, model="fisheye", dist=[DIST[:4]]))[0].lens.model == "fisheye"
    refused_with(multical(tmp_path, names, model="tilted", dist=[[0] * 14]), "'cam2'", "tilted")


def mccalib(tmp_path, groups=(0, 0, 0)):
    path = tmp_path / "calibrated_cameras_data.yml"
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    file.write("nb_camera", len(groups))
    for number, group in enumerate(groups):
        fisheye = number == 2
        file.startWriteStruct(f"camera_{number}", cv2.FILE_NODE_MAP)
        file.write("camera_matrix", np.array(K))
        file.write("distortion_vector", np.array([DIST[: 4 if fisheye else 5]]))
        for key, value in (("distortion_type", int(fisheye)), ("camera_group", group)):
            file.write(key, value)
        file.write("img_width", 1280)
        file.write("img_height", 720)
        file.write("camera_pose_matrix", np.linalg.inv(POSE))  # the camera in its group
        file.endWriteStruct()
    file.release()
    return path


def test_mccalib_s_poses_are_the_other_way_round(tmp_path):
    rig = load_rig(told(mccalib(tmp_path), "mccalib"))
    assert rig.names == ("camera_0", "camera_1", "camera_2") and rig[2].lens.model == "fisheye"
    np.testing.assert_allclose(rig[0].project(POINTS), seen(), atol=1e-8)
    refused_with(mccalib(tmp_path, (0, 0, 1)), "2 groups")


# DLT


def dlt(tmp_path, upwards, spoil=False):
    columns = []
    for camera in make_rig(3, distortion=[]):
        P = camera.lens.K @ camera.cam_from_world[:3]
        P[:2] += P[2]  # counted from 1
        if upwards:
            P[1] = 721 * P[2] - P[1]
        columns.append((P / P[2, 3]).ravel()[:11] * (0 if spoil else 1))
    path = tmp_path / "dltCoefs.csv"
    np.savetxt(path, np.transpose(columns), delimiter=",", fmt="%.17g")
    return path


@pytest.mark.parametrize("upwards", [False, True])
def test_dlt_is_taken_apart(tmp_path, upwards):
    path = told(dlt(tmp_path, upwards), "dlt")
    truth = make_rig(3, distortion=[])
    rig = load_rig(path, size=SIZE)
    assert rig.names == ("cam1", "cam2", "cam3")
    np.testing.assert_allclose(rig.K, truth.K, atol=1e-6)
    np.testing.assert_allclose(rig.cam_from_world, truth.cam_from_world, atol=1e-9)
    np.testing.assert_allclose(load_rig(path, size=SIZE, unit="mm").positions, truth.positions / 1000, atol=1e-9)
    refused_with(path, "'cam1'", "size=")
    refused_with(dlt(tmp_path, upwards, spoil=True), "'cam1'", "no camera", size=SIZE)
    path.write_text("1,2\n3,4\n")
    refused_with(path, "11 rows", size=SIZE)
