"""The joints that networks of lifters know, by name, the joints of other skeletons from them, and a body's size.

One view does not tell a small person from a large one farther away. So networks learn bodies of one stature, and the
spread of statures is stated beside their result. Statures of adults: C. D. Fryar et al., "Anthropometric Reference Data
for Children and Adults: United States, 2015-2018", Vital and Health Statistics 3(46), 2021.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.structures.skeleton import Skeleton, skeleton

BODY: Skeleton = skeleton("halpe26")
"""The joints of the networks."""
HIPS = (BODY.index("left_hip"), BODY.index("right_hip"))
"""Their middle is the root."""
MIRROR: Ints = BODY.mirror
"""(26,) each joint's partner on the other side."""
TYPICAL_STATURE_M = 1.68
"""Stature of every lifted body: the mean of adults, half of them women (1.613 m) and half men (1.753 m)."""
STATURE_SIGMA = 0.08
"""Relative standard deviation of statures: 0.06 of adults of both sexes, more with one child of school age in 16."""
_SAME: Mapping[str, str] = {"thorax": "neck"}
_HAND, _FACE_M, _HAND_M = 0.35, 0.02, 0.05  # knuckles beyond the wrist, in forearms; how far off such recipes are, m


def body_joints(kind: Skeleton) -> Ints:
    """Index (26,) in a skeleton of each joint of ``BODY``; -1 = it has none."""
    at = {_SAME.get(name, name): index for index, name in enumerate(kind.joints)}
    at |= {name: index for index, name in enumerate(kind.joints)}
    return np.array([at.get(name, -1) for name in BODY.joints], np.int64)


def joints_from_body(kind: Skeleton) -> tuple[Floats, Floats]:
    """Matrix (J, 26) from the joints of ``BODY`` to those of a skeleton, and their additional deviations (J,) m.

    Hands and faces follow roughly from forearms and heads. Rows are NaN for a joint of a user's own skeleton that is no
    part of the body.
    """
    matrix, extra = BODY.convert(kind), np.zeros(len(kind))
    for row, joint in enumerate(kind.joints):
        if np.isfinite(matrix[row]).all():
            continue
        recipe = _recipe(joint)
        if not recipe:
            continue
        matrix[row] = 0
        for source, share in recipe.items():
            matrix[row, BODY.index(source)] = share
        extra[row] = _HAND_M if joint.endswith(("pinky", "index", "thumb")) else _FACE_M
    return matrix, extra


def _recipe(joint: str) -> Mapping[str, float]:
    """A joint that ``BODY`` lacks as a weighted sum of those that it has; empty where it is no part of the body."""
    side, _, part = joint.partition("_")
    if joint in _SAME:
        return {_SAME[joint]: 1.0}
    if joint == "head":
        return {"left_ear": 0.5, "right_ear": 0.5}
    if joint in ("mouth_left", "mouth_right"):
        return {"nose": 0.75, f"{part}_ear": 0.05, "neck": 0.2}
    if side in ("left", "right") and part in ("pinky", "index", "thumb"):
        return {f"{side}_wrist": 1 + _HAND, f"{side}_elbow": -_HAND}
    if side in ("left", "right") and part in ("eye_inner", "eye_outer"):
        return {f"{side}_eye": 0.8, "nose" if part == "eye_inner" else f"{side}_ear": 0.2}
    return {}


def straight_stature(kind: Skeleton, xyz: Floats) -> float:
    """Stature m of a person with joints (T, J, 3) m: shanks, thighs, trunk and head of a body that is straight.

    The ankle is at 0.039 of the stature (Winter, "Biomechanics and Motor Control of Human Movement", 4th ed., fig.
    4.1). NaN where these joints are never there.
    """
    points = np.asarray(kind.apply(BODY, xyz), np.float64)

    def length(one: str, other: str) -> float:
        apart = np.linalg.norm(points[:, BODY.index(one)] - points[:, BODY.index(other)], axis=-1)
        return float(np.quantile(apart[np.isfinite(apart)], 0.9)) if np.isfinite(apart).any() else np.nan

    legs = [length(f"{side}_{one}", f"{side}_{other}")
            for one, other in (("hip", "knee"), ("knee", "ankle")) for side in ("left", "right")]  # fmt: skip
    return (sum(legs) / 2 + length("neck", "pelvis") + length("head_top", "neck")) / (1 - 0.039)
