"""Formats of others that are only read: files made from the words of their makers, seen as OpenCV sees them."""

import io
import os
import pickle
import pickletools
import subprocess

import cv2
import numpy as np
import pytest
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
    multical,
    opencap_values,
    xcp,
)
from ring_rigs import make_rig

from calib import FORMATS, RigFileError, load_rig
from calib.formats import format_of
from calib.geometry import invert

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
        ({"T_cn_cnm1": [[1, 0, 0, 0]]}, "T_cn_cnm1"),
        ({"resolution": None}, "resolution"),
        ({"intrinsics": [1, 2]}, "intrinsics"),
    ],
)
def test_kalibr_s_files_that_are_refused(tmp_path, changes, word):
    refused_with(camchain(tmp_path, **changes), "'cam1'", word)


# multical and MC-Calib


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


def test_mccalib_s_poses_are_the_other_way_round(tmp_path):
    rig = load_rig(told(mccalib(tmp_path), "mccalib"))
    assert rig.names == ("camera_0", "camera_1", "camera_2") and rig[2].lens.model == "fisheye"
    np.testing.assert_allclose(rig[0].project(POINTS), seen(), atol=1e-8)
    refused_with(mccalib(tmp_path, (0, 0, 1, 1)), "2 groups")
    refused_with(mccalib(tmp_path, (0, 1)), "2 groups")


# DLT


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
