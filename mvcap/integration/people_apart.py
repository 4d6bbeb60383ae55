"""People of one view who stand in each other's bodies are moved apart, within what is known of their distances.

One view tells where a person is in the picture, hardly how far away. Two people whose bodies of capsules interpenetrate
are moved by a small least-squares step: penetrations against the covariances of the roots, so mostly along the rays.
Which of two is the nearer one may be wrong; both orders are tried, and who hides whom in the picture counts as evidence
for one. The idea of a term for two people is that of Y. Cheng et al. (CVPR 2021), who learn a discriminator; this is
geometry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats
from mvcap.errors import ConfigError
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.skeleton import Skeleton
from mvcap.synthesis.occlusion import body_capsules

_SMALLEST, _LARGEST = 0.5, 1.3
_ROUNDS = 30
_TRUNK = ("shoulder", "hip", "ear", "knee")
_BEHIND_M, _BEHIND_SOFT_M = 0.1, 0.05  # who is hidden is farther by about the radius of a body; its tolerance
_CLEAR_M = 0.5  # distance at which bodies are clear of each other
_LEAST_SCORE = 0.03
_EDGE_M = 0.02
"""Width of the edge of a body's outline, within which a joint counts as partly inside."""
FRONT_ODDS, MOST_ODDS = 0.24, 2.5
"""Log-odds that a person is the nearer one for each covered joint whose score, as a logit, is by one higher than usual
for that person, and what they approach in the end. Fitted to generated takes; ``tools/bench seeds`` checks them."""


@dataclass(frozen=True)
class ApartConfig:
    """Settings of how bodies are kept apart."""

    slack_m: float = 0.06
    """Depth to which bodies of capsules may overlap: people who hug touch, and are soft."""
    soft_m: float = 0.02
    """Penetration beyond it that costs as much as one standard deviation of a root."""

    def __post_init__(self) -> None:
        if not (self.slack_m >= 0 and self.soft_m > 0):
            raise ConfigError("bodies apart need a 'slack_m' of 0 or more and a 'soft_m' above 0")


@dataclass(frozen=True, eq=False)
class ApartPeople:
    """Roots of P people after bodies are apart."""

    root: Floats
    """(P, 3) m in the camera's frame."""
    before_m: float
    """Deepest penetration of two bodies before, beyond the slack; 0 = none."""
    after_m: float
    """The same after."""


def move_apart(
    skeleton: Skeleton, joints: Floats, root: Floats, along_sigma: Floats, across_sigma: Floats,
    front: Floats | None = None, config: ApartConfig | None = None,
) -> ApartPeople:  # fmt: skip
    """Return the roots of the people of one moment, moved as little as keeps their bodies apart.

    joints: (P, J, 3) m about the roots along the camera's axes, NaN where unknown; root: (P, 3) m in the camera's
    frame, NaN for people without one, who stay out; along_sigma, across_sigma: (P,) m. front: (P, P) log-odds that the
    first is nearer than the second (``front_odds``), antisymmetric; none if None. People whose bodies are apart, and in
    the order that the evidence says, stay where they are.
    """
    config = config or ApartConfig()
    people = len(root)
    known = np.isfinite(root).all(-1) & np.isfinite(along_sigma) & np.isfinite(across_sigma)
    if known.sum() < 2:
        return ApartPeople(np.array(root, np.float64), 0.0, 0.0)
    bodies = _Bodies(skeleton, np.where(known[:, None, None], joints, np.nan), config)
    turn = turns_to_rays(np.where(known[:, None], root, [0.0, 0.0, 1.0]))
    sigma = np.stack([across_sigma, across_sigma, along_sigma], -1)
    sigma = np.where(known[:, None], np.maximum(sigma, 1e-4), 1e-4)
    problem = _Problem(bodies, np.where(known[:, None], root, 0.0), turn, sigma)
    odds = np.zeros((people, people)) if front is None else np.asarray(front, np.float64)
    doubted = [pair for pair in _pairs(known) if not problem.undoubted(*pair, odds)]
    if not doubted:
        return ApartPeople(np.array(root, np.float64), 0.0, 0.0)
    shift = problem.solved(np.zeros((people, 3)))
    orders = _Orders(problem.root, np.where(known, along_sigma, 1.0), odds, known)
    cost = problem.cost(shift) + orders.cost(problem.places(shift))
    for one, other in doubted:
        trial, start = problem.exchanged(shift, one, other)
        tried = trial.solved(start)
        price = trial.cost(tried) + orders.cost(trial.places(tried))
        if price < cost - 1e-9:
            problem, shift, cost = trial, tried, price
    out = np.where(known[:, None], problem.places(shift), root)
    return ApartPeople(out, bodies.deepest(problem.root), bodies.deepest(problem.places(shift)))


def front_odds(skeleton: Skeleton, places: Floats, score: Floats) -> Floats:
    """Return log-odds (P, P) that the first person is nearer than the second, from who hides whom in the picture.

    places: (P, J, 3) m in the camera's frame, NaN where unknown; score: (P, J) 0..1 of the 2D estimator, 0 where it
    missed a joint. Where a joint lies on the body of another person in the picture and its score is that of the
    person's other joints, it is seen before the other body; where the score is lower, it is hidden. 0 where two do not
    cover each other. How far away ``places`` are hardly matters, so errors of depth do not.
    """
    people = len(score)
    bounded = np.clip(score, _LEAST_SCORE, 1 - _LEAST_SCORE)
    logit = np.log(bounded / (1 - bounded))
    inside = _inside_bodies(skeleton, places)
    free = np.where((score > 0) & (inside.max(2, initial=0) < 0.1), logit, np.nan)
    usual = np.array([np.nanmedian(row) if np.isfinite(row).any() else 1.0 for row in free])
    away = np.where(np.isfinite(places).all(-1), logit - usual[:, None], 0.0)
    lead = np.einsum("pjq,pj->pq", inside, away)
    odds = MOST_ODDS * np.tanh(FRONT_ODDS * (lead - lead.T) / MOST_ODDS)
    return np.asarray(odds).reshape(people, people)


def _inside_bodies(skeleton: Skeleton, places: Floats) -> Floats:
    """How far (P, J, Q) joints are inside the outline of other people's capsules in the picture, 0..1."""
    ends, radius = body_capsules(skeleton)
    size = np.clip(np.nan_to_num(body_scale(skeleton, places), nan=1.0), _SMALLEST, _LARGEST)
    with np.errstate(invalid="ignore", divide="ignore"):
        flat = np.where(places[..., 2:] > 0.1, places[..., :2] / places[..., 2:], np.nan)
    axes = places[:, ends].mean(-2)  # (Q, S, 2, 3)
    depth = axes[..., 2].mean(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        axes = axes[..., :2] / axes[..., 2:]
    out = np.zeros((*flat.shape[:2], len(places)))
    for other in range(len(places)):
        start, way = axes[other, :, 0], axes[other, :, 1] - axes[other, :, 0]
        off = flat[:, :, None] - start
        along = np.clip((off * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-12), 0, 1)
        away = np.linalg.norm(off - along[..., None] * way, axis=-1) * depth[other]
        within = 1 / (1 + np.exp(np.clip((away - size[other] * radius) / _EDGE_M, -30, 30)))
        out[..., other] = np.nan_to_num(within).max(-1)
        out[other, :, other] = 0
    return out


def body_penetration(skeleton: Skeleton, places: Floats, config: ApartConfig | None = None) -> Floats:
    """Return how deep bodies (P, J, 3) m penetrate each other beyond the slack, (P, P) m, 0 = not."""
    bodies = _Bodies(skeleton, places, config or ApartConfig())
    return bodies.depths(np.zeros((len(places), 3)))


class _Bodies:
    """Capsules of trunk, head and thighs of P people about their roots."""

    def __init__(self, skeleton: Skeleton, joints: Floats, config: ApartConfig) -> None:
        ends, radius = body_capsules(skeleton)
        names = np.array([name.rpartition("_")[2] for name in skeleton.joints])
        kept = [bool(set(names[pair.ravel()]) <= set(_TRUNK)) for pair in ends]
        ends, radius = ends[kept], radius[kept]
        size = np.clip(np.nan_to_num(body_scale(skeleton, joints), nan=1.0), _SMALLEST, _LARGEST)
        self.axes = joints[:, ends].mean(-2)  # (P, S, 2, 3)
        self.radius = size[:, None] * radius
        self.soft, self.slack = config.soft_m, config.slack_m

    def pair(self, root: Floats, one: int, other: int) -> tuple[Floats, Floats]:
        """Penetrations (N,) m, 0 = none, and directions (N, 3) that the first is to move in."""
        a, b = self.axes[one] + root[one], self.axes[other] + root[other]
        near_a, near_b = _nearest_points(a[:, None], b[None])
        way = near_a - near_b
        far = np.linalg.norm(way, axis=-1)
        deep = self.radius[one][:, None] + self.radius[other][None] - self.slack - far
        some = np.isfinite(far) & (deep > 0)
        # Axes that meet are moved apart along the line between their roots.
        straight = (root[one] - root[other]) / max(float(np.linalg.norm(root[one] - root[other])), 1e-9)
        way = np.where(far[..., None] > 1e-6, way / np.maximum(far, 1e-9)[..., None], straight)
        return deep[some], way[some]

    def depths(self, root: Floats) -> Floats:
        """Deepest penetration (P, P) m of every two bodies."""
        out = np.zeros((len(root), len(root)))
        for one in range(len(root)):
            for other in range(one):
                deep, _ = self.pair(root, one, other)
                out[one, other] = out[other, one] = deep.max(initial=0.0)
        return out

    def deepest(self, root: Floats) -> float:
        """Deepest penetration of all, m."""
        return float(self.depths(root).max(initial=0.0))


class _Problem:
    """Least squares over shifts (P, 3) of the roots, in standard deviations along the axes of their rays."""

    def __init__(self, bodies: _Bodies, root: Floats, turn: Floats, sigma: Floats,
                 order: tuple[tuple[int, int], ...] = ()) -> None:  # fmt: skip
        self.bodies, self.root, self.turn, self.sigma = bodies, root, turn, sigma
        self.order = order  # pairs whose first is to be the nearer one

    def places(self, shift: Floats) -> Floats:
        """Roots (P, 3) m after the shift."""
        return np.asarray(self.root + (self.turn @ (self.sigma * shift)[..., None])[..., 0])

    def cost(self, shift: Floats) -> float:
        """Half the sum of squares of shifts, penetrations and wrong orders."""
        places = self.places(shift)
        total = float((shift**2).sum()) + sum(self._wrong(places, *pair) ** 2 for pair in self.order)
        for one in range(len(places)):
            for other in range(one):
                total += float(((self.bodies.pair(places, one, other)[0] / self.bodies.soft) ** 2).sum())
        return 0.5 * total

    def _wrong(self, places: Floats, nearer: int, farther: int) -> float:
        """How far the first is not yet nearer by a body's radius, over its tolerance; 0 if it is."""
        gap = float(np.linalg.norm(places[farther]) - np.linalg.norm(places[nearer]))
        return max(0.0, (_BEHIND_M - gap) / _BEHIND_SOFT_M)

    def solved(self, shift: Floats) -> Floats:
        """Shift with the least cost near this one: Levenberg and Marquardt's method."""
        size, damping = shift.size, 1e-2
        cost = self.cost(shift)
        for _ in range(_ROUNDS):
            normal, gradient = self._normal(shift)
            step = -np.linalg.solve(normal + damping * np.eye(size), gradient).reshape(shift.shape)
            price = self.cost(shift + step)
            if price < cost:
                done = cost - price < 1e-6 * (1 + cost)
                shift, cost, damping = shift + step, price, max(damping / 5, 1e-6)
                if done:
                    break
            else:
                damping *= 5
                if damping > 1e6:
                    break
        return shift

    def _normal(self, shift: Floats) -> tuple[Floats, Floats]:
        places, size = self.places(shift), shift.size
        normal, gradient = np.eye(size), shift.ravel().copy()
        for one in range(len(places)):
            for other in range(one):
                deep, way = self.bodies.pair(places, one, other)
                if not len(deep):
                    continue
                row = np.zeros((len(deep), size))
                for person, sign in ((one, -1.0), (other, 1.0)):
                    part = sign * (way @ self.turn[person]) * self.sigma[person]
                    row[:, 3 * person : 3 * person + 3] = part / self.bodies.soft
                normal += row.T @ row
                gradient += row.T @ (deep / self.bodies.soft)
        for nearer, farther in self.order:
            if (wrong := self._wrong(places, nearer, farther)) > 0:
                line = np.zeros(size)
                for person, sign in ((nearer, 1.0), (farther, -1.0)):
                    ray = places[person] / np.linalg.norm(places[person])
                    line[3 * person : 3 * person + 3] = sign * (ray @ self.turn[person]) * self.sigma[person]
                line /= _BEHIND_SOFT_M
                normal += np.outer(line, line)
                gradient += line * wrong
        return normal, gradient

    def undoubted(self, one: int, other: int, odds: Floats) -> bool:
        """Whether the other order need not be tried: bodies apart, and no evidence against their order."""
        gap = np.linalg.norm(self.root[other]) - np.linalg.norm(self.root[one])
        against = odds[one, other] * gap < 0
        return bool(not against and not len(self.bodies.pair(self.root, one, other)[0]))

    def exchanged(self, shift: Floats, one: int, other: int) -> tuple[_Problem, Floats]:
        """The problem in which these two are to be in the other order than after a shift, and a start on that side."""
        far = np.linalg.norm(self.places(shift), axis=-1)
        nearer, farther = (other, one) if far[one] < far[other] else (one, other)
        kept = tuple(each for each in self.order if set(each) != {one, other})
        start, wide = (
            shift.copy(),
            self.sigma[[nearer, farther], 2] ** 2 / (self.sigma[[nearer, farther], 2] ** 2).sum(),
        )
        way = far[nearer] - far[farther] + _CLEAR_M
        start[nearer, 2] -= way * wide[0] / self.sigma[nearer, 2]
        start[farther, 2] += way * wide[1] / self.sigma[farther, 2]
        return _Problem(self.bodies, self.root, self.turn, self.sigma, (*kept, (nearer, farther))), start


class _Orders:
    """Costs of who is nearer: evidence from the picture, and how likely distances alone make it."""

    def __init__(self, root: Floats, along_sigma: Floats, odds: Floats, known: Bools) -> None:
        far = np.linalg.norm(root, axis=-1)
        self.odds, self.known = odds, known
        wide = np.sqrt(along_sigma[:, None] ** 2 + along_sigma**2)
        self.ahead = np.clip((far - far[:, None]) / np.maximum(wide, 1e-6), -8, 8)

    def cost(self, places: Floats) -> float:
        """Negative log likelihood of the order of all pairs at these places (P, 3) m.

        The squared shifts that an exchange takes count among the least squares, and are left out here: what remains is
        that an order stands for all distances in it, of which the least squares take the best.
        """
        far = np.linalg.norm(places, axis=-1)
        total = 0.0
        for one, other in _pairs(self.known):
            sign = 1.0 if far[one] <= far[other] else -1.0
            ahead = sign * self.ahead[one, other]
            total += float(np.logaddexp(0, -sign * self.odds[one, other]))
            total -= math.log(0.5 * math.erfc(-ahead / math.sqrt(2))) + 0.5 * min(ahead, 0.0) ** 2
        return total


def _pairs(known: Bools) -> list[tuple[int, int]]:
    """All pairs of known people, each once."""
    one, other = np.nonzero(np.triu(known[:, None] & known, 1))
    return list(zip(one.tolist(), other.tolist(), strict=True))


def _nearest_points(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Nearest points (..., 3) of segments a and b (..., 2, 3); C. Ericson, "Real-Time Collision Detection", 5.1.9."""
    start, way = a[..., 0, :], a[..., 1, :] - a[..., 0, :]
    begin, run = b[..., 0, :], b[..., 1, :] - b[..., 0, :]
    off = start - begin
    aa, bb, ab = (way * way).sum(-1), (run * run).sum(-1), (way * run).sum(-1)
    ao, bo = (way * off).sum(-1), (run * off).sum(-1)
    scale = aa * bb - ab**2
    with np.errstate(invalid="ignore", divide="ignore"):
        s = np.where(scale > 1e-9, np.clip((ab * bo - ao * bb) / np.maximum(scale, 1e-9), 0, 1), 0.0)
        t = np.where(bb > 1e-9, (ab * s + bo) / np.maximum(bb, 1e-9), 0.0)
        t = np.clip(t, 0, 1)
        s = np.where(aa > 1e-9, np.clip((ab * t - ao) / np.maximum(aa, 1e-9), 0, 1), 0.0)
    return start + s[..., None] * way, begin + t[..., None] * run
