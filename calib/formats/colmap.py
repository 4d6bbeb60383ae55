"""COLMAP's sparse model: `cameras` and `images`, as text or binary; x_cam = R X + t, quaternion real part first.

What differs (source: COLMAP's description of its formats and camera models): the centre of the top-left pixel is (0.5,
0.5), so half a pixel is subtracted from the principal point; a model has no unit and an arbitrary world. An image is a
camera here, named as its file without the suffix, or as its folder where all files have the same name; lenses may be
shared. Text files are written, or binary ones where cameras.bin or images.bin is named, without points.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from calib.arrays import Floats
from calib.bounded_files import bounded_bytes, reason_of
from calib.camera import Camera, Lens
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import (
    Sizes,
    numbers,
    quaternion_from_rotation,
    refuse_lenses,
    rotation_from_quaternion,
    text_of,
    write_bytes,
)
from calib.formats.parts import rig as rig_of
from calib.geometry import Model, pose
from calib.rig import Rig

DECLARES_UNIT = False
HAS_SCALE = False

# Name: number in binary files, count of parameters. The order of each is COLMAP's.
_MODELS: dict[str, tuple[int, int]] = {
    "SIMPLE_PINHOLE": (0, 3),
    "PINHOLE": (1, 4),
    "SIMPLE_RADIAL": (2, 4),
    "RADIAL": (3, 5),
    "OPENCV": (4, 8),
    "OPENCV_FISHEYE": (5, 8),
    "FULL_OPENCV": (6, 12),
    "FOV": (7, 5),
    "SIMPLE_RADIAL_FISHEYE": (8, 4),
    "RADIAL_FISHEYE": (9, 5),
    "THIN_PRISM_FISHEYE": (10, 12),
}
_NUMBERED = {number: name for name, (number, _) in _MODELS.items()}
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
_HALF_PX = 0.5
_MOST_BYTES = 1 << 30  # points of many images


@dataclass(frozen=True)
class _Seen:
    """A lens as COLMAP lists it: its model's name, size (w, h) px and parameters."""

    model: str
    size: tuple[int, int]
    parameters: Floats


@dataclass(frozen=True)
class _Image:
    """A registered image: file name, quaternion (4,), translation (3,) and its lens."""

    name: str
    quaternion: Floats
    translation: Floats
    lens: int


def sniff(path: Path) -> bool:
    """Whether it is a folder with both files, or one of them."""
    folder = path if path.is_dir() else path.parent
    named = path.is_dir() or path.name in (f"{kind}{suffix}" for kind in ("cameras", "images") for suffix in _SUFFIXES)
    return named and _suffix(folder, path) is not None


_SUFFIXES = (".txt", ".bin")


def _suffix(folder: Path, path: Path) -> str | None:
    """The suffix of which both files exist; that of `path` where it has one; None where files are missing."""
    kinds = (path.suffix,) if path.suffix in _SUFFIXES else _SUFFIXES
    whole = (kind for kind in kinds if all((folder / f"{name}{kind}").is_file() for name in ("cameras", "images")))
    return next(whole, None)


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in the model's own length; the files hold the image sizes, so `size` does not count."""
    folder = path if path.is_dir() else path.parent
    suffix = _suffix(folder, path)
    if suffix is None:
        raise RigFileError(f"{path}: no COLMAP model; cameras and images (.txt or .bin) belong together in one folder")
    files = [folder / f"{name}{suffix}" for name in ("cameras", "images")]
    try:
        lenses = dict(_text_lenses(files[0]) if suffix == ".txt" else _binary_lenses(files[0]))
        images = list(_text_images(files[1]) if suffix == ".txt" else _binary_images(files[1]))
    except (struct.error, ValueError, IndexError, OverflowError, MemoryError) as error:
        why = reason_of(error)
        raise RigFileError(f"{folder}: the COLMAP model is damaged or cut off ({why}); export it again") from None
    return rig_of(path, _cameras(lenses, images))


def _text_lenses(path: Path) -> Iterator[tuple[int, _Seen]]:
    for line in _lines(path):
        if words := line.split():
            number, model, width, height, *parameters = words
            yield int(number), _Seen(model, (int(width), int(height)), np.array(parameters, np.float64))


def _text_images(path: Path) -> Iterator[_Image]:
    # Two lines an image; the second, its points, may be empty.
    for line in _lines(path)[::2]:
        if words := line.split(maxsplit=9):
            values = np.array(words[1:8], np.float64)
            yield _Image(words[9].strip(), values[:4], values[4:], int(words[8]))


def _lines(path: Path) -> list[str]:
    return [line for line in text_of(path, _MOST_BYTES).splitlines() if not line.startswith("#")]


class _Bytes:
    """The next values of a binary file, little-endian."""

    def __init__(self, path: Path) -> None:
        self.data, self.at = bounded_bytes(path, _MOST_BYTES), 0

    def take(self, kinds: str) -> tuple[int | float, ...]:
        values = struct.unpack_from(f"<{kinds}", self.data, self.at)
        self.at += struct.calcsize(f"<{kinds}")
        return values

    def text(self) -> str:
        end = self.data.index(b"\0", self.at)
        word, self.at = self.data[self.at : end].decode("utf-8"), end + 1
        return word


def _binary_lenses(path: Path) -> Iterator[tuple[int, _Seen]]:
    file = _Bytes(path)
    for _ in range(int(file.take("Q")[0])):
        number, kind, width, height = (int(value) for value in file.take("IiQQ"))
        if kind not in _NUMBERED:
            raise ValueError(f"camera model number {kind} is not known")
        model = _NUMBERED[kind]
        yield number, _Seen(model, (width, height), np.array(file.take(f"{_MODELS[model][1]}d")))


def _binary_images(path: Path) -> Iterator[_Image]:
    file = _Bytes(path)
    for _ in range(int(file.take("Q")[0])):
        _, *values, lens = file.take("I7dI")
        name = file.text()
        points = int(file.take("Q")[0])
        file.at += 24 * points  # each x, y and the id of its point
        yield _Image(name, np.array(values[:4]), np.array(values[4:]), int(lens))


def _cameras(lenses: dict[int, _Seen], images: Sequence[_Image]) -> Iterator[Camera]:
    for name, image in zip(_names(images), images, strict=True):
        if image.lens not in lenses:
            raise CalibrationError(
                f"camera {name!r}: its lens {image.lens} is not among the cameras; export both files"
            )
        K, distortion, model = _read_lens(name, lenses[image.lens])
        R = rotation_from_quaternion(numbers(image.quaternion, (4,), f"camera {name!r}: its quaternion"))
        yield Camera(Lens(name, lenses[image.lens].size, K, distortion, model), pose(R, image.translation))


def _names(images: Sequence[_Image]) -> list[str]:
    paths = [PurePosixPath(image.name) for image in images]
    if not all(path.name for path in paths):
        raise CalibrationError("an image of the COLMAP model has no name; export it again")
    if len(paths) > 1 and len({path.name for path in paths}) == 1:
        return [path.parent.as_posix() for path in paths]
    return [path.with_suffix("").as_posix() for path in paths]


def _read_lens(name: str, seen: _Seen) -> tuple[Floats, Floats, Model]:
    """K, distortion and model of a lens in our conventions."""
    if seen.model not in _MODELS or seen.parameters.size != _MODELS[seen.model][1]:
        raise CalibrationError(
            f"camera {name!r}: COLMAP's camera model {seen.model} with {seen.parameters.size} numbers is not known; "
            f"known are {', '.join(_MODELS)}"
        )
    values = seen.parameters
    if seen.model in _ONE_FOCAL:
        values = np.concatenate([values[:1], values])
    fx, fy, cx, cy, *bent = values
    K = np.array([[fx, 0, cx - _HALF_PX], [0, fy, cy - _HALF_PX], [0, 0, 1]])
    if seen.model in ("FOV", "THIN_PRISM_FISHEYE"):
        raise CalibrationError(f"camera {name!r}: {seen.model} lenses are not read; use OPENCV or OPENCV_FISHEYE")
    if "FISHEYE" in seen.model:
        return K, np.concatenate([bent, np.zeros(4 - len(bent))]), "fisheye"
    if seen.model == "FULL_OPENCV":
        return (K, np.array(bent), "rational") if any(bent[5:]) else (K, np.array(bent[:5]), "pinhole")
    return K, np.concatenate([bent, np.zeros(4 - len(bent))]) if bent else np.zeros(0), "pinhole"


def lost(rig: Rig) -> list[str]:
    """What a model does not hold of a rig."""
    return ['the unit: a COLMAP model has none; its lengths are metres, so give unit="m" when it is read again']


def files(path: Path) -> list[Path]:
    """The three files that are written, text unless a binary one is named."""
    folder = path.parent if path.suffix in _SUFFIXES else path
    suffix = ".bin" if path.suffix == ".bin" else ".txt"
    return [folder / f"{kind}{suffix}" for kind in ("cameras", "images", "points3D")]


def write(rig: Rig, path: Path) -> None:
    """Write the model in metres into the folder, or beside the file that is named, in the form of that file."""
    made_of = files(path)
    folder, binary = made_of[0].parent, path.suffix == ".bin"
    refuse_lenses(rig, folder, "COLMAP", ("pinhole", "rational", "fisheye"), skew=False)
    lenses = [_write_lens(one, folder) for one in rig]
    names = [_file_name(one.name, folder) for one in rig]
    made = _binary(rig, lenses, names) if binary else _text(rig, lenses, names)
    for file, data in zip(made_of, made, strict=True):
        write_bytes(file, data)


def _file_name(name: str, folder: Path) -> str:
    if any(letter.isspace() or letter in "/\\\0" for letter in name):
        raise RigFileError(f"{folder}: camera {name!r}: COLMAP names images without spaces and slashes; rename it")
    return f"{name}.png"


def _write_lens(one: Camera, folder: Path) -> _Seen:
    lens = one.lens
    K, bent = lens.K, lens.distortion
    if lens.model == "rational" and bent[8:].any():
        raise RigFileError(f"{folder}: camera {one.name!r}: COLMAP holds no thin-prism coefficients; write rig or toml")
    model = {0: "PINHOLE", 4: "OPENCV"}.get(bent.size, "FULL_OPENCV")
    if lens.model == "fisheye":
        model = "OPENCV_FISHEYE"
    elif model == "FULL_OPENCV":
        bent = np.concatenate([bent[:8], np.zeros(8 - bent[:8].size)])
    values = [K[0, 0], K[1, 1], K[0, 2] + _HALF_PX, K[1, 2] + _HALF_PX, *bent]
    return _Seen(model, lens.size, np.array(values))


def _pose_values(one: Camera) -> list[float]:
    return [*quaternion_from_rotation(one.cam_from_world[:3, :3]), *one.cam_from_world[:3, 3]]


def _text(rig: Rig, lenses: Sequence[_Seen], names: Sequence[str]) -> list[bytes]:
    cameras, images = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"], ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"]
    for number, (one, seen, name) in enumerate(zip(rig, lenses, names, strict=True), 1):
        values = " ".join(repr(float(value)) for value in seen.parameters)
        cameras.append(f"{number} {seen.model} {seen.size[0]} {seen.size[1]} {values}")
        images += [f"{number} {' '.join(repr(float(value)) for value in _pose_values(one))} {number} {name}", ""]
    return ["\n".join([*lines, ""]).encode() for lines in (cameras, images, ["# POINT3D_ID X Y Z R G B ERROR TRACK[]"])]


def _binary(rig: Rig, lenses: Sequence[_Seen], names: Sequence[str]) -> list[bytes]:
    cameras, images = struct.pack("<Q", len(rig)), struct.pack("<Q", len(rig))
    for number, (one, seen, name) in enumerate(zip(rig, lenses, names, strict=True), 1):
        cameras += struct.pack("<IiQQ", number, _MODELS[seen.model][0], *seen.size)
        cameras += struct.pack(f"<{seen.parameters.size}d", *seen.parameters)
        images += (
            struct.pack("<I7dI", number, *_pose_values(one), number) + name.encode() + b"\0" + struct.pack("<Q", 0)
        )
    return [cameras, images, struct.pack("<Q", 0)]
