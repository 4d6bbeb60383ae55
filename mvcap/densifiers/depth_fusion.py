"""Densifier depth_fusion: the surface that the images of depth cameras agree on, by Open3D's voxel block grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.densification.carving import first_in_cells
from mvcap.densification.depth_images import agreeing_views, as_pinhole, known_depth
from mvcap.densification.silhouettes import nearest
from mvcap.errors import ConfigError, InputError
from mvcap.structures.contracts import MaskedMoment
from mvcap.structures.optional_package import optional_package
from mvcap.structures.point_cloud import PointCloud

_BLOCK = 8
_FIRST_BLOCKS = 2000  # the grid grows where that is not enough
_TRUNCATION_VOXELS = 4.0
_OFF_GRID = 1e-3  # of a voxel: Open3D finds no surface where a depth is exactly that of a voxel's centre


@dataclass(frozen=True)
class DepthFusionConfig:
    """Settings of the densifier depth_fusion."""

    spacing_m: float = 0.01
    """Size of the voxels and distance between neighbouring points, m."""
    farthest_m: float = 8.0
    """Depths beyond it are not used, m."""
    least_views: int = 1
    """Views that must measure a point. Raise it to leave out what only one camera sees, such as flying pixels."""

    def __post_init__(self) -> None:
        if not 0.002 <= self.spacing_m <= 0.2:
            raise ConfigError("config key 'densifiers.depth_fusion.spacing_m' must be 0.002 to 0.2 m")
        if not (0 < self.farthest_m <= 1000 and self.least_views >= 1):
            raise ConfigError(
                "config keys 'densifiers.depth_fusion': farthest_m must be 0 to 1000, least_views 1 or more"
            )


class DepthFusion:
    """Densifier depth_fusion: the surface of the depth images of calibrated depth cameras, fused by Open3D.

    A truncated signed distance field, averaged over the views (Curless and Levoy 1996), in a sparse grid of voxel
    blocks. Where there are masks only people are fused, otherwise everything, as person 0.
    """

    Config = DepthFusionConfig

    def __init__(self, config: DepthFusionConfig) -> None:
        self.config = config

    def densify(self, moment: MaskedMoment) -> PointCloud:
        """Return the points of the surface; ``error`` is the root mean square of the views' differences in depth.

        Raises InputError without depth images, and where Open3D is not installed.
        """
        if len(moment.depths) != len(moment.rig):
            raise InputError("depth_fusion needs depth images; a session has some if it was recorded by depth cameras")
        labels = [one if len(moment.persons) else None for one in moment.labels]
        depths = [
            None if depth is None else known_depth(depth, label, self.config.farthest_m)
            for depth, label in zip(moment.depths, labels, strict=True)
        ]
        xyz, rgb, normals = self._fused(moment, depths)
        first = first_in_cells(xyz, self.config.spacing_m)
        xyz, rgb, normals = xyz[first], rgb[first], normals[first]
        agree, apart, xy = agreeing_views(xyz, depths, moment.rig, _TRUNCATION_VOXELS / 2 * self.config.spacing_m)
        count = agree.sum(0)
        error = np.sqrt(np.nansum(apart**2, axis=0) / np.maximum(count, 1))
        person = _persons(moment, xy, agree)
        made = PointCloud(xyz, rgb, person, count, np.where(count >= 2, error, np.nan), normals)
        return made[count >= self.config.least_views]

    def _fused(
        self, moment: MaskedMoment, depths: list[NDArray[np.float32] | None]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]:
        """Points (N, 3) m, colours (N, 3) and normals (N, 3) of the zero level of the fused distance field."""
        open3d = optional_package("open3d", "Open3D", "cloud", "depth_fusion")
        core, tensor = open3d.core, open3d.core.Tensor
        size = self.config.spacing_m
        grid = open3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight", "color"), (core.float32,) * 3, ((1), (1), (3)), size, _BLOCK, _FIRST_BLOCKS,
            core.Device("CPU:0"),
        )  # fmt: skip
        used = 0
        for camera, depth, image in zip(moment.rig, depths, moment.images, strict=True):
            if depth is None or not depth.any():
                continue
            grey = np.full((*depth.shape, 3), 128, np.uint8)
            flat = np.asarray(as_pinhole(depth, camera, smooth=False), np.float32)
            colour = np.asarray(as_pinhole(grey if image is None else image, camera, smooth=True), np.float32) / 255
            pictures = [
                open3d.t.geometry.Image(tensor(np.ascontiguousarray(one)))
                for one in (np.where(flat > 0, flat + np.float32(_OFF_GRID * size), 0).astype(np.float32), colour)
            ]
            K, pose = tensor(np.array(camera.lens.K)), tensor(np.array(camera.cam_from_world))
            limits = (1.0, self.config.farthest_m + size, _TRUNCATION_VOXELS)
            blocks = grid.compute_unique_block_coordinates(pictures[0], K, pose, *limits)
            grid.integrate(blocks, *pictures, K, K, pose, *limits)
            used += 1
        if not used:
            return np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros((0, 3))
        found = grid.extract_point_cloud(0.5, -1).point
        rgb = np.clip(np.rint(255 * found.colors.numpy()), 0, 255).astype(np.uint8)
        normals = found.normals.numpy().astype(np.float64)
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
        return found.positions.numpy().astype(np.float64), rgb, normals


def _persons(moment: MaskedMoment, xy: NDArray[np.float64], agree: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The id (N,) of the person whose mask most of the agreeing views have at a point; 0 for nobody."""
    votes = np.zeros((len(moment.persons) + 1, xy.shape[1]), np.int64)
    for view, label in enumerate(moment.labels):
        if label is not None:
            found = nearest(label, xy[view]).astype(np.int64)
            rows = np.flatnonzero(agree[view] & (found > 0) & (found <= len(moment.persons)))
            np.add.at(votes, (found[rows], rows), 1)
    ids = np.concatenate([[0], moment.persons]).astype(np.int64)
    return ids[np.where(votes.max(0) > 0, votes.argmax(0), 0)]
