"""The input of exporters: the poses of a take in chunks, with its rate, persons, name and axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.poses import Poses3D, full_covariance, missing_joints, packed_covariance, sigma_m
from mvcap.structures.skeleton import Skeleton

Axes = Literal["z-up", "y-up"]

# A rotation by 90 degrees about x: z becomes y, y becomes -z. Being a rotation, it does not mirror bodies.
_TURN: dict[str, NDArray[np.float64]] = {
    "z-up": np.eye(3),
    "y-up": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}


@dataclass(frozen=True)
class Part:
    """A range of frames (stop exclusive) and a choice of persons."""

    start: int
    stop: int
    persons: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Block:
    """Dense arrays of a part: T frames, P persons, in the take's axes; missing joints are NaN or 0."""

    part: Part
    xyz: NDArray[np.float32]
    """(T, P, J, 3) m."""
    score: NDArray[np.float32]
    """(T, P, J)."""
    error_px: NDArray[np.float32]
    """(T, P, J), NaN where missing."""
    views: NDArray[np.uint8]
    """(T, P, J)."""
    sigma_m: NDArray[np.float32]
    """(T, P, J), see ``sigma_m``."""

    @property
    def start(self) -> int:
        """First frame of the block."""
        return self.part.start


@dataclass(frozen=True)
class PoseStream:
    """The poses of a take, readable repeatedly in chunks in the order of frames; the unit is always the metre."""

    skeleton: Skeleton
    chunks: Callable[[], Iterator[Poses3D]]
    """Rows of consecutive ranges of frames, in the world frame (z up)."""
    frames: int
    rate_hz: float
    persons: tuple[int, ...]
    name: str
    axes: Axes = "z-up"

    def __post_init__(self) -> None:
        if not self.rate_hz > 0 or self.frames < 0 or self.axes not in _TURN:
            raise ValueError(
                f"a take needs a rate above 0 and axes {' or '.join(_TURN)}, not {self.rate_hz}, {self.axes}"
            )

    def turned(self) -> Iterator[Poses3D]:
        """Yield the chunks with positions and covariances in the take's axes."""
        for chunk in self.chunks():
            yield chunk if self.axes == "z-up" else turn_axes(chunk, _TURN[self.axes])

    def blocks(self, parts: Iterable[Part]) -> Iterator[Block]:
        """Yield dense blocks of parts in ascending order without overlap, in one pass over the chunks.

        Raises ValueError if chunks are not in the order of frames or extend beyond the end of the take.
        """
        chunks = _ordered(self.turned(), self.frames)
        rows = next(chunks, None)
        for part in parts:
            held = []
            while rows is not None and (not len(rows) or rows.frame.min() < part.stop):
                held.append(rows[(rows.frame >= part.start) & (rows.frame < part.stop)])
                if len(rows) and rows.frame.max() >= part.stop:
                    break
                rows = next(chunks, None)
            yield _dense(part, Poses3D.concatenate(held, self.skeleton))

    def person_blocks(self, person: int, frames: int = 1024) -> Iterator[Block]:
        """Yield dense blocks (P = 1) of one person, with so many frames each, from frame 0 to the end of the take."""
        return self.blocks(self.cut(frames, (person,)))

    def cut(self, frames: int, persons: Sequence[int] | None = None) -> list[Part]:
        """Return parts of so many frames each that cover the whole take; persons: default all persons of the take."""
        chosen = self.persons if persons is None else tuple(persons)
        return [Part(start, min(start + frames, self.frames), chosen) for start in range(0, self.frames, frames)]


def turn_axes(poses: Poses3D, rotation: NDArray[np.float64]) -> Poses3D:
    """Return the rows with positions and covariances in other axes; rotation (3, 3) is applied from the left."""
    new_from_old = np.eye(4)
    new_from_old[:3, :3] = rotation
    return move_poses(poses, new_from_old)


def move_poses(poses: Poses3D, new_from_old: NDArray[np.float64], scale: float = 1.0) -> Poses3D:
    """Return the rows in another world: lengths times scale, then moved by new_from_old (4, 4), rigid, metres.

    Positions and covariances change, and so do those of the raw poses in ``take``; all else is the same in any world.
    """
    rotation, shift = new_from_old[:3, :3], new_from_old[:3, 3]
    cov = scale**2 * (rotation @ full_covariance(poses.cov.astype(np.float64)) @ rotation.T)
    xyz = scale * (poses.xyz.astype(np.float64) @ rotation.T) + shift + 0.0
    moved = poses.with_columns(xyz=xyz, cov=packed_covariance(cov))
    if moved.take is None or moved.take.raw is None:
        return moved
    return replace(moved, take=replace(moved.take, raw=move_poses(moved.take.raw, new_from_old, scale)))


def _ordered(chunks: Iterator[Poses3D], frames: int) -> Iterator[Poses3D]:
    last = -1
    for chunk in chunks:
        if len(chunk):
            if chunk.frame.min() <= last or chunk.frame.max() >= frames:
                raise ValueError(
                    f"a chunk of frames {chunk.frame.min()} to {chunk.frame.max()} after frame {last} in a take of "
                    f"{frames} frames; chunks must be in the order of frames"
                )
            last = int(chunk.frame.max())
        yield chunk


def _dense(part: Part, rows: Poses3D) -> Block:
    shape = (part.stop - part.start, len(part.persons), len(rows.skeleton))
    place = {person: index for index, person in enumerate(part.persons)}
    rows = rows[np.isin(rows.person, part.persons)]
    at = (rows.frame - part.start, np.array([place[p] for p in rows.person.tolist()], dtype=np.int64))
    missing = missing_joints(rows.xyz)

    def densely(values: NDArray[np.floating], *axes: int) -> NDArray[np.float32]:
        out = np.full((*shape, *axes), np.nan, np.float32)
        out[at] = np.where(missing[(..., *[None] * len(axes))], np.nan, values)
        return out

    views = np.zeros(shape, np.uint8)
    views[at] = np.where(missing, 0, rows.views)
    score = np.nan_to_num(densely(rows.score))
    return Block(part, densely(rows.xyz, 3), score, densely(rows.error_px), views, densely(sigma_m(rows)))
