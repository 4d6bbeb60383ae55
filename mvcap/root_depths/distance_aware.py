"""Root depth ``distance_aware``: the distance at which a square of 2 m has the size of the person's crop, corrected.

The distance k = sqrt(fx fy A_real / A_img) and its learned correction are those of G. Moon, J. Y. Chang, K. M. Lee,
"Camera Distance-Aware Top-Down Approach for 3D Multi-Person Pose Estimation From a Single RGB Image", ICCV 2019. Here
A_img is measured in the view of the camera turned to the person, so any lens gives the same; the correction is read
from the 2D pose in the crop instead of the picture, with a standard deviation; and it is relative to the size that the
lifted body has, as one view does not tell the stature. The direction is the one in which the lifted joints fall on
their pixels, so an unknown focal length still gives a result that can be laid over the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from mvcap.errors import AssetError, ConfigError
from mvcap.root_depths.distance_aware_features import PersonCrops, joints_of, person_crops
from mvcap.root_depths.reprojection import GivenDistances, ReprojectionConfig, fitted_roots
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.view_track import LiftedBody, RootDistances, ViewTrack
from mvcap.weights import networks

NETWORK = "depth"
_BATCH = 1024


@dataclass(frozen=True)
class DistanceAwareConfig(ReprojectionConfig):
    """Settings of the root depth ``distance_aware``: those of ``reprojection``, and its own."""

    sigma: float = 1.0
    """Factor on the standard deviation that the network gives, which is calibrated: change it only with
    measurements."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma > 0:
            raise ConfigError("distance_aware: sigma must be above 0")


class DistanceAware:
    """Root depth ``distance_aware``: the size of the person's crop, with a learned correction, tells the distance."""

    Config = DistanceAwareConfig

    def __init__(self, config: DistanceAwareConfig) -> None:
        self.config = config

    def identity(self, rig: Rig) -> str:
        """Identity of the network used for takes of this rig; ``none`` without weights."""
        return network_identity_of_depth(rig)

    def place(self, track: ViewTrack, body: LiftedBody) -> RootDistances:
        """Return the root of every frame; NaN where fewer than two joints are both seen and lifted.

        Raises AssetError if the weights are missing or damaged.
        """
        given = learned_distances(track, body, self.config.sigma)
        return fitted_roots(track, body, self.config, given, only_given=True)


def network_identity_of_depth(rig: Rig) -> str:
    """Identity of the root-depth network used for takes of this rig; ``none`` without weights."""
    try:
        return networks.load_network(NETWORK, rig).identity
    except AssetError:
        return "none"


def learned_distances(track: ViewTrack, body: LiftedBody, factor: float = 1.0) -> GivenDistances:
    """Return the distances (T,) m of a body of the lifted size, with standard deviations times a factor.

    Raises AssetError if the weights are missing or damaged.
    """
    crops = person_crops(track)
    network = networks.load_network(NETWORK)
    log_ratio, log_sigma = _corrections(crops, network)
    metres = crops.k_m * np.exp(log_ratio) * lifted_size(track, body)
    return GivenDistances(metres, factor * float(network.card["metrics"]["deviation_factor"]) * np.exp(log_sigma))


def lifted_size(track: ViewTrack, body: LiftedBody) -> float:
    """Return the size of the lifted body relative to an adult of 1.72 m: median over the frames; 1 if it has no limb.

    Only the joints that the network reads count, so a body without these has the size 1.
    """
    if not (joints_of(track.skeleton) >= 0).any():
        return 1.0
    scale = body_scale(track.skeleton, body.joints)
    known = np.isfinite(scale)
    return float(np.median(scale[known])) if known.any() else 1.0


def _corrections(crops: PersonCrops, network: networks.Network) -> tuple[Floats, Floats]:
    """Logarithm (T,) of the distance over k for a body of 1.72 m, and of its standard deviation; NaN without a crop.

    A pose and its mirror image are at the same distance, so both are read and averaged. Features beyond the range of
    the training data, such as larger noise, are taken at its edge.
    """
    known = np.flatnonzero(np.isfinite(crops.side))
    log_ratio, log_sigma = np.full((2, len(crops.side)), np.nan)
    for start in range(0, len(known), _BATCH):
        some = known[start : start + _BATCH]
        both = [network(_within(node, network)) for node in (crops.node[some], crops.mirrored()[some])]
        log_ratio[some] = np.mean([ratio for ratio, _ in both], axis=0)
        log_sigma[some] = np.mean([sigma for _, sigma in both], axis=0)
    return log_ratio, log_sigma


def _within(node: NDArray[np.float32], network: networks.Network) -> NDArray[np.float32]:
    """Features of detected joints within the range of the training data."""
    limits = network.limits
    inside = np.clip(node, limits["node_low"], limits["node_high"]).astype(np.float32)
    return np.where(node[..., 3:] > 0, inside, node)
