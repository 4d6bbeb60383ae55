"""Skeletons: named joints, bones, mirror pairs, and the conversion of one skeleton to another.

Joint names are shared by all skeletons, so conversion is by name. A joint that the source lacks but that can be derived
from others (the pelvis as the midpoint of the hips) is a weighted sum of them; any other joint is NaN.
A skeleton of a user's own (``mvcap.structures.skeleton_file``) is stored with all that it is, as it has no name here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

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
_OTHER_SIGMA = 0.072  # of a joint of a user's own skeleton that is none of these: the median of the body's joints
_MOST_JOINTS = 1000

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
    labels: tuple[str, ...] = ()
    """Names of the joints in the user's files, of a skeleton of a user's own; () for the skeletons of this module."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Left and right joint of each pair whose names do not say it, of a skeleton of a user's own."""

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Return the index of a joint by its name here or in the user's files; ValueError if the skeleton lacks it."""
        return self.joints.index(joint) if joint in self.joints or not self.labels else self.labels.index(joint)

    @cached_property
    def stored_name(self) -> str:
        """Text that ``skeleton`` turns into this skeleton again: its name, or all of it for a user's own."""
        if not self.labels:
            return self.name
        whole = {"name": self.name, "joints": self.joints, "labels": self.labels, "bones": self.bones.tolist()}
        return json.dumps({**whole, "pairs": self.pairs, "root": self.root}, ensure_ascii=False)

    @cached_property
    def mirror(self) -> NDArray[np.int64]:
        """(J,) index of the joint on the other side of the body; a joint on the midline has its own index."""
        out = self._mirror_by_name()
        for left, right in self.pairs:
            a, b = self.index(left), self.index(right)
            out[a], out[b] = b, a
        return out

    def _mirror_by_name(self) -> NDArray[np.int64]:
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
        if self.labels:
            return np.array([_sigma_of(joint, _OTHER_SIGMA) for joint in self.joints])
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


def _sigma_of(joint: str, otherwise: float | None = None) -> float:
    parts = set(joint.split("_"))
    for name, value in ANNOTATOR_SIGMA.items():
        if name in parts:
            return value
    if otherwise is not None:
        return otherwise
    raise KeyError(f"no annotator sigma for joint {joint!r}")


def _make(name: str, joints: str) -> Skeleton:
    expanded = tuple(j.replace("L.", "left_").replace("R.", "right_") for j in joints.split())
    return Skeleton(name, expanded, usual_bones(expanded))


def usual_bones(joints: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the bones (B, 2) that a body has between joints with names of this module; other joints have none."""
    at = {joint: index for index, joint in enumerate(joints)}
    bones = [(at[a], at[b]) for a, b in _ALL_BONES if a in at and b in at]
    return np.array(bones, dtype=np.int64).reshape(-1, 2)


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
        _make("coco18", """nose neck R.shoulder R.elbow R.wrist L.shoulder L.elbow L.wrist R.hip R.knee R.ankle L.hip
              L.knee L.ankle R.eye L.eye R.ear L.ear"""),
        _make("coco23", """nose L.eye R.eye L.ear R.ear L.shoulder R.shoulder L.elbow R.elbow L.wrist R.wrist
              L.hip R.hip L.knee R.knee L.ankle R.ankle L.big_toe L.small_toe L.heel R.big_toe R.small_toe R.heel"""),
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
    """Return a skeleton by its name or by its ``stored_name``; InputError lists the available names."""
    if name in SKELETONS:
        return SKELETONS[name]
    if name.startswith("{"):
        return _from_text(name)
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    raise InputError(f"unknown skeleton {shown!r}; available: {', '.join(sorted(SKELETONS))}")


@lru_cache(maxsize=16)
def _from_text(text: str) -> Skeleton:
    """Return the skeleton that ``Skeleton.stored_name`` wrote; InputError if the text is another."""
    try:
        held = json.loads(text)
        joints, labels = (tuple(str(name) for name in held[key]) for key in ("joints", "labels"))
        bones = np.array(held["bones"], dtype=np.int64).reshape(-1, 2)
        pairs = tuple((str(left), str(right)) for left, right in held["pairs"])
        made = Skeleton(str(held["name"]), joints, bones, str(held["root"]), labels, pairs)
        apart = len(set(joints)) == len(joints) == len(labels) and all(joints)
        if not apart or not 0 < len(joints) <= _MOST_JOINTS or (bones < 0).any() or (bones >= len(joints)).any():
            raise ValueError("joints or bones are not those of a skeleton")
        _ = made.mirror
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as fault:
        raise InputError(f"a stored skeleton is damaged ({fault}); make the file again") from fault
    return made
