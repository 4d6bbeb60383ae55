"""OpenCV's own values, x_cam = R X + t, as FileStorage (.yml, .yaml, .xml) or plain JSON.

There is no fixed layout, so these are read: one camera per file (then the file's name is the camera's), cameras as a
table name -> values, a list `cameras` of values with a name, or a folder with one file per camera, or with a folder for
each that holds one file. Key spellings are those of `KEYS`, in upper or lower case. A file of numpy's (.npz) holds one
camera; it is read without executing anything. `rvecs` and `tvecs` are taken where they hold one pose: several are those
of a board in the pictures that the lens was calibrated from. The file holds no unit and often no image size. A camera
without a pose is left out. The list is written.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from calib.bounded_arrays import bounded_arrays
from calib.bounded_files import parse_json
from calib.camera import Camera
from calib.errors import CalibrationError, RigFileError
from calib.formats import file_storage
from calib.formats.parts import (
    Sizes,
    camera,
    damaged,
    head_of,
    is_absent,
    left_out,
    listed_cameras,
    mapping,
    naming,
    needed,
    numbers,
    size_for,
    text_of,
    write_text,
)
from calib.formats.parts import rig as rig_of
from calib.rig import Rig

DECLARES_UNIT = False

KEYS: dict[str, tuple[str, ...]] = {
    "name": ("name", "camera_name", "cam_name"),
    "K": ("K", "camera_matrix", "cameramatrix", "intrinsic_matrix", "intrinsics", "intrinsic", "mtx", "M", "matrix"),
    "distortion": (
        *("dist", "D", "distortion_coefficients", "distcoeffs", "dist_coeffs", "dist_coeff", "distcoeff", "distcoef"),
        *("distortion", "distortions", "distortion_coeffs"),
    ),
    "R": ("R", "rotation", "rotation_matrix", "rotation_vector", "rvec", "rvecs", "rot"),
    "t": ("t", "T", "tvec", "tvecs", "translation", "translation_vector", "trans"),
    "pose": ("rt", "extrinsic", "extrinsics", "extrinsic_matrix", "cam_from_world", "w2c"),
    "size": ("size", "image_size", "imagesize", "imgsize", "img_size", "resolution"),
    "width": ("image_width", "width", "img_width"),
    "height": ("image_height", "height", "img_height"),
    "model": ("model", "lens_model"),
    "fisheye": ("fisheye",),
}
_MOST_BYTES = 10_000_000  # of arrays: a calibration has a few thousand
_SUFFIXES = (".yml", ".yaml", ".xml", ".json", ".npz")
# A line of YAML that begins with a camera matrix, indented or not.
_MATRIX_KEY = re.compile(rf"""^[ \t-]*["']?({"|".join(KEYS["K"])})["']?[ \t]*:""", re.MULTILINE | re.IGNORECASE)


def sniff(path: Path) -> bool:
    """Whether the file may have this format, by its suffix and first characters; a folder by the files in it."""
    if path.is_dir():
        return bool(_files(path))
    suffix, head = path.suffix.lower(), head_of(path).lstrip("\ufeff \r\n\t")
    if suffix not in _SUFFIXES:
        return False
    if suffix == ".npz":
        return head.startswith("PK")
    return head.startswith("{") or "<opencv_storage" in head or "%YAML" in head or bool(_MATRIX_KEY.search(head))


def _files(folder: Path) -> dict[str, Path]:
    """The calibration files of a folder, by what names a camera that is alone in its file."""

    def inside(where: Path) -> list[Path]:
        files = sorted(path for path in where.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
        return [path for path in files if sniff(path)]

    if files := {path.stem: path for path in inside(folder)}:
        return files
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    held = {path.name: inside(path) for path in folders if not path.name.startswith(".")}
    return {name: files[0] for name, files in held.items() if len(files) == 1}


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in the unit of the file; `size` counts where the file does not hold one."""
    files = _files(path) if path.is_dir() else {path.stem: path}
    held = [(file, name, values) for stem, file in files.items() for name, values in _sections(file, stem).items()]
    unplaced = [name for _, name, values in held if not _is_placed(values)]
    return rig_of(path, _cameras([one for one in held if _is_placed(one[2])], size), unplaced)


def _is_placed(values: dict[str, object]) -> bool:
    if not is_absent(values.get("pose")):
        return not left_out(values, ["pose"], "distortion")
    return not left_out(values, ("R", "t"), "distortion")


def _cameras(held: list[tuple[Path, str, dict[str, object]]], size: Sizes) -> Iterator[Camera]:
    for file, name, values in held:
        with naming(file):
            yield _camera(name, values, size)


def _sections(path: Path, stem: str) -> dict[str, dict[str, object]]:
    """Values by camera name, whatever the layout; a camera that is alone in its file may be named by `stem`."""
    top = _document(path)
    if "K" in _canonical(top):
        return {_name(_canonical(top).get("name", stem)): _canonical(top)}
    inner = top.get("cameras", top)
    if isinstance(inner, list):
        held, nulls = listed_cameras(inner, path)
        listed = [_canonical(entry) for entry in held]
        places = [number for number, entry in enumerate(inner) if entry is not None]
        named = {_name(values.get("name", number)): values for number, values in zip(places, listed, strict=True)}
        if len(named) < len(listed):
            raise RigFileError(f"{path}: two cameras have the same name; give each its own")
        return named | {name: {} for name in nulls}
    table = {
        name: _canonical(entry) for name, entry in mapping(inner, path, "cameras").items() if isinstance(entry, dict)
    }
    found = {name: values for name, values in table.items() if "K" in values}
    if not found:
        raise RigFileError(f"{path}: no camera matrix in it (looked for {', '.join(KEYS['K'])}); rename its key")
    if without := sorted(set(table) - set(found) - {"metadata"}):
        raise RigFileError(f"{path}: no camera matrix for {', '.join(without)}; calibrate it or take it out")
    nulls = [name for name, entry in mapping(inner, path, "cameras").items() if entry is None and "cameras" in top]
    return found | {name: {} for name in nulls}


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)  # a name of digits is read as a number


def _document(path: Path) -> dict[str, object]:
    if path.suffix.lower() == ".npz":
        return _arrays(path)
    if path.suffix.lower() != ".json":
        return file_storage.load(path)
    try:
        return mapping(parse_json(text_of(path)), path, "the file")
    except ValueError as error:
        raise damaged(path, error) from None


def _arrays(path: Path) -> dict[str, object]:
    """The arrays of a file of numpy's that holds numbers; RigFileError for a damaged one, or one of other things."""
    try:
        arrays = bounded_arrays(path)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
    if sum(array.nbytes for array in arrays.values()) > _MOST_BYTES:
        raise RigFileError(f"{path}: too large for the calibration of a camera; save K, dist, R and t alone")
    return {key: array if array.ndim else array.item() for key, array in arrays.items()}


def _canonical(values: Mapping[str, object]) -> dict[str, object]:
    """The values under the names of `KEYS`."""
    known = {spelling: key for key, spellings in KEYS.items() for spelling in spellings}
    # A single letter has another meaning in another case: k is often the distortion.
    spelled = {key: key if len(key) == 1 else key.lower() for key in values}
    return {known[spelled[key]]: value for key, value in values.items() if spelled[key] in known}


def _camera(name: str, values: Mapping[str, object], sizes: Sizes) -> Camera:
    R, t = _extrinsics(name, values)
    if "size" in values:
        size: object = values["size"]
    elif "width" in values and "height" in values:
        size = (values["width"], values["height"])
    else:
        size = size_for(name, sizes, "image_width and image_height")
    model = values.get("model")
    fisheye = bool(values.get("fisheye", False)) or model in ("fisheye", "equidistant")
    distortion = values.get("distortion")
    if distortion is None:
        raise CalibrationError(f"camera {name!r}: the distortion is missing; write zeros if the images have none")
    return camera(name, size, needed(values, "K", name), distortion, R, t, fisheye=fisheye)


def _extrinsics(name: str, values: Mapping[str, object]) -> tuple[object, object]:
    if not is_absent(values.get("pose")):
        flat = np.ravel(np.asarray(values["pose"], dtype=object))
        pose = numbers(flat[:12], (3, 4), f"camera {name!r}: the extrinsic matrix")
        return pose[:, :3], pose[:, 3]
    if "R" not in values or "t" not in values:
        raise CalibrationError(f"camera {name!r}: R or t is missing; calibrate the extrinsics too")
    poses = np.size(np.asarray(values["t"], dtype=object)) // 3
    if poses > 1:
        raise CalibrationError(
            f"camera {name!r}: it has {poses} translations, which are those of a board in {poses} pictures; the "
            "camera's own pose is needed: one rotation and one translation"
        )
    return values["R"], values["t"]


def write(rig: Rig, path: Path) -> None:
    """Write the rig in metres: JSON, XML or, for every other suffix, YAML."""
    sections = [_section(one) for one in rig]
    kind = path.suffix.lower()
    if kind != ".json":
        file_storage.save(path, {"cameras": sections}, "xml" if kind == ".xml" else "yml")
        return
    plain = [{key: np.asarray(value).tolist() for key, value in section.items()} for section in sections]
    write_text(path, json.dumps({"cameras": plain}, indent=1))


def _section(one: Camera) -> dict[str, object]:
    return {
        "name": one.name,
        "image_width": one.size[0],
        "image_height": one.size[1],
        "model": one.lens.model,
        "K": np.array(one.lens.K),
        # FileStorage holds no empty matrix, and no flat one before OpenCV 5.
        "dist": np.array(one.lens.distortion)[None] if one.lens.distortion.size else np.zeros((1, 5)),
        "R": np.array(one.cam_from_world[:3, :3]),
        "t": np.array(one.cam_from_world[:3, 3:]),
    }
