"""Read-out of occlusion-robust pose maps: people's joints in 3D from maps and their joints in 2D.

Such maps hold, at the pixel of a joint, the positions relative to the root of all joints that are read there: every
joint at the neck and the pelvis, a limb's joints at each joint of that limb, so that a hidden wrist can be read at the
elbow. Where people meet, the nearer one is written. The whole body is read at the neck or the pelvis; then each limb is
read again at the joint farthest out that is detected and lies apart from other people. Source: D. Mehta et al.,
"Single-Shot Multi-Person 3D Pose Estimation From Monocular RGB", 3DV 2018; its two thresholds are not published there,
those here are our own choice (`tools/bench seeds` has a table of others).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from mvcap.errors import ConfigError
from mvcap.structures.skeleton import skeleton

MAPS_SKELETON = skeleton("panoptic19")
"""Joints of the maps: those of CMU Panoptic, which have neck and pelvis."""


def _joints(*names: str) -> tuple[int, ...]:
    return tuple(MAPS_SKELETON.index(name) for name in names)


ROOT_JOINT, NECK_JOINT = _joints("pelvis", "neck")
LIMB_CHAINS: tuple[tuple[int, ...], ...] = tuple(
    _joints(*(f"{side}_{part}" for part in parts))
    for side in ("left", "right")
    for parts in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
)
"""Joints of arms and legs, from the trunk outwards."""
HEAD_JOINTS = _joints("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_ORDER = (*(chain[::-1] for chain in LIMB_CHAINS), HEAD_JOINTS)
"""Where limbs and head are read: the joint farthest out first."""


@dataclass(frozen=True)
class ReadOutConfig:
    """Settings of the read-out."""

    least_confidence: float = 0.1
    """Confidence of a 2D joint above which it is a place to read at: t_C of the source."""
    apart_cells: float = 3.0
    """Least distance from places of other people where the same joints are read, cells: t_D of the source."""

    def __post_init__(self) -> None:
        if not (0 <= self.least_confidence <= 1 and self.apart_cells >= 0):
            raise ConfigError("the read-out needs 'least_confidence' from 0 to 1 and 'apart_cells' of 0 or more")


@dataclass(frozen=True, eq=False)
class PoseReadings:
    """P people as read from the maps."""

    joints: Floats
    """(P, J, 3) m along the camera's axes, about the root; NaN where nothing was read."""
    read_at: NDArray[np.int64]
    """(P, J) joint at whose pixel each joint was read, -1 = none."""


def read_out_joints(joint: int) -> tuple[int, ...]:
    """Return the joints at whose pixels a joint's position is written: itself, its limb or head, neck and pelvis."""
    group = next((limb for limb in (*LIMB_CHAINS, HEAD_JOINTS) if joint in limb), (joint,))
    return tuple(dict.fromkeys((*group, NECK_JOINT, ROOT_JOINT)))


def map_cells(xy: Floats, stride: float) -> Floats:
    """Return pixels (..., 2) in cells of maps of so many pixels a cell: the middle of the first cell is 0."""
    return np.asarray((np.asarray(xy) + 0.5) / stride - 0.5)


def read_pose_maps(maps: Floats, cells: Floats, confidence: Floats, config: ReadOutConfig) -> PoseReadings:
    """Return the people whose joints in 2D are given, as occlusion-robust pose maps say.

    maps: (J, 3, h, w) m relative to the root, NaN where nothing is stated. cells: (P, J, 2) joints in 2D, in cells of
    the maps (column, row; the middle of the first is 0), NaN where missing; confidence: (P, J) 0..1. A person without
    confident neck and pelvis is not read. ValueError for other shapes.
    """
    joints = len(MAPS_SKELETON)
    if maps.ndim != 4 or maps.shape[:2] != (joints, 3) or cells.shape[1:] != (joints, 2):
        raise ValueError(f"maps {maps.shape} and joints {cells.shape} are not those of {MAPS_SKELETON.name}")
    out = read_base_poses(maps, cells, confidence, config)
    for limb in _ORDER:
        apart = _apart_from_others(cells, read_out_joints(limb[0]), config)
        for person in np.flatnonzero(out.read_at.max(1, initial=-1) >= 0):
            for at in limb:
                if confidence[person, at] > config.least_confidence and apart[person, at]:
                    read = _read(maps, limb, cells[person, at])
                    if np.isfinite(read).all():
                        out.joints[person, list(limb)], out.read_at[person, list(limb)] = read, at
                        break
    return out


def read_base_poses(maps: Floats, cells: Floats, confidence: Floats, config: ReadOutConfig) -> PoseReadings:
    """Return whole bodies read at the neck, else at the pelvis; a place apart from other people comes first.

    Arguments as for ``read_pose_maps``, which then reads limbs again.
    """
    people, joints = cells.shape[:2]
    out = PoseReadings(np.full((people, joints, 3), np.nan), np.full((people, joints), -1, np.int64))
    apart = _apart_from_others(cells, (NECK_JOINT, ROOT_JOINT), config)
    whole = tuple(range(joints))
    for person in range(people):
        known = [at for at in (NECK_JOINT, ROOT_JOINT) if confidence[person, at] > config.least_confidence]
        for at in sorted(known, key=lambda at: not apart[person, at]):
            read = _read(maps, whole, cells[person, at])
            stated = np.isfinite(read).all(-1)
            if stated.any():
                out.joints[person, stated], out.read_at[person, stated] = read[stated], at
                break
    return out


def _apart_from_others(cells: Floats, places: Sequence[int], config: ReadOutConfig) -> Bools:
    """Which joints (P, J) are far enough from all other people's joints ``places``, where the same maps are written."""
    others = cells[:, list(places)]
    away = np.linalg.norm(cells[:, :, None, None] - others[None, None], axis=-1)  # (P, J, P, K)
    own = np.eye(len(cells), dtype=np.bool_)[:, None, :, None]
    away = np.where(own | ~np.isfinite(away), np.inf, away)
    return np.asarray(away.min((2, 3), initial=np.inf) >= config.apart_cells)


def _read(maps: Floats, joints: Sequence[int], cell: Floats) -> Floats:
    """Values (K, 3) m of joints at the cell nearest to a place (2,); NaN outside of the maps."""
    if not np.isfinite(cell).all():
        return np.full((len(joints), 3), np.nan)
    column, row = np.rint(cell).astype(int)
    if not (0 <= row < maps.shape[2] and 0 <= column < maps.shape[3]):
        return np.full((len(joints), 3), np.nan)
    return np.asarray(maps[list(joints), :, row, column], np.float64)
