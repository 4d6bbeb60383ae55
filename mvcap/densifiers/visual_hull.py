"""Densifier visual_hull: the surface of what all masks agree on."""

from __future__ import annotations

from dataclasses import dataclass

from mvcap.densification.hull_points import coloured_cloud, hull_points
from mvcap.errors import ConfigError
from mvcap.structures.contracts import MaskedMoment
from mvcap.structures.point_cloud import PointCloud


@dataclass(frozen=True)
class VisualHullConfig:
    """Settings of the densifier visual_hull."""

    spacing_m: float = 0.015
    """Distance between neighbouring points, m. Half of it takes four times as long."""
    least_views: int = 3
    """People whom fewer views show have no points: where two outlines meet is mostly free space."""

    def __post_init__(self) -> None:
        if not 0.004 <= self.spacing_m <= 0.2:
            raise ConfigError("config key 'densifiers.visual_hull.spacing_m' must be 0.004 to 0.2 m")
        if self.least_views < 2:
            raise ConfigError("config key 'densifiers.visual_hull.least_views' must be 2 or more")


class VisualHull:
    """Densifier visual_hull: the surface of what all masks of a person agree on, coloured by the views that see it.

    Hollows that no outline shows, as between an arm and the chest, are filled: a hull is never smaller than the body.
    """

    Config = VisualHullConfig

    def __init__(self, config: VisualHullConfig) -> None:
        self.config = config

    def densify(self, moment: MaskedMoment) -> PointCloud:
        """Return the points of all people's hulls; see ``mvcap.densification.carving`` for the method."""
        hull = hull_points(moment, self.config.spacing_m, self.config.least_views)
        return coloured_cloud(moment, hull, self.config.spacing_m)
