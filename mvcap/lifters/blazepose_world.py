"""Lifter ``blazepose_world``: the metric joints that the 2D estimator computes beside its pixels, as they are.

They are the "world landmarks" of the landmark network (V. Bazarevsky et al., "BlazePose: On-device Real-time Body Pose
tracking", 2020; MediaPipe), which the estimators ``blazepose`` and ``people`` keep. Nothing is computed here but their
covariance, which was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats
from mvcap.errors import ConfigError, InputError
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.view_track import LiftedBody, ViewTrack

SCALE_SIGMA = 0.07
"""Relative standard deviation of the size: the network does not know statures, which vary by 6 % between adults."""
# Standard deviations about the root, m, across and along the ray: of the joints at the true size against four views of
# both demo takes, as nearly as both can be with 68 and 95 % of the errors inside. The first part that is in a joint's
# name counts.
_SIGMA_M = (
    ("hip", 0.025, 0.025), ("shoulder", 0.040, 0.087), ("elbow", 0.054, 0.116), ("wrist", 0.045, 0.22),
    ("pinky", 0.052, 0.24), ("index", 0.053, 0.25), ("thumb", 0.061, 0.23), ("knee", 0.038, 0.097),
    ("ankle", 0.056, 0.124), ("heel", 0.063, 0.145), ("toe", 0.063, 0.16), ("", 0.055, 0.15),
)  # fmt: skip


@dataclass(frozen=True)
class BlazePoseWorldConfig:
    """Settings of the lifter ``blazepose_world``."""

    sigma: float = 1.0
    """Factor on the standard deviations of joints, which are measured: change it only with measurements."""

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ConfigError("blazepose_world: sigma must be above 0")


class BlazePoseWorldLifter:
    """Lifter ``blazepose_world``: the metric joints that the estimators ``blazepose`` and ``people`` compute."""

    Config = BlazePoseWorldConfig

    def __init__(self, config: BlazePoseWorldConfig) -> None:
        self.config = config

    def lift(self, track: ViewTrack) -> LiftedBody:
        """Return the metric joints of every frame, NaN where the estimator gave none.

        Raises InputError for a track without any.
        """
        if track.metric is None:
            raise InputError(
                "lifter blazepose_world: the detections hold no metric joints; use the estimator blazepose, or people "
                "in the mode balanced or best, and estimate again (--redo estimate)"
            )
        joints = track.metric - _root(track.skeleton, track.metric)
        deviation = self.config.sigma * joint_deviations(track.skeleton)
        known = np.asarray(np.isfinite(joints).all(-1))
        rays = np.where(known[..., None], track.rays(), np.nan)
        there = np.asarray(np.isfinite(rays).all(-1))
        middle = np.where(there[..., None], rays, 0).sum(1)
        middle = np.where(there.any(-1, keepdims=True), middle, (0.0, 0.0, 1.0))
        turn = turns_to_rays(middle)[:, None]
        covariance = turn @ (deviation[:, :, None] ** 2 * np.eye(3)) @ turn.swapaxes(-1, -2)
        return LiftedBody(
            np.where(known[..., None], joints, np.nan),
            np.where(known[..., None, None], covariance, np.nan),
            SCALE_SIGMA,
        )


def joint_deviations(kind: Skeleton) -> Floats:
    """Return standard deviations (J, 3) m of joints about the root: twice across the ray, and along it."""
    found = [next((across, along) for part, across, along in _SIGMA_M if part in joint) for joint in kind.joints]
    return np.array([(across, across, along) for across, along in found])


def _root(kind: Skeleton, joints: Floats) -> Floats:
    """Middle of the hips (T, 1, 3) m; 0 where a hip is missing, as the estimator's joints are about it already."""
    hips = [kind.index(f"{side}_hip") for side in ("left", "right") if f"{side}_hip" in kind.joints]
    return np.nan_to_num(joints[:, hips].mean(1, keepdims=True)) if len(hips) == 2 else np.zeros((len(joints), 1, 3))
