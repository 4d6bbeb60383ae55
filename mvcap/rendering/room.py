"""A textured room with some boxes in it and lamps under its ceiling, random by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mvcap.rendering.noise_textures import random_colour, smooth_noise

_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
"""Sides of a box, whose corners 0..7 count x, y, z in binary: -x, +x, -y, +y, -z, +z, outwards."""
FLOOR_STYLES = ("boards", "tiles", "carpet")
Points = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Lamp:
    """A rectangular lamp that shines downwards."""

    middle: NDArray[np.float64]
    """(3,) m."""
    half_m: tuple[float, float]
    """Half sizes along x and y."""
    power: NDArray[np.float32]
    """(3,) light: irradiance times square metres that it gives straight below."""


@dataclass(frozen=True, eq=False)
class Room:
    """Walls, floor, ceiling and boxes, as triangles with colours."""

    low: NDArray[np.float64]
    """(3,) m corner; the floor is z = 0."""
    high: NDArray[np.float64]
    boxes: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    """Low and high corners (3,) m of each."""
    lamps: tuple[Lamp, ...]
    ambient: NDArray[np.float32]
    """(3,) light from everywhere."""
    floor_style: str
    colours: NDArray[np.float32]
    """(6 + 6 N + 2, 3) linear reflectance of each side of the room, of each box, and two for patterns."""
    seed: int
    vertices: NDArray[np.float32] = field(init=False)
    """(V, 3) m."""
    faces: NDArray[np.uint32] = field(init=False)
    """(F, 3), two for each side."""

    def __post_init__(self) -> None:
        vertices, faces = [], []
        for index, (low, high) in enumerate([(self.low, self.high), *self.boxes]):
            corners = np.array([np.where([n & 4, n & 2, n & 1], high, low) for n in range(8)])
            quads = _QUADS[:, ::-1] if index == 0 else _QUADS  # a room is seen from within
            faces.append(np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3) + 8 * index)
            vertices.append(corners)
        object.__setattr__(self, "vertices", np.concatenate(vertices).astype(np.float32))
        object.__setattr__(self, "faces", np.concatenate(faces).astype(np.uint32))

    def furnished(self, pieces: Sequence[Sequence[tuple[Points, Points]]], rng: np.random.Generator) -> Room:
        """The room with pieces of furniture, each of some boxes of one colour."""
        boxes = tuple(
            (np.asarray(low, np.float64), np.asarray(high, np.float64)) for one in pieces for low, high in one
        )
        more = [np.tile(random_colour(rng, (0.1, 0.6), (0.2, 0.8)), (6 * len(one), 1)) for one in pieces]
        colours = np.concatenate([self.colours[:-2], *more, self.colours[-2:]]).astype(np.float32)
        return replace(self, boxes=self.boxes + boxes, colours=colours)

    def albedo(self, face: NDArray[np.integer], xyz: Points) -> NDArray[np.float32]:
        """Linear reflectance (N, 3) at points (N, 3) m on triangles (N,)."""
        side = np.asarray(face) // 2
        out = self.colours[side].copy()
        out *= (0.85 + 0.3 * smooth_noise(xyz, 0.35, self.seed, 4))[:, None]
        floor = side == 4
        out[floor] *= self._floor(xyz[floor])[:, None]
        for wall in range(4):
            mine = side == wall
            out[mine] = self._wall(wall, xyz[mine], out[mine])
        boxes = side >= 6
        out[boxes] *= (0.7 + 0.6 * smooth_noise(xyz[boxes] * (3, 1, 1), 0.12, self.seed + 5, 3))[:, None]
        return np.asarray(np.clip(out, 0.01, 0.95), np.float32)

    def _floor(self, xyz: Points) -> NDArray[np.float32]:
        x, y = xyz[:, 0], xyz[:, 1]
        if self.floor_style == "tiles":
            checks = (np.floor(x / 0.5) + np.floor(y / 0.5)) % 2
            joint = (np.mod(x, 0.5) < 0.008) | (np.mod(y, 0.5) < 0.008)
            return np.asarray(np.where(joint, 0.5, 0.75 + 0.4 * checks), np.float32)
        if self.floor_style == "boards":
            board = np.floor(y / 0.14)
            tone = smooth_noise(np.stack([board * 7.31, board * 3.7, 0 * board], -1), 1.0, self.seed + 2, 1)
            grain = smooth_noise(np.stack([x * 0.12, y, 0 * x], -1), 0.012, self.seed + 3, 2)
            return np.asarray(np.where(np.mod(y, 0.14) < 0.004, 0.4, 0.6 + 0.5 * tone + 0.3 * grain), np.float32)
        return np.asarray(0.7 + 0.6 * smooth_noise(xyz, 0.03, self.seed + 4, 3), np.float32)

    def _wall(self, wall: int, xyz: Points, colour: NDArray[np.float32]) -> NDArray[np.float32]:
        """Colours (N, 3) of a wall with a skirting board and three pictures on it."""
        along = xyz[:, 1 if wall < 2 else 0]
        up, span = xyz[:, 2], self.high - self.low
        axis = 1 if wall < 2 else 0
        rng = np.random.default_rng([self.seed, wall])
        colour[up < 0.1] = self.colours[-1]
        for _ in range(3):
            middle = self.low[axis] + span[axis] * rng.uniform(0.1, 0.9), rng.uniform(1.2, 1.9)
            half = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.45)
            off = np.abs(along - middle[0]) / half[0], np.abs(up - middle[1]) / half[1]
            inner = (off[0] < 1) & (off[1] < 1)
            paint = smooth_noise(xyz[inner], rng.uniform(0.1, 0.3), int(rng.integers(1 << 20)), 3)[:, None]
            first, second = random_colour(rng, (0.2, 0.9), (0.2, 0.9)), random_colour(rng, (0.2, 0.9), (0.2, 0.9))
            colour[inner] = first + (second - first) * np.clip(3 * paint - 1, 0, 1)
            frame = inner & ((off[0] > 0.93) | (off[1] > 0.93))
            colour[frame] = self.colours[-2]
        return colour


def random_room(
    rng: np.random.Generator, low: NDArray[np.floating], high: NDArray[np.floating], clear: NDArray[np.floating]
) -> Room:
    """Return a room that reaches at least from low (3,) to high (3,) m, with boxes along its walls.

    clear (K, 3): points, as cameras and the corners of where people go, that boxes stay away from.
    """
    corners = np.array([low, high], np.float64)
    begin = np.array([*(corners[0, :2] - rng.uniform(0.3, 1.0, 2)), 0.0])
    end = np.array([*(corners[1, :2] + rng.uniform(0.3, 1.0, 2)), max(float(corners[1, 2]) + 0.3, 2.7)])
    boxes: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for _ in range(8):
        size = np.array([*rng.uniform(0.35, 0.9, 2), rng.uniform(0.4, 1.6)])
        place = begin[:2] + rng.random(2) * (end - begin - size)[:2]
        axis = int(rng.integers(2))
        place[axis] = begin[axis] if rng.random() < 0.5 else end[axis] - size[axis]
        corner = np.array([*place, 0.0]), np.array([*(place + size[:2]), size[2]])
        if not _reaches(corner, clear) and len(boxes) < 5:
            boxes.append(corner)
    sides = [random_colour(rng, (0.0, 0.3), (0.55, 0.92)) for _ in range(4)]
    sides += [random_colour(rng, (0.1, 0.5), (0.35, 0.75)), random_colour(rng, (0.0, 0.05), (0.9, 0.95))]
    for _ in boxes:
        sides += [random_colour(rng, (0.1, 0.7), (0.3, 0.85))] * 6
    sides += [random_colour(rng, (0.0, 0.6), (0.1, 0.5)), random_colour(rng, (0.0, 0.1), (0.6, 0.9))]
    return Room(
        begin, end, tuple(boxes), _lamps(rng, begin, end), (rng.uniform(0.3, 0.45) * np.ones(3)).astype(np.float32),
        FLOOR_STYLES[int(rng.integers(len(FLOOR_STYLES)))], np.array(sides, np.float32), int(rng.integers(1 << 20)),
    )  # fmt: skip


def _reaches(box: tuple[NDArray[np.float64], NDArray[np.float64]], clear: NDArray[np.floating]) -> bool:
    margin = 0.25
    inside = (clear[:, :2] > box[0][:2] - margin) & (clear[:, :2] < box[1][:2] + margin)
    return bool(inside.all(-1).any())


def _lamps(rng: np.random.Generator, low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[Lamp, ...]:
    """Two lamps on the long sides of the middle, of slightly different whites, as bright as the room is high."""
    middle, span = 0.5 * (low + high), high - low
    long = int(span[1] > span[0])
    out = []
    for side in (-1, 1):
        place = middle + rng.normal(0, 0.15, 3)
        place[long] += side * 0.22 * span[long]
        place[2] = high[2] - 0.01
        warm = np.array([1.0, rng.uniform(0.93, 1.0), rng.uniform(0.85, 1.0)])
        power = rng.uniform(0.8, 1.2) * 1.0 * (high[2] - 1.0) ** 2
        out.append(
            Lamp(place, (float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.3, 0.7))), (power * warm).astype(np.float32))
        )
    return tuple(out)
