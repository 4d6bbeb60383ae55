"""Caliscope's `camera_array.toml`: sections [cameras.N], x_cam = R X + t, metres.

Keys (source: Caliscope's own reader; checked on the pixels of one of its recordings): size, matrix, distortions,
rotation, a matrix in older files and a rotation vector in newer, translation, fisheye, ignore. `rotation_count`,
quarter turns, is for display only: K and pixels are those of the video as recorded. A camera that is not posed yet
(older files write "null"), or is ignored, is left out. Cameras are named as Caliscope names their videos, cam_N, or
port_N in older files.
"""

from collections.abc import Iterator
from pathlib import Path

from calib.bounded_files import parse_toml
from calib.camera import Camera
from calib.errors import RigFileError
from calib.formats.parts import Sizes, camera, damaged, has, left_out, mapping, needed, text_of
from calib.formats.parts import rig as rig_of
from calib.rig import Rig

DECLARES_UNIT = True


def sniff(path: Path) -> bool:
    """Whether it is TOML with nested sections of cameras."""
    return path.suffix.lower() == ".toml" and has(path, "[cameras.")


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig of the posed cameras in metres; the file holds the image sizes, so `size` does not count."""
    try:
        document = parse_toml(text_of(path))
    except ValueError as error:
        raise damaged(path, error) from None
    cameras = document.get("cameras")
    if not isinstance(cameras, dict):
        raise RigFileError(f"{path}: no sections [cameras.N]; give Caliscope's camera_array.toml")
    sections = {_name(key, entry): mapping(entry, path, key) for key, entry in cameras.items()}
    unplaced = [name for name, section in sections.items() if not _has_pose(section)]
    return rig_of(path, _cameras({name: one for name, one in sections.items() if name not in unplaced}), unplaced)


def _name(key: str, section: object) -> str:
    old = isinstance(section, dict) and "cam_id" not in section and "port" in section
    return f"{'port' if old else 'cam'}_{key}"


def _has_pose(section: dict[str, object]) -> bool:
    return section.get("ignore", False) is not True and not left_out(
        section, ("rotation", "translation"), "distortions"
    )


def _cameras(sections: dict[str, dict[str, object]]) -> Iterator[Camera]:
    for name, section in sections.items():
        keys = ("size", "matrix", "distortions", "rotation", "translation")
        values = [needed(section, key, name) for key in keys]
        yield camera(name, *values, fisheye=bool(section.get("fisheye", False)))
