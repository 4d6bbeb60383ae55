"""Functions that the formats share: reading text, making cameras from raw values, writing atomically."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from calib import geometry
from calib.arrays import Floats
from calib.bounded_files import MOST_BYTES, bounded_text, reason_of
from calib.camera import Camera, Lens
from calib.errors import CalibrationError, RigFileError
from calib.geometry import Model
from calib.rig import Rig

Sizes: TypeAlias = tuple[int, int] | Mapping[str, tuple[int, int]] | None
_HEAD = 4096


def head_of(path: Path) -> str:
    """The first characters of a file, to recognise its format; "" for a folder."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_HEAD).decode("utf-8", errors="replace")


def has(path: Path, *words: str) -> bool:
    """Whether a file has all of these words in its first million bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(1_000_000)
    return all(word.encode() in start for word in words)


def text_of(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a file of at most so many bytes; RigFileError where it cannot be read or is no text."""
    try:
        return bounded_text(path, most)
    except (OSError, ValueError) as error:
        raise RigFileError(f"{path}: cannot be read as text ({reason_of(error)}); give a calibration file") from None


def damaged(path: Path, error: Exception) -> RigFileError:
    """The error for a file whose text is not valid in its format, or is cut off."""
    return RigFileError(f"{path}: the file is damaged or cut off ({reason_of(error)}); export or copy it again")


def numbers(value: object, shape: tuple[int, ...], what: str) -> Floats:
    """An array of this shape, -1 for any length; CalibrationError which names `what` where it has another shape."""
    try:
        array = np.asarray(value, np.float64)
        array = array.reshape(shape)
    except (TypeError, ValueError, OverflowError):
        wanted = "x".join("n" if side < 0 else str(side) for side in shape)
        raise CalibrationError(f"{what} has to be {wanted} numbers; correct the file") from None
    if not np.isfinite(array).all():
        raise CalibrationError(f"{what} holds NaN or infinity; calibrate again or correct the file")
    return array


def needed(section: Mapping[str, object], key: str, camera: str) -> object:
    """The value of a key; CalibrationError which names the camera where it is missing or null."""
    value = section.get(key)
    if value is None or (key != "name" and isinstance(value, str) and _is_null(value)):
        how = "missing" if value is None else f"{value!r}, which is no value"
        raise CalibrationError(f"camera {camera!r}: {key} is {how}; correct the file or export it again")
    return value


def is_absent(value: object) -> bool:
    """Whether a file says that there is no value: null in any spelling, an empty list, or numbers that are all NaN."""
    if value is None or isinstance(value, str):
        return value is None or _is_null(value)
    if isinstance(value, list | tuple | np.ndarray):
        return all(map(is_absent, value))
    return isinstance(value, float) and bool(np.isnan(value))


def _is_null(text: str) -> bool:
    return text.strip().lower() in ("", "~", "null", "none", "nan", ".nan")


def without_pose(values: Sequence[object]) -> bool:
    """Whether a camera is not placed: no part of its pose is there (None), or one of them is null.

    A part that is missing beside another that is there is left to `needed`, which refuses it.
    """
    return all(map(is_absent, values)) or any(value is not None and is_absent(value) for value in values)


def left_out(section: Mapping[str, object], parts: Sequence[str], lens: str) -> bool:
    """Whether a camera has to be left out: without a pose, of these keys, or with null as pose or as distortion `lens`.

    Null distortion is not taken as none, as that would shift every pixel of a camera whose lens is only unknown.
    """
    values = ["null" if part in section and section[part] is None else section.get(part) for part in parts]
    given = section.get(lens, [])
    return without_pose(values) or given is None or (isinstance(given, str) and _is_null(given))


def listed_cameras(listed: Sequence[object], path: Path) -> tuple[list[dict[str, object]], list[str]]:
    """The sections of a list of cameras, and the names, from the place in it, of the entries that are null.

    RigFileError for an entry that is no table.
    """
    nulls = [f"number {number}" for number, entry in enumerate(listed, 1) if entry is None]
    return [mapping(entry, path, "a camera") for entry in listed if entry is not None], nulls


def placed_only(
    sections: Mapping[str, dict[str, object]], *parts: str, lens: str = ""
) -> tuple[dict[str, dict[str, object]], list[str]]:
    """The sections of the cameras that are not `left_out`, whose pose is of these keys, and the names of the others."""
    unplaced = [name for name, values in sections.items() if left_out(values, parts, lens)]
    return {name: values for name, values in sections.items() if name not in unplaced}, unplaced


def rotation(value: object, what: str) -> Floats:
    """A rotation (3, 3) from a matrix or a rotation vector."""
    count = np.size(np.asarray(value, dtype=object)) if not isinstance(value, np.ndarray) else value.size
    if count == 3:
        return geometry.rotation_from_vector(numbers(value, (3,), what))
    nested = np.ravel(np.asarray(value, dtype=object)) if isinstance(value, list) else value
    return numbers(nested, (3, 3), what)


def model_for(count: int, fisheye: bool, camera: str) -> Model:
    """The lens model that has this many coefficients; CalibrationError where there is none."""
    wanted: tuple[Model, ...] = ("fisheye",) if fisheye else ("pinhole", "rational")
    for model in wanted:
        if count in geometry.COEFFICIENTS[model]:
            return model
    kind = "a fisheye lens takes 4" if fisheye else "known are 0, 4, 5, 8 and 12 (a tilted sensor's 14 are not)"
    raise CalibrationError(f"camera {camera!r}: {count} distortion coefficients, {kind}; calibrate with another model")


def size_for(camera: str, sizes: Sizes, where: str = "") -> tuple[int, int]:
    """The image size (w, h) px given by the caller for a camera whose file does not hold it; `where` it may be added.

    CalibrationError where none is given for it.
    """
    size = _size_of(camera, sizes) if isinstance(sizes, Mapping) else sizes
    if size is None:
        raise CalibrationError(
            f"camera {camera!r}: the file holds no image size; {where and f'add {where} or '}give it, as in "
            "size=(1920, 1080), or --size 1920x1080 of `mvcap rig`"
        )
    return size


def _size_of(camera: str, sizes: Mapping[str, tuple[int, int]]) -> tuple[int, int] | None:
    """The size of the camera's name, else of the only one that differs in case, else that of several, all alike."""
    alike = [name for name in sizes if name.lower() == camera.lower()]
    if camera in sizes or len(alike) == 1:
        return sizes[camera if camera in sizes else alike[0]]
    same = len(sizes) > 1 and len({tuple(size) for size in sizes.values()}) == 1
    return next(iter(sizes.values())) if same else None


def camera(
    name: str, size: object, K: object, distortion: object, R: object, t: object, *, fisheye: bool = False
) -> Camera:
    """A camera from OpenCV's values: x_cam = R x_world + t, R a matrix or a rotation vector, in any nesting."""
    of = f"camera {name!r}:"
    flat = numbers(distortion, (-1,), f"{of} the distortion")
    width, height = numbers(size, (2,), f"{of} the image size")
    K = numbers(np.ravel(np.asarray(K, dtype=object)), (3, 3), f"{of} K")
    lens = Lens(name, cast(tuple[int, int], (width, height)), K, flat, model_for(flat.size, fisheye, name))
    return Camera(lens, geometry.pose(rotation(R, f"{of} the rotation"), numbers(t, (3,), f"{of} the translation")))


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a CalibrationError of a camera into a RigFileError that begins with the file's name."""
    try:
        yield
    except RigFileError:
        raise
    except CalibrationError as error:
        raise RigFileError(f"{path}: {error}") from None


def rig(path: Path, cameras: Iterable[Camera], unplaced: Sequence[str] = ()) -> Rig:
    """The rig of the cameras in their order; it names the `unplaced` ones, without pose or lens in the file.

    RigFileError, with the file's name, for any error in them.
    """
    with naming(path):
        found = tuple(cameras)
        if not found and unplaced:
            raise CalibrationError(f"none of {', '.join(unplaced)} has a pose and a lens; calibrate the extrinsics too")
        if not found:
            raise CalibrationError("no camera in it; give a calibration file")
        verb = "has" if len(unplaced) == 1 else "have"
        without = f" (without {', '.join(unplaced)}, which {verb} no pose or lens in the file)" if unplaced else ""
        return Rig(found, source=f"{path}{without}", unplaced=tuple(unplaced))


def refuse_lenses(rig: Rig, path: Path, kind: str, models: Sequence[Model], *, skew: bool = True) -> None:
    """Raise RigFileError where a camera has a lens that the format cannot hold."""
    for one in rig:
        if one.lens.model not in models:
            what = f"{kind} holds no {one.lens.model} lens"
        elif not skew and one.lens.K[0, 1] != 0:
            what = f"{kind} holds no skew, which is {one.lens.K[0, 1]:g} px"
        else:
            continue
        raise RigFileError(f"{path}: camera {one.name!r}: {what}; write rig, toml or opencv")


def five(distortion: Floats) -> Floats:
    """k1 k2 p1 p2 k3 of a pinhole lens with 0, 4 or 5 coefficients."""
    return np.concatenate([distortion, np.zeros(5 - distortion.size)])


def rotation_from_quaternion(wxyz: ArrayLike) -> Floats:
    """The rotation (3, 3) of a quaternion with its real part first; CalibrationError where it is zero."""
    q = np.asarray(wxyz, np.float64)
    if not np.linalg.norm(q) > 0:
        raise CalibrationError("a rotation quaternion is zero; export the file again")
    w, x, y, z = q / np.linalg.norm(q)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + 2 * w * cross + 2 * cross @ cross)


def quaternion_from_rotation(rotation: ArrayLike) -> Floats:
    """The quaternion (4,) with its real part first, not negative, of a rotation (3, 3)."""
    vector = geometry.vector_from_rotation(rotation)
    half = np.linalg.norm(vector) / 2
    return np.concatenate([[np.cos(half)], vector / 2 * np.sinc(half / np.pi)])


def mapping(value: object, path: Path, what: str) -> dict[str, object]:
    """A mapping with keys of text; RigFileError where the file holds something else."""
    if not isinstance(value, dict):
        raise RigFileError(f"{path}: {what} has to be a table of keys and values; give a calibration file")
    return {str(key): entry for key, entry in value.items()}


def write_text(path: Path, text: str) -> None:
    """Write a text atomically: under a temporary name in the same folder, then renamed."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically: under a temporary name in the same folder, then renamed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise RigFileError(f"{path}: cannot be written ({reason_of(error)}); choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
