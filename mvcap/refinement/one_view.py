"""Smoothing of a person who was lifted from one view, over the frames of a window: first distances, then bodies.

Both are least-squares problems whose normal equations are banded with time as the outer order. The residuals, each over
its standard deviation, are for the distance of the root: what the root depth says, its acceleration, and that feet
which stand move neither to nor fro. For the joints at these distances, in the camera's frame: where each joint was
lifted about the root, in a body of the size that this distance gives; the distance of a detected joint from its ray;
the acceleration of each, in units of its acceleration scale at this moment (``mvcap.refinement.acceleration``); the
length of limbs, which is constant; and the motion of feet that stand. In one problem with free distances everybody
would come nearer, where all motion is smaller. A foot stands as far as it hardly moves and is the lower one along
gravity (a Geman-McClure kernel on its speed). Limbs and kernel take a few Gauss-Newton steps. Errors of a detector and
of a lifter last: for the covariance, though not for the positions, their variance is multiplied by the number of frames
that they last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.errors import ConfigError
from mvcap.refinement.acceleration import accelerations
from mvcap.refinement.block_banded import (
    add_blocks,
    add_first_differences,
    diagonal_of_inverse,
    smoothness_band,
    solve_banded,
)
from mvcap.structures.lifted_person import LiftedPerson
from mvcap.structures.skeleton import Skeleton

STATURE_SIGMA = 0.025
"""Standard deviation of what limbs say of a stature that is known, as a share: bodies of one stature differ in it."""
_SHORTEST_M, _TALLEST_M = 0.5, 2.6
_ROUNDS = 3
_GAP_S = 1.0  # a longer time without a detection parts the window
_FILL_M = 0.12  # standard deviation that a gap may add, m
_PIXEL_LASTS_S, _LIFT_LASTS_S, _ROOT_LASTS_S = 0.3, 1.0, 2.0  # times that errors last, for covariances
_FIXED_M = 0.01  # standard deviation of the distance while joints are solved for
_SWAY_S = 0.5  # distances are averaged over this time before and after to tell how joints accelerate
_LOOSE = 10.0  # standard deviation of the root across its ray here, over that of the root depth: the rays tell it
_LEAST_RAD = 2e-4  # least standard deviation of a ray
_LIMB_SIGMA = 0.08  # of a limb's length, as a share: joints of detectors are not exactly at its ends
_FOOT_MPS, _FOOT_SCALE_MPS, _FOOT_LOW_M = (
    0.03,
    0.25,
    0.08,
)  # a standing foot's speed, kernel, height above the lower one
_FEET = ("heel", "toe")
_BEYOND_M = 0.05  # standard deviation of a lifted joint for which there is no covariance


@dataclass(frozen=True)
class OneViewConfig:
    """Settings of takes of one view, whose scale follows from an assumed stature."""

    heights_m: Mapping[str, float] = field(default_factory=dict)
    """Stature of persons, m, by their number in the report: {1: 1.78}. It fixes the size of these and their distance;
    the others have that of an average adult."""

    def __post_init__(self) -> None:
        given = self.heights_m
        if not isinstance(given, Mapping) or not all(str(person).isdecimal() for person in given):
            raise ConfigError(f"config key 'one_view.heights_m' maps numbers of persons to metres, not {given!r}")
        kept: dict[str, float] = {}
        for person, height in given.items():
            number = isinstance(height, int | float) and not isinstance(height, bool)
            if not number or not _SHORTEST_M <= height <= _TALLEST_M:
                raise ConfigError(
                    f"config key 'one_view.heights_m': person {person} is {height!r} m tall; give metres from "
                    f"{_SHORTEST_M} to {_TALLEST_M}"
                )
            kept[str(int(person))] = float(height)
        object.__setattr__(self, "heights_m", kept)


@dataclass(frozen=True)
class SmoothedPerson:
    """A person in every frame that is known well enough, in the camera's frame."""

    frame: Ints
    """(T,)"""
    xyz: Floats
    """(T, J, 3) m, NaN where not known."""
    covariance: Floats
    """(T, J, 3, 3) m^2, the error of the scale included."""


def smoothed(lifted: LiftedPerson, rate_hz: float, limb_m: Floats, up: Floats | None) -> SmoothedPerson:
    """Return the frames of a person from the first to the last, as smooth as motion is.

    limb_m (B',) m: the person's lengths of ``skeleton.limbs``, NaN where unknown. up (3,): unit vector in the camera's
    frame, None if unknown: feet then may slide. Frames in which the person was not detected are filled in as far as the
    covariance allows.
    """
    known = np.isfinite(lifted.root.root).all(-1) & np.isfinite(lifted.body.joints).all(-1).any(-1)
    held = np.flatnonzero(known)
    joints = len(lifted.track.skeleton)
    none = SmoothedPerson(np.zeros(0, np.int64), np.zeros((0, joints, 3)), np.zeros((0, joints, 3, 3)))
    if not len(held):
        return none
    cuts = np.flatnonzero(np.diff(lifted.frame[held]) > max(1.0, _GAP_S * rate_hz)) + 1
    parts = [_stretch(lifted, rows, rate_hz, limb_m, up) for rows in np.split(held, cuts)]
    return SmoothedPerson(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("frame", "xyz", "covariance"))
    )


def _stretch(lifted: LiftedPerson, rows: Ints, rate_hz: float, limb_m: Floats, up: Floats | None) -> SmoothedPerson:
    """Smooth some rows of a person; frames between them that have none are filled."""
    problem = _Problem.of(lifted, rows, rate_hz, limb_m, up)
    x = problem.solved()
    covariance = _Problem.of(lifted, rows, rate_hz, limb_m, up, lasting=True).covariance(x)
    frame = int(lifted.frame[rows[0]]) + np.arange(len(x))
    body = x[:, 1:]
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance)[..., -1], 0))
    known = problem.lifted
    usual = np.array([np.median(spread[known[:, j], j]) if known[:, j].any() else np.inf for j in range(body.shape[1])])
    near = problem.looked[:, None] & known.any(0) & _within(known)
    kept = known | ((near | ~problem.looked[:, None]) & (spread < np.hypot(usual, _FILL_M)))
    covariance = covariance + lifted.scale_covariance(body, x[:, 0])
    body, covariance = np.where(kept[..., None], body, np.nan), np.where(kept[..., None, None], covariance, np.nan)
    return SmoothedPerson(frame, body, covariance)


def _within(known: Bools) -> Bools:
    """Frames (T, J) from the first to the last in which each joint is known."""
    before = np.maximum.accumulate(known, axis=0)
    return np.asarray(before & np.maximum.accumulate(known[::-1], axis=0)[::-1])


@dataclass(frozen=True, eq=False)
class _Problem:
    """A window of T frames, all consecutive."""

    skeleton: Skeleton
    rate_hz: float
    lasts: float
    """Frames that errors of lifted joints last."""
    looked: Bools
    """(T,) frames with a detection."""
    lifted: Bools
    """(T, J)"""
    start: Floats
    """(T, 1 + J, 3) m, the root and the joints."""
    blocks: Floats
    """(T, n, n) and ``right`` (T, n): normal equations of what is linear within a frame; n = 3 (1 + J)."""
    right: Floats
    smooth: Floats
    """Band of accelerations."""
    root_stiffness: Floats
    """(T,) weight of the root's."""
    measured: Floats
    """(T,) m, distance of the root as it was said, and ``certain`` (T,) 1/m^2 its information."""
    certain: Floats
    limb_m: Floats
    feet: Ints
    up: Floats | None

    @classmethod
    def of(
        cls, person: LiftedPerson, rows: Ints, rate_hz: float, limb_m: Floats, up: Floats | None, lasting: bool = False
    ) -> _Problem:
        """lasting: whether errors are taken to last, as for covariances; for positions each frame counts for itself."""
        frame = person.frame[rows] - person.frame[rows[0]]
        frames, kind = int(frame[-1]) + 1, person.track.skeleton

        def dense(values: Floats) -> Floats:
            out = np.full((frames, *values.shape[1:]), np.nan)
            out[frame] = values[rows]
            return out

        root, offset = dense(person.root.root), dense(person.body.joints)
        looked = np.zeros(frames, np.bool_)
        looked[frame] = True
        rays, noise = dense(person.track.rays()), dense(person.track.noise_rad())
        lifted: Bools = np.asarray(np.isfinite(offset).all(-1))
        seen: Bools = lifted & np.isfinite(rays).all(-1) & (noise > 0)
        offset_cov = dense(person.body.covariance)
        unknown = ~np.isfinite(offset_cov).all((-1, -2))
        offset_cov[unknown] = _BEYOND_M**2 * np.eye(3)
        size = _size_on_rays(root, offset, rays, seen)
        offset, offset_cov, limb_m = size * offset, size**2 * offset_cov, size * limb_m
        start = _start(root, offset, looked)
        pixel, lift, far = (1 + 2 * lasting * s * rate_hz for s in (_PIXEL_LASTS_S, _LIFT_LASTS_S, _ROOT_LASTS_S))
        terms = _Terms(
            root, dense(person.root.across_sigma), offset, offset_cov, rays,
            np.maximum(noise, _LEAST_RAD), seen, lifted, np.array([pixel, lift]),
        )  # fmt: skip
        blocks, right = terms.equations(start)
        feet = [at for at, name in enumerate(kind.joints) if set(_FEET) & set(name.split("_"))]
        feet = feet or [at for at, name in enumerate(kind.joints) if "ankle" in name.split("_")]
        stiffness = _stiffness(kind, start, seen, terms.rays, terms.noise, rate_hz)
        along = dense(person.root.along_sigma)
        certain = np.where(along > 0, 1 / np.maximum(along, 1e-3) ** 2, 0) / far
        return cls(
            kind, rate_hz, lift, looked, lifted, start, blocks, right, smoothness_band(stiffness), stiffness[:, 0],
            np.linalg.norm(start[:, 0], axis=-1), certain, limb_m, np.array(feet, np.int64), up,
        )  # fmt: skip

    def solved(self) -> Floats:
        """Root and joints (T, 1 + J, 3) m."""
        x, ray = self.start, _unit(self.start[:, 0])
        for round_ in range(_ROUNDS):
            distance, _ = self._distances(x, standing=round_ > 0)
            band, right = self._linear(x, distance, ray)
            x = solve_banded(band, right).reshape(x.shape)
        return x

    def covariance(self, x: Floats) -> Floats:
        """Covariances (T, J, 3, 3) m^2 of the joints at positions x, without the scale."""
        distance, band = self._distances(x, standing=True)
        variance = diagonal_of_inverse(band, 1)[:, :, 0]
        size, joint = 3 * x.shape[1], np.arange(1, x.shape[1])
        inverse = diagonal_of_inverse(self._linear(x, distance, _unit(self.start[:, 0]))[0], size)
        inverse = inverse.reshape(len(x), x.shape[1], 3, x.shape[1], 3)[:, joint, :, joint].transpose(1, 0, 2, 3)
        along = _unit(x[:, 1:])
        return np.asarray(inverse + variance[..., None, None] * along[..., :, None] * along[..., None, :])

    def _distances(self, x: Floats, standing: bool) -> tuple[Floats, Floats]:
        """Distance (T,) m of the root, and the band of its normal equations."""
        band = smoothness_band(self.root_stiffness[:, None])
        certain = np.where(self.looked, self.certain, 0)
        right = (certain * self.measured)[:, None]
        if standing and self.up is not None and len(x) > 1:
            weight = self._standing(x)[:-1]
            ray = _unit(x[:, 0])
            fro = np.einsum("tfa,ta->tf", np.diff(x[:, self.feet + 1], axis=0), _unit(ray[1:] + ray[:-1]))
            wanted = np.diff(np.linalg.norm(x[:, 0], axis=-1))[:, None] - fro
            total = np.zeros((len(x), 1))
            total[:-1, 0] = weight.sum(1)
            add_first_differences(band, total)
            right[1:, 0] += (weight * wanted).sum(1)
            right[:-1, 0] -= (weight * wanted).sum(1)
        band = add_blocks(band, certain[:, None, None])
        return solve_banded(band.copy(), right)[:, 0], band

    def _linear(self, x: Floats, distance: Floats, ray: Floats) -> tuple[Floats, Floats]:
        """Lower band and right-hand sides (T, n) of the joints' normal equations at positions x."""
        blocks, right = self.blocks.copy(), self.right.copy()
        blocks[:, :3, :3] += ray[:, :, None] * ray[:, None] / _FIXED_M**2
        right[:, :3] += distance[:, None] * ray / _FIXED_M**2
        self._add_limbs(x, blocks, right)
        band = self.smooth.copy()
        if self.up is not None and len(x) > 1:
            weight = np.zeros(x.shape)
            weight[:, self.feet + 1] = self._standing(x)[..., None]
            add_first_differences(band, weight.reshape(len(x), -1))
        return add_blocks(band, blocks), right

    def _add_limbs(self, x: Floats, blocks: Floats, right: Floats) -> None:
        """Add the length of limbs, which tells how far one end is behind the other.

        Only that: how large a limb of known length looks would tell the distance, too, but it has been told already.
        """
        for (a, b), length in zip((self.skeleton.limbs + 1).tolist(), self.limb_m.tolist(), strict=True):
            if not np.isfinite(length) or length <= 0:
                continue
            apart, middle = x[:, b] - x[:, a], x[:, a] + x[:, b]
            ray = middle / np.maximum(np.linalg.norm(middle, axis=-1, keepdims=True), 1e-6)
            behind, now = (apart * ray).sum(-1), np.maximum(np.linalg.norm(apart, axis=-1), 1e-3)
            slope, used = behind / now, self.lifted[:, a - 1] & self.lifted[:, b - 1]
            certain = used / ((_LIMB_SIGMA * length) ** 2 * self.lasts)
            weight = (certain * slope**2)[:, None, None] * ray[:, :, None] * ray[:, None]
            pull = (certain * slope * (slope * behind + length - now))[:, None] * ray
            rows, columns = slice(3 * a, 3 * a + 3), slice(3 * b, 3 * b + 3)
            blocks[:, rows, rows] += weight
            blocks[:, columns, columns] += weight
            blocks[:, rows, columns] -= weight
            blocks[:, columns, rows] -= weight
            right[:, columns] += pull
            right[:, rows] -= pull

    def _standing(self, x: Floats) -> Floats:
        """Weights (T, F) of the motion of each of the feet's joints to the next frame; that of the last is 0."""
        out = np.zeros((len(x), len(self.feet)))
        if not len(self.feet) or self.up is None:
            return out
        height = x[:, self.feet + 1] @ self.up
        speed = np.linalg.norm(np.diff(x[:, self.feet + 1], axis=0), axis=-1) * self.rate_hz
        above = height - np.where(self.lifted[:, self.feet], height, np.inf).min(1, keepdims=True)
        low = np.where(self.lifted[:, self.feet], np.exp(-0.5 * (above / _FOOT_LOW_M) ** 2), 0.0)
        stands = low[1:] * low[:-1] / (1 + (speed / _FOOT_SCALE_MPS) ** 2) ** 2
        # A foot that stands for the time that errors last says once that it does not move.
        out[:-1] = stands * (self.rate_hz / _FOOT_MPS) ** 2 / self.lasts
        return out


@dataclass(frozen=True, eq=False)
class _Terms:
    """What is measured in each frame; NaN where nothing is."""

    root: Floats
    across: Floats
    offset: Floats
    offset_cov: Floats
    rays: Floats
    noise: Floats
    seen: Bools
    lifted: Bools
    lasting: Floats
    """Frames that errors of pixels and of lifted joints last."""

    def equations(self, start: Floats) -> tuple[Floats, Floats]:
        """Normal equations (T, n, n) and (T, n), at distances of ``start``."""
        frames, points, _ = start.shape
        blocks = np.zeros((frames, points, 3, points, 3))
        right = np.zeros((frames, points, 3))
        blocks[:, 0, :, 0] += self._root()
        weight = self._offsets()
        pull = np.einsum("tjab,tjb->tja", weight, np.nan_to_num(self.offset))
        joint = np.arange(1, points)
        to_joint = self._rays(start[:, 1:]) + weight
        blocks[:, joint, :, joint] += to_joint.transpose(1, 0, 2, 3)
        blocks[:, joint, :, 0] -= weight.transpose(1, 0, 2, 3)
        blocks[:, 0, :, joint] -= weight.transpose(1, 0, 2, 3)
        blocks[:, 0, :, 0] += weight.sum(1)
        right[:, 1:] += pull
        right[:, 0] -= pull.sum(1)
        return blocks.reshape(frames, 3 * points, 3 * points), right.reshape(frames, 3 * points)

    def _root(self) -> Floats:
        """Information (T, 3, 3) 1/m^2 of the root across its ray."""
        known = np.isfinite(self.root).all(-1) & (self.across > 0)
        unit = _unit(np.where(known[:, None], self.root, 1.0))
        across = np.where(known, self.across, np.inf)[:, None, None]
        return np.asarray((np.eye(3) - unit[:, :, None] * unit[:, None]) / (_LOOSE * across) ** 2)

    def _offsets(self) -> Floats:
        """Information (T, J, 3, 3) 1/m^2 of lifted joints about the root."""
        weight = np.linalg.inv(self.offset_cov) / self.lasting[1]
        return np.asarray(np.where(self.lifted[..., None, None], weight, 0))

    def _rays(self, place: Floats) -> Floats:
        """Information (T, J, 3, 3) 1/m^2 of the rays of detected joints, across them."""
        ray = np.where(self.seen[..., None], np.nan_to_num(self.rays), 0)
        sigma = np.linalg.norm(place, axis=-1) * np.where(self.seen, self.noise, 1.0)
        across = np.eye(3) - ray[..., :, None] * ray[..., None, :]
        weight = across / np.maximum(sigma, 1e-4)[..., None, None] ** 2
        return np.asarray(np.where(self.seen[..., None, None], weight, 0) / self.lasting[0])


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _size_on_rays(root: Floats, offset: Floats, rays: Floats, seen: Bools) -> float:
    """Size of the body that has its root at these distances and its joints on their rays, over that of the lifted one.

    Median over frames of the least-squares factor on what of the offsets is across the root's ray. Where the distance
    says another size than the lifter, the body has that size in all directions: else it would be flat or deep.
    """
    unit = _unit(np.nan_to_num(root))[:, None]
    ray = np.where(seen[..., None], np.nan_to_num(rays), unit)
    depth = np.where(seen, (np.nan_to_num(offset + root[:, None]) * unit).sum(-1), 0)
    place = ray * (depth / np.maximum((ray * unit).sum(-1), 0.1))[..., None]
    across = np.where(seen[..., None], np.nan_to_num(offset), 0)
    across = across - (across * unit).sum(-1, keepdims=True) * unit
    there = place - (place * unit).sum(-1, keepdims=True) * unit
    total = (across**2).sum((1, 2))
    known = total > 0
    return float(np.median((across * there).sum((1, 2))[known] / total[known])) if known.any() else 1.0


def _start(root: Floats, offset: Floats, looked: Bools) -> Floats:
    """Root and joints (T, 1 + J, 3) m, interpolated where unknown; joints never known are at the root."""
    frames = np.arange(len(root))
    out = np.empty((len(root), 1 + offset.shape[1], 3))
    out[:, 0] = np.stack([np.interp(frames, frames[looked], root[looked, axis]) for axis in range(3)], -1)
    for joint in range(offset.shape[1]):
        known = np.isfinite(offset[:, joint]).all(-1)
        for axis in range(3):
            mine = offset[known, joint, axis]
            out[:, 1 + joint, axis] = out[:, 0, axis] + (np.interp(frames, frames[known], mine) if known.any() else 0)
    return out


def _stiffness(kind: Skeleton, start: Floats, seen: Bools, rays: Floats, noise: Floats, rate_hz: float) -> Floats:
    """Weights (T, n) of squared second differences: each joint's acceleration as its motion across the rays shows it.

    Depths are too noisy to tell how a joint accelerates, so each is that of the smoothed root; the root has the median
    strength of the torso.
    """
    span, frames = max(1, round(_SWAY_S * rate_hz)), np.arange(len(start))
    upto = np.concatenate([[0.0], np.cumsum(np.linalg.norm(start[:, 0], axis=-1))])
    first, stop = np.maximum(frames - span, 0), np.minimum(frames + span + 1, len(start))
    distance = (upto[stop] - upto[first]) / (stop - first)
    point = np.where(seen[..., None], rays * distance[:, None, None], np.nan)
    variance = np.where(seen, (distance[:, None] * noise) ** 2, 1.0)
    strength = np.full(seen.shape, 3.0)
    used = np.flatnonzero(seen.sum(0) > 1)
    if len(used):
        part = Skeleton("seen", tuple(kind.joints[j] for j in used), np.zeros((0, 2), np.int64), kind.root)
        strength[:, used] = accelerations(part, point[:, used], variance[:, used], rate_hz)
    torso = [j for j in kind.torso.tolist() if j in used] or used.tolist()
    root = np.median(strength[:, torso], axis=1) if torso else np.full(len(strength), 3.0)
    whole = np.concatenate([root[:, None], strength], axis=1)
    return np.repeat(rate_hz**4 / whole**2, 3, axis=1)
