"""Input of the root-depth network: one person's joints in a square crop about them, and how large that crop is.

The crop is that of the camera turned to the person, on the plane at distance 1 from it. So a joint's place in the crop
does not depend on lens, resolution and place in the picture, and the side of the crop is the tangent of an angle.
Joints are those of ``halpe26`` by name; joints that a skeleton lacks, or that were not detected, are masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats, Ints
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.structures.view_track import ViewTrack

JOINTS: Skeleton = skeleton("halpe26")
FEATURES = 4
"""Numbers of a joint: x and y in half sides of the crop, its noise, and 1 if it was detected."""
REAL_SIDE_M = 2.0
"""Side of the square, in reality, that the crop is taken to show (S7, see ``distance_aware``)."""
_SAME: Mapping[str, str] = {"neck": "thorax"}  # other names of a joint in some skeletons
_ROOM = 1.25  # side of the crop over that of the smallest square around the joints
_NOISE_UNIT = 0.02  # of the crop's side: typical noise of a joint
_LEAST_JOINTS = 2  # one joint has no size
_FLATTEST = 0.1  # cosine between a ray and the crop's axis up to which the ray meets the crop's plane


@dataclass(frozen=True)
class PersonCrops:
    """T crops of one person."""

    node: NDArray[np.float32]
    """(T, 26, 4) see ``FEATURES``; 0 where a joint is missing."""
    side: Floats
    """(T,) side of the crop on the plane at distance 1; NaN without a crop."""
    axis: Floats
    """(T, 3) unit ray through the middle of the joints, NaN without a crop."""

    @property
    def k_m(self) -> Floats:
        """(T,) m, the distance at which a square of ``REAL_SIDE_M`` has the size of the crop."""
        return REAL_SIDE_M / self.side

    def mirrored(self) -> NDArray[np.float32]:
        """Return ``node`` of the mirror image of the person."""
        return np.asarray(self.node[:, JOINTS.mirror] * np.array([-1, 1, 1, 1], np.float32))


def joints_of(kind: Skeleton) -> Ints:
    """Index (26,) in a skeleton of each of ``JOINTS``; -1 = it has none."""
    names = {name: at for at, name in enumerate(kind.joints)}
    return np.array([names.get(name, names.get(_SAME.get(name, ""), -1)) for name in JOINTS.joints], np.int64)


def person_crops(track: ViewTrack) -> PersonCrops:
    """Return the crops of all frames of a track; frames with fewer than two of the joints have none."""
    index = joints_of(track.skeleton)
    have = np.maximum(index, 0)
    rays = np.where((index >= 0)[:, None], track.rays()[:, have], np.nan)
    angle = np.where(index >= 0, track.noise_rad()[:, have], np.nan)
    known = np.asarray(np.isfinite(rays).all(-1))
    enough = known.sum(-1) >= _LEAST_JOINTS
    axis = np.full((len(rays), 3), np.nan)
    total = np.where(known[..., None], rays, 0).sum(1)[enough]
    axis[enough] = total / np.linalg.norm(total, axis=-1, keepdims=True)
    turned = np.einsum("tba,tjb->tja", turns_to_rays(axis), rays)
    with np.errstate(invalid="ignore"):
        known &= turned[..., 2] > _FLATTEST
        flat = np.where(known[..., None], turned[..., :2] / turned[..., 2:], np.nan)
    return _crops(flat, angle, known, axis)


def _crops(flat: Floats, angle: Floats, known: Bools, axis: Floats) -> PersonCrops:
    """Crops around points (T, J, 2) of the plane at distance 1, with noise (T, J) rad."""
    low = np.where(known[..., None], flat, np.inf).min(1)
    high = np.where(known[..., None], flat, -np.inf).max(1)
    with np.errstate(invalid="ignore"):
        extent = np.where(np.isfinite(high - low), high - low, 0).max(-1)
        side = np.where((known.sum(-1) >= _LEAST_JOINTS) & (extent > 0), _ROOM * extent, np.nan)
        place = (flat - ((low + high) / 2)[:, None]) / (side / 2)[:, None, None]
        noise = np.log1p(angle / (_NOISE_UNIT * side[:, None]))
    there = known & np.isfinite(side)[:, None]
    node = np.concatenate([place, noise[..., None], np.ones((*known.shape, 1))], -1)
    node = np.where(there[..., None], np.nan_to_num(node), 0)
    return PersonCrops(node.astype(np.float32), side, np.where(np.isfinite(side)[:, None], axis, np.nan))
