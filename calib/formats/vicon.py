"""Vicon's calibration, `.xcp` (XML); only read.

What differs: lengths are millimetres; the pose is that of the camera in the world, its quaternion, real part last,
turns world to camera: x_cam = R(q) (X - POSITION), axes as here, z up. There is one focal length in pixels, which
PIXEL_ASPECT_RATIO divides for the vertical one. VICON_RADIAL `k1 k2` and VICON_RADIAL2 `ViconRadial2 cx cy k1 k2 k3`
are not OpenCV's: they undistort a pixel, p -> c + (1 + k1 r2 + k2 r4 + k3 r6) (p - c) with r in pixels. The OpenCV lens
that fits best over the image is used; files are refused where none fits. Sources: Vicon's description of the file, its
lens model for a game engine (numbers per square pixel) and three readers of others, which agree on the pose. Not tested
on a real file: check a few points by reprojection.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calib import geometry
from calib.arrays import Floats
from calib.camera import Camera, Lens
from calib.errors import CalibrationError
from calib.formats import markup
from calib.formats.parts import Sizes, head_of, numbers, rotation_from_quaternion
from calib.formats.parts import rig as rig_of
from calib.geometry import pose
from calib.rig import Rig

DECLARES_UNIT = True
_METRES = 0.001
_FITTED_PX = 0.1  # largest difference of the OpenCV lens from Vicon's, anywhere in the image
_GRID = 41


def sniff(path: Path) -> bool:
    """Whether the file is XML with Vicon's elements."""
    return path.suffix.lower() == ".xcp" or all(word in head_of(path) for word in ("<Cameras", "DEVICEID"))


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig of the calibrated cameras in metres, named by DEVICEID; the file holds the image sizes."""
    placed, unplaced = markup.cameras(path, "DEVICEID", "KeyFrames/KeyFrame", ("ORIENTATION", "POSITION"))
    return rig_of(path, _cameras(placed), unplaced)


def _cameras(elements: list[ElementTree.Element]) -> Iterator[Camera]:
    for element in elements:
        name = element.get("DEVICEID", "")
        frames = element.findall("KeyFrames/KeyFrame")
        if len(frames) > 1:
            raise CalibrationError(f"camera {name!r}: it moves ({len(frames)} key frames); export a still calibration")
        values = frames[0].attrib
        if markup.number(element.attrib, "SKEW", name, 0.0) != 0:
            raise CalibrationError(f"camera {name!r}: it has a skew, which is not read; calibrate without")
        width, height = markup.several(element.attrib, "SENSOR_SIZE", name, 2)
        focal = markup.number(values, "FOCAL_LENGTH", name)
        aspect = markup.number(element.attrib, "PIXEL_ASPECT_RATIO", name, 1.0)
        if not aspect > 0:
            raise CalibrationError(f"camera {name!r}: PIXEL_ASPECT_RATIO is {aspect:g}; export the file again")
        centre = markup.several(values, "PRINCIPAL_POINT", name, 2)
        K = np.array([[focal, 0, centre[0]], [0, focal / aspect, centre[1]], [0, 0, 1]])
        plain = Lens(name, (int(width), int(height)), K, np.zeros(0))
        x, y, z, w = markup.several(values, "ORIENTATION", name, 4)
        R = rotation_from_quaternion((w, x, y, z))
        where = markup.several(values, "POSITION", name, 3) * _METRES
        yield Camera(_fit_distortion(plain, *_radial(values, name, centre)), pose(R, -R @ where))


def _radial(values: Mapping[str, str], name: str, centre: Floats) -> tuple[Floats, Floats]:
    """Vicon's centre (2,) px and coefficients (3,), zero where there are none."""
    of = f"camera {name!r}: VICON_RADIAL"
    if words := values.get("VICON_RADIAL2", "").split():
        listed = numbers(words[1:], (-1,), f"{of}2")
        if not 4 <= listed.size <= 5:
            raise CalibrationError(f"{of}2 has {listed.size} numbers, not 5; export the file again")
        return listed[:2], np.concatenate([listed[2:], np.zeros(5 - listed.size)])
    listed = numbers(values.get("VICON_RADIAL", "0 0").split(), (2,), of)
    return centre, np.append(listed, 0.0)


def _fit_distortion(lens: Lens, centre: Floats, radial: Floats) -> Lens:
    """The lens with the OpenCV distortion that inverts Vicon's correction, by least squares over the image."""
    if not radial.any():
        return lens
    ends = np.array(lens.size) - 1.0
    seen = np.stack(np.meshgrid(*(np.linspace(0, end, _GRID) for end in ends)), -1).reshape(-1, 2)
    aspect = np.array([1.0, lens.K[0, 0] / lens.K[1, 1]])
    squared = (((seen - centre) * aspect) ** 2).sum(1)
    scale = 1 + sum(k * squared**power for power, k in enumerate(radial, 1))
    straight = geometry.normalise(centre + (seen - centre) * scale[:, None], lens.K)
    bent = geometry.normalise(seen, lens.K)
    for coefficients in (_pinhole(straight, bent), _rational(straight, bent)):
        found = Lens(lens.name, lens.size, lens.K, coefficients, "pinhole" if coefficients.size == 5 else "rational")
        error = np.abs(found.distort(straight) - seen).max()
        if error < _FITTED_PX:  # False where NaN: folded over
            return found
    raise CalibrationError(
        f"camera {lens.name!r}: VICON_RADIAL scales the image's edge by {scale[0]:.3g}, which no lens of OpenCV's "
        "does; it has to be per square pixel: export the file again from Vicon's program"
    )


def _pinhole(straight: Floats, bent: Floats) -> Floats:
    x, y = straight.T
    r2 = x * x + y * y
    columns = [
        np.concatenate([x * r2, y * r2]),
        np.concatenate([x * r2**2, y * r2**2]),
        np.concatenate([2 * x * y, r2 + 2 * y * y]),
        np.concatenate([r2 + 2 * x * x, 2 * x * y]),
        np.concatenate([x * r2**3, y * r2**3]),
    ]
    return np.asarray(np.linalg.lstsq(np.stack(columns, -1), (bent - straight).T.ravel(), rcond=None)[0])


def _rational(straight: Floats, bent: Floats) -> Floats:
    r2 = (straight**2).sum(1, keepdims=True)
    powers = np.stack([r2, r2**2, r2**3], -1)
    columns = np.concatenate([powers * straight[..., None], -powers * bent[..., None]], -1).reshape(-1, 6)
    k = np.linalg.lstsq(columns, (bent - straight).ravel(), rcond=None)[0]
    return np.array([k[0], k[1], 0, 0, *k[2:]])
