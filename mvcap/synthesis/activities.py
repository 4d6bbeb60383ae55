"""Schedules of people in a room: sequences of acts in which torsos never come closer than a least distance.

People are planned in order of time. An act is accepted only if the person keeps the least distance from everybody
during the act and, standing at its end, afterwards: from people who are planned further, as planned, and from the
others as if they stayed where they are. So waiting is always possible, however full the room is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mvcap.synthesis import postures
from mvcap.synthesis.bodies import GeneratedBody, joint_index
from mvcap.synthesis.gait import Way
from mvcap.synthesis.motion_clips import Motion
from mvcap.synthesis.postures import Curves, Key, Posture
from mvcap.synthesis.procedural_motion import control_index

GRID_HZ = 20.0
APART_M = 0.42
"""Least distance between pelvis, middle of the trunk and neck of one person and those of another."""
_FADE_S = 0.6
_LOW = 0.4  # leg lengths that the pelvis is below standing height, for a low posture
_MARGIN_S = 1.0  # the gait needs motion before and after the scene
_SPINE, _NECK = joint_index("spine"), joint_index("neck")
_PLACE = [control_index(name) for name in ("height", "back", "pitch", "chest_pitch", "lying", "level")]


@dataclass(frozen=True, eq=False)
class ClipAct:
    """An act that follows a clip of a real person."""

    motion: Motion
    begin: float
    """s at which it begins, from ``start`` s of the clip on, ``pace`` times as fast."""
    end: float
    start: float
    pace: float
    mirror: bool
    turn: float
    """rad by which the clip is turned about the vertical, before it is moved by ``shift`` (2,) m."""
    shift: NDArray[np.float64]
    fades: tuple[float, float]
    """s of the transitions into and out of it; 0: the person starts in it."""
    held: float
    """s for which its first posture is held, where the person has to lie down before getting up."""

    def weight(self, time_s: NDArray[np.floating]) -> NDArray[np.float64]:
        """Weight (T,) of the clip in the person's motion, 0..1."""
        into, out = self.fades
        begun = postures.ease((time_s - self.begin) / into) if into else 1.0
        return np.asarray(begun * postures.ease((self.end - time_s) / out))

    def of(self, build: GeneratedBody, time_s: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pelvis (T, 3) m and vectors (T, 27, 3) m of the body at times (T,) of the scene."""
        at = np.clip(time_s, self.begin, self.end) - self.begin
        at = np.maximum(at - self.held, 0)
        root, vectors = self.motion.of(build, self.start + self.pace * at, self.mirror)
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])  # for rows
        root, vectors = root @ turn, vectors @ turn
        root[:, :2] += self.shift
        return root, vectors


@dataclass(eq=False)
class Plan:
    """One person: body, and motion at the times of the grid."""

    build: GeneratedBody
    rest: Posture
    """Current resting posture: standing, sitting or lying."""
    stand: Posture
    place: NDArray[np.float64]
    """(G, 2) m."""
    heading: NDArray[np.float64]
    """(G,) rad."""
    torso: NDArray[np.float64]
    """(G, 3, 3) m pelvis, middle of the trunk, neck."""
    keys: list[Key]
    waver: NDArray[np.float64]
    feet: tuple[float, float, float]
    """Initial phase of the stride, half of the width of the gait m, outward angle of the feet rad."""
    busy: float
    """s until which the motion is planned."""
    pace: float = 1.2
    """Walking speed m/s."""
    bound: bool = False
    """The person stays where they lie."""
    goals: list[NDArray[np.float64]] = field(default_factory=list)
    """Next places to go to."""
    clips: list[ClipAct] = field(default_factory=list)

    @property
    def low(self) -> bool:
        """Whether the person has to get up before walking."""
        return self.rest is not self.stand


@dataclass(frozen=True, eq=False)
class Act:
    """A candidate act from the plan's ``busy`` on, with place, heading and torso for the rest of the grid."""

    end: float
    place: NDArray[np.float64]
    heading: NDArray[np.float64]
    torso: NDArray[np.float64]
    keys: Sequence[Key] = ()
    clip: ClipAct | None = None
    rest: Posture | None = None


class Floor:
    """The room, its grid of times, and the plans of all people.

    build: the body of everybody; None: each has a random one.
    """

    def __init__(
        self, opens: float, closes: float, half: NDArray[np.float64], build: GeneratedBody | None = None
    ) -> None:
        self.opens = opens
        self.begin = opens - _MARGIN_S
        self.time_s = np.arange(self.begin, closes + _MARGIN_S + 1 / GRID_HZ, 1 / GRID_HZ)
        self.half, self.build = half, build
        self.plans: list[Plan] = []

    def index(self, time: float) -> int:
        """Index of a time in the grid."""
        return min(max(math.ceil((time - self.begin) * GRID_HZ - 1e-6), 0), len(self.time_s) - 1)

    def still(
        self, build: GeneratedBody, place: NDArray[np.float64], heading: float, posture: Posture
    ) -> NDArray[np.float64]:
        """Torso (1, 3, 3) of a person who stays in place."""
        return torso(build, place[None], np.array([heading]), posture[None])

    def apart(self, torsos: NDArray[np.float64], begin: int, ignored: Sequence[Plan] = ()) -> float:
        """Least distance of torsos (G', 3, 3), from an index of the grid on, to those of all plans but the ignored."""
        others = [plan.torso[begin:] for plan in self.plans if plan not in ignored]
        if not others:
            return np.inf
        theirs = np.stack(others)  # (P, G', 3, 3)
        mine = np.broadcast_to(torsos, theirs.shape[1:])
        squared = (theirs**2).sum(-1)[..., None, :] + (mine**2).sum(-1)[..., None]
        squared = squared - 2 * np.matmul(mine, theirs.swapaxes(-1, -2))
        return float(np.sqrt(max(squared.min(), 0)))

    def clear(self, torsos: NDArray[np.float64], begin: int, ignored: Sequence[Plan] = ()) -> bool:
        """Whether torsos (G', 3, 3), from an index of the grid on, keep the least distance to all but the ignored."""
        return self.apart(torsos, begin, ignored) >= APART_M

    def inside(self, place: NDArray[np.float64], margin: float = 0.1) -> bool:
        """Whether places (G, 2) are in the room."""
        return bool((np.abs(place) <= self.half + margin).all())

    def take(self, plan: Plan, act: Act) -> None:
        """Add an act to a person's plan."""
        begin = self.index(plan.busy)
        plan.place[begin:], plan.heading[begin:], plan.torso[begin:] = act.place, act.heading, act.torso
        plan.keys += act.keys
        plan.busy = act.end
        plan.rest = plan.rest if act.rest is None else act.rest
        if act.clip:
            plan.clips.append(act.clip)


def torso(
    build: GeneratedBody, place: NDArray[np.floating], heading: NDArray[np.floating], controls: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Approximate pelvis, middle of the trunk and neck (T, 3, 3) m of a person with these controls (T, V)."""
    height, back, pitch, chest, lying, level = controls[:, _PLACE].T
    forward = np.stack([np.cos(heading), np.sin(heading)], -1)
    pelvis = np.empty((len(place), 3))
    pelvis[:, :2] = place - (back * build.leg_m)[:, None] * forward
    pelvis[:, 2] = build.leg_m * height + build.ankle_m
    pelvis[:, 2] += lying * (level + 0.11 - pelvis[:, 2])
    return np.stack([pelvis, *_trunk_points(build, pelvis, forward, pitch, pitch + chest)], axis=1)


def _trunk_points(
    build: GeneratedBody, pelvis: NDArray[np.floating], forward: NDArray[np.floating], *pitch: NDArray[np.floating]
) -> list[NDArray[np.float64]]:
    points, last = [], pelvis
    for part, angle in zip((_SPINE, _NECK), pitch, strict=True):
        way = np.concatenate([np.sin(angle)[:, None] * forward, np.cos(angle)[:, None]], -1)
        last = last + abs(build.offset[part, 2]) * way
        points.append(last)
    return points


# Acts


def wait(floor: Floor, plan: Plan, rng: np.random.Generator) -> Act:
    """Continue unchanged: always possible."""
    begin = floor.index(plan.busy)
    return Act(plan.busy + rng.uniform(0.4, 1.0), plan.place[begin:], plan.heading[begin:], plan.torso[begin:])


def stay(
    floor: Floor, plan: Plan, shown: Sequence[Posture], rng: np.random.Generator, slow: float = 1.0,
    rest: Posture | None = None,
) -> Act:  # fmt: skip
    """A sequence of postures in one place; ``rest`` is the resting posture afterwards."""
    keys, time = [], plan.busy
    for posture in shown:
        keys.append((time, slow * rng.uniform(0.4, 0.9), posture))
        time += keys[-1][1] + slow * rng.uniform(0.0, 0.8)
    begin = floor.index(plan.busy)
    count = len(floor.time_s) - begin
    place, heading = np.repeat(plan.place[begin : begin + 1], count, axis=0), np.full(count, plan.heading[begin])
    return Act(time, place, heading, _torsos_of_keys(floor, plan, begin, place, heading, keys), keys, rest=rest)


def turn_in_place(floor: Floor, plan: Plan, to: float, rng: np.random.Generator) -> Act:
    """Turn on the spot to another heading."""
    act = stay(floor, plan, [postures.walk_posture(rng, plan.stand)], rng)
    begin, time = floor.index(plan.busy), floor.time_s
    angle = _wrap_angle(to - plan.heading[begin])
    lasts = 0.5 + abs(angle) / rng.uniform(1.5, 3.0)
    heading = plan.heading[begin] + angle * postures.ease((time[begin:] - plan.busy) / lasts)
    return Act(
        plan.busy + lasts,
        act.place,
        heading,
        _torsos_of_keys(floor, plan, begin, act.place, heading, act.keys),
        act.keys,
    )


def walk(floor: Floor, plan: Plan, goal: NDArray[np.float64], rng: np.random.Generator) -> Act:
    """Walk to a place along a curve; a sitting person gets up first, and one with another heading turns first."""
    begin, keys, start = floor.index(plan.busy), [], plan.busy
    if plan.low:
        keys.append((start, 0.7, postures.sit_down(rng, plan.stand, plan.rest)[0]))
        start += 0.6
    keys.append((start, 0.7, postures.walk_posture(rng, plan.stand)))
    start += 0.4 if plan.low else 0.0
    here = plan.place[begin]
    far, speed = float(np.linalg.norm(goal - here)), plan.pace * rng.uniform(0.9, 1.1)
    ramp = rng.uniform(0.4, 0.8)
    lasts = far / speed + ramp
    middle = 0.5 * (here + goal) + np.array([here[1] - goal[1], goal[0] - here[0]]) * rng.normal(0, 0.12)
    against = _sideways_heading(rng) if far < 1.2 and rng.random() < 0.3 else 0.0
    turned = _wrap_angle(float(np.arctan2(*(middle - here)[::-1])) + against - plan.heading[begin])
    begins = start + 0.25 * abs(turned)  # the turn comes first
    s = _progress((floor.time_s[begin:] - begins) / lasts, ramp / lasts)[:, None]
    place = (1 - s) ** 2 * here + 2 * s * (1 - s) * middle + s**2 * goal
    tangent = (1 - s) * (middle - here) + s * (goal - middle)
    course = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    eased = postures.ease((floor.time_s[begin:] - start) / (0.5 + 0.45 * abs(turned)))
    heading = plan.heading[begin] + turned * eased + course - course[0]
    torsos = _torsos_of_keys(floor, plan, begin, place, heading, keys)
    return Act(begins + lasts + 0.1, place, heading, torsos, keys, rest=plan.stand)


def _sideways_heading(rng: np.random.Generator) -> float:
    """A random walking direction that is not forward, relative to the heading, rad."""
    return float(rng.choice((np.pi, np.pi / 2, -np.pi / 2)) + rng.normal(0, 0.2))


def perform(floor: Floor, plan: Plan, motion: Motion, rng: np.random.Generator) -> Act:
    """Follow a clip; as the first act of a person, it may start in the middle."""
    begin, first = floor.index(plan.busy), plan.busy == floor.opens
    time = floor.time_s[begin:]
    clip = _random_clip_act(floor, plan, motion, rng)
    root, vectors = clip.of(plan.build, time)
    clip.shift[:] = plan.place[begin] - root[0, :2]  # the clip begins where the person is
    root[:, :2] += clip.shift
    chest = root + vectors[:, _SPINE]
    torsos = np.stack([root, chest, chest + vectors[:, _NECK]], axis=1)
    left = vectors[:, joint_index("left_hip")]
    heading = np.unwrap(np.arctan2(-left[:, 0], left[:, 1]))
    heading = heading + 2 * np.pi * np.round((plan.heading[begin] - heading[0]) / (2 * np.pi))
    fade = 1.0 if first else postures.ease((time - plan.busy) / clip.fades[0])
    heading = plan.heading[begin] + fade * (heading - plan.heading[begin])
    upright = torso(plan.build, root[:, :2], heading, np.repeat(plan.stand[None], len(time), axis=0))
    torsos = upright + clip.weight(time)[:, None, None] * (torsos - upright)
    return Act(clip.end, root[:, :2].copy(), heading, torsos, [(plan.busy, _FADE_S, plan.stand)], clip, plan.stand)


def _random_clip_act(floor: Floor, plan: Plan, motion: Motion, rng: np.random.Generator) -> ClipAct:
    """A clip act with random timing and direction, not yet moved to its place."""
    first, pace = plan.busy == floor.opens, rng.uniform(0.8, 1.25)
    start = rng.uniform(0, 0.6) * motion.seconds if first and rng.random() < 0.5 else 0.0
    lasts = (motion.seconds - start) / pace
    high = [1 - float(motion.root[at, 2]) for at in (round(start * motion.rate_hz), -1)]
    into, out = (_FADE_S + 0.9 * max(lower, 0) for lower in high)  # lying down takes longer
    into, out = (0.0 if first else min(into, lasts)), min(out, lasts / 2)
    held = into if high[0] > _LOW else 0.0
    end = plan.busy + held + lasts + (out if high[1] > _LOW else 0.0)
    turned = plan.heading[floor.index(plan.busy)] + rng.normal(0, 0.3)
    mirror = bool(rng.random() < 0.5)
    return ClipAct(motion, plan.busy, end, start, pace, mirror, turned, np.zeros(2), (into, out), held)


def _torsos_of_keys(
    floor: Floor, plan: Plan, begin: int, place: NDArray[np.float64], heading: NDArray[np.float64], keys: Sequence[Key]
) -> NDArray[np.float64]:
    """Torsos (G', 3, 3) of a person who goes through these keys after the previous posture."""
    curves = Curves((plan.keys[-1], *keys), np.zeros((1, 2 + len(plan.stand))))
    return torso(plan.build, place, heading, curves.at(floor.time_s[begin:]))


def walk_way(floor: Floor, plan: Plan) -> Way:
    """The path of a person."""
    return Way(floor.time_s, plan.place, plan.heading)


def _progress(part: NDArray[np.float64], ramp: float) -> NDArray[np.float64]:
    """Distance covered, 0..1, at a part of the time, 0..1, with constant acceleration and braking over ``ramp``."""
    part, ramp = np.clip(part, 0, 1), min(ramp, 0.5)
    gone = np.where(part < ramp, part**2 / (2 * ramp), part - ramp / 2)
    return np.where(part > 1 - ramp, 1 - ramp - (1 - part) ** 2 / (2 * ramp), gone) / (1 - ramp)


def _wrap_angle(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
