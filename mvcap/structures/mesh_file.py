"""Files of triangle meshes: PLY, binary, little-endian, with the colour of each vertex; m, z up as in the session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.npz import written_whole


def save_mesh(
    path: str | Path, vertices: NDArray[np.floating], faces: NDArray[np.integer], rgb: tuple[int, int, int]
) -> Path:
    """Write vertices (V, 3) m and triangles (F, 3) in one colour as PLY, whole or not at all, and return the path.

    Raises SessionError if the file cannot be written.
    """
    points = np.zeros(
        len(vertices), [*((name, "<f4") for name in "xyz"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    )
    for at, name in enumerate("xyz"):
        points[name] = vertices[:, at]
    points["red"], points["green"], points["blue"] = rgb
    triangles = np.zeros(len(faces), [("count", "u1"), ("corner", "<i4", 3)])
    triangles["count"], triangles["corner"] = 3, faces
    lines = ["ply", "format binary_little_endian 1.0", "comment units m, z up", f"element vertex {len(points)}"]
    lines += [f"property float {name}" for name in "xyz"]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    target = Path(path)
    with written_whole(target) as temporary:
        temporary.write_bytes("\n".join(lines).encode() + points.tobytes() + triangles.tobytes())
    return target
