"""Two readings of the same bodies combined joint by joint, by a learned network that knows both covariances.

The network gives factors on the standard deviations that the readings state, across the ray and along it; the result is
the mean of both readings weighted by the inverse of these covariances. With factors of one it is the usual
inverse-covariance mean, which a fresh network gives. Idea of mixing a top-down and a bottom-up reading by a learned
weight: Y. Cheng et al., "Monocular 3D Multi-Person Pose Estimation by Integrating Top-Down and Bottom-Up Networks",
CVPR 2021; there one weight serves all joints of a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calib.arrays import Floats, Singles
from mvcap.integration.body_readings import BodyReadings
from mvcap.structures.anthropometry import limb_lengths, typical_limbs
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.structures.view_track import LiftedBody, ViewTrack
from mvcap.weights.networks import Network, load_network

BODY: Skeleton = skeleton("halpe26")
"""Joints of the network; those of other skeletons are mapped by name."""
FEATURE_NAMES = (
    "first_known", "second_known", "apart_right", "apart_down", "apart_along", "apart_m", "first_across",
    "first_along", "second_across", "second_along", "first_score", "second_score", "covered", "covered_nearer",
    "first_limb", "second_limb", "first_out", "second_out",
)  # fmt: skip
"""Features of a joint. ``apart``: difference of the readings in standard deviations, or the logarithm of its length in
m; ``across``, ``along``: logarithm of a standard deviation, m, over 0.05; ``covered``: on another person, and on one
who is nearer; ``limb``: length to its parent over a typical one; ``out``: distance from the root, m."""
_UNIT_M = 0.05
_LEAST = 1e-8  # m^2, added to covariances, which may be exact


@dataclass(frozen=True, eq=False)
class MixedReadings:
    """What two readings say together."""

    readings: BodyReadings
    share: Floats
    """(N, J) share of the second reading in the result along the ray, 0..1; NaN where neither was read."""


def mix_features(first: BodyReadings, second: BodyReadings, frames: Floats, covered: Floats, nearer: Floats) -> Singles:
    """Return the features (N, J, F) of joints of ``BODY`` of two readings, along the rows of ``frames`` (N, 3, 3).

    covered: (N, J) how much a joint lies on another person, 0..1; nearer: (N, J) chance that this other is nearer.
    """
    parts = []
    both = [_turned(one, frames) for one in (first, second)]
    known = [one.known for one in (first, second)]
    (a, cov_a), (b, cov_b) = both
    shared = known[0] & known[1]
    away = np.where(shared[..., None], b - a, 0.0)
    spread = np.where(shared[..., None, None], cov_a + cov_b, np.eye(3))
    white = np.linalg.solve(np.linalg.cholesky(spread + _LEAST * np.eye(3)), away[..., None])[..., 0]
    parts += [*known, *np.moveaxis(np.arcsinh(white), -1, 0)]
    parts.append(np.where(shared, np.log(np.linalg.norm(away, axis=-1) + 0.01) - np.log(_UNIT_M), 0.0))
    for (_, cov), there in zip(both, known, strict=True):
        variance = np.where(there[..., None], np.diagonal(cov, axis1=-2, axis2=-1), _UNIT_M**2)
        parts += [0.5 * np.log((variance[..., :2].mean(-1) + _LEAST) / _UNIT_M**2)]
        parts += [0.5 * np.log((variance[..., 2] + _LEAST) / _UNIT_M**2)]
    parts += [first.score, second.score, covered, covered * nearer]
    parts += [np.where(there, _limb_ratio(one), 0.0) for (one, _), there in zip(both, known, strict=True)]
    parts += [np.where(there, np.linalg.norm(np.where(there[..., None], one, 0), axis=-1), 0.0)
              for (one, _), there in zip(both, known, strict=True)]  # fmt: skip
    return np.nan_to_num(np.stack([np.asarray(one, np.float64) for one in parts], -1)).clip(-8, 8).astype(np.float32)


def weighted_mean(xp: Any, a: Any, cov_a: Any, b: Any, cov_b: Any, known: Any, log: Any) -> tuple[Any, Any, Any]:
    """Return joints (..., 3), covariances (..., 3, 3) and information (..., 3, 3) of the second, combined.

    ``xp`` is numpy or torch, whose arrays the others are: joints (..., 3), covariances, ``known`` (..., 2) 0 or 1, and
    the logarithms (..., 6) of ``ReadingMix``. Where a reading is unknown, its joint and covariance are ignored but have
    to be finite and positive definite. The covariance is that of the weighted mean as the scaled covariances give it,
    times the factors of the combination.
    """
    eye = xp.eye(3, dtype=cov_a.dtype)
    scale = [xp.exp(log[..., [k, k, k + 1]]) for k in (0, 2, 4)]
    info = []
    for cov, side, at in ((cov_a, scale[0], 0), (cov_b, scale[1], 1)):
        scaled = side[..., :, None] * (cov + _LEAST * eye) * side[..., None, :]
        info.append(xp.linalg.inv(scaled) * known[..., at, None, None])
    none = (1 - known[..., 0]) * (1 - known[..., 1])
    cov = xp.linalg.inv(info[0] + info[1] + none[..., None, None] * eye)
    joint = (cov @ (info[0] @ a[..., None] + info[1] @ b[..., None]))[..., 0]
    return joint, scale[2][..., :, None] * cov * scale[2][..., None, :], cov @ info[1]


def mix_lifted(
    track: ViewTrack, first: LiftedBody, second: LiftedBody, mixer: ReadingMixer,
    covered: Floats | None = None, nearer: Floats | None = None,
) -> LiftedBody:  # fmt: skip
    """Return one lifted body from those of two lifters for one track, such as ``temporal`` and ``blazepose_world``.

    covered, nearer: (T, J) as for ``ReadingMixer``; nobody is near if None. Both are taken to have the typical stature,
    so the error of the size stays apart: the larger of the two.
    """
    hips = [at for at, name in enumerate(track.skeleton.joints) if name.endswith("hip")]
    every = track.rays()
    known = track.known & np.isfinite(every[..., 0])
    weight = np.where(known, 1.0, 0.0)
    both_hips = known[:, hips].all(-1) & (len(hips) > 0)
    rest = np.isin(np.arange(known.shape[1]), hips, invert=True)
    weight[np.ix_(both_hips, rest)] = 0  # the middle of the hips, else of what is known
    rays = np.einsum("tj,tjd->td", weight, np.where(known[..., None], every, 0.0))
    rays = np.where(weight.any(-1, keepdims=True), rays, [0.0, 0.0, 1.0])
    nothing = np.zeros(track.score.shape)
    a, b = (BodyReadings(track.skeleton, one.joints, one.covariance, track.score) for one in (first, second))
    out = mixer(a, b, rays, nothing if covered is None else covered, nothing if nearer is None else nearer).readings
    return LiftedBody(out.joints, out.covariance, max(first.scale_sigma, second.scale_sigma))


class ReadingMixer:
    """Combines two readings of the same bodies; without a network by the inverse-covariance mean."""

    def __init__(self, network: Network | None = None, learned: bool = True) -> None:
        """network: the shipped one if None; learned=False: none, the inverse-covariance mean of what is stated."""
        self.network = (network or load_network("integrate")) if learned else None

    def __call__(
        self, first: BodyReadings, second: BodyReadings, rays: Floats, covered: Floats, nearer: Floats
    ) -> MixedReadings:
        """Return the combination in the skeleton of the first reading.

        first: of a top-down method; second: of a bottom-up method, the same N bodies, in any skeleton; rays: (N, 3)
        towards the roots in the camera's frame; covered: (N, J) how much a joint of the first lies on another person
        (``covered_by_others``), and nearer: (N, J) the chance that this person is nearer than the body. Joints that one
        reading lacks are those of the other. Joints beyond the vocabulary of the network are mixed as stated.
        """
        if not len(first.joints) == len(second.joints) == len(rays):
            raise ValueError(f"readings of {len(first.joints)} and {len(second.joints)} bodies, {len(rays)} rays")
        own, other = first.skeleton, second.as_skeleton(first.skeleton)
        frames = turns_to_rays(rays).swapaxes(-1, -2)
        log = np.zeros((*first.score.shape, 6))
        if self.network is not None and len(rays):
            at = np.array([own.joints.index(name) if name in own.joints else -1 for name in BODY.joints])
            whole = [np.where(at >= 0, value[:, at], 0.0) for value in (covered, nearer)]
            pair = first.as_skeleton(BODY), second.as_skeleton(BODY)
            there = pair[0].known | pair[1].known
            features, limits = mix_features(*pair, frames, *whole), self.network.limits
            if limits:  # unlike anything in training, a feature is as at the edge of what was
                features = np.clip(features, limits["joint_low"], limits["joint_high"])
            (told,) = self.network(features, there)
            # The first reading of the training data has every joint: without it, the second is as it states.
            log[:, at[at >= 0]] = np.where(pair[0].known[..., None], told, 0.0)[:, at >= 0]
        return _mixed(first, other, frames, log)


def _mixed(first: BodyReadings, other: BodyReadings, frames: Floats, log: Floats) -> MixedReadings:
    a, cov_a = readable(first, frames)
    b, cov_b = readable(other, frames)
    known = np.stack([first.known, other.known], -1)
    joints, cov, weight = weighted_mean(np, a, cov_a, b, cov_b, known.astype(np.float64), log)
    some, back = np.asarray(known.any(-1)), frames[:, None].swapaxes(-1, -2)
    joints = np.where(some[..., None], (back @ joints[..., None])[..., 0], np.nan)
    cov = np.where(some[..., None, None], back @ cov @ frames[:, None], np.nan)
    share = np.where(some, np.clip(weight[..., 2, 2], 0, 1), np.nan)
    score = np.fmax(first.score, other.score)
    return MixedReadings(BodyReadings(first.skeleton, joints, cov, score), share)


def readable(one: BodyReadings, frames: Floats) -> tuple[Floats, Floats]:
    """Return joints (N, J, 3) and covariances (N, J, 3, 3) along the rows of frames; 0 and 1 m^2 where not read."""
    joints, cov = _turned(one, frames)
    known = one.known
    return np.where(known[..., None], joints, 0.0), np.where(known[..., None, None], cov, np.eye(3))


def _turned(one: BodyReadings, frames: Floats) -> tuple[Floats, Floats]:
    """Joints (N, J, 3) and covariances (N, J, 3, 3) along the rows of frames (N, 3, 3)."""
    turn = frames[:, None]
    return (turn @ one.joints[..., None])[..., 0], turn @ one.covariance @ turn.swapaxes(-1, -2)


def _limb_ratio(joints: Floats) -> Floats:
    """Logarithm (N, J) of the length of the limb that ends at a joint of ``BODY`` over a typical one; 0 = unknown."""
    ratio = np.log((limb_lengths(BODY, joints) + 0.01) / (typical_limbs(BODY) + 0.01))
    out = np.zeros(joints.shape[:2])
    for limb, (_, end) in enumerate(BODY.limbs.tolist()):
        out[:, end] = np.where(np.isfinite(ratio[:, limb]), ratio[:, limb], 0.0)
    return out
