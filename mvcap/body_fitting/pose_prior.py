"""What is likely of a pose without any measurement: how far groups of bones turn, and limits of elbows and knees.

Rotations are normally distributed about the rest pose; a knee and an elbow turn freely about their hinge and little
about other axes, which also tells how an upper limb is turned about itself. Limits of hinges: elbow and knee bend up to
about 150 degrees (Norkin and White, "Measurement of Joint Motion", 5th ed.); beyond them the cost grows with the square
of the angle, without a step. The spreads are those that these limits and daily motion suggest, not fitted to data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats
from mvcap.structures.skinned_body import GROUPS, SIDES, SkinnedBody

_SPREAD = {"spine": 0.5, "neck": 0.5, "shoulder": 0.15, "arm": 1.3, "forearm": 0.3, "thigh": 1.0, "shank": 0.12,
           "foot": 0.4}  # fmt: skip
_HINGE_SPREAD = 1.5
_LOWEST, _HIGHEST, _LIMIT_SPREAD = -0.1, 2.6, 0.1  # of a hinge, rad from the straight limb
_HINGES = {"forearm": ("shoulder", "elbow", "wrist", -1.0), "shank": ("hip", "knee", "ankle", 1.0)}
"""Lower limb: the joints of the limb, and which way along y the lower limb moves in a bend at rest."""


@dataclass(frozen=True, eq=False)
class PosePrior:
    """Prior of the rotation vectors of G groups of bones."""

    axes: Floats
    """(G, 3, 3) rows: axes of each group, a hinge's first."""
    spread: Floats
    """(G, 3) rad, standard deviation about each axis."""
    hinged: Bools
    """(G,)"""
    bend: Floats
    """(G,) rad, how far a hinge is bent at rest."""

    def residuals(self, turn: Floats) -> tuple[Floats, Floats]:
        """Return residuals (T, 4 G), in standard deviations, of rotation vectors (T, G, 3), and how they change.

        The second array (T, 4 G, 3 G) is the derivative by the rotation vectors.
        """
        frames, groups = turn.shape[:2]
        about = np.einsum("gaj,tgj->tga", self.axes, turn)
        beyond, beyond_slope = self.limits(turn)
        residual = np.concatenate([about / self.spread, beyond[..., None]], -1)
        slope = np.zeros((frames, groups, 4, groups, 3))
        some = np.arange(groups)
        slope[:, some, :3, some] = (self.axes / self.spread[..., None])[:, None]
        slope[:, :, 3] = beyond_slope.reshape(frames, groups, groups, 3)
        return residual.reshape(frames, -1), slope.reshape(frames, 4 * groups, 3 * groups)

    def limits(self, turn: Floats) -> tuple[Floats, Floats]:
        """Return how far hinges are beyond their limits (T, G), in standard deviations, and its derivative.

        The second array (T, G, 3 G) is the derivative by the rotation vectors (T, G, 3).
        """
        frames, groups = turn.shape[:2]
        angle = np.einsum("gj,tgj->tg", self.axes[:, 0], turn) + self.bend
        beyond = np.where(angle > _HIGHEST, angle - _HIGHEST, np.minimum(angle - _LOWEST, 0)) * self.hinged
        slope = np.zeros((frames, groups, groups, 3))
        some = np.arange(groups)
        slope[:, some, some] = (beyond != 0)[..., None] * self.axes[:, 0] / _LIMIT_SPREAD
        return beyond / _LIMIT_SPREAD, slope.reshape(frames, groups, 3 * groups)


def pose_prior(body: SkinnedBody, groups: tuple[str, ...]) -> PosePrior:
    """Return the prior of a body's groups of bones, without the pelvis."""
    at = dict(zip(body.joint_names, body.joints.mean, strict=True))
    axes, spread = np.tile(np.eye(3), (len(groups), 1, 1)), np.ones((len(groups), 3))
    hinged, bend = np.zeros(len(groups), np.bool_), np.zeros(len(groups))
    for index, group in enumerate(groups):
        part = group.rpartition("_")[2]
        spread[index] = _SPREAD[part]
        side = group.partition("_")[0]
        if part not in _HINGES or side not in SIDES:
            continue
        *chain, ahead = _HINGES[part]
        a, b, c = (at[f"{side}_{joint}"] for joint in chain)
        upper, lower = _unit(b - a), _unit(c - b)
        way = np.array([0.0, ahead, 0.0])
        hinge = _unit(np.cross(upper, way))
        third = _unit(np.cross(hinge, lower))
        axes[index] = hinge, np.cross(third, hinge), third
        spread[index, 0] = _HINGE_SPREAD
        hinged[index] = True
        bend[index] = np.arctan2(np.cross(upper, lower) @ hinge, upper @ lower)
    return PosePrior(axes, spread, hinged, bend)


def posed_groups(body: SkinnedBody) -> tuple[str, ...]:
    """Return the groups of bones of a body that turn, without the pelvis."""
    return tuple(group for group in GROUPS[1:] if group in body.group_bones)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
