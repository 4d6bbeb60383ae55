"""Skeletons: named joints, bones, mirror pairs, and the conversion of one skeleton to another.

Joint names are shared by all skeletons, so conversion is by name. A joint that the source lacks but that can be derived
from others (the pelvis as the midpoint of the hips) is a weighted sum of them; any other joint is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError

# Derived joints as weighted sums of other joints. Head points: VoxelPose's rule for COCO on Campus.
_EARS = {"left_ear": 0.5, "right_ear": 0.5}
DERIVED: Mapping[str, Mapping[str, float]] = {
    "pelvis": {"left_hip": 0.5, "right_hip": 0.5},
    "neck": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "thorax": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "head_bottom": {"left_ear": 0.25, "right_ear": 0.25, "left_shoulder": 0.25, "right_shoulder": 0.25},
    "head_top": {"left_ear": 0.75, "right_ear": 0.75, "left_shoulder": -0.25, "right_shoulder": -0.25},
}

# Standard deviation of a careful annotator divided by the square root of the body's area (COCO's keypoint
# evaluation; feet and hands from COCO-WholeBody). An estimator's own factor multiplies it.
ANNOTATOR_SIGMA: Mapping[str, float] = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "mouth": 0.026, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089, "toe": 0.068, "heel": 0.066, "pinky": 0.062, "index": 0.062,
    "thumb": 0.062, "neck": 0.079, "thorax": 0.079, "pelvis": 0.107, "head": 0.060,
}  # fmt: skip

# Segments whose length does not change with the pose.
_RIGID = (
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"), ("left_hip", "right_hip"),
)  # fmt: skip
_LIMBS = (*_RIGID, ("left_shoulder", "right_shoulder"))
_TORSO = (("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"))
_NECK = (("neck", "left_shoulder"), ("neck", "right_shoulder"), ("neck", "pelvis"), ("pelvis", "left_hip"),
         ("pelvis", "right_hip"))  # fmt: skip
_FACE = (("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"))
_FEET = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("ankle", "heel"), ("ankle", "big_toe"), ("heel", "big_toe"), ("big_toe", "small_toe"))
)
_HANDS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("wrist", "pinky"), ("wrist", "index"), ("wrist", "thumb"), ("pinky", "index"))
)
_HEAD = (("neck", "nose"), ("neck", "head_bottom"), ("head_bottom", "head_top"), ("neck", "head_top"),
         ("neck", "head"), ("thorax", "head"))  # fmt: skip
_ALL_BONES = (*_LIMBS, *_TORSO, *_NECK, *_FACE, *_FEET, *_HANDS, *_HEAD)


@dataclass(frozen=True)
class Skeleton:
    """Joints in order, the bones between them, and each joint's mirror partner."""

    name: str
    joints: tuple[str, ...]
    bones: NDArray[np.int64] = field(repr=False, compare=False)
    """(B, 2) joint indices."""
    root: str = "pelvis"

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Return the index of a joint by name; ValueError if the skeleton lacks it."""
        return self.joints.index(joint)

    @cached_property
    def mirror(self) -> NDArray[np.int64]:
        """(J,) index of the joint on the other side of the body; a joint on the midline has its own index."""
        swap = {"left": "right", "right": "left"}
        partner = ["_".join(swap.get(part, part) for part in joint.split("_")) for joint in self.joints]
        return np.array([self.joints.index(p) if p in self.joints else j for j, p in enumerate(partner)])

    @cached_property
    def limbs(self) -> NDArray[np.int64]:
        """(B', 2) joint indices of the bones whose length is constant in a person, in every pose."""
        have = set(self.joints)
        pairs = [(self.index(a), self.index(b)) for a, b in _RIGID if a in have and b in have]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def sigma(self) -> NDArray[np.float64]:
        """(J,) standard deviation of an annotator for each joint, divided by the square root of the body's area."""
        return np.array([_sigma_of(joint) for joint in self.joints])

    @cached_property
    def body(self) -> NDArray[np.int64]:
        """(K,) indices of the ends of limbs, nose, ears and top of the head: each body part once, no facial detail."""
        head = {"nose", "left_ear", "right_ear", "head_top"}
        ends = set(self.limbs.ravel().tolist())
        return np.array([j for j, joint in enumerate(self.joints) if j in ends or joint in head], dtype=np.int64)

    @cached_property
    def body_part(self) -> Skeleton:
        """Skeleton of the joints ``body``, with the bones between them."""
        position = {int(joint): at for at, joint in enumerate(self.body)}
        bones = [(position[a], position[b]) for a, b in self.bones.tolist() if a in position and b in position]
        names = tuple(self.joints[joint] for joint in position)
        return Skeleton(f"part of {self.name}", names, np.array(bones, dtype=np.int64).reshape(-1, 2), self.root)

    @cached_property
    def torso(self) -> NDArray[np.int64]:
        """(K,) indices of hips, shoulders, pelvis and neck, the joints detected most often and moving least."""
        names = ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "pelvis", "neck")
        return np.array([j for j, joint in enumerate(self.joints) if joint in names], dtype=np.int64)

    def convert(self, to: Skeleton) -> NDArray[np.float64]:
        """Return the matrix (J_to, J) that converts this skeleton to another; unavailable joints are rows of NaN."""
        matrix = np.zeros((len(to), len(self)))
        for row, joint in enumerate(to.joints):
            recipe = {joint: 1.0} if joint in self.joints else DERIVED.get(joint, {})
            if not recipe or any(source not in self.joints for source in recipe):
                matrix[row] = np.nan
                continue
            for source, weight in recipe.items():
                matrix[row, self.index(source)] = weight
        return matrix

    def apply(self, to: Skeleton, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Convert joint positions (..., J, D) to another skeleton (..., J_to, D); NaN if a source joint is missing."""
        matrix = self.convert(to)
        shape = (*values.shape[:-2], len(to), values.shape[-1])
        out = np.full(shape, np.nan, dtype=values.dtype)
        for row in np.flatnonzero(np.isfinite(matrix[:, 0])):
            sources = np.flatnonzero(matrix[row])
            out[..., row, :] = np.einsum("k,...kd->...d", matrix[row, sources], values[..., sources, :])
        return out


def _sigma_of(joint: str) -> float:
    parts = set(joint.split("_"))
    for name, value in ANNOTATOR_SIGMA.items():
        if name in parts:
            return value
    raise KeyError(f"no annotator sigma for joint {joint!r}")


def _make(name: str, joints: str) -> Skeleton:
    expanded = [j.replace("L.", "left_").replace("R.", "right_") for j in joints.split()]
    have = set(expanded)
    bones = [(expanded.index(a), expanded.index(b)) for a, b in _ALL_BONES if a in have and b in have]
    return Skeleton(name, tuple(expanded), np.array(bones, dtype=np.int64).reshape(-1, 2))


_SHELF = """R.ankle R.knee R.hip L.hip L.knee L.ankle R.wrist R.elbow R.shoulder L.shoulder L.elbow L.wrist
            head_bottom head_top"""

SKELETONS: Mapping[str, Skeleton] = {
    s.name: s
    for s in (
        _make("blazepose33", """nose L.eye_inner L.eye L.eye_outer R.eye_inner R.eye R.eye_outer L.ear R.ear
              mouth_left mouth_right L.shoulder R.shoulder L.elbow R.elbow L.wrist R.wrist L.pinky R.pinky L.index
              R.index L.thumb R.thumb L.hip R.hip L.knee R.knee L.ankle R.ankle L.heel R.heel L.big_toe R.big_toe"""),
        _make("coco17", """nose L.eye R.eye L.ear R.ear L.shoulder R.shoulder L.elbow R.elbow L.wrist R.wrist
              L.hip R.hip L.knee R.knee L.ankle R.ankle"""),
        _make("body25", """nose neck R.shoulder R.elbow R.wrist L.shoulder L.elbow L.wrist pelvis R.hip R.knee R.ankle
              L.hip L.knee L.ankle R.eye L.eye R.ear L.ear L.big_toe L.small_toe L.heel R.big_toe R.small_toe
              R.heel"""),
        _make("body25b", """nose L.eye R.eye L.ear R.ear L.shoulder R.shoulder L.elbow R.elbow L.wrist R.wrist
              L.hip R.hip L.knee R.knee L.ankle R.ankle neck head_top L.big_toe L.small_toe L.heel R.big_toe R.small_toe
              R.heel"""),
        _make("halpe26", """nose L.eye R.eye L.ear R.ear L.shoulder R.shoulder L.elbow R.elbow L.wrist R.wrist
              L.hip R.hip L.knee R.knee L.ankle R.ankle head_top neck pelvis L.big_toe R.big_toe L.small_toe R.small_toe
              L.heel R.heel"""),
        _make("mpii16", """R.ankle R.knee R.hip L.hip L.knee L.ankle pelvis thorax head_bottom head_top R.wrist R.elbow
              R.shoulder L.shoulder L.elbow L.wrist"""),
        _make("panoptic19", """neck nose pelvis L.shoulder L.elbow L.wrist L.hip L.knee L.ankle R.shoulder R.elbow
              R.wrist R.hip R.knee R.ankle L.eye L.ear R.eye R.ear"""),
        _make("shelf14", _SHELF),
        _make("shelf15", _SHELF + " pelvis"),
        _make("skel19", """pelvis neck R.hip L.hip nose R.shoulder L.shoulder R.knee L.knee R.ear L.ear R.elbow L.elbow
              R.ankle L.ankle R.wrist L.wrist R.big_toe L.big_toe"""),
        _make("mvor10", "head neck L.shoulder R.shoulder L.hip R.hip L.elbow R.elbow L.wrist R.wrist"),
        _make("humaneva15", """pelvis thorax L.shoulder L.elbow L.wrist R.shoulder R.elbow R.wrist L.hip L.knee L.ankle
              R.hip R.knee R.ankle head"""),
    )
}  # fmt: skip


def skeleton(name: str) -> Skeleton:
    """Return a skeleton by name; InputError lists the available names."""
    if name not in SKELETONS:
        raise InputError(f"unknown skeleton {name!r}; available: {', '.join(sorted(SKELETONS))}")
    return SKELETONS[name]
