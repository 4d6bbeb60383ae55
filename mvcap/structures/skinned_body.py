"""A body as a skinned mesh with a linear space of shapes: what body models make, and what is fitted to skeletons.

At rest every bone's axes are those of the body: it looks to -y, its left is +x, z is up. A pose is a rotation of each
bone about its head, relative to its parent's, and the position of the first bone's head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from calib.arrays import Floats, Ints

SIDES = ("left", "right")
GROUPS = ("pelvis", "spine", "neck", *(f"{side}_{part}" for part in
          ("shoulder", "arm", "forearm", "thigh", "shank", "foot") for side in SIDES))  # fmt: skip
"""Groups of bones that turn together; the bones of a spine share one rotation. ``pelvis`` is the first bone."""
_CARRIER = {"shoulder": "shoulder", "elbow": "arm", "wrist": "forearm", "thumb": "forearm", "index": "forearm",
            "pinky": "forearm", "knee": "thigh", "ankle": "shank", "toe": "foot", "heel": "foot"}  # fmt: skip
_TRUNK = {"pelvis": "pelvis", "left_hip": "pelvis", "right_hip": "pelvis", "neck": "spine", "thorax": "spine"}


def carrier(joint: str) -> str:
    """Return the group of bones that a joint of a skeleton moves with; the neck's for joints of the head."""
    if joint in _TRUNK:
        return _TRUNK[joint]
    side, _, rest = joint.partition("_")
    found = next((group for part, group in _CARRIER.items() if part in rest.split("_")), None)
    return f"{side}_{found}" if found and side in SIDES else "neck"


@dataclass(frozen=True, eq=False)
class LinearPoints:
    """Points (N, 3) m of the body at rest, and how each of S coefficients of the shape moves them (S, N, 3) m."""

    mean: Floats
    basis: Floats

    def at(self, shape: Floats) -> Floats:
        """Return the points (N, 3) m of a shape (S,)."""
        return np.asarray(self.mean + np.tensordot(shape, self.basis, 1))


@dataclass(frozen=True, eq=False)
class SkinnedBody:
    """A body of V vertices and B bones; coefficients of the shape have mean 0 and standard deviation 1 in people."""

    name: str
    vertices: LinearPoints
    faces: Ints
    """(F, 3) vertices of the triangles, counter-clockwise from outside."""
    heads: LinearPoints
    """Heads (B, 3) of the bones; parents come before their children."""
    parents: tuple[int, ...]
    """(B,), -1 for the first."""
    bone_names: tuple[str, ...]
    groups: tuple[tuple[str, float], ...]
    """(B,) group of ``GROUPS`` of each bone, "" for a bone that moves with its parent, and its share of the rotation.
    """
    bone_of: Ints
    """(V, K) bones that move each vertex, with ``weight`` (V, K), whose sum is 1."""
    weight: Floats
    joint_names: tuple[str, ...]
    joints: LinearPoints
    """Joints (J, 3) at rest, named as in the skeletons of ``mvcap.structures.skeleton``."""
    pose_basis: Floats | None = None
    """(9 (B - 1), V, 3) m that each entry of the bones' rotations less the identity adds to the vertices, or None."""
    scalable: bool = True
    """Whether people may be this body larger or smaller as a whole; not where its own shapes are to tell all."""

    @cached_property
    def group_bones(self) -> Mapping[str, tuple[int, ...]]:
        """Bones of each group that the body has, the outermost last."""
        found: dict[str, tuple[int, ...]] = {}
        for bone, (group, _) in enumerate(self.groups):
            if group:
                found[group] = (*found.get(group, ()), bone)
        return found

    @cached_property
    def joint_bones(self) -> Ints:
        """(J,) bone that each joint moves with."""
        return np.array([self.group_bones[carrier(name)][-1] for name in self.joint_names])

    def world(self, turns: Floats, root: Floats, heads: Floats) -> tuple[Floats, Floats]:
        """Return rotations (T, B, 3, 3) and heads (T, B, 3) m of the bones in the world.

        turns (T, B, 3, 3): rotations relative to the parents; root (T, 3) m: the first head; heads (B, 3) m at rest.
        """
        rotation, place = np.empty_like(turns), np.empty(turns.shape[:-1])
        for bone, parent in enumerate(self.parents):
            if parent < 0:
                rotation[:, bone], place[:, bone] = turns[:, bone], root
                continue
            rotation[:, bone] = rotation[:, parent] @ turns[:, bone]
            place[:, bone] = place[:, parent] + rotation[:, parent] @ (heads[bone] - heads[parent])
        return rotation, place

    def skin(self, turns: Floats, root: Floats, rest: Floats, heads: Floats) -> Floats:
        """Return vertices (V, 3) m of one pose, turns (B, 3, 3) and root (3,), by linear blend skinning.

        rest (V, 3) m: vertices of the shape; heads (B, 3) m.
        """
        rotation, place = (one[0] for one in self.world(turns[None], root[None], heads))
        if self.pose_basis is not None:
            rest = rest + np.tensordot((turns[1:] - np.eye(3)).ravel(), self.pose_basis, 1)
        shift = place - np.einsum("bij,bj->bi", rotation, heads)
        blended = self._skin_matrix @ np.concatenate([rotation.reshape(-1, 9), shift], 1)
        return np.asarray(np.einsum("vij,vj->vi", blended[:, :9].reshape(-1, 3, 3), rest) + blended[:, 9:])

    @cached_property
    def _skin_matrix(self) -> Any:
        """Sparse weights (V, B)."""
        from scipy.sparse import csr_array

        rows = np.repeat(np.arange(len(self.bone_of)), self.bone_of.shape[1])
        held = (self.weight.ravel(), (rows, self.bone_of.ravel()))
        return csr_array(held, shape=(len(self.bone_of), len(self.parents)))
