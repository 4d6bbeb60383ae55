"""multical's `calibration.json`: cameras {model, image_size, K, dist} and their poses; only read.

x_cam = R X + t (source: multical's exporter). The keys of `camera_poses` are camera names, or NAME_to_MASTER where one
camera is the world. A camera without a pose is left out. Lengths are in the unit of the board's description, which the
file does not repeat.
"""

from collections.abc import Iterator
from pathlib import Path

from calib.bounded_files import parse_json
from calib.camera import Camera
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import Sizes, camera, damaged, has, mapping, needed, placed_only, text_of
from calib.formats.parts import rig as rig_of
from calib.rig import Rig

DECLARES_UNIT = False


def sniff(path: Path) -> bool:
    """Whether the file is JSON with multical's keys."""
    return path.suffix.lower() == ".json" and has(path, '"camera_poses"', '"cameras"')


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in the unit of the file; it holds the image sizes, so `size` does not count."""
    try:
        top = mapping(parse_json(text_of(path)), path, "the file")
    except ValueError as error:
        raise damaged(path, error) from None
    if not all(isinstance(top.get(key), dict) for key in ("cameras", "camera_poses")):
        raise RigFileError(f"{path}: cameras and camera_poses have to be tables; give multical's calibration.json")
    cameras = mapping(top["cameras"], path, "cameras")
    poses = {_name(key, cameras): entry for key, entry in mapping(top["camera_poses"], path, "camera_poses").items()}
    sections = {
        name: {**mapping(entry or {}, path, name), **mapping(poses.get(name) or {}, path, name)}
        for name, entry in cameras.items()
    }
    placed, unplaced = placed_only(sections, "R", "T", lens="dist")
    return rig_of(path, _cameras(placed), unplaced)


def _name(key: str, cameras: dict[str, object]) -> str:
    """The camera of a pose: names may themselves hold "_to_"."""
    found = [name for name in cameras if key == name or any(key == f"{name}_to_{master}" for master in cameras)]
    return found[0] if len(found) == 1 else key


def _cameras(sections: dict[str, dict[str, object]]) -> Iterator[Camera]:
    for name, section in sections.items():
        values = [needed(section, key, name) for key in ("image_size", "K", "dist", "R", "T")]
        model = str(section.get("model", "standard"))
        if model == "tilted":
            raise CalibrationError(f"camera {name!r}: a tilted sensor's lens is not read; calibrate with another model")
        yield camera(name, *values, fisheye="fisheye" in model)
