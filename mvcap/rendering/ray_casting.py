"""Triangles that rays are cast at: Open3D's RaycastingScene (Embree), which needs no graphics driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.optional_package import optional_package

Single = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Hits:
    """Where N rays meet triangles first."""

    distance: Single
    """(N,) m, infinite without a hit."""
    mesh: NDArray[np.int64]
    """(N,) number of the mesh; -1 without a hit."""
    face: NDArray[np.int64]
    """(N,) triangle of the mesh."""
    share: Single
    """(N, 3) shares of the triangle's corners; they sum to 1."""
    normal: Single
    """(N, 3) unit normals of the triangles, towards where the ray comes from."""


class RayScene:
    """Meshes at one moment. Raises InputError where Open3D is missing."""

    def __init__(self, *meshes: tuple[NDArray[np.floating], NDArray[np.integer]], threads: int = 0) -> None:
        self._o3d: Any = optional_package("open3d", "Open3D", "generate", "rendering")
        self._scene = self._o3d.t.geometry.RaycastingScene(nthreads=threads)
        for vertices, faces in meshes:
            self._scene.add_triangles(
                self._o3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)),
                self._o3d.core.Tensor(np.ascontiguousarray(faces, np.uint32)),
            )

    def _rays(self, origin: NDArray[np.floating], direction: NDArray[np.floating]) -> Any:
        rays = np.empty((len(direction), 6), np.float32)
        rays[:, :3], rays[:, 3:] = origin, direction
        return self._o3d.core.Tensor(rays)

    def first_hits(self, origin: NDArray[np.floating], direction: NDArray[np.floating]) -> Hits:
        """Cast rays from origins (3,) or (N, 3) m along unit directions (N, 3)."""
        found = {name: value.numpy() for name, value in self._scene.cast_rays(self._rays(origin, direction)).items()}
        u, v = found["primitive_uvs"].T
        normal = found["primitive_normals"]
        normal = normal * -np.sign((normal * direction).sum(-1, keepdims=True))
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        missed = ~np.isfinite(found["t_hit"])
        mesh = np.where(missed, -1, found["geometry_ids"].astype(np.int64))
        face = np.where(missed, 0, found["primitive_ids"].astype(np.int64))
        return Hits(found["t_hit"], mesh, face, np.stack([1 - u - v, u, v], -1), normal / np.maximum(length, 1e-12))

    def blocked(
        self, origin: NDArray[np.floating], direction: NDArray[np.floating], below: float = 1.0
    ) -> NDArray[np.bool_]:
        """Whether something is between origins (N, 3) m and origin + below * direction (N, 3) m."""
        found = self._scene.test_occlusions(self._rays(origin, direction), tnear=1e-4, tfar=below)
        return np.asarray(found.numpy(), np.bool_)
