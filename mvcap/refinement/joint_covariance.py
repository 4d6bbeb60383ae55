"""Covariance of refined joints: what the linear system leaves out.

The inverse of the normal equations holds for independent noise, right limb lengths and the right one of several
solutions. Detections err alike for a while (``lasting_noise``), views are calibrated wrongly (``systematic_error``),
terms of the least squares contradict each other, and the depth of what a single view sees is known from the body's
apparent size only, which posture changes as well. The constants are fitted to generated takes in which people are seen
by one view for 0.2 s to 5 s, with hidden limbs, late views, rigs turned by 0.2 to 1 degree, and detectors of different
joint definitions (``tools/bench covariance``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib import Rig
from calib.arrays import Bools, Floats, Ints
from mvcap.refinement import acceleration
from mvcap.refinement.body_constraints import BoneLengths

_BODY_SHARE, _BODY_S, _BODY_POWER = 0.13, 0.52, 3.0  # depth of a body of one view: share of its distance, time, power
_JOINT_M, _JOINT_S = 0.09, 0.35  # depth of a joint of one view within a body of two: most, and time
_LONGEST_S = 60.0


@dataclass(frozen=True)
class Factors:
    """Factors of the terms of a joint's variance, by the number of views that agree with it."""

    along: float
    """Of the linear system's variance along the ray of the view."""
    across: float
    """Of the linear system's variance across the ray."""
    systematic: float
    """Of the variance from the views' systematic errors."""


NO_VIEW = Factors(0.9, 0.8, 2.0)
ONE_VIEW = Factors(2.7, 2.2, 1.4)
TWO_VIEWS = Factors(1.0, 1.0, 2.2)
"""The systematic error of two views is hardly visible: of their four coordinates three are taken up."""
MORE_VIEWS = Factors(1.1, 1.2, 1.2)
LEARNED, LEARNED_DEPTH = Factors(0.65, 1.3, 1.0), 0.2
"""For joints of which a network states the covariance: it knows a part of the time since two views."""


def contradiction(off: Floats, limit: float, x: Floats, bones: BoneLengths, views: Ints) -> Floats:
    """Mean square (T, J) of the normalised residuals of each joint, at least 1 (the ratio of Birge, 1932).

    off: residuals (C, T, J) in the views, in standard deviations, NaN if unseen, which count up to ``limit``: a larger
    one is an outlier, not used. Joints x (T, J, 3) m also have the residuals of their ``bones`` to joints that as many
    views determine, of at most two; views: (T, J).
    """
    seen, rank = np.isfinite(off), np.minimum(views, 2)
    square = (np.minimum(np.where(seen, off, 0), limit) ** 2).sum(0)
    count = 2.0 * seen.sum(0)
    for (a, b), length, sigma in zip(bones.ends.tolist(), bones.length_m, bones.sigma_m, strict=True):
        residual = (np.linalg.norm(x[:, b] - x[:, a], axis=-1) - length) / sigma
        for end, other in ((a, b), (b, a)):
            counts = rank[:, other] >= rank[:, end]
            square[:, end] += counts * residual**2
            count[:, end] += counts
    return np.asarray(np.maximum(square / np.maximum(count, 1), 1))


def viewing_rays(rig: Rig, seen: Bools, off: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Directions (T, J, 3) and distances (T, J) m from the view that sees each joint x (T, J, 3) m best.

    seen, off: (C, T, J) whether a view saw the joint and its residual. A joint that no view sees has the view that
    sees most of the person; where there is none, the distance is 0.
    """
    best = np.where(seen, off, np.inf).argmin(0)
    most = seen.sum(-1).argmax(0)
    view = np.where(seen.any(0), best, most[:, None])
    way = x - np.asarray(rig.positions)[view]
    distance = np.linalg.norm(way, axis=-1)
    some = np.asarray(seen.any((0, 2)))[:, None]
    return way / np.maximum(distance, 1e-6)[..., None], np.where(some, distance, 0)


def depth_variance(two: Bools, body: Ints, distance: Floats, rate_hz: float) -> Floats:
    """Variance (T, J) m^2 along the ray of joints that fewer than two views see, beyond that of the linear system.

    two: (T, J) whether two views or more agree on the joint; body: the joints that carry the body. The depth of a whole
    body is known from its apparent size; what is known from other moments is lost within half a second.
    """
    carried = two[:, body].mean(-1, keepdims=True) >= 0.5
    since_body, since_joint = (_span(which) / rate_hz for which in (carried, two))
    ratio = (np.minimum(since_body, _LONGEST_S) / _BODY_S) ** _BODY_POWER
    depth = _BODY_SHARE * distance * ratio / (1 + ratio)
    ratio = (np.minimum(since_joint, _LONGEST_S) / _JOINT_S) ** 2
    within = _JOINT_M * ratio / (1 + ratio)
    return np.asarray(depth**2 + within**2)


def _span(known: Bools) -> Floats:
    """Frames (T, J) to what is known: a b / (a + b) between two known frames, else the distance to the only one."""
    before, after, between = acceleration.frames_since_seen(known)
    return np.where(between, before * after / np.maximum(before + after, 1), np.minimum(before, after))


def compose_covariance(
    linear: Floats, systematic: Floats, ray: Floats, depth: Floats, factor: Floats, views: Ints
) -> Floats:
    """Covariances (T, J, 3, 3) m^2 of joints.

    linear, systematic: (T, J, 3, 3) of the linear system and from the views' systematic errors; ray: (T, J, 3) of the
    view; depth: (T, J) m^2 along it; factor: (T, J) of the linear covariance; views: (T, J) number of views that agree,
    -1 where a network states the linear covariance.
    """
    kinds = (NO_VIEW, ONE_VIEW, TWO_VIEWS, MORE_VIEWS, LEARNED)
    kind = np.where(views < 0, len(kinds) - 1, np.minimum(views, 3))
    along, across, shared = (np.array([getattr(one, name) for one in kinds])[kind]
                             for name in ("along", "across", "systematic"))  # fmt: skip
    projection = ray[..., :, None] * ray[..., None, :]
    # Scaled along and across the ray: S = sqrt(across) (1 - P) + sqrt(along) P, applied on both sides.
    scale = np.sqrt(across)[..., None, None] * (np.eye(3) - projection) + np.sqrt(along)[..., None, None] * projection
    out = factor[..., None, None] * (scale @ linear @ scale)
    return np.asarray(out + shared[..., None, None] * systematic + depth[..., None, None] * projection)
