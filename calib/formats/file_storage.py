"""OpenCV's FileStorage (YAML and XML) as plain values: written through OpenCV, read without it.

OpenCV 5.0's own reader writes outside of its memory on damaged files and ends the process, so the two notations are
read by a YAML and an XML parser here. Matrices become arrays, plain numbers floats, and quoted values text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree

import numpy as np

from calib.arrays import Floats
from calib.bounded_files import compose_yaml, parse_xml, reason_of
from calib.errors import RigFileError
from calib.formats.parts import text_of, write_text

Value: TypeAlias = object
_MATRIX = {"rows", "cols", "dt", "data"}
_WORD = re.compile(r'"([^"]*)"|(\S+)')
_QUOTE = "\ue000"  # of the private use area
_NUMBER = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|\.nan|\.inf)", re.IGNORECASE)
_ESCAPED_QUOTE = re.compile(r"(?<!\\)((?:\\\\)*)\\'")  # OpenCV writes \' in quotes, which YAML does not know


def load(path: Path) -> dict[str, object]:
    """The file's top level: mappings, lists, numbers, text, and arrays for matrices."""
    text = text_of(path)
    try:
        root = _of_xml(text) if text.lstrip().startswith("<") else _of_yaml(text)
    except (ValueError, ArithmeticError) as error:
        reason = reason_of(error)
        raise RigFileError(f"{path}: not OpenCV's YAML or XML, or cut off ({reason}); export it again") from None
    if not isinstance(root, dict):
        raise RigFileError(f"{path}: no OpenCV storage with named values; give a calibration file")
    return root


def _of_yaml(text: str) -> object:
    # OpenCV 4's first line, %YAML:1.0, is not a YAML directive, and OpenCV 5's is not needed.
    lines = (line for line in text.splitlines() if not line.startswith("%YAML"))
    plain = _ESCAPED_QUOTE.sub(r"\1'", "\n".join(lines))
    return _of_node(compose_yaml(plain))


def _of_node(node: Any) -> object:
    if node is None or node.id == "scalar":
        return None if node is None else _scalar(node.value, quoted=node.style in ("'", '"'))
    if node.id == "sequence":
        return [_of_node(entry) for entry in node.value]
    values = {str(key.value): _of_node(entry) for key, entry in node.value}
    if len(values) < len(node.value):
        raise ValueError("a key is in it twice")
    return _matrix(values) if set(values) >= _MATRIX else values


def _of_xml(text: str) -> object:
    # Texts are quoted, and a quote within one is an entity: the two have to be distinguished.
    return _of_element(parse_xml(text.replace("&quot;", _QUOTE)))


def _of_element(element: ElementTree.Element) -> object:
    children = list(element)
    if not children:
        words = [(quoted, plain) for quoted, plain in _WORD.findall(element.text or "")]
        values = [_scalar(plain or quoted.replace(_QUOTE, '"'), quoted=not plain) for quoted, plain in words]
        return values[0] if len(values) == 1 and element.get("type_id") is None else values
    if all(child.tag == "_" for child in children):
        return [_of_element(child) for child in children]
    values_of = {child.tag: _of_element(child) for child in children}
    if len(values_of) < len(children):
        raise ValueError("a key is in it twice")
    return _matrix(values_of) if set(values_of) >= _MATRIX else values_of


def _scalar(text: str, quoted: bool) -> object:
    if quoted or not _NUMBER.fullmatch(text):
        return text
    return float(text.lower().replace(".nan", "nan").replace(".inf", "inf"))


def _matrix(values: Mapping[str, object]) -> Floats:
    """A matrix (rows, cols x channels) of its listed numbers; `dt` is as 3d for three channels of doubles."""
    listed = values["data"] if isinstance(values["data"], list) else [values["data"]]
    rows, cols = (float(str(values[key])) for key in ("rows", "cols"))
    channels = int(str(values["dt"]).rstrip("abcdefghijklmnopqrstuvwxyz") or 1)
    if not all(isinstance(number, float) for number in listed) or rows * cols * channels != len(listed):
        raise ValueError(f"a matrix of {rows:g} x {cols:g} has {len(listed)} values")
    return np.array(listed, np.float64).reshape(int(rows), int(cols) * channels)


def save(path: Path, values: Mapping[str, Value], kind: str = "yml") -> None:
    """Write values (arrays, numbers, text, lists of text or of mappings) as `yml` or `xml`, all or nothing."""
    import cv2

    storage = cv2.FileStorage(f".{kind}", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
    _write_all(storage, values)
    write_text(path, storage.releaseAndGetString())


def _write_all(storage: Any, values: Mapping[str, Value]) -> None:
    import cv2

    for key, value in values.items():
        if not isinstance(value, list):
            storage.write(key, value)
            continue
        storage.startWriteStruct(key, cv2.FILE_NODE_SEQ)
        for entry in value:
            if isinstance(entry, Mapping):
                storage.startWriteStruct("", cv2.FILE_NODE_MAP)
                _write_all(storage, entry)
                storage.endWriteStruct()
            else:
                storage.write("", entry)
        storage.endWriteStruct()
