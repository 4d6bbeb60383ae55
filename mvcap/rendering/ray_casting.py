"""Triangles that rays are cast at, by Embree, which needs no graphics driver: Open3D's RaycastingScene on all cores.

Without Open3D, the small package embreex does the same on one core.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.optional_package import optional_package

_NEAR = 1e-4  # of a ray's length, where nothing blocks it
Single = NDArray[np.float32]
Mesh = tuple[NDArray[np.floating], NDArray[np.integer]]
"""Vertices (V, 3) m and triangles (F, 3)."""


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


class RayCaster(Protocol):
    """Rays (N, 3), float32, against meshes."""

    def hits(self, origin: Single, direction: Single) -> dict[str, NDArray[Any]]:
        """``distance`` (N,), infinite without a hit, ``mesh``, ``face`` (N,), ``u``, ``v`` (N,), ``normal`` (N, 3)."""
        ...

    def blocked(self, origin: Single, direction: Single, below: float) -> NDArray[np.bool_]:
        """Whether something is before origin + below * direction."""
        ...


class RayScene:
    """Meshes at one moment. Raises InputError where neither Open3D nor embreex is installed."""

    def __init__(self, *meshes: Mesh, threads: int = 0) -> None:
        small = importlib.util.find_spec("open3d") is None and importlib.util.find_spec("embreex") is not None
        self._caster: RayCaster = _Embreex(meshes) if small else _Open3D(meshes, threads)

    def first_hits(self, origin: NDArray[np.floating], direction: NDArray[np.floating]) -> Hits:
        """Cast rays from origins (3,) or (N, 3) m along unit directions (N, 3)."""
        found = self._caster.hits(*_single(origin, direction))
        u, v, normal = found["u"], found["v"], found["normal"]
        normal = normal * -np.sign((normal * direction).sum(-1, keepdims=True))
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        missed = ~np.isfinite(found["distance"])
        mesh, face = (
            np.where(missed, none, found[name].astype(np.int64)) for name, none in (("mesh", -1), ("face", 0))
        )
        return Hits(found["distance"], mesh, face, np.stack([1 - u - v, u, v], -1), normal / np.maximum(length, 1e-12))

    def blocked(
        self, origin: NDArray[np.floating], direction: NDArray[np.floating], below: float = 1.0
    ) -> NDArray[np.bool_]:
        """Whether something is between origins (N, 3) m and origin + below * direction (N, 3) m."""
        return self._caster.blocked(*_single(origin, direction), below)


def _single(origin: NDArray[np.floating], direction: NDArray[np.floating]) -> tuple[Single, Single]:
    way = np.ascontiguousarray(direction, np.float32)
    return np.ascontiguousarray(np.broadcast_to(np.asarray(origin, np.float32), way.shape)), way


class _Open3D:
    def __init__(self, meshes: tuple[Mesh, ...], threads: int) -> None:
        self._o3d: Any = optional_package("open3d", "Open3D", "generate", "rendering")
        self._scene = self._o3d.t.geometry.RaycastingScene(nthreads=threads)
        for vertices, faces in meshes:
            self._scene.add_triangles(
                self._o3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)),
                self._o3d.core.Tensor(np.ascontiguousarray(faces, np.uint32)),
            )

    def _rays(self, origin: Single, direction: Single) -> Any:
        return self._o3d.core.Tensor(np.concatenate([origin, direction], 1))

    def hits(self, origin: Single, direction: Single) -> dict[str, NDArray[Any]]:
        found = {name: value.numpy() for name, value in self._scene.cast_rays(self._rays(origin, direction)).items()}
        u, v = found["primitive_uvs"].T
        return {"distance": found["t_hit"], "mesh": found["geometry_ids"], "face": found["primitive_ids"], "u": u,
                "v": v, "normal": found["primitive_normals"]}  # fmt: skip

    def blocked(self, origin: Single, direction: Single, below: float) -> NDArray[np.bool_]:
        found = self._scene.test_occlusions(self._rays(origin, direction), tnear=_NEAR, tfar=below)
        return np.asarray(found.numpy(), np.bool_)


class _Embreex:
    def __init__(self, meshes: tuple[Mesh, ...]) -> None:
        scene: Any = importlib.import_module("embreex.rtcore_scene")
        construction: Any = importlib.import_module("embreex.mesh_construction")
        self._scene = scene.EmbreeScene(robust=True)
        self._kept = [
            construction.TriangleMesh(self._scene, np.ascontiguousarray(vertices, np.float32),
                                      np.ascontiguousarray(faces, np.int32)) for vertices, faces in meshes
        ]  # fmt: skip

    def hits(self, origin: Single, direction: Single) -> dict[str, NDArray[Any]]:
        found = self._scene.run(origin, direction, output=1)
        distance = np.where(found["primID"] < 0, np.float32(np.inf), found["tfar"])
        return {"distance": distance, "mesh": found["geomID"], "face": found["primID"], "u": found["u"],
                "v": found["v"], "normal": found["Ng"]}  # fmt: skip

    def blocked(self, origin: Single, direction: Single, below: float) -> NDArray[np.bool_]:
        begin = origin + np.float32(_NEAR) * direction
        reach = np.full(len(direction), below - _NEAR, np.float32)
        return np.asarray(self._scene.run(begin, direction, dists=reach, query="OCCLUDED") >= 0)
