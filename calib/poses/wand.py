"""Poses from a wand, points on a line at known distances: one camera alone does not determine its pose, two do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from calib import geometry
from calib.arrays import Floats
from calib.camera import Lens
from calib.errors import CalibrationError
from calib.observations import Observations
from calib.poses.consensus import RelativePoseMean
from calib.poses.relative_pose import relative_pose
from calib.rig import Rig


def wand_relations(observations: Observations, lenses: Sequence[Lens]) -> dict[tuple[int, int], RelativePoseMean]:
    """Relative poses of all pairs of cameras that saw the wand together: epipolar geometry, scaled by its length."""
    found = {}
    for a, b in combinations(range(len(lenses)), 2):
        relation = _relation(observations, a, b, lenses[a], lenses[b])
        if relation is not None:
            found[a, b] = relation
    return found


def _relation(observations: Observations, a: int, b: int, lens_a: Lens, lens_b: Lens) -> RelativePoseMean | None:
    both = observations.seen[a] & observations.seen[b]
    left, right = lens_a.undistort(observations.xy[a][both]), lens_b.undistort(observations.xy[b][both])
    focal_a, focal_b = np.sqrt(lens_a.K[0, 0] * lens_a.K[1, 1]), np.sqrt(lens_b.K[0, 0] * lens_b.K[1, 1])
    try:
        fit = relative_pose(left, right, observations.sigma[a][both] / focal_a, observations.sigma[b][both] / focal_b)
    except CalibrationError:  # too few points, or none that fit: no relation for this pair
        return None
    points = np.full((*both.shape, 3), np.nan)
    poses = np.stack([np.eye(4), fit.b_from_a])
    points[both] = geometry.triangulate(np.stack([left, right]), np.stack([fit.inliers, fit.inliers]), poses)
    ratios = _lengths_ratio(points, observations.target.points)
    if not len(ratios):
        return None
    scale = float(np.median(ratios))
    back = geometry.invert(fit.b_from_a)
    a_from_b = geometry.pose(back[:3, :3], scale * back[:3, 3])
    spread = 1.4826 * float(np.median(np.abs(ratios - scale))) / np.sqrt(len(ratios))
    return RelativePoseMean(
        a_from_b, len(ratios), float(np.rad2deg(fit.error_rad)), float(np.hypot(spread, scale * fit.error_rad))
    )


def _lengths_ratio(points: Floats, wand: Floats) -> Floats:
    """Known over measured distance (S,) between the outermost points seen at each moment, of points (T, N, 3)."""
    ratios = []
    for row in points:
        good = np.flatnonzero(np.isfinite(row).all(-1))
        if len(good) > 1:
            first, last = good[np.argmin(wand[good, 0])], good[np.argmax(wand[good, 0])]
            ratios.append(np.linalg.norm(wand[last] - wand[first]) / np.linalg.norm(row[last] - row[first]))
    return np.array(ratios)


def wand_poses(rig: Rig, observations: Observations) -> Floats:
    """Poses (T, 4, 4) of a wand from its triangulated points; the rotation about its own axis is arbitrary."""
    points = rig.triangulate(observations.xy)
    along = observations.target.points[:, 0]
    poses = np.full((len(points), 4, 4), np.nan)
    for moment, row in enumerate(points):
        good = np.isfinite(row).all(-1)
        if good.sum() < 2:
            continue
        slope = np.polyfit(along[good], row[good], 1)[0]
        x = slope / np.linalg.norm(slope)
        y = np.cross(x, np.eye(3)[np.abs(x).argmin()])
        y /= np.linalg.norm(y)
        R = np.stack([x, y, np.cross(x, y)], 1)
        poses[moment] = geometry.pose(R, row[good].mean(0) - along[good].mean() * x)
    return poses
