"""Procedural motion: a body that stands, walks, sits, bends, lies, and reaches, from a few curves over time.

The curves (``CONTROLS``) define the position of the pelvis over the feet, the rotations of trunk and head, and the
goals of the wrists; knees and elbows follow by inverse kinematics, and bend in the anatomical direction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvcap.synthesis.bodies import JOINTS, GeneratedBody, assemble, joint_index, lowest_point
from mvcap.synthesis.gait import Steps

CONTROLS = (
    "height", "back", "side", "pitch", "lean", "roll", "twist", "chest_pitch", "chest_lean", "chest_twist",
    "head_pitch", "head_turn", "head_lean", "swing", "lying", "level",
    *(f"{side}_{name}" for name in ("wrist_x", "wrist_y", "wrist_z", "elbow", "free", "ankle_x", "ankle_y", "ankle_z",
                                    "point") for side in ("left", "right")),
)  # fmt: skip
"""``height``, ``back``, ``side``: position of the pelvis over the feet, leg lengths (height 1: upright). Angles, rad:
``pitch`` forward, ``lean`` to the right, ``roll`` about the body's long axis, ``twist`` and ``turn`` to the left; of
the pelvis, of the chest relative to it, of the head relative to the chest. ``swing``: amplitude of the arm swing.
``lying`` 0..1, on a surface ``level`` m high. ``wrist``: position from the own shoulder, arm lengths, x forward, y
outward, z up; ``elbow``: its outward direction. ``free`` 0..1: the foot is not on the floor but at ``ankle`` from the
own hip, leg lengths; ``point``: extension of the foot, rad."""

_AT = {name: index for index, name in enumerate(CONTROLS)}
_OUTWARD = np.array([1.0, -1.0])  # left, right
_SIDES = ("left", "right")
_STRAIGHT, _SPARE, _FOLDED = 0.985, 0.0125, 0.33  # distances of a limb's ends, shares of its length
_LIMB_JOINTS = {
    name: np.array([joint_index(f"{side}_{name}") for side in _SIDES])
    for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist", "heel", "big_toe", "small_toe")
}
_FEET = np.stack([_LIMB_JOINTS[name] for name in ("heel", "big_toe", "small_toe")], axis=1)
_HEAD = np.array([joint_index(n) for n in ("nose", "head_top", "left_eye", "right_eye", "left_ear", "right_ear")])
_CHEST = np.array([joint_index(name) for name in ("neck", "left_shoulder", "right_shoulder")])
_PELVIS = np.array([joint_index(name) for name in ("spine", "left_hip", "right_hip")])
_ARM_SWING = 0.36


def control_pair(name: str) -> NDArray[np.int64]:
    """Indices in ``CONTROLS`` of a control's left and right one."""
    return np.array([_AT[f"{side}_{name}"] for side in _SIDES])


def control_index(name: str) -> int:
    """Index in ``CONTROLS`` of a control."""
    return _AT[name]


_WRISTS = np.stack([control_pair(f"wrist_{axis}") for axis in "xyz"], axis=-1)
_ANKLES = np.stack([control_pair(f"ankle_{axis}") for axis in "xyz"], axis=-1)
_ELBOWS, _FREE, _POINT = control_pair("elbow"), control_pair("free"), control_pair("point")
_ANGLES = np.array([[_AT[name] for name in names] for names in (
    ("twist", "pitch", "lean"), ("chest_twist", "chest_pitch", "chest_lean"),
    ("head_turn", "head_pitch", "head_lean"))])  # fmt: skip


def pose_body(
    build: GeneratedBody, place: NDArray[np.floating], heading: NDArray[np.floating], feet: Steps,
    controls: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Pelvis (T, 3) m and vectors (T, 27, 3) m (``bodies.assemble``) of a body with given motion of the feet.

    place (T, 2) m and heading (T,) rad: of the path; controls (T, V) as in ``CONTROLS``.
    """
    get = {name: controls[:, _AT[name]] for name in ("height", "back", "side", "roll", "swing", "lying", "level")}
    turns = _trunk_rotations(controls, heading, get["roll"], feet)
    pelvis, chest, head = turns
    vectors = np.zeros((len(place), len(JOINTS), 3))
    for joints, turn in ((_PELVIS, pelvis), (_CHEST, chest), (_HEAD, head)):
        vectors[:, joints] = np.einsum("tab,jb->tja", turn, build.offset[joints])
    upright = euler(np.stack([heading, 0 * heading, 0 * heading], -1))
    over = np.stack([-get["back"], get["side"]], -1) * build.leg_m
    root = np.zeros((len(place), 3))
    root[:, :2] = place + np.einsum("tab,tb->ta", upright[:, :2, :2], over)
    ankles, soles = _ankles(build, feet)
    free = controls[:, _FREE]
    root[:, 2] = build.leg_m * get["height"] + build.ankle_m - _pelvis_drop(build, feet)
    _legs(build, vectors, root, (ankles, soles), pelvis, feet, controls)
    _arms(build, vectors, upright, chest, feet, controls, get)
    if free.any():  # a kneeling or lying body rests on its lowest part
        low = lowest_point(build, assemble(root, vectors))
        root[:, 2] += np.maximum(-low, 0) * (free.max(1) > 0)
        root[:, 2] += get["lying"] * (get["level"] - np.maximum(low, 0))
    return root, vectors


def _trunk_rotations(
    controls: NDArray[np.floating], heading: NDArray[np.floating], roll: NDArray[np.floating], feet: Steps
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rotations (T, 3, 3) of pelvis, chest and head; shoulders turn against the hips when walking."""
    angles = controls[:, _ANGLES].copy()
    wave = feet.vigour * np.cos(2 * np.pi * feet.phase)  # 1 where the left foot touches the floor
    angles[:, 0, 0] += heading - 0.09 * wave
    angles[:, 1, 0] += 0.16 * wave
    angles[:, 2, 0] -= 0.07 * wave
    drop = feet.vigour * np.cos(2 * np.pi * (feet.phase - 0.31))
    angles[:, 0, 2] += 0.04 * drop
    angles[:, 1, 2] -= 0.05 * drop
    local = euler(angles)
    pelvis = local[:, 0]
    if roll.any():
        flat = 0 * roll
        pelvis = pelvis @ euler(np.stack([roll, flat, flat], -1))
    chest = pelvis @ local[:, 1]
    return pelvis, chest, chest @ local[:, 2]


def _ankles(build: GeneratedBody, feet: Steps) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ankles (T, 2, 3) m of feet that stand on toes or heels or are flat, and rotations (T, 2, 3, 3) of the feet."""
    flat = 0 * feet.yaw
    yawed, turned = (euler(np.stack([feet.yaw, pitch, flat], -1)) for pitch in (flat, feet.pitch))
    toe, heel = (build.offset[_LIMB_JOINTS[name], 0].mean() for name in ("big_toe", "heel"))
    pivot = np.zeros((*feet.pitch.shape, 3))
    pivot[..., 0] = np.where(feet.pitch > 0, toe, heel)
    pivot[..., 2] = -build.ankle_m
    ankle = np.concatenate([feet.place, (build.ankle_m + feet.lift)[..., None]], axis=-1)
    return ankle + np.matmul(yawed - turned, pivot[..., None])[..., 0], turned


def _pelvis_drop(build: GeneratedBody, feet: Steps) -> NDArray[np.float64]:
    """Drop (T,) m of the pelvis in walking against standing: largest when a foot touches the floor ahead."""
    ahead = np.minimum(feet.ahead / build.leg_m, 0.7)
    least = build.leg_m * np.maximum(1 - np.sqrt(1 - ahead**2) - 0.02, 0)
    return np.asarray(least * (0.55 + 0.4 * np.cos(4 * np.pi * (feet.phase - 0.03))))


def _legs(
    build: GeneratedBody, vectors: NDArray[np.float64], root: NDArray[np.float64],
    ground: tuple[NDArray[np.float64], NDArray[np.float64]], pelvis: NDArray[np.float64], feet: Steps,
    controls: NDArray[np.floating],
) -> None:  # fmt: skip
    """Fill in the vectors of knees, ankles and feet."""
    hips = vectors[:, _LIMB_JOINTS["hip"]]
    free = controls[:, _FREE][..., None]
    wish = controls[:, _ANKLES] * build.leg_m
    wish[..., 1] *= _OUTWARD
    hanging = np.einsum("tab,tsb->tsa", pelvis, wish)
    ankles, soles = ground
    goal = ankles - root[:, None] - hips
    goal += free * (hanging - goal)
    forward = np.stack([np.cos(feet.yaw), np.sin(feet.yaw), 0 * feet.yaw], -1)
    pole = forward + free * (pelvis[:, None, :, 0] - forward)
    thigh, shank = _two_bone_ik(goal, pole, build.length[_LIMB_JOINTS["knee"]], build.length[_LIMB_JOINTS["ankle"]])
    vectors[:, _LIMB_JOINTS["knee"]], vectors[:, _LIMB_JOINTS["ankle"]] = thigh, shank
    on_floor = np.einsum("tsab,sfb->tsfa", soles, build.offset[_FEET])
    if free.any():
        own = _foot_rotations(shank, pelvis[:, :, 1], controls[:, _POINT])
        in_air = np.einsum("tsab,sfb->tsfa", own, build.offset[_FEET])
        mixed = on_floor + free[..., None] * (in_air - on_floor)
        length = build.length[_FEET][..., None]
        on_floor = mixed * length / np.maximum(np.linalg.norm(mixed, axis=-1, keepdims=True), 1e-9)
    vectors[:, _FEET] = on_floor


def _foot_rotations(
    shank: NDArray[np.float64], left: NDArray[np.float64], point: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Rotations (T, 2, 3, 3) of feet at right angles to their shanks, extended by an angle."""
    z = -shank / np.linalg.norm(shank, axis=-1, keepdims=True)
    y = left[:, None] - (left[:, None] * z).sum(-1, keepdims=True) * z
    y /= np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-9)
    frame = np.stack([np.cross(y, z), y, z], -1)
    flat = 0 * point
    return np.asarray(frame @ euler(np.stack([flat, point, flat], -1)))


def _arms(
    build: GeneratedBody,
    vectors: NDArray[np.float64],
    upright: NDArray[np.float64],
    chest: NDArray[np.float64],
    feet: Steps,
    controls: NDArray[np.floating],
    get: dict[str, NDArray[np.floating]],
) -> None:
    """Fill in the vectors of elbows and wrists."""
    goal = controls[:, _WRISTS].copy()
    wave = (get["swing"] * feet.vigour * np.cos(2 * np.pi * feet.phase))[:, None] * _OUTWARD
    goal[..., 0] -= _ARM_SWING * wave - 0.1 * (get["swing"] * feet.vigour)[:, None]
    goal[..., 0] += 0.35 * np.exp(-(goal**2).sum(-1) / 0.05)  # hands pass in front of the shoulder
    goal[..., 2] += 0.22 * wave**2 + 0.05 * np.maximum(-wave, 0)
    pole = np.empty_like(goal)
    pole[..., 0], pole[..., 2] = -0.6, -0.5
    pole[..., 1] = controls[:, _ELBOWS]
    goal[..., 1] *= _OUTWARD
    pole[..., 1] *= _OUTWARD
    heading = chest * 1.0  # arms hang down however the trunk bends; in a lying body they are along the trunk
    flat = np.arctan2(chest[:, 1, 0] - chest[:, 0, 1], chest[:, 0, 0] + chest[:, 1, 1])
    level = euler(np.stack([flat, 0 * flat, 0 * flat], -1))
    heading += (1 - get["lying"])[:, None, None] * (level - heading)
    goal, pole = (np.einsum("tab,tsb->tsa", heading, values) for values in (goal * build.arm_m, pole))
    arm, forearm = _two_bone_ik(goal, pole, build.length[_LIMB_JOINTS["elbow"]], build.length[_LIMB_JOINTS["wrist"]])
    vectors[:, _LIMB_JOINTS["elbow"]], vectors[:, _LIMB_JOINTS["wrist"]] = arm, forearm


def _two_bone_ik(
    goal: NDArray[np.floating], pole: NDArray[np.floating], upper: NDArray[np.floating], lower: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both segments (T, 2, 3) of limbs that reach for ``goal`` as far as possible, the middle joint near ``pole``."""
    far = np.linalg.norm(goal, axis=-1, keepdims=True)
    way = goal / np.maximum(far, 1e-9)
    long = (upper + lower)[:, None]
    over = np.maximum(far / long - _STRAIGHT, 0)  # a soft limit, so that the middle joint does not jump
    far = np.clip(far, _FOLDED * long, (_STRAIGHT + _SPARE * np.tanh(over / _SPARE)) * long)
    aside = pole - (pole * way).sum(-1, keepdims=True) * way
    aside /= np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-9)
    a, b = upper[:, None], lower[:, None]
    cos = (a**2 + far**2 - b**2) / (2 * a * far)
    first = a * (way * cos + aside * np.sqrt(np.maximum(1 - cos**2, 0)))
    return first, way * far - first


def euler(angle: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotations (..., 3, 3) by angles (..., 3) rad yaw, pitch, lean: first about x (lean), then y, then z (yaw)."""
    (cz, cy, cx), (sz, sy, sx) = np.moveaxis(np.cos(angle), -1, 0), np.moveaxis(np.sin(angle), -1, 0)
    rows = [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
            sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, -sy, cy * sx, cy * cx]  # fmt: skip
    return np.stack(rows, -1).reshape(*angle.shape[:-1], 3, 3)
