"""How many views support each reported joint, and what became of the joints that views agree upon."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.reporting.reason import LIMITS, Reason
from mvcap.structures.poses import Poses3D, Provenance, full_covariance

_GUESSED = (Provenance.INTERPOLATED, Provenance.PREDICTED, Provenance.PRIOR, Provenance.REJECTED)
_MOVED = 16.27  # squared Mahalanobis distance in three dimensions that noise exceeds once in a thousand
_MANY = 0.02


class JointSource(IntEnum):
    """What a joint's position rests on."""

    MISSING = 0
    """No position."""
    VIEWS = 1
    """Two views or more."""
    ONE_VIEW = 2
    """One view; the depth follows from limbs, motion and other frames."""
    NO_VIEW = 3
    """No view: filled from other frames and the rest of the body."""


def joint_sources(poses: Poses3D) -> NDArray[np.uint8]:
    """Return the ``JointSource`` (M, J) of each joint, from its provenance and the number of views used."""
    provenance, views = poses.provenance, poses.views
    filled = np.isin(provenance, _GUESSED)
    one = (provenance == Provenance.ONE_VIEW) | (views == 1)
    return np.select(
        [~(poses.score > 0), filled, one], [JointSource.MISSING, JointSource.NO_VIEW, JointSource.ONE_VIEW],
        JointSource.VIEWS,
    ).astype(np.uint8)  # fmt: skip


class JointCounts:
    """Numbers of joints by source, and of measured joints that refinement rejected or moved, added chunk by chunk."""

    def __init__(self) -> None:
        self._source = np.zeros(len(JointSource), np.int64)
        self._compared = self._rejected = self._moved = 0
        self._by_provenance = np.zeros(256, np.int64)

    def add(self, refined: Poses3D, raw: Poses3D | None = None) -> None:
        """Add a chunk of refined poses, and the raw poses of the same frames to compare them with."""
        source = joint_sources(refined)
        self._source += np.bincount(source.ravel(), minlength=len(JointSource))
        self._by_provenance += np.bincount(refined.provenance.ravel(), minlength=256)
        if raw is None or not len(raw):
            return
        row = {key: at for at, key in enumerate(zip(refined.frame.tolist(), refined.person.tolist(), strict=True))}
        place = np.array([row.get(key, -1) for key in zip(raw.frame.tolist(), raw.person.tolist(), strict=True)])
        raw, place = raw[place >= 0], place[place >= 0]
        measured = joint_sources(raw) == JointSource.VIEWS
        kept = measured & (source[place] == JointSource.VIEWS)
        self._compared += int(measured.sum())
        self._rejected += int((measured & ~kept).sum())
        self._moved += int((_moved_squared(raw, refined.xyz[place], kept) > _MOVED).sum())

    def summary(self) -> dict[str, Any]:
        """Numbers of joints: ``views`` (two or more), ``one_view``, ``no_view``, ``missing``, ``by_provenance``.

        Of the ``measured`` joints, on which two views or more agreed before refinement: ``rejected`` is the number that
        refinement does not give as measured, ``moved`` that of those it moved further than their covariance allows.
        """
        names = {int(value): value.name.lower() for value in Provenance}
        return {
            **{source.name.lower(): int(self._source[source]) for source in JointSource},
            "measured": self._compared,
            "rejected": self._rejected,
            "moved": self._moved,
            "by_provenance": {
                names.get(value, str(value)): int(self._by_provenance[value])
                for value in np.flatnonzero(self._by_provenance).tolist()
            },
        }


def _moved_squared(raw: Poses3D, xyz: NDArray[np.floating], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Squared distance (N,) of refined positions xyz (M, J, 3) from the raw ones, in units of the raw covariance."""
    cov = full_covariance(raw.cov[kept].astype(np.float64))
    step = (xyz[kept] - raw.xyz[kept]).astype(np.float64)
    known = np.isfinite(cov).all((-2, -1)) & np.isfinite(step).all(-1)
    cov, step = cov[known], step[known]
    cov = cov + 1e-12 * np.eye(3)  # 1 um: positions without noise have a singular covariance
    return np.asarray(np.einsum("nx,nx->n", step, np.linalg.solve(cov, step[..., None])[..., 0]))


def overruled_measurements(summary: Mapping[str, Any]) -> list[Reason]:
    """Reason where refinement rejects or moves more than a few of the joints that two views or more agree upon."""
    joints = summary.get("joints") or {}
    if not joints.get("measured"):
        return []
    share = (joints["rejected"] + joints["moved"]) / joints["measured"]
    if share <= _MANY:
        return []
    return [
        Reason(
            LIMITS,
            f"refinement overruled {share:.1%} of the joints that views agree upon ({joints['rejected']} rejected, "
            f"{joints['moved']} moved further than their covariance allows): compare poses.raw with the refined poses, "
            f"and check the calibration and the synchronisation",
        )
    ]
