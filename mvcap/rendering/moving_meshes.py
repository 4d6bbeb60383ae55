"""Meshes that move through a scene: dressed people, and a printed board that is carried through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calib.boards import Board
from calib.boards.pictures import drawings
from calib.geometry import transform
from mvcap.rendering.body_pose import MovingBody
from mvcap.rendering.clothing import DressedBody


class MovingMesh(Protocol):
    """One mesh of constant triangles whose vertices move."""

    @property
    def faces(self) -> NDArray[np.uint32]:
        """Triangles (F, 3)."""
        ...

    @property
    def person(self) -> NDArray[np.uint8]:
        """(F,) number of the person, from 1; 0: none."""
        ...

    @property
    def part(self) -> NDArray[np.uint8]:
        """(F,) number of the part, 1.. of ``PARTS``; 0: none."""
        ...

    @property
    def pieces(self) -> tuple[slice, ...]:
        """Vertices of each body or thing."""
        ...

    def vertices(self, time_s: float) -> NDArray[np.float64]:
        """Vertices (V, 3) m at a time."""
        ...

    def albedo(self, face: NDArray[np.integer], share: NDArray[np.floating]) -> NDArray[np.float32]:
        """Linear reflectance (N, 3) at shares (N, 3) of the corners of triangles (N,)."""
        ...


class DressedPeople:
    """People in their clothes, in motion, as one mesh; person numbers 1.. in order."""

    def __init__(self, bodies: tuple[tuple[MovingBody, DressedBody], ...]) -> None:
        self.bodies = bodies
        ends = np.cumsum([0, *(len(body.surface.rest) for body, _ in bodies)])
        self._first_face = np.cumsum([0, *(len(body.surface.faces) for body, _ in bodies)])
        self.pieces = tuple(slice(a, b) for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
        faces = [body.surface.faces + np.uint32(a) for (body, _), a in zip(bodies, ends, strict=False)]
        self.faces = np.concatenate(faces).astype(np.uint32)
        self.person = np.repeat(np.arange(1, len(bodies) + 1), np.diff(self._first_face)).astype(np.uint8)
        self.part = np.concatenate([body.surface.part_of_face for body, _ in bodies])

    def vertices(self, time_s: float) -> NDArray[np.float64]:
        """Vertices (V, 3) m of all people at a time."""
        return np.concatenate([body.vertices(time_s, dressed.rest) for body, dressed in self.bodies])

    def albedo(self, face: NDArray[np.integer], share: NDArray[np.floating]) -> NDArray[np.float32]:
        """Linear reflectance (N, 3) of clothes, hair and skin."""
        out = np.zeros((len(face), 3), np.float32)
        for index, (_, dressed) in enumerate(self.bodies):
            mine = (face >= self._first_face[index]) & (face < self._first_face[index + 1])
            out[mine] = dressed.albedo(face[mine] - self._first_face[index], share[mine])
        return out

    def joints(self, time_s: float) -> NDArray[np.float64]:
        """True joints (P, 26, 3) m, ``halpe26``, at a time."""
        return np.stack([body.joints(time_s) for body, _ in self.bodies])


_INK, _PAPER = 0.02, 0.75
_MARGIN = 0.07  # of white paper about the print, as a share of its longer side


@dataclass(frozen=True, eq=False)
class CarriedBoard:
    """A flat printed board of one piece that moves rigidly.

    path: world_from_board (4, 4) at a time s; the board's points are on its plane z = 0, its print faces -z.
    """

    board: Board
    path: Callable[[float], NDArray[np.float64]]
    faces: NDArray[np.uint32]
    person: NDArray[np.uint8]
    part: NDArray[np.uint8]
    pieces: tuple[slice, ...] = (slice(0, 4),)

    @cached_property
    def _corners(self) -> NDArray[np.float64]:
        """(4, 3) m corners of the paper: round the print."""
        drawing = drawings(self.board)[0]
        margin = _MARGIN * max(drawing.size_m)
        x = np.array([drawing.x[0] - margin, drawing.x[-1] + margin])
        y = np.array([drawing.y[0] - margin, drawing.y[-1] + margin])
        return np.array([[x[0], y[0], 0], [x[1], y[0], 0], [x[0], y[1], 0], [x[1], y[1], 0]])

    def vertices(self, time_s: float) -> NDArray[np.float64]:
        """Corners (4, 3) m of the paper at a time."""
        return np.asarray(transform(self.path(time_s), self._corners))

    def albedo(self, face: NDArray[np.integer], share: NDArray[np.floating]) -> NDArray[np.float32]:
        """Linear reflectance (N, 3) of paper and ink."""
        xyz = np.einsum("nc,ncx->nx", share.astype(np.float64), self._corners[self.faces[face]])
        drawing = drawings(self.board)[0]
        column = np.searchsorted(drawing.x, xyz[:, 0], side="right") - 1
        row = np.searchsorted(drawing.y, xyz[:, 1], side="right") - 1
        inside = (column >= 0) & (row >= 0) & (column < len(drawing.x) - 1) & (row < len(drawing.y) - 1)
        dark = inside & drawing.dark[np.where(inside, row, 0), np.where(inside, column, 0)]
        return np.repeat(np.where(dark, _INK, _PAPER)[:, None], 3, 1).astype(np.float32)


def carried_board(board: Board, path: Callable[[float], NDArray[np.float64]]) -> CarriedBoard:
    """Return a board that is moved along a path, visible from both sides; its back shows the print mirrored."""
    faces = np.array([[0, 1, 2], [1, 3, 2]], np.uint32)
    return CarriedBoard(board, path, faces, np.zeros(2, np.uint8), np.zeros(2, np.uint8))
