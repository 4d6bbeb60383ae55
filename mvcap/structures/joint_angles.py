"""Joint angles of poses: flexion of knees, elbows and hips, from the positions of three joints each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.poses import Poses3D

# The three joints of each angle: its vertex is the one in the middle.
_TRIPLES: Mapping[str, tuple[str, str, str]] = {
    f"{side}_{vertex}": (f"{side}_{above}", f"{side}_{vertex}", f"{side}_{below}")
    for above, vertex, below in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"), ("shoulder", "hip", "knee"))
    for side in ("left", "right")
}
ANGLES: tuple[str, ...] = tuple(_TRIPLES)
"""Names of the angles, which are those of the joints at their vertices: left and right knee, elbow and hip."""
_SHORTEST_M = 1e-6  # a segment shorter than this has no direction


def joint_angles(poses: Poses3D) -> NDArray[np.float64]:
    """Return the flexion (M, A) in degrees of each row at each of ``ANGLES``, 0 (straight) to 180 (folded).

    It is the angle by which the segment below the joint deviates from the straight continuation of the one above:
    hip-knee-ankle, shoulder-elbow-wrist, shoulder-hip-knee. Three positions give no sign: a hip that is extended
    backwards or spread sideways counts as flexed too. NaN where one of the three joints is missing, or the skeleton
    does not have it, and where two of them are in one place.
    """
    xyz = poses.xyz.astype(np.float64)
    out = np.full((len(poses), len(ANGLES)), np.nan)
    for column, names in enumerate(_TRIPLES.values()):
        if all(name in poses.skeleton.joints for name in names):
            above, vertex, below = (xyz[:, poses.skeleton.index(name)] for name in names)
            out[:, column] = _deviation_deg(vertex - above, below - vertex)
    return out


def _deviation_deg(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles (M,) in degrees between vectors (M, 3); NaN for vectors of no length."""
    # The arc tangent is exact for small angles too, where the arc cosine of a rounded 1 is not.
    across = np.linalg.norm(np.cross(first, second), axis=-1)
    angle = np.rad2deg(np.arctan2(across, (first * second).sum(-1)))
    shortest = np.minimum(np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1))
    return np.where(shortest > _SHORTEST_M, angle, np.nan)
