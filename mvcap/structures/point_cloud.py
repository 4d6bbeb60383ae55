"""Coloured points of people in the world frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

_COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "xyz": (np.float32, (3,)),
    "rgb": (np.uint8, (3,)),
    "person": (np.int32, ()),
    "views": (np.uint8, ()),
    "error": (np.float32, ()),
    "normals": (np.float32, (3,)),
}


@dataclass(frozen=True, eq=False)
class PointCloud:
    """N points of one moment. Columns are read-only arrays; ValueError for another shape or a point that is no place.

    Equal arrays make equal files: see ``mvcap.structures.cloud_file``.
    """

    xyz: NDArray[Any]
    """(N, 3) float32, m, world frame; finite."""
    rgb: NDArray[Any]
    """(N, 3) uint8."""
    person: NDArray[Any]
    """(N,) int32, id of the person; 0 for points of nobody, as those of a room."""
    views: NDArray[Any]
    """(N,) uint8, number of views that see the point."""
    error: NDArray[Any]
    """(N,) float32, m: standard deviation along the normal as far as the method knows it; NaN where it does not."""
    normals: NDArray[Any] | None = None
    """(N, 3) float32, unit vectors that point out of the body, or None."""

    def __post_init__(self) -> None:
        count = len(np.atleast_1d(self.xyz))
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None and spec.name == "normals":
                continue
            kind, rest = _COLUMNS[spec.name]
            array = np.array(value, dtype=kind, order="C", copy=True)
            if array.shape != (count, *rest):
                raise ValueError(f"PointCloud.{spec.name} has shape {array.shape}; expected {(count, *rest)}")
            array.setflags(write=False)
            object.__setattr__(self, spec.name, array)
        if not np.isfinite(self.xyz).all():
            raise ValueError("PointCloud.xyz has a point that is not finite")

    @classmethod
    def from_points(cls, xyz: ArrayLike, person: int = 0, rgb: ArrayLike | None = None) -> Self:
        """Make a cloud of points (N, 3) m of one person, grey unless colours (N, 3) are given."""
        points = np.asarray(xyz, np.float32).reshape(-1, 3)
        count = len(points)
        colour = np.full((count, 3), 128, np.uint8) if rgb is None else np.asarray(rgb)
        return cls(points, colour, np.full(count, person), np.zeros(count), np.full(count, np.nan))

    @classmethod
    def concatenate(cls, clouds: Sequence[Self]) -> Self:
        """Return the points of all clouds in order; normals only if every cloud has them."""
        if not clouds:
            return cls.from_points(np.zeros((0, 3)))
        joined = {
            name: np.concatenate([getattr(one, name) for one in clouds]) for name in _COLUMNS if name != "normals"
        }
        known = [one.normals for one in clouds if one.normals is not None]
        return cls(**joined, normals=np.concatenate(known) if len(known) == len(clouds) else None)

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Self:
        columns: dict[str, Any] = {name: getattr(self, name) for name in _COLUMNS}
        picked: dict[str, Any] = {name: None if value is None else value[rows] for name, value in columns.items()}
        return type(self)(**picked)

    def of(self, person: int) -> Self:
        """Return the points of one person."""
        return self[self.person == person]

    @property
    def persons(self) -> NDArray[np.int32]:
        """(P,) ids of the people, ascending."""
        return np.unique(self.person)
