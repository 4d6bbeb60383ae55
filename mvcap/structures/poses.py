"""People in the world: one row is one person at one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mvcap.errors import InputError
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.skeleton import skeleton as named_skeleton
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
class TakeInfo:
    """What belongs to poses as a whole."""

    rate_hz: float | None
    """Frames a second; None where it is not known."""
    frames: int
    """Frames of the take; people may be missing in some."""
    raw: Poses3D | None = None
    """The same people before refinement."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Settings and inputs of every stage, views, units: what ``poses.npz`` of a session says of itself."""


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
    take: TakeInfo | None = field(default=None, kw_only=True, repr=False)
    """What belongs to the poses as a whole, where they come from a file or from ``reconstruct_rows``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.array_equal(np.isnan(self.xyz).any(-1), self.score == 0):
            raise ValueError("Poses3D: a joint is missing where xyz is NaN and score is 0, both together")

    @classmethod
    def from_dense(cls, xyz: ArrayLike, skeleton: Skeleton | str, persons: Sequence[int] | None = None) -> Self:
        """Make rows of positions (T, P, J, 3) m in the world frame, NaN where a joint is missing.

        persons: (P,) numbers; 1, 2, 3 ... when left out. A person without any joint in a frame has no row there. Score
        is 1 where a joint is; covariance, error and views are unknown. Raises ValueError where shapes do not fit.
        """
        kind = named_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
        given = np.asarray(xyz, np.float64)
        if given.ndim != 4 or given.shape[2:] != (len(kind), 3):
            raise ValueError(f"positions are (T, P, J, 3) with J = {len(kind)} for {kind.name}, not {given.shape}")
        who = np.arange(1, given.shape[1] + 1) if persons is None else np.asarray(persons)
        frame, column_index = np.nonzero(np.isfinite(given).all(-1).any(-1))
        points = given[frame, column_index]
        there: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(-1))
        return cls(
            kind,
            frame=frame,
            person=who[column_index],
            group=who[column_index],
            xyz=np.where(there[..., None], points, np.nan),
            score=there,
            error_px=np.full(there.shape, np.nan),
            views=np.zeros(there.shape),
            cov=np.full((*there.shape, 6), np.nan),
            provenance=np.where(there, Provenance.MEASURED, Provenance.MISSING),
        )

    @property
    def rate_hz(self) -> float | None:
        """Frames a second, where it is known."""
        return self.take.rate_hz if self.take else None

    @property
    def raw(self) -> Poses3D | None:
        """The same people before refinement, where they are known."""
        return self.take.raw if self.take else None

    @property
    def persons(self) -> NDArray[np.int32]:
        """(P,) numbers of the people, in order."""
        return np.unique(self.person)

    def dense(
        self, frames: int | None = None, persons: NDArray[np.integer] | Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Positions (T, P, J, 3) m of persons in frames 0..frames-1, NaN where a person is not.

        Left out, frames is the length of the take (or the last frame with a person), and persons are ``persons``.
        """
        last = int(self.frame.max(initial=-1)) + 1
        count = frames if frames is not None else max(last, self.take.frames if self.take else 0)
        who = self.persons if persons is None else np.asarray(persons)
        out = np.full((count, len(who), len(self.skeleton), 3), np.nan, dtype=np.float32)
        for column_index, person in enumerate(who):
            mine = (self.person == person) & (self.frame < count)
            out[self.frame[mine], column_index] = self.xyz[mine]
        return out

    def of(self, person: int | None = None, frame: int | None = None) -> Self:
        """Return the rows of one person, of one frame, or of both."""
        kept = np.ones(len(self), np.bool_)
        if person is not None:
            kept &= self.person == person
        if frame is not None:
            kept &= self.frame == frame
        return self[kept]

    def to_skeleton(self, target: Skeleton | str) -> Self:
        """Return the same people with the joints of another skeleton, by name.

        A joint that both have keeps its columns. One that follows from others (the pelvis as the middle of the hips)
        has the mean of their scores, views and errors, and no covariance. All else is missing. The unrefined poses of
        ``raw`` are converted too. InputError names the skeletons there are.
        """
        kind = named_skeleton(target) if isinstance(target, str) else target
        made = self.with_joints(kind, self.skeleton.apply(kind, self.xyz.astype(np.float64)))
        if made.take and made.take.raw is not None:
            return replace(made, take=replace(made.take, raw=made.take.raw.to_skeleton(kind)))
        return made

    def with_joints(self, target: Skeleton, xyz: NDArray[np.floating]) -> Self:
        """Return the same rows with joints (M, J', 3) m of another skeleton; a joint that both have keeps its columns.

        A joint that was made of others has the mean of their scores, views and errors, and no covariance.
        """
        there = np.isfinite(xyz).all(-1)
        names = list(self.skeleton.joints)
        columns: dict[str, NDArray[np.floating]] = {}
        for name in ("score", "error_px", "views", "cov", "provenance"):
            held = getattr(self, name).astype(np.float64)
            blank = np.full((len(self), len(target), *held.shape[2:]), np.nan)
            with np.errstate(invalid="ignore"):
                whole = held.sum(1) / np.maximum((held > 0).sum(1), 1)
            blank[:] = np.nan if name == "cov" else (1 if name == "provenance" else whole[:, None])
            for at, joint in enumerate(target.joints):
                if joint in names:
                    blank[:, at] = held[:, names.index(joint)]
            columns[name] = blank
        for name in ("score", "views", "provenance"):
            columns[name] = np.nan_to_num(np.where(there, columns[name], 0))
        columns["score"] = np.where(there, np.maximum(columns["score"], 1e-3), 0)
        return type(self)(
            target, self.frame, self.person, self.group, np.where(there[..., None], xyz, np.nan), columns["score"],
            columns["error_px"], columns["views"].round(), columns["cov"], columns["provenance"], **self._about(),
        )  # fmt: skip

    def to_pandas(self, rate_hz: float | None = None) -> Any:
        """Return a DataFrame with a row for each joint, person and frame: the columns of the CSV export.

        Columns: frame, time_s (where the rate is known), person, joint, x_m, y_m, z_m, score, error_px, views, sigma_m.
        InputError where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as fault:
            raise InputError("to_pandas needs pandas: pip install pandas") from fault
        joints, rate = len(self.skeleton), rate_hz or self.rate_hz
        frame = np.repeat(self.frame, joints)
        variance = self.cov[..., [0, 3, 5]].mean(-1)
        sigma = np.sqrt(np.where(variance >= 0, variance, np.nan))
        missing = np.isnan(self.xyz).any(-1)
        columns = {
            "frame": frame,
            **({"time_s": frame / rate} if rate else {}),
            "person": np.repeat(self.person, joints),
            "joint": np.tile(np.array(self.skeleton.joints), len(self)),
            **{f"{axis}_m": self.xyz[..., index].ravel() for index, axis in enumerate("xyz")},
            "score": self.score.ravel(),
            "error_px": self.error_px.ravel(),
            "views": self.views.ravel(),
            "sigma_m": np.where(missing, np.nan, sigma).ravel(),
        }
        return pd.DataFrame(columns)


_UPPER = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


def full_covariance(cov: NDArray[np.floating]) -> NDArray[np.floating]:
    """Matrices (..., 3, 3) from the six stored numbers (..., 6)."""
    return np.asarray(cov[..., _UPPER])


def packed_covariance(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    """Six numbers (..., 6) xx, xy, xz, yy, yz, zz of symmetric matrices (..., 3, 3)."""
    return np.asarray(matrix[..., [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]])
