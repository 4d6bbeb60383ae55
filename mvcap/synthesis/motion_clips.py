"""Motion clips of real people, resampled and retargeted for training, with a split into training and held-out clips.

The clips are the asset ``motions`` (real motion capture, MIT licence). Networks are trained with those of ``TRAIN`` and
evaluated with those of ``HELD_OUT``: clips of motions that ``TRAIN`` does not contain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap import assets
from mvcap.errors import AssetError, InputError
from mvcap.synthesis.bodies import GeneratedBody, assemble, carry_forward, lowest_point, mirror_vectors
from mvcap.synthesis.deepmimic_clips import MotionClip, humanoid, read_clip

TRAIN = ("backflip", "cartwheel", "crawl", "getup_facedown", "getup_faceup", "kick", "punch", "roll", "run", "spinkick",
         "walk")  # fmt: skip
HELD_OUT = ("dance_a", "dance_b", "jump", "spin")
SPLITS: Mapping[str, tuple[str, ...]] = {"train": TRAIN, "held_out": HELD_OUT}
ASSET = "motions"

_RATE_HZ, _LONG_S = 120.0, 4.0
_SMOOTH_S = 0.017  # some clips have single wrong frames
_SAME_POSE = 0.35  # rad, largest difference of segments between the ends of a motion that can be repeated


@dataclass(frozen=True, eq=False)
class Motion:
    """A named clip: rotations of body segments over time, at 120 Hz, for any body."""

    name: str
    root: NDArray[np.float64]
    """(T, 3) position of the pelvis in leg lengths, z up, from the origin."""
    turn: NDArray[np.float64]
    """(T, 13, 4) quaternion w, x, y, z of each segment in the world, ``bodies.SEGMENTS``."""
    gap: NDArray[np.float64]
    """(T,) height of the lowest part above the floor in leg lengths: 0 except in jumps."""

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return _RATE_HZ

    @property
    def seconds(self) -> float:
        """Duration, s."""
        return (len(self.root) - 1) / _RATE_HZ

    def of(
        self, build: GeneratedBody, time_s: NDArray[np.floating], mirror: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pelvis (T, 3) m and vectors (T, 27, 3) m of a body in this motion at times (T,); it stands on z = 0.

        The body keeps the clip's height above the floor, so feet stand and jumps stay jumps. Times outside the clip are
        clamped to its ends.
        """
        at = np.clip(time_s * _RATE_HZ, 0, len(self.root) - 1.001)
        low = at.astype(np.int64)
        part = at - low
        turn = self.turn[low] + part[:, None, None] * (self.turn[low + 1] - self.turn[low])
        root = (self.root[low] + part[:, None] * (self.root[low + 1] - self.root[low])) * build.leg_m
        gap = (self.gap[low] + part * (self.gap[low + 1] - self.gap[low])) * build.leg_m
        vectors = carry_forward(build, matrices(turn))
        if mirror:
            vectors, root = mirror_vectors(vectors), root * np.array([1.0, -1.0, 1.0])
        root[:, 2] = 0
        root[:, 2] = gap - lowest_point(build, assemble(root, vectors))
        return root, vectors


@dataclass(frozen=True)
class Library:
    """The clips that people of a scene may perform."""

    motions: tuple[Motion, ...]

    @property
    def complete(self) -> bool:
        """Whether it has clips of real people; without any, people have procedural motion only."""
        return bool(self.motions)


def motion_of(clip: MotionClip, name: str) -> Motion:
    """Motion of a clip; one that loops is repeated until it is four seconds long."""
    clip = _repeat(clip)
    time_s = np.arange(int(clip.time_s[-1] * _RATE_HZ) + 1) / _RATE_HZ
    flat = np.concatenate([clip.root, clip.turn.reshape(len(clip.root), -1)], axis=1)
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    fine = gaussian_filter1d(CubicSpline(clip.time_s, flat)(time_s), _SMOOTH_S * _RATE_HZ, axis=0, mode="nearest")
    turn = fine[:, 3:].reshape(len(fine), -1, 4)
    turn /= np.linalg.norm(turn, axis=-1, keepdims=True)
    own = humanoid()
    low = lowest_point(own, assemble(fine[:, :3], carry_forward(own, matrices(turn))))
    gap = np.maximum(low - np.quantile(low, 0.1), 0) / own.leg_m
    gap = np.where(gap < 0.04, 0, gap - 0.04)  # a standing body does not float
    root = (fine[:, :3] - fine[0, :3] * np.array([1, 1, 0])) / own.leg_m
    return Motion(name, root, turn, gap)


def _repeat(clip: MotionClip) -> MotionClip:
    """Repeat a clip that loops while it moves on."""
    way = clip.root[-1] - clip.root[0]
    apart = 2 * np.arccos(np.clip(np.abs((clip.turn[0] * clip.turn[-1]).sum(-1)), 0, 1))
    times = int(np.ceil(_LONG_S / clip.time_s[-1]))
    if not clip.loops or apart.max() > _SAME_POSE or times < 2 or np.linalg.norm(way[:2]) < 0.5:
        return clip
    way = way * np.array([1, 1, 0])
    sign = np.where((clip.turn[0] * clip.turn[-1]).sum(-1) < 0, -1.0, 1.0)[:, None]
    drift = clip.turn[-1] - sign * clip.turn[0]  # spread over the clip, so that its ends meet
    share = (clip.time_s / clip.time_s[-1])[:, None, None]
    turn = clip.turn - share * drift
    root = clip.root - share[..., 0] * (clip.root[-1] - clip.root[0] - way)
    pieces = [(clip.time_s[:-1] + n * clip.time_s[-1], root[:-1] + n * way, turn[:-1] * sign**n) for n in range(times)]
    time_s, root, turn = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return MotionClip(time_s, root, turn, False)


@cache
def library(split: str) -> Library:
    """Motions of the asset for a split, fetched where the cache lacks them; empty where they are not available.

    Raises InputError for another split.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; there are: {', '.join(SPLITS)}")
    try:
        folder = assets.path(ASSET)
    except AssetError:
        return Library(())
    return read_library(folder, SPLITS[split])


def read_library(folder: Path, names: tuple[str, ...] | None = None) -> Library:
    """Motions of the clips in a folder, of all or of the named ones. Raises InputError where one is missing."""
    files = {path.stem.removeprefix("humanoid3d_"): path for path in sorted(folder.glob("humanoid3d_*.txt"))}
    missing = set(names or ()) - set(files)
    if missing:
        raise InputError(f"{folder}: no clip {', '.join(sorted(missing))}; repair with: mvcap assets fetch {ASSET}")
    return Library(tuple(motion_of(read_clip(files[name]), name) for name in names or files))


def matrices(turn: NDArray[np.floating]) -> NDArray[np.float64]:
    """Matrices (..., 3, 3) of quaternions (..., 4) w, x, y, z of any length."""
    w, x, y, z = np.moveaxis(turn, -1, 0)
    n = 2 / (w * w + x * x + y * y + z * z)
    rows = [1 - n * (y * y + z * z), n * (x * y - w * z), n * (x * z + w * y),
            n * (x * y + w * z), 1 - n * (x * x + z * z), n * (y * z - w * x),
            n * (x * z - w * y), n * (y * z + w * x), 1 - n * (x * x + y * y)]  # fmt: skip
    return np.stack(rows, -1).reshape(*turn.shape[:-1], 3, 3)
