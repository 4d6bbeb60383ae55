"""The readers on recordings of others: real pixels for Qualisys, the raw numbers of the file for Panoptic."""

import csv
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from calib import RigFileError, load_rig, save_rig
from calib.formats.panoptic import WORLD_FROM_PANOPTIC, read
from calib.geometry import transform

# The files hold OpenPose's BODY_25B, not BODY_25: only nose, left shoulder, left knee and feet have the same place.
BODY_25B = {
    **{"Nose": 0, "LShoulder": 5, "RShoulder": 6, "LElbow": 7, "RElbow": 8, "LWrist": 9, "RWrist": 10},
    **{"LHip": 11, "RHip": 12, "LKnee": 13, "RKnee": 14, "LAnkle": 15, "RAnkle": 16},
}
QUALISYS = "pose2sim_multiperson/openpose/Calib.qca.txt"
PANOPTIC = [
    "motion/panoptic_pose/calibration_171026_pose3.json",
    "motion/panoptic_band/160906_band1/calibration_160906_band1.json",
]


def reference(path):
    """Joints (T, J, 3) m of a trc file, its (x, y, z) being the calibration's (y, z, x)."""
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    names = [name for name in lines[3][2:] if name]
    rows = [line[2 : 2 + 3 * len(names)] for line in lines[5:] if len(line) > 5]
    table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), -1, 3)
    return table[:, [names.index(name) for name in BODY_25B]][..., [2, 0, 1]]


def people(data, view, frame):
    """What OpenPose found in one picture: (P, J, 2) px, NaN where it was unsure."""
    name = f"cam{view + 1:02}"
    file = data(f"pose2sim_multiperson/openpose/pose/{name}_json/{name}.{frame:04}.json")
    found = [np.reshape(one["pose_keypoints_2d"], (25, 3)) for one in json.loads(file.read_text())["people"]]
    rows = np.array(found).reshape(-1, 25, 3)[:, list(BODY_25B.values())]
    return np.where(rows[..., 2:] > 0.3, rows[..., :2], np.nan)


def nearest(candidates, expected):
    """The candidate (J, 2) whose joints lie nearest to the expected ones, NaN where nobody has half of them."""
    error = np.linalg.norm(candidates - expected, axis=-1)
    whole = np.isfinite(error).sum(1) >= 7
    if not whole.any():
        return np.full(expected.shape, np.nan)
    return candidates[whole][np.argmin(np.nanmedian(error[whole], axis=1))]


@pytest.mark.parametrize("person", ["P1", "P2"])
def test_qualisys_on_real_pixels(data, person):
    rig = load_rig(data(QUALISYS))
    assert rig.names == ("cam_01", "cam_02", "cam_03", "cam_04") and rig[0].size == (1088, 1920)
    truth = reference(data(f"pose2sim_multiperson/reference_trc/S00_P01_T02_Participants1-2_{person}_0-100.trc"))
    given, seen = [], []
    for frame in range(0, 100, 10):
        expected = rig.project(truth[frame])
        xy = np.stack([nearest(people(data, view, frame), expected[view]) for view in range(4)])
        given.append(np.linalg.norm(xy - expected, axis=-1))
        seen.append(np.linalg.norm(xy - rig.project(rig.triangulate(xy)), axis=-1))
    assert np.nanmedian(given) < 25
    assert np.nanmedian(seen) < 17
    assert (rig.positions[:, 2] > 1.5).all()  # tripods: z is up


@pytest.mark.parametrize("file", PANOPTIC)
def test_panoptic_loads_whole_and_by_kind(data, file):
    rig = load_rig(data(file))
    assert len(rig) == 520 and len(rig.select([name for name in rig.names if name.startswith("00_")])) == 31
    assert len(read(data(file), kind="hd")) == 31 and len(read(data(file), kind="kinect-color")) == 10
    assert rig.positions[:, 2].min() > 0.5 and np.abs(rig.positions).max() < 5
    corners = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    for camera in rig:  # every picture can be undistorted to its corners
        assert np.isfinite(camera.lens.undistort(corners * (np.array(camera.size) - 1))).all()


@pytest.mark.parametrize("file", PANOPTIC)
def test_panoptic_projects_as_its_formula_does(data, file):
    """By the toolbox's formula on the raw numbers, in centimetres."""
    raw = {camera["name"]: camera for camera in json.loads(data(file).read_text())["cameras"]}
    rig = load_rig(data(file))
    theirs = np.random.default_rng(0).uniform((-60, -180, -60), (60, -10, 60), (40, 3))
    for name in ("00_03", "00_12", "01_01", "50_02"):
        x = theirs @ np.transpose(raw[name]["R"]) + np.ravel(raw[name]["t"])
        u, v = x[:, 0] / x[:, 2], x[:, 1] / x[:, 2]
        k1, k2, p1, p2, k3 = raw[name]["distCoef"]
        r = u * u + v * v
        radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
        bent_u = u * radial + 2 * p1 * u * v + p2 * (r + 2 * u * u)
        bent_v = v * radial + 2 * p2 * u * v + p1 * (r + 2 * v * v)
        K = raw[name]["K"]
        expected = np.stack([K[0][0] * bent_u + K[0][2], K[1][1] * bent_v + K[1][2]], -1)
        found = rig[name].project(transform(WORLD_FROM_PANOPTIC, theirs))
        w, h = rig[name].size
        inside = (x[:, 2] > 0) & (expected > 0).all(-1) & (expected < (w, h)).all(-1) & (r < 1)
        assert inside.sum() > 5
        np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)


def test_panoptic_truth_stands_on_the_floor(data):
    poses = np.load(data("motion/panoptic_pose/Panoptic_GT_171026_pose3.npz"))["poses"][::200]
    ours = transform(WORLD_FROM_PANOPTIC, np.asarray(poses, float))
    rig = read(data(PANOPTIC[0]), kind="hd")
    height = np.nanmax(ours[..., 2], axis=1) - np.nanmin(ours[..., 2], axis=1)
    assert 1.2 < np.nanmedian(height) < 2.0 and abs(np.nanmedian(np.nanmin(ours[..., 2], axis=1))) < 0.2
    xy = rig.project(ours)
    inside = (xy > 0).all(-1) & (xy < (1920, 1080)).all(-1)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(rig.triangulate(xy), ours, atol=1e-6)


def test_a_translation_that_is_the_camera_s_centre_is_not_taken(data):
    """VoxelPose's form: fx, fy, cx, cy, k, p and x_cam = R (X - T)."""
    with pytest.raises(RigFileError, match="no camera matrix"):
        load_rig(data("motion/campus/calibration_campus.json"), size=(360, 288))


def test_a_distortion_nobody_wrote_is_not_taken_for_none(data, tmp_path):
    """Shelf: one table a camera, flat lists, an `RT`; it reads once the file says that there is no distortion."""
    path = data("shelf_dev/calibration.json")
    with pytest.raises(RigFileError, match="distortion is missing"):
        load_rig(path)
    document = json.loads(path.read_text())
    said = tmp_path / "shelf.json"
    said.write_text(json.dumps({name: values | {"dist": [0, 0, 0, 0, 0]} for name, values in document.items()}))
    rig = load_rig(said)
    assert len(rig) == 5 and rig[0].size == (1032, 776)
    point = np.array([0.5, 0.5, 1.0, 1.0])
    for name, values in document.items():
        x = np.reshape(values["K"], (3, 3)) @ np.reshape(values["RT"], (3, 4)) @ point
        np.testing.assert_allclose(rig[name].project(point[:3]), x[:2] / x[2] if x[2] > 0 else np.nan, atol=1e-2)


CALISCOPE = "calibration_caliscope/4_cam_recording"


def board_corners(data):
    """Caliscope's own corners of its board: pixels (C, T, N, 2) and points on the board (N, 2) m."""
    rows = list(csv.DictReader(data(f"{CALISCOPE}/calibration/extrinsic/xy.csv").open()))
    moments = {word: index for index, word in enumerate(sorted({row["sync_index"] for row in rows}, key=int))}
    count = 1 + max(int(row["keypoint_id"]) for row in rows)
    xy, board = np.full((4, len(moments), count, 2), np.nan), np.full((count, 2), np.nan)
    for row in rows:
        corner = int(row["keypoint_id"])
        xy[int(row["cam_id"]), moments[row["sync_index"]], corner] = float(row["img_loc_x"]), float(row["img_loc_y"])
        board[corner] = float(row["obj_loc_x"]), float(row["obj_loc_y"])
    return xy, board


def test_caliscope_on_real_pixels(data):
    """Its cameras see its corners, two of them filmed by turned cameras, and the board comes out at its size."""
    rig = load_rig(data(f"{CALISCOPE}/camera_array.toml"))
    assert rig.names == ("cam_0", "cam_1", "cam_2", "cam_3")
    xy, board = board_corners(data)
    points = rig.triangulate(xy)
    off = np.linalg.norm(rig.project(points) - xy, axis=-1)
    assert np.isfinite(off).sum() > 1500
    assert (np.nanmedian(off, axis=(1, 2)) < 0.55).all() and np.nanpercentile(off, 95) < 2
    far = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    true = np.linalg.norm(board[:, None] - board, axis=-1)
    ratio = (far / np.where(true > 0, true, np.nan))[np.isfinite(far)]
    assert abs(np.nanmedian(ratio) - 1) < 0.005  # metres, and K as of the unturned pictures


@pytest.mark.parametrize(("format", "file"), [("qualisys", "a.qca.txt"), ("colmap", "model"), ("panoptic", "a.json")])
def test_real_cameras_come_back(data, tmp_path, format, file):
    """Real lenses and poses, written in other formats, see the same; COLMAP's world is ours, with a unit said."""
    for source, select in ((QUALISYS, None), (f"{CALISCOPE}/camera_array.toml", None), (PANOPTIC[0], 31)):
        rig = load_rig(data(source))
        rig = rig.select(rig.names[:select])
        save_rig(rig, tmp_path / file, format)
        back = load_rig(tmp_path / file, unit="m")
        points = rig.positions.mean(0) + np.random.default_rng(0).uniform(-1, 1, (50, 3))
        np.testing.assert_allclose(back.project(points), rig.project(points), rtol=1e-5, atol=1e-5)


def test_qualisys_writes_the_numbers_it_read(data, tmp_path):
    """Those of the demo's file again; its cameras have no third coefficient."""
    save_rig(load_rig(data(QUALISYS)), tmp_path / "a.qca.txt")
    checked = {
        "intrinsic": ("focalLengthU", "centerPointV", "radialDistortion2", "tangentalDistortion1"),
        "transform": ("x", "y", "z", "r11", "r23", "r32"),
        "fov_video": ("right", "bottom"),
    }
    for tag, keys in checked.items():
        for key in keys:
            first, again = (
                [float(element.get(key)) for element in ElementTree.parse(path).getroot().iter(tag)]
                for path in (data(QUALISYS), tmp_path / "a.qca.txt")
            )
            assert again == pytest.approx(first, rel=1e-6, abs=1e-6) and len(first) == 4
