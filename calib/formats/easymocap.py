"""EasyMocap's pair of files `intri.yml` and `extri.yml` (OpenCV FileStorage); x_cam = R X + t.

Keys (source: EasyMocap's camera reader and writer): `names`; in intri `K_<name>`, `dist_<name>` 1x5, sometimes
`H_<name>` and `W_<name>`; in extri `Rot_<name>` 3x3 and `R_<name>` the same as a rotation vector, `T_<name>`. Metres by
convention, but not declared. A missing size is not guessed: it has to be given.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calib.camera import Camera
from calib.errors import CalibrationError, RigFileError
from calib.formats import file_storage
from calib.formats.parts import Sizes, camera, five, is_absent, needed, size_for, without_pose
from calib.formats.parts import rig as rig_of
from calib.geometry import vector_from_rotation
from calib.rig import Rig

DECLARES_UNIT = False
_FILES = ("intri.yml", "extri.yml")


def sniff(path: Path) -> bool:
    """Whether it is a folder with the two files, or one of them."""
    folder = path if path.is_dir() else path.parent
    return (path.is_dir() or path.name in _FILES) and any((folder / name).is_file() for name in _FILES)


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in the unit of the files; `size` counts where they do not hold one."""
    folder = path if path.is_dir() else path.parent
    for name in _FILES:
        if not (folder / name).is_file():
            raise RigFileError(f"{folder / name}: there is no such file; intri.yml and extri.yml belong together")
    values = {**file_storage.load(folder / _FILES[1]), **file_storage.load(folder / _FILES[0])}
    names = values.get("names")
    if not isinstance(names, list):
        raise RigFileError(f"{folder / _FILES[0]}: the list of names is missing; export the calibration again")
    spelled = [_name(name, values) for name in names]
    unplaced = [name for name in spelled if without_pose([_rotation(values, name), values.get(f"T_{name}")])]
    return rig_of(path, _cameras(values, [name for name in spelled if name not in unplaced], size), unplaced)


def _rotation(values: dict[str, object], name: str) -> object:
    both = [values.get(f"{key}_{name}") for key in ("Rot", "R")]
    return both[1] if is_absent(both[0]) else both[0]


def _name(value: object, values: dict[str, object]) -> str:
    """The name as written: unquoted digits are read as a number, and 01 as 1, but the keys have the original."""
    if not isinstance(value, float):
        return str(value)
    spelled = [key[2:] for key in values if key.startswith("K_") and key[2:].isdigit() and int(key[2:]) == value]
    return spelled[0] if len(spelled) == 1 else f"{value:g}"


def _cameras(values: dict[str, object], names: list[str], sizes: Sizes) -> Iterator[Camera]:
    for name in names:
        K, dist, T = (needed(values, f"{key}_{name}", name) for key in ("K", "dist", "T"))
        R = _rotation(values, name)
        if R is None:
            raise CalibrationError(
                f"camera {name!r}: Rot_{name} and R_{name} are missing; calibrate the extrinsics too"
            )
        listed = (values.get(f"W_{name}"), values.get(f"H_{name}"))
        size = listed if None not in listed else size_for(name, sizes, f"H_{name} and W_{name}")
        yield camera(name, size, K, dist, R, T)


def files(path: Path) -> list[Path]:
    """The two files that are written."""
    folder = path.parent if path.name in _FILES else path
    return [folder / name for name in _FILES]


def write(rig: Rig, path: Path) -> None:
    """Write both files in metres into the folder, or beside the one that is named."""
    folder = files(path)[0].parent
    intri: dict[str, object] = {"names": list(rig.names)}
    extri: dict[str, object] = {"names": list(rig.names)}
    for one in rig:
        intri |= _lens_values(one, folder)
        R = one.cam_from_world[:3, :3]
        extri[f"R_{one.name}"] = vector_from_rotation(R)[:, None]
        extri[f"Rot_{one.name}"] = np.array(R)
        extri[f"T_{one.name}"] = np.array(one.cam_from_world[:3, 3:])
    file_storage.save(folder / _FILES[0], intri)
    file_storage.save(folder / _FILES[1], extri)


def _lens_values(one: Camera, folder: Path) -> dict[str, object]:
    lens, name = one.lens, one.name
    if lens.model != "pinhole":
        raise RigFileError(f"{folder}: camera {name!r}: EasyMocap holds no {lens.model} lens; write toml or opencv")
    if not all(letter.isalnum() or letter in "_-" for letter in name) or not name.isascii():
        raise RigFileError(f"{folder}: camera {name!r}: EasyMocap names are letters, digits, _ and -; rename it")
    row = five(lens.distortion)[None]
    return {f"K_{name}": np.array(lens.K), f"dist_{name}": row, f"H_{name}": one.size[1], f"W_{name}": one.size[0]}
