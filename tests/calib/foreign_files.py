"""Calibration files as other programs write them."""

import json

import cv2
import numpy as np
import tomli_w
import yaml
from ring_rigs import look_at, make_rig

from calib.geometry import invert

SIZE, K, DIST = (1280, 720), [[900.0, 0, 640.5], [0, 905, 355.5], [0, 0, 1]], [-0.2, 0.05, 0.001, -0.002, 0.01]

POSE = look_at((2.0, -3.5, 1.8))  # in a world with z up


def caliscope(tmp_path, *sections):
    path = tmp_path / "camera_array.toml"
    path.write_text(tomli_w.dumps({"cameras": {str(number): section for number, section in enumerate(sections)}}))
    return path


def caliscope_camera(**changes):
    section = {"cam_id": 0, "size": SIZE, "rotation_count": 1, "error": 0.4, "matrix": K, "distortions": DIST}
    placed = {"rotation": POSE[:3, :3].tolist(), "translation": POSE[:3, 3].tolist(), "ignore": False}
    return {key: value for key, value in {**section, **placed, **changes}.items() if value is not None}


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


def multical(tmp_path, names, master=None, **changes):
    camera = {"model": "standard", "image_size": SIZE, "K": K, "dist": [DIST]} | changes
    pose = {"R": POSE[:3, :3].tolist(), "T": POSE[:3, 3].tolist()}
    keys = [name if master in (None, name) else f"{name}_to_{master}" for name in names]
    path = tmp_path / "calibration.json"
    cameras = dict.fromkeys([*names, "lost"], camera)
    path.write_text(json.dumps({"cameras": cameras, "camera_poses": dict.fromkeys(keys, pose), "image_sets": {}}))
    return path


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
