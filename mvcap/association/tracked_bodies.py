"""Bodies in the world that are followed from frame to frame: where their joints are, how surely, where they will be.

Every joint has a place and a full covariance, so that a body seen by a single view is still known across that view's
rays and less and less along them. New sights enter as rays, in information form, each joint's prediction being one
more measurement; wrong rays lose their weight by the kernel of Geman and McClure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.association.ray_affinity import BodyRays
from mvcap.structures.contracts import State

LIMB_SPEED_MPS = 2.0
"""How fast a joint moves against the body that it belongs to, one standard deviation."""
ACCELERATION_MPS2 = 6.0
"""How strongly a body accelerates, one standard deviation."""
_GAIN = 0.3  # share of a torso's surprise that is taken for a change of its velocity
_ANYWHERE_M = 2.0  # a joint of a body of which nothing is known but where the body is
_NOWHERE_M = 100.0  # a joint of which nothing at all is known
_KNOWN_M = 0.6  # a joint less well known than this does not tell who is who
_LEAST_M = 0.003
_SOFTNESS2 = 4.0**2  # kernel scale squared, standard deviations
_ROUNDS = 3
_SURPRISE = 4.0  # a squared distance beyond so many times the expected is an outlier
LEARN_EVERY = 4  # frames, between looks at what the calibration is worth
_GUESS = 4  # looks that the first guess counts for
_LEAST_RATE = 0.05


@dataclass(frozen=True)
class BodyEstimates:
    """Bodies of G groups of rows, from their rays and what was predicted."""

    xyz: Floats
    """(G, J, 3) m"""
    cov: Floats
    """(G, J, 3, 3) m^2"""
    known: NDArray[np.bool_]
    """(G, J)"""
    without: tuple[Floats, Floats, NDArray[np.bool_]]
    """The same for each row's own body (M, 1, J, ...) as it would be without the row."""

    @property
    def variance(self) -> Floats:
        """(G, J) m^2 of each coordinate, on average."""
        return np.asarray(np.trace(self.cov, axis1=-2, axis2=-1) / 3)


def unknown_bodies(count: int, joints: int) -> BodyEstimates:
    """Bodies (G) of which nothing is known."""
    xyz, cov = np.zeros((count, joints, 3)), np.tile(np.eye(3) * _NOWHERE_M**2, (count, joints, 1, 1))
    known = np.zeros((count, joints), np.bool_)
    return BodyEstimates(xyz, cov, known, (xyz[:, None], cov[:, None], known[:, None]))


def estimate_bodies(
    rays: BodyRays, group: NDArray[np.int64], prior: BodyEstimates, without: bool = True
) -> BodyEstimates:
    """Bodies of the groups (M,), 0..G-1 or -1, that ``prior`` (G) says something or nothing about.

    ``without``: also make each row's own body as it would be without the row.
    """
    member = np.flatnonzero(group >= 0)
    mine, rays = group[member], rays[member]
    pick = (np.arange(len(prior.xyz))[:, None] == mine).astype(np.float64)
    flat = np.eye(3) - rays.direction[..., :, None] * rays.direction[..., None, :]
    held: Floats = np.asarray(np.linalg.inv(prior.cov), np.float64)
    start = np.einsum("gjxy,gjy->gjx", held, prior.xyz)
    weight = np.where(rays.seen, 1.0, 0.0) / np.where(rays.seen, rays.variance, 1)
    known = bool(prior.known.any(1).all())
    x = prior.xyz if known else _solved(pick, held, start, flat, weight / 16, rays.origin)[0]
    for _ in range(_ROUNDS - known):
        off = x[mine] - rays.origin[:, None]
        depth = np.einsum("mjx,mjx->mj", off, rays.direction)
        reach2 = np.maximum(depth, 0.1) ** 2
        square = (np.einsum("mjx,mjx->mj", off, off) - depth**2) / reach2 * weight
        used = weight / reach2 / (1 + np.maximum(square, 0) / _SOFTNESS2) ** 2
        x, information, right = _solved(pick, held, start, flat, used, rays.origin)
    cov: Floats = np.asarray(np.linalg.inv(information), np.float64)
    alone = np.zeros((len(group), 1, *x.shape[1:])), np.zeros((len(group), 1, *cov.shape[1:]))
    known_alone = np.zeros((len(group), 1, x.shape[1]), np.bool_)
    if without:
        own = used[..., None, None] * flat
        cov_alone = np.linalg.inv(information[mine] - own)
        right_alone = right[mine] - np.einsum("mjxy,my->mjx", own, rays.origin)
        alone[0][member, 0], alone[1][member, 0] = np.einsum("mjxy,mjy->mjx", cov_alone, right_alone), cov_alone
        known_alone[member, 0] = _known(cov_alone)
    return BodyEstimates(x, cov, _known(cov), (*alone, known_alone))


def _known(cov: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.trace(cov, axis1=-2, axis2=-1) < 2 * _KNOWN_M**2)


def _solved(
    pick: Floats, held: Floats, start: Floats, flat: Floats, weight: Floats, origin: Floats
) -> tuple[Floats, Floats, Floats]:
    """Joints (G, J, 3), information and right-hand sides of rays with weights (M, J) 1/m^2."""
    joints = weight.shape[1]
    each = (weight[..., None, None] * flat).reshape(len(weight), joints, 3, 3)
    information = held + (pick @ each.reshape(len(weight), 9 * joints)).reshape(-1, joints, 3, 3)
    aimed = np.einsum("mjxy,my->mjx", each, origin)
    right = start + (pick @ aimed.reshape(len(weight), 3 * joints)).reshape(-1, joints, 3)
    return np.linalg.solve(information, right[..., None])[..., 0], information, right


@dataclass(frozen=True)
class TrackedBodies:
    """K people followed at the moment."""

    time_s: float
    frames: int
    """Frames seen so far."""
    left_out: int
    """Rows that were not looked at so far because there were too many."""
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
    """(K,) time of the last sight."""
    calibration: Floats
    """(C,) rad^2 by which each view's rays are off beyond their noise: what the calibration is worth."""

    @classmethod
    def nobody(cls, joints: int, calibration: Floats) -> TrackedBodies:
        """Return what is followed before the first frame."""
        xyz, cov = np.zeros((0, joints, 3)), np.zeros((0, joints, 3, 3))
        return cls(0.0, 0, 0, 0, np.zeros(0, np.int64), xyz, cov, np.zeros((0, 3)), np.zeros(0), calibration)

    def __len__(self) -> int:
        return len(self.ident)

    def predicted(self, time_s: float, torso: NDArray[np.int64]) -> TrackedBodies:
        """Everybody as expected at a later time; joints move with the torso and, less surely, on their own."""
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
        """Whom (K,) a single view has seen for so long that it is open how far from it they are."""
        spread = np.trace(self.cov[:, torso], axis1=-2, axis2=-1).mean(1)
        return np.asarray(spread > _KNOWN_M**2)

    def without(self, people: NDArray[np.int64]) -> TrackedBodies:
        """Return those who are followed but for some, by their place."""
        rest = np.delete(np.arange(len(self)), people)
        names = ("ident", "xyz", "cov", "velocity", "seen_s")
        return replace(self, **{name: getattr(self, name)[rest] for name in names})

    def leaving(self, rows: int) -> TrackedBodies:
        """Return the same with so many more rows left out."""
        return replace(self, left_out=self.left_out + rows) if rows else self

    def updated(
        self, views: NDArray[np.int64], bodies: BodyEstimates, torso: NDArray[np.int64], occlusion_s: float
    ) -> tuple[NDArray[np.int64], TrackedBodies]:
        """Number (G + 1,) of the person that each body is, -1 = nobody and last, and the people followed from now on.

        The bodies are those of the people followed, then new ones; ``views`` (G,) is the number that see each.
        """
        old, here = len(self), views > 0
        ident = np.concatenate([self.ident, np.where(here[old:], self.next_ident + np.cumsum(here[old:]) - 1, -1)])
        seen_s = np.concatenate([self.seen_s, np.zeros(len(views) - old)])
        seen_s[here] = self.time_s
        kept = np.flatnonzero(here | ((np.arange(len(views)) < old) & (self.time_s - seen_s <= occlusion_s)))
        velocity = np.zeros((len(views), 3))
        moved = (bodies.xyz[:old] - self.xyz)[:, torso].mean(1)
        since_s = (self.time_s - self.seen_s)[:, None]
        velocity[:old] = self.velocity + _GAIN * moved / np.where(since_s > 0, since_s, np.inf)
        xyz, cov = bodies.xyz.copy(), bodies.cov + np.eye(3) * _LEAST_M**2
        for new in np.flatnonzero(here[old:]) + old:
            lost = ~bodies.known[new]
            xyz[new, lost] = xyz[new, ~lost].mean(0) if not lost.all() else 0
            cov[new, lost] = np.eye(3) * _ANYWHERE_M**2
        followed = replace(
            self,
            next_ident=self.next_ident + int(here[old:].sum()),
            ident=ident[kept],
            xyz=xyz[kept],
            cov=cov[kept],
            velocity=velocity[kept],
            seen_s=seen_s[kept],
        )
        return np.append(ident, -1), followed

    def recalibrated(self, rays: BodyRays, group: NDArray[np.int64], bodies: BodyEstimates) -> TrackedBodies:
        """Learn from rows' distances from the bodies of the other views what each view's calibration is worth."""
        xyz, cov, known = bodies.without[0][:, 0], bodies.without[1][:, 0], bodies.without[2][:, 0]
        off = xyz - rays.origin[:, None]
        depth2 = np.einsum("mjx,mjx->mj", off, rays.direction) ** 2
        use = np.asarray(rays.seen & known & (group >= 0)[:, None] & (depth2 > 0.01), np.bool_)
        depth2 = np.where(use, depth2, 1)
        across = (np.einsum("mjx,mjx->mj", off, off) - depth2) / depth2 / 2
        noise = rays.variance + self.calibration[rays.view, None]
        spread = np.einsum("mjxx->mj", cov) - np.einsum("mjx,mjxy,mjy->mj", rays.direction, cov, rays.direction)
        total = noise + spread / depth2 / 2
        excess = np.where(use, np.clip(across, 0, _SURPRISE * total) - spread / depth2 / 2 - rays.variance, 0).sum(1)
        views = len(self.calibration)
        count = np.bincount(rays.view, use.sum(1), views)
        mean = np.bincount(rays.view, excess, views) / np.maximum(count, 1)
        rate = np.where(count > 0, max(1 / (_GUESS + self.frames // LEARN_EVERY), _LEAST_RATE), 0)
        return replace(self, calibration=np.maximum((1 - rate) * self.calibration + rate * mean, 0))

    def state(self) -> State:
        """Return everything as arrays."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of_state(cls, state: State) -> TrackedBodies:
        """Take everything from arrays."""
        counts = {name: int(state[name]) for name in ("frames", "left_out", "next_ident")}
        return cls(**{**state, "time_s": float(state["time_s"]), **counts})  # type: ignore[arg-type]

    def as_prior(self, more: int) -> BodyEstimates:
        """What is expected of everybody, and of ``more`` bodies of which nothing is known."""
        blank = unknown_bodies(more, self.xyz.shape[1])
        xyz, cov = np.concatenate([self.xyz, blank.xyz]), np.concatenate([self.cov, blank.cov])
        known = _known(cov)
        return BodyEstimates(xyz, cov, known, (xyz[:, None], cov[:, None], known[:, None]))
