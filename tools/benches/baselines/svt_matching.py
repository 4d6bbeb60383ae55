"""The multi-way matching of mvpose (Dong et al., CVPR 2019), by geometric affinity alone, without re-identification.

minimise  <alpha - A, X> + lambda |X|_*  over matches X (M, M) between the rows of a frame, where X is the identity
within a view and each block between two views is doubly stochastic (no row and no column sums to more than 1). The
nuclear norm stands for the rank, which cycle-consistent matches have low. Solved as published, with the alternating
direction method of multipliers: a projection to the constraints and a singular value thresholding in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benches.baselines.one_frame import Floats, Groups, epipolar_distance, frame_by_frame
from calib import Rig
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D

_SWEEPS = 10


@dataclass(frozen=True)
class SvtMatchingConfig:
    """Settings of the baseline: its authors' where they are published."""

    sparsity: float = 0.1
    """alpha: affinities below it speak against a match."""
    rank_weight: float = 50.0
    """lambda: how much a low rank counts."""
    penalty: float = 64.0
    """mu at the start; balanced against the residuals later."""
    steepness: float = 5.0
    """Of the sigmoid that makes an affinity of a distance, which is standardised over the frame's pairs."""
    far_px: float = 50.0
    """Distances count as no more than this when they are standardised, and pairs beyond it have no affinity."""
    steps: int = 500
    tolerance: float = 5e-4
    min_joints: int = 3
    """Joints that two rows must have in common to be compared."""
    min_score: float = 0.1
    """Joints of lower score are not used."""


class SvtMatching:
    """Low-rank, cycle-consistent matches of all views at once."""

    Config = SvtMatchingConfig
    follows = False

    def __init__(self, config: SvtMatchingConfig) -> None:
        self.config = config

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with person numbers, frame by frame."""
        return frame_by_frame(rows, rig, self.config.min_score, self._match), {}

    def _match(self, xy: Floats, view: NDArray[np.integer], rig: Rig) -> Groups:
        if len(np.unique(view)) < 2:
            return []
        affinity = self._affinity(epipolar_distance(xy, view, rig, self.config.min_joints))
        return rounded(matches(affinity, view, self.config), view)

    def _affinity(self, distance: Floats) -> Floats:
        """Affinities (M, M) in 0..1 of distances in px."""
        near = np.minimum(distance, self.config.far_px)
        spread = max(float(near.std()), 1e-9)
        sure = 1 / (1 + np.exp(np.clip(self.config.steepness * (near - near.mean()) / spread, -50, 50)))
        return np.where(distance < self.config.far_px, sure, 0)


def matches(affinity: Floats, view: NDArray[np.integer], config: SvtMatchingConfig) -> Floats:
    """Matches (M, M) in 0..1 that the affinities say, cycle-consistent as far as the rank's weight makes them."""
    cost, mu = config.sparsity - affinity, config.penalty
    first = low = affinity
    dual = np.zeros_like(affinity)
    for _ in range(config.steps):
        last, first = first, doubly_stochastic(low - (cost + dual) / mu, view)
        left, size, right = np.linalg.svd(first + dual / mu)
        low = (left * np.maximum(size - config.rank_weight / mu, 0)) @ right
        dual = dual + mu * (first - low)
        primal, change = np.linalg.norm(first - low) / len(view), mu * np.linalg.norm(first - last) / len(view)
        if primal < config.tolerance and change < config.tolerance:
            break
        mu *= 2 if primal > 10 * change else 0.5 if change > 10 * primal else 1
    return (first + first.T) / 2


def doubly_stochastic(matrix: Floats, view: NDArray[np.integer]) -> Floats:
    """Nearest matrix (M, M) with the identity in each view's block and no row or column of a block above 1.

    All blocks at once, by Dykstra's projections in turn to what rows and to what columns allow.
    """
    views, place = np.unique(view, return_inverse=True)
    rank = np.array([(place[:row] == place[row]).sum() for row in range(len(view))])
    blocks = np.full((len(views), len(views), rank.max() + 1, rank.max() + 1), -1.0)
    at = place[:, None], place[None], rank[:, None], rank[None]
    blocks[at] = matrix
    rows = columns = np.zeros_like(blocks)
    for _ in range(_SWEEPS):
        held = at_most_one(blocks + rows)
        rows = blocks + rows - held
        after = at_most_one((held + columns).swapaxes(-1, -2)).swapaxes(-1, -2)
        columns = held + columns - after
        moved, blocks = np.abs(after - blocks).max(), after
        if moved < 1e-4:
            break
    out: Floats = blocks[at]
    out[place[:, None] == place[None]] = 0
    np.fill_diagonal(out, 1)
    return out


def at_most_one(values: Floats) -> Floats:
    """Nearest values (..., N) that are not negative and sum to 1 at most over the last axis."""
    ordered = -np.sort(-values, axis=-1)
    excess = (np.cumsum(ordered, axis=-1) - 1) / np.arange(1, values.shape[-1] + 1)
    last = np.maximum((ordered > excess).sum(-1, keepdims=True) - 1, 0)
    level = np.maximum(np.take_along_axis(excess, last, axis=-1), 0)
    return np.maximum(values - level, 0)


def rounded(match: Floats, view: NDArray[np.integer]) -> Groups:
    """Groups by matches above one half: each row's matches that are free yet, the surest of each view."""
    groups: Groups = []
    free = np.ones(len(view), bool)
    for row in np.argsort(-match.sum(1), kind="stable"):
        if not free[row]:
            continue
        free[row] = False
        group = [int(row)]
        for other in np.argsort(-match[row], kind="stable"):
            if free[other] and match[row, other] > 0.5 and view[other] not in view[group]:
                group.append(int(other))
                free[other] = False
        groups.append(group)
    return groups
