"""Qualisys Track Manager's calibration, `.qca.txt` (XML); only read.

What differs: focal lengths and centre are in 1/64 px, while the distortion has no unit; lengths are millimetres; the
pose is that of the camera in the world, its matrix is listed by column and its axes are x right, y up, z backward, so
x_cam = diag(1, -1, -1) R (X - T) with R as its rows are listed. The image reaches from left to right inclusive, and
its corner has to come off the centre. Sources: Qualisys' file, tested on real pixels; z is up there as here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calib.camera import Camera, Lens
from calib.errors import CalibrationError
from calib.formats.parts import Sizes, damaged, head_of, needed, numbers, text_of
from calib.formats.parts import rig as rig_of
from calib.geometry import Floats, pose
from calib.rig import Rig

DECLARES_UNIT = True
_SUBPIXELS = 64.0
_METRES = 0.001
_DISTORTION = (
    "radialDistortion1",
    "radialDistortion2",
    "tangentalDistortion1",
    "tangentalDistortion2",
    "radialDistortion3",
)


def sniff(path: Path) -> bool:
    """Whether the file is XML with Qualisys' words in it."""
    head = head_of(path)
    return path.name.lower().endswith(".qca.txt") or ("<calibration" in head and "<fov_" in head)


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in metres; the file holds the image sizes, so `size` does not count."""
    try:
        root = ElementTree.fromstring(text_of(path))
    except ElementTree.ParseError as error:
        raise damaged(path, error) from None
    return rig_of(path, _cameras(root))


def _cameras(root: ElementTree.Element) -> Iterator[Camera]:
    for element in root.iter("camera"):
        name = element.get("serial", "")
        if element.get("active", "1") == "0":
            continue
        if _number(element.attrib, "viewrotation", name, 0.0) != 0:
            raise CalibrationError(
                f"camera {name!r}: its view is turned (viewrotation); export video and calibration unturned"
            )
        size, corner = _window(element, name)
        intrinsic = _child(element, "intrinsic", name)
        K = _matrix(intrinsic, name, corner)
        distortion = np.array([_number(intrinsic, key, name, 0.0) for key in _DISTORTION])
        yield Camera(Lens(name, size, K, distortion), _pose(_child(element, "transform", name), name))


def _child(element: ElementTree.Element, tag: str, name: str) -> Mapping[str, str]:
    child = element.find(tag)
    if child is None:
        raise CalibrationError(f"camera {name!r}: <{tag}> is missing; calibrate it, or export the file again")
    return child.attrib


def _number(attributes: Mapping[str, str], key: str, name: str, default: float | None = None) -> float:
    value: object = attributes.get(key, default)
    if value is None:
        value = needed(dict(attributes), key, name)
    return float(numbers(value, (), f"camera {name!r}: {key}"))


def _window(element: ElementTree.Element, name: str) -> tuple[tuple[int, int], tuple[float, float]]:
    """Image size and the sensor's pixel at the image's corner."""
    fov = _child(element, "fov_video", name)
    left, top, right, bottom = (_number(fov, side, name) for side in ("left", "top", "right", "bottom"))
    return (int(right - left + 1), int(bottom - top + 1)), (left, top)


def _matrix(intrinsic: Mapping[str, str], name: str, corner: tuple[float, float]) -> Floats:
    if _number(intrinsic, "skew", name, 0.0) != 0:
        raise CalibrationError(f"camera {name!r}: it has a skew, which is not read; calibrate without")
    focal = [_number(intrinsic, f"focalLength{axis}", name) / _SUBPIXELS for axis in "UV"]
    centre = [
        _number(intrinsic, f"centerPoint{axis}", name) / _SUBPIXELS - edge
        for axis, edge in zip("UV", corner, strict=True)
    ]
    return np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1.0]])


def _pose(transform: Mapping[str, str], name: str) -> Floats:
    listed = [_number(transform, f"r{row}{column}", name) for row in "123" for column in "123"]
    R = np.diag([1.0, -1.0, -1.0]) @ np.reshape(listed, (3, 3))
    T = np.array([_number(transform, axis, name) for axis in "xyz"]) * _METRES
    return pose(R, -R @ T)
