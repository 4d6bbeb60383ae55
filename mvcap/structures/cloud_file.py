"""Files of point clouds: PLY (binary, little-endian) and PCD (binary), written whole and read within limits.

A PLY vertex has x, y, z in metres, red, green, blue, person, views, error, and nx, ny, nz if the cloud has normals. A
PCD point has the same, with the colours packed into ``rgb`` as 0x00RRGGBB. Files of other programs may lack all but the
coordinates and have properties of their own, which are left out. Units and axes are those of the session: m, z up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import bounded_bytes, reason_of
from mvcap.errors import InputError
from mvcap.structures.npz import written_whole
from mvcap.structures.point_cloud import PointCloud

FORMATS = ("ply", "pcd")
"""Suffixes of the files."""
_MOST_BYTES = 1 << 30
_MOST_HEADER = 1 << 16
_PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4", "float": "<f4",
    "double": "<f8", "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4",
    "float32": "<f4", "float64": "<f8",
}  # fmt: skip
_PCD_TYPES = {"F4": "<f4", "F8": "<f8", **{f"{a}{n}": f"<{a.lower()}{n}" for a in "IU" for n in (1, 2, 4, 8)}}
_NAMES = {"u1": "uchar", "<i4": "int", "<f4": "float"}
_FLOATS = ("x", "y", "z", "error", "nx", "ny", "nz")
_PCD_NAME = {"nx": "normal_x", "ny": "normal_y", "nz": "normal_z"}


def save_cloud(path: str | Path, cloud: PointCloud) -> Path:
    """Write a cloud to a file of the suffix .ply or .pcd, whole or not at all, and return its path.

    Raises InputError for another suffix, SessionError if the file cannot be written.
    """
    target = Path(path)
    form = _format_of(target)
    rows = _table(cloud)
    data = _ply_header(rows) + rows.tobytes() if form == "ply" else _pcd_bytes(rows)
    with written_whole(target) as temporary:
        temporary.write_bytes(data)
    return target


def load_cloud(path: str | Path) -> PointCloud:
    """Read a cloud from a PLY or PCD file; InputError of one line for one that is missing, damaged or too large.

    Only binary files are read, of at most 1 GB. Points that are not finite are left out.
    """
    source = Path(path)
    form = _format_of(source)
    try:
        data = bounded_bytes(source, _MOST_BYTES)
        rows = _read_ply(data) if form == "ply" else _read_pcd(data)
        return _cloud(rows)
    except OSError as fault:
        raise InputError(f"{source}: cannot be read ({reason_of(fault)}); check the path") from fault
    except (ValueError, OverflowError, MemoryError) as fault:
        raise InputError(f"{source}: not a point cloud that can be read ({reason_of(fault)})") from fault


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise InputError(f"{path}: point clouds are files of the suffix .ply or .pcd")
    return suffix


def _table(cloud: PointCloud) -> NDArray[Any]:
    """The cloud as a structured array with the properties of a PLY file."""
    parts: dict[str, NDArray[Any]] = {name: cloud.xyz[:, at] for at, name in enumerate("xyz")}
    parts |= {name: cloud.rgb[:, at] for at, name in enumerate(("red", "green", "blue"))}
    parts |= {"person": cloud.person, "views": cloud.views, "error": cloud.error}
    if cloud.normals is not None:
        parts |= {name: cloud.normals[:, at] for at, name in enumerate(("nx", "ny", "nz"))}
    rows = np.zeros(len(cloud), [(name, part.dtype.newbyteorder("<")) for name, part in parts.items()])
    for name, part in parts.items():
        rows[name] = part
    return rows


def _cloud(rows: NDArray[Any]) -> PointCloud:
    names = rows.dtype.names or ()
    if not {"x", "y", "z"} <= {*names}:
        raise ValueError("it has no coordinates x, y, z")
    with np.errstate(over="ignore", invalid="ignore"):
        xyz = np.stack([rows[name].astype(np.float32) for name in "xyz"], -1)
        rows = rows[np.isfinite(xyz).all(-1)]
        xyz = xyz[np.isfinite(xyz).all(-1)]
        held = {name: rows[name] if name in names else None for name in ("red", "green", "blue", *_FLOATS[3:])}
        count = len(rows)
        rgb = np.full((count, 3), 128, np.uint8)
        for at, name in enumerate(("red", "green", "blue")):
            if (value := held[name]) is not None:
                rgb[:, at] = np.clip(np.nan_to_num(value), 0, 255)
        error = np.full(count, np.nan) if held["error"] is None else held["error"].astype(np.float32)
        normals = None
        if all(held[name] is not None for name in ("nx", "ny", "nz")):
            normals = np.stack([rows[name].astype(np.float32) for name in ("nx", "ny", "nz")], -1)
        person = _whole(rows, "person", 2**31 - 1)
        return PointCloud(xyz, rgb, person, _whole(rows, "views", 255), error, normals)


def _whole(rows: NDArray[Any], name: str, most: int) -> NDArray[np.int64]:
    if name not in (rows.dtype.names or ()):
        return np.zeros(len(rows), np.int64)
    return np.clip(np.nan_to_num(rows[name].astype(np.float64)), 0, most).astype(np.int64)


def _ply_header(rows: NDArray[Any]) -> bytes:
    kinds: Any = rows.dtype.fields or {}
    lines = ["ply", "format binary_little_endian 1.0", "comment units m, z up", f"element vertex {len(rows)}"]
    lines += [f"property {_NAMES[kinds[name][0].str.replace('|', '')]} {name}" for name in rows.dtype.names or ()]
    return "\n".join([*lines, "end_header", ""]).encode()


def _header(data: bytes, last: bytes) -> tuple[list[list[str]], int]:
    """The words of the lines of a header up to the line that begins so, and where the data begins."""
    lines: list[list[str]] = []
    at = 0
    while at < min(len(data), _MOST_HEADER):
        end = data.find(b"\n", at, at + 4096)
        if end < 0:
            break
        line = data[at:end].rstrip(b"\r")
        at = end + 1
        lines.append(line.decode("ascii", "replace").split())
        if line.startswith(last):
            return lines, at
    raise ValueError("its header has no end")


def _read_ply(data: bytes) -> NDArray[Any]:
    if not data.startswith(b"ply"):
        raise ValueError("it does not begin as a PLY file")
    lines, begin = _header(data, b"end_header")
    element, count, columns = "", -1, []
    for words in lines[1:]:
        match words:
            case ["format", form, *_] if form != "binary_little_endian":
                raise ValueError(f"the format {form[:40]} is not binary_little_endian")
            case ["element", name, number]:
                if count < 0 and name != "vertex" and _count(number):
                    raise ValueError(f"the element {name[:40]} comes before its vertices")
                element = name
                count = _count(number) if name == "vertex" else count
            case ["property", "list", *_] if element == "vertex":
                raise ValueError("its vertices have lists")
            case ["property", kind, name] if element == "vertex":
                columns.append((name, _type_of(_PLY_TYPES, kind)))
    if ["format", "binary_little_endian", "1.0"] not in lines:
        raise ValueError("its header does not say that it is binary_little_endian")
    return _rows(data, begin, count, columns)


def _pcd_bytes(rows: NDArray[Any]) -> bytes:
    names = [name for name in rows.dtype.names or () if name not in ("red", "green", "blue")]
    kinds: Any = rows.dtype.fields or {}
    columns: list[tuple[str, str]] = [(_PCD_NAME.get(name, name), kinds[name][0].str) for name in names]
    columns.insert(3, ("rgb", "<u4"))
    out = np.zeros(len(rows), columns)
    for name in names:
        out[_PCD_NAME.get(name, name)] = rows[name]
    out["rgb"] = rows["red"].astype(np.uint32) << 16 | rows["green"].astype(np.uint32) << 8 | rows["blue"]
    types = [np.dtype(kind) for _, kind in columns]
    lines = [
        "# .PCD v0.7 - units m, z up",
        "VERSION 0.7",
        "FIELDS " + " ".join(name for name, _ in columns),
        "SIZE " + " ".join(str(kind.itemsize) for kind in types),
        "TYPE " + " ".join(kind.kind.upper() for kind in types),
        "COUNT " + " ".join("1" for _ in types),
        f"WIDTH {len(rows)}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(rows)}",
        "DATA binary",
        "",
    ]
    return "\n".join(lines).encode() + out.tobytes()


def _read_pcd(data: bytes) -> NDArray[Any]:
    lines, begin = _header(data, b"DATA")
    held = {words[0]: words[1:] for words in lines if words}
    if held.get("DATA") != ["binary"]:
        raise ValueError("its data is not binary")
    names, sizes, types = (held.get(key, []) for key in ("FIELDS", "SIZE", "TYPE"))
    if not len(names) == len(sizes) == len(types) or set(held.get("COUNT", ["1"])) != {"1"}:
        raise ValueError("its fields are not single numbers with a size and a type each")
    back = {theirs: ours for ours, theirs in _PCD_NAME.items()}
    columns = [
        (back.get(name, name), _type_of(_PCD_TYPES, kind + size))
        for name, size, kind in zip(names, sizes, types, strict=True)
    ]
    rows = _rows(data, begin, _count((held.get("POINTS") or [""])[0]), columns)
    if "rgb" not in names or rows.dtype["rgb"].itemsize != 4:
        return rows
    packed = np.ascontiguousarray(rows["rgb"]).view("<u4")
    out = np.zeros(len(rows), [*rows.dtype.descr, ("red", "u1"), ("green", "u1"), ("blue", "u1")])
    for name in rows.dtype.names or ():
        out[name] = rows[name]
    for shift, name in ((16, "red"), (8, "green"), (0, "blue")):
        out[name] = packed >> shift & 255
    return out


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise ValueError(f"{text[:40]!a} is no number of points")
    return int(text)


def _type_of(table: dict[str, str], kind: str) -> str:
    if kind not in table:
        raise ValueError(f"the type {kind[:40]!a} is unknown")
    return table[kind]


def _rows(data: bytes, begin: int, count: int, columns: list[tuple[str, str]]) -> NDArray[Any]:
    """The points as a structured array; ValueError unless as many bytes are there as they need."""
    if count < 0 or not columns:
        raise ValueError("its header names no points")
    if len({name for name, _ in columns}) < len(columns):
        raise ValueError("a property is in it twice")
    kind = np.dtype(columns)
    if count * kind.itemsize > len(data) - begin:
        raise ValueError(
            f"it is cut off: {count} points need {count * kind.itemsize} bytes, {len(data) - begin} are there"
        )
    return np.frombuffer(data, kind, count, begin)
