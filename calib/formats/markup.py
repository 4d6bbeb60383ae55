"""XML elements and their attributes, for the formats of motion capture vendors."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from calib.arrays import Floats
from calib.bounded_files import bounded_bytes, parse_xml, reason_of
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import damaged, needed, numbers, without_pose


def load(path: Path) -> ElementTree.Element:
    """The root of a file in UTF-8 or, with a byte order mark, UTF-16; RigFileError where it is not XML or cut off."""
    try:
        data = bounded_bytes(path)
    except (OSError, ValueError) as error:
        raise RigFileError(f"{path}: cannot be read ({reason_of(error)}); give a calibration file") from None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return parse_xml(data.decode(encoding))
    except ValueError as error:
        raise damaged(path, error) from None


def cameras(
    path: Path, name: str, pose: str, parts: tuple[str, ...] = ()
) -> tuple[list[ElementTree.Element], list[str]]:
    """The <Camera> elements of a file that hold a pose, and the names (an attribute) of those that hold none.

    The pose is the child `pose`, with these attributes as its `parts`.
    """
    elements = list(load(path).iter("Camera"))
    placed = [element for element in elements if has_pose(element.find(pose), parts)]
    return placed, [element.get(name, "") for element in elements if element not in placed]


def has_pose(found: ElementTree.Element | None, parts: tuple[str, ...]) -> bool:
    """Whether an element of a pose is there and its parts have values."""
    if found is None or not parts:
        return found is not None
    return not without_pose([_values(found.get(part)) for part in parts])


def _values(text: str | None) -> object:
    return text if text is None else text.split()


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
