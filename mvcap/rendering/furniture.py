"""Furniture of boxes, random by a seed: tables, chairs, sofas, cupboards and crates that hide who is behind them.

It stands where nobody walks: the ground that joints pass over, however high, stays free, and a margin for the body.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FURNITURE = ("table", "chair", "sofa", "cupboard", "crate")
MARGIN_M = 0.45
"""Between furniture and where joints pass: hands reach 0.2 m beyond wrists, and bodies are 0.25 m thick."""
_CELL_M = 0.1
_CAMERA_M = 1.1  # from a camera, and farther for what reaches up into its view: nobody puts a cupboard before one
_LOW_M, _FARTHER = 0.6, 1.0  # below a camera, from where on a piece stands so much farther away for its height
_GAP_M = 0.1
_BESIDE_M = 0.9  # beyond the ground that people use
_MOST, _TRIES = 6, 40
Floats = NDArray[np.float64]
Box = tuple[Floats, Floats]
"""Low and high corner (3,) m."""


def trodden_ground(joints: Iterable[NDArray[np.floating]]) -> Floats:
    """Middles (K, 2) m of the squares of 0.1 m that joints (..., 3) m of people are above at some time."""
    found = [np.unique(np.floor(one[..., :2].reshape(-1, 2) / _CELL_M), axis=0) for one in joints]
    return np.asarray((np.unique(np.concatenate(found), axis=0) + 0.5) * _CELL_M)


def random_furniture(
    rng: np.random.Generator, ground: Floats, cameras: Floats, low: Floats, high: Floats, boxes: tuple[Box, ...] = ()
) -> list[tuple[Box, ...]]:
    """Return up to six pieces, each of some boxes, beside and between the ground (K, 2) m that people use.

    cameras (C, 3) m; low, high (3,) m: corners of the room; boxes: what stands there already. Fewer where there is no
    space.
    """
    out: list[tuple[Box, ...]] = []
    taken = list(boxes)
    for _ in range(int(rng.integers(4, _MOST + 1))):
        piece = _piece(FURNITURE[int(rng.integers(len(FURNITURE)))], rng)
        size = np.max([box[1] for box in piece], axis=0)
        begin = np.maximum(ground.min(0) - _BESIDE_M, low[:2] + 0.02)
        end = np.minimum(ground.max(0) + _BESIDE_M, high[:2] - 0.02) - size[:2]
        if (end <= begin).any():
            continue
        tried = begin + rng.random((_TRIES, 2)) * (end - begin)
        nearest = np.argsort(np.linalg.norm(tried + size[:2] / 2 - ground.mean(0), axis=1), kind="stable")
        for place in tried[nearest]:  # where people are, not along the walls
            whole = np.array([*place, 0.0]), np.array([*(place + size[:2]), size[2]])
            if _is_free(whole, ground, cameras, taken):
                out.append(tuple((box[0] + whole[0], box[1] + whole[0]) for box in piece))
                taken.append(whole)
                break
    return out


def _is_free(box: Box, ground: Floats, cameras: Floats, taken: list[Box]) -> bool:
    high = np.maximum(box[1][2] - (cameras[:, 2] - _LOW_M), 0)
    if (_away(box, cameras[:, :2]) < _CAMERA_M + _FARTHER * high).any():
        return False
    if _away(box, ground).min() < MARGIN_M + _CELL_M / 2:
        return False
    return not any(
        ((box[0] - _GAP_M < other[1]) & (other[0] - _GAP_M < box[1]))[:2].all() for other in taken
    )  # fmt: skip


def _away(box: Box, points: Floats) -> Floats:
    """Distances (K,) m of points (K, 2) from a box as seen from above."""
    beyond = np.maximum(np.maximum(box[0][:2] - points, points - box[1][:2]), 0)
    return np.asarray(np.linalg.norm(beyond, axis=-1))


def _piece(kind: str, rng: np.random.Generator) -> tuple[Box, ...]:
    """Boxes of a piece of furniture whose low corner is 0, turned by a right angle or not."""
    wide, deep, tall = (
        rng.uniform(*ends)
        for ends in {
            "table": ((0.9, 1.6), (0.6, 0.9), (0.70, 0.78)),
            "chair": ((0.40, 0.48), (0.42, 0.48), (0.82, 1.0)),
            "sofa": ((1.3, 1.9), (0.75, 0.9), (0.7, 0.85)),
            "cupboard": ((0.6, 1.1), (0.3, 0.45), (1.0, 1.7)),
            "crate": ((0.35, 0.7), (0.35, 0.7), (0.35, 0.8)),
        }[kind]
    )
    legs = [(x, y) for x in (0.0, wide - 0.05) for y in (0.0, deep - 0.05)]
    if kind == "table":
        parts = [((0, 0, tall - 0.04), (wide, deep, tall)), *(((x, y, 0), (x + 0.05, y + 0.05, tall - 0.04))
                                                              for x, y in legs)]  # fmt: skip
    elif kind == "chair":
        parts = [((0, 0, 0.42), (wide, deep, 0.46)), ((0, 0, 0.46), (wide, 0.04, tall))]
        parts += [((x, y, 0), (x + 0.05, y + 0.05, 0.42)) for x, y in legs]
    elif kind == "sofa":
        parts = [((0.15, 0.2, 0.08), (wide - 0.15, deep, 0.42)), ((0, 0, 0.08), (wide, 0.2, tall))]
        parts += [((x, 0.2, 0.08), (x + 0.15, deep, 0.6)) for x in (0, wide - 0.15)]
    else:
        parts = [((0, 0, 0), (wide, deep, tall))]
    size = np.array([wide, deep, tall])
    out = [(np.array(low, np.float64), np.array(high, np.float64)) for low, high in parts]
    if rng.random() < 0.5:  # its back to the other side
        for low, high in out:
            low[:2], high[:2] = (size - high)[:2], (size - low)[:2]
    if rng.random() < 0.5:
        out = [(low[[1, 0, 2]], high[[1, 0, 2]]) for low, high in out]
    return tuple(out)
