"""What everybody in a room does when: acts that follow each other and never put two torsos into one place.

People are planned in order of time. An act is taken only if the person, and where it leaves them for good, stays apart
from everybody: from those who have planned further, as planned, and from the others as if they stayed where they are.
So whoever finds nothing better can always stay, and everybody keeps apart, however full the room is.
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
_LOW = 0.4  # lengths of a leg that the pelvis is lower than of who stands
_MARGIN_S = 1.0  # feet need to know what was and what comes
_SPINE, _NECK = joint_index("spine"), joint_index("neck")
_PLACE = [control_index(name) for name in ("height", "back", "pitch", "chest_pitch", "lying", "level")]


@dataclass(frozen=True, eq=False)
class ClipAct:
    """Somebody does as a clip of a real person does."""

    motion: Motion
    begin: float
    """s at which it is gone into, from ``start`` s of the clip on, ``pace`` times as quick."""
    end: float
    start: float
    pace: float
    mirror: bool
    turn: float
    """rad by which the clip is turned about the vertical, then put to ``shift`` (2,) m."""
    shift: NDArray[np.float64]
    fades: tuple[float, float]
    """s that going into it and out of it take; 0: they are in it from the first."""
    held: float
    """s that its first posture is held, for those who have to lie down before they can get up."""

    def weight(self, time_s: NDArray[np.floating]) -> NDArray[np.float64]:
        """How much (T,) the clip has of the person, 0..1."""
        into, out = self.fades
        begun = postures.ease((time_s - self.begin) / into) if into else 1.0
        return np.asarray(begun * postures.ease((self.end - time_s) / out))

    def of(self, build: GeneratedBody, time_s: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pelvis (T, 3) m and vectors (T, 27, 3) m of the body at times (T,) of the room."""
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
    """One person: who they are, and what they do at the grid's times."""

    build: GeneratedBody
    rest: Posture
    """How they stand; of who sits or lies, how they do."""
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
    """Part of a stride gone at first, half of the width of the gait m, feet turned out rad."""
    busy: float
    """s until which they know what they do."""
    pace: float = 1.2
    """m/s at which they walk."""
    bound: bool = False
    """They stay where they lie."""
    goals: list[NDArray[np.float64]] = field(default_factory=list)
    """Where they mean to go next."""
    clips: list[ClipAct] = field(default_factory=list)

    @property
    def low(self) -> bool:
        """Whether they have to get up before they can walk."""
        return self.rest is not self.stand


@dataclass(frozen=True, eq=False)
class Act:
    """What somebody might do from ``busy`` of their plan on; of place, heading, torso the rest of the grid."""

    end: float
    place: NDArray[np.float64]
    heading: NDArray[np.float64]
    torso: NDArray[np.float64]
    keys: Sequence[Key] = ()
    clip: ClipAct | None = None
    rest: Posture | None = None


class Floor:
    """The room, its grid of times, and everybody's plans."""

    def __init__(self, opens: float, closes: float, half: NDArray[np.float64]) -> None:
        self.opens = opens
        self.begin = opens - _MARGIN_S
        self.time_s = np.arange(self.begin, closes + _MARGIN_S + 1 / GRID_HZ, 1 / GRID_HZ)
        self.half = half
        self.plans: list[Plan] = []

    def index(self, time: float) -> int:
        """Place of a time in the grid."""
        return min(max(math.ceil((time - self.begin) * GRID_HZ - 1e-6), 0), len(self.time_s) - 1)

    def still(
        self, build: GeneratedBody, place: NDArray[np.float64], heading: float, posture: Posture
    ) -> NDArray[np.float64]:
        """Torso (1, 3, 3) of somebody who stays."""
        return torso(build, place[None], np.array([heading]), posture[None])

    def apart(self, torsos: NDArray[np.float64], begin: int, ignored: Sequence[Plan] = ()) -> float:
        """Least distance of torsos (G', 3, 3), from a place of the grid on, from anybody's but the ignored."""
        others = [plan.torso[begin:] for plan in self.plans if plan not in ignored]
        if not others:
            return np.inf
        theirs = np.stack(others)  # (P, G', 3, 3)
        mine = np.broadcast_to(torsos, theirs.shape[1:])
        squared = (theirs**2).sum(-1)[..., None, :] + (mine**2).sum(-1)[..., None]
        squared = squared - 2 * np.matmul(mine, theirs.swapaxes(-1, -2))
        return float(np.sqrt(max(squared.min(), 0)))

    def clear(self, torsos: NDArray[np.float64], begin: int, ignored: Sequence[Plan] = ()) -> bool:
        """Whether torsos (G', 3, 3), from a place of the grid on, are apart from everybody's but the ignored."""
        return self.apart(torsos, begin, ignored) >= APART_M

    def inside(self, place: NDArray[np.float64], margin: float = 0.1) -> bool:
        """Whether places (G, 2) are in the room."""
        return bool((np.abs(place) <= self.half + margin).all())

    def take(self, plan: Plan, act: Act) -> None:
        """Let somebody do an act."""
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
    """Pelvis, middle of the trunk and neck (T, 3, 3) m of somebody with these controls (T, V), about."""
    height, back, pitch, chest, lying, level = controls[:, _PLACE].T
    forward = np.stack([np.cos(heading), np.sin(heading)], -1)
    pelvis = np.empty((len(place), 3))
    pelvis[:, :2] = place - (back * build.leg_m)[:, None] * forward
    pelvis[:, 2] = build.leg_m * height + build.ankle_m
    pelvis[:, 2] += lying * (level + 0.11 - pelvis[:, 2])
    return np.stack([pelvis, *_trunk(build, pelvis, forward, pitch, pitch + chest)], axis=1)


def _trunk(
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
    """Go on as they are: always possible."""
    begin = floor.index(plan.busy)
    return Act(plan.busy + rng.uniform(0.4, 1.0), plan.place[begin:], plan.heading[begin:], plan.torso[begin:])


def stay(
    floor: Floor, plan: Plan, shown: Sequence[Posture], rng: np.random.Generator, slow: float = 1.0,
    rest: Posture | None = None,
) -> Act:  # fmt: skip
    """Postures in turn, in one place; ``rest`` is how they stay."""
    keys, time = [], plan.busy
    for posture in shown:
        keys.append((time, slow * rng.uniform(0.4, 0.9), posture))
        time += keys[-1][1] + slow * rng.uniform(0.0, 0.8)
    begin = floor.index(plan.busy)
    count = len(floor.time_s) - begin
    place, heading = np.repeat(plan.place[begin : begin + 1], count, axis=0), np.full(count, plan.heading[begin])
    return Act(time, place, heading, _along(floor, plan, begin, place, heading, keys), keys, rest=rest)


def turn_in_place(floor: Floor, plan: Plan, to: float, rng: np.random.Generator) -> Act:
    """Turn round on the spot to another heading."""
    act = stay(floor, plan, [postures.walk_posture(rng, plan.stand)], rng)
    begin, time = floor.index(plan.busy), floor.time_s
    angle = _wrapped(to - plan.heading[begin])
    lasts = 0.5 + abs(angle) / rng.uniform(1.5, 3.0)
    heading = plan.heading[begin] + angle * postures.ease((time[begin:] - plan.busy) / lasts)
    return Act(
        plan.busy + lasts, act.place, heading, _along(floor, plan, begin, act.place, heading, act.keys), act.keys
    )


def walk(floor: Floor, plan: Plan, goal: NDArray[np.float64], rng: np.random.Generator) -> Act:
    """Go to a place in a curve; who sits gets up first, and who looks elsewhere turns round."""
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
    against = _against(rng) if far < 1.2 and rng.random() < 0.3 else 0.0
    turned = _wrapped(float(np.arctan2(*(middle - here)[::-1])) + against - plan.heading[begin])
    begins = start + 0.25 * abs(turned)  # first they turn
    s = _trapezoid((floor.time_s[begin:] - begins) / lasts, ramp / lasts)[:, None]
    place = (1 - s) ** 2 * here + 2 * s * (1 - s) * middle + s**2 * goal
    tangent = (1 - s) * (middle - here) + s * (goal - middle)
    course = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    eased = postures.ease((floor.time_s[begin:] - start) / (0.5 + 0.45 * abs(turned)))
    heading = plan.heading[begin] + turned * eased + course - course[0]
    torsos = _along(floor, plan, begin, place, heading, keys)
    return Act(begins + lasts + 0.1, place, heading, torsos, keys, rest=plan.stand)


def _against(rng: np.random.Generator) -> float:
    """Direction to walk in that is not forward, against the heading, rad."""
    return float(rng.choice((np.pi, np.pi / 2, -np.pi / 2)) + rng.normal(0, 0.2))


def perform(floor: Floor, plan: Plan, motion: Motion, rng: np.random.Generator) -> Act:
    """Do as a clip does; who does it first of all may be in the middle of it."""
    begin, first = floor.index(plan.busy), plan.busy == floor.opens
    time = floor.time_s[begin:]
    clip = _clip(floor, plan, motion, rng)
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


def _clip(floor: Floor, plan: Plan, motion: Motion, rng: np.random.Generator) -> ClipAct:
    """A clip as somebody would do it now, not yet at its place."""
    first, pace = plan.busy == floor.opens, rng.uniform(0.8, 1.25)
    start = rng.uniform(0, 0.6) * motion.seconds if first and rng.random() < 0.5 else 0.0
    lasts = (motion.seconds - start) / pace
    high = [1 - float(motion.root[at, 2]) for at in (round(start * motion.rate_hz), -1)]
    into, out = (_FADE_S + 0.9 * max(lower, 0) for lower in high)  # who lies down takes longer
    into, out = (0.0 if first else min(into, lasts)), min(out, lasts / 2)
    held = into if high[0] > _LOW else 0.0
    end = plan.busy + held + lasts + (out if high[1] > _LOW else 0.0)
    turned = plan.heading[floor.index(plan.busy)] + rng.normal(0, 0.3)
    mirror = bool(rng.random() < 0.5)
    return ClipAct(motion, plan.busy, end, start, pace, mirror, turned, np.zeros(2), (into, out), held)


def _along(
    floor: Floor, plan: Plan, begin: int, place: NDArray[np.float64], heading: NDArray[np.float64], keys: Sequence[Key]
) -> NDArray[np.float64]:
    """Torsos (G', 3, 3) of somebody who goes through these keys after what they did before."""
    curves = Curves((plan.keys[-1], *keys), np.zeros((1, 2 + len(plan.stand))))
    return torso(plan.build, place, heading, curves.at(floor.time_s[begin:]))


def walk_way(floor: Floor, plan: Plan) -> Way:
    """Where a person goes."""
    return Way(floor.time_s, plan.place, plan.heading)


def _trapezoid(part: NDArray[np.float64], ramp: float) -> NDArray[np.float64]:
    """Way gone, 0..1, over a part of the time, 0..1, of who speeds up and slows down within ``ramp`` of it."""
    part, ramp = np.clip(part, 0, 1), min(ramp, 0.5)
    gone = np.where(part < ramp, part**2 / (2 * ramp), part - ramp / 2)
    return np.where(part > 1 - ramp, 1 - ramp - (1 - part) ** 2 / (2 * ramp), gone) / (1 - ramp)


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
