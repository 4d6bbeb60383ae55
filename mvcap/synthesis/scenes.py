"""Synthetic scenes: people in a room, their initial places, their acts, and their joints over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.poses import Poses3D
from mvcap.synthesis import activities, interactions, postures
from mvcap.synthesis.activities import APART_M, Act, Floor, Plan
from mvcap.synthesis.bodies import HALPE, assemble, blend, lowest_point, mirror_vectors, random_build
from mvcap.synthesis.gait import steps
from mvcap.synthesis.interactions import GROUPS, Spot
from mvcap.synthesis.motion_clips import Library, library
from mvcap.synthesis.procedural_motion import pose_body

ROOM_M = (3.0, 8.0)
_LEAD_S = 3.0  # longest time that the motion starts before the scene
_DOOR_M = 0.8  # distance of absent people from the room
_TRIES = 30
ACTS = {  # acts of people in place
    "train": (postures.bend, postures.squat),
    "held_out": (postures.bend, postures.kneel),
}


def random_scene(
    rng: np.random.Generator, people: int, seconds: float, rate_hz: float, split: str = "train",
    clips: Library | None = None, room_m: tuple[float, float] = ROOM_M, beyond: bool = False,
    alike: bool = False,
) -> Poses3D:  # fmt: skip
    """People 1.. who stand, walk, sit, lie, talk, meet, cross, hug, come and go in a room 3 to 8 m wide.

    ``halpe26``, m, z up, floor z = 0, the middle of the room the origin; frames 0.. at ``rate_hz``. A person outside
    the room has no row. Pelvis, middle of the trunk and neck of two people are at least 0.3 m apart, of two who hug 0.2
    m. The same state of ``rng`` gives the same scene. clips: motions of real people to use; by default those of the
    split. room_m: least and most width of the room. beyond: people outside the room have rows too.
    alike: all people have the same body.
    """
    clips = library(split) if clips is None else clips
    time_s = np.arange(max(round(seconds * rate_hz), 1)) / rate_hz
    lead = rng.uniform(0, _LEAD_S)
    half = rng.uniform(*room_m, 2) / 2
    half = np.clip(half, min(0.65 * np.sqrt(people), 0.5 * ROOM_M[1]), 0.5 * ROOM_M[1])
    floor = Floor(-lead, seconds, half, random_build(rng) if alike else None)
    _populate(floor, people, rng)
    while (plan := min(floor.plans, key=lambda plan: plan.busy)).busy < seconds:
        _plan_next(floor, plan, clips, rng, split)
    xyz = np.stack([_joints(floor, plan, time_s) for plan in floor.plans], axis=1)
    if rng.random() < 0.5:
        xyz = mirror_vectors(xyz.reshape(-1, len(HALPE), 3)).reshape(xyz.shape)
    there = np.abs(xyz[..., HALPE.index("pelvis"), :2]) < (np.inf if beyond else half + 0.3)
    return _pose_table(xyz, np.all(there, axis=-1, out=np.empty(there.shape[:-1], dtype=np.bool_)))


# Initial places


def _populate(floor: Floor, people: int, rng: np.random.Generator) -> None:
    """Place all people, in groups."""
    while (left := people - len(floor.plans)) > 0:
        if floor.plans and rng.random() < 0.07:
            _add_arriving(floor, rng)
            continue
        may = [group for group in GROUPS.values() if group[1] <= left]
        chance = np.array([group[3] for group in may])
        group, least, most, _ = may[int(np.searchsorted(np.cumsum(chance) / chance.sum(), rng.random()))]
        size = int(rng.integers(least, min(most, left) + 1))
        _place_group(floor, group(rng, size), rng)


def _person(floor: Floor, spot: Spot, rng: np.random.Generator) -> Plan:
    """A person in their initial posture, not yet at a place of the room."""
    stand = postures.stand(rng)
    rest = {"sit": postures.sit, "table": postures.sit_at_table}.get(spot.role, lambda rng, stand: stand)(rng, stand)
    if spot.role == "lie":
        rest = postures.lie(rng, stand, spot.level_m)
    size = len(floor.time_s)
    feet = (rng.random(), rng.uniform(0.06, 0.11), rng.normal(0.12, 0.06))
    build = floor.build or random_build(rng)
    return Plan(build, rest, stand, np.zeros((size, 2)), np.zeros(size), np.zeros((size, 3, 3)),
                [(floor.begin, 0.0, rest)], postures.waver(rng), feet, floor.opens, rng.uniform(0.5, 1.6),
                spot.role == "lie")  # fmt: skip


def _place_group(floor: Floor, spots: list[Spot], rng: np.random.Generator) -> None:
    """Place a group; where there is no room for it, place one person alone where there is most room."""
    members = [_person(floor, spot, rng) for spot in spots]
    local = np.array([spot.place for spot in spots])
    for _ in range(_TRIES):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        places = local @ turn.T + floor.half * rng.uniform(-1, 1, 2)
        if not floor.inside(places):
            continue
        for member, spot, place in zip(members, spots, places, strict=True):
            _put(floor, member, place, spot.heading + angle)
        torsos = [member.torso[:1] for member in members]
        if all(floor.clear(torso, 0) for torso in torsos) and _least_distance(torsos) >= APART_M:
            break
    else:
        members = [_place_alone(floor, rng) for _ in members[:1]]
        spots = [Spot((0.0, 0.0), 0.0)]
    floor.plans += members
    _set_goals(floor, members, spots, rng)


def _set_goals(floor: Floor, members: list[Plan], spots: list[Spot], rng: np.random.Generator) -> None:
    """Set the goals of a group's members by their roles."""
    middle = np.mean([member.place[0] for member in members], axis=0)
    ahead = rng.uniform(1.0, 3.0)
    for member, spot in zip(members, spots, strict=True):
        here, heading = member.place[0], member.heading[0]
        if spot.role == "cross":
            member.goals.append(np.clip(here + (middle - here) * rng.uniform(1.7, 2.4), -floor.half, floor.half))
        elif spot.role == "walk":
            goal = here + ahead * np.array([np.cos(heading), np.sin(heading)])
            member.goals.append(np.clip(goal, -floor.half, floor.half))
            member.pace = members[0].pace
    if spots[0].role == "hug" and (acts := interactions.hug(floor, members[0], members[1], rng)):
        for member, act in zip(members, acts, strict=True):
            floor.take(member, act)


def _put(floor: Floor, plan: Plan, place: NDArray[np.float64], heading: float) -> None:
    plan.place[:], plan.heading[:] = place, heading
    plan.torso[:] = floor.still(plan.build, place, heading, plan.rest)


def _least_distance(torsos: list[NDArray[np.float64]]) -> float:
    """Least distance m between torsos (1, 3, 3) of a group."""
    points = np.concatenate(torsos)
    apart = np.linalg.norm(points[:, None, :, None] - points[None, :, None], axis=-1).min((-1, -2))
    return float((apart + np.diag(np.full(len(points), np.inf))).min())


def _place_alone(floor: Floor, rng: np.random.Generator) -> Plan:
    """A person who stands where there is most room."""
    plan = _person(floor, Spot((0.0, 0.0), 0.0), rng)
    best = (-1.0, np.zeros(2))
    for _ in range(4 * _TRIES):
        place = floor.half * rng.uniform(-1, 1, 2)
        best = max(best, (floor.apart(floor.still(plan.build, place, 0.0, plan.rest), 0), place), key=lambda it: it[0])
    _put(floor, plan, best[1], rng.uniform(0, 2 * np.pi))
    return plan


def _add_arriving(floor: Floor, rng: np.random.Generator) -> None:
    """Add a person outside with a goal inside the room."""
    plan = _person(floor, Spot((0.0, 0.0), 0.0), rng)
    place = _outside(floor, rng)
    _put(floor, plan, place, float(np.arctan2(-place[1], -place[0])))
    if floor.clear(plan.torso[:1], 0):
        plan.goals.append(floor.half * rng.uniform(-0.8, 0.8, 2))
        floor.plans.append(plan)


def _outside(floor: Floor, rng: np.random.Generator) -> NDArray[np.float64]:
    place = floor.half * rng.uniform(-1, 1, 2)
    axis = int(rng.integers(2))
    place[axis] = np.sign(place[axis]) * (floor.half[axis] + _DOOR_M)
    return place


# Planning of acts


def _plan_next(floor: Floor, plan: Plan, clips: Library, rng: np.random.Generator, split: str) -> None:
    """Plan a person's next act, one that is possible where they are."""
    others = [other for other in floor.plans if other is not plan]
    if plan.goals:
        goal = plan.goals.pop()
        for _ in range(3):
            act = activities.walk(floor, plan, goal, rng)
            if floor.clear(act.torso, floor.index(plan.busy), (plan,)):
                return floor.take(plan, act)
    near = [other for other in others if _free_to_hug(floor, plan, other)]
    if near and not plan.bound and rng.random() < 0.08 and (acts := interactions.hug(floor, plan, near[0], rng)):
        floor.take(plan, acts[0])
        return floor.take(near[0], acts[1])
    for _ in range(4):
        act, margin = _random_act(floor, plan, others, clips, rng, split)
        if floor.inside(act.place, margin) and floor.clear(act.torso, floor.index(plan.busy), (plan,)):
            return floor.take(plan, act)
    return floor.take(plan, activities.wait(floor, plan, rng))


def _random_act(
    floor: Floor, plan: Plan, others: list[Plan], clips: Library, rng: np.random.Generator, split: str
) -> tuple[Act, float]:
    """A random candidate act, and how far it may leave the room, m."""
    draw = rng.random()
    if plan.bound:
        return activities.stay(floor, plan, postures.stir(rng, plan.rest), rng, 1.5), np.inf
    if plan.low and draw > 0.15:
        return activities.stay(floor, plan, postures.gesture(rng, plan.rest), rng), np.inf
    if plan.low or draw < 0.4:
        goal, margin = floor.half * rng.uniform(-1, 1, 2), 0.1
        if rng.random() < 0.08:
            goal, margin = _outside(floor, rng), np.inf
            plan.goals = [floor.half * rng.uniform(-0.8, 0.8, 2)]
        return activities.walk(floor, plan, goal, rng), margin
    if draw < 0.56 and clips.complete:
        motion = clips.motions[int(rng.integers(len(clips.motions)))]
        return activities.perform(floor, plan, motion, rng), _DOOR_M
    if draw < 0.66 and others:
        gap = others[int(rng.integers(len(others)))].place[floor.index(plan.busy)] - plan.place[floor.index(plan.busy)]
        return activities.turn_in_place(floor, plan, float(np.arctan2(gap[1], gap[0])), rng), np.inf
    if draw < 0.78:
        kinds = ACTS[split]
        return activities.stay(floor, plan, kinds[int(rng.integers(len(kinds)))](rng, plan.stand), rng), np.inf
    if draw < 0.84:
        sat = postures.sit(rng, plan.stand)
        return activities.stay(floor, plan, postures.sit_down(rng, plan.stand, sat), rng, rest=sat), np.inf
    return activities.stay(floor, plan, postures.gesture(rng, plan.rest), rng), np.inf


def _free_to_hug(floor: Floor, one: Plan, other: Plan) -> bool:
    gap = np.linalg.norm(one.place[floor.index(one.busy)] - other.place[floor.index(other.busy)])
    ready = abs(one.busy - other.busy) < 0.7 and not (other.bound or other.low or one.low or other.goals)
    return bool(ready and 0.4 < gap < 2.0)


# Joints


def _joints(floor: Floor, plan: Plan, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joints (T, 26, 3) m of a person at times (T,)."""
    acting = [(clip, clip.weight(time_s)) for clip in plan.clips]
    acting = [(clip, weight) for clip, weight in acting if weight.any()]
    whole = [clip for clip, weight in acting if weight.min() == 1]
    if whole:
        return assemble(*whole[0].of(plan.build, time_s))
    curves = postures.Curves(tuple(plan.keys), plan.waver)
    grid = floor.time_s
    place = np.stack([np.interp(time_s, grid, plan.place[:, axis]) for axis in (0, 1)], -1)
    feet = steps(activities.walk_way(floor, plan), time_s, *plan.feet)
    root, vectors = pose_body(plan.build, place, np.interp(time_s, grid, plan.heading), feet, curves.at(time_s))
    for clip, weight in acting:
        real = clip.of(plan.build, time_s)
        low = [lowest_point(plan.build, assemble(*one)) for one in ((root, vectors), real)]
        root = root + weight[:, None] * (real[0] - root)
        vectors = blend(plan.build, vectors, real[1], weight)
        root[:, 2] += low[0] + weight * (low[1] - low[0]) - lowest_point(plan.build, assemble(root, vectors))
    return assemble(root, vectors)


def _pose_table(xyz: NDArray[np.float64], there: NDArray[np.bool_]) -> Poses3D:
    """Rows from joints (T, P, 26, 3), for those (T, P) in the room."""
    frame, who = np.nonzero(there)
    rows = xyz[frame, who]
    ones = np.ones(rows.shape[:2])
    zero = np.zeros(rows.shape[:2])
    return Poses3D(HALPE, frame, who + 1, who + 1, rows, ones, zero, zero, np.zeros((*zero.shape, 6)), ones)
