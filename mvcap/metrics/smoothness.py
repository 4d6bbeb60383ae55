"""Bone length variation and acceleration error of estimated poses."""

from __future__ import annotations

import numpy as np

from mvcap.metrics.matching import Matching
from mvcap.metrics.pose_error import mean_error
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.poses import Poses3D


def bone_spread(found: Poses3D) -> float:
    """Return the standard deviation of limb lengths over the take, divided by their mean, in percent; NaN without data.

    Per person: the median over the limbs of the skeleton, outliers included; then the mean over people, weighted by
    their numbers of frames.
    """
    spread, weight = [], []
    lengths = limb_lengths(found.skeleton, found.xyz)
    for person in np.unique(found.person):
        mine = lengths[found.person == person]
        known = mine[:, np.isfinite(mine).sum(0) > 1]
        if known.shape[1]:
            spread.append(float(np.median(np.nanstd(known, axis=0) / np.nanmean(known, axis=0))))
            weight.append(len(mine))
    return float(100 * np.average(spread, weights=weight)) if spread else float("nan")


def jitter(truth: Poses3D, found: Poses3D, matching: Matching, rate_hz: float) -> float:
    """Return the mean acceleration error of the estimated joints, m/s^2.

    It is the length of the second difference of the joint's error (as in HMMR and VIBE, per joint), over triples of
    consecutive frames in which one true person is matched to one id. As an error against the true motion, it does not
    reward over-smoothing. NaN without such triples.
    """
    person, identity = truth.person[matching.truth], found.person[matching.found]
    frame = truth.frame[matching.truth].astype(np.int64)
    order = np.lexsort((frame, identity, person))
    person, identity, frame = person[order], identity[order], frame[order]
    error = (found.xyz[matching.found] - truth.xyz[matching.truth]).astype(np.float64)[order]
    if len(order) < 3:
        return float("nan")
    runs = (np.diff(frame) == 1) & (np.diff(person) == 0) & (np.diff(identity) == 0)
    triple = runs[:-1] & runs[1:]
    acceleration = np.linalg.norm(error[2:] - 2 * error[1:-1] + error[:-2], axis=-1)[triple] * rate_hz**2
    return mean_error(acceleration[np.isfinite(acceleration)])
