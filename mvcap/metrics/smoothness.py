"""Whether a body keeps its limbs and moves as the truth does: bone spread and jitter."""

from __future__ import annotations

import numpy as np

from mvcap.metrics.matching import Matching
from mvcap.metrics.pose_error import mean_error
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.poses import Poses3D


def bone_spread(found: Poses3D) -> float:
    """Standard deviation over mean of a limb's length through the take, in percent; NaN without any.

    Per person the median over the limbs of the skeleton, outliers included; then the mean over people, by frames.
    """
    spread, weight = [], []
    lengths = limb_lengths(found.skeleton, found.xyz)
    for person in np.unique(found.person):
        mine = lengths[found.person == person]
        held = mine[:, np.isfinite(mine).sum(0) > 1]
        if held.shape[1]:
            spread.append(float(np.median(np.nanstd(held, axis=0) / np.nanmean(held, axis=0))))
            weight.append(len(mine))
    return float(100 * np.average(spread, weights=weight)) if spread else float("nan")


def jitter(truth: Poses3D, found: Poses3D, matching: Matching, rate_hz: float) -> float:
    """Mean acceleration error, m/s^2: of found joints against true ones, so that smoothing motion away is no gain.

    Over three neighbouring frames in which one true person is matched to one found number: the length of the second
    difference of the joint's error (the measure of HMMR and VIBE, per joint). NaN where there is no such triple.
    """
    person, number = truth.person[matching.truth], found.person[matching.found]
    frame = truth.frame[matching.truth].astype(np.int64)
    order = np.lexsort((frame, number, person))
    person, number, frame = person[order], number[order], frame[order]
    error = (found.xyz[matching.found] - truth.xyz[matching.truth]).astype(np.float64)[order]
    if len(order) < 3:
        return float("nan")
    runs = (np.diff(frame) == 1) & (np.diff(person) == 0) & (np.diff(number) == 0)
    triple = runs[:-1] & runs[1:]
    bend = np.linalg.norm(error[2:] - 2 * error[1:-1] + error[:-2], axis=-1)[triple] * rate_hz**2
    return mean_error(bend[np.isfinite(bend)])
