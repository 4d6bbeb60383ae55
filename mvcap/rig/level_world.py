"""The level world of a take: up from people, feet that stand and cameras that are held level, the floor from the feet.

Bodies lean into the direction in which they walk, and the ankle of a foot that leaves the floor is high, so neither is
enough alone: feet count while they hardly move, by the number of their steps; bodies and cameras count as far as they
usually lean. Each camera says that its horizontal image axis is level; one that is not is an outlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calib import Rig
from calib.align import Alignment, align_to_people
from calib.arrays import Floats, Ints
from calib.geometry import pose, transform
from mvcap.reporting.world_frame import WorldFrame
from mvcap.structures.feet_and_heads import feet_and_bodies, sole_points
from mvcap.structures.poses import Poses3D, Provenance

_MOST_BODIES = 20_000  # evenly over the take; more change nothing
_FEW_MEASURED = 0.2  # share of the joints below which those that were not measured count too
_LEAN, _ROLL = 0.05, 0.03  # rad, standard deviations of the common lean of bodies and of cameras' roll
_ROLLED = 0.1  # rad, roll from which a camera hardly counts
_FOOT_M = 0.015  # standard deviation of the height of a standing foot's joint
_STANDS_MPS, _SPEED_S = 0.2, 0.06  # speed of a foot that stands, over this time before and after
_MOVES = 0.02  # least weight of a foot that moves: where none stands, the lower ones are all that is known
_LOW = 0.1  # quantile of the heights at which the fit starts
_STEP_S = 0.5  # how long a foot stands: its frames are one observation
_WIDE_M, _NARROW_M, _NARROWER = 0.15, 0.03, 0.8  # kernel on heights of standing feet: first, last, factor a round
_ROUNDS = 25


def level_world(rig: Rig, rows: Sequence[Poses3D], rate_hz: float) -> Alignment:
    """The rig in a world with z along people who stand and z = 0 on their floor.

    rows: poses of the take in the order of frames, one table or more, in the rig's world. x stays as close to the old x
    as that allows, and the origin stays above or below where it was. Where evidence says that z is up already, people
    who lie do not turn the world. Raises CalibrationError where there are too few feet, InputError for a skeleton
    without them.
    """
    first = _roughly_level(rig, rows)
    turned = [part.with_columns(xyz=transform(first.new_from_old, part.xyz.astype(np.float64))) for part in rows]
    feet = _standing_feet(turned, rate_hz)
    up = _usual_up(turned)
    tilt = _fit_tilt(feet, up, first.rig)
    normal = first.new_from_old[:3, :3].T @ tilt.normal
    x = np.array([1.0, 0, 0]) if abs(normal[0]) < 0.9 else np.array([0, 1.0, 0])
    x = x - normal * (x @ normal)
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(normal, x), normal])
    # Heights along the normal: the first world's origin is where the old one sees it.
    floor = tilt.height + float(normal @ first.new_from_old[:3, :3].T @ -first.new_from_old[:3, 3])
    new_from_old = pose(R, np.array([0, 0, -floor]))
    aligned = rig.moved(new_from_old)
    low, high = aligned.positions[:, 2].min(), aligned.positions[:, 2].max()
    lean = float(np.degrees(np.arccos(np.clip(up @ tilt.normal, -1, 1))))
    whose = f"{feet.steps:.0f} steps" if feet.steps > 1 else "the lowest feet, none of which stands still,"
    lines = (
        f"the floor fits {whose} to {1000 * tilt.deviation:.0f} mm; people lean {lean:.1f} degrees from its normal",
        f"cameras are {low:.2f} to {high:.2f} m above the floor",
    )
    residual = np.array([tilt.deviation])
    return replace(first, rig=aligned, new_from_old=new_from_old, residual_m=residual, lines=lines)


def _roughly_level(rig: Rig, rows: Sequence[Poses3D]) -> Alignment:
    """The rig with z along most people, unless what is known says that z is up already: they may lie on the floor."""
    world = WorldFrame(rows[0].skeleton)
    for part in rows:
        world.add(part)
    step = max(1, -(-sum(map(len, rows)) // _MOST_BODIES))
    bodies = np.concatenate([_measured(part[::step]) for part in rows])
    found = align_to_people(rig, *feet_and_bodies(rows[0].skeleton, bodies))
    facts = world.facts(rig)
    if facts is not None and facts["turned_nats"] <= 0:
        return replace(found, rig=rig, new_from_old=np.eye(4))
    return found


@dataclass(frozen=True, eq=False)
class _Feet:
    """Points (N, 3) m of soles with weights (N,), which add up to the number of steps."""

    points: Floats
    weight: Floats
    steps: float


@dataclass(frozen=True, eq=False)
class _Floor:
    """Normal (3,) of the floor, its height along it, and the median deviation of the feet, m."""

    normal: Floats
    height: float
    deviation: float


def _measured(rows: Poses3D) -> Floats:
    """Positions (M, J, 3) m of the joints that views measured; of all joints where those are few."""
    measured = np.isin(rows.provenance, (Provenance.MEASURED, Provenance.ONE_VIEW, Provenance.MONOCULAR))
    if measured.sum() < _FEW_MEASURED * max(int((rows.score > 0).sum()), 1):
        measured = np.ones_like(measured)
    return np.asarray(np.where(measured[..., None], rows.xyz.astype(np.float64), np.nan))


def _usual_up(rows: Sequence[Poses3D]) -> Floats:
    """Median direction (3,) of bodies in a world with z about up."""
    step = max(1, -(-sum(map(len, rows)) // _MOST_BODIES))
    ups = np.concatenate([feet_and_bodies(part.skeleton, _measured(part[::step]))[1] for part in rows])
    ups = ups[np.isfinite(ups).all(-1) & (ups[:, 2] > 0.5 * np.linalg.norm(ups, axis=-1))]
    if not len(ups):
        return np.array([0.0, 0.0, 1.0])
    middle = np.append(np.median(ups[:, :2] / ups[:, 2:], axis=0), 1.0)
    return np.asarray(middle / np.linalg.norm(middle))


def _standing_feet(rows: Sequence[Poses3D], rate_hz: float) -> _Feet:
    """Soles of feet, weighted by how still they stand, in a world with z about up."""
    points, weights = [], []
    for frame, bodies in _series(rows):
        kind = rows[0].skeleton
        up = np.broadcast_to([0.0, 0.0, 1.0], (len(bodies), 3))
        soles = sole_points(kind, bodies, up)
        speed = _speeds(frame, soles, rate_hz)
        still = np.fmax(1 / (1 + (speed / _STANDS_MPS) ** 2) ** 2, _MOVES)
        known = np.isfinite(soles).all(-1)
        points.append(soles[known])
        weights.append(still[known] / (_STEP_S * rate_hz * max(soles.shape[1] / 2, 1)))
    held, weight = np.concatenate([*points, np.zeros((0, 3))]), np.concatenate([*weights, np.zeros(0)])
    return _Feet(held, weight, float(weight.sum()))


def _series(rows: Sequence[Poses3D]) -> Iterator[tuple[Ints, Floats]]:
    """Each person's frames (M,) in ascending order and measured joints (M, J, 3)."""
    together = Poses3D.concatenate(list(rows), rows[0].skeleton)
    bodies = _measured(together)
    for person in together.persons.tolist():
        mine = np.flatnonzero(together.person == person)
        mine = mine[np.argsort(together.frame[mine], kind="stable")]
        yield together.frame[mine].astype(np.int64), bodies[mine]


def _speeds(frame: Ints, points: Floats, rate_hz: float) -> Floats:
    """Speeds (M, F) m/s of points (M, F, 3) at frames (M,), over some frames before and after; NaN where unknown."""
    reach = max(1, round(_SPEED_S * rate_hz))
    before = np.searchsorted(frame, frame - reach)
    after = np.searchsorted(frame, frame + reach, "right") - 1
    dt = (frame[after] - frame[before]) / rate_hz
    moved = np.linalg.norm(points[after] - points[before], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(dt[:, None] > 0, moved / dt[:, None], np.nan))


def _fit_tilt(feet: _Feet, up: Floats, rig: Rig) -> _Floor:
    """Normal and height of the floor in a world with z about up: reweighted least squares over feet, bodies, cameras.

    Unknowns are the normal's x and y, and the height. The kernel on the feet's heights (Geman and McClure) narrows from
    round to round, so that feet on a platform, or raised ones, hardly count.
    """
    level = rig.cam_from_world[:, 0, :3]
    normal, height = np.array([0.0, 0.0, 1.0]), _weighted_quantile(feet.points[:, 2], feet.weight, _LOW)
    middle = feet.weight @ feet.points / max(feet.steps, 1e-9) if len(feet.points) else np.zeros(3)
    centred, height, scale = feet.points - middle, height - middle[2], _WIDE_M
    for _ in range(_ROUNDS):
        above = centred @ normal - height
        weight = feet.weight / (1 + (above / scale) ** 2) ** 2 / _FOOT_M**2
        rows = np.column_stack([centred[:, :2] - centred[:, 2:] * normal[:2] / normal[2], -np.ones(len(centred))])
        roll = level @ normal
        tilted = 1 / (1 + (roll / _ROLLED) ** 2) ** 2 / _ROLL**2
        turns = np.column_stack([level[:, :2] - level[:, 2:] * normal[:2] / normal[2], np.zeros(len(level))])
        matrix = (rows.T * weight) @ rows + (turns.T * tilted) @ turns + np.diag([1 / _LEAN**2, 1 / _LEAN**2, 1e-9])
        right = -(rows.T @ (weight * above) + turns.T @ (tilted * roll))
        right[:2] += (up - normal)[:2] / _LEAN**2
        step = np.linalg.solve(matrix, right)
        flat = np.clip(normal[:2] + step[:2], -0.7, 0.7)
        normal = np.append(flat, np.sqrt(1 - flat @ flat))
        height += float(step[2])
        scale = max(_NARROWER * scale, _NARROW_M)
    above = abs(centred @ normal - height)
    near = (above < 3 * _NARROW_M) & (feet.weight > 0.25 * feet.weight.max(initial=0))
    deviation = float(np.median(above[near])) if near.any() else float("nan")
    return _Floor(normal, height + float(middle @ normal), deviation)


def _weighted_quantile(values: Floats, weight: Floats, share: float) -> float:
    if not len(values):
        return 0.0
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(below, share * below[-1])]])
