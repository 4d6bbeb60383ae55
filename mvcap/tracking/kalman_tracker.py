"""From frame to frame: a Kalman filter of every body's place, and people assigned to where they should be.

A body is its joints as last seen, which move along with its torso; the filter's state is the torso's place and
velocity. How well a person seen fits one predicted is the median over joints of their distance in standard deviations,
of which covariances, limbs that move and the time since are part. Where the associator follows people, its number
counts for as much as a whole gate; it is overruled where the body would have had to outrun anybody, or another fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.structures.poses import Poses3D, full_covariance
from mvcap.structures.skeleton import Skeleton
from mvcap.tracking.motion_model import TOP_SPEED_MPS, predict_states
from mvcap.tracking.tracklets import TrackConfig

_MIN_JOINTS = 3
_SHAPE_M = 0.02  # how well any joint is defined
_REACH_M = 0.5  # limbs move no further against the torso
_UNCOMPARED_M = 0.4  # between the middles of different parts of a body
_UNKNOWN_M = 0.1  # where a joint has no covariance
_ROOM_M = 1e4
_CANDIDATES = 16  # people that each one seen is compared with, where there are many
_MANY = 400
_TOP_GATES = 4.0


@dataclass(frozen=True)
class FrameInput:
    """One frame's people as the filter takes them, M."""

    xyz: Floats
    """(M, J, 3) m, 0 where not seen."""
    cov: Floats
    """(M, J, 3, 3) m^2."""
    seen: Bools
    """(M, J)"""
    middle: Floats
    """(M, 3) m middle of the torso, or of all joints where none of it is seen."""
    middle_cov: Floats
    """(M, 3, 3) m^2."""
    group: Ints
    """(M,) number that the associator gave them."""

    @property
    def there(self) -> Bools:
        """(M,) whether any joint is seen."""
        return np.asarray(self.seen.any(-1))

    @classmethod
    def of(cls, rows: Poses3D) -> FrameInput:
        """Take a table's rows; joints that are not numbers, or out of this world, are not seen."""
        xyz = rows.xyz.astype(np.float64)
        seen: Bools = np.asarray((np.abs(np.nan_to_num(xyz, nan=np.inf)) < _ROOM_M).all(-1) & (rows.score > 0))
        cov = np.asarray(full_covariance(rows.cov.astype(np.float64)))
        known = (np.abs(np.nan_to_num(cov, nan=np.inf)) < _ROOM_M).all((-1, -2))
        known &= (np.diagonal(cov, axis1=-2, axis2=-1) >= 0).all(-1)
        cov = np.where(known[..., None, None], cov, _UNKNOWN_M**2 * np.eye(3)) + _SHAPE_M**2 * np.eye(3)
        xyz = np.where(seen[..., None], xyz, 0.0)
        weight = torso_weights(seen, rows.skeleton)
        middle, spread = np.einsum("mj,mjx->mx", weight, xyz), np.einsum("mj,mjxy->mxy", weight, cov)
        return cls(xyz, cov, seen, middle, spread, rows.group.astype(np.int64))


def torso_weights(seen: Bools, skeleton: Skeleton) -> Floats:
    """Weights (M, J) of joints in a body's place: hips and shoulders alike, all alike where none is seen; 0 in all."""
    torso = np.zeros(len(skeleton), np.bool_)
    torso[skeleton.torso] = True
    used = seen & torso
    used = np.where(used.any(-1, keepdims=True), used, seen)
    return np.asarray(used / np.maximum(used.sum(-1, keepdims=True), 1))


@dataclass(frozen=True)
class IdentitySwitch:
    """The associator gave the number of one person to another body."""

    frame: int
    group: int
    before: int
    """Tracklet that had the number."""
    after: int
    """Tracklet that it was given to."""
    sigma: float
    """Distance of the body from where the first one should be, in standard deviations."""


class KalmanTracker:
    """People followed at the moment, one row each (K)."""

    def __init__(self, skeleton: Skeleton, config: TrackConfig, rate_hz: float, follows: bool) -> None:
        joints = len(skeleton)
        self.skeleton, self.config, self.rate_hz, self.follows = skeleton, config, rate_hz, follows
        self.next_ident = 0
        self.switches: list[IdentitySwitch] = []
        self.frame_input = FrameInput.of(Poses3D.empty(skeleton))
        """The last frame's people."""
        self.at = 0
        """The frame that everybody is predicted to."""
        self.ident = np.zeros(0, np.int64)
        self.seen = np.zeros(0, np.int64)
        """(K,) frame of the last sight of a joint in 3D."""
        self.kept = np.zeros(0, np.int64)
        """(K,) frame of the last row at all."""
        self.count = np.zeros(0, np.int64)
        """(K,) frames in which they were seen in 3D."""
        self.group = np.zeros(0, np.int64)
        """(K,) what the associator called them last; -1 where it does not follow."""
        self.mean = np.zeros((0, 6))
        """(K, 6) m, m/s place and velocity of the torso."""
        self.cov = np.zeros((0, 6, 6))
        self.xyz = np.zeros((0, joints, 3))
        """(K, J, 3) m joints; one that is not seen moves with the torso; NaN = never seen."""
        self.joint_cov = np.zeros((0, joints, 3, 3))
        """(K, J, 3, 3) m^2 of joints when last seen."""
        self.joint_seen = np.zeros((0, joints), np.int64)
        """(K, J) frame of each joint's last sight."""

    _COLUMNS = ("ident", "seen", "kept", "count", "group", "mean", "cov", "xyz", "joint_cov", "joint_seen")

    def link(self, rows: Poses3D) -> Ints:
        """Tracklet (M,) of each row of one frame, which are followed from then on; -1 = nobody.

        A row without a joint belongs to whom the associator says, if it follows people and that one is known.
        """
        frame, frame_input = int(rows.frame[0]), FrameInput.of(rows)
        self.frame_input = frame_input
        self._predict(frame)
        people = np.full(len(rows), -1, np.int64)
        cost, same = self._cost(frame_input)
        for mine in self._in_turn():
            free = np.flatnonzero(people < 0)
            for person, row in cheapest_pairs(cost[np.ix_(mine, free)], self.config.gate_sigma):
                people[free[row]] = mine[person]
        self._note_switches(frame, people, same, cost, frame_input)
        held = np.flatnonzero(people >= 0)
        self._correct(people[held], frame, frame_input, held)
        new = np.flatnonzero((people < 0) & (frame_input.seen.sum(-1) >= _MIN_JOINTS))
        people[new] = self._start(frame, frame_input, new)
        bare = np.flatnonzero((people < 0) & ~frame_input.there)
        people[bare] = self._by_group(frame_input.group[bare], people)
        self.kept[people[people >= 0]] = frame
        return np.where(people < 0, -1, np.append(self.ident, -1)[people])

    def where(self, idents: Ints) -> Ints:
        """Rows (M,) of tracklets that are followed."""
        order = np.argsort(self.ident)
        return np.asarray(order[np.searchsorted(self.ident[order], idents)])

    def _in_turn(self) -> tuple[Ints, ...]:
        """Who is served first: people who have been there for a while, or a passing ghost would take their place."""
        if self.follows:
            return (np.arange(len(self.ident)),)
        settled = self.count >= self.config.min_seconds * self.rate_hz
        return np.flatnonzero(settled), np.flatnonzero(~settled)

    def _predict(self, frame: int) -> None:
        """Move everybody on to a frame and forget who has been away for too long, or was hardly there."""
        away = (frame - self.kept) / self.rate_hz
        patience = np.minimum(self.config.occlusion_s, 0.1 + 2 * self.count / self.rate_hz)
        self._keep(away <= patience + 0.5 / self.rate_hz)
        before = self.mean
        dt = (frame - self.at) / self.rate_hz
        self.at = frame
        self.mean, self.cov = predict_states(before, self.cov, dt, self.config.speed_mps, self.config.acceleration_mps2)
        self.xyz = self.xyz + (self.mean - before)[:, None, :3]

    def _keep(self, rows: Bools) -> None:
        for name in self._COLUMNS:
            setattr(self, name, getattr(self, name)[rows])

    def _cost(self, frame_input: FrameInput) -> tuple[Floats, Bools]:
        """Distance (K, M) of people seen from people predicted, less a gate where their number is the same."""
        same = (self.group[:, None] == frame_input.group[None]) & (self.group[:, None] >= 0)
        cost = np.full(same.shape, np.inf)
        person, row = np.nonzero(self._near(frame_input) | same)
        if not len(person):
            return cost, same
        cost[person, row] = self._distance(person, row, frame_input, same[person, row])
        return np.where(same, cost - self.config.gate_sigma, cost), same

    def _near(self, frame_input: FrameInput) -> Bools:
        """Whom it is worth looking at closely (K, M)."""
        off = np.linalg.norm(self.mean[:, None, :3] - frame_input.middle[None], axis=-1)
        sigma = np.sqrt(_largest(self.cov[:, :3, :3])[:, None] + _largest(frame_input.middle_cov)[None])
        away = (self.at - self.seen)[:, None] / self.rate_hz
        # Nobody outruns this; it is not of the covariance, so a bad one cannot make the whole room one gate.
        near = off <= np.minimum(TOP_SPEED_MPS * away, 2 * self.config.gate_sigma * sigma) + 1.0
        if off.size > _MANY and len(off) > _CANDIDATES:
            closest = np.argpartition(off, _CANDIDATES, axis=0)[:_CANDIDATES]
            few = np.zeros_like(near)
            np.put_along_axis(few, closest, True, axis=0)
            near &= few
        return np.asarray(near & frame_input.there[None])

    def _distance(self, person: Ints, row: Ints, frame_input: FrameInput, same: Bools) -> Floats:
        """Distance (N,) in standard deviations of pairs; infinite where they cannot be compared, or are too far."""
        config = self.config
        both = np.asarray(frame_input.seen[row] & np.isfinite(self.xyz[person, :, 0]))
        off = np.where(both[..., None], frame_input.xyz[row] - self.xyz[person], 0.0)
        loose = np.minimum(config.limb_speed_mps * (self.at - self.joint_seen[person]) / self.rate_hz, _REACH_M)
        place = self.cov[person, :3, :3]
        total = place[:, None] + self.joint_cov[person] + frame_input.cov[row] + loose[..., None, None] ** 2 * np.eye(3)
        square = np.einsum("njx,njx->nj", off, np.linalg.solve(total, off[..., None])[..., 0]) / 3
        out = np.sqrt(np.maximum(_median(square, both), 0))
        out[both.sum(-1) < _MIN_JOINTS] = np.inf
        apart = frame_input.middle[row] - self.mean[person, :3]
        rough_cov = place + frame_input.middle_cov[row] + _UNCOMPARED_M**2 * np.eye(3)
        rough = np.sqrt(np.einsum("nx,nx->n", apart, np.linalg.solve(rough_cov, apart[..., None])[..., 0]) / 3)
        out = np.where(np.isinf(out) & same & frame_input.seen[row].any(-1), rough, out)
        away = (self.at - self.seen[person]) / self.rate_hz
        noise = np.sqrt(_largest(self.joint_cov[person].mean(1)) + _largest(frame_input.middle_cov[row]))
        weight = torso_weights(both, self.skeleton)
        jump = np.linalg.norm(np.einsum("nj,njx->nx", weight, off), axis=-1)
        return np.asarray(np.where(jump > TOP_SPEED_MPS * away + config.gate_sigma * noise, np.inf, out))

    def _note_switches(self, frame: int, people: Ints, same: Bools, cost: Floats, frame_input: FrameInput) -> None:
        """Remember where the associator's number went to somebody else; new people get theirs afterwards."""
        for person, row in zip(*np.nonzero(same & frame_input.there[None]), strict=True):
            if people[row] == person:
                continue
            after = int(self.ident[people[row]]) if people[row] >= 0 else -1
            sigma = float(cost[person, row]) + self.config.gate_sigma
            group, before = int(frame_input.group[row]), int(self.ident[person])
            self.switches.append(IdentitySwitch(frame, group, before, after, sigma))

    def _correct(self, people: Ints, frame: int, frame_input: FrameInput, rows: Ints) -> None:
        """Kalman update of people (N,) by what is seen of them."""
        if not len(people):
            return
        seen, xyz = frame_input.seen[rows], frame_input.xyz[rows]
        both = np.asarray(seen & np.isfinite(self.xyz[people, :, 0]))
        weight = torso_weights(both, self.skeleton)
        off = np.einsum("nj,njx->nx", weight, np.where(both[..., None], xyz - self.xyz[people], 0.0))
        noise = np.einsum("nj,njxy->nxy", weight, frame_input.cov[rows])
        noise[~both.any(-1)] = 1e6 * np.eye(3)  # nothing to compare with
        cov = self.cov[people]
        gain = cov[:, :, :3] @ np.linalg.inv(cov[:, :3, :3] + noise)
        step = np.einsum("nax,nx->na", gain, off)
        self.mean[people] += step
        cov = cov - gain @ cov[:, :3]
        self.cov[people] = (cov + np.swapaxes(cov, 1, 2)) / 2
        self.xyz[people] = np.where(seen[..., None], xyz, self.xyz[people] + step[:, None, :3])
        self.joint_cov[people] = np.where(seen[..., None, None], frame_input.cov[rows], self.joint_cov[people])
        self.joint_seen[people] = np.where(seen, frame, self.joint_seen[people])
        self.seen[people] = frame
        self.count[people] += 1
        self.group[people] = self._named(frame_input.group[rows])

    def _named(self, group: Ints) -> Ints:
        """What the associator calls them, and nobody else from now on; -1 where it does not follow people."""
        if not self.follows:
            return np.full_like(group, -1)
        self.group[np.isin(self.group, group)] = -1
        return group

    def _start(self, frame: int, frame_input: FrameInput, rows: Ints) -> Ints:
        """Follow new people; return their rows among the people."""
        count, before = len(rows), len(self.ident)
        cov = np.zeros((count, 6, 6))
        cov[:, :3, :3], cov[:, 3:, 3:] = frame_input.middle_cov[rows], self.config.speed_mps**2 * np.eye(3)
        seen = frame_input.seen[rows]
        fresh = {
            "ident": np.arange(self.next_ident, self.next_ident + count),
            "seen": np.full(count, frame),
            "kept": np.full(count, frame),
            "count": np.ones(count, np.int64),
            "group": self._named(frame_input.group[rows]),
            "mean": np.concatenate([frame_input.middle[rows], np.zeros((count, 3))], axis=1),
            "cov": cov,
            "xyz": np.where(seen[..., None], frame_input.xyz[rows], np.nan),
            "joint_cov": frame_input.cov[rows],
            "joint_seen": np.full((count, len(self.skeleton)), frame),
        }
        self.next_ident += count
        for name in self._COLUMNS:
            setattr(self, name, np.concatenate([getattr(self, name), fresh[name]]))
        return np.arange(before, before + count)

    def _by_group(self, group: Ints, taken: Ints) -> Ints:
        """Person (N,) that the associator says each row is, if followed and not in the frame already; else -1."""
        out, used = np.full(len(group), -1, np.int64), set(taken[taken >= 0].tolist())
        for at, number in enumerate(group.tolist()):
            who = np.flatnonzero((self.group == number) & (self.group >= 0))
            if len(who) and int(who[0]) not in used:
                out[at] = who[0]
                used.add(int(who[0]))
        return out


def cheapest_pairs(cost: Floats, gate: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the cheapest one-to-one assignment that cost less than the gate."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = np.flatnonzero((cost < gate).any(1)), np.flatnonzero((cost < gate).any(0))
    inner = np.minimum(cost[np.ix_(rows, columns)], _TOP_GATES * gate)
    pairs = [(int(rows[row]), int(columns[column])) for row, column in zip(*linear_sum_assignment(inner), strict=True)]
    return [(row, column) for row, column in pairs if cost[row, column] < gate]


def _largest(cov: Floats) -> Floats:
    """A bound (...,) m^2 of the variance along any direction, of covariances (..., 3, 3)."""
    return np.asarray(np.trace(cov, axis1=-2, axis2=-1))


def _median(values: Floats, known: Bools) -> Floats:
    """Lower median (N,) of the values (N, J) that are known; 0 where none is."""
    ordered = np.sort(np.where(known, values, np.inf), axis=-1)
    middle = np.maximum((known.sum(-1) - 1) // 2, 0)
    out = np.take_along_axis(ordered, middle[:, None], axis=-1)[:, 0]
    return np.asarray(np.where(known.any(-1), out, 0.0))
