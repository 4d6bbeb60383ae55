"""Clothes, hair and skin of a body by procedural texture: which material each point of the surface is, and its colour.

Materials follow from where a point is on the body at rest (so patterns stick to the body), how far along its limb it
is, and which part it is of. Clothes and hair stand out from the skin by some millimetres, clothes with folds. Joints
stay those of the body underneath.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvcap.rendering.body_surface import PARTS, BodySurface
from mvcap.rendering.noise_textures import linear_light, random_colour, smooth_noise

PATTERNS = ("plain", "stripes", "checks", "print")
_SKIN = linear_light(np.array([[0.95, 0.80, 0.70], [0.87, 0.68, 0.55], [0.70, 0.50, 0.38], [0.45, 0.30, 0.22]]))
_HAIR = linear_light(np.array([[0.08, 0.07, 0.06], [0.25, 0.16, 0.10], [0.55, 0.42, 0.25], [0.55, 0.54, 0.52]]))
_LIPS, _WHITE, _IRIS = (
    linear_light(np.array(rgb)) for rgb in ([0.7, 0.35, 0.33], [0.92, 0.92, 0.9], [0.18, 0.13, 0.1])
)
_SKIN_AT, _SHIRT_AT, _TROUSERS_AT, _SHOES_AT, _HAIR_AT = range(5)
_LIMBS = {  # joints of each, and the limbs before it
    "arm": ("shoulder", "elbow", 0), "forearm": ("elbow", "wrist", 1), "hand": ("elbow", "wrist", 1),
    "thigh": ("hip", "knee", 0), "shank": ("knee", "ankle", 1), "foot": ("knee", "ankle", 1),
}  # fmt: skip
Colours = NDArray[np.float32]


@dataclass(frozen=True)
class Outfit:
    """What a person wears, and how they look."""

    sleeves: float
    """Arm lengths that sleeves reach: 0.5 short, 1.9 long."""
    legs: float
    """Leg lengths that trousers reach: 0.8 short, 1.9 long."""
    shirt: NDArray[np.float32]
    shirt_second: NDArray[np.float32]
    """Second colour (3,) of the pattern, linear reflectance as all colours here."""
    pattern: str
    """One of ``PATTERNS``."""
    pattern_m: float
    trousers: NDArray[np.float32]
    shoes: NDArray[np.float32]
    skin: NDArray[np.float32]
    hair: NDArray[np.float32]
    hair_long: float
    """m by which hair reaches below the ears."""
    seed: int


def random_outfit(rng: np.random.Generator) -> Outfit:
    """Random clothes, hair and skin."""
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    skin = _SKIN[int(rng.integers(len(_SKIN)))] * rng.uniform(0.9, 1.1)
    hair = _HAIR[int(rng.integers(len(_HAIR)))] * rng.uniform(0.8, 1.2)
    return Outfit(
        sleeves=float(rng.choice([0.55, 0.9, 1.95])), legs=float(rng.choice([0.85, 1.93, 1.95])),
        shirt=random_colour(rng, (0.05, 0.8), (0.3, 0.95)), shirt_second=random_colour(rng, (0.05, 0.9), (0.1, 0.95)),
        pattern=pattern, pattern_m=float(rng.uniform(0.03, 0.1)), trousers=random_colour(rng, (0.1, 0.6), (0.12, 0.6)),
        shoes=random_colour(rng, (0.0, 0.5), (0.08, 0.9)), skin=skin.astype(np.float32), hair=hair.astype(np.float32),
        hair_long=float(rng.choice([0.0, 0.03, 0.09])), seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class DressedBody:
    """A body at rest in its clothes."""

    surface: BodySurface
    outfit: Outfit

    @cached_property
    def rest(self) -> NDArray[np.float64]:
        """(V, 3) m vertices of clothes, hair and bare skin at rest."""
        surface, outfit = self.surface, self.outfit
        material = self._materials(surface.rest, surface.part_of_vertex, self._along)
        folds = smooth_noise(surface.rest * (1, 1, 0.6), 0.09, outfit.seed, 2) - 0.5
        out = np.zeros(len(surface.rest))
        out[material == _SHIRT_AT] = 0.009
        out[material == _TROUSERS_AT] = 0.010
        out[(material == _SHIRT_AT) | (material == _TROUSERS_AT)] += (
            0.014 * folds[(material == _SHIRT_AT) | (material == _TROUSERS_AT)]
        )
        out[material == _HAIR_AT] = 0.014
        normals = vertex_normals(surface.rest, surface.faces)
        return np.asarray(surface.rest + out[:, None] * normals)

    @cached_property
    def _along(self) -> NDArray[np.float64]:
        """(V,) limbs that each vertex is along an arm or leg: 1.5 is the middle of the second; 0 elsewhere."""
        out = np.zeros(len(self.surface.rest))
        at = self.surface.rest_joints
        for number, part in enumerate(PARTS, 1):
            side, _, limb = part.partition("_")
            if limb in _LIMBS:
                begin, end = (at[f"{side}_{joint}"] for joint in _LIMBS[limb][:2])
                mine = self.surface.part_of_vertex == number
                share = (self.surface.rest[mine] - begin) @ (end - begin) / ((end - begin) @ (end - begin))
                out[mine] = _LIMBS[limb][2] + share
        return out

    def albedo(self, face: NDArray[np.integer], share: NDArray[np.floating]) -> Colours:
        """Linear reflectance (N, 3) at shares (N, 3) of the corners of triangles (N,)."""
        corners = self.surface.faces[face]
        xyz = np.einsum("nc,ncx->nx", share, self.surface.rest[corners])
        along = np.einsum("nc,nc->n", share, self._along[corners])
        part = self.surface.part_of_face[face]
        material, outfit = self._materials(xyz, part, along), self.outfit
        colours = np.stack([outfit.skin, outfit.shirt, outfit.trousers, outfit.shoes, outfit.hair])
        out = colours[material].astype(np.float32)
        shirt = material == _SHIRT_AT
        if shirt.any():
            mixed = self._pattern(xyz[shirt])[:, None]
            out[shirt] += mixed * (outfit.shirt_second - outfit.shirt)
        rough = smooth_noise(xyz, 0.02, outfit.seed + 7, 3)
        strength = np.array([0.12, 0.3, 0.35, 0.3, 0.8], np.float32)[material]
        out *= (1 + strength * (rough - 0.5))[:, None]
        head = (part == PARTS.index("head") + 1) & (material == _SKIN_AT)
        out[head] = self._face(xyz[head], out[head])
        return out

    def _materials(
        self, xyz: NDArray[np.floating], part: NDArray[np.integer], along: NDArray[np.floating]
    ) -> NDArray[np.int64]:
        """Material (N,) of points (N, 3) at rest of parts (N,), so far along (N,) arms or legs."""
        at, outfit = self.surface.rest_joints, self.outfit
        kind = np.array(["", *(one.rpartition("_")[2] for one in PARTS)])[part]
        out = np.full(len(xyz), _SKIN_AT)
        tall = at["neck"][2] - at["pelvis"][2]
        z = xyz[:, 2]
        waist, collar = at["pelvis"][2] + 0.12 * tall, at["neck"][2] + 0.09 * tall
        trunk = (kind == "chest") | (kind == "pelvis") | (kind == "thigh")
        throat = collar - 0.14 * tall * np.exp(-((xyz[:, 0] / (0.14 * tall)) ** 2)) * (xyz[:, 1] < at["neck"][1])
        out[trunk & (z < waist) & (along < outfit.legs)] = _TROUSERS_AT
        out[trunk & (z >= waist) & (z < np.maximum(throat, waist + 0.5 * tall))] = _SHIRT_AT
        out[((kind == "arm") | (kind == "forearm")) & (along < outfit.sleeves)] = _SHIRT_AT
        out[(kind == "shank") & (along < outfit.legs)] = _TROUSERS_AT
        out[kind == "foot"] = _SHOES_AT
        out[(kind == "head") & (z > self._hairline(xyz))] = _HAIR_AT
        return out

    def _hairline(self, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
        """Height (N,) m at rest above which hair grows: above the brow in front, below the ears behind."""
        at = self.surface.rest_joints
        eyes = 0.5 * (at["left_eye"][2] + at["right_eye"][2])
        wide = at["left_ear"][0] - at["right_ear"][0]
        ears, nose = at["left_ear"][1], at["nose"][1]
        ahead = (ears - xyz[:, 1]) / (ears - nose)
        low, high = eyes - 0.35 * wide - self.outfit.hair_long, eyes + 0.42 * wide
        return np.asarray(low + (high - low) * np.clip((ahead + 0.1) / 0.45, 0, 1))

    def _face(self, xyz: NDArray[np.floating], colour: Colours) -> Colours:
        """Colours (N, 3) of the skin of the head with eyes, brows and lips."""
        at = self.surface.rest_joints
        wide = at["left_ear"][0] - at["right_ear"][0]
        front = xyz[:, 1] < at["left_eye"][1] + 0.12 * wide
        out = colour.copy()
        for eye in (at["left_eye"], at["right_eye"]):
            across, up = (xyz[:, 0] - eye[0]) / wide, (xyz[:, 2] - eye[2]) / wide
            out[front & ((across / 0.1) ** 2 + (up / 0.035) ** 2 < 1)] = _WHITE
            out[front & (across**2 + up**2 < 0.033**2)] = _IRIS
            out[front & ((across / 0.14) ** 2 + ((up - 0.12 + across**2) / 0.022) ** 2 < 1)] = self.outfit.hair
        mouth = at["nose"] - np.array([0, 0, 0.27 * wide])
        across, up = (xyz[:, 0] - mouth[0]) / wide, (xyz[:, 2] - mouth[2]) / wide
        out[front & ((across / 0.16) ** 2 + (up / 0.05) ** 2 < 1)] = 0.5 * _LIPS + 0.5 * self.outfit.skin * _LIPS
        return out

    def _pattern(self, xyz: NDArray[np.floating]) -> NDArray[np.float32]:
        """Share (N,) of the shirt's second colour."""
        size = self.outfit.pattern_m
        if self.outfit.pattern == "stripes":
            return np.asarray(np.mod(xyz[:, 2] / size, 1) < 0.4, np.float32)
        if self.outfit.pattern == "checks":
            lines = (np.mod(xyz[:, 2] / size, 1) < 0.35).astype(np.float32) + (np.mod(xyz[:, 0] / size, 1) < 0.35)
            return np.asarray(0.5 * lines, np.float32)
        if self.outfit.pattern == "print":
            return np.asarray(smooth_noise(xyz, size, self.outfit.seed + 3, 1) > 0.6, np.float32)
        return np.zeros(len(xyz), np.float32)


def vertex_normals(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """Unit normals (V, 3) of vertices: the mean of those of their triangles (F, 3), by area."""
    corner = np.asarray(vertices, np.float64)[faces]
    across = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    out = np.empty((len(vertices), 3))
    for axis in range(3):
        out[:, axis] = sum(np.bincount(faces[:, which], across[:, axis], minlength=len(vertices)) for which in range(3))
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12))
