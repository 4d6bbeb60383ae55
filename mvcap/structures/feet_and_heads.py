"""Where the feet, the head and the upward direction of a body are, in any world frame."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from calib.arrays import Floats
from mvcap.errors import InputError
from mvcap.structures.skeleton import Skeleton

_HEAD = ("nose", "eye", "ear", "head", "mouth")
_ABOVE_M = {"ankle": 0.08, "heel": 0.015, "toe": 0.015}  # heights of the joints of a standing foot above the floor


def feet_and_bodies(kind: Skeleton, bodies: Floats) -> tuple[Floats, Floats]:
    """Soles (N, 3) m, and vectors (M, 3) from the feet to the head, of bodies (M, J, 3); NaN where unknown.

    Raises InputError for a skeleton without feet.
    """
    head, ankles = mean_joint(kind, bodies, _HEAD), mean_joint(kind, bodies, ("ankle",))
    up = head - ankles
    soles = sole_points(kind, bodies, up)
    if not soles.shape[1]:
        raise InputError(f"the skeleton {kind.name} has no feet, so people define no floor; use points or a board")
    return soles.reshape(-1, 3), up


def sole_points(kind: Skeleton, bodies: Floats, up: Floats) -> Floats:
    """Points (M, F, 3) m of the floor below the F joints of the feet, if bodies (M, J, 3) stand along up (M, 3)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = up / np.linalg.norm(up, axis=-1, keepdims=True)
    soles = [
        bodies[:, index] - _ABOVE_M[part] * unit
        for index, name in enumerate(kind.joints)
        for part in _ABOVE_M
        if part in name.split("_")
    ]
    return np.stack(soles, axis=1) if soles else np.zeros((len(bodies), 0, 3))


def body_directions(kind: Skeleton, bodies: Floats) -> Floats:
    """Unit vectors (M, 3) from the feet to the head of bodies (M, J, 3), else along the trunk; NaN where unknown."""
    high = mean_joint(kind, bodies, _HEAD)
    trunk = mean_joint(kind, bodies, ("shoulder", "neck", "thorax"))
    up = high - mean_joint(kind, bodies, _ABOVE_M)
    for top, bottom in ((high, ("hip", "pelvis")), (trunk, ("hip", "pelvis"))):
        unknown = ~np.isfinite(up).all(-1)
        up[unknown] = (top - mean_joint(kind, bodies, bottom))[unknown]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(up / np.linalg.norm(up, axis=-1, keepdims=True))


def is_head(kind: Skeleton) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which joints (J,) belong to the head."""
    return np.array([bool(set(_HEAD) & set(name.split("_"))) for name in kind.joints], np.bool_)


def mean_joint(kind: Skeleton, bodies: Floats, parts: Iterable[str]) -> Floats:
    """Mean (M, 3) of the known joints of bodies (M, J, 3) whose names contain one of the parts; NaN without any."""
    mine = [index for index, name in enumerate(kind.joints) if set(parts) & set(name.split("_"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a body without any of them has no mean
        return np.array(np.nanmean(bodies[:, mine], axis=1)) if mine else np.full((len(bodies), 3), np.nan)
