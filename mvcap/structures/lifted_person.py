"""One person of one view in three dimensions, before smoothing: what a lifter and a root depth say of every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.structures.view_track import LiftedBody, RootDistances, ViewTrack


@dataclass(frozen=True, eq=False)
class LiftedPerson:
    """T frames of a person in the camera's frame, in order of time; frames without a detection are left out."""

    frame: Ints
    """(T,)"""
    track: ViewTrack
    body: LiftedBody
    root: RootDistances
    focal_sigma: float = 0.0
    """Relative standard deviation of the focal length: distances grow with it, and sizes do not."""

    @property
    def xyz(self) -> Floats:
        """(T, J, 3) m in the camera's frame, NaN where not estimated."""
        return np.asarray(self.root.root[:, None] + self.body.joints)

    @property
    def covariance(self) -> Floats:
        """(T, J, 3, 3) m^2 of ``xyz``, the error of the scale that all frames share included."""
        return np.asarray(self.body.covariance + self.root_covariance[:, None] + self.scale_covariance(self.xyz))

    @property
    def root_covariance(self) -> Floats:
        """(T, 3, 3) m^2 of the root's errors that differ from frame to frame."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ray = self.root.root / np.linalg.norm(self.root.root, axis=-1, keepdims=True)
        along, across = self.root.along_sigma[:, None, None] ** 2, self.root.across_sigma[:, None, None] ** 2
        outer = ray[:, :, None] * ray[:, None]
        return np.asarray(across * (np.eye(3) - outer) + along * outer)

    def scale_covariance(self, xyz: Floats, root: Floats | None = None) -> Floats:
        """Return (T, J, 3, 3) m^2 of joints xyz (T, J, 3) by what all frames share: the scale and the focal length.

        With the scale everything grows about the camera. root (T, 3) m: of these joints, by default ``root.root``.
        """
        middle = np.broadcast_to((self.root.root if root is None else root)[:, None], xyz.shape)
        grown = self.root.scale_sigma * middle + self.body.scale_sigma * (xyz - middle)
        farther = self.focal_sigma * middle
        return np.asarray(grown[..., :, None] * grown[..., None, :] + farther[..., :, None] * farther[..., None, :])

    def scaled(self, factor: float, scale_sigma: float) -> LiftedPerson:
        """Return the person with all lengths and distances times a factor that is known to so many parts of one."""
        return replace(
            self,
            body=LiftedBody(factor * self.body.joints, factor**2 * self.body.covariance, scale_sigma),
            root=RootDistances(
                factor * self.root.root, factor * self.root.along_sigma, factor * self.root.across_sigma, scale_sigma
            ),
        )
