"""What bodies are like before anything is seen: how long their limbs are, and where their joints usually are.

Both are normal distributions, or mixtures of a few, so that what is not seen follows from what is in closed form, with
a deviation that says how far it may be wrong.

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
"""By how much limbs of each sex differ from those of a typical body of the same stature."""
_OWN_SPREAD = 0.04
"""Standard deviation of a limb's share of stature within one sex."""
_CHILDREN = 0.12
"""Share of people who are of any stature there is, children among them."""


@dataclass(frozen=True)
class BodyBuild:
    """Sizes of one person's body."""

    length_m: Floats
    """(B',) of each of ``skeleton.limbs``."""
    sigma: Floats
    """(B',) their standard deviations, as a share."""
    stature_m: float
    stature_sigma_m: float
    female: float
    """Probability of being female; 0.5 where limbs do not tell, as they rarely do."""


def body_build(skeleton: Skeleton, length_m: Floats, sigma: Floats) -> BodyBuild:
    """Build of a body whose limbs measure (B',) m, NaN where unknown, give or take a share ``sigma`` (B',) of it.

    The logarithms of a body's limbs are normally distributed about those of its sex and stature; that what estimators
    mean by a joint is not where bones end makes all limbs of a kind longer or shorter, on both sides.
    """
    known = np.isfinite(length_m) & np.isfinite(sigma)
    usual, twin = np.log(typical_limbs(skeleton)), mirror_limbs(skeleton)
    kinds = [_kind(skeleton, pair) for pair in skeleton.limbs.tolist()]
    spread = np.array([HIPS_SPREAD if kind == "hip" else LIMB_SPREAD for kind in kinds])
    both = (twin[:, None] == np.arange(len(twin))) | np.eye(len(twin), dtype=bool)
    shared = np.where(both, np.hypot(spread, _OWN_SPREAD)[:, None] ** 2, 0) + np.eye(len(twin)) * SIDES_SPREAD**2 / 2
    found = []
    for share, stature, deviation, female, over in _people(kinds):
        cov = np.full((len(twin) + 1, len(twin) + 1), deviation**2)
        cov[:-1, :-1] += shared
        mean = np.append(usual + np.log(over) + np.log(stature / STATURE_M), np.log(stature))
        seen = cov[:-1, :-1][np.ix_(known, known)] + np.diag(sigma[known] ** 2)
        off = np.log(length_m[known]) - mean[:-1][known]
        gain = np.linalg.solve(seen, cov[:, :-1][:, known].T).T
        likely = -0.5 * (off @ np.linalg.solve(seen, off) + np.linalg.slogdet(seen)[1])
        found.append((np.log(share) + likely, mean + gain @ off, np.diag(cov - gain @ cov[:-1][known]), female))
    weight = np.exp(np.array([one[0] for one in found]) - max(one[0] for one in found))
    weight /= weight.sum()
    mean = weight @ np.stack([one[1] for one in found])
    variance = sum(w * (one[2] + (one[1] - mean) ** 2) for w, one in zip(weight, found, strict=True))
    deviation, female = np.sqrt(np.maximum(variance, 0)), float(weight @ np.array([one[3] for one in found]))
    stature = float(np.exp(mean[-1]))
    return BodyBuild(np.exp(mean[:-1]), deviation[:-1], stature, stature * float(deviation[-1]), female)


def _people(kinds: list[str]) -> list[tuple[float, float, float, float, Floats]]:
    """Share, stature m, its deviation (of the logarithm), how female, and how limbs differ from typical ones (B',)."""
    out = []
    for sex, (mean, spread) in _STATURE.items():
        over = np.array([_OVER_TYPICAL[sex][kind] for kind in kinds])
        out.append((0.5 * (1 - _CHILDREN), mean, spread / mean, float(sex == "female"), over))
    out.append((_CHILDREN, 1.4, 0.25, 0.5, np.ones(len(kinds))))
    return out


def _kind(skeleton: Skeleton, pair: list[int]) -> str:
    names = [skeleton.joints[end].split("_")[-1] for end in pair]
    return "hip" if names == ["hip", "hip"] else "leg" if "knee" in names else "arm"


_USUAL: Mapping[str, tuple[float, float, float, float]] = {
    "shoulder": (0.02, 0.18, 0.23, 0.05), "elbow": (0.04, 0.27, -0.03, 0.09), "wrist": (0.17, 0.20, -0.12, 0.16),
    "hip": (-0.02, 0.10, -0.23, 0.05), "knee": (0.11, 0.11, -0.55, 0.16), "ankle": (0.03, 0.09, -0.94, 0.21),
    "heel": (-0.04, 0.08, -0.98, 0.22), "big_toe": (0.19, 0.08, -1.00, 0.23), "small_toe": (0.14, 0.16, -0.99, 0.23),
    "nose": (0.16, 0.00, 0.36, 0.09), "eye": (0.14, 0.03, 0.40, 0.10), "ear": (0.06, 0.07, 0.40, 0.09),
    "head_top": (0.10, 0.00, 0.51, 0.12), "neck": (0.02, 0.00, 0.23, 0.05), "pelvis": (-0.02, 0.00, -0.23, 0.05),
}  # fmt: skip
"""Forward, to its side and up from the torso's middle, m, and standard deviation of each, in a body of 1.72 m: of
20000 moments of generated training takes (``mvcap.datasets``), mirrored."""
_WIDER = 1.7
"""People do more than they do there: the deviation of what they do over that of the takes."""


def known_joints(skeleton: Skeleton) -> NDArray[np.int64]:
    """Index (K,) of the joints of which the usual place is known."""
    return np.array([at for at, joint in enumerate(skeleton.joints) if _part(joint)[0] in _USUAL], np.int64)


def usual_places(joints: Sequence[str]) -> tuple[Floats, Floats]:
    """Places (J, 3) m of joints in the frame of a body of 1.72 m (x forward, y left), and their deviations (J,).

    Of a body in motion of which nothing is known but its torso.
    """
    rows = []
    for joint in joints:
        part, side = _part(joint)
        ahead, aside, up, spread = _USUAL[part]
        rows.append((ahead, side * aside, up, spread))
    out = np.array(rows)
    return out[:, :3], _WIDER * out[:, 3]


def _part(joint: str) -> tuple[str, int]:
    """Part of the body that a joint is, and 1 for the left, -1 for the right, 0 for the middle."""
    side, _, part = joint.partition("_")
    sign = {"left": 1, "right": -1}.get(side, 0)
    return (part if sign else joint), sign
