"""What an exporter gets: the poses of a take as chunks, and what has to be known to name and turn them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.poses import Poses3D, full_covariance, packed_covariance
from mvcap.structures.skeleton import Skeleton

Axes = Literal["z-up", "y-up"]

# A quarter turn about x: what pointed up (z) is y, what pointed along y is -z. A rotation, so no body is mirrored.
_TURN: dict[str, NDArray[np.float64]] = {
    "z-up": np.eye(3),
    "y-up": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}


@dataclass(frozen=True)
class Part:
    """A range of frames (stop exclusive) and the persons wanted of it."""

    start: int
    stop: int
    persons: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Block:
    """All frames T of a part for its persons P, in the take's axes; NaN and 0 where a joint is missing."""

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
    """The poses of a take, readable again and again in chunks of frames in order; the unit is always the metre."""

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
                f"a take has a rate above 0 and axes {' or '.join(_TURN)}, not {self.rate_hz}, {self.axes}"
            )

    def turned(self) -> Iterator[Poses3D]:
        """Chunks with the take's axes applied to positions and covariances."""
        for chunk in self.chunks():
            yield chunk if self.axes == "z-up" else turn_axes(chunk, _TURN[self.axes])

    def blocks(self, parts: Iterable[Part]) -> Iterator[Block]:
        """Dense blocks of parts that follow each other without overlap, in one pass over the chunks.

        Raises ValueError where chunks are not in the order of frames or reach beyond the take's end.
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
        """Dense blocks (P = 1) of one person, of so many frames each, from frame 0 to the take's end."""
        return self.blocks(self.cut(frames, (person,)))

    def cut(self, frames: int, persons: Sequence[int] | None = None) -> list[Part]:
        """Parts of so many frames that make up the whole take; persons are all of the take unless named."""
        who = self.persons if persons is None else tuple(persons)
        return [Part(start, min(start + frames, self.frames), who) for start in range(0, self.frames, frames)]


def turn_axes(poses: Poses3D, rotation: NDArray[np.float64]) -> Poses3D:
    """The same rows with positions and covariances in other axes; rotation (3, 3) is applied from the left."""
    cov = rotation @ full_covariance(poses.cov.astype(np.float64)) @ rotation.T
    return poses.with_columns(xyz=poses.xyz @ rotation.T + 0.0, cov=packed_covariance(cov))


def sigma_m(poses: Poses3D) -> NDArray[np.float32]:
    """Standard deviation (M, J) m of a joint's position, the root mean square over the axes; NaN where unknown."""
    variance = poses.cov[..., [0, 3, 5]].mean(-1)
    sigma = np.sqrt(np.where(variance >= 0, variance, np.nan))
    return np.where(missing_joints(poses.xyz), np.nan, sigma).astype(np.float32)


def missing_joints(xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether a joint (..., J) of positions (..., J, 3) is missing."""
    return np.asarray(np.isnan(xyz).any(-1))


def _ordered(chunks: Iterator[Poses3D], frames: int) -> Iterator[Poses3D]:
    last = -1
    for chunk in chunks:
        if len(chunk):
            if chunk.frame.min() <= last or chunk.frame.max() >= frames:
                raise ValueError(
                    f"a chunk of frames {chunk.frame.min()} to {chunk.frame.max()} after frame {last} in a take of "
                    f"{frames} frames; chunks follow each other in the order of frames"
                )
            last = int(chunk.frame.max())
        yield chunk


def _dense(part: Part, rows: Poses3D) -> Block:
    shape = (part.stop - part.start, len(part.persons), len(rows.skeleton))
    place = {person: index for index, person in enumerate(part.persons)}
    rows = rows[np.isin(rows.person, part.persons)]
    at = (rows.frame - part.start, np.array([place[p] for p in rows.person.tolist()], dtype=np.int64))
    missing = missing_joints(rows.xyz)

    def spread(values: NDArray[np.floating], *axes: int) -> NDArray[np.float32]:
        out = np.full((*shape, *axes), np.nan, np.float32)
        out[at] = np.where(missing[(..., *[None] * len(axes))], np.nan, values)
        return out

    views = np.zeros(shape, np.uint8)
    views[at] = np.where(missing, 0, rows.views)
    score = np.nan_to_num(spread(rows.score))
    return Block(part, spread(rows.xyz, 3), score, spread(rows.error_px), views, spread(sigma_m(rows)))
