"""Re-identification across gaps: whether a track that begins continues one that ended, by motion, limbs and number.

Evidence is in nats, against a new person who may appear anywhere. Motion is evidence for a short gap; after a longer
one a person may be anywhere, and only limb lengths distinguish people. The number is that of the associator.
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

_RETURN_NATS = 2.0  # prior: a person who appears is more often a returning one than a new one
_NUMBER_NATS = 8.0  # an associator that tracks people gives both the same number
_LIMB_NATS = 1.0  # least evidence of limbs where motion gives none
_MARGIN_NATS = 3.0  # least lead of the best match over the others
_SUBSTANTIAL_S = 1.0  # chains seen for less time do not compete with those whose limbs are known
_LEAST_AREA_M2 = 25.0


class Chains:
    """Features of N merged tracks (``chains``), each a list of tracklet segments in order of time."""

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
    """Evidence (N, K) that chains which begin (K) continue chains that ended before (N)."""

    nats: Floats
    """Above 0 where a match is more likely than not; -inf where it is impossible."""
    by_motion: NDArray[np.bool_]
    """Where motion or the associator's number supports the match."""
    limb_nats: Floats
    absent_s: Floats
    motion_sigma: Floats
    """Distance between the two predicted positions, in standard deviations; NaN where the gap is too long."""
    limb_share: Floats
    """Mean difference of limb lengths, as a share of the length."""
    limb_sigma: Floats

    def figures(self, ended: int, begun: int) -> dict[str, float]:
        """Numbers of one pair for the record of changes."""
        named = {"absent_s": self.absent_s, "nats": self.nats, "motion_sigma": self.motion_sigma,
                 "limb_share": self.limb_share, "limb_sigma": self.limb_sigma}  # fmt: skip
        values = {name: round(float(value[ended, begun]), 4) for name, value in named.items()}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def words(self, ended: int, begun: int) -> str:
        """Describe the evidence of one pair."""
        figures = self.figures(ended, begun)
        moved = (
            f"{figures['motion_sigma']:.1f} sigma from the predicted position, " if "motion_sigma" in figures else ""
        )
        limbs = f"limb lengths differ by {figures['limb_share']:.1%} ({figures['limb_sigma']:.1f} sigma)"
        return f"re-identified after {figures['absent_s']:.2f} s, {moved}{limbs}"


def return_evidence(ended: Chains, begun: Chains, config: TrackConfig, area_m2: float, follows: bool) -> ReturnEvidence:
    """Compare every chain that ended with every chain that begins later."""
    absent = (begun.first[None] - ended.last[:, None]) / ended.rate_hz
    limb = same_person_nats(ended.profile, begun.profile)
    motion, sigma = np.full(absent.shape, -np.inf), np.full(absent.shape, np.nan)
    a, b = np.nonzero((absent > 0) & (absent <= config.join_s))
    motion[a, b], sigma[a, b] = _motion_evidence(ended, begun, a, b, config, area_m2)
    off = np.linalg.norm(ended.end[0][:, None, :3] - begun.start[0][None, :, :3], axis=-1)
    travel_s = (begun.begun[None] - ended.last[:, None]) / ended.rate_hz
    reachable = off <= TOP_SPEED_MPS * travel_s + 1.0
    same_number = (ended.group[:, None] == begun.group_first[None]) & (ended.group[:, None] >= 0) & follows
    by_motion = (sigma <= config.gate_sigma) & (motion + limb + _RETURN_NATS > 0)
    by_limbs = (limb >= _LIMB_NATS) | (same_number & (limb + _RETURN_NATS + _NUMBER_NATS > 0))
    against = np.where(np.isfinite(sigma), np.minimum(motion, 0.0), 0.0)  # motion that contradicts the limbs counts too
    nats = np.where(by_motion, motion, against) + limb + _RETURN_NATS + _NUMBER_NATS * same_number
    possible = (absent > 0) & reachable & (by_motion | by_limbs) & (nats > 0)
    share, limb_sigma = limb_distance(ended.profile, begun.profile)
    return ReturnEvidence(
        np.where(possible, nats, -np.inf), by_motion | same_number, limb, absent, sigma, share, limb_sigma
    )


def _motion_evidence(
    ended: Chains, begun: Chains, a: Ints, b: Ints, config: TrackConfig, area_m2: float
) -> tuple[Floats, Floats]:
    """Evidence (P,) that bodies a moved to where bodies b begin, and their distance in standard deviations.

    Both are predicted to the middle of the gap, one forwards and one backwards in time, and compared on the floor.
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
    """Whether the best assignment of all chains is much worse without this pair.

    A match supported by motion is unambiguous. A match by limb lengths must stand out from all other ended chains that
    were seen for long: if two people with similar limbs left and one returns, the identity is ambiguous; if two return,
    each similar to another one of them, it is not.
    """
    if found.by_motion[one, other]:
        return True
    substantial = _SUBSTANTIAL_S * ended.rate_hz
    rows = np.unique([*np.flatnonzero(ended.frames >= substantial), one])
    columns = np.unique([*np.flatnonzero(begun.frames >= substantial), other])
    nats = np.where(found.absent_s > 0, np.maximum(found.limb_nats + _RETURN_NATS, found.nats), 0.0)
    nats = np.maximum(nats[np.ix_(rows, columns)], 0.0)
    without = nats.copy()
    without[np.searchsorted(rows, one), np.searchsorted(columns, other)] = 0.0
    return best_sum(nats) - best_sum(without) >= _MARGIN_NATS


def best_sum(nats: Floats) -> float:
    """Largest sum of a one-to-one assignment of rows to columns of a matrix (N, K) without negative entries."""
    from scipy.optimize import linear_sum_assignment

    return float(nats[linear_sum_assignment(-nats)].sum())


def visited_area(places: Floats) -> float:
    """Area in m^2 where people may appear: the span of places (N, 3) m and a metre around, at least a small room's."""
    if not len(places):
        return _LEAST_AREA_M2
    low, high = np.quantile(places[:, :2], (0.02, 0.98), axis=0)
    return float(max(np.prod(high - low + 2.0), _LEAST_AREA_M2))
