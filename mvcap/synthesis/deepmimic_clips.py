"""Clips of real people in DeepMimic's format (Peng et al., "DeepMimic", SIGGRAPH 2018; data MIT licence).

A file is JSON; each of its frames is its duration s, the root's position m (y up) and quaternion (w, x, y, z), then the
rotations of chest, neck, right hip, knee, ankle, shoulder, elbow, and the left ones: quaternions relative to the parent
segment, for knees and elbows one angle rad about the body's right. The figure looks along x; its right is z.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.synthesis.bodies import SEGMENTS, GeneratedBody, body

_NUMBERS = 44
_SIDE = {"right": 16, "left": 30}  # column of each side's hip; then knee, ankle (4), shoulder (4), elbow
# The humanoid's own parts, m: those of ``humanoid.urdf`` of pybullet_data, which is four times as large.
_HUMANOID_M = {"trunk": 0.473, "shoulders": 0.366, "hips": 0.170, "thigh": 0.4215, "shank": 0.4099, "arm": 0.2748,
               "forearm": 0.2589, "ankle": 0.063, "foot": 0.25}  # fmt: skip
_STATURE_M = 1.65


@dataclass(frozen=True, eq=False)
class MotionClip:
    """A person in motion, z up."""

    time_s: NDArray[np.float64]
    """(T,) from 0."""
    root: NDArray[np.float64]
    """(T, 3) m position of the pelvis of the body ``humanoid()``."""
    turn: NDArray[np.float64]
    """(T, 13, 4) quaternion w, x, y, z of each segment in the world."""
    loops: bool
    """Whether the last frame repeats the first one, at another place."""


def humanoid() -> GeneratedBody:
    """The body of the clips."""
    return body(_STATURE_M, {"head": 1.0, **{name: length / _STATURE_M for name, length in _HUMANOID_M.items()}})


def read_clip(path: Path) -> MotionClip:
    """Read a clip. Raises InputError where the file is not a clip of a humanoid."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        frames = np.array(content["Frames"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a clip in DeepMimic's format ({error})") from error
    if frames.ndim != 2 or frames.shape[1] != _NUMBERS or len(frames) < 2:
        raise InputError(f"{path}: frames of shape {frames.shape}; a humanoid's have {_NUMBERS} numbers each")
    time_s = np.concatenate([[0.0], np.cumsum(frames[:-1, 0])])
    local = {"pelvis": frames[:, 4:8], "chest": frames[:, 8:12], "head": frames[:, 12:16]}
    for side, at in _SIDE.items():
        local |= {f"{side}_thigh": frames[:, at : at + 4], f"{side}_shank": _hinge(frames[:, at + 4]),
                  f"{side}_foot": frames[:, at + 5 : at + 9], f"{side}_arm": frames[:, at + 9 : at + 13],
                  f"{side}_forearm": _hinge(frames[:, at + 13])}  # fmt: skip
    turn = np.stack(_in_world(local), axis=1)[..., [0, 1, 3, 2]] * np.array([1.0, 1, -1, 1])
    root = frames[:, 1:4][:, [0, 2, 1]] * np.array([1.0, -1, 1])
    return MotionClip(time_s, root, _continuous(turn), content.get("Loop") == "wrap")


def _hinge(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = 0 * angle
    return np.stack([np.cos(angle / 2), flat, flat, np.sin(angle / 2)], -1)


def _in_world(local: dict[str, NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Rotations of the segments in the world, in the order of ``SEGMENTS``, along the tree of segments."""
    world: dict[str, NDArray[np.float64]] = {}
    for segment in SEGMENTS:
        side, _, part = segment.rpartition("_")
        parent = {"chest": "pelvis", "head": "chest", "thigh": "pelvis", "shank": f"{side}_thigh",
                  "foot": f"{side}_shank", "arm": "chest", "forearm": f"{side}_arm"}.get(part)  # fmt: skip
        own = local[segment] / np.linalg.norm(local[segment], axis=-1, keepdims=True)
        world[segment] = _multiply(world[parent], own) if parent else own
    return [world[segment] for segment in SEGMENTS]


def _multiply(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    w = a[..., :1] * b[..., :1] - (a[..., 1:] * b[..., 1:]).sum(-1, keepdims=True)
    return np.concatenate([w, a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + np.cross(a[..., 1:], b[..., 1:])], -1)


def _continuous(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions (T, S, 4) with the signs that make each closest to that of the frame before."""
    flips = np.where((turn[1:] * turn[:-1]).sum(-1) < 0, -1.0, 1.0)
    sign = np.concatenate([np.ones((1, turn.shape[1])), np.cumprod(flips, axis=0)])
    return np.asarray(turn * sign[..., None])
