"""A mannequin of capsules in the place of a body's surface: it needs no package, and shows where limbs are.

Lengths are shares of the stature (Winter, "Biomechanics and Motor Control of Human Movement", 4th ed., fig. 4.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.rendering.body_surface import JOINTS, BodySurface

_LEG = 0.491  # hip to ankle, of the stature
_ROUND, _RINGS = 14, 4
_BONES = (  # name as anny's, parent, head as shares of the stature; of both sides where it is beside the middle
    ("root", "", (0, 0, 0.53)), ("spine01", "root", (0, 0, 0.60)), ("head", "spine01", (0, 0, 0.85)),
    ("upperarm01", "spine01", (0.110, 0, 0.818)), ("lowerarm01", "upperarm01", (0.225, 0, 0.670)),
    ("wrist", "lowerarm01", (0.320, 0, 0.560)), ("upperleg01", "root", (0.055, 0, 0.530)),
    ("lowerleg01", "upperleg01", (0.055, 0, 0.285)), ("foot", "lowerleg01", (0.055, 0, 0.039)),
)  # fmt: skip
_CAPSULES = (  # bone, ends and their radii as shares of the stature
    ("root", (-0.045, 0, 0.535), 0.062, (0.045, 0, 0.535), 0.062),
    ("spine01", (0, 0, 0.59), 0.075, (0, 0, 0.70), 0.08),
    ("spine01", (-0.06, 0, 0.765), 0.065, (0.06, 0, 0.765), 0.065),
    ("head", (0, 0, 0.82), 0.03, (0, 0, 0.88), 0.03),
    ("head", (0, -0.008, 0.90), 0.044, (0, -0.008, 0.952), 0.048),
    ("upperarm01", (0.110, 0, 0.818), 0.032, (0.225, 0, 0.670), 0.025),
    ("lowerarm01", (0.225, 0, 0.670), 0.025, (0.320, 0, 0.560), 0.017),
    ("wrist", (0.325, 0, 0.553), 0.018, (0.370, 0, 0.502), 0.014),
    ("upperleg01", (0.055, 0, 0.520), 0.050, (0.055, 0, 0.285), 0.034),
    ("lowerleg01", (0.055, 0, 0.285), 0.033, (0.055, 0, 0.045), 0.022),
    ("foot", (0.055, 0.020, 0.022), 0.022, (0.062, -0.085, 0.017), 0.017),
)
_AT = {  # joint: bone, place as shares of the stature
    "nose": ("head", (0, -0.066, 0.925)), "eye": ("head", (0.018, -0.052, 0.943)), "ear": ("head", (0.044, 0, 0.935)),
    "shoulder": ("spine01", (0.110, 0, 0.818)), "elbow": ("upperarm01", (0.225, 0, 0.670)),
    "wrist": ("lowerarm01", (0.320, 0, 0.560)), "hip": ("root", (0.055, 0, 0.530)),
    "knee": ("upperleg01", (0.055, 0, 0.285)), "ankle": ("lowerleg01", (0.055, 0, 0.039)),
    "head_top": ("head", (0, 0, 1.0)), "neck": ("spine01", (0, 0, 0.818)), "pelvis": ("root", (0, 0, 0.530)),
    "big_toe": ("foot", (0.048, -0.100, 0.012)), "small_toe": ("foot", (0.080, -0.085, 0.010)),
    "heel": ("foot", (0.055, 0.042, 0.012)),
}  # fmt: skip
Floats = NDArray[np.float64]


def mannequin_of(leg_m: float, girth: float = 1.0) -> BodySurface:
    """Return the mannequin whose legs, hip to knee to ankle, are leg_m long; girth: factor on the radii.

    Raises InputError for a length that is no leg's.
    """
    if not 0.3 < leg_m < 1.3:
        raise InputError(f"a leg of {leg_m:.2f} m is no person's; lengths are in metres")
    stature = leg_m / _LEG
    names, parents, heads = [], [], []
    for name, parent, head in _BONES:
        for side, sign in _sides(head):
            names.append(name + side)
            parents.append(-1 if not parent else names.index(parent + side if parent + side in names else parent))
            heads.append(np.array(head) * (sign, 1, 1) * stature)
    vertices, faces, bone = _surface(names, stature, girth)
    return BodySurface(
        vertices, faces, np.array(heads), tuple(parents), tuple(names), bone[:, None], np.ones((len(bone), 1)),
        _regressor(vertices, bone, names, stature),
    )  # fmt: skip


def _sides(place: tuple[float, float, float]) -> list[tuple[str, int]]:
    return [(".L", 1), (".R", -1)] if place[0] > 0 else [("", 1)]


def _surface(names: list[str], stature: float, girth: float) -> tuple[Floats, NDArray[np.uint32], NDArray[np.int64]]:
    """Vertices (V, 3) m, triangles (F, 3) and bones (V,) of all capsules."""
    points: list[Floats] = []
    faces: list[NDArray[np.int64]] = []
    bone: list[int] = []
    for name, one, one_radius, other, other_radius in _CAPSULES:
        for side, sign in _sides(one) if name + ".L" in names else [("", 1)]:
            begin, end = (stature * np.array(place) * (sign, 1, 1) for place in (one, other))
            more, triangles = _capsule(begin, end, girth * stature * one_radius, girth * stature * other_radius)
            faces.append(triangles + len(bone))
            points.append(more)
            bone += [names.index(name + side)] * len(more)
    return np.concatenate(points), np.concatenate(faces).astype(np.uint32), np.array(bone)


def _capsule(one: Floats, other: Floats, radius: float, other_radius: float) -> tuple[Floats, NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (F, 3), outwards, of rings about the way between two points (3,)."""
    axis = (other - one) / np.linalg.norm(other - one)
    side = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    side /= np.linalg.norm(side)
    around = np.arange(_ROUND) * 2 * np.pi / _ROUND
    circle = np.cos(around)[:, None] * side + np.sin(around)[:, None] * np.cross(axis, side)
    rise = np.linspace(-np.pi / 2, 0, _RINGS + 1)
    rings = [one + radius * (np.cos(angle) * circle + np.sin(angle) * axis) for angle in rise]
    middle = np.linspace(0, 1, 6)[1:-1]
    rings += [one + s * (other - one) + (radius + s * (other_radius - radius)) * circle for s in middle]
    rings += [other + other_radius * (np.cos(angle) * circle - np.sin(angle) * axis) for angle in rise[::-1]]
    faces = []
    for ring in range(len(rings) - 1):
        a = ring * _ROUND + np.arange(_ROUND)
        b = ring * _ROUND + np.roll(np.arange(_ROUND), -1)
        faces += [np.stack([a, b, b + _ROUND], 1), np.stack([a, b + _ROUND, a + _ROUND], 1)]
    return np.concatenate(rings), np.concatenate(faces)


def _regressor(vertices: Floats, bone: NDArray[np.int64], names: list[str], stature: float) -> Floats:
    """Weights (26, V) of the vertices of one bone that give each joint its place, however the bone moves."""
    out = np.zeros((len(JOINTS), len(vertices)))
    for index, joint in enumerate(JOINTS.joints):
        side, _, rest = joint.partition("_")
        name, place = _AT[rest if side in ("left", "right") else joint]
        ending = {"left": ".L", "right": ".R"}.get(side, "")
        at = names.index(name + ending if name + ending in names else name)
        mine = np.flatnonzero(bone == at)
        known = np.concatenate([vertices[mine].T, np.ones((1, len(mine)))])
        wanted = np.array([*(stature * np.array(place) * (-1 if side == "right" else 1, 1, 1)), 1.0])
        out[index, mine] = np.linalg.pinv(known) @ wanted
    return out
