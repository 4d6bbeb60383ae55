"""Links from frame to frame, and what is to be known of the tracklets that they make."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError
from mvcap.structures.body import body_scale
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

Floats = NDArray[np.float64]
_MIN_JOINTS = 3
_SCALE_SIGMA = 0.1  # of the logarithm of a body's measured size


@dataclass(frozen=True)
class TrackConfig:
    """Settings of the verb ``track``."""

    gate_sigma: float = 3.0
    """Typical joint distance from the prediction, in standard deviations, up to which it is the same person."""
    acceleration_mps2: float = 6.0
    """How strongly people's torsos accelerate, one standard deviation."""
    limb_speed_mps: float = 1.5
    """How fast joints move against the torso, one standard deviation."""
    occlusion_s: float = 1.0
    """How long a person who is not seen is waited for."""
    join_s: float = 3.0
    """Longest absence after which a tracklet may still be the same person's."""
    min_seconds: float = 0.25
    """Tracklets that are seen for less time are dropped."""

    def __post_init__(self) -> None:
        if min(self.gate_sigma, self.acceleration_mps2, self.limb_speed_mps) <= 0:
            raise ConfigError("config keys 'track.gate_sigma', 'acceleration_mps2' and 'limb_speed_mps' are above 0")


@dataclass
class Followed:
    """People followed at the moment, one row each (K)."""

    skeleton: Skeleton
    next_ident: int = 0
    at: int = 0
    """The frame that everybody is predicted to."""
    ident: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    seen: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(K,) frame of the last sight."""
    count: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(K,) frames in which they were seen."""
    xyz: Floats = field(default_factory=lambda: np.zeros((0, 0, 3)))
    """(K, J, 3) m joints; one that was not seen moves with the torso."""
    variance: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """(K, J) m^2 of each coordinate of a joint when last seen."""
    velocity: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    """(K, 3) m/s of the torso."""
    spread: Floats = field(default_factory=lambda: np.zeros((0, 2, 2)))
    """(K, 2, 2) covariance of one coordinate of the torso's position and velocity, the same for all three."""

    def link(self, rows: Poses3D, config: TrackConfig, rate_hz: float) -> NDArray[np.int64]:
        """Tracklet number (M,) of each person of one frame, which are followed from then on."""
        frame = int(rows.frame[0])
        self._predict(frame, config, rate_hz)
        xyz = rows.xyz.astype(np.float64)
        variance = rows.cov[:, :, [0, 3, 5]].astype(np.float64).mean(-1)
        ident = np.full(len(rows), -1, np.int64)
        cost = self._distance(xyz, variance, config, rate_hz)
        settled = self.count >= config.min_seconds * rate_hz
        # People who have been there for a while come first: a passing ghost must not take their place.
        for people in (np.flatnonzero(settled), np.flatnonzero(~settled)):
            free = np.flatnonzero(ident < 0)
            for person, row in _assigned(cost[np.ix_(people, free)], config.gate_sigma):
                ident[free[row]] = self.ident[people[person]]
                self._correct(people[person], frame, xyz[free[row]], variance[free[row]])
        new = np.flatnonzero(ident < 0)
        ident[new] = self._start(frame, xyz[new], variance[new], config)
        return ident

    def _predict(self, frame: int, config: TrackConfig, rate_hz: float) -> None:
        """Move everybody on to a frame and forget who has been away for too long."""
        self._keep((frame - self.seen) / rate_hz <= config.occlusion_s + 0.5 / rate_hz)
        dt = (frame - self.at) / rate_hz
        self.at = frame
        self.xyz = self.xyz + (self.velocity * dt)[:, None]
        transition = np.array([[1, dt], [0, 1]])
        gain = np.array([dt**2 / 2, dt])
        self.spread = transition @ self.spread @ transition.T + config.acceleration_mps2**2 * np.outer(gain, gain)

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        for name in ("ident", "seen", "count", "xyz", "variance", "velocity", "spread"):
            setattr(self, name, getattr(self, name)[rows])

    def _distance(self, xyz: Floats, variance: Floats, config: TrackConfig, rate_hz: float) -> Floats:
        """Typical joint distance (K, M) of people seen from people predicted, in standard deviations."""
        if not len(self.ident):
            return np.zeros((0, len(xyz)))
        away = (self.at - self.seen) / rate_hz
        # Nobody outruns the second term: without it, a second of absence would make the whole room one gate.
        torso = np.minimum(self.spread[:, 0, 0], (0.1 + 2 * config.limb_speed_mps * away) ** 2)
        moved = (config.limb_speed_mps * away) ** 2 + torso
        total = self.variance[:, None] + variance[None] + moved[:, None, None]
        off = np.linalg.norm(self.xyz[:, None] - xyz[None], axis=-1) / np.sqrt(3 * total)
        comparable = np.isfinite(off).sum(-1) >= _MIN_JOINTS
        out = np.full(off.shape[:2], np.inf)
        out[comparable] = np.nanmedian(off[comparable], axis=-1)
        return out

    def _correct(self, person: int, frame: int, xyz: Floats, variance: Floats) -> None:
        """Kalman update of one person by what is seen of them."""
        seen = np.asarray(np.isfinite(xyz).all(-1))
        both = np.asarray(seen & np.isfinite(self.xyz[person]).all(-1))
        torso = self._torso(both)
        off = (xyz[torso] - self.xyz[person, torso]).mean(0)
        spread = self.spread[person]
        gain = spread[:, 0] / (spread[0, 0] + variance[torso].mean())
        self.velocity[person] += gain[1] * off
        self.spread[person] = spread - np.outer(gain, spread[0])
        self.xyz[person] = np.where(seen[:, None], xyz, self.xyz[person] + gain[0] * off)
        self.variance[person] = np.where(seen, variance, self.variance[person])
        self.seen[person] = frame
        self.count[person] += 1

    def _start(self, frame: int, xyz: Floats, variance: Floats, config: TrackConfig) -> NDArray[np.int64]:
        """Follow new people; return their numbers."""
        count, joints = len(xyz), len(self.skeleton)
        numbers = np.arange(self.next_ident, self.next_ident + count)
        self.next_ident += count
        walking = (2 * config.limb_speed_mps) ** 2
        noise = [one[self._torso(np.isfinite(at).all(-1))].mean() for one, at in zip(variance, xyz, strict=True)]
        fresh = [np.diag([square, walking]) for square in noise]
        self.ident = np.concatenate([self.ident, numbers])
        self.seen = np.concatenate([self.seen, np.full(count, frame)])
        self.count = np.concatenate([self.count, np.ones(count, np.int64)])
        self.xyz = np.concatenate([self.xyz.reshape(-1, joints, 3), xyz])
        self.variance = np.concatenate([self.variance.reshape(-1, joints), variance])
        self.velocity = np.concatenate([self.velocity, np.zeros((count, 3))])
        self.spread = np.concatenate([self.spread, np.array(fresh).reshape(-1, 2, 2)])
        return numbers

    def _torso(self, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the joints seen (J,) stand for the body's place: hips and shoulders, or all where none is."""
        torso = np.zeros(len(seen), dtype=np.bool_)
        torso[self.skeleton.torso] = True
        both: NDArray[np.bool_] = seen & torso
        return both if both.any() else seen


def _assigned(cost: Floats, gate: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the cheapest one-to-one assignment that cost less than the gate."""
    from scipy.optimize import linear_sum_assignment

    pairs = zip(*linear_sum_assignment(np.minimum(cost, 4 * gate)), strict=True)
    return [(int(row), int(column)) for row, column in pairs if cost[row, column] < gate]


@dataclass
class Tracklet:
    """What is to be known of one tracklet to tell whether it is a person, and whose."""

    first: int
    last: int
    count: int
    start: Floats
    """(3,) m middle of the body at its first frame."""
    end: Floats
    """(3,) m at its last."""
    scale: float
    """Sum over frames of the body's size, see ``body_scale``."""


class Tracklets:
    """All tracklets of a take."""

    def __init__(self) -> None:
        self._all: list[Tracklet] = []

    def add(self, rows: Poses3D, idents: NDArray[np.integer]) -> None:
        """Take note of one frame's people."""
        middles = np.nanmean(rows.xyz.astype(np.float64), axis=1)
        scales = np.nan_to_num(body_scale(rows.skeleton, rows.xyz), nan=1.0)
        frame = int(rows.frame[0])
        for ident, middle, scale in zip(idents, middles, scales, strict=True):
            if ident == len(self._all):
                self._all.append(Tracklet(frame, frame, 0, middle, middle, 0.0))
            one = self._all[ident]
            one.last, one.end = frame, middle
            one.count += 1
            one.scale += float(scale)

    def persons(self, config: TrackConfig, rate_hz: float) -> NDArray[np.int32]:
        """Person number of each tracklet: 1, 2, 3 ... in the order of appearance, 0 = dropped."""
        owner = self._joined(config, rate_hz)
        frames = np.bincount(owner, weights=[one.count for one in self._all], minlength=len(owner))
        real = frames >= max(1, round(config.min_seconds * rate_hz))
        number = np.zeros(len(owner), np.int32)
        number[real] = np.arange(1, real.sum() + 1)
        return np.asarray(number[owner])

    def _joined(self, config: TrackConfig, rate_hz: float) -> NDArray[np.int64]:
        """Earliest tracklet (K,) of the same person: a tracklet continues the nearest one that ended before it."""
        owner = np.arange(len(self._all))
        heads = {i: i for i in range(len(owner))}  # last tracklet of each person -> the person's first
        for later, one in enumerate(self._all):
            before = [earlier for earlier in heads if earlier < later]
            cost = {earlier: self._gap(self._all[earlier], one, config, rate_hz) for earlier in before}
            best = min(cost, key=cost.__getitem__, default=None)
            if best is not None and cost[best] < config.gate_sigma:
                owner[later] = heads.pop(best)
                heads[later] = int(owner[later])
        return owner

    @staticmethod
    def _gap(a: Tracklet, b: Tracklet, config: TrackConfig, rate_hz: float) -> float:
        """How far b is from continuing a, in standard deviations; infinite where it cannot."""
        away = (b.first - a.last) / rate_hz
        if not 0 < away <= config.join_s:
            return np.inf
        moved = np.linalg.norm(b.start - a.end) / (2 * config.limb_speed_mps * away + 0.1)
        grown = np.log(b.scale / b.count) - np.log(a.scale / a.count)
        return float(np.hypot(moved, grown / _SCALE_SIGMA))
