"""Priors of bodies: distributions of limb lengths and of joint positions in the body frame.

Both are normal distributions, or mixtures of a few, so that unknown values follow from known ones in closed form, with
their standard deviations.

Statures of adults: C. D. Fryar et al., "Anthropometric Reference Data for Children and Adults: United States,
2015-2018", Vital and Health Statistics 3(46), 2021. Limbs as shares of stature: Winter, "Biomechanics and Motor Control
of Human Movement", 4th ed., fig. 4.1; how they differ between the sexes and within them: C. C. Gordon et al., "2012
Anthropometric Survey of U.S. Army Personnel", Natick/TR-15/007, 2014 (acromion-radiale, radiale-stylion, trochanterion
and lateral femoral epicondyle heights, biacromial and hip breadth over stature).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.structures.anthropometry import (
    HIPS_SPREAD,
    LIMB_SPREAD,
    SIDES_SPREAD,
    STATURE_M,
    mirror_limbs,
    typical_limbs,
)
from mvcap.structures.skeleton import Skeleton

_STATURE: Mapping[str, tuple[float, float]] = {"female": (1.613, 0.071), "male": (1.753, 0.076)}
"""Mean and standard deviation, m."""
_OVER_TYPICAL: Mapping[str, Mapping[str, float]] = {
    "female": {"arm": 0.985, "leg": 0.995, "hip": 1.05}, "male": {"arm": 1.01, "leg": 1.0, "hip": 0.97},
}  # fmt: skip
"""Limb lengths of each sex relative to those of a typical body of the same stature."""
_OWN_SPREAD = 0.04
"""Standard deviation of a limb's share of stature within one sex."""
_CHILDREN = 0.12
"""Prior probability of the broad component of any stature, which includes children."""


@dataclass(frozen=True)
class BodyBuild:
    """Estimated body sizes of one person."""

    length_m: Floats
    """(B',) m, length of each of ``skeleton.limbs``."""
    sigma: Floats
    """(B',) standard deviations of the lengths, as shares of them."""
    stature_m: float
    stature_sigma_m: float
    female: float
    """Probability of being female; 0.5 if limb lengths do not tell, which is usual."""


def body_build(skeleton: Skeleton, length_m: Floats, sigma: Floats) -> BodyBuild:
    """Estimate the body sizes from measured limb lengths (B',) m, NaN where unknown.

    sigma (B',): standard deviations of the measurements as shares of the length. The logarithms of limb lengths are
    normally distributed around those of sex and stature. The difference between the joint definition of an estimator
    and the ends of bones makes all limbs of a kind longer or shorter, on both sides.
    """
    known = np.isfinite(length_m) & np.isfinite(sigma)
    typical, twin = np.log(typical_limbs(skeleton)), mirror_limbs(skeleton)
    kinds = [_kind(skeleton, pair) for pair in skeleton.limbs.tolist()]
    spread = np.array([HIPS_SPREAD if kind == "hip" else LIMB_SPREAD for kind in kinds])
    both = (twin[:, None] == np.arange(len(twin))) | np.eye(len(twin), dtype=bool)
    shared = np.where(both, np.hypot(spread, _OWN_SPREAD)[:, None] ** 2, 0) + np.eye(len(twin)) * SIDES_SPREAD**2 / 2
    found = []
    for share, stature, deviation, female, over in _components(kinds):
        cov = np.full((len(twin) + 1, len(twin) + 1), deviation**2)
        cov[:-1, :-1] += shared
        mean = np.append(typical + np.log(over) + np.log(stature / STATURE_M), np.log(stature))
        measured = cov[:-1, :-1][np.ix_(known, known)] + np.diag(sigma[known] ** 2)
        residual = np.log(length_m[known]) - mean[:-1][known]
        gain = np.linalg.solve(measured, cov[:, :-1][:, known].T).T
        likelihood = -0.5 * (residual @ np.linalg.solve(measured, residual) + np.linalg.slogdet(measured)[1])
        posterior = mean + gain @ residual, np.diag(cov - gain @ cov[:-1][known])
        found.append((np.log(share) + likelihood, *posterior, female))
    weight = np.exp(np.array([one[0] for one in found]) - max(one[0] for one in found))
    weight /= weight.sum()
    mean = weight @ np.stack([one[1] for one in found])
    variance = sum(w * (one[2] + (one[1] - mean) ** 2) for w, one in zip(weight, found, strict=True))
    deviation, female = np.sqrt(np.maximum(variance, 0)), float(weight @ np.array([one[3] for one in found]))
    stature = float(np.exp(mean[-1]))
    return BodyBuild(np.exp(mean[:-1]), deviation[:-1], stature, stature * float(deviation[-1]), female)


def _components(kinds: list[str]) -> list[tuple[float, float, float, float, Floats]]:
    """Return the components of the mixture.

    Each has its share, stature m, standard deviation of log stature, probability of female, and limb lengths relative
    to typical ones (B',).
    """
    out = []
    for sex, (mean, spread) in _STATURE.items():
        over = np.array([_OVER_TYPICAL[sex][kind] for kind in kinds])
        out.append((0.5 * (1 - _CHILDREN), mean, spread / mean, float(sex == "female"), over))
    out.append((_CHILDREN, 1.4, 0.25, 0.5, np.ones(len(kinds))))
    return out


def _kind(skeleton: Skeleton, pair: list[int]) -> str:
    names = [skeleton.joints[end].split("_")[-1] for end in pair]
    return "hip" if names == ["hip", "hip"] else "leg" if "knee" in names else "arm"


_PRIOR_POSITION: Mapping[str, tuple[float, float, float, float]] = {
    "shoulder": (0.02, 0.18, 0.23, 0.05), "elbow": (0.04, 0.27, -0.03, 0.09), "wrist": (0.17, 0.20, -0.12, 0.16),
    "hip": (-0.02, 0.10, -0.23, 0.05), "knee": (0.11, 0.11, -0.55, 0.16), "ankle": (0.03, 0.09, -0.94, 0.21),
    "heel": (-0.04, 0.08, -0.98, 0.22), "big_toe": (0.19, 0.08, -1.00, 0.23), "small_toe": (0.14, 0.16, -0.99, 0.23),
    "nose": (0.16, 0.00, 0.36, 0.09), "eye": (0.14, 0.03, 0.40, 0.10), "ear": (0.06, 0.07, 0.40, 0.09),
    "head_top": (0.10, 0.00, 0.51, 0.12), "neck": (0.02, 0.00, 0.23, 0.05), "pelvis": (-0.02, 0.00, -0.23, 0.05),
}  # fmt: skip
"""Mean position forward, to the side and up from the centre of the torso, m, and standard deviation of each coordinate,
for a body of 1.72 m: from 20000 moments of synthetic training takes (``mvcap.datasets``), mirrored."""
_WIDER = 1.7
"""Standard deviation of real motion divided by that of the synthetic takes, as people do more than is generated."""


def known_joints(skeleton: Skeleton) -> NDArray[np.int64]:
    """Return the indices (K,) of the joints that have a prior position."""
    return np.array([at for at, joint in enumerate(skeleton.joints) if _part(joint)[0] in _PRIOR_POSITION], np.int64)


def usual_places(joints: Sequence[str]) -> tuple[Floats, Floats]:
    """Return prior positions (J, 3) m of joints in the frame of a body of 1.72 m, and their standard deviations (J,) m.

    x forward, y left, z up; for a moving body of which only the torso is known.
    """
    rows = []
    for joint in joints:
        part, side = _part(joint)
        ahead, aside, up, spread = _PRIOR_POSITION[part]
        rows.append((ahead, side * aside, up, spread))
    out = np.array(rows)
    return out[:, :3], _WIDER * out[:, 3]


def _part(joint: str) -> tuple[str, int]:
    """Return the body part of a joint, and 1 for left, -1 for right, 0 for the middle."""
    side, _, part = joint.partition("_")
    sign = {"left": 1, "right": -1}.get(side, 0)
    return (part if sign else joint), sign
