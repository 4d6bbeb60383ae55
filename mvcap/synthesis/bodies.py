"""Synthetic bodies: segment lengths of a person, and forward kinematics from segment rotations to joints.

A body is a tree of joints (the 26 of ``halpe26`` and the spine, about which the chest turns) on 13 rigid segments. At
rest it stands, arms hanging: x forward, y left, z up.

Parts as shares of stature: Winter, "Biomechanics and Motor Control of Human Movement", 4th ed., fig. 4.1 (hips at
0.530, shoulders at 0.818, eyes at 0.936, upper arm 0.186, forearm 0.146, thigh 0.245, shank 0.246, foot 0.152).
Statures of men and women: Fryar et al., "Anthropometric Reference Data for Children and Adults: United States,
2015-2018", Vital Health Stat 3(46), 2021. Spreads of shares: standard deviations of segment lengths over stature in
Gordon et al., "2012 Anthropometric Survey of U.S. Army Personnel", are 2 to 5 %; estimators differ most in their
definition of hips and shoulders, so these vary more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.skeleton import skeleton

HALPE = skeleton("halpe26")
JOINTS = (*HALPE.joints, "spine")
SEGMENTS = (
    "pelvis", "chest", "head", "left_thigh", "right_thigh", "left_shank", "right_shank", "left_foot", "right_foot",
    "left_arm", "right_arm", "left_forearm", "right_forearm",
)  # fmt: skip
_SIDES = ("left", "right")
# Joint -> its parent joint and the segment between the two.
_TREE = {
    "pelvis": ("pelvis", "pelvis"), "spine": ("pelvis", "pelvis"), "neck": ("spine", "chest"),
    **dict.fromkeys(("nose", "head_top", "left_eye", "right_eye", "left_ear", "right_ear"), ("neck", "head")),
    **{f"{s}_{joint}": (parent if parent in ("pelvis", "neck") else f"{s}_{parent}",
                        segment if segment in ("pelvis", "chest") else f"{s}_{segment}")
       for s in _SIDES for joint, parent, segment in (
           ("hip", "pelvis", "pelvis"), ("knee", "hip", "thigh"), ("ankle", "knee", "shank"),
           ("big_toe", "ankle", "foot"), ("small_toe", "ankle", "foot"), ("heel", "ankle", "foot"),
           ("shoulder", "neck", "chest"), ("elbow", "shoulder", "arm"), ("wrist", "elbow", "forearm"))},
}  # fmt: skip
CARRIER = np.array([SEGMENTS.index(_TREE[joint][1]) for joint in JOINTS])
"""(27,) segment between each joint and its parent, whose rotation moves the joint."""
_STIFF = [np.flatnonzero(segment == CARRIER) for segment in np.flatnonzero(np.bincount(CARRIER) > 2)]
CLEARANCE = np.array([{"ankle": 0.05, "toe": 0.01, "heel": 0.01, "wrist": 0.03, "elbow": 0.04, "knee": 0.05,
                       "hip": 0.09, "pelvis": 0.1, "shoulder": 0.07, "top": 0.0, "neck": 0.06}.get(
                           joint.split("_")[-1], 0.0) for joint in HALPE.joints])  # fmt: skip
"""(26,) m of soft tissue between a joint and the floor that its part lies on, in a body of 1.72 m."""

_SHARE_SPREAD, _SIDES_SPREAD = 0.035, 0.006


def joint_index(joint: str) -> int:
    """Index of a joint in ``JOINTS``."""
    return JOINTS.index(joint)


def _ancestors() -> NDArray[np.float64]:
    """(27, 27) ones where the column's joint is on the path from the pelvis to the row's, itself included."""
    out = np.zeros((len(JOINTS), len(JOINTS)))
    for row, name in enumerate(JOINTS):
        joint = name
        while joint != "pelvis":
            out[row, joint_index(joint)] = 1
            joint = _TREE[joint][0]
    return out


_ANCESTORS = _ancestors()
_MIRROR = np.array([*HALPE.mirror, len(HALPE)])


@dataclass(frozen=True, eq=False)
class GeneratedBody:
    """One person's body."""

    stature_m: float
    offset: NDArray[np.float64]
    """(27, 3) m from each joint's parent to it, in the frame of the segment between them."""

    @cached_property
    def length(self) -> NDArray[np.float64]:
        """(27,) m distance of each joint from its parent."""
        return np.asarray(np.linalg.norm(self.offset, axis=-1))

    @cached_property
    def leg_m(self) -> float:
        """Hip to ankle of the left leg, stretched."""
        return float(self.length[[joint_index("left_knee"), joint_index("left_ankle")]].sum())

    @cached_property
    def arm_m(self) -> float:
        """Shoulder to wrist of the left arm, stretched."""
        return float(self.length[[joint_index("left_elbow"), joint_index("left_wrist")]].sum())

    @cached_property
    def ankle_m(self) -> float:
        """Height of the ankles above the floor that the feet stand on."""
        heel = self.offset[[joint_index("left_heel"), joint_index("left_big_toe")], 2]
        return float(self.clearance[HALPE.index("left_heel")] - heel.min())

    @cached_property
    def clearance(self) -> NDArray[np.float64]:
        """(26,) m of soft tissue between a joint and the floor."""
        return CLEARANCE * self.stature_m / 1.72


def body(stature_m: float, share: dict[str, float]) -> GeneratedBody:
    """Body of a stature with shares of it: ``shoulders``, ``hips`` (apart), ``trunk``, ``arm``, ``forearm``, ``thigh``,
    ``shank``, ``foot``, ``ankle``; a key ``left_arm`` is for one side.
    """
    offset = dict.fromkeys(JOINTS, (0.0, 0.0, 0.0))
    trunk, foot, head = share["trunk"], share["foot"], share["head"]
    offset |= {"spine": (0, 0, 0.5 * trunk), "neck": (-0.006, 0, 0.5 * trunk), "nose": (0.068 * head, 0, 0.098 * head),
               "head_top": (0.012 * head, 0, 0.182 * head)}  # fmt: skip
    for side, y in zip(_SIDES, (1, -1), strict=True):
        own = {name: share.get(f"{side}_{name}", share.get(name, 0.0)) for name in ("arm", "forearm", "thigh", "shank")}
        offset |= {
            f"{side}_eye": (0.054 * head, 0.018 * y, 0.118 * head), f"{side}_ear": (0.0, 0.042 * y, 0.106 * head),
            f"{side}_hip": (0, y * share["hips"] / 2, 0), f"{side}_shoulder": (0, y * share["shoulders"] / 2, 0),
            f"{side}_knee": (0, 0, -own["thigh"]), f"{side}_ankle": (0, 0, -own["shank"]),
            f"{side}_elbow": (0, 0, -own["arm"]), f"{side}_wrist": (0, 0, -own["forearm"]),
            f"{side}_heel": (-0.28 * foot, 0, -share["ankle"] * 0.8),
            f"{side}_big_toe": (0.66 * foot, -0.1 * y * foot, -share["ankle"] * 0.8),
            f"{side}_small_toe": (0.5 * foot, 0.24 * y * foot, -share["ankle"] * 0.8),
        }  # fmt: skip
    return GeneratedBody(stature_m, stature_m * np.array([offset[joint] for joint in JOINTS], dtype=np.float64))


def random_build(rng: np.random.Generator) -> GeneratedBody:
    """Random body of a man, a woman or, rarely, a child."""
    man, child = rng.random() < 0.5, rng.random() < 0.06
    stature = rng.normal(1.754, 0.075) if man else rng.normal(1.615, 0.07)
    stature = rng.uniform(1.05, 1.5) if child else float(np.clip(stature, 1.42, 2.05))
    share = {"trunk": 0.288, "arm": 0.186, "forearm": 0.146, "thigh": 0.245, "shank": 0.246, "ankle": 0.039,
             "foot": 0.152, "head": 1.0}  # fmt: skip
    share = {name: value * (1 + _SHARE_SPREAD * rng.normal()) for name, value in share.items()}
    share["shoulders"] = float(np.clip(rng.normal(0.218 if man else 0.206, 0.012), 0.17, 0.26))
    share["hips"] = float(np.clip(rng.normal(0.118 if man else 0.124, 0.018), 0.085, 0.18))
    if child:
        grown = (stature - 1.05) / 0.45
        share["head"] *= 1.3 - 0.22 * grown  # a child's head is almost as large as an adult's
        for name in ("thigh", "shank"):
            share[name] *= 0.93 + 0.05 * grown
    for name in ("arm", "forearm", "thigh", "shank"):
        share[f"left_{name}"] = share[name] * (1 + _SIDES_SPREAD * rng.normal())
    return body(stature, share)


def carry_forward(build: GeneratedBody, turns: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors (T, 27, 3) m from the parents of a body's joints to the joints.

    turns (T, 13, 3, 3): rotations of the segments in the world.
    """
    return np.asarray(np.matmul(turns[:, CARRIER], build.offset[:, :, None])[..., 0])


def assemble(root: NDArray[np.floating], vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Joints (T, 26, 3) of bodies with the pelvis at ``root`` (T, 3), from vectors (T, 27, 3) of ``carry_forward``."""
    return np.asarray(root[:, None] + np.matmul(_ANCESTORS[: len(HALPE)], vectors))


def blend(
    build: GeneratedBody, one: NDArray[np.floating], other: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Vectors (T, 27, 3) between two postures of a body, segments kept rigid; weight (T,) of the second."""
    cos = (one * other).sum(-1) / np.maximum(build.length, 1e-9) ** 2
    angle, part = np.arccos(np.clip(cos, -1 + 1e-6, 1 - 1e-6)), weight[:, None]
    mixed = np.sin((1 - part) * angle)[..., None] * one + np.sin(part * angle)[..., None] * other
    mixed *= (build.length / np.maximum(np.linalg.norm(mixed, axis=-1), 1e-9))[..., None]
    for joints in _STIFF:
        turn = _nearest_turn(build.offset[joints], mixed[:, joints])
        mixed[:, joints] = np.einsum("tab,jb->tja", turn, build.offset[joints])
    return np.asarray(mixed)


def _nearest_turn(offset: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations (T, 3, 3) that bring offsets (K, 3) closest to vectors (T, K, 3) (Kabsch, Acta Cryst. A32, 1976)."""
    u, _, vt = np.linalg.svd(np.einsum("tja,jb->tab", vectors, offset))
    u[..., -1] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[:, None]
    return np.asarray(u @ vt)


def mirror_vectors(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors (T, 27, 3) or joints (T, 26, 3) of the mirror image: left and right swapped, y negated."""
    return np.asarray(vectors[:, _MIRROR[: vectors.shape[1]]] * np.array([1.0, -1.0, 1.0]))


def lowest_point(build: GeneratedBody, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Height (T,) m above z = 0 of the lowest part of a body with joints (T, 26, 3)."""
    return np.asarray((xyz[..., 2] - build.clearance).min(-1))
