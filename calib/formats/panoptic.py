"""CMU Panoptic Studio's `calibration_*.json`.

The file holds x_cam = R X + t with t in centimetres and a world whose y axis points down at the floor (source: the data
set's toolbox). The world is turned about x so that z is up: x, y, z = X, Z, -Y, in metres. The 3D ground truth of the
data set is converted by `calib.geometry.transform(WORLD_FROM_PANOPTIC, points)`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calib.bounded_files import parse_json
from calib.camera import Camera
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import (
    Sizes,
    camera,
    damaged,
    five,
    head_of,
    left_out,
    listed_cameras,
    mapping,
    needed,
    numbers,
    refuse_lenses,
    text_of,
    write_text,
)
from calib.formats.parts import rig as rig_of
from calib.geometry import pose
from calib.rig import Rig

DECLARES_UNIT = True
_METRES = 0.01
_TURN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

WORLD_FROM_PANOPTIC = pose(_METRES * _TURN, np.zeros(3))
"""Centimetres, y down, to metres, z up: (4, 4), for `calib.geometry.transform`; a scale, so not for `invert`."""


def sniff(path: Path) -> bool:
    """Whether the file is JSON with Panoptic's keys."""
    head = head_of(path)
    return head.lstrip().startswith("{") and '"cameras"' in head and '"distCoef"' in head


def read(path: Path, size: Sizes = None, kind: str | None = None) -> Rig:
    """The rig in metres with z up; of one `kind` of camera only ("hd", "vga", "kinect-color") where it is given.

    The file holds the image sizes, so `size` does not count.
    """
    try:
        document = parse_json(text_of(path))
    except ValueError as error:
        raise damaged(path, error) from None
    listed = mapping(document, path, "the file").get("cameras")
    if not isinstance(listed, list):
        raise RigFileError(f"{path}: cameras has to be a list; give Panoptic's calibration_*.json")
    sections, nulls = listed_cameras(listed, path)
    kinds = sorted({str(section.get("type")) for section in sections})
    if kind is not None and kind not in kinds:
        raise RigFileError(f"{path}: no camera of the kind {kind!r}; there are {', '.join(kinds)}")
    chosen = [section for section in sections if kind in (None, section.get("type"))]
    unplaced = [section for section in chosen if left_out(section, ("R", "t"), "distCoef")]
    placed = [section for section in chosen if not any(section is other for other in unplaced)]
    return rig_of(path, _cameras(placed), [*(str(section.get("name")) for section in unplaced), *nulls])


def _cameras(sections: list[dict[str, object]]) -> Iterator[Camera]:
    for number, section in enumerate(sections, 1):
        name = needed(section, "name", f"number {number}")
        if not isinstance(name, str):
            raise CalibrationError(f"camera number {number}: the name {name!r} is no text; put it in quotes")
        size, K, dist, R, t = (needed(section, key, name) for key in ("resolution", "K", "distCoef", "R", "t"))
        R = numbers(R, (3, 3), f"camera {name!r}: R") @ _TURN.T
        t = numbers(t, (3,), f"camera {name!r}: t") * _METRES
        yield camera(name, size, K, dist, R, t)


def write(rig: Rig, path: Path) -> None:
    """Write the rig, every camera as one of the kind "hd"; RigFileError for a lens the file cannot hold."""
    refuse_lenses(rig, path, "Panoptic", ("pinhole",))
    sections = [
        {
            "name": one.name,
            "type": "hd",
            "resolution": list(one.size),
            "panel": 0,
            "node": number,
            "K": one.lens.K.tolist(),
            "distCoef": five(one.lens.distortion).tolist(),
            "R": (one.cam_from_world[:3, :3] @ _TURN).tolist(),
            "t": (one.cam_from_world[:3, 3:] / _METRES).tolist(),
        }
        for number, one in enumerate(rig)
    ]
    write_text(path, json.dumps({"calibDataSource": path.stem, "cameras": sections}, indent=1))
