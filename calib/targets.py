"""Calibration targets: points with known positions relative to one another, in metres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib.arrays import Floats
from calib.errors import CalibrationError

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Target:
    """N points on rigid pieces; the poses of the pieces relative to each other are constant and estimated.

    name says what it is; points (N, 3) m in the frame of the point's own piece, NaN for a free point, which may be
    anywhere at every moment (a joint of a person); piece (N,) index into `pieces`. A board is one piece; a cube of
    boards has six, a set of tags on the walls one a tag; a wand is one piece of two or more points on a line. still: it
    does not move, so the first piece's frame is the world (measured points of a scene). back_of: index for each piece
    of the one whose back it is, or its own; a back lies nearly where its front does.
    """

    name: str
    points: Floats
    piece: Indices | None = None
    pieces: tuple[str, ...] = ("board",)
    still: bool = False
    back_of: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        points = np.array(self.points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
            raise CalibrationError(f"target {self.name!r}: points have to be (N, 3) metres, not {points.shape}")
        piece = np.zeros(len(points), np.intp) if self.piece is None else np.array(self.piece, np.intp)
        if piece.shape != (len(points),) or piece.min() < 0 or piece.max() >= len(self.pieces):
            raise CalibrationError(f"target {self.name!r}: every point belongs to one of its pieces {self.pieces}")
        for array in (points, piece):
            array.setflags(write=False)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "piece", piece)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def of_piece(self) -> Indices:
        """Index (N,) of the piece that each point is on."""
        assert self.piece is not None
        return self.piece

    @property
    def free(self) -> bool:
        """Whether its points are free: independent of each other, and estimated at every moment."""
        return bool(np.isnan(self.points).any())

    def rank(self, piece: int = 0) -> int:
        """Dimensions that the points of a piece span: 1 a wand, 2 a flat board, 3 anything else, 0 free points."""
        if self.free:
            return 0
        points = self.points[self.of_piece == piece]
        spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
        return int((spread > 1e-6 * max(spread[0], 1e-300)).sum())

    @property
    def extent(self) -> float:
        """Largest diagonal of a piece's bounding box, m; NaN for free points."""
        sizes = [np.ptp(self.points[self.of_piece == index], axis=0) for index in range(len(self.pieces))]
        return float(max(np.linalg.norm(size) for size in sizes))


def two_sided(front: Target) -> Target:
    """A board of one piece with its back, seen mirrored: usually a separate sheet, millimetres behind the front."""
    points = np.concatenate([front.points, front.points])
    return Target(front.name, points, np.repeat([0, 1], len(front)), (*front.pieces, "its back"), back_of=(0, 0))


def wand(lengths_m: ArrayLike) -> Target:
    """A wand: points on one line at the given distances (N,) m from its end; the first is usually 0."""
    along = np.asarray(lengths_m, np.float64).ravel()
    if along.size < 2 or not np.isfinite(along).all() or np.unique(along).size != along.size:
        raise CalibrationError(f"a wand needs two or more different positions along it in metres, not {along}")
    return Target("wand", np.stack([along, 0 * along, 0 * along], -1), pieces=("wand",))


def scene_points(points: ArrayLike) -> Target:
    """A target of measured points (N, 3) m of the world."""
    return Target("measured points", np.asarray(points, np.float64), pieces=("world",), still=True)


def free_points(count: int, name: str = "people") -> Target:
    """A target of free points such as the joints of people: only their correspondence across views is known."""
    return Target(name, np.full((count, 3), np.nan), pieces=("free",))
