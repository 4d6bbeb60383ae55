"""Qualisys Track Manager's calibration, `.qca.txt` (XML).

What differs: focal lengths and centre are in 1/64 px, while the distortion has no unit; lengths are millimetres; the
pose is that of the camera in the world, its matrix is listed by column and its axes are x right, y up, z backward, so
x_cam = diag(1, -1, -1) R (X - T) with R as its rows are listed. The image reaches from left to right inclusive, and its
corner has to be subtracted from the centre. Source: a file of Qualisys, tested on real pixels; z is up in both.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calib.arrays import Floats
from calib.camera import Camera, Lens
from calib.errors import CalibrationError
from calib.formats import markup
from calib.formats.markup import number
from calib.formats.parts import Sizes, five, head_of, refuse_lenses, write_text
from calib.formats.parts import rig as rig_of
from calib.geometry import pose
from calib.rig import Rig

DECLARES_UNIT = True
_SUBPIXELS = 64.0
_METRES = 0.001
_AXES = np.diag([1.0, -1.0, -1.0])
_POSE = ("x", "y", "z", *(f"r{row}{column}" for row in "123" for column in "123"))
_DISTORTION = (
    "radialDistortion1",
    "radialDistortion2",
    "tangentalDistortion1",
    "tangentalDistortion2",
    "radialDistortion3",
)


def sniff(path: Path) -> bool:
    """Whether the file is XML with Qualisys's elements."""
    head = head_of(path)
    return path.name.lower().endswith(".qca.txt") or ("<calibration" in head and "<fov_" in head)


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in metres; the file holds the image sizes, so `size` does not count."""
    elements = list(markup.load(path).iter("camera"))
    unplaced = [element for element in elements if element.get("active", "1") == "0" or not _is_placed(element)]
    placed = [element for element in elements if element not in unplaced]
    return rig_of(path, _cameras(placed), [element.get("serial", "") for element in unplaced])


def _is_placed(element: ElementTree.Element) -> bool:
    found = element.find("transform")
    if found is None or not markup.has_pose(found, _POSE):
        return False
    return any(found.get(part, "").strip(" 0.+-") for part in _POSE[3:])  # a rotation of zeros is none


def _cameras(elements: list[ElementTree.Element]) -> Iterator[Camera]:
    for element in elements:
        name = element.get("serial", "")
        if number(element.attrib, "viewrotation", name, 0.0) != 0:
            raise CalibrationError(
                f"camera {name!r}: its view is rotated (viewrotation); export video and calibration without rotation"
            )
        size, corner = _window(element, name)
        intrinsic = markup.child(element, "intrinsic", name)
        K = _matrix(intrinsic, name, corner)
        distortion = np.array([number(intrinsic, key, name, 0.0) for key in _DISTORTION])
        yield Camera(Lens(name, size, K, distortion), _pose(markup.child(element, "transform", name), name))


def _window(element: ElementTree.Element, name: str) -> tuple[tuple[int, int], tuple[float, float]]:
    """Image size and the sensor's pixel at the image's corner."""
    fov = markup.child(element, "fov_video", name)
    left, top, right, bottom = (number(fov, side, name) for side in ("left", "top", "right", "bottom"))
    return (int(right - left + 1), int(bottom - top + 1)), (left, top)


def _matrix(intrinsic: Mapping[str, str], name: str, corner: tuple[float, float]) -> Floats:
    if number(intrinsic, "skew", name, 0.0) != 0:
        raise CalibrationError(f"camera {name!r}: it has a skew, which is not read; calibrate without")
    focal = [number(intrinsic, f"focalLength{axis}", name) / _SUBPIXELS for axis in "UV"]
    centre = [
        number(intrinsic, f"centerPoint{axis}", name) / _SUBPIXELS - edge
        for axis, edge in zip("UV", corner, strict=True)
    ]
    return np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1.0]])


def _pose(transform: Mapping[str, str], name: str) -> Floats:
    listed = [number(transform, f"r{row}{column}", name) for row in "123" for column in "123"]
    R = _AXES @ np.reshape(listed, (3, 3))
    T = np.array([number(transform, axis, name) for axis in "xyz"]) * _METRES
    return pose(R, -R @ T)


def write(rig: Rig, path: Path) -> None:
    """Write the rig with images that begin at the sensor's corner; RigFileError for a lens the file cannot hold."""
    refuse_lenses(rig, path, "Qualisys", ("pinhole",), skew=False)
    root = ElementTree.Element("calibration", {"type": "regular", "source": path.name})
    ElementTree.SubElement(root, "results", {"std-dev": "0", "min-max-diff": "0"})
    cameras = ElementTree.SubElement(root, "cameras")
    for one in rig:
        about = {"active": "1", "serial": one.name, "model": "none", "viewrotation": "0", "avg-residual": "0"}
        element = ElementTree.SubElement(cameras, "camera", about)
        window = {"left": "0", "top": "0", "right": str(one.size[0] - 1), "bottom": str(one.size[1] - 1)}
        for tag in ("fov_marker", "fov_marker_max", "fov_video", "fov_video_max"):
            ElementTree.SubElement(element, tag, window)
        ElementTree.SubElement(element, "transform", _texts(_transform_values(one)))
        ElementTree.SubElement(element, "intrinsic", _texts(_intrinsic(one.lens)))
    ElementTree.indent(root)
    write_text(path, "<?xml version='1.0' encoding='UTF-8'?>\n" + ElementTree.tostring(root, encoding="unicode"))


def _texts(values: Mapping[str, float]) -> dict[str, str]:
    return {key: repr(float(value)) for key, value in values.items()}


def _transform_values(one: Camera) -> dict[str, float]:
    listed = _AXES @ one.cam_from_world[:3, :3]
    places = dict(zip("xyz", one.position / _METRES, strict=True))
    return places | {f"r{row + 1}{column + 1}": listed[row, column] for row in range(3) for column in range(3)}


def _intrinsic(lens: Lens) -> dict[str, float]:
    K = lens.K * _SUBPIXELS
    sensor = {"sensorMinU": 0, "sensorMinV": 0, "sensorMaxU": lens.size[0] * _SUBPIXELS}
    sensor |= {"sensorMaxV": lens.size[1] * _SUBPIXELS, "skew": 0}
    inside = {"focalLengthU": K[0, 0], "focalLengthV": K[1, 1], "centerPointU": K[0, 2], "centerPointV": K[1, 2]}
    return sensor | inside | dict(zip(_DISTORTION, five(lens.distortion), strict=True))
