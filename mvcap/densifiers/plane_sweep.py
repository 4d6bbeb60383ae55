"""Densifier plane_sweep: the visual hull, moved inwards where textures of several views agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mvcap.densification.carving import Surface
from mvcap.densification.hull_points import HullPoints, coloured_cloud, hull_points, smooth_normals
from mvcap.densification.stereo import SweepLimits, sweep
from mvcap.densification.visibility import visible
from mvcap.errors import ConfigError
from mvcap.structures.contracts import MaskedMoment
from mvcap.structures.point_cloud import PointCloud


@dataclass(frozen=True)
class PlaneSweepConfig:
    """Settings of the densifier plane_sweep."""

    spacing_m: float = 0.015
    """Distance between neighbouring points, m. Half of it takes four times as long."""
    least_views: int = 3
    """People whom fewer views show have no points: where two outlines meet is mostly free space."""
    least_texture: float = 6.0
    """Standard deviation of grey levels (0 to 255) in a patch below which it is plain, and its point stays on the hull.
    Raise it for noisy cameras."""
    least_score: float = 0.6
    """Correlation (0 to 1) of the views' patches below which a point stays on the hull."""
    least_gain: float = 0.05
    """How much better than on the hull, and than at any other depth, the patches must correlate."""

    def __post_init__(self) -> None:
        if not 0.004 <= self.spacing_m <= 0.2:
            raise ConfigError("config key 'densifiers.plane_sweep.spacing_m' must be 0.004 to 0.2 m")
        if self.least_views < 2:
            raise ConfigError("config key 'densifiers.plane_sweep.least_views' must be 2 or more")
        if not (0 < self.least_score <= 1 and 0 <= self.least_gain <= 1 and self.least_texture > 0):
            raise ConfigError(
                "config keys 'densifiers.plane_sweep': least_score and least_gain must be 0 to 1, least_texture above 0"
            )


class PlaneSweep:
    """Densifier plane_sweep: visual_hull, and where clothes have texture its points move inwards to where views agree.

    For hollows of the body that no outline shows. Points without texture, or of which fewer than two views see the
    same, stay on the hull.
    """

    Config = PlaneSweepConfig

    def __init__(self, config: PlaneSweepConfig) -> None:
        self.config = config

    def densify(self, moment: MaskedMoment) -> PointCloud:
        """Return the points of all people; see ``mvcap.densification.stereo`` for the method."""
        spacing = self.config.spacing_m
        hull = hull_points(moment, spacing, self.config.least_views)
        surface = hull.surface
        if not len(surface.xyz) or all(image is None for image in moment.images):
            return coloured_cloud(moment, hull, spacing)
        seen, cosine, _ = visible(surface.xyz, surface.normals, moment.rig, spacing)
        limits = SweepLimits(self.config.least_texture, self.config.least_score, self.config.least_gain)
        found = sweep(surface, seen, cosine, moment.rig, moment.images, spacing, limits)
        xyz = surface.xyz - found.depth_m[:, None] * surface.normals
        sigma = np.where(np.isfinite(found.sigma_m), found.sigma_m, surface.sigma_m)
        normals = smooth_normals(xyz, surface.normals, 1.5 * spacing)
        return coloured_cloud(moment, HullPoints(Surface(xyz, normals, sigma), hull.person), spacing)
