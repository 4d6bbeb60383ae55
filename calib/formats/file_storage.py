"""OpenCV's FileStorage (YAML, XML, JSON) as plain values, read and written through OpenCV itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from calib.errors import RigFileError
from calib.formats.parts import text_of, write_text

Value: TypeAlias = object


def load(path: Path) -> dict[str, object]:
    """The file's top level: mappings, lists, numbers, text, and arrays for matrices."""
    import cv2

    text = text_of(path)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        root = _value(storage.root())
        storage.release()
    except (cv2.error, SystemError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise RigFileError(f"{path}: not OpenCV's YAML or XML, or cut off ({reason}); export it again") from None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not isinstance(root, dict):
        raise RigFileError(f"{path}: no OpenCV storage with named values; give a calibration file")
    return root


def _value(node: Any) -> object:
    if node.isMap():
        keys = node.keys()
        if {"dt", "data"} <= set(keys):
            return np.asarray(node.mat(), np.float64)
        return {key: _value(node.getNode(key)) for key in keys}
    if node.isSeq():
        return [_value(node.at(index)) for index in range(node.size())]
    if node.isString():
        return node.string()
    return node.real() if node.isInt() or node.isReal() else None


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
