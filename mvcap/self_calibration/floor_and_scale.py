"""Floor, up direction and scale of a world from the people who walk in it.

Up is the mean direction of bodies over people who stand and walk. The floor is at the lowest feet; where feet cover
enough area, they also give its tilt. The scale comes from a stated height, or from population mean limb lengths.
"""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats
from calib.geometry import pose, transform
from mvcap.structures.anthropometry import STATURE_M, body_scale
from mvcap.structures.skeleton import Skeleton

# Shares of stature (Winter, "Biomechanics and Motor Control of Human Movement", 4th ed., fig. 4.1; ears and nose are
# level with and a little below the eyes' 0.936).
_HEAD = {"head_top": 1.0, "eye": 0.936, "ear": 0.93, "nose": 0.92}
_WALKING = 1.005
"""Stature over the height that a walking person's head exceeds a tenth of the time: knees are slightly bent."""
_JOINT_HEIGHT = {"ankle": 0.045, "heel": 0.008, "toe": 0.008}
"""Heights of the joints of a standing foot above the floor, shares of stature."""
_LOW = 0.25  # quantile of the feet's heights at the floor: a foot stands half of the time
_FOOT_NOISE, _TILT = 0.02, 0.03  # standard deviations: of feet, in body sizes, and of the bodies' tilt, radians
_WALKER_SHARE = 0.25  # of the largest walking score, above which a person counts as a walker
_FEET_COUNT = 20.0  # effective number of independent feet
_BENT = 0.2  # radians from upright at which a body has half its weight


def upright_world(kind: Skeleton, bodies: Floats, ahead: Floats, height_m: float | None = None) -> tuple[float, Floats]:
    """Scale, and new_from_old (4, 4) after it, to a world of bodies (T, P, J, 3) with z up and feet on the floor.

    The origin is on the floor below the median position of the person who walks most. height_m is the mean stature of
    the people who walk; without it they have the population's mean size. y points along `ahead` (3,). People are
    weighted by how much they walk: one who stands still may be a false positive such as a poster, far away.
    """
    walked = floor_from_walking(bodies)
    main = int(walked.argmax())
    size = _median_size(kind, bodies, walked)
    R = _rotation_to_up(_up_direction(kind, bodies, walked), ahead)
    R = _rotation_to_up(R.T @ _floor_normal(kind, bodies @ R.T, size, walked), ahead)
    turned = bodies @ R.T
    floor = _floor(kind, turned[:, main : main + 1], size)
    scale = 1.0 / size
    if height_m is not None:
        walkers = np.flatnonzero(walked >= _WALKER_SHARE * walked[main])
        each = [turned[:, person : person + 1] for person in walkers]
        scale = height_m / float(np.mean([stature(kind, one, _floor(kind, one, size)) for one in each]))
    middle = np.nanmedian(turned[:, main].reshape(-1, 3), axis=0)
    return scale, pose(R, -scale * np.array([middle[0], middle[1], floor]))


def floor_from_walking(bodies: Floats) -> Floats:
    """Walking score (P,) of people (T, P, J, 3): the spread of their positions times the number of frames."""
    out = np.zeros(bodies.shape[1])
    for person in range(len(out)):
        seen = np.isfinite(bodies[:, person]).all(-1).sum(-1) > 3
        if seen.sum() > 1:
            place = np.nanmedian(bodies[seen, person], axis=1)
            out[person] = np.linalg.norm(place.std(0)) * seen.sum()
    return out


def move_points(scale: float, new_from_old: Floats, points: Floats) -> Floats:
    """Points (..., 3) scaled and then moved."""
    return transform(new_from_old, scale * points)


def stature(kind: Skeleton, bodies: Floats, floor: float) -> float:
    """Stature of people (T, P, J, 3), z up, from the height of their heads above the floor, or from limb lengths."""
    heights = [
        (bodies[..., joint, 2] - floor) / share
        for joint, name in enumerate(kind.joints)
        for part, share in _HEAD.items()
        if part in name and "inner" not in name and "outer" not in name
    ]
    head = np.stack(heights, -1) if heights else np.full((*bodies.shape[:2], 1), np.nan)
    seen = np.isfinite(head).any(-1)
    if not seen.any():
        return _median_size(kind, bodies, np.ones(bodies.shape[1])) * STATURE_M
    return _WALKING * float(np.percentile(np.nanmedian(head[seen], axis=-1), 90))


def _median_size(kind: Skeleton, bodies: Floats, walked: Floats) -> float:
    """Size of the people relative to the population mean: the weighted median over people."""
    sizes = np.array([_median(body_scale(kind, bodies[:, person])) for person in range(bodies.shape[1])])
    known = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    if not len(known):
        return 1.0
    order = known[np.argsort(sizes[known])]
    below = np.cumsum(walked[order] + 1e-9)
    return float(sizes[order[np.searchsorted(below, below[-1] / 2)]])


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _middle(kind: Skeleton, bodies: Floats, part: str) -> Floats:
    """Middle (T, P, 3) of a left and a right joint; NaN where one is missing."""
    return np.asarray((bodies[..., kind.index(f"left_{part}"), :] + bodies[..., kind.index(f"right_{part}"), :]) / 2)


def _up_direction(kind: Skeleton, bodies: Floats, walked: Floats) -> Floats:
    """Mean direction (3,) of bodies from their ankles, or hips, to their shoulders."""
    low = "ankle" if "left_ankle" in kind.joints else "hip"
    along = _middle(kind, bodies, "shoulder") - _middle(kind, bodies, low)
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    weight = np.broadcast_to(walked / max(walked.max(), 1e-300) + 1e-6, along.shape[:2])
    seen = np.isfinite(length[..., 0]) & (length[..., 0] > 0)
    if not seen.any():
        return np.array([0.0, -1.0, 0.0])
    along, weight = (along / np.where(length > 0, length, 1))[seen], weight[seen]
    up = weight @ along
    for _ in range(5):  # bent bodies get less weight
        bent = np.linalg.norm(along - up / np.linalg.norm(up), axis=-1)
        up = (weight / (1 + (bent / _BENT) ** 2)) @ along
    return np.asarray(up / np.linalg.norm(up))


def _rotation_to_up(up: Floats, ahead: Floats) -> Floats:
    """Rotation (3, 3) that makes `up` the z axis and turns `ahead` into the plane of y and z."""
    side = np.cross(ahead, up)
    if np.linalg.norm(side) < 1e-3:
        side = np.cross(np.eye(3)[np.abs(up).argmin()], up)
    x, z = side / np.linalg.norm(side), up / np.linalg.norm(up)
    return np.stack([x, np.cross(z, x), z])


def _feet(kind: Skeleton, bodies: Floats, size: float) -> Floats:
    """Positions (T, P, F, 3) of the floor below feet, if the feet stand on it."""
    shares = {
        joint: share for joint, name in enumerate(kind.joints) for part, share in _JOINT_HEIGHT.items() if part in name
    }
    under = np.zeros((len(shares), 3))
    under[:, 2] = np.array([*shares.values()]) * STATURE_M * size
    return np.asarray(bodies[..., list(shares), :] - under)


def _floor(kind: Skeleton, bodies: Floats, size: float) -> float:
    """Height of the floor in a world with z up: a low quantile of the feet, or of all joints where there are none."""
    feet = _feet(kind, bodies, size)[..., 2]
    feet = feet[np.isfinite(feet)]
    if len(feet):
        return float(np.percentile(feet, 100 * _LOW))
    return float(np.nanpercentile(bodies[..., 2], 1)) if np.isfinite(bodies).any() else 0.0


def _floor_normal(kind: Skeleton, bodies: Floats, size: float, walked: Floats) -> Floats:
    """Normal (3,) of the floor in a world with z about up: of parallel planes that few feet are below, one per person.

    Quantile regression by reweighting, with a prior from the upright bodies: a few steps do not determine the tilt of a
    floor. People may walk at different heights, as on a stage.
    """
    feet = _feet(kind, bodies, size) / size
    seen = np.isfinite(feet).all(-1)
    people = np.flatnonzero(np.any(seen, axis=(0, 2)) & (walked > 0))
    if not len(people) or seen.sum() < 10:
        return np.array([0.0, 0.0, 1.0])
    who = np.broadcast_to(np.arange(len(walked))[:, None], seen.shape)[seen]
    mine, feet = np.isin(who, people), feet[seen]
    who, feet = who[mine], feet[mine]
    table = np.concatenate([feet[:, :2], who[:, None] == people], 1)
    share = walked[who] / walked[who].sum()
    prior = np.diag([*[(_FOOT_NOISE / _TILT) ** 2] * 2, *[1e-9] * len(people)])
    plane = np.zeros(table.shape[1])
    plane[2:] = [np.percentile(feet[who == person, 2], 100 * _LOW) for person in people]
    for _ in range(20):
        height = feet[:, 2] - table @ plane
        weight = share * np.where(height < 0, 1 - _LOW, _LOW) / np.maximum(np.abs(height), 0.2 * _FOOT_NOISE)
        weight *= _FEET_COUNT / weight.sum()
        plane = np.linalg.solve((table * weight[:, None]).T @ table + prior, (table * weight[:, None]).T @ feet[:, 2])
    normal = np.array([-plane[0], -plane[1], 1.0])
    return np.asarray(normal / np.linalg.norm(normal))
