"""Densifier room_features: points of the room, by features of its pictures and the known cameras."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.densification.carving import first_in_cells
from mvcap.densification.feature_matches import Keypoints, epipolar_matches, keypoints_of, tracks_of
from mvcap.densification.silhouettes import nearest
from mvcap.errors import ConfigError
from mvcap.structures.contracts import MaskedMoment
from mvcap.structures.point_cloud import PointCloud


@dataclass(frozen=True)
class RoomFeaturesConfig:
    """Settings of the densifier room_features."""

    spacing_m: float = 0.015
    """Of points nearer to each other than this, m, one is kept."""
    features: int = 4000
    """Most features of a view."""
    band_px: float = 2.0
    """Distance from the epipolar line up to which features can match, px. Raise it for a calibration that is not
    accurate."""
    largest_error_px: float = 1.5
    """Reprojection error of a view up to which a point is kept, px."""
    largest_sigma_m: float = 0.05
    """Standard deviation of a point in the worst direction up to which it is kept, m."""
    least_views: int = 2
    """Views that must see a point; 3 leaves out nearly all false matches, and most points."""

    def __post_init__(self) -> None:
        positive = (self.spacing_m, self.features, self.band_px, self.largest_error_px, self.largest_sigma_m)
        if min(positive) <= 0 or self.features > 50_000:
            raise ConfigError("config keys 'densifiers.room_features' must be above 0, features at most 50000")
        if self.least_views < 2:
            raise ConfigError("config key 'densifiers.room_features.least_views' must be 2 or more")


class RoomFeatures:
    """Densifier room_features: sparse points of the static room, SIFT features that views share, triangulated.

    Neighbouring views must look at it alike, at up to some 20 degrees from each other: others share no features. People
    are left out where there are masks. One frame is enough: the room does not move.
    """

    Config = RoomFeaturesConfig

    def __init__(self, config: RoomFeaturesConfig) -> None:
        self.config = config

    def densify(self, moment: MaskedMoment) -> PointCloud:
        """Return the points of the room as person 0, without normals; empty without images of two views."""
        found = [
            Keypoints(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 128), np.float32))
            if image is None
            else keypoints_of(image, label, moment.rig, view, self.config.features)
            for view, (image, label) in enumerate(zip(moment.images, moment.labels, strict=True))
        ]
        pairs = {
            (a, b): epipolar_matches(found[a], found[b], moment.rig, (a, b), self.config.band_px)
            for a, b in combinations(range(len(found)), 2)
        }
        xy = tracks_of(found, pairs)
        if not xy.shape[1]:
            return PointCloud.from_points(np.zeros((0, 3)))
        xyz = moment.rig.triangulate(xy)
        error_px = moment.rig.reprojection_error(xyz, xy)
        sigma = point_sigma(xyz, xy, error_px, moment.rig)
        views = np.isfinite(error_px).sum(0)
        with np.errstate(invalid="ignore"):
            worst = np.nanmax(np.where(np.isfinite(error_px), error_px, -1.0), axis=0)
            good = (worst >= 0) & (worst <= self.config.largest_error_px) & (sigma <= self.config.largest_sigma_m)
        kept = np.flatnonzero(good & (views >= self.config.least_views) & np.isfinite(xyz).all(-1))
        kept = kept[first_in_cells(xyz[kept], self.config.spacing_m)]
        rgb = _mean_colours(moment, xy[:, kept])
        return PointCloud(xyz[kept], rgb, np.zeros(len(kept)), views[kept], sigma[kept])


def point_sigma(
    xyz: NDArray[np.floating], xy: NDArray[np.floating], error_px: NDArray[np.floating], rig: Rig
) -> NDArray[np.float64]:
    """Return standard deviations (N,) m of triangulated points in their worst direction; infinite where undetermined.

    By the derivative of the pixels (C, N, 2) and their noise: half a pixel, or the root mean square of the
    reprojection errors (C, N) px if that is larger.
    """
    slope = rig.project_with_jacobian(xyz)[1]
    used = np.isfinite(xy).all(-1) & np.isfinite(slope).all((-1, -2))
    slope = np.where(used[..., None, None], slope, 0)
    information = np.einsum("cnki,cnkj->nij", slope, slope)
    count = np.maximum(used.sum(0), 1)
    noise = np.maximum(0.5, np.sqrt(np.nansum(error_px**2, axis=0) / count))
    least = np.linalg.eigvalsh(information)[:, 0]
    return np.asarray(np.where(least > 1e-6, noise / np.sqrt(np.maximum(least, 1e-6)), np.inf))


def _mean_colours(moment: MaskedMoment, xy: NDArray[np.float64]) -> NDArray[np.uint8]:
    total, count = np.zeros((xy.shape[1], 3)), np.zeros(xy.shape[1])
    for view, image in enumerate(moment.images):
        rows = np.flatnonzero(np.isfinite(xy[view]).all(-1))
        if image is not None and len(rows):
            total[rows] += nearest(image, xy[view, rows])
            count[rows] += 1
    return np.asarray(np.rint(total / np.maximum(count, 1)[:, None]), np.uint8)
