"""People in the world: one row is one person at one frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.table import Table, column


class Provenance(IntEnum):
    """Where a joint's place comes from, or why it has none."""

    MISSING = 0
    """No view saw it, or nothing more is known of why it is not there."""
    MEASURED = 1
    """Two views or more agree on it."""
    ONE_VIEW = 2
    """One view saw it; how far away it is follows from the person's other joints and other frames."""
    INTERPOLATED = 3
    """Not seen at this frame; between frames at which it was."""
    PREDICTED = 4
    """Not seen at this frame, nor on one side of it in time."""
    PRIOR = 5
    """Follows from the rest of the body and the person's limbs alone."""
    LONE = 6
    """Missing: only one view saw it."""
    CONTRADICTED = 7
    """Missing: no two of the views that saw it agree."""
    AMBIGUOUS = 8
    """Missing: different pairs of views put it in different places of the body."""
    IMPLAUSIBLE = 9
    """Missing: the views agree on a place that makes a bone of no human, or of another length than it has."""


@dataclass(frozen=True, eq=False)
class Poses3D(Table):
    """3D skeletons in the world frame, metres. Missing joints have xyz NaN and score 0, always together."""

    frame: NDArray[Any] = column(dtype=np.int32)
    person: NDArray[Any] = column(dtype=np.int32)
    """Who it is through time, filled by tracking (1, 2, 3 ...); before that the same as ``group``."""
    group: NDArray[Any] = column(dtype=np.int32)
    """The number that association gave this person in this frame: the link to the detections it came from."""
    xyz: NDArray[Any] = column("J", 3)
    """m, NaN where missing."""
    score: NDArray[Any] = column("J")
    """0..1."""
    error_px: NDArray[Any] = column("J")
    """Mean distance between the detections used and the reprojected joint, px."""
    views: NDArray[Any] = column("J", dtype=np.uint8)
    """Number of views used."""
    cov: NDArray[Any] = column("J", 6)
    """Covariance of xyz, m^2: xx, xy, xz, yy, yz, zz."""
    provenance: NDArray[Any] = column("J", dtype=np.uint8)
    """``Provenance`` of each joint; where xyz is NaN, ``MISSING`` or the reason."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.array_equal(np.isnan(self.xyz).any(-1), self.score == 0):
            raise ValueError("Poses3D: a joint is missing where xyz is NaN and score is 0, both together")

    def dense(self, frames: int, persons: NDArray[np.integer]) -> NDArray[np.float32]:
        """Positions (T, P, J, 3) of the given persons in frames 0..frames-1, NaN where a person is not."""
        out = np.full((frames, len(persons), len(self.skeleton), 3), np.nan, dtype=np.float32)
        for column_index, person in enumerate(persons):
            mine = self.person == person
            out[self.frame[mine], column_index] = self.xyz[mine]
        return out


_UPPER = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


def full_covariance(cov: NDArray[np.floating]) -> NDArray[np.floating]:
    """Matrices (..., 3, 3) from the six stored numbers (..., 6)."""
    return np.asarray(cov[..., _UPPER])


def packed_covariance(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    """Six numbers (..., 6) xx, xy, xz, yy, yz, zz of symmetric matrices (..., 3, 3)."""
    return np.asarray(matrix[..., [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]])
