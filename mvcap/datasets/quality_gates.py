"""Quality gates of a dataset: which joints and people of refined poses are good enough to be truth, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from calib.geometry import transform
from mvcap.errors import ConfigError
from mvcap.structures.anthropometry import body_scale, limb_lengths
from mvcap.structures.poses import Poses3D, Provenance, sigma_m
from mvcap.structures.row_source import RowSource

JOINT_GATES = ("missing", "not measured", "views", "residual", "covariance", "limb")
"""Gates of joints in the order that they are asked; a joint counts under the first that it fails."""
PERSON_GATE = "joints"
_GATES_OF_BODY = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")


@dataclass(frozen=True)
class GateConfig:
    """Settings of the quality gates of ``mvcap generate``. A joint that fails one has no truth."""

    measured_only: bool = True
    """Only joints that views measured, none that was interpolated, predicted or inferred from the body."""
    min_views: int = 2
    """Views that measured a joint, at least."""
    residual_mm: float = 40.0
    """Mean distance of a joint from its detections, at the joint's distance from the cameras, at most, mm."""
    sigma_mm: float = 40.0
    """Standard deviation of a joint's position, root mean square over the axes, at most, mm."""
    limb_deviation: float = 0.15
    """Deviation of a limb from its median length of the person, at most, as a share of that."""
    min_joints: float = 0.5
    """Share of the body's joints that pass, at least; a person with fewer has no truth in that frame."""

    def __post_init__(self) -> None:
        for name in ("residual_mm", "sigma_mm", "limb_deviation"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"gate {name!r} must be above 0, not {getattr(self, name)!r}")
        if self.min_views < 0 or not 0 <= self.min_joints <= 1:
            raise ConfigError("gate 'min_views' must be 0 or more, 'min_joints' a share from 0 to 1")


@dataclass(frozen=True, eq=False)
class BodyOfPerson:
    """What of a person does not change over the take."""

    limbs_m: Floats
    """(B',) median lengths of the limbs; NaN for one that is never known."""
    size: float
    """Relative to an adult of mean stature; NaN if unknown."""
    rows: int
    """Frames with the person."""


def bodies_of_take(poses: RowSource[Poses3D]) -> dict[int, BodyOfPerson]:
    """Return limbs and size of each person: medians over the take, in one pass; at most 20 000 rows a person count."""
    lengths: dict[int, list[Floats]] = {}
    sizes: dict[int, list[Floats]] = {}
    rows: Counter[int] = Counter()
    for chunk in poses.chunks():
        measured = np.where((chunk.provenance == Provenance.MEASURED)[..., None], chunk.xyz, np.nan).astype(np.float64)
        for person in np.unique(chunk.person):
            mine = measured[chunk.person == person]
            rows[int(person)] += len(mine)
            if sum(map(len, sizes.setdefault(int(person), []))) < _MOST_ROWS:
                lengths.setdefault(int(person), []).append(limb_lengths(chunk.skeleton, mine))
                sizes[int(person)].append(body_scale(chunk.skeleton, mine))
    out = {}
    for person, found in sizes.items():
        size = np.concatenate(found)
        known = size[np.isfinite(size)]
        limbs = _columns_median(np.concatenate(lengths[person]))
        out[person] = BodyOfPerson(limbs, float(np.median(known)) if len(known) else np.nan, rows[person])
    return out


_MOST_ROWS = 20_000


def _columns_median(values: Floats) -> Floats:
    out = np.full(values.shape[1], np.nan)
    known = np.isfinite(values).any(0)
    out[known] = np.nanmedian(values[:, known], axis=0)
    return out


@dataclass
class GateCounts:
    """How many joints and people of each person were kept, and how many each gate dropped."""

    joints: dict[int, Counter[str]] = field(default_factory=dict)
    """Person -> gate, or "kept" -> joints."""
    people: dict[int, Counter[str]] = field(default_factory=dict)
    """Person -> "kept" or gate -> frames."""
    frames: Counter[str] = field(default_factory=Counter)
    """Split, or why a frame is in none -> frames."""

    def table(self) -> list[dict[str, Any]]:
        """Return rows of what was kept and dropped: person, what ("joints" or "frames"), total, kept, and by gate."""
        rows = []
        for what, held, gates in (
            ("joints", self.joints, (*JOINT_GATES, PERSON_GATE)),
            ("frames", self.people, (PERSON_GATE,)),
        ):
            for person, count in sorted(held.items()):
                row: dict[str, Any] = {"person": person, "what": what, "total": count.total(), "kept": count["kept"]}
                rows.append(row | {gate: count[gate] for gate in gates})
        return rows


class QualityGates:
    """Applies the gates to rows of refined poses and counts what they drop."""

    def __init__(self, config: GateConfig, rig: Rig, bodies: dict[int, BodyOfPerson]) -> None:
        self.config = config
        self.rig = rig
        self.bodies = bodies
        self.counts = GateCounts()

    def passed(self, rows: Poses3D) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which joints (M, J) of rows are truth and which people (M,) are; a dropped person has no joint."""
        keep = np.ones(rows.xyz.shape[:2], np.bool_)
        reason = np.full(keep.shape, -1)
        for gate, failed in self._failures(rows):
            reason[keep & failed] = JOINT_GATES.index(gate)
            keep &= ~failed
        parts = rows.skeleton.body
        share = keep[:, parts].mean(1) if len(parts) else np.ones(len(rows))
        enough: NDArray[np.bool_] = np.asarray((share >= self.config.min_joints) & keep.any(1))
        self._count(rows, keep, reason, enough)
        return keep & enough[:, None], enough

    def _failures(self, rows: Poses3D) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield each gate and the joints (M, J) that fail it; a figure that is unknown fails no gate."""
        config = self.config
        yield "missing", ~np.isfinite(rows.xyz).all(-1)
        measured = (rows.provenance == Provenance.MEASURED) | (rows.provenance == Provenance.ONE_VIEW)
        yield "not measured", ~measured & config.measured_only
        yield "views", rows.views < config.min_views
        with np.errstate(invalid="ignore"):
            yield "residual", 1e3 * residual_m(rows, self.rig) > config.residual_mm
            yield "covariance", 1e3 * sigma_m(rows) > config.sigma_mm
        yield "limb", self._limbs_off(rows)

    def _limbs_off(self, rows: Poses3D) -> NDArray[np.bool_]:
        """Which joints (M, J) are the end farther from the trunk of a limb of another length than the person's."""
        kind = rows.skeleton
        out = np.zeros(rows.xyz.shape[:2], np.bool_)
        usual = np.array([self.bodies[int(person)].limbs_m for person in rows.person]).reshape(-1, len(kind.limbs))
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.abs(limb_lengths(kind, rows.xyz) / usual - 1) > self.config.limb_deviation
        for limb, (inner, outer) in enumerate(kind.limbs.tolist()):
            out[:, outer] |= off[:, limb]
            if kind.joints[inner] in _GATES_OF_BODY and kind.joints[outer] in _GATES_OF_BODY:
                out[:, inner] |= off[:, limb]
        return out

    def _count(
        self, rows: Poses3D, keep: NDArray[np.bool_], reason: NDArray[np.int64], enough: NDArray[np.bool_]
    ) -> None:
        for person in np.unique(rows.person):
            mine = rows.person == person
            joints = self.counts.joints.setdefault(int(person), Counter())
            people = self.counts.people.setdefault(int(person), Counter())
            for at, gate in enumerate(JOINT_GATES):
                joints[gate] += int((reason[mine] == at).sum())
            joints["kept"] += int(keep[mine & enough].sum())
            joints[PERSON_GATE] += int(keep[mine & ~enough].sum())
            people["kept"] += int(enough[mine].sum())
            people[PERSON_GATE] += int((~enough[mine]).sum())


def residual_m(rows: Poses3D, rig: Rig) -> Floats:
    """Return mean reprojection errors (M, J) of joints as lengths at their distance from the cameras, m.

    An error of one pixel is depth / focal length; the mean over the views whose picture the joint is in.
    """
    xyz = rows.xyz.astype(np.float64)
    xy = rig.project(xyz)
    scale = np.full(xy.shape[:-1], np.nan)
    for view, camera in enumerate(rig):
        with np.errstate(invalid="ignore"):
            inside = ((xy[view] >= 0) & (xy[view] < np.array(camera.size))).all(-1)
        depth = transform(camera.cam_from_world, xyz)[..., 2]
        scale[view] = np.where(inside, depth / rig.focal[view], np.nan)
    seen = np.isfinite(scale)
    mean = np.where(seen, scale, 0).sum(0) / np.maximum(seen.sum(0), 1)
    return np.asarray(rows.error_px * np.where(seen.any(0), mean, np.nan))
