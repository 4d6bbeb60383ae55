"""What is true of a synthetic session before anything is filmed: people and their motion, room, furniture, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.progress import Progress
from mvcap.rendering.body_pose import moving_body
from mvcap.rendering.body_surface import BodySurface, body_of, random_physique
from mvcap.rendering.camera_sensor import Sensor
from mvcap.rendering.clothing import DressedBody, random_outfit
from mvcap.rendering.furniture import random_furniture, trodden_ground
from mvcap.rendering.mannequin import mannequin_of
from mvcap.rendering.moving_joints import JointMotion
from mvcap.rendering.moving_meshes import DressedPeople
from mvcap.rendering.room import Room, random_room
from mvcap.rendering.view_renderer import Shutter
from mvcap.structures.skeleton import skeleton
from mvcap.synthesis.bodies import CLEARANCE
from mvcap.synthesis.random_rigs import shared_volume
from mvcap.synthesis.scenes import random_scene

BOARD = "charuco:5x4:200mm:150mm:DICT_4X4_50"
MARGIN_S = 0.25
"""Of motion before the first frame and after the last."""
_FINE_HZ = 60.0
_TRIES = 12
_LOW_SHARE = 0.1  # of the time that a person may sit or lie: there is nothing for it
_HALPE = skeleton("halpe26")


@dataclass(frozen=True)
class SessionConfig:
    """Settings of a synthetic session."""

    people: int = 3
    seconds: float = 10.0
    rate_hz: float = 25.0
    seed: int = 0
    shutter: Shutter = field(default_factory=Shutter)
    sensor: Sensor = field(default_factory=Sensor)
    unsynchronised_s: float = 0.0
    """Cameras begin to record at random times within so many seconds."""
    board: str = BOARD
    """Board that is filmed for ``mvcap calibrate``."""
    board_s: float = 0.0
    """Seconds of footage of the board; 0: none."""
    board_rate_hz: float = 5.0
    sound: bool = True
    """Videos have a sound track, and there are WAV files: people talk, one claps."""
    depth: bool = False
    """Depth pictures of 16 bits in mm, as of depth cameras at the same places."""
    pixels: bool = False
    """Depth, person, part, normal and flow of every pixel: some 15 MB a frame and view at 1280x720."""
    events_hz: float = 0.0
    """Pictures a second that events are made from; 0: no events."""
    furniture: bool = True
    """Tables, chairs and the like stand beside where people walk, and hide them."""
    body: Literal["anny", "capsules"] = "anny"
    """Bodies of MakeHuman through the package anny, or mannequins of capsules, which need no package."""
    crf: int = 20
    """Of the H.264 coding: lower is better."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Everything that is true of a session."""

    config: SessionConfig
    rig: Rig
    bare: Room
    """The room without furniture, where the board is filmed."""
    room: Room
    people: DressedPeople
    begins_s: NDArray[np.float64]
    """(C,) common time at which each camera begins."""
    frames: int
    facts: list[dict[str, Any]]
    """Of each person."""

    def time_of(self, frame: int, view: int | None = None) -> float:
        """Motion's time of a frame, of a view's own or of the common clock."""
        return MARGIN_S + frame / self.config.rate_hz + (0.0 if view is None else float(self.begins_s[view]))

    @property
    def seconds(self) -> float:
        """From the first camera's begin to where the last may end."""
        return self.frames / self.config.rate_hz + self.config.unsynchronised_s


def staged(rig: Rig, config: SessionConfig, progress: Progress) -> Stage:
    """Return the people, room and clocks of a seed; InputError where the package anny is missing."""
    rng = np.random.default_rng([config.seed, 17])
    begins_s = np.zeros(len(rig))
    if config.unsynchronised_s > 0:
        begins_s[1:] = rng.uniform(0, config.unsynchronised_s, len(rig) - 1)
    motion = random_motion(rig, config.people, config.seconds + config.unsynchronised_s + 2 * MARGIN_S, config.seed)
    bodies, facts = [], []
    for person in range(config.people):
        progress("bodies", person, config.people)
        joints = motion.joints[:, person]
        surface, told = _body(config, _leg_m(joints), rng)
        outfit = random_outfit(rng)
        bodies.append(
            (moving_body(surface, motion.time_s, joints, motion.low_m[:, person]), DressedBody(surface, outfit))
        )
        facts.append({"person": person + 1, "stature_m": round(float(np.ptp(surface.rest[:, 2])), 4), **told})
    progress("bodies", config.people, config.people)
    bare, room = _rooms(rig, motion, config, rng)
    frames = max(round(config.seconds * config.rate_hz), 1)
    return Stage(config, rig, bare, room, DressedPeople(tuple(bodies)), begins_s, frames, facts)


def _body(config: SessionConfig, leg_m: float, rng: np.random.Generator) -> tuple[BodySurface, dict[str, Any]]:
    """One person's surface, and what is to tell of it."""
    physique = random_physique(rng)
    if config.body == "capsules":
        return mannequin_of(leg_m, 0.8 + 0.5 * physique.weight), {}
    return body_of(physique, leg_m), asdict(physique)


def _rooms(rig: Rig, motion: JointMotion, config: SessionConfig, rng: np.random.Generator) -> tuple[Room, Room]:
    """The room without and with furniture."""
    ground = trodden_ground(_spans(motion.joints))
    low, high = (np.array([*ends, 0.0]) for ends in (ground.min(0), ground.max(0)))
    corners = np.array([[x, y, 0.0] for x in (low[0], high[0]) for y in (low[1], high[1])])
    clear = np.concatenate([rig.positions, corners, motion.joints[:: max(len(motion.time_s) // 200, 1)].reshape(-1, 3)])
    room = random_room(rng, clear.min(0) - 0.3, clear.max(0) + 0.3, clear)
    if not config.furniture:
        return room, room
    own = np.random.default_rng([config.seed, 29])
    return room, room.furnished(random_furniture(own, ground, rig.positions, room.low, room.high, room.boxes), own)


def _spans(joints: NDArray[np.float64], frames: int = 1000) -> Iterator[NDArray[np.float64]]:
    for first in range(0, len(joints), frames):
        yield joints[first : first + frames]


def random_motion(rig: Rig, people: int, seconds: float, seed: int) -> JointMotion:
    """Return motion of people in the volume that a rig sees best, at 60 Hz; the first of some scenes where people are
    on their feet, as there is no furniture, or the one where they are most.
    """
    centre, radius = shared_volume(rig)
    width = float(np.clip(1.6 * radius, 2.4, 8.0))
    best: tuple[float, NDArray[np.float64]] | None = None
    for attempt in range(_TRIES):
        rng = np.random.default_rng([seed, attempt, 19])
        scene = random_scene(rng, people, seconds, _FINE_HZ, room_m=(0.8 * width, width), beyond=True)
        joints = scene.dense(round(seconds * _FINE_HZ), np.arange(1, people + 1)).astype(np.float64)
        leg = np.array([_leg_m(joints[:, person]) for person in range(people)])
        low = float((joints[:, :, _HALPE.joints.index("pelvis"), 2] < 0.75 * leg).mean(0).max())
        if best is None or low < best[0]:
            best = (low, joints)
        if low <= _LOW_SHARE:
            break
    assert best is not None
    joints = best[1] + np.array([*centre, 0.0])
    stature = np.array([_leg_m(joints[:, person]) for person in range(people)]) / 0.491
    low_m = (joints[..., 2] - CLEARANCE * (stature / 1.72)[:, None]).min(-1)
    return JointMotion(np.arange(len(joints)) / _FINE_HZ, joints, np.maximum(low_m, 0))


def _leg_m(joints: NDArray[np.float64]) -> float:
    hip, knee, ankle = (joints[0, _HALPE.joints.index(f"left_{name}")] for name in ("hip", "knee", "ankle"))
    return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
