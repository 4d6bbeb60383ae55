"""What a learned graph is told of one person: the joints that ``bones`` found, in the body's own frame.

The frame of a body stands upright, looks where the torso looks and has its origin in the torso's middle; lengths are in
sizes of the body, and errors in units of their standard deviations. So it makes no difference where in the room, how
turned and how large somebody is, nor how many cameras there are and how they are numbered. Joints go by their names:
what a skeleton lacks is masked.
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
"""The joints that there are for the graph, and the bones between them."""
_SAME: Mapping[str, str] = {"neck": "thorax"}  # what some skeletons call a joint
STEPS_S = (-1.0, -0.35, -0.1, 0.1, 0.35, 1.0)
"""How far from each moment the graph looks."""
MOMENTS_HZ = 12.0
"""The graph looks at so many moments a second; what it says holds for the frames between by interpolation."""
_LATE_S = 0.25  # where frames are few, the nearest one may be so far away
_LEAST, _MOST = 0.004, 0.4  # standard deviations of a joint, in body sizes of 1.72 m: m
_ALONG, _ACROSS = 0.12, 0.03  # how far, in body sizes, a joint may be off that fewer than two views saw
_LEAST_SHARE = 0.01  # by what share of it a limb may be off at least
_LENIENT = 2.0  # poses are not normally distributed: usual places count with so many times their deviation


@dataclass(frozen=True)
class WindowFeatures:
    """Arrays of one window, as a network wants them, and what leads back to the world. T counts moments, not frames."""

    arrays: Mapping[str, NDArray[np.generic]]
    """``node`` (T, J, F), ``view`` (T, J, C', G), ``sees`` (T, J, C'), ``there`` (T, J), ``build`` (2 B',),
    ``step`` (T, J, K, 3), ``at`` (T, K), ``near`` (T, K), ``late`` (T, K)."""
    frame: Ints
    """(T,) of the window, at each moment."""
    rate_hz: float
    """Moments a second."""
    joint: Ints
    """(J,) of the vocabulary: index in the person's skeleton, -1 = it has none."""
    x: Floats
    """(T, J, 3) m, in the world: what offsets of each joint are counted from."""
    body_from_world: Floats
    """(T, 3, 3)"""
    unit: Floats
    """(T, J, 3, 3) m, in the body's frame: what offsets of each joint are counted in. Symmetric square root of its
    covariance, within limits and with doubt where fewer than two views saw it."""
    size: float
    """Of the body, over that of an adult of 1.72 m."""
    views: Ints
    """(T, J) how many views agree with the joint; a point without its pixels counts as two."""


def vocabulary_joints(kind: Skeleton) -> Ints:
    """Index (J,) in a skeleton of each joint of the vocabulary; -1 = it has none."""
    names = {name: at for at, name in enumerate(kind.joints)}
    return np.array([names.get(name, names.get(_SAME.get(name, ""), -1)) for name in BODY.joints], np.int64)


def has_torso(kind: Skeleton) -> bool:
    """Whether a skeleton has the hips and shoulders that a body's frame needs."""
    return bool((vocabulary_joints(kind)[_TORSO] >= 0).all())


def window_features(solution: Solution, evidence: Evidence) -> WindowFeatures:
    """Tell what ``bones`` found of a person whose skeleton has a torso."""
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
    back = turn[:, None].swapaxes(-1, -2)
    place = np.einsum("tab,tjb->tja", turn, x - origin[:, None]) / size
    spread = turn[:, None] @ (cov + _doubt(observations, x, used, views) * size**2) @ back
    place, spread = _sobered(place, spread / size**2, views)
    x = np.einsum("tba,tjb->tja", turn, place * size) + origin[:, None]
    told = _root(turn[:, None] @ cov @ back, _LEAST * size, _MOST * size)
    unit = _root(spread * size**2, _LEAST * size, _MOST * size)
    there = np.broadcast_to(joint >= 0, x.shape[:2])
    at, near, late = _neighbours(len(x), rate_hz)
    step = np.einsum("tab,tkjb->tjka", turn, x[at] - x[:, None]) / size
    arrays: dict[str, NDArray[np.generic]] = {
        "node": _nodes(place, step, near, late, told / size, observations, views, rate_hz),
        "there": there,
        "build": build,
        "step": np.clip(step, -2, 2),
        "at": at,
        "near": near,
        "late": late,
        **_views(observations, x, turn, size, used, problem.noise_scale),
    }
    held = {name: value if value.dtype == np.int64 else value.astype(np.float32) for name, value in arrays.items()}
    return WindowFeatures(held, frame, rate_hz, joint, x, turn, unit, size, np.asarray(views, np.int64))


def move_joints(posture: WindowFeatures, solution: Solution, offset: Floats, factor: Floats) -> tuple[Floats, Floats]:
    """Joints (T', J, 3) m of the vocabulary at all frames and covariances (T', J, 3, 3) m^2 in the world.

    ``offset`` (T, J, 3) and the lower triangle ``factor`` (T, J, 3, 3) are in units of what ``bones`` knows.
    """
    spread = posture.body_from_world.swapaxes(-1, -2)[:, None] @ posture.unit
    root = spread @ factor
    frames = np.arange(len(solution.x))
    before = solution.x[:, np.maximum(posture.joint, 0)]
    away = posture.x + (spread @ offset[..., None])[..., 0] - before[posture.frame]
    cov = _between(frames, posture.frame, root @ root.swapaxes(-1, -2))
    return before + _between(frames, posture.frame, away), cov


def _between(frames: Ints, at: Ints, values: Floats) -> Floats:
    """Values (T', ...) at all frames of those (T, ...) at some, on straight lines; the last one holds on."""
    place = np.interp(frames, at, np.arange(len(at)))
    low = np.minimum(place.astype(np.int64), max(len(at) - 2, 0))
    share = (place - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1 - share) * values[low] + share * values[np.minimum(low + 1, len(at) - 1)])


def part_of(arrays: Mapping[str, NDArray[np.generic]], start: int, stop: int) -> dict[str, NDArray[np.generic]]:
    """Arrays of some frames of a window, which hear nothing of the others."""
    out = {name: value if name == "build" else value[start:stop] for name, value in arrays.items()}
    at = np.asarray(out["at"], np.int64) - start
    near = np.asarray(out["near"], np.bool_) & (at >= 0) & (at < len(at))
    out["at"], out["near"] = np.where(near, at, np.arange(len(at))[:, None]), near.astype(np.float32)
    out["late"] = np.where(near, out["late"], 0)
    out["step"] = np.where(near[:, None, :, None], out["step"], 0)
    return out


_TORSO = [BODY.index(name) for name in CORNERS]


def _build(kind: Skeleton, length_m: Floats, sigma: Floats) -> tuple[float, Floats]:
    """Size of a body, and for each limb of the vocabulary how much longer it is than that of such a body, if known."""
    length = np.broadcast_to(length_m, len(kind.limbs))
    build = body_build(kind, length, np.maximum(np.broadcast_to(sigma, len(kind.limbs)), _LEAST_SHARE))
    size = build.stature_m / STATURE_M
    ratio = np.log(length / typical_limbs(kind) / size)
    ours = {tuple(BODY.joints[end] for end in pair): at for at, pair in enumerate(BODY.limbs.tolist())}
    out = np.zeros((2, len(BODY.limbs)))
    for at, pair in enumerate(kind.limbs.tolist()):
        own = ours[tuple(kind.joints[end] for end in pair)]
        if np.isfinite(ratio[at]):
            out[:, own] = np.clip(5 * ratio[at], -3, 3), 1
    return size, out.ravel()


def _doubt(observations: Observations2D, x: Floats, used: Bools, views: Ints) -> Floats:
    """What to add to covariances (T, J, 3, 3), in body sizes: a joint that fewer than two views saw may be elsewhere.

    ``bones`` knows how far a wrong length or acceleration leads, not that a limb might be tilted the other way: along
    the ray of the one view, and in every direction where there is none.
    """
    out = np.where((views < 2)[..., None, None], np.eye(3) * _ACROSS**2, 0)
    place = np.stack([camera.position for camera in observations.rig])
    frame, joint = np.nonzero(views == 1)
    ray = place[used[:, frame, joint].argmax(0)] - x[frame, joint]
    ray /= np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-9)
    out[frame, joint] += _ALONG**2 * ray[:, :, None] * ray[:, None]
    out[views == 0] += np.eye(3) * _ALONG**2
    return np.asarray(out)


def _sobered(place: Floats, cov: Floats, views: Ints) -> tuple[Floats, Floats]:
    """Places (T, J, 3) and covariances (T, J, 3, 3) in body sizes, weighed against where joints usually are.

    Only of joints that fewer than two views saw: what is known to 0.1 m hardly moves, what is lost comes home.
    """
    usual, spread = usual_places(BODY.joints)
    few = views < 2
    gain = cov @ np.linalg.inv(cov + (_LENIENT * spread[:, None, None]) ** 2 * np.eye(3))
    moved = place + (gain @ (usual - place)[..., None])[..., 0]
    return np.where(few[..., None], moved, place), np.where(few[..., None, None], cov - gain @ cov, cov)


def _root(cov: Floats, least: float, most: float) -> Floats:
    """Symmetric square roots (..., 3, 3) of covariances whose deviations are held within limits."""
    value, axes = np.linalg.eigh(np.nan_to_num(cov))
    root = np.clip(np.sqrt(np.maximum(value, 0) + least**2), 0, most)
    return np.asarray((axes * root[..., None, :]) @ axes.swapaxes(-1, -2))


def _neighbours(frames: int, rate_hz: float) -> tuple[Ints, Bools, Floats]:
    """Frames (T, K) at ``STEPS_S``, whether there are such, and how far away they are in seconds."""
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
    """Features (T, J, F) of joints: the first three are the place in the body's frame."""
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
    """Features (T, J, C', G) of what the views that see the person at all saw, and which did (T, J, C')."""
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
