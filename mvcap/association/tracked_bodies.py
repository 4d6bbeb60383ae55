"""State of the bodies tracked from frame to frame: joint positions, their covariances, and the prediction.

Every joint has a position and a full covariance, so that a body seen by a single view stays known across that view's
rays while the uncertainty along them grows. New observations enter as rays, in information form, with each joint's
prediction as one more measurement; outlier rays are down-weighted by the Geman-McClure kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.association.ray_affinity import BodyRays
from mvcap.structures.contracts import State

LIMB_SPEED_MPS = 2.0
"""Speed of a joint relative to its body, one standard deviation."""
ACCELERATION_MPS2 = 6.0
"""Acceleration of a body, one standard deviation."""
_GAIN = 0.3  # share of the torso's deviation from its prediction that updates its velocity
_ANYWHERE_M = 2.0  # standard deviation of a joint when only the position of its body is known
_NOWHERE_M = 100.0  # standard deviation of a joint without any information
_KNOWN_M = 0.6  # a joint with a larger standard deviation is not used for association
_LEAST_M = 0.003  # least standard deviation of a tracked joint
_KERNEL2 = 4.0**2  # kernel scale squared, standard deviations
_ROUNDS = 3
_CLIP = 4.0  # squared distances are clipped at this many times the expected value
LEARN_EVERY = 4  # frames between updates of the calibration error
_GUESS_WEIGHT = 4  # number of updates that the first guess weighs as much as
_LEAST_RATE = 0.05  # least weight of a new update


@dataclass(frozen=True)
class BodyEstimates:
    """Bodies of G groups of rows, estimated from their rays and the prediction."""

    xyz: Floats
    """(G, J, 3) m"""
    cov: Floats
    """(G, J, 3, 3) m^2"""
    known: NDArray[np.bool_]
    """(G, J)"""
    without: tuple[Floats, Floats, NDArray[np.bool_]]
    """The same for each row's own body, (M, 1, J, ...), estimated without that row."""

    @property
    def variance(self) -> Floats:
        """(G, J) m^2 of each coordinate, averaged over the axes."""
        return np.asarray(np.trace(self.cov, axis1=-2, axis2=-1) / 3)


def unknown_bodies(count: int, joints: int) -> BodyEstimates:
    """Bodies (G) without any information."""
    xyz, cov = np.zeros((count, joints, 3)), np.tile(np.eye(3) * _NOWHERE_M**2, (count, joints, 1, 1))
    known = np.zeros((count, joints), np.bool_)
    return BodyEstimates(xyz, cov, known, (xyz[:, None], cov[:, None], known[:, None]))


def estimate_bodies(
    rays: BodyRays, group: NDArray[np.int64], prior: BodyEstimates, without: bool = True
) -> BodyEstimates:
    """Estimate the bodies of the groups (M,), 0..G-1 or -1, from their rays and ``prior`` (G).

    ``without``: also estimate each row's own body without that row.
    """
    member = np.flatnonzero(group >= 0)
    mine, rays = group[member], rays[member]
    pick = (np.arange(len(prior.xyz))[:, None] == mine).astype(np.float64)
    flat = np.eye(3) - rays.direction[..., :, None] * rays.direction[..., None, :]
    prior_information: Floats = np.asarray(np.linalg.inv(prior.cov), np.float64)
    start = np.einsum("gjxy,gjy->gjx", prior_information, prior.xyz)
    weight = np.where(rays.seen, 1.0, 0.0) / np.where(rays.seen, rays.variance, 1)
    known = bool(prior.known.any(1).all())
    x = prior.xyz if known else _solve_joints(pick, prior_information, start, flat, weight / 16, rays.origin)[0]
    for _ in range(_ROUNDS - known):
        off = x[mine] - rays.origin[:, None]
        depth = np.einsum("mjx,mjx->mj", off, rays.direction)
        reach2 = np.maximum(depth, 0.1) ** 2
        square = (np.einsum("mjx,mjx->mj", off, off) - depth**2) / reach2 * weight
        weights = weight / reach2 / (1 + np.maximum(square, 0) / _KERNEL2) ** 2
        x, information, right = _solve_joints(pick, prior_information, start, flat, weights, rays.origin)
    cov: Floats = np.asarray(np.linalg.inv(information), np.float64)
    alone = np.zeros((len(group), 1, *x.shape[1:])), np.zeros((len(group), 1, *cov.shape[1:]))
    known_alone = np.zeros((len(group), 1, x.shape[1]), np.bool_)
    if without:
        own = weights[..., None, None] * flat
        cov_alone = np.linalg.inv(information[mine] - own)
        right_alone = right[mine] - np.einsum("mjxy,my->mjx", own, rays.origin)
        alone[0][member, 0], alone[1][member, 0] = np.einsum("mjxy,mjy->mjx", cov_alone, right_alone), cov_alone
        known_alone[member, 0] = _known(cov_alone)
    return BodyEstimates(x, cov, _known(cov), (*alone, known_alone))


def _known(cov: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.trace(cov, axis1=-2, axis2=-1) < 2 * _KNOWN_M**2)


def _solve_joints(
    pick: Floats, prior_information: Floats, start: Floats, flat: Floats, weight: Floats, origin: Floats
) -> tuple[Floats, Floats, Floats]:
    """Joints (G, J, 3), information matrices and right-hand sides from rays with weights (M, J) 1/m^2."""
    joints = weight.shape[1]
    each = (weight[..., None, None] * flat).reshape(len(weight), joints, 3, 3)
    information = prior_information + (pick @ each.reshape(len(weight), 9 * joints)).reshape(-1, joints, 3, 3)
    aimed = np.einsum("mjxy,my->mjx", each, origin)
    right = start + (pick @ aimed.reshape(len(weight), 3 * joints)).reshape(-1, joints, 3)
    return np.linalg.solve(information, right[..., None])[..., 0], information, right


@dataclass(frozen=True)
class TrackedBodies:
    """The K people tracked at the moment."""

    time_s: float
    frames: int
    """Number of frames processed so far."""
    left_out: int
    """Number of rows left out so far because a frame had too many."""
    next_ident: int
    ident: NDArray[np.int64]
    """(K,)"""
    xyz: Floats
    """(K, J, 3) m"""
    cov: Floats
    """(K, J, 3, 3) m^2"""
    velocity: Floats
    """(K, 3) m/s of the torso."""
    seen_s: Floats
    """(K,) time of the last observation."""
    calibration: Floats
    """(C,) rad^2 variance of each view's calibration error, in addition to the noise of its rays."""

    @classmethod
    def empty(cls, joints: int, calibration: Floats) -> TrackedBodies:
        """Return the state before the first frame, without people."""
        xyz, cov = np.zeros((0, joints, 3)), np.zeros((0, joints, 3, 3))
        return cls(0.0, 0, 0, 0, np.zeros(0, np.int64), xyz, cov, np.zeros((0, 3)), np.zeros(0), calibration)

    def __len__(self) -> int:
        return len(self.ident)

    def predicted(self, time_s: float, torso: NDArray[np.int64]) -> TrackedBodies:
        """Predict all bodies at a later time; joints move with the torso and, with larger variance, on their own."""
        dt = time_s - self.time_s
        limbs = np.full(self.xyz.shape[1], (LIMB_SPEED_MPS * dt) ** 2)
        limbs[torso] /= 4
        grown = limbs + (0.5 * ACCELERATION_MPS2 * dt**2) ** 2
        cov = self.cov + grown[None, :, None, None] * np.eye(3)
        return replace(
            self,
            time_s=time_s,
            frames=self.frames + 1,
            xyz=self.xyz + (self.velocity * dt)[:, None],
            cov=cov,
        )

    def lost(self, torso: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which people (K,) a single view has seen for so long that their depth is unknown."""
        spread = np.trace(self.cov[:, torso], axis1=-2, axis2=-1).mean(1)
        return np.asarray(spread > _KNOWN_M**2)

    def without(self, people: NDArray[np.int64]) -> TrackedBodies:
        """Return the state without the people at these indices."""
        rest = np.delete(np.arange(len(self)), people)
        names = ("ident", "xyz", "cov", "velocity", "seen_s")
        return replace(self, **{name: getattr(self, name)[rest] for name in names})

    def leaving(self, rows: int) -> TrackedBodies:
        """Return the state with ``rows`` more rows counted as left out."""
        return replace(self, left_out=self.left_out + rows) if rows else self

    def updated(
        self, views: NDArray[np.int64], bodies: BodyEstimates, torso: NDArray[np.int64], occlusion_s: float
    ) -> tuple[NDArray[np.int64], TrackedBodies]:
        """Person number (G + 1,) of each body, the last entry and false positives -1, and the updated state.

        The bodies are those of the tracked people, then new ones; ``views`` (G,) is the number of views that see each.
        """
        tracked, seen = len(self), views > 0
        ident = np.concatenate(
            [self.ident, np.where(seen[tracked:], self.next_ident + np.cumsum(seen[tracked:]) - 1, -1)]
        )
        seen_s = np.concatenate([self.seen_s, np.zeros(len(views) - tracked)])
        seen_s[seen] = self.time_s
        kept = np.flatnonzero(seen | ((np.arange(len(views)) < tracked) & (self.time_s - seen_s <= occlusion_s)))
        velocity = np.zeros((len(views), 3))
        correction = (bodies.xyz[:tracked] - self.xyz)[:, torso].mean(1)
        since_s = (self.time_s - self.seen_s)[:, None]
        velocity[:tracked] = self.velocity + _GAIN * correction / np.where(since_s > 0, since_s, np.inf)
        xyz, cov = bodies.xyz.copy(), bodies.cov + np.eye(3) * _LEAST_M**2
        for new in np.flatnonzero(seen[tracked:]) + tracked:
            unknown = ~bodies.known[new]
            xyz[new, unknown] = xyz[new, ~unknown].mean(0) if not unknown.all() else 0
            cov[new, unknown] = np.eye(3) * _ANYWHERE_M**2
        state = replace(
            self,
            next_ident=self.next_ident + int(seen[tracked:].sum()),
            ident=ident[kept],
            xyz=xyz[kept],
            cov=cov[kept],
            velocity=velocity[kept],
            seen_s=seen_s[kept],
        )
        return np.append(ident, -1), state

    def recalibrated(self, rays: BodyRays, group: NDArray[np.int64], bodies: BodyEstimates) -> TrackedBodies:
        """Update each view's calibration error from the distances of its rows to the bodies of the other views."""
        xyz, cov, known = bodies.without[0][:, 0], bodies.without[1][:, 0], bodies.without[2][:, 0]
        off = xyz - rays.origin[:, None]
        depth2 = np.einsum("mjx,mjx->mj", off, rays.direction) ** 2
        use = np.asarray(rays.seen & known & (group >= 0)[:, None] & (depth2 > 0.01), np.bool_)
        depth2 = np.where(use, depth2, 1)
        across = (np.einsum("mjx,mjx->mj", off, off) - depth2) / depth2 / 2
        noise = rays.variance + self.calibration[rays.view, None]
        spread = np.einsum("mjxx->mj", cov) - np.einsum("mjx,mjxy,mjy->mj", rays.direction, cov, rays.direction)
        total = noise + spread / depth2 / 2
        excess = np.where(use, np.clip(across, 0, _CLIP * total) - spread / depth2 / 2 - rays.variance, 0).sum(1)
        views = len(self.calibration)
        count = np.bincount(rays.view, use.sum(1), views)
        mean = np.bincount(rays.view, excess, views) / np.maximum(count, 1)
        rate = np.where(count > 0, max(1 / (_GUESS_WEIGHT + self.frames // LEARN_EVERY), _LEAST_RATE), 0)
        return replace(self, calibration=np.maximum((1 - rate) * self.calibration + rate * mean, 0))

    def state(self) -> State:
        """Return all fields as arrays."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of_state(cls, state: State) -> TrackedBodies:
        """Restore the state from the arrays of ``state``."""
        counts = {name: int(state[name]) for name in ("frames", "left_out", "next_ident")}
        return cls(**{**state, "time_s": float(state["time_s"]), **counts})  # type: ignore[arg-type]

    def as_prior(self, more: int) -> BodyEstimates:
        """Return the tracked bodies as a prior, followed by ``more`` bodies without information."""
        blank = unknown_bodies(more, self.xyz.shape[1])
        xyz, cov = np.concatenate([self.xyz, blank.xyz]), np.concatenate([self.cov, blank.cov])
        known = _known(cov)
        return BodyEstimates(xyz, cov, known, (xyz[:, None], cov[:, None], known[:, None]))
