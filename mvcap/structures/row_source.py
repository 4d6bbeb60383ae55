"""Access to the rows of a take by ranges of frames, from a session folder or from memory; the input of the stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.skeleton import Skeleton
from mvcap.structures.table import Table

T = TypeVar("T", bound=Table)
T_co = TypeVar("T_co", bound=Table, covariant=True)


class RowSource(Protocol[T_co]):
    """Rows in the order of frames, in chunks; ``Artefact`` and ``RowsInMemory`` implement it."""

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the rows."""
        ...

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first frame and the end (exclusive) of every chunk."""
        ...

    def chunks(self) -> Iterator[T_co]:
        """Yield all chunks in the order of frames."""
        ...

    def between(self, start: int, stop: int) -> T_co:
        """Return the rows of frames start to stop (exclusive)."""
        ...

    def state(self, start: int) -> dict[str, NDArray[Any]]:
        """Return the stage's state at the end of the chunk that begins at a frame."""
        ...


class RowsInMemory(Generic[T]):
    """Rows of a take in memory as a ``RowSource``, with the chunk ranges of a session's stages."""

    def __init__(
        self, rows: T, frames: int, chunk_frames: int, states: Mapping[int, dict[str, NDArray[Any]]] | None = None
    ) -> None:
        frame = rows.arrays()["frame"]
        self._rows = rows if (np.diff(frame) >= 0).all() else rows[np.argsort(frame, kind="stable")]
        self._frame = self._rows.arrays()["frame"]
        self._frames, self._step = frames, chunk_frames
        self._states = states or {}

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the rows."""
        return self._rows.skeleton

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first frame and the end (exclusive) of every chunk."""
        return [(start, min(start + self._step, self._frames)) for start in range(0, self._frames, self._step)]

    def chunks(self) -> Iterator[T]:
        """Yield all chunks in the order of frames."""
        for start, stop in self.ranges():
            yield self.between(start, stop)

    def between(self, start: int, stop: int) -> T:
        """Return the rows of frames start to stop (exclusive)."""
        first, end = np.searchsorted(self._frame, (start, stop))
        return self._rows[int(first) : int(end)]

    def state(self, start: int) -> dict[str, NDArray[Any]]:
        """Return the stage's state at the end of the chunk that begins at a frame."""
        return self._states.get(start, {})
