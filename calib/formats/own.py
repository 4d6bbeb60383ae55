"""The own format, `rig.yaml`: our conventions as they are, every digit kept.

format: calib-rig
version: 1
units: {length: m, image: px}
cameras:
- {name, size: [w, h], model, K: 3x3, distortion: [...], cam_from_world: 4x4}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from calib.bounded_files import parse_yaml
from calib.camera import Camera, Lens
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import (
    Sizes,
    damaged,
    head_of,
    left_out,
    listed_cameras,
    mapping,
    needed,
    numbers,
    text_of,
    write_text,
)
from calib.formats.parts import rig as rig_of
from calib.geometry import Model
from calib.rig import Rig

DECLARES_UNIT = True
_FORMAT = "calib-rig"
_VERSION = 1
_LENGTHS = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def sniff(path: Path) -> bool:
    """Whether the file declares this format."""
    return f"format: {_FORMAT}" in head_of(path)


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in metres; the file holds the image sizes, so `size` does not count."""
    try:
        document = parse_yaml(text_of(path))
    except ValueError as error:
        raise damaged(path, error) from None
    top = mapping(document, path, "the file")
    if top.get("format") != _FORMAT or top.get("version") != _VERSION:
        raise RigFileError(f"{path}: not a {_FORMAT} file of version {_VERSION}; give one that this version wrote")
    units = mapping(top.get("units"), path, "units")
    if units.get("length") not in _LENGTHS:
        raise RigFileError(f"{path}: units.length is {units.get('length')!r}; it has to be m, cm or mm")
    cameras = top.get("cameras")
    if not isinstance(cameras, list):
        raise RigFileError(f"{path}: cameras has to be a list; the file is damaged, export it again")
    sections, nulls = listed_cameras(cameras, path)
    unplaced = [one for one in sections if "cam_from_world" in one and left_out(one, ["cam_from_world"], "distortion")]
    placed = [section for section in sections if not any(section is other for other in unplaced)]
    names = [*(str(section.get("name")) for section in unplaced), *nulls]
    return rig_of(path, _cameras(placed, _LENGTHS[str(units["length"])]), names)


def _cameras(sections: list[dict[str, object]], factor: float) -> Iterator[Camera]:
    for number, section in enumerate(sections, 1):
        name = needed(section, "name", f"number {number}")
        if not isinstance(name, str):
            raise CalibrationError(f"camera number {number}: the name {name!r} is no text; put it in quotes")
        of = f"camera {name!r}:"
        width, height = numbers(needed(section, "size", name), (2,), f"{of} size")
        pose = numbers(needed(section, "cam_from_world", name), (4, 4), f"{of} cam_from_world").copy()
        pose[:3, 3] *= factor
        K = numbers(needed(section, "K", name), (3, 3), f"{of} K")
        distortion = numbers(needed(section, "distortion", name), (-1,), f"{of} distortion")
        model = cast(Model, needed(section, "model", name))
        yield Camera(Lens(name, cast(tuple[int, int], (width, height)), K, distortion, model), pose)


def write(rig: Rig, path: Path) -> None:
    """Write all of the rig, in metres and pixels."""
    import yaml

    cameras = [
        {
            "name": camera.name,
            "size": list(camera.size),
            "model": camera.lens.model,
            "K": camera.lens.K.tolist(),
            "distortion": camera.lens.distortion.tolist(),
            "cam_from_world": np.asarray(camera.cam_from_world).tolist(),
        }
        for camera in rig
    ]
    units = {"length": "m", "image": "px"}
    document = {"format": _FORMAT, "version": _VERSION, "units": units, "cameras": cameras}
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True, width=200)
    write_text(path, text)
