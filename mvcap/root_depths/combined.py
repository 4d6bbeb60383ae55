"""Root depth ``combined``: the joints fall on their pixels, and the learned distance of ``distance_aware`` is a prior.

The distances are weighted by their inverse variances. Both are read from the same pixels, so their errors are taken to
be fully related: two equal variances give the same variance, not half of it, which the demo takes confirm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib import Rig
from mvcap.errors import ConfigError
from mvcap.root_depths.distance_aware import learned_distances, network_identity_of_depth
from mvcap.root_depths.reprojection import ReprojectionConfig, fitted_roots
from mvcap.structures.view_track import LiftedBody, RootDistances, ViewTrack

_RELATED = 2.0  # factor on both variances: the sum of two equal errors that are one


@dataclass(frozen=True)
class CombinedConfig(ReprojectionConfig):
    """Settings of the root depth ``combined``: those of ``reprojection``, and its own."""

    sigma: float = 1.0
    """Factor on the standard deviation of the learned distance."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma > 0:
            raise ConfigError("combined: sigma must be above 0")


class Combined:
    """Root depth ``combined``: reprojection and the learned distance, weighted by their variances."""

    Config = CombinedConfig

    def __init__(self, config: CombinedConfig) -> None:
        self.config = config

    def identity(self, rig: Rig) -> str:
        """Identity of the network used for takes of this rig; ``none`` without weights."""
        return network_identity_of_depth(rig)

    def place(self, track: ViewTrack, body: LiftedBody) -> RootDistances:
        """Return the root of every frame; NaN where fewer than two joints are both seen and lifted.

        Raises AssetError if the weights are missing or damaged.
        """
        related = replace(self.config, correlated=_RELATED * self.config.correlated)
        given = learned_distances(track, body, np.sqrt(_RELATED) * self.config.sigma)
        return fitted_roots(track, body, related, given)
