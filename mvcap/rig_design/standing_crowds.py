"""People for a plan: upright bodies that stand or walk, at given places among others at random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats
from mvcap.rig_design.plan_request import PlanRequest
from mvcap.structures.skeleton import skeleton

HALPE = skeleton("halpe26")
_BODY_M = 1.75  # height of the body below
_APART_M, _TRIES = 0.5, 24
_MOST_PLACES, _SPACING_M = 150, 0.4


@dataclass(frozen=True, eq=False)
class Crowds:
    """Moments with people, of whom the first is looked at.

    places (G, 2) m; xyz (S, P, J, 3) m in ``halpe26``; place (S,) at which place the first of them is.
    """

    places: Floats
    spacing_m: float
    xyz: Floats
    place: np.ndarray[tuple[int], np.dtype[np.int64]]


def crowds(request: PlanRequest, draws: int, seed: int, most_places: int = _MOST_PLACES) -> Crowds:
    """Return so many random moments for each place of a grid over the area; the same for the same seed.

    Everybody has a random heading and phase of gait; people are 0.5 m apart where there is room for that. Places in an
    obstacle are left out.
    """
    rng = np.random.default_rng([seed, 7])
    places, spacing = _grid(request, most_places)
    place = np.repeat(np.arange(len(places)), draws)
    spots = np.empty((len(place), request.people, 2))
    spots[:, 0] = places[place]
    half = np.array(request.area) / 2
    for person in range(1, request.people):
        tries = rng.uniform(-half, half, (len(place), _TRIES, 2))
        gap = np.linalg.norm(tries[:, :, None] - spots[:, None, :person], axis=-1).min(-1)  # (S, tries)
        free = (gap > _APART_M) & ~_in_obstacle(request, tries)
        chosen = np.where(free.any(1), free.argmax(1), gap.argmax(1))
        spots[:, person] = tries[np.arange(len(place)), chosen]
    shape = spots.shape[:2]
    xyz = bodies(spots, rng.uniform(0, 2 * np.pi, shape), rng.uniform(0, 2 * np.pi, shape),
                 rng.uniform(0, 0.45, shape), request.height_m)  # fmt: skip
    return Crowds(places, spacing, xyz, place)


def bodies(spots: Floats, heading: Floats, phase: Floats, stride: Floats, height_m: float = _BODY_M) -> Floats:
    """Return joints (..., 26, 3) m of ``halpe26`` of people at spots (..., 2) m.

    heading, phase of gait and amplitude of the swing of legs and arms: (...), rad.
    """
    along = np.stack([np.cos(heading), np.sin(heading), np.zeros_like(heading)], -1)
    left = np.stack([-np.sin(heading), np.cos(heading), np.zeros_like(heading)], -1)
    up = np.broadcast_to([0.0, 0.0, 1.0], along.shape)
    swing = (stride * np.sin(phase))[..., None]

    def at(front: float, side: float, height: float) -> Floats:
        return np.asarray(front * along + side * left + height * up)

    def hung(start: Floats, length: float, angle: Floats) -> Floats:
        return np.asarray(start + length * (np.sin(angle) * along - np.cos(angle) * up))

    joint = {
        "nose": at(0.1, 0, 1.62), "head_top": at(0, 0, 1.75), "neck": at(0, 0, 1.45),
        "pelvis": at(0, 0, 0.94),
    }  # fmt: skip
    for name, sign in (("left", 1.0), ("right", -1.0)):
        bent = np.maximum(0.0, 0.6 * sign * stride * np.cos(phase))[..., None]
        hip, shoulder = at(0, 0.12 * sign, 0.92), at(0, 0.19 * sign, 1.42)
        knee, elbow = hung(hip, 0.43, sign * swing), hung(shoulder, 0.3, -sign * swing)
        ankle, wrist = hung(knee, 0.40, sign * swing - bent), hung(elbow, 0.26, 0.3 - sign * swing)
        joint |= {
            f"{name}_eye": at(0.08, 0.03 * sign, 1.66), f"{name}_ear": at(0, 0.08 * sign, 1.64),
            f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_wrist": wrist, f"{name}_hip": hip,
            f"{name}_knee": knee, f"{name}_ankle": ankle, f"{name}_big_toe": ankle + at(0.18, 0.03 * sign, -0.07),
            f"{name}_small_toe": ankle + at(0.14, 0.08 * sign, -0.07), f"{name}_heel": ankle + at(-0.05, 0, -0.06),
        }  # fmt: skip
    body = np.stack([joint[name] for name in HALPE.joints], -2) * (height_m / _BODY_M)
    body[..., :2] += spots[..., None, :]
    return np.asarray(body)


def _grid(request: PlanRequest, most: int) -> tuple[Floats, float]:
    """Places (G, 2) m evenly over the area, those in obstacles left out, and their spacing, m."""
    width, depth = request.area
    spacing = max(_SPACING_M, float(np.sqrt(width * depth / most)))
    axes = [(np.arange(max(round(side / spacing), 1)) + 0.5) / max(round(side / spacing), 1) * side - side / 2
            for side in (width, depth)]  # fmt: skip
    flat = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    free = flat[~_in_obstacle(request, flat)]
    return (free if len(free) else flat), spacing


def _in_obstacle(request: PlanRequest, spots: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether spots (..., 2) m lie in the plan of an obstacle."""
    boxes = request.boxes()[:, :, :2]
    inside = (spots[..., None, :] > boxes[:, 0]) & (spots[..., None, :] < boxes[:, 1])
    return np.asarray(inside.all(-1).any(-1))
