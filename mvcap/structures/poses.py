"""3D poses in the world frame: one row is one person at one frame."""

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
from mvcap.structures.timeline import check_length


class Provenance(IntEnum):
    """Source of a joint's position, or the reason why it is missing."""

    MISSING = 0
    """Missing: no view detected it, or the reason is unknown."""
    MEASURED = 1
    """Triangulated from two or more consistent views."""
    ONE_VIEW = 2
    """Detected by one view; its depth follows from the person's other joints and other frames."""
    INTERPOLATED = 3
    """Not detected at this frame, but at frames before and after it."""
    PREDICTED = 4
    """Not detected at this frame, and only before or only after it."""
    PRIOR = 5
    """Inferred only from the rest of the body and the person's limb lengths."""
    LONE = 6
    """Missing: detected by one view only."""
    CONTRADICTED = 7
    """Missing: no two of the views that detected it are consistent."""
    AMBIGUOUS = 8
    """Missing: different pairs of views give different positions."""
    IMPLAUSIBLE = 9
    """Missing: the triangulated position gives a bone an impossible length, or another one than it has."""
    REJECTED = 10
    """Views agree on a position, but no human motion or limb reaches it; inferred like a joint that no view detected.
    """
    MONOCULAR = 11
    """Lifted from one view, in a take of one camera: the depth is learned from people in general."""


@dataclass(frozen=True, eq=False)
class TakeInfo:
    """Information about the take that a table of poses belongs to."""

    rate_hz: float | None
    """Frames per second; None if unknown."""
    frames: int
    """Number of frames of the take, including frames without people."""
    raw: Poses3D | None = None
    """The poses before refinement."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Settings and inputs of every stage, views and units, as in ``poses.npz`` of a session."""


@dataclass(frozen=True, eq=False)
class Poses3D(Table):
    """3D skeletons in the world frame, metres. A missing joint has xyz NaN and score 0, always together."""

    frame: NDArray[Any] = column(dtype=np.int32)
    person: NDArray[Any] = column(dtype=np.int32)
    """Track id over time, filled by tracking (1, 2, 3 ...); before tracking the same as ``group``."""
    group: NDArray[Any] = column(dtype=np.int32)
    """Person number given by association in this frame, which links the row to its detections."""
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
    """``Provenance`` of each joint; if xyz is NaN, ``MISSING`` or the reason."""
    take: TakeInfo | None = field(default=None, kw_only=True, repr=False)
    """Information about the take, for poses read from a file or returned by ``reconstruct_rows``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.array_equal(np.isnan(self.xyz).any(-1), self.score == 0):
            raise ValueError("Poses3D: a missing joint must have xyz NaN and score 0, both together")

    @classmethod
    def from_dense(cls, xyz: ArrayLike, skeleton: Skeleton | str, persons: Sequence[int] | None = None) -> Self:
        """Make rows of positions (T, P, J, 3) m in the world frame, NaN where a joint is missing.

        persons: (P,) ids, default 1, 2, 3 ... A person without any joint in a frame has no row there. The score of
        known joints is 1; covariance, error and views are unknown. Raises ValueError if shapes do not fit.
        """
        kind = named_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
        given = np.asarray(xyz, np.float64)
        if given.ndim != 4 or given.shape[2:] != (len(kind), 3):
            raise ValueError(f"positions must be (T, P, J, 3) with J = {len(kind)} for {kind.name}, not {given.shape}")
        ids = np.arange(1, given.shape[1] + 1) if persons is None else np.asarray(persons)
        whole = np.issubdtype(ids.dtype, np.integer) and ids.size and ids.min() >= 0 and ids.max() < 2**31
        if ids.shape != given.shape[1:2] or len(set(ids.tolist())) < len(ids) or (len(ids) and not whole):
            raise ValueError(f"persons are {given.shape[1]} different whole numbers of 0 or more, not {ids.tolist()}")
        given = np.where(np.abs(given) < _FARTHEST_M, given, np.nan)
        frame, column_index = np.nonzero(np.isfinite(given).all(-1).any(-1))
        return cls.from_positions(kind, frame, ids[column_index], given[frame, column_index])

    @classmethod
    def from_positions(cls, kind: Skeleton, frame: ArrayLike, person: ArrayLike, xyz: ArrayLike) -> Self:
        """Make rows of positions (M, J, 3) m, NaN where unknown, in frames (M,) of persons (M,); score 1 if known."""
        points = np.asarray(xyz, np.float64).reshape(-1, len(kind), 3)
        known: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(-1))
        persons = np.asarray(person)
        return cls(
            kind,
            frame=np.asarray(frame),
            person=persons,
            group=persons,
            xyz=np.where(known[..., None], points, np.nan),
            score=known,
            error_px=np.full(known.shape, np.nan),
            views=np.zeros(known.shape),
            cov=np.full((*known.shape, 6), np.nan),
            provenance=np.where(known, Provenance.MEASURED, Provenance.MISSING),
        )

    @property
    def rate_hz(self) -> float | None:
        """Frames per second, None if unknown."""
        return self.take.rate_hz if self.take else None

    @property
    def raw(self) -> Poses3D | None:
        """The poses before refinement, None if unknown."""
        return self.take.raw if self.take else None

    @property
    def persons(self) -> NDArray[np.int32]:
        """(P,) ids of the people, ascending."""
        return np.unique(self.person)

    def dense(
        self, frames: int | None = None, persons: NDArray[np.integer] | Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Return positions (T, P, J, 3) m of persons in frames 0..frames-1, NaN where a person is absent.

        frames: default the length of the take (or up to the last frame with a person); persons: default ``persons``.
        Raises InputError for more frames than any take has.
        """
        last = int(self.frame.max(initial=-1)) + 1
        count = frames if frames is not None else max(last, self.take.frames if self.take else 0)
        check_length(count, "dense positions")
        chosen = self.persons if persons is None else np.asarray(persons)
        out = np.full((count, len(chosen), len(self.skeleton), 3), np.nan, dtype=np.float32)
        for column_index, person in enumerate(chosen):
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
        """Return the poses with the joints of another skeleton, matched by name.

        A joint that both skeletons have keeps its columns. A joint derived from others (the pelvis as the midpoint of
        the hips) has the mean score, views and error of the row's joints, and no covariance. All others are missing.
        The poses of ``raw`` are converted too. InputError lists the available skeletons.
        """
        kind = named_skeleton(target) if isinstance(target, str) else target
        made = self.with_joints(kind, self.skeleton.apply(kind, self.xyz.astype(np.float64)))
        if made.take and made.take.raw is not None:
            return replace(made, take=replace(made.take, raw=made.take.raw.to_skeleton(kind)))
        return made

    def with_joints(self, target: Skeleton, xyz: NDArray[np.floating]) -> Self:
        """Return the rows with joints xyz (M, J', 3) m of another skeleton; joints that both have keep their columns.

        Other joints have the mean score, views and error of the row's joints, and no covariance.
        """
        known = np.isfinite(xyz).all(-1)
        names = list(self.skeleton.joints)
        columns: dict[str, NDArray[np.floating]] = {}
        for name in ("score", "error_px", "views", "cov", "provenance"):
            held = getattr(self, name).astype(np.float64)
            values = np.full((len(self), len(target), *held.shape[2:]), np.nan)
            with np.errstate(invalid="ignore"):
                mean = held.sum(1) / np.maximum((held > 0).sum(1), 1)
            values[:] = np.nan if name == "cov" else (1 if name == "provenance" else mean[:, None])
            for at, joint in enumerate(target.joints):
                if joint in names:
                    values[:, at] = held[:, names.index(joint)]
            columns[name] = values
        for name in ("score", "views", "provenance"):
            columns[name] = np.nan_to_num(np.where(known, columns[name], 0))
        columns["score"] = np.where(known, np.maximum(columns["score"], 1e-3), 0)
        return type(self)(
            target, self.frame, self.person, self.group, np.where(known[..., None], xyz, np.nan), columns["score"],
            columns["error_px"], columns["views"].round(), columns["cov"], columns["provenance"], **self._about(),
        )  # fmt: skip

    def to_pandas(self, rate_hz: float | None = None) -> Any:
        """Return a DataFrame with one row per frame, person and joint and the columns of the CSV export.

        Columns: frame, time_s (if the rate is known), person, joint, x_m, y_m, z_m, score, error_px, views, sigma_m.
        InputError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as fault:
            raise InputError("to_pandas needs pandas: pip install pandas") from fault
        joints, rate = len(self.skeleton), self.rate_hz if rate_hz is None else rate_hz
        if rate is not None and not 0 < rate < np.inf:
            raise InputError(f"rate_hz must be frames per second, above 0, not {rate!r}")
        frame = np.repeat(self.frame, joints)
        columns = {
            "frame": frame,
            **({"time_s": frame / rate} if rate else {}),
            "person": np.repeat(self.person, joints),
            "joint": np.tile(np.array(self.skeleton.joints), len(self)),
            **{f"{axis}_m": self.xyz[..., index].ravel() for index, axis in enumerate("xyz")},
            "score": self.score.ravel(),
            "error_px": self.error_px.ravel(),
            "views": self.views.ravel(),
            "sigma_m": sigma_m(self).ravel(),
        }
        return pd.DataFrame(columns)


_FARTHEST_M = 1e9  # a coordinate beyond it is no place
_UPPER = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


def full_covariance(cov: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return covariance matrices (..., 3, 3) from the six stored numbers (..., 6)."""
    return np.asarray(cov[..., _UPPER])


def packed_covariance(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the six numbers (..., 6) xx, xy, xz, yy, yz, zz of symmetric matrices (..., 3, 3)."""
    return np.asarray(matrix[..., [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]])


def sigma_m(poses: Poses3D) -> NDArray[np.float32]:
    """Return standard deviations (M, J) m of joint positions, root mean square over the axes; NaN where unknown."""
    variance = poses.cov[..., [0, 3, 5]].mean(-1)
    sigma = np.sqrt(np.where(variance >= 0, variance, np.nan))
    return np.where(missing_joints(poses.xyz), np.nan, sigma).astype(np.float32)


def missing_joints(xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which joints (..., J) of positions (..., J, 3) are missing."""
    return np.asarray(np.isnan(xyz).any(-1))
