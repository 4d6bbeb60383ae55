"""Rigs in files: one module a format, each of which turns the conventions of others into ours.

A format is a module with `sniff(path) -> bool`, `read(path, size) -> Rig`, `DECLARES_UNIT`, and, where it can be
written, `write(rig, path)`, with `lost(rig)` where that loses something and `files(path)` where it makes several.
`HAS_SCALE = False` marks one whose lengths mean nothing by themselves. Adding one is one file and one line of the table
below.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from calib.errors import RigFileError
from calib.formats.parts import Sizes
from calib.rig import Rig

__all__ = ["FORMATS", "load_rig", "save_rig"]

# In the order in which a file is tried: the particular before the general.
FORMATS: dict[str, str] = {
    "rig": "calib.formats.own",
    "qualisys": "calib.formats.qualisys",
    "vicon": "calib.formats.vicon",
    "optitrack": "calib.formats.optitrack",
    "panoptic": "calib.formats.panoptic",
    "multical": "calib.formats.multical",
    "caliscope": "calib.formats.caliscope",
    "toml": "calib.formats.anipose_toml",
    "kalibr": "calib.formats.kalibr",
    "mccalib": "calib.formats.mccalib",
    "easymocap": "calib.formats.easymocap",
    "colmap": "calib.formats.colmap",
    "opencap": "calib.formats.opencap",
    "dlt": "calib.formats.dlt",
    "opencv": "calib.formats.opencv",
}

UNITS: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_ROOM = 50.0  # no camera stands so many metres from the middle of its rig: then they are not metres


class Format(Protocol):
    """What a module of this package offers; `write` only where the format is written."""

    DECLARES_UNIT: bool

    def sniff(self, path: Path) -> bool:
        """Whether the file looks like this format."""

    def read(self, path: Path, size: Sizes) -> Rig:
        """The rig in metres, or in the unit of the file where the format does not declare one."""

    def write(self, rig: Rig, path: Path) -> None:
        """Write the rig, all or nothing."""

    def files(self, path: Path) -> list[Path]:
        """The files that are written there, where they are more than `path` itself."""

    def lost(self, rig: Rig) -> list[str]:
        """What a file of the format does not hold of this rig, a line each."""


def load_rig(
    path: str | Path, format: str | None = None, *, unit: str | float | None = None, size: Sizes = None
) -> Rig:
    """The rig in a calibration file or folder, of any format of `FORMATS`, in metres.

    `format` is told by the content when not given. `unit` ("m", "cm", "mm" or a number of metres) says in what a
    file measures that does not say so itself; `size` (w, h) px, or one by camera name, is that of the images where
    the file does not hold it. Raises RigFileError, one line, for everything that cannot be read or trusted.
    """
    path = Path(path)
    if not path.exists():
        raise RigFileError(f"{path}: there is no such file; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise RigFileError(f"{path}: the file is empty; export the calibration again")
    module = _module(format or format_of(path))
    rig = module.read(path, size)
    return rig if module.DECLARES_UNIT else _in_metres(rig, path, unit, getattr(module, "HAS_SCALE", True))


def save_rig(rig: Rig, path: str | Path, format: str | None = None) -> list[str]:
    """Write a rig as a file, or a folder for easymocap and colmap; what the file does not hold, a line each.

    `format` is told by the name when not given: `.toml` is toml, `.json` `.xml` `.yml` opencv, `.qca.txt` qualisys,
    intri.yml easymocap, cameras.txt colmap, camchain.yaml kalibr, all else the own format. Raises RigFileError where
    the format is not written or cannot hold a camera of the rig.
    """
    path = Path(path)
    module = _module(format or told_by_name(path))
    if not hasattr(module, "write"):
        raise RigFileError(f"{path}: {format} files are only read; write one of {', '.join(writable())}")
    module.write(rig, path)
    return list(module.lost(rig)) if hasattr(module, "lost") else []


def told_by_name(path: Path) -> str:
    """The format that a name asks for when a rig is written."""
    files = {"intri.yml": "easymocap", "extri.yml": "easymocap", "camchain.yaml": "kalibr"}
    files |= {f"{kind}{suffix}": "colmap" for kind in ("cameras", "images") for suffix in (".txt", ".bin")}
    suffixes = {".toml": "toml", ".json": "opencv", ".xml": "opencv", ".yml": "opencv"}
    if path.name.lower().endswith(".qca.txt"):
        return "qualisys"
    return files.get(path.name) or suffixes.get(path.suffix.lower(), "rig")


def files_of(path: str | Path, format: str | None = None) -> list[Path]:
    """The files that writing a rig there makes."""
    path = Path(path)
    module = _module(format or told_by_name(path))
    return list(module.files(path)) if hasattr(module, "files") else [path]


def declares_unit(format: str) -> bool:
    """Whether files of a format say, or are by definition in, a unit."""
    return _module(format).DECLARES_UNIT


def writable() -> list[str]:
    """The formats that are written."""
    return [name for name in FORMATS if hasattr(_module(name), "write")]


def _module(name: str) -> Format:
    if name not in FORMATS:
        raise RigFileError(f"no calibration format is named {name!r}; there are {', '.join(FORMATS)}")
    return cast(Format, import_module(FORMATS[name]))


def format_of(path: Path) -> str:
    """The format of a file or folder by its content; RigFileError which lists all where it is none of them."""
    for name in FORMATS:
        if _module(name).sniff(path):
            return name
    raise RigFileError(f"{path}: no calibration that is known here; formats are {', '.join(FORMATS)}")


def _in_metres(rig: Rig, path: Path, unit: str | float | None, has_scale: bool) -> Rig:
    """A file that does not declare its unit holds metres, unless its cameras would stand in different buildings."""
    if unit is not None:
        return rig.scaled_world(_factor(unit))
    if not has_scale:
        raise RigFileError(
            f"{path}: such a file has no unit and any scale; say how many metres one of its lengths is, as in "
            'unit=0.37 (--unit of `mvcap rig convert`), or unit="m" where it was made of metres'
        )
    distance = float(np.median(np.linalg.norm(rig.positions - rig.positions.mean(0), axis=1)))
    if distance > _ROOM:
        raise RigFileError(
            f"{path}: the file does not say its unit, and its cameras stand {distance:.0f} from their middle, which "
            f'are hardly metres; say which it is, as in unit="mm", --rig-unit mm or --unit mm of `mvcap rig`'
        )
    return rig


def _factor(unit: str | float) -> float:
    try:
        return UNITS[unit] if isinstance(unit, str) and unit in UNITS else float(unit)
    except ValueError:
        raise RigFileError(f"{unit!r} is no unit; use m, cm, mm or a number of metres") from None
