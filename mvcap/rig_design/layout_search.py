"""A layout of cameras for a room: coordinate exchange, one camera after the other, each by differential evolution.

A camera has four numbers: its place on the mounts (along the walls and height, or x and y under the ceiling) and the
point at 0.9 m that it looks at. With all others held, its best numbers are searched by differential evolution (Storn
and Price 1997); the rounds go on while they help (coordinate exchange, Meyer and Nachtsheim 1995). What is made small
is the mean logarithm of the joints' expected errors, each with a prior of 1 m, so that a joint that no camera sees
counts, and nothing jumps where one leaves a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calib import Camera, Lens, Rig
from calib.arrays import Floats
from calib.geometry import pose
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.rig_design.expected_accuracy import JointNoise, ViewTerms, covariances, view_terms
from mvcap.rig_design.plan_request import CameraKind, PlanRequest
from mvcap.rig_design.standing_crowds import crowds

_PRIOR_M = 1.0
_AIM_M, _INSET_M = 0.9, 0.12
_ROUNDS, _GENERATIONS, _POPULATION = 3, 10, 8  # population: candidates for each of the four numbers
_ENOUGH = 0.002  # a round that makes errors smaller by less, as a share, is the last
_PLACES, _DRAWS = 40, 2
_JOINTS = slice(0, 17)  # the body; feet follow the ankles


@dataclass(frozen=True)
class Mounts:
    """Where cameras may be: on the walls between two heights, m, or under the ceiling."""

    low_m: float = 1.0
    high_m: float = 2.8
    ceiling: bool = False

    def check(self, request: PlanRequest) -> None:
        """Raise InputError for heights that the room does not have."""
        if not 0 < self.low_m <= self.high_m <= request.room_m[2]:
            raise InputError(
                f"--heights {self.low_m:g}x{self.high_m:g}: from low to high, within the room's {request.room_m[2]:g} m"
            )


@dataclass(frozen=True, eq=False)
class Layout:
    """A layout that was found: the rig, the rate of each camera, and the mean error after each round, mm."""

    rig: Rig
    rates_hz: tuple[float, ...]
    history_mm: tuple[float, ...]


def search_layout(
    request: PlanRequest,
    kinds: Sequence[CameraKind],
    mounts: Mounts | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Layout:
    """Return the best layout found from one random start; the same for the same seed."""
    mounts = mounts or Mounts(high_m=min(2.8, request.room_m[2]))
    mounts.check(request)
    rng = np.random.default_rng([seed, 11])
    cameras = [kind for kind in kinds for _ in range(kind.count)]
    people = crowds(request, _DRAWS, seed, _PLACES)
    noise = JointNoise.of_request(request)
    bounds = _bounds(request, mounts)

    def placed(number: int, values: Floats) -> Camera:
        return _camera(f"cam{number + 1:02d}", cameras[number], values, request, mounts)

    def seen(number: int, values: Floats) -> ViewTerms:
        return view_terms(placed(number, values), cameras[number].rate_hz, people, request, noise, soft=True)

    values = _start(rng, len(cameras), bounds)
    terms = [seen(number, one) for number, one in enumerate(values)]
    cost = _cost(terms)
    history = [float(1e3 * np.exp(cost))]
    for turn in range(_ROUNDS):
        for number in range(len(cameras)):
            rest = [one for other, one in enumerate(terms) if other != number]
            held = sum(one.information for one in rest), sum(one.spread for one in rest)
            values[number] = _best(
                lambda one, number=number, held=held: _cost([seen(number, one)], held),  # type: ignore[misc]
                bounds, values[number], int(rng.integers(1 << 31)),
            )  # fmt: skip
            terms[number] = seen(number, values[number])
            progress("layout", turn * len(cameras) + number + 1, _ROUNDS * len(cameras))
        before, cost = cost, _cost(terms)
        history.append(float(1e3 * np.exp(cost)))
        if before - cost < _ENOUGH:
            break
    progress("layout", _ROUNDS * len(cameras), _ROUNDS * len(cameras))
    made = tuple(placed(number, one) for number, one in enumerate(values))
    rates = tuple(kind.rate_hz for kind in cameras)
    return Layout(Rig(made, source=f"planned: {len(made)} cameras"), rates, tuple(history))


def _best(cost: Callable[[Floats], float], bounds: Floats, start: Floats, seed: int) -> Floats:
    """The best numbers of one camera, never worse than the start."""
    from scipy.optimize import differential_evolution

    found = differential_evolution(
        cost, bounds, maxiter=_GENERATIONS, popsize=_POPULATION, x0=start, seed=seed, polish=False, tol=0.0
    )
    return np.asarray(found.x) if found.fun < cost(start) else start


def _cost(terms: Sequence[ViewTerms], held: tuple[Floats, Floats] | None = None) -> float:
    """Mean logarithm of the expected errors, m, of the sums of these views and of those held."""
    information, spread = (held[0][:, _JOINTS], held[1][:, _JOINTS]) if held else (0.0, 0.0)
    information = information + sum(one.information[:, _JOINTS] for one in terms)
    spread = spread + sum(one.spread[:, _JOINTS] for one in terms)
    cov = covariances(information, spread, _PRIOR_M)  # type: ignore[arg-type]
    return float(0.5 * np.log(np.trace(cov, axis1=-2, axis2=-1)).mean())


def _bounds(request: PlanRequest, mounts: Mounts) -> Floats:
    """Lowest and highest values (4, 2) of a camera's numbers."""
    width, depth, _ = request.room_m
    aims = [[-side / 2, side / 2] for side in request.area]
    if mounts.ceiling:
        return np.array([[-width / 2 + _INSET_M, width / 2 - _INSET_M], [-depth / 2 + _INSET_M, depth / 2 - _INSET_M],
                         *aims])  # fmt: skip
    return np.array([[0.0, 1.0], [mounts.low_m, max(mounts.high_m, mounts.low_m + 1e-3)], *aims])


def _start(rng: np.random.Generator, count: int, bounds: Floats) -> Floats:
    """Random numbers (C, 4): along the walls evenly from a random point, all else uniform, aims near the middle."""
    values = rng.uniform(bounds[:, 0], bounds[:, 1], (count, 4))
    if bounds[0, 0] == 0.0:
        values[:, 0] = (rng.random() + (np.arange(count) + rng.uniform(-0.2, 0.2, count)) / count) % 1.0
    values[:, 2:] *= 0.3
    return np.asarray(values)


def _camera(name: str, kind: CameraKind, values: Floats, request: PlanRequest, mounts: Mounts) -> Camera:
    """The camera of four numbers, upright."""
    if mounts.ceiling:
        position = np.array([values[0], values[1], request.room_m[2] - _INSET_M])
    else:
        position = np.array([*_on_walls(values[0], request), values[1]])
    aim = np.array([values[2], values[3], _AIM_M])
    forward = aim - position
    if np.hypot(*forward[:2]) < 0.01:  # straight down: some heading is needed
        forward[0] += 0.01
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    width, height = kind.size
    K = np.array([[kind.focal_px, 0, (width - 1) / 2], [0, kind.focal_px, (height - 1) / 2], [0, 0, 1.0]])
    return Camera(Lens(name, kind.size, K, np.zeros(5)), pose(R, -R @ position))


def _on_walls(share: float, request: PlanRequest) -> Floats:
    """The point (2,) m at a share of the way around the room, a little off the walls."""
    half = np.array(request.room_m[:2]) / 2 - _INSET_M
    corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    way = (share % 1.0) * lengths.sum()
    side = min(int(np.searchsorted(np.cumsum(lengths), way, side="right")), 3)
    left = way - lengths[:side].sum()
    return np.asarray(corners[side] + (corners[side + 1] - corners[side]) * left / lengths[side])
