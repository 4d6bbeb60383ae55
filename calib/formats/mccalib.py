"""MC-Calib's `calibrated_cameras_data.yml` (OpenCV FileStorage); only read.

Keys (source: MC-Calib's description and its readers): nb_camera, and camera_0, camera_1, ... of camera_matrix,
distortion_vector, distortion_type (0 OpenCV's five, 1 its fisheye), camera_group, img_width, img_height and
camera_pose_matrix. That is the pose of the camera in its group: group_from_cam, the inverse of ours. Lengths are in the
unit of the board's squares, which the file does not state. A camera that is alone in its group is not placed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from calib.camera import Camera
from calib.errors import CalibrationError
from calib.formats import file_storage
from calib.formats.parts import Sizes, camera, has, mapping, naming, needed, numbers, placed_only
from calib.formats.parts import rig as rig_of
from calib.geometry import invert
from calib.rig import Rig

DECLARES_UNIT = False


def sniff(path: Path) -> bool:
    """Whether the file is a FileStorage with MC-Calib's keys."""
    return path.suffix.lower() in (".yml", ".yaml") and has(path, "nb_camera", "camera_pose_matrix")


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in the unit of the file; it holds the image sizes, so `size` does not count."""
    values = file_storage.load(path)
    keys = sorted((key for key in values if re.fullmatch("camera_[0-9]{1,6}", key)), key=lambda key: int(key[7:]))
    sections, unplaced = placed_only({key: mapping(values[key], path, key) for key in keys}, "camera_pose_matrix")
    with naming(path):
        alone = _alone(sections)
    placed = {name: section for name, section in sections.items() if name not in alone}
    return rig_of(path, _cameras(placed), [name for name in keys if name in (*unplaced, *alone)])


def _alone(sections: dict[str, dict[str, object]]) -> list[str]:
    """The cameras that are a group of their own beside one larger group; CalibrationError for several larger ones."""
    groups: dict[float, list[str]] = {}
    for name, section in sections.items():
        group = float(numbers(section.get("camera_group", 0), (), f"camera {name!r}: camera_group"))
        groups.setdefault(group, []).append(name)
    larger = [group for group in groups.values() if len(group) > 1]
    if len(groups) > 1 and len(larger) != 1:
        raise CalibrationError(
            f"its cameras are in {len(groups)} groups whose relative poses are not known; film more boards, or "
            "calibrate each group alone"
        )
    return [group[0] for group in groups.values() if len(group) == 1] if larger else []


def _cameras(sections: dict[str, dict[str, object]]) -> Iterator[Camera]:
    for name, section in sections.items():
        keys = ("img_width", "img_height", "camera_matrix", "distortion_vector", "camera_pose_matrix")
        width, height, K, bent, listed = (needed(section, key, name) for key in keys)
        kind = section.get("distortion_type", 0)
        if kind not in (0, 1):
            raise CalibrationError(f"camera {name!r}: distortion_type {kind!r} is not known; it is 0 or 1")
        cam_from_world = invert(numbers(listed, (4, 4), f"camera {name!r}: camera_pose_matrix"))
        R, t = cam_from_world[:3, :3], cam_from_world[:3, 3]
        yield camera(name, (width, height), K, bent, R, t, fisheye=kind == 1)
