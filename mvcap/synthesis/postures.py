"""Postures of people in place, as values of ``procedural_motion.CONTROLS``, and transitions between them.

Every act is random in its side, extent and speed. Angles stay within the range of motion of human joints (Norkin and
White, "Measurement of Joint Motion", 5th ed.: trunk forward 80 degrees, its side 35, neck 45 forward and 60 to either
side).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.synthesis.procedural_motion import CONTROLS, control_index, control_pair

Posture = NDArray[np.float64]
Key = tuple[float, float, Posture]
"""Begin of the transition to a posture, s, its duration, s, and the posture."""

_WRIST = np.stack([control_pair(f"wrist_{axis}") for axis in "xyz"], axis=-1)
_ANKLE = np.stack([control_pair(f"ankle_{axis}") for axis in "xyz"], axis=-1)
# Where people hold their hands: wrist from the own shoulder in lengths of an arm (forward, outward, up), elbow outward.
HANDS: Mapping[str, tuple[float, float, float, float]] = {
    "hang": (0.06, 0.1, -0.97, 0.5), "hip": (0.02, 0.14, -0.66, 1.2), "crossed": (0.36, -0.34, -0.42, 0.5),
    "phone": (0.2, 0.0, 0.1, 0.5), "chin": (0.34, -0.14, -0.06, 0.2), "front": (0.28, -0.22, -0.72, 0.7),
    "behind": (-0.2, -0.12, -0.72, 1.0), "talk": (0.48, 0.02, -0.42, 0.5), "point": (0.88, 0.1, 0.08, 0.4),
    "up": (0.25, 0.12, 0.86, 0.8), "wave": (0.3, 0.3, 0.42, 0.7), "carry": (0.6, -0.02, -0.4, 0.5),
    "side": (0.08, 0.92, 0.0, 0.3), "desk": (0.56, -0.06, -0.46, 0.6), "head": (0.05, 0.16, 0.3, 1.4),
    "pocket": (0.1, 0.1, -0.84, 0.6), "shoulder": (0.36, -0.5, -0.02, 0.3), "mouth": (0.36, -0.16, 0.05, 0.4),
    "screen": (0.46, -0.12, -0.3, 0.3),
}  # fmt: skip
# Standard deviation of the slow sway of each control while a posture is held.
_WAVER = dict.fromkeys(CONTROLS, 0.0) | {
    "back": 0.006, "side": 0.012, "pitch": 0.015, "lean": 0.01, "twist": 0.03, "chest_pitch": 0.02,
    "chest_lean": 0.015, "chest_twist": 0.04, "head_pitch": 0.06, "head_turn": 0.16, "head_lean": 0.03,
} | {f"{side}_wrist_{axis}": 0.02 for side in ("left", "right") for axis in "xyz"}  # fmt: skip
WAVER = np.array([_WAVER[name] for name in CONTROLS])


def stand(rng: np.random.Generator) -> Posture:
    """Upright, arms hanging, with random details."""
    out = np.zeros(len(CONTROLS))
    out[control_index("height")] = 0.998 - 0.012 * rng.random()
    out[control_index("pitch")] = rng.normal(0.02, 0.03)
    out[control_index("chest_pitch")] = rng.normal(0.04, 0.05)
    out[control_index("head_pitch")] = rng.normal(0.05, 0.1)
    out[control_index("swing")] = rng.uniform(0.5, 1.2)
    for side in (0, 1):
        hold(out, side, "hang", rng)
    out[_ANKLE[:, 2]] = -0.97
    return out


def hold(posture: Posture, side: int, hand: str, rng: np.random.Generator, spread: float = 0.04) -> None:
    """Put a hand (0 left, 1 right) near one of the places of ``HANDS``."""
    *wrist, elbow = HANDS[hand]
    posture[_WRIST[side]] = np.array(wrist) + spread * rng.normal(size=3)
    posture[control_pair("elbow")[side]] = elbow + 0.2 * rng.normal()


@dataclass(frozen=True, eq=False)
class Curves:
    """The controls of one person over time: a sequence of keys, plus slow sway."""

    keys: tuple[Key, ...]
    """The first one holds from the beginning."""
    waver: NDArray[np.float64]
    """(K, 2 + V) frequency rad/s, phase, and amplitudes of the added sine waves."""

    def at(self, time_s: NDArray[np.floating]) -> NDArray[np.float64]:
        """Controls (T, V) at times (T,)."""
        values = np.stack([key[2] for key in self.keys])
        begin = np.array([key[0] for key in self.keys[1:]])
        lasts = np.array([key[1] for key in self.keys[1:]])
        part = ease((time_s[:, None] - begin) / np.maximum(lasts, 1e-6))
        out = values[0] + part @ np.diff(values, axis=0)
        return np.asarray(out + np.sin(time_s[:, None] * self.waver[:, 0] + self.waver[:, 1]) @ self.waver[:, 2:])


def waver(rng: np.random.Generator, waves: int = 4) -> NDArray[np.float64]:
    """Random sway of one person: sine waves of 0.1 to 1.2 Hz."""
    hz = np.exp(rng.uniform(np.log(0.1), np.log(1.2), waves))
    size = rng.normal(size=(waves, len(CONTROLS))) * WAVER * (0.3 / hz[:, None]) ** 0.4 * rng.uniform(0.4, 1.4)
    return np.column_stack([2 * np.pi * hz, rng.uniform(0, 2 * np.pi, waves), size])


def ease(part: NDArray[np.floating]) -> NDArray[np.float64]:
    """From 0 to 1, at rest at both ends (minimum jerk); values outside 0..1 are clamped."""
    part = np.clip(part, 0, 1)
    return np.asarray(part**3 * (10 - 15 * part + 6 * part**2))


def choose(rng: np.random.Generator, names: Sequence[str]) -> str:
    """One of some names."""
    return names[int(rng.integers(len(names)))]


# Acts: a posture, or several in turn


def gesture(rng: np.random.Generator, rest: Posture) -> list[Posture]:
    """Gestures of holding, showing or talking, from a posture with free arms."""
    side, draw = int(rng.integers(2)), rng.random()
    out = rest.copy()
    if draw < 0.25:
        for one in (0, 1):
            hold(out, one, choose(rng, ("hang", "hip", "pocket", "behind", "front", "chin", "phone")), rng)
        return [out]
    if draw < 0.45:
        hand = choose(rng, ("carry", "crossed", "front", "hip", "behind", "screen", "head"))
        hold(out, 0, hand, rng)
        hold(out, 1, hand, rng)
        return [out]
    out[control_index("head_turn")] += rng.normal(0, 0.3)
    if draw < 0.6:
        hold(out, side, choose(rng, ("point", "up", "side", "wave", "head", "mouth", "shoulder")), rng, 0.1)
        out[control_index("chest_twist")] += (1 - 2 * side) * -0.25 * rng.random()
        return [out, rest]
    shown = []
    for _ in range(int(rng.integers(3, 7))):
        say = out.copy()
        hold(say, side, "talk", rng, 0.14)
        if rng.random() < 0.6:
            hold(say, 1 - side, "talk", rng, 0.14)
        shown.append(say)
    return shown


def walk_posture(rng: np.random.Generator, rest: Posture) -> Posture:
    """Posture of the upper body while walking."""
    out = rest.copy()
    if rng.random() < 0.65:
        return out
    hand = choose(rng, ("carry", "phone", "pocket", "screen", "wave", "crossed", "behind"))
    side = int(rng.integers(2))
    hold(out, side, hand, rng)
    if hand in ("carry", "pocket", "screen", "crossed", "behind"):
        hold(out, 1 - side, hand, rng)
        out[control_index("swing")] = 0
    else:
        out[control_index("swing")] *= 0.4
    if hand in ("screen", "phone"):
        out[control_index("head_pitch")] += 0.3
    return out


def bend(rng: np.random.Generator, rest: Posture) -> list[Posture]:
    """Bending down for something on the floor or a low table, and up again."""
    out, deep = rest.copy(), rng.uniform(0.4, 1.0)
    _add_to_controls(
        out,
        pitch=1.15 * deep,
        chest_pitch=0.5 * deep,
        head_pitch=rng.uniform(-0.5, 0.2),
        chest_twist=0.2 * rng.normal(),
    )
    _add_to_controls(out, height=-rng.uniform(0.0, 0.25) * deep, back=0.2 * deep)
    down = {"wrist_x": rng.uniform(0.1, 0.6), "wrist_z": -rng.uniform(0.7, 0.95)}
    for side in (0, 1):
        if rng.random() < 0.8:
            hold(out, side, "hang", rng, 0.08)
            out[_WRIST[side, [0, 2]]] = down["wrist_x"], down["wrist_z"]
    return [out, out + 0.3 * (rest - out) if rng.random() < 0.3 else out, rest]


def squat(rng: np.random.Generator, rest: Posture) -> list[Posture]:
    """Squatting down and up again."""
    out, deep = rest.copy(), rng.uniform(0.6, 1.0)
    _add_to_controls(out, height=-0.52 * deep, back=0.24 * deep, pitch=0.6 * deep, chest_pitch=0.25)
    for side in (0, 1):
        hold(out, side, choose(rng, ("carry", "front", "hang", "talk", "desk")), rng, 0.08)
    return [out, *gesture(rng, out)[:2], rest]


def kneel(rng: np.random.Generator, rest: Posture) -> list[Posture]:
    """Going down on one knee or both, and up again."""
    out, draw, side = rest.copy(), rng.random(), int(rng.integers(2))
    upright = draw > 0.35
    height, ankle = (0.49, (-0.49, 0.03, -0.5)) if upright else (0.31, (-0.11, 0.03, -0.31))
    out[control_index("height")] = height
    for one in (0, 1):
        if draw > 0.7 and one == side:
            continue  # this foot stands in front of the body
        out[control_pair("free")[one]] = 1
        out[_ANKLE[one]] = ankle
        out[control_pair("point")[one]] = rng.uniform(0.9, 1.3)
    _add_to_controls(out, back=0.4 if draw > 0.7 else 0.1, pitch=rng.uniform(0.0, 0.3), chest_pitch=rng.uniform(0, 0.3))
    return [out, *gesture(rng, out)[:3], rest]


def sit(rng: np.random.Generator, rest: Posture) -> Posture:
    """Sitting on a chair, feet on the floor in front of it."""
    out = rest.copy()
    out[control_index("height")] = rng.uniform(0.5, 0.62)
    _add_to_controls(out, back=rng.uniform(0.38, 0.52), pitch=rng.normal(0.0, 0.12), chest_pitch=rng.uniform(0.0, 0.25))
    hand = choose(rng, ("desk", "talk", "front", "crossed", "chin"))
    for side in (0, 1):
        hold(out, side, hand if rng.random() < 0.8 else "desk", rng)
        if hand == "front":
            out[_WRIST[side]] = (0.5, -0.05, -0.62)  # in the lap
    return out


def sit_down(rng: np.random.Generator, rest: Posture, sat: Posture) -> list[Posture]:
    """Sitting down or getting up: the trunk goes forward while the pelvis goes back."""
    out = 0.5 * (rest + sat)
    if sat[control_index("height")] < 0.8:
        _add_to_controls(out, pitch=rng.uniform(0.4, 0.7), chest_pitch=0.15, head_pitch=-0.2)
    return [out, sat]


def sit_at_table(rng: np.random.Generator, rest: Posture) -> Posture:
    """Standing at a table, doing something on it with both hands, somewhat bent over it."""
    out, deep = rest.copy(), rng.random()
    _add_to_controls(out, pitch=0.45 * deep, chest_pitch=0.35 * deep, head_pitch=0.35, back=0.08 * deep)
    for side in (0, 1):
        hold(out, side, choose(rng, ("desk", "desk", "carry", "talk")), rng, 0.1)
        out[_WRIST[side, 2]] -= 0.2 * deep
    return out


def lie(rng: np.random.Generator, rest: Posture, level_m: float) -> Posture:
    """Lying on the back, the front or a side, ``level_m`` above the floor."""
    out, draw = rest.copy(), rng.random()
    front, aside = draw < 0.2, draw > 0.8
    for name in ("pitch", "chest_pitch", "lean", "chest_lean", "swing"):
        out[control_index(name)] = 0
    out[control_index("lying")], out[control_index("level")] = 1, level_m
    out[control_index("pitch")] = np.pi / 2 if front else -np.pi / 2
    out[control_index("roll")] = aside * (np.pi / 2 if draw > 0.9 else -np.pi / 2)
    out[control_index("head_turn")] = rng.normal(0, 0.3)
    out[control_pair("free")], out[control_pair("point")] = 1, 1.1 if front else rng.uniform(0.2, 0.7)
    for side in (0, 1):
        bent = 0.0 if front or rng.random() < 0.5 else rng.uniform(0, 0.4)
        out[_ANKLE[side]] = (0.04 + 0.6 * bent * aside, rng.uniform(0.0, 0.1), -0.98 + bent)
        hold(out, side, choose(rng, ("hang", "pocket", "front", "crossed", "front")), rng)
        if front:
            out[_WRIST[side]] = (0.1, rng.uniform(0.1, 0.4), 0.3 if rng.random() < 0.5 else -0.9)
        out[_WRIST[side, 0]] = max(out[_WRIST[side, 0]], 0.1)
    if aside:  # the lower arm is bent in front of the chest
        below = 0 if draw > 0.9 else 1
        out[_WRIST[below]], out[control_pair("elbow")[below]] = (0.5, -0.12, rng.uniform(-0.3, 0.1)), -0.4
    return out


def stir(rng: np.random.Generator, rest: Posture) -> list[Posture]:
    """Lying with small movements of arms and legs."""
    shown = []
    for _ in range(int(rng.integers(1, 4))):
        out = rest.copy()
        out[control_index("head_turn")] += rng.normal(0, 0.3)
        side = int(rng.integers(2))
        out[_WRIST[side]] += np.array([abs(rng.normal(0, 0.15)), *rng.normal(0, 0.1, 2)])
        if rest[control_index("pitch")] < 0 and rng.random() < 0.5:
            out[_ANKLE[side]] += np.array([0.02, 0.0, rng.uniform(0, 0.25)])
        shown.append(out)
    return shown


def hug_posture(rng: np.random.Generator, rest: Posture) -> Posture:
    """Both arms round a person who stands close in front."""
    out, side = rest.copy(), int(rng.integers(2))
    high = rng.uniform(-0.25, 0.1)
    for one in (0, 1):
        height = high + (0.12 if one == side else -0.2)
        out[_WRIST[one]] = (rng.uniform(0.55, 0.68), -rng.uniform(0.2, 0.4), height)
        out[control_pair("elbow")[one]] = rng.uniform(0.6, 1.0)
    _add_to_controls(
        out, pitch=rng.uniform(-0.02, 0.06), head_turn=rng.uniform(0.1, 0.6), head_pitch=rng.uniform(0, 0.2)
    )
    return out


def _add_to_controls(posture: Posture, **by: float) -> None:
    """Add to controls."""
    for name, value in by.items():
        posture[control_index(name)] += value
