"""Whether a world's z axis points up and its floor is at z = 0, from the people in it and the cameras round them.

Poses are right in any world, but exported files, and whoever takes z for the height, need one with z up. Three
witnesses are weighed, in nats for 'the world is turned' against 'z is up': where each person's body points, the median
over its frames (a person may lie or stand on their hands, most do not); how the cameras are held (mostly upright); and
whether people touch z = 0. So an athlete on the floor before upright cameras is no turned world.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from calib import Rig
from calib.arrays import Floats
from mvcap.reporting.reason import Reason
from mvcap.structures.feet_and_heads import body_directions, is_head, sole_points
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

_ROWS = 256  # a person's rows that are kept are this many to twice as many, evenly over time
_ROUNDS = 30
_UPRIGHT, _LEAN = 0.93, 0.26  # share of people whose usual posture is upright, and its standard deviation, rad
_LEVEL, _ROLL, _SIDE = 0.85, 0.15, 0.1  # share of cameras held upright, sines of their roll, and of looking down
_ON_FLOOR, _LOWEST_M, _CONTACT_M, _ROOM_M = 0.75, 0.06, 0.1, 3.0  # of the lowest joint but the head, if z = 0 is floor
_MOST_PEOPLE = 3.0  # count as independent of each other: all may bend over the same table
_MOST_NATS = 8.0  # of the cameras together: they are mounted alike
_PRIOR_NATS = -1.0
_BELOW_M, _ABOVE_M = -0.2, 0.35  # heights of standing feet that are still z = 0: below it is nothing, above may be
_STANDING = 0.1  # quantile of the heights of a person's lower foot: it stands half of the time, and may be raised
_LOWER_PEOPLE = 0.25  # quantile over people: some may be on a platform
_FLAT_M = 0.5  # a smaller height of heads above feet is none
_AXIS = 0.9  # cosine from which a direction is named by an axis
_Z = np.array([0.0, 0.0, 1.0])


class WorldFrame:
    """Collects, chunk by chunk and in bounded memory a person, what says where a world's up and floor are."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self._head = is_head(skeleton)
        self._people: dict[int, _Rows] = {}

    def add(self, poses: Poses3D) -> None:
        """Add a chunk of poses, in the order of frames."""
        bodies = poses.xyz.astype(np.float64)
        up = body_directions(self.skeleton, bodies)
        lower_foot = _lowest(sole_points(self.skeleton, bodies, np.broadcast_to(_Z, up.shape))[..., 2])
        touching = _lowest(bodies[:, ~self._head, 2])
        height = _lowest(-bodies[:, self._head, 2])  # minus that of the head's highest joint
        rows = np.concatenate([up, np.stack([lower_foot, touching, -height], -1)], axis=-1)
        for person in np.unique(poses.person).tolist():
            self._people.setdefault(person, _Rows()).add(rows[poses.person == person])

    def facts(self, rig: Rig | None = None) -> dict[str, Any] | None:
        """What was found, ready for JSON; None without people.

        up (3,): where bodies point to; tilt_deg: its angle to +z; turned_nats: evidence that +z is not up;
        feet_m, heads_m: heights along z of lowered feet and of heads; lowest_m: of what people stand on.
        """
        kept = [rows.kept for rows in self._people.values()]
        kept = [rows[np.isfinite(rows[:, :3]).all(-1)] for rows in kept]
        kept = [rows for rows in kept if len(rows)]
        if not kept:
            return None
        middles = [_middle_direction(rows[:, :3]) for rows in kept]
        directions = np.array([direction for direction, _ in middles])
        counts = np.array([rows.count for rows in self._people.values() if np.isfinite(rows.kept[:, :3]).all(-1).any()])
        weight = counts / counts.max() * np.array([agreement**2 for _, agreement in middles])
        up, _ = _middle_direction(directions, weight + 1e-9)
        touching = np.array([_quantile(rows[:, 4], 0.5) for rows in kept])
        nats = _PRIOR_NATS + _body_nats(directions, weight, up) + _camera_nats(rig, up) + _floor_nats(touching, weight)
        feet = np.array([_quantile(rows[:, 3], _STANDING) for rows in kept])
        low = np.array([_quantile(rows[:, 4], _STANDING) for rows in kept])
        lowest = np.fmin(
            feet, np.where(np.isfinite(feet), low, np.minimum(low, 0))
        )  # above the floor, hips say nothing
        heads = np.array([_quantile(rows[:, 5], 0.5) for rows in kept])
        return {
            "up": [round(float(value), 3) for value in up],
            "tilt_deg": round(float(np.degrees(np.arccos(np.clip(up[2], -1, 1)))), 1),
            "turned_nats": round(float(nats), 2),
            "feet_m": _rounded(_weighted_quantile(feet, counts, 0.5)),
            "heads_m": _rounded(_weighted_quantile(heads, counts, 0.5)),
            "lowest_m": _rounded(_weighted_quantile(lowest, counts, _LOWER_PEOPLE)),
        }


class _Rows:
    """At least ``_ROWS`` of a person's rows (N, 6), if there are so many, evenly over time."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[Floats] = []
        self._held, self._step = 0, 1

    @property
    def kept(self) -> Floats:
        return np.concatenate(self._parts)

    def add(self, rows: Floats) -> None:
        some = rows[-self.count % self._step :: self._step]
        self.count += len(rows)
        self._parts.append(some)
        self._held += len(some)
        while self._held >= 2 * _ROWS:
            self._parts = [self.kept[::2]]
            self._held, self._step = len(self._parts[0]), 2 * self._step


def world_reasons(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """Yield why the world of a summary (its ``world``, as ``WorldFrame.facts`` gives it) is not z-up with floor 0."""
    found = summary.get("world")
    if not found:
        return
    way = (
        "level the finished take with `mvcap rig level SESSION`, and the calibration for later takes with `mvcap rig "
        "align RIG OUT --people SESSION`"
    )
    if found["turned_nats"] > 0:
        yield Reason(
            "limits",
            f"people do not stand along +z but along {_named(found['up'])}, {found['tilt_deg']:.0f} degrees from it"
            f"{_heads(found)}: the world's z axis does not point up, and exported files are turned likewise; {way}",
        )
        return
    lowest = found["lowest_m"]
    if lowest is not None and not _BELOW_M <= lowest <= _ABOVE_M:
        where = f"{abs(lowest):.2f} m {'above' if lowest > 0 else 'below'}"
        platform = ", unless they are on a platform" if lowest > 0 else ""
        yield Reason("limits", f"people's feet stand {where} z = 0, so the floor is not at z = 0{platform}: {way}")


def _heads(found: Mapping[str, Any]) -> str:
    heads, feet = found["heads_m"], found["feet_m"]
    if heads is None or feet is None:
        return ""
    if heads < feet - _FLAT_M:
        return f" (heads are {feet - heads:.1f} m below the feet)"
    return " (heads are about as high as the feet)" if heads < feet + _FLAT_M else ""


def _named(up: list[float]) -> str:
    axis = int(np.argmax(np.abs(up)))
    if abs(up[axis]) > _AXIS:
        return f"{'-' if up[axis] < 0 else '+'}{'xyz'[axis]}"
    return f"({', '.join(f'{value:.1f}' for value in up)})"


def _body_nats(directions: Floats, weight: Floats, up: Floats) -> float:
    """Log odds of the people's usual directions (P, 3) if `up` is up, against +z; `up` is the one of all that fits."""
    weight = weight * min(1.0, _MOST_PEOPLE / max(float(weight.sum()), 1e-9))
    fitted = float(np.log(_UPRIGHT * _kappa() * 2))  # what fitting gains where nothing is known
    gained = float(weight @ (_lean_density(directions @ up) - _lean_density(directions @ _Z)))
    return gained - fitted * min(1.0, float(weight.sum()))


def _kappa() -> float:
    return 1 / _LEAN**2


def _lean_density(cosine: Floats) -> Floats:
    """Log density on the sphere of a person's usual direction at a cosine from up: upright, or anything."""
    upright = _UPRIGHT * _kappa() / (2 * np.pi) * np.exp(_kappa() * (cosine - 1))
    return np.asarray(np.log(upright + (1 - _UPRIGHT) / (4 * np.pi)))


def _camera_nats(rig: Rig | None, up: Floats) -> float:
    """Log odds of how cameras are held if `up` is up, against +z."""
    if rig is None:
        return 0.0
    right, above = rig.cam_from_world[:, 0, :3], -rig.cam_from_world[:, 1, :3]

    def log_density(direction: Floats) -> Floats:
        level = np.exp(-0.5 * (right @ direction / _ROLL) ** 2) / (_ROLL * np.sqrt(2 * np.pi))
        upright = 1 / (1 + np.exp(-above @ direction / _SIDE))
        return np.asarray(np.log(_LEVEL * level * upright + (1 - _LEVEL) / 4))

    nats = float((log_density(up) - log_density(_Z)).sum())
    return float(_MOST_NATS * np.tanh(nats / _MOST_NATS))


def _floor_nats(touching: Floats, weight: Floats) -> float:
    """Log odds of the heights (P,) m of people's lowest joint anywhere in a room, against z = 0 being the floor."""
    known = np.isfinite(touching)
    if not known.any():
        return 0.0
    off = touching[known] - _LOWEST_M
    anywhere = np.exp(-0.5 * (off / _ROOM_M) ** 2) / (_ROOM_M * np.sqrt(2 * np.pi))
    floor = np.exp(-0.5 * (off / _CONTACT_M) ** 2) / (_CONTACT_M * np.sqrt(2 * np.pi))
    nats = np.log(anywhere + 1e-12) - np.log(_ON_FLOOR * floor + (1 - _ON_FLOOR) * anywhere + 1e-12)
    return float(np.average(nats, weights=weight[known] + 1e-9))


def _middle_direction(unit: Floats, weight: Floats | None = None) -> tuple[Floats, float]:
    """Geometric median direction (3,) of unit vectors (N, 3), and how far they agree: length of their mean, 0..1."""
    weight = np.ones(len(unit)) if weight is None else weight
    mean = weight @ unit / weight.sum()
    middle, agreement = mean.copy(), float(np.linalg.norm(mean))
    if agreement < 1e-6:
        middle = unit[int(np.argmax(weight))]
    for _ in range(_ROUNDS):
        middle = middle / max(float(np.linalg.norm(middle)), 1e-12)
        near = weight / np.maximum(np.linalg.norm(unit - middle, axis=-1), 1e-3)
        middle = near @ unit
    return np.asarray(middle / max(float(np.linalg.norm(middle)), 1e-12)), agreement


def _lowest(heights: Floats) -> Floats:
    """Least known height (M,) of (M, K); NaN without any."""
    least = np.where(np.isfinite(heights), heights, np.inf).min(-1, initial=np.inf)
    return np.asarray(np.where(np.isfinite(least), least, np.nan))


def _quantile(values: Floats, share: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if len(known) else float("nan")


def _weighted_quantile(values: Floats, weight: Floats, share: float) -> float:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return float("nan")
    order = known[np.argsort(values[known])]
    below = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(below, share * below[-1])]])


def _rounded(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) else None
