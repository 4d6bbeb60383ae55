"""The TOML of anipose, Pose2Sim and FreeMoCap: one section a camera, x_cam = R X + t, rotation vectors.

Keys (source: aniposelib's and Pose2Sim's readers): name, size [w, h], matrix 3x3, distortions, rotation, translation,
fisheye. The unit is not declared: metres for Pose2Sim, millimetres or board squares for others. Cameras are kept in
the file's order by their `name`. Written sections are cam_00, cam_01, ...: anipose sorts them as text.
"""

from collections.abc import Iterator
from pathlib import Path

from calib.bounded_files import parse_toml
from calib.camera import Camera
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import (
    Sizes,
    camera,
    damaged,
    is_absent,
    mapping,
    needed,
    placed_only,
    size_for,
    text_of,
    write_text,
)
from calib.formats.parts import rig as rig_of
from calib.geometry import vector_from_rotation
from calib.rig import Rig

DECLARES_UNIT = False


def sniff(path: Path) -> bool:
    """Whether the file has the suffix .toml."""
    return path.is_file() and path.suffix.lower() == ".toml"


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in the unit of the file; `size` counts where the file does not hold one."""
    try:
        document = parse_toml(text_of(path))
    except ValueError as error:
        raise damaged(path, error) from None
    if isinstance(document.get("cameras"), dict):
        raise RigFileError(f"{path}: a file of nested [cameras.N] sections; export it as an aniposelib TOML")
    sections = {key: entry for key, entry in document.items() if isinstance(entry, dict) and "matrix" in entry}
    named = {key: mapping(entry, path, key) for key, entry in sections.items()}
    placed, unplaced = placed_only(named, "rotation", "translation", lens="distortions")
    return rig_of(path, _cameras(placed, size), [str(named[key].get("name", key)) for key in unplaced])


def _cameras(sections: dict[str, dict[str, object]], sizes: Sizes) -> Iterator[Camera]:
    for key, section in sections.items():
        name = str(section.get("name", key))
        if is_absent(section.get("rotation")) or is_absent(section.get("translation")):
            raise CalibrationError(f"camera {name!r}: rotation or translation is missing; calibrate the extrinsics too")
        size = section.get("size") or size_for(name, sizes, "size = [w, h]")
        values = [needed(section, part, name) for part in ("matrix", "distortions", "rotation", "translation")]
        yield camera(name, size, *values, fisheye=bool(section.get("fisheye", False)))


def write(rig: Rig, path: Path) -> None:
    """Write the rig in metres; a lens without distortion gets five zeros, as the readers expect some."""
    import tomli_w

    digits = max(2, len(str(len(rig) - 1)))
    document: dict[str, object] = {
        f"cam_{index:0{digits}}": {
            "name": one.name,
            "size": [float(side) for side in one.size],
            "matrix": one.lens.K.tolist(),
            "distortions": one.lens.distortion.tolist() or [0.0] * 5,
            "rotation": vector_from_rotation(one.cam_from_world[:3, :3]).tolist(),
            "translation": one.cam_from_world[:3, 3].tolist(),
            "fisheye": one.lens.model == "fisheye",
        }
        for index, one in enumerate(rig)
    }
    document["metadata"] = {"adjusted": False, "error": 0.0}
    write_text(path, tomli_w.dumps(document))
