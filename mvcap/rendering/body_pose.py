"""A body's surface in motion: rotations of its segments from joints over time, and linear blend skinning.

The rotation of a segment brings its direction at rest to the direction between the motion's joints. About the direction
of a limb, the elbow or knee tells the rest: the upper limb is turned so that it bends as a hinge does, fully where the
bend is clear and less and less where the limb is stretched. Truth is never taken from the motion but from the posed
surface, whose bones are of its own lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.rendering.body_surface import JOINTS, BodySurface

SEGMENTS = (
    "pelvis", "chest", "head", "left_thigh", "right_thigh", "left_shank", "right_shank", "left_foot", "right_foot",
    "left_arm", "right_arm", "left_forearm", "right_forearm",
)  # fmt: skip
_BETWEEN = {  # bones between two segments, and the share of the second
    "spine05": ("pelvis", "chest", 0.15), "spine04": ("pelvis", "chest", 0.3), "spine03": ("pelvis", "chest", 0.5),
    "spine02": ("pelvis", "chest", 0.75), "neck01": ("chest", "head", 0.25), "neck02": ("chest", "head", 0.5),
    "neck03": ("chest", "head", 0.75),
}  # fmt: skip
_WHOLE = (("spine01", "chest"), ("clavicle", "chest"), ("shoulder", "chest"), ("head", "head"), ("eye", "head"),
          ("upperleg", "thigh"), ("lowerleg", "shank"), ("foot", "foot"), ("toe", "foot"), ("upperarm", "arm"),
          ("lowerarm", "forearm"), ("wrist", "forearm"), ("finger", "forearm"), ("metacarpal", "forearm"))  # fmt: skip
_SURE_BEND = 0.25  # sine of the bend beyond which a hinge alone tells how a limb is turned about itself
_SOLE_M = 0.03
Floats = NDArray[np.float64]


def segment_rotations(surface: BodySurface, joints: NDArray[np.floating]) -> Floats:
    """Rotations (T, 13, 3, 3) in the world from rest to joints (T, 26, 3), of ``SEGMENTS``."""
    at = {name: np.asarray(joints[:, index], np.float64) for index, name in enumerate(JOINTS.joints)}
    rest = {name: place[None] for name, place in surface.rest_joints.items()}
    out = {"pelvis": _matched(rest, at, _trunk("hip")), "chest": _matched(rest, at, _trunk("shoulder"))}
    out["head"] = _matched(rest, at, _face)
    for side in ("left", "right"):
        forward = np.array([0.0, -1.0, 0.0])
        for upper, lower, chain, trunk, bends in (
            ("arm", "forearm", ("shoulder", "elbow", "wrist"), "chest", forward),
            ("thigh", "shank", ("hip", "knee", "ankle"), "pelvis", -forward),
        ):
            a, b, c = (f"{side}_{joint}" for joint in chain)
            still = (rest[b] - rest[a], rest[c] - rest[b])
            moved = (at[b] - at[a], at[c] - at[b])
            out[f"{side}_{upper}"] = _hinged(still, moved, out[trunk], bends)
            out[f"{side}_{lower}"] = _swung(still[1], moved[1], out[f"{side}_{upper}"])
        out[f"{side}_foot"] = _matched(rest, at, _sole(side))
    return np.stack([out[name] for name in SEGMENTS], 1)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _frame(along: Floats, beside: Floats) -> Floats:
    """Right-handed frames (T, 3, 3), columns: along, across, and what is left of ``beside``."""
    x = _unit(along)
    z = _unit(beside - (beside * x).sum(-1, keepdims=True) * x)
    return np.stack([x, np.cross(z, x), z], -1)


def _matched(rest: Any, at: Any, frame: Any) -> Floats:
    return np.asarray(frame(at) @ np.swapaxes(frame(rest), -1, -2))


def _trunk(joint: str) -> Any:
    return lambda at: _frame(at[f"left_{joint}"] - at[f"right_{joint}"], at["neck"] - at["pelvis"])


def _face(at: Any) -> Floats:
    ears = 0.5 * (at["left_ear"] + at["right_ear"])
    ahead = at["nose"] - ears
    across = at["left_ear"] - at["right_ear"]
    return _frame(across, np.cross(ahead, across))


def _sole(side: str) -> Any:
    """Frame of a foot that stands flat at rest: heel and toes are taken as of one height there."""

    def frame(at: Any) -> Floats:
        toes = 0.5 * (at[f"{side}_big_toe"] + at[f"{side}_small_toe"])
        along, across = toes - at[f"{side}_heel"], at[f"{side}_small_toe"] - at[f"{side}_big_toe"]
        if len(along) == 1:
            along, across = along * (1, 1, 0), across * (1, 1, 0)
        across = across if side == "left" else -across
        return _frame(along, np.cross(along, across))

    return frame


def _turn_between(one: Floats, other: Floats) -> Floats:
    """Smallest rotations (T, 3, 3) from directions one (T, 3) to other (T, 3)."""
    one, other = np.broadcast_arrays(_unit(one), _unit(other))
    axis, cos = np.cross(one, other), (one * other).sum(-1)
    cross = np.zeros((*axis.shape, 3))
    for row, column, index, sign in (
        (0, 1, 2, -1),
        (0, 2, 1, 1),
        (1, 0, 2, 1),
        (1, 2, 0, -1),
        (2, 0, 1, -1),
        (2, 1, 0, 1),
    ):
        cross[..., row, column] = sign * axis[..., index]
    share = 1 / np.maximum(1 + cos, 1e-3)
    return _orthonormal(np.eye(3) + cross + cross @ cross * share[..., None, None])


def _orthonormal(matrices: Floats) -> Floats:
    u, _, vt = np.linalg.svd(matrices)
    return np.asarray(u @ vt)


def _swung(still: Floats, moved: Floats, parent: Floats) -> Floats:
    """Rotations of a segment that follows its parent's, then is turned the shortest way to its direction."""
    return np.asarray(
        _turn_between(np.einsum("tab,tb->ta", parent, np.broadcast_to(still, moved.shape)), moved) @ parent
    )


def _hinged(still: tuple[Floats, Floats], moved: tuple[Floats, Floats], parent: Floats, bends: Floats) -> Floats:
    """Rotations of an upper limb: to its direction, and about it so that the lower limb bends as a hinge does.

    still, moved: directions of upper and lower limb; bends: which way, at rest, the lower limb moves in a bend.
    """
    swing = _swung(still[0], moved[0], parent)
    axis, hinge, across = _about_limb(moved[0], np.einsum("tab,b->ta", swing, bends))
    ahead, beside = ((_unit(moved[1]) * way).sum(-1) for way in (hinge, across))
    rest = _about_limb(still[0], np.broadcast_to(bends, still[0].shape))
    ahead, beside = (
        found - (_unit(still[1]) * way).sum(-1) for found, way in zip((ahead, beside), rest[1:], strict=True)
    )
    bend = np.hypot(ahead, beside)
    doubt = _SURE_BEND * np.exp(-((bend / _SURE_BEND) ** 2))
    angle = np.arctan2(beside, ahead + doubt)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    turned = cos * hinge + sin * across
    frames = np.stack([axis, hinge, across], -1), np.stack([axis, turned, np.cross(axis, turned)], -1)
    return np.asarray(frames[1] @ np.swapaxes(frames[0], -1, -2) @ swing)


def _about_limb(limb: Floats, bends: Floats) -> tuple[Floats, Floats, Floats]:
    """Unit vectors (T, 3): along a limb, the way it bends, and across both."""
    axis = _unit(limb)
    hinge = _unit(bends - (bends * axis).sum(-1, keepdims=True) * axis)
    return axis, hinge, np.asarray(np.cross(axis, hinge))


def rotations_between(one: Floats, other: Floats, share: float) -> Floats:
    """Rotations (..., 3, 3) a share of the shortest way from one to other."""
    from scipy.spatial.transform import Rotation

    shape = one.shape
    step = Rotation.from_matrix((np.swapaxes(one, -1, -2) @ other).reshape(-1, 3, 3)).as_rotvec() * share
    return np.asarray((one.reshape(-1, 3, 3) @ Rotation.from_rotvec(step).as_matrix()).reshape(shape))


def _segment_of_bone(name: str) -> str:
    side = {"L": "left_", "R": "right_"}.get(name.rpartition(".")[2], "")
    for prefix, segment in _WHOLE:
        if name.startswith(prefix):
            return segment if segment in ("chest", "head") else side + segment
    return "pelvis"


@dataclass(frozen=True, eq=False)
class MovingBody:
    """A body and its motion: vertices at any time of it."""

    surface: BodySurface
    time_s: Floats
    """(T,) s, evenly spaced."""
    rotations: Floats
    """(T, 13, 3, 3) of ``SEGMENTS``."""
    root: Floats
    """(T, 3) m where the first bone's head is."""

    def at(self, time_s: float) -> tuple[Floats, Floats]:
        """Bones at a time: rotations (B, 3, 3) from rest, and positions (B, 3) m of their heads."""
        place = np.clip((time_s - self.time_s[0]) / (self.time_s[1] - self.time_s[0]), 0, len(self.time_s) - 1)
        low = min(int(place), len(self.time_s) - 2)
        share = float(place - low)
        turns = rotations_between(self.rotations[low], self.rotations[low + 1], share)
        root = self.root[low] + share * (self.root[low + 1] - self.root[low])
        return bones(self.surface, turns, root)

    def vertices(self, time_s: float, rest: NDArray[np.floating] | None = None) -> Floats:
        """Vertices (V, 3) m at a time; rest (V, 3): others than the surface's own, as of clothes on it."""
        return skinned(self.surface, *self.at(time_s), self.surface.rest if rest is None else rest)

    def joints(self, time_s: float) -> Floats:
        """Joints (26, 3) m, ``halpe26``, of the posed surface at a time."""
        return self.surface.joints(self.vertices(time_s))


def bones(surface: BodySurface, turns: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Rotations (B, 3, 3) and heads (B, 3) m of all bones, from segment rotations (13, 3, 3) and the root (3,) m."""
    at = dict(zip(SEGMENTS, turns, strict=True))
    rotation = np.empty((len(surface.bone_names), 3, 3))
    for index, name in enumerate(surface.bone_names):
        if name in _BETWEEN:
            one, other, share = _BETWEEN[name]
            rotation[index] = rotations_between(at[one], at[other], share)
        else:
            rotation[index] = at[_segment_of_bone(name)]
    heads = np.empty((len(rotation), 3))
    for index, parent in enumerate(surface.bone_parents):
        step = surface.bone_heads[index] - surface.bone_heads[parent]
        heads[index] = root if parent < 0 else heads[parent] + rotation[parent] @ step
    return rotation, heads


def skinned(surface: BodySurface, rotation: Floats, heads: Floats, rest: NDArray[np.floating]) -> Floats:
    """Vertices (V, 3) m of rest ones (V, 3): linear blend skinning by bones' rotations (B, 3, 3) and heads (B, 3)."""
    shift = heads - np.einsum("bij,bj->bi", rotation, surface.bone_heads)
    blended = _skin_matrix(surface) @ np.concatenate([rotation.reshape(-1, 9), shift], 1)
    turn = blended[:, :9].reshape(-1, 3, 3)
    return np.asarray(np.einsum("vij,vj->vi", turn, rest) + blended[:, 9:])


_MATRICES: dict[int, tuple[BodySurface, Any]] = {}


def _skin_matrix(surface: BodySurface) -> Any:
    """Sparse weights (V, B)."""
    from scipy.sparse import csr_array

    if id(surface) not in _MATRICES:
        rows = np.repeat(np.arange(len(surface.rest)), surface.bone_of.shape[1])
        held = (surface.weight.ravel(), (rows, surface.bone_of.ravel()))
        _MATRICES[id(surface)] = (surface, csr_array(held, shape=(len(surface.rest), len(surface.bone_names))))
    return _MATRICES[id(surface)][1]


def moving_body(surface: BodySurface, time_s: Floats, joints: NDArray[np.floating], low_m: Floats) -> MovingBody:
    """Pose a body by joints (T, 26, 3) m at times (T,); its lowest part is low_m (T,) above the floor z = 0."""
    turns = segment_rotations(surface, joints)
    root = np.empty((len(time_s), 3))
    some = _low_vertices(surface)
    hips = np.flatnonzero(surface.regressor[JOINTS.joints.index("pelvis")])
    weights = surface.regressor[JOINTS.joints.index("pelvis"), hips]
    pelvis = np.asarray(joints[:, JOINTS.joints.index("pelvis")], np.float64)
    chosen = np.union1d(some, hips)
    part = _part_of_surface(surface, chosen)
    for index in range(len(time_s)):
        placed = skinned(part, *bones(part, turns[index], np.zeros(3)), part.rest)
        middle = weights @ placed[np.searchsorted(chosen, hips)]
        root[index, :2] = pelvis[index, :2] - middle[:2]
        root[index, 2] = low_m[index] - placed[:, 2].min()
    return MovingBody(surface, np.asarray(time_s, np.float64), turns, root)


def _low_vertices(surface: BodySurface) -> NDArray[np.int64]:
    """Vertices that tell where a body's lowest part is: all of the soles, and one in twenty elsewhere."""
    sole = surface.rest[:, 2] < surface.rest[:, 2].min() + _SOLE_M
    return np.union1d(np.flatnonzero(sole), np.arange(0, len(surface.rest), 20))


def _part_of_surface(surface: BodySurface, chosen: NDArray[np.int64]) -> BodySurface:
    """Return some vertices of a body, which move as they do in it; it has no triangles and no joints."""
    nothing = np.zeros((len(surface.regressor), len(chosen)))
    return BodySurface(
        surface.rest[chosen], np.zeros((0, 3), np.uint32), surface.bone_heads, surface.bone_parents, surface.bone_names,
        surface.bone_of[chosen], surface.weight[chosen], nothing,
    )  # fmt: skip
