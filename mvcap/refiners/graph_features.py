"""Input features of the refiner network for one person: the joints of ``bones``, in the body's own frame.

The body's frame is upright, faces where the torso faces and has its origin in the torso's middle; lengths are in units
of body size, and errors in units of their standard deviations. So the features do not depend on the person's position
in the room, orientation and size, nor on the number and order of the cameras. Joints are mapped by name; joints that a
skeleton lacks are masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats, Ints
from mvcap.refinement import acceleration
from mvcap.refinement.observations import Observations2D
from mvcap.refiners.bones import Solution
from mvcap.structures.anthropometry import STATURE_M, typical_limbs
from mvcap.structures.body_frame import CORNERS, body_frames
from mvcap.structures.body_prior import body_build, usual_places
from mvcap.structures.contracts import Evidence
from mvcap.structures.skeleton import Skeleton, skeleton

BODY: Skeleton = skeleton("halpe26")
"""The joints of the graph, and the bones between them."""
_SAME: Mapping[str, str] = {"neck": "thorax"}  # other names of a joint in some skeletons
STEPS_S = (-1.0, -0.35, -0.1, 0.1, 0.35, 1.0)
"""Time offsets, in seconds, of the moments that the graph connects to each moment."""
MOMENTS_HZ = 12.0
"""Moments of the graph per second; its output is interpolated to the frames between."""
_LATE_S = 0.25  # at low frame rates, the nearest moment may be this far away
_LEAST, _MOST = 0.004, 0.4  # standard deviations of a joint, in body sizes of 1.72 m: m
_ALONG, _ACROSS = 0.12, 0.03  # ambiguity, in body sizes, of joints with fewer than two views: along, across a ray
_LEAST_SHARE = 0.01  # least standard deviation of a limb, as a share of its length
_PRIOR_FACTOR = 2.0  # poses are not normally distributed: factor of the deviation of the prior positions


@dataclass(frozen=True)
class WindowFeatures:
    """Network input of one window, and what maps its output back to the world. T counts moments, not frames."""

    arrays: Mapping[str, NDArray[np.generic]]
    """``node`` (T, J, F), ``view`` (T, J, C', G), ``sees`` (T, J, C'), ``there`` (T, J), ``build`` (2 B',),
    ``step`` (T, J, K, 3), ``at`` (T, K), ``near`` (T, K), ``late`` (T, K)."""
    frame: Ints
    """(T,) frame of the window at each moment."""
    rate_hz: float
    """Moments a second."""
    joint: Ints
    """(J,) index in the person's skeleton of each joint of the vocabulary, -1 = it has none."""
    x: Floats
    """(T, J, 3) m, in the world: origin of each joint's offset."""
    body_from_world: Floats
    """(T, 3, 3)"""
    unit: Floats
    """(T, J, 3, 3) m, in the body's frame: unit of each joint's offset. Symmetric square root of its covariance, within
    limits, and enlarged where fewer than two views saw it."""
    size: float
    """Size of the body over that of an adult of 1.72 m."""
    views: Ints
    """(T, J) number of views that agree with the joint; a point given without its pixels counts as two."""


def vocabulary_joints(kind: Skeleton) -> Ints:
    """Index (J,) in a skeleton of each joint of the vocabulary; -1 = it has none."""
    names = {name: at for at, name in enumerate(kind.joints)}
    return np.array([names.get(name, names.get(_SAME.get(name, ""), -1)) for name in BODY.joints], np.int64)


def has_torso(kind: Skeleton) -> bool:
    """Whether a skeleton has the hips and shoulders that a body's frame needs."""
    return bool((vocabulary_joints(kind)[_TORSO] >= 0).all())


def window_features(solution: Solution, evidence: Evidence) -> WindowFeatures:
    """Features of a solution of ``bones``, for a person whose skeleton has a torso."""
    problem = solution.problem
    joint = vocabulary_joints(problem.skeleton)
    have = np.maximum(joint, 0)
    every = max(round(evidence.rate_hz / MOMENTS_HZ), 1)
    frame, rate_hz = np.arange(0, len(solution.x), every), evidence.rate_hz / every
    x, cov = solution.x[:, have], solution.cov[:, have]
    size, build = _build(problem.skeleton, evidence.limb_length_m, evidence.limb_sigma)
    turn, origin = (
        value[frame]
        for value in body_frames(x[:, _TORSO], np.trace(cov[:, _TORSO], axis1=-2, axis2=-1), evidence.rate_hz)
    )
    x, cov = x[frame], cov[frame]
    observations = problem.observations.of_joints(have).at_frames(frame)
    off = observations.residuals(x, problem.noise_scale)
    used = off <= problem.config.outlier_sigma
    views = np.where(observations.given, 2, used.sum(0))
    inverse_turn = turn[:, None].swapaxes(-1, -2)
    place = np.einsum("tab,tjb->tja", turn, x - origin[:, None]) / size
    spread = turn[:, None] @ (cov + _ambiguity(observations, x, used, views) * size**2) @ inverse_turn
    place, spread = _combine_with_prior(place, spread / size**2, views)
    x = np.einsum("tba,tjb->tja", turn, place * size) + origin[:, None]
    bones_unit = _matrix_root(turn[:, None] @ cov @ inverse_turn, _LEAST * size, _MOST * size)
    unit = _matrix_root(spread * size**2, _LEAST * size, _MOST * size)
    there = np.broadcast_to(joint >= 0, x.shape[:2])
    at, near, late = _neighbours(len(x), rate_hz)
    step = np.einsum("tab,tkjb->tjka", turn, x[at] - x[:, None]) / size
    arrays: dict[str, NDArray[np.generic]] = {
        "node": _nodes(place, step, near, late, bones_unit / size, observations, views, rate_hz),
        "there": there,
        "build": build,
        "step": np.clip(step, -2, 2),
        "at": at,
        "near": near,
        "late": late,
        **_views(observations, x, turn, size, used, problem.noise_scale),
    }
    typed = {name: value if value.dtype == np.int64 else value.astype(np.float32) for name, value in arrays.items()}
    return WindowFeatures(typed, frame, rate_hz, joint, x, turn, unit, size, np.asarray(views, np.int64))


def move_joints(posture: WindowFeatures, solution: Solution, offset: Floats, factor: Floats) -> tuple[Floats, Floats]:
    """Joints (T', J, 3) m of the vocabulary at all frames and covariances (T', J, 3, 3) m^2 in the world.

    ``offset`` (T, J, 3) and the lower triangle ``factor`` (T, J, 3, 3) are in the units of ``WindowFeatures.unit``.
    """
    spread = posture.body_from_world.swapaxes(-1, -2)[:, None] @ posture.unit
    root = spread @ factor
    frames = np.arange(len(solution.x))
    before = solution.x[:, np.maximum(posture.joint, 0)]
    away = posture.x + (spread @ offset[..., None])[..., 0] - before[posture.frame]
    cov = _interpolate(frames, posture.frame, root @ root.swapaxes(-1, -2))
    return before + _interpolate(frames, posture.frame, away), cov


def _interpolate(frames: Ints, at: Ints, values: Floats) -> Floats:
    """Values (T', ...) at all frames, interpolated linearly from those (T, ...) at some; the last one is held."""
    place = np.interp(frames, at, np.arange(len(at)))
    low = np.minimum(place.astype(np.int64), max(len(at) - 2, 0))
    share = (place - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1 - share) * values[low] + share * values[np.minimum(low + 1, len(at) - 1)])


def arrays_between(arrays: Mapping[str, NDArray[np.generic]], start: int, stop: int) -> dict[str, NDArray[np.generic]]:
    """Arrays of some moments of a window, without connections to the others."""
    out = {name: value if name == "build" else value[start:stop] for name, value in arrays.items()}
    at = np.asarray(out["at"], np.int64) - start
    near = np.asarray(out["near"], np.bool_) & (at >= 0) & (at < len(at))
    out["at"], out["near"] = np.where(near, at, np.arange(len(at))[:, None]), near.astype(np.float32)
    out["late"] = np.where(near, out["late"], 0)
    out["step"] = np.where(near[:, None, :, None], out["step"], 0)
    return out


_TORSO = [BODY.index(name) for name in CORNERS]


def _build(kind: Skeleton, length_m: Floats, sigma: Floats) -> tuple[float, Floats]:
    """Size of a body, and for each limb of the vocabulary its log ratio to that of such a body, and whether known."""
    length = np.broadcast_to(length_m, len(kind.limbs))
    build = body_build(kind, length, np.maximum(np.broadcast_to(sigma, len(kind.limbs)), _LEAST_SHARE))
    size = build.stature_m / STATURE_M
    ratio = np.log(length / typical_limbs(kind) / size)
    limb_index = {tuple(BODY.joints[end] for end in pair): at for at, pair in enumerate(BODY.limbs.tolist())}
    out = np.zeros((2, len(BODY.limbs)))
    for at, pair in enumerate(kind.limbs.tolist()):
        limb = limb_index[tuple(kind.joints[end] for end in pair)]
        if np.isfinite(ratio[at]):
            out[:, limb] = np.clip(5 * ratio[at], -3, 3), 1
    return size, out.ravel()


def _ambiguity(observations: Observations2D, x: Floats, used: Bools, views: Ints) -> Floats:
    """Covariance (T, J, 3, 3), in body sizes, to add for the ambiguity of joints that fewer than two views saw.

    The covariance of ``bones`` contains errors of lengths and accelerations, but not that a limb may be tilted the
    other way: along the ray of the one view, and in every direction without a view.
    """
    out = np.where((views < 2)[..., None, None], np.eye(3) * _ACROSS**2, 0)
    place = np.stack([camera.position for camera in observations.rig])
    frame, joint = np.nonzero(views == 1)
    ray = place[used[:, frame, joint].argmax(0)] - x[frame, joint]
    ray /= np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-9)
    out[frame, joint] += _ALONG**2 * ray[:, :, None] * ray[:, None]
    out[views == 0] += np.eye(3) * _ALONG**2
    return np.asarray(out)


def _combine_with_prior(place: Floats, cov: Floats, views: Ints) -> tuple[Floats, Floats]:
    """Positions (T, J, 3) and covariances (T, J, 3, 3) in body sizes, combined with the prior positions of joints.

    Only for joints that fewer than two views saw: one known to 0.1 m hardly moves, a lost one moves to the prior.
    """
    prior, spread = usual_places(BODY.joints)
    few = views < 2
    gain = cov @ np.linalg.inv(cov + (_PRIOR_FACTOR * spread[:, None, None]) ** 2 * np.eye(3))
    combined = place + (gain @ (prior - place)[..., None])[..., 0]
    return np.where(few[..., None], combined, place), np.where(few[..., None, None], cov - gain @ cov, cov)


def _matrix_root(cov: Floats, least: float, most: float) -> Floats:
    """Symmetric square roots (..., 3, 3) of covariances, with standard deviations held within limits."""
    value, axes = np.linalg.eigh(np.nan_to_num(cov))
    root = np.clip(np.sqrt(np.maximum(value, 0) + least**2), 0, most)
    return np.asarray((axes * root[..., None, :]) @ axes.swapaxes(-1, -2))


def _neighbours(frames: int, rate_hz: float) -> tuple[Ints, Bools, Floats]:
    """Frames (T, K) at ``STEPS_S``, whether they exist, and their time offset in seconds."""
    steps = np.array(STEPS_S)
    shift = (np.sign(steps) * np.maximum(np.rint(np.abs(steps) * rate_hz), 1)).astype(np.int64)
    fits = np.abs(shift / rate_hz - steps) <= np.maximum(_LATE_S - 0.1, np.abs(steps) / 2)
    at = np.arange(frames)[:, None] + shift
    near = (at >= 0) & (at < frames) & fits
    late = np.broadcast_to(shift / rate_hz, at.shape)
    return np.where(near, at, np.arange(frames)[:, None]), near, np.where(near, late, 0)


def _nodes(
    place: Floats,
    step: Floats,
    near: Bools,
    late: Floats,
    unit: Floats,
    observations: Observations2D,
    views: Ints,
    rate_hz: float,
) -> Floats:
    """Features (T, J, F) of joints: the first three are the position in the body's frame."""
    before, after = (STEPS_S.index(side) for side in (-0.1, 0.1))
    span = (late[:, after] - late[:, before])[:, None, None]
    speed = (step[:, :, after] - step[:, :, before]) / np.maximum(span, 1e-6) * (span > 0)
    deviation = np.trace(unit, axis1=-2, axis2=-1)[..., None] / 3
    seen = np.stack([views == 0, views == 1, views == 2, views > 2, observations.seen.any(0), observations.given], -1)
    since = np.stack(acceleration.frames_since_seen(views > 1)[:2], -1) / rate_hz
    shape = (unit / deviation[..., None])[..., [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    parts = [
        np.clip(place, -2, 2),
        np.arcsinh(speed) / 2,
        (np.log(deviation) + 3.5) / 1.5,
        shape,
        seen,
        np.log1p(4 * np.clip(since, 0, 4)),
        np.broadcast_to(near[:, None], (*place.shape[:2], near.shape[1])),
    ]
    return np.concatenate(parts, axis=-1)


def _views(
    observations: Observations2D, x: Floats, turn: Floats, size: float, used: Bools, noise_scale: float
) -> dict[str, NDArray[np.generic]]:
    """Features (T, J, C', G) of the views that see the person at all, and which saw the joint (T, J, C')."""
    seen = np.flatnonzero(observations.seen.any((1, 2)))
    seen = seen if len(seen) else np.zeros(1, np.int64)
    rig = observations.rig.select([observations.rig.names[view] for view in seen])
    projected, slope = rig.project_with_jacobian(x)
    sigma = observations.noise_px[seen] * noise_scale
    off = observations.xy[seen] - projected
    known: Bools = np.asarray(np.isfinite(off).all(-1) & np.isfinite(slope).all((-1, -2)))
    off, slope = np.where(known[..., None], off, 0), np.where(known[..., None, None], slope, np.eye(2, 3))
    square = slope @ slope.swapaxes(-1, -2) + 1e-9 * np.eye(2)
    aside = (slope.swapaxes(-1, -2) @ np.linalg.solve(square, off[..., None]))[..., 0]  # m, across the ray
    metres = sigma / np.sqrt(np.maximum(np.trace(square, axis1=-2, axis2=-1) / 2, 1e-12))
    aside = aside / metres[..., None]
    aside *= (np.arcsinh(far := np.linalg.norm(aside, axis=-1)) / np.maximum(far, 1e-9))[..., None] / 2
    ray = np.stack([camera.position for camera in rig])[:, None, None] - x
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    there = np.linalg.norm(ray, axis=-1) > 0
    parts = [
        np.einsum("tab,ctjb->ctja", turn, ray),
        np.einsum("tab,ctjb->ctja", turn, aside),
        (np.log(metres / size)[..., None] + 4.5) / 1.5,
        observations.score[seen][..., None],
        used[seen][..., None],
    ]
    both = np.concatenate(parts, axis=-1)
    known &= there & np.isfinite(both).all(-1)
    both = np.where(known[..., None], both, 0)
    return {"view": both.transpose(1, 2, 0, 3), "sees": known.transpose(1, 2, 0)}
