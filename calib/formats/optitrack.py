"""OptiTrack Motive's calibration, `.mcal` (XML, UTF-16; Motive 3.2 and later); only read.

What differs: metres, y up; the pose is that of the camera in the world, OrientMatrix0..8 row by row, its axes x right,
y up, z backward: x_cam = diag(1, -1, -1) M^T (X - P). `IntrinsicStandardCameraModel` is OpenCV's lens with k3 apart;
`Intrinsic` is Motive's own model, which is not read. The world is turned about x so that z is up: x, y, z = X, -Z, Y.
Sources: OptiTrack's page on the file, and readers of others, one of them checked by its author on images; others read
the matrix transposed. Not tested on a real file: check a few points by reprojection.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calib.camera import Camera, Lens
from calib.formats import markup
from calib.formats.markup import number
from calib.formats.parts import Sizes, head_of
from calib.formats.parts import rig as rig_of
from calib.geometry import pose
from calib.rig import Rig

DECLARES_UNIT = True
_AXES = np.diag([1.0, -1.0, -1.0])
_TURN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_LENS = "IntrinsicStandardCameraModel"
_ORIENTATION = tuple(f"OrientMatrix{index}" for index in range(9))
_DISTORTION = ("k1", "k2", "TangentialX", "TangentialY", "k3")


def sniff(path: Path) -> bool:
    """Whether the file has the suffix .mcal, or is XML with Motive's elements."""
    return path.suffix.lower() == ".mcal" or "<calibrationProfile" in head_of(path).replace("\0", "")


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig of the posed cameras in metres with z up, named by serial; the file holds the image sizes."""
    placed, unplaced = markup.cameras(path, "Serial", "Extrinsic", (*_ORIENTATION, *"XYZ"))
    return rig_of(path, _cameras(placed), unplaced)


def _cameras(elements: list[ElementTree.Element]) -> Iterator[Camera]:
    for element in elements:
        name = element.get("Serial", "")
        sensor, inside, outside = (markup.child(element, tag, name) for tag in ("Attributes", _LENS, "Extrinsic"))
        size = (int(number(sensor, "ImagerPixelWidth", name)), int(number(sensor, "ImagerPixelHeight", name)))
        fx, fy, cx, cy = (
            number(inside, key, name)
            for key in ("HorizontalFocalLength", "VerticalFocalLength", "LensCenterX", "LensCenterY")
        )
        distortion = np.array([number(inside, key, name, 0.0) for key in _DISTORTION])
        listed = np.array([number(outside, key, name) for key in _ORIENTATION]).reshape(3, 3)
        where = _TURN @ [number(outside, axis, name) for axis in "XYZ"]
        R = _AXES @ listed.T @ _TURN.T
        yield Camera(Lens(name, size, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), distortion), pose(R, -R @ where))
