"""Rig files: one module for each format, which converts between its conventions and ours.

A format is a module with `sniff(path) -> bool`, `read(path, size) -> Rig`, `DECLARES_UNIT`, and, where it can be
written, `write(rig, path)`, with `lost(rig)` where that loses something and `files(path)` where it makes several.
`HAS_SCALE = False` marks a format of arbitrary scale. A new format needs one file and one line in the table below.
"""

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from calib.bounded_files import reason_of
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import Sizes, naming
from calib.names import name_fault
from calib.rig import Rig

__all__ = ["FORMATS", "load_rig", "save_rig"]

# In the order in which a file is tried: specific formats before general ones.
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

# Programs and file types by whose names formats are asked for.
_OTHER_NAMES: dict[str, str] = {
    **dict.fromkeys(("anipose", "aniposelib", "pose2sim", "sports2d", "freemocap"), "toml"),
    **dict.fromkeys(("yaml", "yml", "mvcap", "calib", "rig.yaml"), "rig"),
    **dict.fromkeys(("qtm", "qca", "theia", "qualisys track manager"), "qualisys"),
    **dict.fromkeys(("cv", "cv2", "json", "xml"), "opencv"),
    **dict.fromkeys(("nexus", "shogun", "xcp"), "vicon"),
    **dict.fromkeys(("motive", "mcal"), "optitrack"),
    **dict.fromkeys(("cmu", "cmu-panoptic"), "panoptic"),
    **dict.fromkeys(("easymocap-yml", "zju", "intri"), "easymocap"),
    **dict.fromkeys(("mc-calib", "mc_calib"), "mccalib"),
    **dict.fromkeys(("dltdv", "easywand", "argus", "dltcoefs"), "dlt"),
    **dict.fromkeys(("camchain", "basalt"), "kalibr"),
}

UNITS: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_FARTHEST_M = 50.0  # a median distance of the cameras from their middle above this cannot be in metres


class Format(Protocol):
    """The functions of a module of this package; `write` only where the format is written."""

    DECLARES_UNIT: bool

    def sniff(self, path: Path) -> bool:
        """Whether the file looks like this format."""

    def read(self, path: Path, size: Sizes) -> Rig:
        """The rig in metres, or in the unit of the file where the format does not declare one."""

    def write(self, rig: Rig, path: Path) -> None:
        """Write the rig, all or nothing."""

    def files(self, path: Path) -> list[Path]:
        """The files that are written, where there are more than `path` itself."""

    def lost(self, rig: Rig) -> list[str]:
        """What a file of the format does not hold of this rig, one line each."""


def load_rig(
    path: str | Path, format: str | None = None, *, unit: str | float | None = None, size: Sizes = None
) -> Rig:
    """The rig in a calibration file or folder, of any format of `FORMATS`, in metres.

    `format` is recognised from the content when not given. `unit` ("m", "cm", "mm" or a number of metres) is that of a
    file that does not declare one; `size` (w, h) px, or one by camera name, as of the views' footage, is that of the
    images where the file does not hold it. Cameras without a pose are left out: `Rig.unplaced` and `Rig.source` name
    them. Raises RigFileError, one line, for everything that cannot be read or is not valid.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise RigFileError(f"{path}: there is no such file; check the path")
        if path.is_file() and path.stat().st_size == 0:
            raise RigFileError(f"{path}: the file is empty; export the calibration again")
        module = _module(format or format_of(path))
    except OSError as error:
        where = error.filename or path
        raise RigFileError(f"{where}: cannot be read ({reason_of(error)}); make it readable") from None
    with naming(path):
        rig = module.read(path, size)
        _check_names(rig)
        return rig if module.DECLARES_UNIT else _in_metres(rig, path, unit, getattr(module, "HAS_SCALE", True))


def save_rig(rig: Rig, path: str | Path, format: str | None = None) -> list[str]:
    """Write a rig as a file, or a folder for easymocap and colmap; -> what the file does not hold, one line each.

    `format` follows from the name when not given: `.toml` is toml, `.json` `.xml` `.yml` opencv, `.qca.txt` qualisys,
    intri.yml easymocap, cameras.txt colmap, camchain.yaml kalibr, all else the own format. Raises RigFileError where
    the format is not written or cannot hold a camera of the rig, or the name of one is no name (``name_fault``).
    """
    path = Path(path)
    module = _module(format or told_by_name(path))
    if not hasattr(module, "write"):
        raise RigFileError(f"{path}: {format} files are only read; write one of {', '.join(writable())}")
    with naming(path):
        _check_names(rig)
    module.write(rig, path)
    return list(module.lost(rig)) if hasattr(module, "lost") else []


def _check_names(rig: Rig) -> None:
    """Raise CalibrationError for a name of a camera with which no file could be named."""
    for name in rig.names:
        if fault := name_fault(name):
            text = ascii(name) if len(ascii(name)) <= 60 else f"{ascii(name)[:57]}..."
            raise CalibrationError(f"the camera name {text} {fault}; rename the camera and its view")


def told_by_name(path: Path) -> str:
    """The format that follows from a file name when a rig is written."""
    files = {"intri.yml": "easymocap", "extri.yml": "easymocap", "camchain.yaml": "kalibr"}
    files |= {f"{kind}{suffix}": "colmap" for kind in ("cameras", "images") for suffix in (".txt", ".bin")}
    suffixes = {".toml": "toml", ".json": "opencv", ".xml": "opencv", ".yml": "opencv"}
    if path.name.lower().endswith(".qca.txt"):
        return "qualisys"
    return files.get(path.name) or suffixes.get(path.suffix.lower(), "rig")


def files_of(path: str | Path, format: str | None = None) -> list[Path]:
    """The files that writing a rig to a path makes."""
    path = Path(path)
    module = _module(format or told_by_name(path))
    return list(module.files(path)) if hasattr(module, "files") else [path]


def declares_unit(format: str) -> bool:
    """Whether files of a format declare a unit, or have one by definition."""
    return _module(format).DECLARES_UNIT


def writable() -> list[str]:
    """The formats that are written."""
    return [name for name in FORMATS if hasattr(_module(name), "write")]


def _module(name: str) -> Format:
    if name not in FORMATS:
        near = _OTHER_NAMES.get(name.lower()) or next(iter(get_close_matches(name.lower(), FORMATS, n=1)), None)
        hint = f"did you mean {near!r}? " if near else ""
        raise RigFileError(f"no calibration format is named {name!r}; {hint}there are {', '.join(FORMATS)}")
    return cast(Format, import_module(FORMATS[name]))


def format_of(path: Path) -> str:
    """The format of a file or folder by its content; RigFileError, which lists all formats, where it has none."""
    for name in FORMATS:
        if _module(name).sniff(path):
            return name
    raise RigFileError(f"{path}: not a known calibration format; formats are {', '.join(FORMATS)}")


def _in_metres(rig: Rig, path: Path, unit: str | float | None, has_scale: bool) -> Rig:
    """The rig in metres; a file that declares no unit holds metres, unless its cameras would be too far apart."""
    if unit is not None:
        return rig.scaled_world(_factor(unit))
    if not has_scale:
        raise RigFileError(
            f"{path}: such a file has no unit and an arbitrary scale; give the metres of one of its lengths, as in "
            'unit=0.37 (--unit of `mvcap rig convert`), or unit="m" where it was made of metres'
        )
    distance = float(np.median(np.linalg.norm(rig.positions - rig.positions.mean(0), axis=1)))
    if distance > _FARTHEST_M:
        raise RigFileError(
            f"{path}: the file does not declare its unit, and its cameras stand {distance:.0f} from their middle, "
            f'hardly in metres; give the unit, as in unit="mm", --rig-unit mm or --unit mm of `mvcap rig`'
        )
    return rig


def _factor(unit: str | float) -> float:
    try:
        return UNITS[unit] if isinstance(unit, str) and unit in UNITS else float(unit)
    except ValueError:
        raise RigFileError(f"{unit!r} is not a unit; use m, cm, mm or a number of metres") from None
