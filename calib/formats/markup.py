"""XML elements and their attributes, for the formats of motion capture vendors."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from calib.arrays import Floats
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import damaged, needed, numbers


def load(path: Path) -> ElementTree.Element:
    """The root of a file in UTF-8 or, with a byte order mark, UTF-16; RigFileError where it is not XML or cut off."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RigFileError(f"{path}: cannot be read ({error.strerror}); give a calibration file") from None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return ElementTree.fromstring(data.decode(encoding))
    except (ValueError, ElementTree.ParseError) as error:
        raise damaged(path, error) from None


def cameras(path: Path, name: str, pose: str) -> tuple[list[ElementTree.Element], list[str]]:
    """The <Camera> elements of a file that hold a pose, and the names (an attribute) of those that hold none."""
    elements = list(load(path).iter("Camera"))
    placed = [element for element in elements if element.find(pose) is not None]
    return placed, [element.get(name, "") for element in elements if element not in placed]


def child(element: ElementTree.Element, tag: str, name: str) -> Mapping[str, str]:
    """The attributes of an element's child; CalibrationError which names the camera where there is none."""
    found = element.find(tag)
    if found is None:
        raise CalibrationError(f"camera {name!r}: <{tag}> is missing; calibrate it, or export the file again")
    return found.attrib


def number(attributes: Mapping[str, str], key: str, name: str, default: float | None = None) -> float:
    """One number; CalibrationError which names the camera where it is missing (without a default) or none."""
    value: object = attributes.get(key, default)
    if value is None:
        value = needed(dict(attributes), key, name)
    return float(numbers(value, (), f"camera {name!r}: {key}"))


def several(attributes: Mapping[str, str], key: str, name: str, count: int) -> Floats:
    """`count` numbers separated by spaces; CalibrationError which names the camera otherwise."""
    value = str(needed(dict(attributes), key, name))
    return numbers(value.split(), (count,), f"camera {name!r}: {key}")
