"""A binary glTF 2.0 file (.glb): its JSON document, built first, and its buffer, whose parts are written in any order.

All accessors lie in one buffer, little-endian, each part of it at a multiple of four bytes, as the format demands.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mvcap.version import __version__

FLOAT, SHORT, UNSIGNED_SHORT = 5126, 5122, 5123
"""The format's numbers for the types of components."""
LARGEST_BYTES = 2**32 - 1
"""The largest file that the format can describe."""
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_BYTES = {FLOAT: 4, SHORT: 2, UNSIGNED_SHORT: 2}
_COMPONENTS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
_VERTICES, _INDICES = 34962, 34963  # targets of buffer views


class GltfDocument:
    """The lists of a glTF document, and the size of its buffer; ``add`` returns the index that others refer to."""

    def __init__(self, about: dict[str, Any]) -> None:
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._about = about
        self._size = 0

    def add(self, kind: str, **item: Any) -> int:
        """Add an item to a list of the document ("nodes", "meshes", ...) and return its index."""
        items = self._lists.setdefault(kind, [])
        items.append(item)
        return len(items) - 1

    def item(self, kind: str, index: int) -> dict[str, Any]:
        """Return an item that was added, to add to it."""
        return self._lists[kind][index]

    def reserve(self, length: int, **more: Any) -> tuple[int, int]:
        """Make a buffer view of so many bytes; return its index and where it begins in the buffer, bytes."""
        begin, self._size = self._size, self._size + length + -length % 4
        return self.add("bufferViews", buffer=0, byteOffset=begin, byteLength=length, **more), begin

    def accessor(self, view: int, offset: int, count: int, form: str, component: int = FLOAT, **more: Any) -> int:
        """Describe ``count`` elements of a form ("SCALAR", "VEC3", "VEC4") in a buffer view from a byte of it on."""
        return self.add(
            "accessors", bufferView=view, byteOffset=offset, count=count, type=form, componentType=component, **more
        )

    def mesh_accessor(self, values: NDArray[np.generic]) -> tuple[int, int]:
        """Describe vertices (N, 3) float32 m or indices (N,) uint16; return the accessor and its place in the buffer.

        Vertices are given with their smallest and largest coordinates.
        """
        vertices = values.ndim == 2
        view, begin = self.reserve(values.nbytes, target=_VERTICES if vertices else _INDICES)
        if not vertices:
            return self.accessor(view, 0, len(values), "SCALAR", UNSIGNED_SHORT), begin
        return self.accessor(
            view, 0, len(values), "VEC3", min=values.min(0).tolist(), max=values.max(0).tolist()
        ), begin

    @property
    def file_bytes(self) -> int:
        """Size of the whole file."""
        return len(self._header()) + (8 + self._size if self._size else 0)

    def begin(self, stream: BinaryIO) -> int:
        """Write everything before the buffer, and zeros at the end of it; return the file's position of byte 0 of it.

        Raises ValueError if the file would be larger than the format allows; OSError if it cannot be written.
        """
        if self.file_bytes > LARGEST_BYTES:
            raise ValueError(f"{self.file_bytes} bytes are more than the {LARGEST_BYTES} of a glTF file")
        header, whole = self._header(), self.file_bytes
        stream.write(struct.pack("<III", _MAGIC, 2, whole) + header[12:])
        if self._size:
            stream.write(struct.pack("<II", self._size, _BIN))
            stream.truncate(whole)
        return stream.tell()

    def _header(self) -> bytes:
        """Return the file's header, with a length of 0, and the chunk of JSON, which is padded with spaces."""
        whole: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"mvcap {__version__}", "extras": self._about},
            **self._lists,
        }
        if "scenes" in self._lists:
            whole["scene"] = 0
        if self._size:
            whole["buffers"] = [{"byteLength": self._size}]
        text = json.dumps(whole, separators=(",", ":")).encode("ascii")
        text += b" " * (-len(text) % 4)
        return struct.pack("<IIIII", _MAGIC, 2, 0, len(text), _JSON) + text


def element_bytes(form: str, component: int = FLOAT) -> int:
    """Return the bytes of one element of an accessor."""
    return _COMPONENTS[form] * _BYTES[component]


def sphere_mesh(radius_m: float) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint16]]:
    """Return vertices (V, 3) m, normals (V, 3) and triangles (3 F,) of an icosahedron with every face cut in four."""
    golden = (1 + 5**0.5) / 2
    corners = [np.roll([0.0, a, b * golden], turn) for turn in range(3) for a in (-1, 1) for b in (-1, 1)]
    points = [corner / np.linalg.norm(corner) for corner in corners]
    near = [[np.linalg.norm(a - b) < 1.1 for b in points] for a in points]
    faces = []
    for a in range(12):
        for b in range(a + 1, 12):
            for c in range(b + 1, 12):
                if near[a][b] and near[b][c] and near[a][c]:
                    outward = np.linalg.det(np.stack([points[a], points[b], points[c]])) > 0
                    faces.append((a, b, c) if outward else (a, c, b))
    middle: dict[tuple[int, int], int] = {}

    def between(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in middle:
            middle[key] = len(points)
            point = points[a] + points[b]
            points.append(point / np.linalg.norm(point))
        return middle[key]

    triangles = []
    for a, b, c in faces:
        ab, bc, ca = between(a, b), between(b, c), between(c, a)
        triangles += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    normals = np.array(points, np.float32)
    return radius_m * normals, normals, np.array(triangles, np.uint16).ravel()


def cylinder_mesh(
    radius_m: float, sides: int = 8
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint16]]:
    """Return vertices (V, 3) m, normals (V, 3) and triangles (3 F,) of an open cylinder along y from 0 to 1."""
    angle = 2 * np.pi * np.arange(sides) / sides
    around = np.stack([np.sin(angle), np.zeros(sides), np.cos(angle)], -1)
    normals = np.concatenate([around, around]).astype(np.float32)
    vertices = (radius_m * normals).astype(np.float32)
    vertices[sides:, 1] = 1
    triangles = []
    for at in range(sides):
        after = (at + 1) % sides
        triangles += [(at, after, sides + after), (at, sides + after, sides + at)]
    return vertices, normals, np.array(triangles, np.uint16).ravel()
