"""Arrangements of people in groups, and interactions of two people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.synthesis import postures
from mvcap.synthesis.activities import Act, Floor, Plan, torso
from mvcap.synthesis.postures import Curves, Key

HUG_M = (0.31, 0.38)
"""Pelvis to pelvis of two who hug."""
_CLOSEST_M = 0.24  # torsos of two who hug
_STEP_BACK_M = 0.42


@dataclass(frozen=True)
class Spot:
    """Place and heading of a person relative to the middle of their group, and their role."""

    place: tuple[float, float]
    heading: float
    role: str = "stand"
    """stand, sit, table, lie, cross (goes to the other side of the middle), walk (goes ahead), hug."""
    level_m: float = 0.0


def circle(rng: np.random.Generator, people: int) -> list[Spot]:
    """Stand in a circle and look at its middle."""
    return _spots_on_ring(rng, people, max(rng.uniform(0.4, 0.75), 0.13 * people), "stand")


def round_table(rng: np.random.Generator, people: int) -> list[Spot]:
    """Sit round a table."""
    return _spots_on_ring(rng, people, max(rng.uniform(0.35, 0.8), 0.1 * people), "sit")


def crossing(rng: np.random.Generator, people: int) -> list[Spot]:
    """Walk towards each other, all through the same point."""
    return _spots_on_ring(rng, people, rng.uniform(0.8, 1.8), "cross")


def row(rng: np.random.Generator, people: int) -> list[Spot]:
    """Stand side by side or one behind the other."""
    apart, queue = rng.uniform(0.5, 0.85), rng.random() < 0.5
    at = (np.arange(people) - (people - 1) / 2) * apart
    turned = rng.normal(0, 0.25, people)
    return [Spot((x, 0.1 * rng.normal()) if queue else (0.1 * rng.normal(), x), t, "stand")
            for x, t in zip(at.tolist(), turned.tolist(), strict=True)]  # fmt: skip


def company(rng: np.random.Generator, people: int) -> list[Spot]:
    """Walk together, side by side or one behind the other."""
    return [Spot(spot.place, 0.3 * spot.heading, "walk") for spot in row(rng, people)]


def bed(rng: np.random.Generator, people: int) -> list[Spot]:
    """Stand round a person who lies on a bed or a table, or round an empty table."""
    spots = [Spot((0.0, 0.0), 0.0, "lie", rng.uniform(0.45, 0.9))] if rng.random() < 0.75 else []
    along = rng.permutation(np.array([-0.75, -0.1, 0.55]))
    for number in range(people - len(spots)):
        side, far = (1, -1)[number % 2], rng.uniform(0.45, 0.65)
        x = float(along[number // 2 % 3]) + 0.08 * rng.normal()
        spots.append(Spot((x, side * far), -side * np.pi / 2 + 0.2 * rng.normal(), "table"))
    return spots


def embrace(rng: np.random.Generator, people: int) -> list[Spot]:
    """Stand face to face, about to hug."""
    half = rng.uniform(0.25, 0.6)
    return [Spot((-half, 0.0), 0.1 * rng.normal(), "hug"), Spot((half, 0.0), np.pi + 0.1 * rng.normal(), "hug")][
        :people
    ]


def _spots_on_ring(rng: np.random.Generator, people: int, radius: float, role: str) -> list[Spot]:
    angle = 2 * np.pi * (np.arange(people) + rng.uniform(-0.15, 0.15, people)) / people
    far = radius * rng.uniform(0.9, 1.15, people)
    return [Spot((r * np.cos(a), r * np.sin(a)), a + np.pi + 0.2 * rng.normal(), role)
            for a, r in zip(angle.tolist(), far.tolist(), strict=True)]  # fmt: skip


Grouping = Callable[[np.random.Generator, int], list[Spot]]
GROUPS: Mapping[str, tuple[Grouping, int, int, float]] = {
    "alone": (lambda rng, people: [Spot((0.0, 0.0), 0.0, "stand")], 1, 1, 0.26),
    "circle": (circle, 2, 5, 0.17),
    "row": (row, 2, 4, 0.09),
    "table": (round_table, 2, 6, 0.1),
    "bed": (bed, 2, 6, 0.09),
    "hug": (embrace, 2, 2, 0.13),
    "crossing": (crossing, 2, 4, 0.17),
    "company": (company, 2, 3, 0.1),
}
"""Group -> its spots, least and most people, and probability."""


def hug(floor: Floor, one: Plan, other: Plan, rng: np.random.Generator) -> tuple[Act, Act] | None:
    """Two people approach, hug and step back; None where others are in the way."""
    start = max(one.busy, other.busy)
    here = [plan.place[floor.index(plan.busy)] for plan in (one, other)]
    gap = here[1] - here[0]
    far = float(np.linalg.norm(gap))
    towards = float(np.arctan2(gap[1], gap[0]))
    along, across = gap / max(far, 1e-6), np.array([-gap[1], gap[0]]) / max(far, 1e-6)
    middle, half, aside = 0.5 * (here[0] + here[1]), 0.5 * rng.uniform(*HUG_M), rng.uniform(-0.04, 0.04)
    met = start + max(far - 2 * half, 0) / rng.uniform(0.6, 1.3) + 0.8
    let_go = met + rng.uniform(0.7, 2.5)
    acts = []
    for plan, place, sign, angle in zip((one, other), here, (-1, 1), (towards, towards + np.pi), strict=True):
        near = middle + sign * (half * along + aside * across)
        back = middle + sign * (_STEP_BACK_M * along + aside * across)
        acts.append(_hug_act(floor, plan, (start, met, let_go), (place, near, back), angle, rng))
    begin = floor.index(start)
    pair = [act.torso[begin - floor.index(plan.busy) :] for act, plan in zip(acts, (one, other), strict=True)]
    if np.linalg.norm(pair[0][:, :, None] - pair[1][:, None], axis=-1).min() < _CLOSEST_M:
        return None
    for act, plan in zip(acts, (one, other), strict=True):
        if not floor.inside(act.place) or not floor.clear(act.torso, floor.index(plan.busy), (one, other)):
            return None
    return acts[0], acts[1]


def _hug_act(
    floor: Floor, plan: Plan, times: tuple[float, float, float], places: tuple[NDArray[np.float64], ...], face: float,
    rng: np.random.Generator,
) -> Act:  # fmt: skip
    """Act of one of two people who hug: from the first place to the second, then to the third."""
    start, met, let_go = times
    here, near, back = places
    begin = floor.index(plan.busy)
    time = floor.time_s[begin:]
    turned = (face - plan.heading[begin] + np.pi) % (2 * np.pi) - np.pi
    heading = plan.heading[begin] + turned * postures.ease((time - start) / max(met - start, 0.5 * abs(turned)))
    closer = postures.ease((time - start) / (met - start))[:, None]
    away = postures.ease((time - let_go) / 0.9)[:, None]
    place = here + closer * (near - here) + away * (back - near)
    embrace = postures.hug_posture(rng, plan.stand)
    keys: list[Key] = [(start, 0.4, plan.stand), (met - 0.5, 0.6, embrace), (let_go - 0.2, 0.7, plan.stand)]
    curves = Curves((plan.keys[-1], *keys), np.zeros((1, 2 + len(embrace))))
    return Act(let_go + 1.0, place, heading, torso(plan.build, place, heading, curves.at(time)), keys, rest=plan.stand)
