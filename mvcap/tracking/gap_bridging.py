"""Whether somebody who comes is somebody who went: by how they moved, what limbs they have, and what they were called.

Evidence is in nats, against a newcomer who may turn up anywhere. Motion speaks for a short absence; after a longer one
everybody could be anywhere, and limbs alone must tell people apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.tracking.limb_reid import LimbProfile, limb_distance, same_person_nats
from mvcap.tracking.motion_model import TOP_SPEED_MPS, predict_states
from mvcap.tracking.tracklets import TrackConfig, Tracklets

_SOMEBODY_KNOWN = 2.0  # nats: who comes is more often somebody who was there than a newcomer
_SAME_NUMBER = 8.0  # nats: the associator, which follows people, says it is the same one
_LIMBS_TELL = 1.0  # nats that limbs must give where motion says nothing
_MARGIN = 3.0  # nats by which the best of several must be better
_SUBSTANTIAL_S = 1.0  # who was seen for less time is no rival to somebody whose limbs are known
_LEAST_AREA_M2 = 25.0


class Chains:
    """What is known of chains (N) of pieces, each in the order of time."""

    def __init__(self, tracklets: Tracklets, chains: Sequence[Sequence[int]]) -> None:
        held = tracklets.all
        of = [np.array(chain, np.int64) for chain in chains]
        start = np.array([chain[0] for chain in of], np.int64)
        end = np.array([chain[np.argmax(held["last"][chain])] for chain in of], np.int64)
        self.rate_hz = tracklets.rate_hz
        self.first: Ints = held["first"][start]
        self.last: Ints = held["last"][end]
        self.begun: Ints = held["begun"][start]
        self.group_first: Ints = held["group_first"][start]
        self.group: Ints = held["group"][end]
        self.frames: Ints = np.array([held["frames"][chain].sum() for chain in of], np.int64)
        self.start = held["start_mean"][start], held["start_cov"][start]
        self.end = held["end_mean"][end], held["end_cov"][end]
        limbs = held["limbs"].shape[1:]
        self.limbs: Floats = np.array([held["limbs"][chain].sum(0) for chain in of]).reshape(-1, *limbs)
        self.profile = LimbProfile(tracklets.skeleton, self.limbs, self.rate_hz)


@dataclass(frozen=True)
class ReturnEvidence:
    """Evidence (N, K) that chains which begin (K) are ones that ended before (N)."""

    nats: Floats
    """More than 0 where it is more likely than not; -inf where it cannot be."""
    by_motion: NDArray[np.bool_]
    """Where motion has its say."""
    limb_nats: Floats
    absent_s: Floats
    motion_sigma: Floats
    """Distance of where one should be from where the other is, in standard deviations; NaN where nothing is known."""
    limb_share: Floats
    """Mean difference of limb lengths as a share of them."""
    limb_sigma: Floats

    def figures(self, ended: int, begun: int) -> dict[str, float]:
        """Numbers of one pair for the record."""
        named = {"absent_s": self.absent_s, "nats": self.nats, "motion_sigma": self.motion_sigma,
                 "limb_share": self.limb_share, "limb_sigma": self.limb_sigma}  # fmt: skip
        values = {name: round(float(value[ended, begun]), 4) for name, value in named.items()}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def words(self, ended: int, begun: int) -> str:
        """One pair in words."""
        figures = self.figures(ended, begun)
        moved = f"{figures['motion_sigma']:.1f} sigma from where they went, " if "motion_sigma" in figures else ""
        limbs = f"limbs differ by {figures['limb_share']:.1%} ({figures['limb_sigma']:.1f} sigma)"
        return f"back after {figures['absent_s']:.2f} s, {moved}{limbs}"


def return_evidence(ended: Chains, begun: Chains, config: TrackConfig, area_m2: float, follows: bool) -> ReturnEvidence:
    """Compare every chain that ended with every one that begins later."""
    absent = (begun.first[None] - ended.last[:, None]) / ended.rate_hz
    limb = same_person_nats(ended.profile, begun.profile)
    motion, sigma = np.full(absent.shape, -np.inf), np.full(absent.shape, np.nan)
    a, b = np.nonzero((absent > 0) & (absent <= config.join_s))
    motion[a, b], sigma[a, b] = _bridged(ended, begun, a, b, config, area_m2)
    off = np.linalg.norm(ended.end[0][:, None, :3] - begun.start[0][None, :, :3], axis=-1)
    waited = (begun.begun[None] - ended.last[:, None]) / ended.rate_hz
    reachable = off <= TOP_SPEED_MPS * waited + 1.0
    called = (ended.group[:, None] == begun.group_first[None]) & (ended.group[:, None] >= 0) & follows
    by_motion = (sigma <= config.gate_sigma) & (motion + limb + _SOMEBODY_KNOWN > 0)
    by_limbs = (limb >= _LIMBS_TELL) | (called & (limb + _SOMEBODY_KNOWN + _SAME_NUMBER > 0))
    nats = np.where(by_motion, motion, 0.0) + limb + _SOMEBODY_KNOWN + _SAME_NUMBER * called
    possible = (absent > 0) & reachable & (by_motion | by_limbs)
    share, limb_sigma = limb_distance(ended.profile, begun.profile)
    return ReturnEvidence(np.where(possible, nats, -np.inf), by_motion | called, limb, absent, sigma, share, limb_sigma)


def _bridged(
    ended: Chains, begun: Chains, a: Ints, b: Ints, config: TrackConfig, area_m2: float
) -> tuple[Floats, Floats]:
    """Evidence (P,) that bodies a moved on to be bodies b, and how far they miss each other, in standard deviations.

    Both are moved to the middle of the absence, one forwards and one backwards in time, and compared on the floor.
    """
    half = (begun.begun[b] - ended.last[a]) / ended.rate_hz / 2
    back = np.array([1.0, 1, 1, -1, -1, -1])
    speeds = config.speed_mps, config.acceleration_mps2
    before, before_cov = predict_states(ended.end[0][a], ended.end[1][a], half, *speeds)
    after, after_cov = predict_states(begun.start[0][b] * back, begun.start[1][b] * back * back[:, None], half, *speeds)
    off = (before - after)[:, :2]
    cov = (before_cov + after_cov)[:, :2, :2]
    square = np.einsum("px,px->p", off, np.linalg.solve(cov, off[..., None])[..., 0])
    evidence = np.log(area_m2) - np.log(2 * np.pi) - np.linalg.slogdet(cov)[1] / 2 - square / 2
    return np.asarray(evidence), np.sqrt(np.maximum(square, 0) / 2)


def is_unambiguous(found: ReturnEvidence, ended: Chains, begun: Chains, one: int, other: int) -> bool:
    """Whether the best that can be said of everybody is much worse without this pair.

    Motion speaks for itself. Limbs must tell the one who comes from all who went and are known well: where two went who
    are alike and one comes, nobody knows who it is; where two come, each like another of them, everybody does.
    """
    if found.by_motion[one, other]:
        return True
    substantial = _SUBSTANTIAL_S * ended.rate_hz
    rows = np.unique([*np.flatnonzero(ended.frames >= substantial), one])
    columns = np.unique([*np.flatnonzero(begun.frames >= substantial), other])
    nats = np.where(found.absent_s > 0, np.maximum(found.limb_nats + _SOMEBODY_KNOWN, found.nats), 0.0)
    nats = np.maximum(nats[np.ix_(rows, columns)], 0.0)
    without = nats.copy()
    without[np.searchsorted(rows, one), np.searchsorted(columns, other)] = 0.0
    return best_sum(nats) - best_sum(without) >= _MARGIN


def best_sum(nats: Floats) -> float:
    """Most that a one-to-one assignment of rows (N, K) of 0 or more to columns can add up to."""
    from scipy.optimize import linear_sum_assignment

    return float(nats[linear_sum_assignment(-nats)].sum())


def visited_area(places: Floats) -> float:
    """Area m^2 in which people turn up: what the places (N, 3) m span and a metre around, at least a small room's."""
    if not len(places):
        return _LEAST_AREA_M2
    low, high = np.quantile(places[:, :2], (0.02, 0.98), axis=0)
    return float(max(np.prod(high - low + 2.0), _LEAST_AREA_M2))
