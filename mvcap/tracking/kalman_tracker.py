"""Frame-to-frame tracking: a Kalman filter of every body's torso, and assignment of people to the predictions.

A body is its joints as last seen, which move along with its torso; the filter's state is the torso's position and
velocity. The cost of assigning an observed person to a predicted one is the median over joints of their distance in
standard deviations; these include covariances, limb motion and the time since the last observation. If the associator
tracks people, an equal number lowers the cost by a whole gate; it is overruled where the body would have moved faster
than a person can, or another one fits.
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
_SHAPE_M = 0.02  # standard deviation of the definition of any joint, added to its covariance
_REACH_M = 0.5  # largest motion of a limb relative to the torso
_UNCOMPARED_M = 0.4  # standard deviation between the middles of different parts of a body
_UNKNOWN_M = 0.1  # standard deviation of a joint without a covariance
_ROOM_M = 1e4  # a larger coordinate is invalid
_CANDIDATES = 16  # most tracks that an observed person is compared with, in crowds
_MANY = 400  # pairs of tracks and observations from which on that limit applies
_TOP_GATES = 4.0  # costs are capped at this many gates


@dataclass(frozen=True)
class FrameInput:
    """The M people of one frame as the filter takes them."""

    xyz: Floats
    """(M, J, 3) m, 0 where not seen."""
    cov: Floats
    """(M, J, 3, 3) m^2."""
    seen: Bools
    """(M, J)"""
    middle: Floats
    """(M, 3) m middle of the torso, or of all joints if no torso joint is seen."""
    middle_cov: Floats
    """(M, 3, 3) m^2."""
    group: Ints
    """(M,) number from the associator."""

    @property
    def there(self) -> Bools:
        """(M,) whether any joint is seen."""
        return np.asarray(self.seen.any(-1))

    @classmethod
    def of(cls, rows: Poses3D) -> FrameInput:
        """From the rows of a table; joints that are NaN, or more than 10 km away, count as unseen."""
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
    """Weights (M, J) of joints in a body's position, the sum is 1, or 0 if none is seen.

    Equal for all seen hips and shoulders; if none of them is seen, equal for all seen joints.
    """
    torso = np.zeros(len(skeleton), np.bool_)
    torso[skeleton.torso] = True
    used = seen & torso
    used = np.where(used.any(-1, keepdims=True), used, seen)
    return np.asarray(used / np.maximum(used.sum(-1, keepdims=True), 1))


@dataclass(frozen=True)
class IdentitySwitch:
    """An identity switch of the associator: it gave the number of one person to another body."""

    frame: int
    group: int
    before: int
    """Tracklet that had the number."""
    after: int
    """Tracklet that has it now."""
    sigma: float
    """Distance of the body from the predicted position of the first one, in standard deviations."""


class KalmanTracker:
    """The people tracked at the moment, one row each (K)."""

    def __init__(self, skeleton: Skeleton, config: TrackConfig, rate_hz: float, follows: bool) -> None:
        joints = len(skeleton)
        self.skeleton, self.config, self.rate_hz, self.follows = skeleton, config, rate_hz, follows
        self.next_ident = 0
        self.switches: list[IdentitySwitch] = []
        self.frame_input = FrameInput.of(Poses3D.empty(skeleton))
        """The last frame's people."""
        self.at = 0
        """Frame of the current predictions."""
        self.ident = np.zeros(0, np.int64)
        self.seen = np.zeros(0, np.int64)
        """(K,) frame of the last observation of a joint in 3D."""
        self.kept = np.zeros(0, np.int64)
        """(K,) frame of the last row at all."""
        self.count = np.zeros(0, np.int64)
        """(K,) frames with an observation in 3D."""
        self.group = np.zeros(0, np.int64)
        """(K,) last number from the associator; -1 if it does not track people."""
        self.mean = np.zeros((0, 6))
        """(K, 6) m, m/s position and velocity of the torso."""
        self.cov = np.zeros((0, 6, 6))
        self.xyz = np.zeros((0, joints, 3))
        """(K, J, 3) m joints; an unseen one moves with the torso; NaN = never seen."""
        self.joint_cov = np.zeros((0, joints, 3, 3))
        """(K, J, 3, 3) m^2 of joints when last seen."""
        self.joint_seen = np.zeros((0, joints), np.int64)
        """(K, J) frame of each joint's last observation."""

    _COLUMNS = ("ident", "seen", "kept", "count", "group", "mean", "cov", "xyz", "joint_cov", "joint_seen")

    def link(self, rows: Poses3D) -> Ints:
        """Tracklet (M,) of each row of one frame; -1 = no person. Rows that match no track start a new one.

        A row without a joint belongs to the track with its number, if the associator tracks people and that track
        exists.
        """
        frame, frame_input = int(rows.frame[0]), FrameInput.of(rows)
        self.frame_input = frame_input
        self._predict(frame)
        people = np.full(len(rows), -1, np.int64)
        cost, same = self._cost(frame_input)
        for mine in self._assignment_order():
            free = np.flatnonzero(people < 0)
            for person, row in cheapest_pairs(cost[np.ix_(mine, free)], self.config.gate_sigma):
                people[free[row]] = mine[person]
        self._record_switches(frame, people, same, cost, frame_input)
        matched = np.flatnonzero(people >= 0)
        self._update(people[matched], frame, frame_input, matched)
        new = np.flatnonzero((people < 0) & (frame_input.seen.sum(-1) >= _MIN_JOINTS))
        people[new] = self._start(frame, frame_input, new)
        unseen = np.flatnonzero((people < 0) & ~frame_input.there)
        people[unseen] = self._match_by_group(frame_input.group[unseen], people)
        self.kept[people[people >= 0]] = frame
        return np.where(people < 0, -1, np.append(self.ident, -1)[people])

    def where(self, idents: Ints) -> Ints:
        """Rows (M,) in the tracker of these tracklets."""
        order = np.argsort(self.ident)
        return np.asarray(order[np.searchsorted(self.ident[order], idents)])

    def _assignment_order(self) -> tuple[Ints, ...]:
        """Groups of tracks in order of assignment: established ones first, or a false positive might replace them."""
        if self.follows:
            return (np.arange(len(self.ident)),)
        established = self.count >= self.config.min_seconds * self.rate_hz
        away = self.at - self.seen
        present = away <= away.min(initial=self.at)
        return tuple(np.flatnonzero(part) for part in (established & present, established & ~present, ~established))

    def _predict(self, frame: int) -> None:
        """Predict all tracks to a frame and delete those without observations for too long, new ones sooner."""
        away = (frame - self.kept) / self.rate_hz
        limit_s = np.minimum(self.config.occlusion_s, 0.1 + 2 * self.count / self.rate_hz)
        self._keep(away <= limit_s + 0.5 / self.rate_hz)
        before = self.mean
        dt = (frame - self.at) / self.rate_hz
        self.at = frame
        self.mean, self.cov = predict_states(before, self.cov, dt, self.config.speed_mps, self.config.acceleration_mps2)
        self.xyz = self.xyz + (self.mean - before)[:, None, :3]

    def _keep(self, rows: Bools) -> None:
        for name in self._COLUMNS:
            setattr(self, name, getattr(self, name)[rows])

    def _cost(self, frame_input: FrameInput) -> tuple[Floats, Bools]:
        """Distance (K, M) of observed people from predicted ones, less one gate where their number is the same."""
        same = (self.group[:, None] == frame_input.group[None]) & (self.group[:, None] >= 0)
        cost = np.full(same.shape, np.inf)
        person, row = np.nonzero(self._coarse_gate(frame_input) | same)
        if not len(person):
            return cost, same
        cost[person, row] = self._distance(person, row, frame_input, same[person, row])
        return np.where(same, cost - self.config.gate_sigma, cost), same

    def _coarse_gate(self, frame_input: FrameInput) -> Bools:
        """Coarse gate: pairs (K, M) to compare joint by joint."""
        off = np.linalg.norm(self.mean[:, None, :3] - frame_input.middle[None], axis=-1)
        sigma = np.sqrt(_variance_bound(self.cov[:, :3, :3])[:, None] + _variance_bound(frame_input.middle_cov)[None])
        away = (self.at - self.seen)[:, None] / self.rate_hz
        # The top speed bounds the gate whatever the covariance, so that a wrong one cannot open it to the whole room.
        near = off <= np.minimum(TOP_SPEED_MPS * away, 2 * self.config.gate_sigma * sigma) + 1.0
        if off.size > _MANY and len(off) > _CANDIDATES:
            closest = np.argpartition(off, _CANDIDATES, axis=0)[:_CANDIDATES]
            few = np.zeros_like(near)
            np.put_along_axis(few, closest, True, axis=0)
            near &= few
        return np.asarray(near & frame_input.there[None])

    def _distance(self, person: Ints, row: Ints, frame_input: FrameInput, same: Bools) -> Floats:
        """Distance (N,) of pairs in standard deviations; infinite without common joints or where too far apart."""
        config = self.config
        both = np.asarray(frame_input.seen[row] & np.isfinite(self.xyz[person, :, 0]))
        off = np.where(both[..., None], frame_input.xyz[row] - self.xyz[person], 0.0)
        limb_sigma = np.minimum(config.limb_speed_mps * (self.at - self.joint_seen[person]) / self.rate_hz, _REACH_M)
        place = self.cov[person, :3, :3]
        total = (
            place[:, None]
            + self.joint_cov[person]
            + frame_input.cov[row]
            + limb_sigma[..., None, None] ** 2 * np.eye(3)
        )
        square = np.einsum("njx,njx->nj", off, np.linalg.solve(total, off[..., None])[..., 0]) / 3
        out = np.sqrt(np.maximum(_median(square, both), 0))
        out[both.sum(-1) < _MIN_JOINTS] = np.inf
        apart = frame_input.middle[row] - self.mean[person, :3]
        rough_cov = place + frame_input.middle_cov[row] + _UNCOMPARED_M**2 * np.eye(3)
        rough = np.sqrt(np.einsum("nx,nx->n", apart, np.linalg.solve(rough_cov, apart[..., None])[..., 0]) / 3)
        out = np.where(np.isinf(out) & same & frame_input.seen[row].any(-1), rough, out)
        away = (self.at - self.seen[person]) / self.rate_hz
        noise = np.sqrt(_variance_bound(self.joint_cov[person].mean(1)) + _variance_bound(frame_input.middle_cov[row]))
        weight = torso_weights(both, self.skeleton)
        jump = np.linalg.norm(np.einsum("nj,njx->nx", weight, off), axis=-1)
        return np.asarray(np.where(jump > TOP_SPEED_MPS * away + config.gate_sigma * noise, np.inf, out))

    def _record_switches(self, frame: int, people: Ints, same: Bools, cost: Floats, frame_input: FrameInput) -> None:
        """Record where the associator's number went to another body; new tracks get their number afterwards."""
        for person, row in zip(*np.nonzero(same & frame_input.there[None]), strict=True):
            if people[row] == person:
                continue
            after = int(self.ident[people[row]]) if people[row] >= 0 else -1
            sigma = float(cost[person, row]) + self.config.gate_sigma
            group, before = int(frame_input.group[row]), int(self.ident[person])
            self.switches.append(IdentitySwitch(frame, group, before, after, sigma))

    def _update(self, people: Ints, frame: int, frame_input: FrameInput, rows: Ints) -> None:
        """Kalman update of tracks (N,) with their observations."""
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
        rest = (off - step[:, :3])[:, None]  # the part of the innovation that the filter does not follow
        self.xyz[people] = np.where(seen[..., None], xyz - rest, self.xyz[people] + step[:, None, :3])
        self.joint_cov[people] = np.where(seen[..., None, None], frame_input.cov[rows], self.joint_cov[people])
        self.joint_seen[people] = np.where(seen, frame, self.joint_seen[people])
        self.seen[people] = frame
        self.count[people] += 1
        self.group[people] = self._assign_groups(frame_input.group[rows])

    def _assign_groups(self, group: Ints) -> Ints:
        """Numbers of the associator for tracks, removed from all other tracks; -1 if it does not track people."""
        if not self.follows:
            return np.full_like(group, -1)
        self.group[np.isin(self.group, group)] = -1
        return group

    def _start(self, frame: int, frame_input: FrameInput, rows: Ints) -> Ints:
        """Start new tracks; return their rows in the tracker."""
        count, before = len(rows), len(self.ident)
        cov = np.zeros((count, 6, 6))
        cov[:, :3, :3], cov[:, 3:, 3:] = frame_input.middle_cov[rows], self.config.speed_mps**2 * np.eye(3)
        seen = frame_input.seen[rows]
        fresh = {
            "ident": np.arange(self.next_ident, self.next_ident + count),
            "seen": np.full(count, frame),
            "kept": np.full(count, frame),
            "count": np.ones(count, np.int64),
            "group": self._assign_groups(frame_input.group[rows]),
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

    def _match_by_group(self, group: Ints, assigned: Ints) -> Ints:
        """Track (N,) with the number of each row, if there is one without a row in this frame; else -1."""
        out, used = np.full(len(group), -1, np.int64), set(assigned[assigned >= 0].tolist())
        for at, number in enumerate(group.tolist()):
            who = np.flatnonzero((self.group == number) & (self.group >= 0))
            if len(who) and int(who[0]) not in used:
                out[at] = who[0]
                used.add(int(who[0]))
        return out


def cheapest_pairs(cost: Floats, gate: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the one-to-one assignment of least cost, only those below the gate."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = np.flatnonzero((cost < gate).any(1)), np.flatnonzero((cost < gate).any(0))
    inner = np.minimum(cost[np.ix_(rows, columns)], _TOP_GATES * gate)
    pairs = [(int(rows[row]), int(columns[column])) for row, column in zip(*linear_sum_assignment(inner), strict=True)]
    return [(row, column) for row, column in pairs if cost[row, column] < gate]


def _variance_bound(cov: Floats) -> Floats:
    """Upper bound (...,) m^2 of the variance of covariances (..., 3, 3) along any direction."""
    return np.asarray(np.trace(cov, axis1=-2, axis2=-1))


def _median(values: Floats, known: Bools) -> Floats:
    """Lower median (N,) of the known values (N, J); 0 where none is known."""
    ordered = np.sort(np.where(known, values, np.inf), axis=-1)
    middle = np.maximum((known.sum(-1) - 1) // 2, 0)
    out = np.take_along_axis(ordered, middle[:, None], axis=-1)[:, 0]
    return np.asarray(np.where(known.any(-1), out, 0.0))
