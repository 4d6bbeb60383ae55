"""Parts of the residuals of each view: what the rig, the clock and the detector are at fault for.

A detection lies beside the reprojected joint by a displacement that is the same for all joints near it (a camera that
turned, a shifted principal point; an affine field over the room, as a roll, a zoom, a moved camera and the compromise
with the other views make it vary), by one that each joint has in this view at all times (what the detector takes for
the joint from that side), by one along the joint's motion (a time offset), and by scatter. A robust regression tells
them apart.

The pose is a compromise between the views, so a part of a view's error is in the residuals of the others: of the 2 C
coordinates in C views the position takes up three. The constant part is therefore less than the error of the view's
calibration; for one wrong view among four it is about two thirds of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib import Rig
from calib.arrays import Bools, Floats, Ints
from calib.geometry import transform
from calib.refit import LEAST_STRETCHES, time_stretches
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.triangulation.reprojection_residuals import linked_offsets

_MOST_ROWS = 8000  # detections kept; of more, every second, fourth ... frame
_MOST_OFFSETS = 12_000  # of a view in the regression
_VIEWS = 3  # that see a joint: two nearly always agree
_LEAST = 60  # offsets of a view
_FREEDOM, _REWEIGHTED = 4.0, 8  # Student's t
_FIELD_PX, _JOINT_PX = 10.0, 10.0  # prior standard deviations: of the field's change over a metre, of a joint
_ALIKE = 50.0  # offsets for each independent one, as errors last: the priors count so much more
_PLACE = 8  # numbers of the affine field
_TRIED = 8  # people left out in turn
_STRETCHES = 10  # of a take, between which the estimates vary


@dataclass(frozen=True, eq=False)
class ResidualParts:
    """Residuals (reprojected joint less detection) of C views and J joints in parts; NaN where too little is known.

    constant_px (C, 2): displacement of all joints at their mean place, constant_sigma_px (C,): its standard deviation
    along an axis; rig_px (C,): root mean square of the displacement by the affine field at the places of the joints,
    which includes it; joint_px (C, J, 2): what a joint has beside it; late_s, late_sigma_s (C,): time offset against
    the poses, late is positive, and its standard deviation (``view_lag`` estimates offsets against the other views);
    scatter_px (C,), joint_scatter_px (C, J): median length of what is left; mm_per_px (C,) at the people; count (C,):
    offsets used. predicted (C,): share of the squared displacement of each person that the field fitted to the other
    people predicts: near 1 for that of a camera, 0 and below for what the detector takes each person's joints for; NaN
    with fewer than two people,
    or in a rig of two, whose views agree but across their epipolar lines, which run otherwise elsewhere in the room.

    The standard deviations come from stretches of time that are longer than a detector's errors last; in a take that
    has fewer than three of them they are NaN: what lasts as long as the take cannot be told from the rig.
    """

    constant_px: Floats
    constant_sigma_px: Floats
    rig_px: Floats
    joint_px: Floats
    late_s: Floats
    late_sigma_s: Floats
    scatter_px: Floats
    joint_scatter_px: Floats
    mm_per_px: Floats
    count: Ints
    predicted: Floats


@dataclass(frozen=True, eq=False)
class Offsets:
    """Offsets of M detections from the reprojected pose: all (M, J, ...), NaN where a joint is not used.

    frame, view and person (M,); off_px (M, J, 2) reprojected less detected; place_m (M, J, 3) of the joint in the
    camera's frame; speed_px (M, J, 2) px/s of its reprojection; noise_px (M, J) expected; mm_per_px (M,) at the person.
    """

    frame: Ints
    view: Ints
    person: Ints
    off_px: Floats
    place_m: Floats
    speed_px: Floats
    noise_px: Floats
    mm_per_px: Floats

    def __getitem__(self, rows: Bools) -> Offsets:
        return Offsets(*(part[rows] for part in vars(self).values()))


def offsets_of(detections: Detections2D, poses: Poses3D, rig: Rig, rate_hz: float) -> Offsets:
    """Offsets of the joints that three views see (two, in a rig of two), with speeds from the frames before and after.

    detections, poses: of the same frames, linked by frame and group as in ``linked_offsets``.
    """
    linked = linked_offsets(detections, poses, rig)
    count, joints = len(linked.row), len(poses.skeleton)
    seen_by = np.zeros((len(poses), joints), np.int64)
    np.add.at(seen_by, linked.pose, linked.seen.astype(np.int64))
    xyz = poses.xyz.astype(np.float64)
    before, after = (_neighbours(poses, step) for step in (-1, 1))
    place, speed = np.full((count, joints, 3), np.nan), np.full((count, joints, 2), np.nan)
    scale = np.full(count, np.nan)
    for view in np.unique(linked.view).tolist():
        mine = np.flatnonzero(linked.view == view)
        pose = linked.pose[mine]
        ends = [
            rig[view].project(np.where((at >= 0)[:, None, None], xyz[at], np.nan)) for at in (before[pose], after[pose])
        ]
        place[mine] = transform(rig[view].cam_from_world, xyz[pose])
        speed[mine] = (ends[1] - ends[0]) * rate_hz / 2
        away = np.linalg.norm(xyz[pose] - rig.positions[view], axis=-1)
        known = np.isfinite(away)
        scale[mine] = 1000 * np.where(known, away, 0).sum(1) / np.maximum(known.sum(1), 1) / rig.focal[view]
    used = linked.seen & (seen_by[linked.pose] >= min(_VIEWS, len(rig))) & (linked.noise_px > 0)
    off = np.where(used[..., None], linked.off_px, np.nan)
    frame = poses.frame[linked.pose].astype(np.int64)
    person = poses.person[linked.pose].astype(np.int64)
    return Offsets(frame, linked.view, person, off, place, speed, linked.noise_px.astype(np.float64), scale)


def _neighbours(poses: Poses3D, step: int) -> Ints:
    """Row (M,) of the same person some frames later, -1 where there is none."""
    row = {key: at for at, key in enumerate(zip(poses.frame.tolist(), poses.person.tolist(), strict=True))}
    keys = zip((poses.frame + step).tolist(), poses.person.tolist(), strict=True)
    return np.array([row.get(key, -1) for key in keys], np.int64)


class ResidualSample:
    """Offsets of a whole take, added chunk by chunk; of a long one every second, fourth ... frame is kept."""

    def __init__(self, rig: Rig, skeleton: Skeleton, rate_hz: float) -> None:
        self._rig, self._joints, self._rate_hz = rig, len(skeleton), rate_hz
        self._kept: list[Offsets] = []
        self._every = 1

    def add(self, detections: Detections2D, poses: Poses3D) -> None:
        """Add a chunk of associated detections and the poses of the same frames."""
        wanted = detections.frame % self._every == 0
        part = offsets_of(detections[wanted], poses, self._rig, self._rate_hz)
        self._kept.append(part)
        while sum(len(one.frame) for one in self._kept) > _MOST_ROWS and self._every < 1 << 30:
            self._every *= 2
            self._kept = [one[one.frame % self._every == 0] for one in self._kept]

    def parts(self) -> ResidualParts:
        """Return the parts of all offsets added."""
        if not self._kept:
            none = np.zeros((0, self._joints))
            empty = np.zeros((0, self._joints, 2))
            number = np.zeros(0, np.int64)
            nobody = Offsets(number, number, number, empty, empty, empty, none, np.zeros(0))
            return residual_parts(nobody, self._rig, self._rate_hz)
        joined = (np.concatenate([getattr(one, name) for one in self._kept]) for name in vars(self._kept[0]))
        return residual_parts(Offsets(*joined), self._rig, self._rate_hz)


def residual_parts(found: Offsets, rig: Rig, rate_hz: float) -> ResidualParts:
    """Split offsets by view into the displacement by the rig, by the joint, by the time offset, and scatter."""
    views, joints = len(rig), found.off_px.shape[1]
    own, vectors, joint = (np.full(shape, np.nan) for shape in ((7, views), (views, 2), (views, joints)))
    by_joint, count = np.full((views, joints, 2), np.nan), np.zeros(views, np.int64)
    out = ResidualParts(vectors, own[5], own[0], by_joint, own[1], own[2], own[3], joint, own[4], count, own[6])
    for view in range(views):
        mine = found[found.view == view]
        row, at = np.nonzero(np.isfinite(mine.off_px).all(-1) & np.isfinite(mine.place_m).all(-1))
        every = max(1, -(-len(row) // _MOST_OFFSETS))
        row, at = row[::every], at[::every]
        out.count[view] = len(row)
        if len(row) >= _LEAST:
            _fit_view(mine, row, at, view, rate_hz, out)
            out.mm_per_px[view] = np.nanmedian(mine.mm_per_px)
    return out


def _fit_view(mine: Offsets, row: Ints, joint: Ints, view: int, rate_hz: float, out: ResidualParts) -> None:
    """Regression of one view's offsets (N, 2) on place, joint and speed; fill its figures in."""
    off, place, speed = mine.off_px[row, joint], mine.place_m[row, joint], mine.speed_px[row, joint]
    noise = mine.noise_px[row, joint]
    joints = mine.off_px.shape[1]
    weight = 1 / noise**2
    away = place - np.average(place, axis=0, weights=weight)
    design = np.zeros((len(row), 2, _PLACE + 1 + 2 * joints))
    for axis in (0, 1):
        design[:, axis, 4 * axis] = 1.0
        design[:, axis, 4 * axis + 1 : 4 * axis + 4] = away
        design[:, axis, _PLACE] = np.nan_to_num(speed[:, axis])
        design[np.arange(len(row)), axis, _PLACE + 1 + 2 * joint + axis] = 1.0
    theta, left, kernel, normal = _regression(design, off, weight)
    field = design[..., :_PLACE] @ theta[:_PLACE]
    out.constant_px[view] = np.average(field, axis=0, weights=kernel)
    out.rig_px[view] = np.sqrt(np.average((field**2).sum(-1), weights=kernel))
    size = np.linalg.norm(left, axis=-1)
    out.scatter_px[view] = np.median(size)
    for one in np.unique(joint).tolist():
        out.joint_px[view, one] = theta[_PLACE + 1 + 2 * one : _PLACE + 3 + 2 * one]
        out.joint_scatter_px[view, one] = np.median(size[joint == one])
    out.late_s[view] = theta[_PLACE]
    covariance = _covariance(design, kernel, left, normal, mine.frame[row] / rate_hz)
    out.late_sigma_s[view] = np.sqrt(covariance[_PLACE, _PLACE])
    out.constant_sigma_px[view] = np.sqrt((covariance[0, 0] + covariance[4, 4]) / 2)
    if len(out.count) >= _VIEWS:
        out.predicted[view] = _predicted(design, off, weight, mine.person[row])


def _regression(design: Floats, off: Floats, weight: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Robust regression of offsets (N, 2): coefficients, residuals (N, 2), weights (N,) and the normal matrix."""
    prior = np.zeros(design.shape[-1])
    prior[[1, 2, 3, 5, 6, 7]], prior[_PLACE + 1 :] = 1 / _FIELD_PX**2, 1 / _JOINT_PX**2
    theta, left, kernel = np.zeros(design.shape[-1]), off, np.ones(len(off))
    normal = np.zeros((len(prior), len(prior)))
    for _ in range(_REWEIGHTED):
        size2 = weight * (left**2).sum(-1)
        scale2 = max(float(np.median(size2)) / (2 * np.log(2)), 1e-6)
        kernel = weight / scale2 * (_FREEDOM + 2) / (_FREEDOM + size2 / scale2)
        normal = np.einsum("nai,n,naj->ij", design, kernel, design, optimize=True)
        normal[np.diag_indices_from(normal)] += _ALIKE * prior + 1e-9
        theta = np.linalg.solve(normal, np.einsum("nai,n,na->i", design, kernel, off, optimize=True))
        left = off - design @ theta
    return theta, left, kernel, normal


def _predicted(design: Floats, off: Floats, weight: Floats, person: Ints) -> float:
    """Share of the squared displacement of each person that a regression of the others predicts; NaN without others."""
    persons = [one for one in np.unique(person).tolist() if (person == one).sum() >= _LEAST]
    whole, missed = 0.0, 0.0
    for one in persons[:_TRIED] if len(persons) > 1 else []:
        mine = person == one
        theta, *_ = _regression(design[~mine], off[~mine], weight[~mine])
        left = np.median(off[mine] - design[mine] @ theta, axis=0)
        field = np.mean(design[mine][..., :_PLACE] @ theta[:_PLACE], axis=0)
        missed, whole = missed + float(left @ left), whole + float((left + field) @ (left + field))
    return 1 - missed / whole if whole > 0 else np.nan


def _covariance(design: Floats, kernel: Floats, left: Floats, normal: Floats, time_s: Floats) -> Floats:
    """Covariance of the affine field and the time offset from the scatter between stretches of time.

    This is the sandwich of clustered data (Liang and Zeger 1986), with its factor for few clusters.
    """
    stretch = time_stretches(time_s, _STRETCHES)
    count = int(stretch.max(initial=0)) + 1
    if count < LEAST_STRETCHES:
        return np.full((_PLACE + 1, _PLACE + 1), np.nan)
    score = np.zeros((count, len(normal)))
    np.add.at(score, stretch, np.einsum("nai,n,na->ni", design, kernel, left, optimize=True))
    change = np.linalg.solve(normal, score.T)[: _PLACE + 1]
    return np.asarray(change @ change.T * count / (count - 1))
