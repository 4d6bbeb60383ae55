"""Foot motion of a person who walks along a path: each foot is still in stance, then swings to its next place.

Cadence and phases of a stride follow the gait of healthy adults (Perry and Burnfield, "Gait Analysis", 2nd ed.: the
foot is on the floor for 62 % of a stride; the heel is off it from 40 %, and touches it first).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STANCE, _AHEAD = 0.62, 0.26  # shares of a stride: stance, and distance of the foot ahead of the body at contact
_SETTLED = 0.06  # phase after the contact of a foot at which people stand
_TURN_M = 0.35  # turning by one radian takes as many steps as walking this far
_TWISTED = 0.7  # rad, largest yaw of a foot in stance from the body's heading
_SLOW_M_S = 0.08
_SIDE, _LATER = np.array([1.0, -1.0]), np.array([0.0, 0.5])  # left, right: side, and phase shift
# Pitch of the foot over a stride of a fast walker, rad: part of the stride, and angle (positive: heel up).
_PITCH = np.array([[0, -0.3], [0.1, 0.0], [0.38, 0.0], [0.62, 0.85], [0.76, 0.5], [0.92, -0.2], [1.0, -0.3]])


@dataclass(frozen=True, eq=False)
class Way:
    """The path of a person: place on the floor and heading at a grid of times."""

    time_s: NDArray[np.float64]
    place: NDArray[np.float64]
    """(G, 2) m."""
    heading: NDArray[np.float64]
    """(G,) rad, without jumps."""

    @property
    def velocity(self) -> NDArray[np.float64]:
        """(G, 2) m/s."""
        return self._rate(self.place)

    @property
    def speed(self) -> NDArray[np.float64]:
        """(G,) m/s speed of the gait, from walking and turning."""
        velocity = self.velocity
        return np.asarray(np.hypot(velocity[:, 0], velocity[:, 1]) + _TURN_M * np.abs(self._rate(self.heading)))

    def _rate(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Change (G, ...) of values per second; the grid is even."""
        out = np.empty_like(values)
        out[1:-1] = (values[2:] - values[:-2]) / (2 * (self.time_s[1] - self.time_s[0]))
        out[0], out[-1] = out[1], out[-2]
        return out


@dataclass(frozen=True, eq=False)
class Steps:
    """Both feet, left and right, at times (T,)."""

    place: NDArray[np.float64]
    """(T, 2, 2) m point of the floor under the ankle of the flat foot."""
    lift: NDArray[np.float64]
    """(T, 2) m."""
    yaw: NDArray[np.float64]
    """(T, 2) rad."""
    pitch: NDArray[np.float64]
    """(T, 2) rad, positive where the heel is up."""
    phase: NDArray[np.float64]
    """(T,) number of strides so far."""
    vigour: NDArray[np.float64]
    """(T,) 0 when standing, 1 when walking at 1.3 m/s."""
    ahead: NDArray[np.float64]
    """(T,) m ahead of the body at which feet touch the floor."""


def steps(way: Way, time_s: NDArray[np.floating], start: float, half_width_m: float, turned_out: float) -> Steps:
    """Feet at times (T,) of a person on a path; start: phase of the stride at its beginning."""
    velocity, speed = way.velocity, way.speed
    stride_hz = (0.5 + 0.32 * speed) * np.minimum(1, (speed / 0.25) ** 2)
    phase = _settle_phase(way.time_s, start + _integrate(way.time_s, stride_hz), speed)
    before = velocity * (_AHEAD / np.maximum(stride_hz, 0.5))[:, None]
    ahead, far_m = way.place + before, np.hypot(before[:, 0], before[:, 1])
    at = (np.interp(time_s, way.time_s, values) for values in (phase, np.minimum(speed / 1.3, 1.4), far_m))
    now, vigour, reach = at
    stride, part = np.divmod(now[:, None] + _LATER, 1.0)
    swing = np.clip((part - _STANCE) / (1 - _STANCE), 0, 1)
    far = _ease(swing)
    down = np.stack([stride, stride + 1]) - _LATER  # phases of the last and the next contact of the feet
    heading = np.interp(down, phase, way.heading)
    across = half_width_m * _SIDE
    places = np.stack([np.interp(down, phase, ahead[:, 0]) - across * np.sin(heading),
                       np.interp(down, phase, ahead[:, 1]) + across * np.cos(heading)], -1)  # fmt: skip
    place = places[0] + far[..., None] * (places[1] - places[0])
    body = np.interp(time_s, way.time_s, way.heading)[:, None]
    turned = heading[0] + far * (heading[1] - heading[0]) - body
    yaw = body + np.clip(turned, -_TWISTED, _TWISTED) + _SIDE * turned_out
    strong = vigour[:, None]
    lift = (0.04 + 0.04 * strong) * np.minimum(1, 3 * strong) * np.sin(np.pi * swing) ** 2
    pitch = np.minimum(strong, 1) * np.interp(part, _PITCH[:, 0], _PITCH[:, 1])
    return Steps(place, lift, yaw, pitch, now, vigour, reach)


def _settle_phase(
    time_s: NDArray[np.float64], phase: NDArray[np.float64], speed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Phases (G,) shifted so that a standing person has both feet on the floor."""
    slow = speed < _SLOW_M_S
    if slow.any():
        wanted = np.round(2 * (phase[slow] - _SETTLED)) / 2 + _SETTLED
        phase = phase + np.interp(time_s, time_s[slow], wanted - phase[slow])
    return np.asarray(np.maximum.accumulate(phase) + 1e-6 * np.arange(len(phase)))


def _integrate(time_s: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(time_s))])


def _ease(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 to 1, at rest at both ends."""
    return np.asarray(part**2 * (3 - 2 * part))
