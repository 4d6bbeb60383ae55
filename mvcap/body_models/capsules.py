"""Capsules: a body of rounded cylinders along its bones, which needs nothing installed and shows where limbs are.

Lengths are those of an adult of 1.72 m (Winter, "Biomechanics and Motor Control of Human Movement", 4th ed., fig. 4.1);
each pair of limbs has a coefficient of the shape for its length. Radii say nothing about the person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.errors import InputError
from mvcap.structures.skinned_body import SIDES, LinearPoints, SkinnedBody

_SPREAD = 0.1  # standard deviation of a bone's length, as a share of it
_ROUND, _RINGS = 12, 3  # vertices around a capsule, and rings of each of its ends
_BONES = (  # bone, its parent, head (m), share of its group's rotation
    ("pelvis", "", (0, 0, 0.94), 1.0),
    ("spine", "pelvis", (0, 0.01, 1.06), 0.5),
    ("chest", "spine", (0, 0.01, 1.22), 0.5),
    ("neck", "chest", (0, 0.0, 1.46), 1.0),
    ("shoulder", "chest", (0.04, 0.0, 1.42), 1.0),
    ("arm", "shoulder", (0.18, 0.0, 1.42), 1.0),
    ("forearm", "arm", (0.50, 0.0, 1.42), 1.0),
    ("thigh", "pelvis", (0.10, 0, 0.92), 1.0),
    ("shank", "thigh", (0.10, 0, 0.50), 1.0),
    ("foot", "shank", (0.10, 0.01, 0.08), 1.0),
)
_JOINTS = {  # joint: bone, place at rest (m)
    "pelvis": ("pelvis", (0, 0, 0.92)), "hip": ("pelvis", (0.10, 0, 0.92)), "neck": ("chest", (0, 0, 1.42)),
    "shoulder": ("shoulder", (0.18, 0, 1.42)), "elbow": ("arm", (0.50, 0, 1.42)),
    "wrist": ("forearm", (0.75, 0, 1.42)), "pinky": ("forearm", (0.83, 0.03, 1.42)),
    "index": ("forearm", (0.84, -0.03, 1.42)), "thumb": ("forearm", (0.79, -0.06, 1.41)),
    "knee": ("thigh", (0.10, 0, 0.50)), "ankle": ("shank", (0.10, 0.01, 0.08)), "heel": ("foot", (0.10, 0.05, 0.03)),
    "big_toe": ("foot", (0.08, -0.17, 0.02)), "small_toe": ("foot", (0.14, -0.14, 0.02)),
    "nose": ("neck", (0, -0.12, 1.58)), "eye": ("neck", (0.032, -0.10, 1.61)), "ear": ("neck", (0.075, 0, 1.59)),
    "head_top": ("neck", (0, 0, 1.75)),
}  # fmt: skip
_CAPSULES = (  # bone, ends (m) and their radii (m); those beside the middle are on both sides
    ("pelvis", (-0.09, 0, 0.95), 0.10, (0.09, 0, 0.95), 0.10),
    ("spine", (0, 0.01, 1.00), 0.12, (0, 0.01, 1.20), 0.12),
    ("chest", (-0.07, 0.01, 1.30), 0.11, (0.07, 0.01, 1.30), 0.11),
    ("chest", (0, 0, 1.38), 0.06, (0, 0, 1.50), 0.055),
    ("neck", (0, -0.01, 1.57), 0.075, (0, -0.01, 1.66), 0.085),
    ("shoulder", (0.05, 0, 1.40), 0.07, (0.17, 0, 1.41), 0.06),
    ("arm", (0.18, 0, 1.42), 0.055, (0.50, 0, 1.42), 0.04),
    ("forearm", (0.50, 0, 1.42), 0.04, (0.75, 0, 1.42), 0.028),
    ("forearm", (0.77, 0, 1.42), 0.03, (0.87, 0, 1.42), 0.022),
    ("thigh", (0.10, 0, 0.90), 0.085, (0.10, 0, 0.50), 0.055),
    ("shank", (0.10, 0, 0.50), 0.052, (0.10, 0.01, 0.08), 0.036),
    ("foot", (0.10, 0.04, 0.05), 0.04, (0.11, -0.14, 0.03), 0.03),
)
_LIMBS = ("pelvis", "spine", "neck", "shoulder", "arm", "forearm", "thigh", "shank", "foot")
"""Bones whose lengths have coefficients; that of the spine is of spine and chest."""


def load(file: Path | None = None) -> SkinnedBody:
    """Return the body; InputError if a file is given, as it has none."""
    if file is not None:
        raise InputError(f"{file}: the body model capsules reads no file; leave --smpl out, or give --body smpl")
    bones = _both_sides()
    names = [name for name, *_ in bones]
    parents = tuple(names.index(parent) if parent else -1 for _, parent, *_ in bones)
    heads = np.array([head for _, _, head, _ in bones])
    joints = {f"{prefix}{name}": (bone, _mirrored(place, prefix))
              for name, (bone, place) in _JOINTS.items() for prefix in _prefixes(place)}  # fmt: skip
    carried = [names.index(_sided(bone, name.partition("_")[0])) for name, (bone, _) in joints.items()]
    vertices, faces, owner = _surface(names)
    groups = tuple(("spine" if name == "chest" else name, bones[at][3]) for at, name in enumerate(names))
    places = np.array([place for _, place in joints.values()])
    return SkinnedBody(
        "capsules", _linear(names, parents, heads, vertices, owner), faces,
        _linear(names, parents, heads, heads, np.array([max(parent, 0) for parent in parents])), parents,
        tuple(names), groups, owner[:, None], np.ones((len(owner), 1)), tuple(joints),
        _linear(names, parents, heads, places, np.array(carried)),
    )  # fmt: skip


def _prefixes(place: tuple[float, float, float]) -> tuple[str, ...]:
    return tuple(f"{side}_" for side in SIDES) if place[0] else ("",)


def _mirrored(place: tuple[float, float, float], prefix: str) -> Floats:
    return np.array(place, np.float64) * (-1 if prefix.startswith("right") else 1, 1, 1)


def _sided(bone: str, side: str) -> str:
    return bone if bone in ("pelvis", "spine", "chest", "neck", "") else f"{side}_{bone}"


def _both_sides() -> list[tuple[str, str, Floats, float]]:
    """Bones with their parents, heads (3,) m and shares, those of limbs once a side."""
    out = []
    for name, parent, head, share in _BONES:
        for prefix in _prefixes(head):
            side = prefix.rstrip("_")
            out.append((_sided(name, side), _sided(parent, side), _mirrored(head, prefix), share))
    return out


def _linear(names: list[str], parents: tuple[int, ...], heads: Floats, points: Floats, owner: Ints) -> LinearPoints:
    """Points that lengths of bones move, owner (N,) being the bone that each is on: it stretches and carries them."""
    basis = np.zeros((len(_LIMBS), *points.shape))
    for row, limb in enumerate(_LIMBS):
        for bone, name in enumerate(names):
            if name.rpartition("_")[2] != limb and not (limb == "spine" and name == "chest"):
                continue
            for index, on in enumerate(owner):
                moved = _moved(bone, int(on), parents, heads)
                end = points[index] if moved == bone else heads[moved] if moved >= 0 else heads[bone]
                basis[row, index] += _SPREAD * (end - heads[bone])
    return LinearPoints(np.asarray(points, np.float64), basis)


def _moved(bone: int, on: int, parents: tuple[int, ...], heads: Floats) -> int:
    """The bone itself for a point on it; for one beyond, the child of the bone on the way; -1 for one elsewhere."""
    way = on
    while way >= 0 and way != bone and parents[way] != bone:
        way = parents[way]
    return way


def _surface(names: list[str]) -> tuple[Floats, Ints, Ints]:
    """Vertices (V, 3) m, triangles (F, 3) and the bone (V,) of each vertex, of all capsules."""
    parts: list[Floats] = []
    faces: list[Ints] = []
    owner: list[int] = []
    for bone, one, radius, other, other_radius in _CAPSULES:
        for prefix in _prefixes(one) if _sided(bone, "left") != bone else ("",):
            points, triangles = capsule(_mirrored(one, prefix), radius, _mirrored(other, prefix), other_radius)
            faces.append(triangles + sum(len(part) for part in parts))
            parts.append(points)
            owner += [names.index(_sided(bone, prefix.rstrip("_")))] * len(points)
    return np.concatenate(parts), np.concatenate(faces), np.array(owner)


def capsule(one: Floats, radius: float, other: Floats, other_radius: float) -> tuple[Floats, Ints]:
    """Return vertices (V, 3) m and triangles (F, 3) of a closed capsule between two points (3,) with their radii, m."""
    axis = (other - one) / np.linalg.norm(other - one)
    side = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    side /= np.linalg.norm(side)
    around = np.arange(_ROUND) * 2 * np.pi / _ROUND
    circle = np.cos(around)[:, None] * side + np.sin(around)[:, None] * np.cross(axis, side)
    rise = np.linspace(-np.pi / 2, 0, _RINGS + 1)[1:]
    rings = [one + radius * (np.cos(angle) * circle + np.sin(angle) * axis) for angle in rise]
    rings += [other + other_radius * (np.cos(angle) * circle - np.sin(angle) * axis) for angle in rise[::-1]]
    points = np.concatenate([[one - radius * axis], *rings, [other + other_radius * axis]])
    faces, last = [], len(points) - 1
    for at in range(_ROUND):
        after = (at + 1) % _ROUND
        faces += [(0, 1 + after, 1 + at), (last, last - _ROUND + at, last - _ROUND + after)]
        for ring in range(len(rings) - 1):
            low, high = 1 + ring * _ROUND, 1 + (ring + 1) * _ROUND
            faces += [(low + at, low + after, high + after), (low + at, high + after, high + at)]
    return points, np.array(faces)
