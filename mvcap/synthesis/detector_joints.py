"""Joint-level part of the detector model: position errors, scores and misses of the joints of true people.

All arrays go (T, C, P, J): frames, views, people, joints of the estimator's skeleton.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from mvcap.structures.detections import body_size, joint_box
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.synthesis.correlated_noise import correlated_normal, expit, random_events
from mvcap.synthesis.detector_people import PointRows
from mvcap.synthesis.occlusion import occluded

if TYPE_CHECKING:
    from mvcap.synthesis.detector_errors import DetectorModel


_GROUP_OF = {"shoulder": 1, "neck": 1, "thorax": 1, "elbow": 2, "wrist": 3, "pinky": 3, "index": 3, "thumb": 3,
             "hip": 4, "pelvis": 4, "knee": 5, "ankle": 6, "toe": 7, "heel": 7}  # fmt: skip
"""Group of ``detector_errors.GROUPS`` by a part of the joint's name; all others are of the head."""
_FAR_SIDE = -0.35
"""Cosine between the outward direction of a joint of the head and the direction to the camera, below which it is turned
away."""
_HAND = 0.35
"""Distance of the knuckles beyond the wrist, as a share of the forearm."""


def project_joints(
    model: DetectorModel,
    kind: Skeleton,
    truth: Poses3D,
    people: NDArray[np.integer],
    rig: Rig,
    rng: np.random.Generator,
    rate_hz: float,
) -> PointRows:
    """Joints of true people with the estimator's errors, each still in its own row and under its own name."""
    body = truth.dense(int(truth.frame.max()) + 1, people).astype(np.float64)
    weight, source = joint_matrix(truth.skeleton, kind)
    there = np.isfinite(body[..., 0])
    xyz = np.einsum("kj,tpjd->tpkd", weight, np.where(there[..., None], body, 0.0), optimize=True)
    xyz[(~there).astype(float) @ (np.abs(weight.T) > 0) > 0] = np.nan
    defined = xyz + _definition_offsets(model, kind, truth.skeleton, body, rng)
    true = np.moveaxis(rig.project(defined), 0, 1)
    behind = np.stack([occluded(camera, truth.skeleton, body) for camera in rig], 1)[..., source]
    last = np.array([camera.size for camera in rig], float) - 1
    with np.errstate(invalid="ignore"):
        inside = ((true >= -0.5) & (true <= last[:, None, None] + 0.5)).all(-1)
    box = joint_box(true.reshape(-1, *true.shape[3:]))
    size = body_size(box).reshape(true.shape[:3])
    whose = np.broadcast_to(np.arange(len(people))[:, None], true.shape[:4]).copy()
    behind |= _behind_screens(model, xyz, true, rig, last, rng)
    memory = float(np.exp(-1 / max(rate_hz * model.lasting_s, 1e-6)))
    away = _turned_away(kind, truth.skeleton, xyz, body, rig)
    nothing = np.zeros(true.shape[:4])
    out = PointRows(
        true, xyz, true.copy(), nothing, whose, size, nothing, behind, np.asarray(inside), away, last, memory
    )
    _fill_observations(model, kind, out, rng)
    return out


def group_of(kind: Skeleton) -> NDArray[np.int64]:
    """Group (J,) of ``detector_errors.GROUPS`` of each joint."""
    return np.array(
        [next((g for part, g in _GROUP_OF.items() if part in joint.split("_")), 0) for joint in kind.joints]
    )


@cache
def joint_matrix(have: Skeleton, kind: Skeleton) -> tuple[Floats, NDArray[np.int64]]:
    """Matrix (K, J) from a skeleton's joints to those of another, hands and faces too, and their main source (K,)."""
    matrix = have.convert(kind)
    for row, joint in enumerate(kind.joints):
        if np.isfinite(matrix[row]).all():
            continue
        matrix[row] = 0
        for source, share in _recipe(joint).items():
            matrix[row, have.index(source)] = share
    return matrix, np.abs(matrix).argmax(1)


def _recipe(joint: str) -> dict[str, float]:
    """A joint that halpe26 lacks as a weighted sum of those that it has."""
    side, _, part = joint.partition("_")
    if part in ("pinky", "index", "thumb"):
        return {f"{side}_wrist": 1 + _HAND, f"{side}_elbow": -_HAND}
    if part in ("eye_inner", "eye_outer"):
        toward = "nose" if part == "eye_inner" else f"{side}_ear"
        return {f"{side}_eye": 0.8, toward: 0.2}
    if joint.startswith("mouth"):
        return {"nose": 0.75, f"{joint.removeprefix('mouth_')}_ear": 0.05, "neck": 0.2}
    return {"left_ear": 0.5, "right_ear": 0.5}  # a head in one point


def _definition_offsets(
    model: DetectorModel, kind: Skeleton, have: Skeleton, body: Floats, rng: np.random.Generator
) -> Floats:
    """Offsets (T, P, K, 3) m of the estimator's joint definitions from the true joints: by body axes, mirrored."""
    up = body[..., have.index("neck"), :] - body[..., have.index("pelvis"), :]
    left = body[..., have.index("left_shoulder"), :] - body[..., have.index("right_shoulder"), :]
    up /= np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    left = left - (left * up).sum(-1, keepdims=True) * up
    left /= np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-6)
    axes = np.nan_to_num(np.stack([np.cross(left, up), left, up], -2))  # (T, P, 3 axes, 3); unknown axes give no offset
    offset = rng.normal(0, model.defined_m, (len(kind), 3)) * np.where(group_of(kind) == 4, 2.0, 1.0)[:, None]
    mirrored = offset[kind.mirror] * (1, -1, 1)
    second = np.array([joint.startswith("right_") or joint.endswith("_right") for joint in kind.joints])
    middle = kind.mirror == np.arange(len(kind))
    offset = np.where(second[:, None], mirrored, offset) * np.where(middle[:, None], (1, 0, 1), 1)
    own = offset * (1 + 0.3 * rng.standard_normal((body.shape[1], 1, 1)))
    return np.asarray(np.einsum("pka,tpad->tpkd", own, axes, optimize=True))


def _turned_away(kind: Skeleton, have: Skeleton, xyz: Floats, body: Floats, rig: Rig) -> NDArray[np.bool_]:
    """Whether a joint (T, C, P, K) of the face is on the far side of the head."""
    middle = (body[..., have.index("left_ear"), :] + body[..., have.index("right_ear"), :])[..., None, :] / 2
    face = np.array([bool({"nose", "eye", "ear", "mouth"} & set(joint.split("_"))) for joint in kind.joints])
    out = np.zeros((len(xyz), len(rig), *xyz.shape[1:3]), bool)
    way = xyz[:, :, face] - middle
    for view, camera in enumerate(rig):
        to = camera.position - middle
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (way * to).sum(-1) / (np.linalg.norm(way, axis=-1) * np.linalg.norm(to, axis=-1))
            out[:, view, :, face] = np.moveaxis(cosine < _FAR_SIDE, -1, 0)
    return out


def _behind_screens(
    model: DetectorModel, xyz: Floats, true: Floats, rig: Rig, last: Floats, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whether a joint (T, C, P, K) is behind an object: an upright rectangle in the picture, at some depth."""
    out = np.zeros(true.shape[:4], bool)
    for view, count in enumerate(rng.poisson(model.screens, len(rig)).tolist()):
        pose = rig.cam_from_world[view]
        depth = xyz @ pose[2, :3] + pose[2, 3]
        for _ in range(count):
            half = rng.uniform(0.06, 0.3, 2) * last[view]
            middle, near = rng.uniform((0, 0.3), (1, 1)) * last[view], rng.uniform(0.2, 1.1) * np.nanmedian(depth)
            with np.errstate(invalid="ignore"):
                out[:, view] |= (np.abs(true[:, view] - middle) < half).all(-1) & (depth > near)
    return out


def _fill_observations(model: DetectorModel, kind: Skeleton, out: PointRows, rng: np.random.Generator) -> None:
    """Fill in observed positions, scores and missing joints."""
    shape, group, small = out.score.shape, group_of(kind), -np.log(np.maximum(out.size, 1.0) / 100)
    log_scale = model.tail * correlated_normal(rng, shape, out.memory)
    log_scale += model.tail_row * correlated_normal(rng, shape[:3], out.memory)[..., None]
    score = np.array(model.score)[group] - model.score_size * small[..., None] - model.score_error * log_scale
    score += model.score_row * correlated_normal(rng, shape[:3], out.memory)[..., None]
    odd = correlated_normal(rng, shape, out.memory)
    score += model.score_spread * np.where(odd < 0, 1.4, 0.7) * odd  # scores are more often much too low than too high
    score -= model.score_hidden * (out.hidden | out.turned)
    lies = rng.random(shape) < model.score_lies
    score = np.where(lies, rng.choice(np.array(model.score), shape) + rng.standard_normal(shape), score)
    out.score = np.clip(expit(score), 0.03, 1.0)
    out.stated = model.noise_factor * kind.sigma * out.size[..., None] / out.score
    out.xy = out.true + _joint_errors(model, group, log_scale, out, rng)
    _drop_missed(model, group, small, out, rng)


def _joint_errors(
    model: DetectorModel, group: NDArray[np.int64], log_scale: Floats, out: PointRows, rng: np.random.Generator
) -> Floats:
    """Errors (T, C, P, K, 2) px: correlated in time and white, of row and joint, heavy-tailed, with outliers."""
    shape = out.score.shape
    scale = np.array(model.noise)[group] * np.where(out.hidden, model.hidden_noise, 1.0) * np.exp(log_scale)
    whole, own = np.sqrt(model.together), np.sqrt(1 - model.together)
    slow, fast = np.sqrt(model.lasting), np.sqrt(1 - model.lasting)
    unit = own * slow * correlated_normal(rng, (*shape, 2), out.memory) + own * fast * rng.standard_normal((*shape, 2))
    unit += (whole * correlated_normal(rng, (*shape[:3], 2), out.memory))[..., None, :]
    spread = np.hypot(scale * out.stated, model.floor_px)
    outlier = random_events(
        correlated_normal(rng, shape, out.memory), np.where(out.hidden, model.hidden_outliers, model.outliers)
    )
    spread = np.where(outlier, np.hypot(spread, model.outlier_size * out.size[..., None]), spread)
    return np.asarray(spread[..., None] * unit)


def _drop_missed(
    model: DetectorModel, group: NDArray[np.int64], small: Floats, out: PointRows, rng: np.random.Generator
) -> None:
    """Remove missed joints and people."""
    shape = out.score.shape
    share = np.array(model.missed)[group] + model.missed_small * small[..., None] + model.missed_hidden * out.hidden
    share = share + model.missed_turned * out.turned
    missing = random_events(correlated_normal(rng, shape, out.memory), expit(share))
    missing |= ~out.inside & ~random_events(correlated_normal(rng, shape, out.memory), model.outside)
    behind = (out.hidden & out.inside).sum(-1) / np.maximum(out.inside.sum(-1), 1)
    share = model.person_missed + model.person_small * small + model.person_hidden * behind
    share = share + model.person_cut * (1 - out.inside.mean(-1))
    missing |= (random_events(correlated_normal(rng, shape[:3], out.memory), expit(share)) | ~out.inside.any(-1))[
        ..., None
    ]
    out.score = np.where(out.inside, out.score, 0.4 * out.score)
    missing |= np.isnan(out.xy).any(-1)
    out.xy[missing], out.score[missing] = np.nan, 0.0
