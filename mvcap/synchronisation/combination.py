"""Delays of views from those of pairs, and from several methods: least squares with covariance, contradictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats
from mvcap.structures.sync_evidence import PairCurve, SyncEvidence

_GAUGE = 1e9
_CONTRADICTION = 5.0  # standard deviations


@dataclass(frozen=True)
class PairLine:
    """Delay of a view against another in the middle of the take, s, its drift, and their standard deviations."""

    level_s: float
    level_sigma_s: float
    drift: float
    drift_sigma: float


def views_from_pairs(pairs: Sequence[tuple[int, int, float, float]], views: int) -> tuple[Floats, Floats]:
    """Return delays (C,) with mean 0 and covariance (C, C) from pairs (a, b, delay of b against a, sigma).

    NaN for views that are not linked with the largest group.
    """
    group = _largest_group([(a, b) for a, b, _, _ in pairs], views)
    late, covariance = np.full(views, np.nan), np.full((views, views), np.nan)
    if len(group) < 2:
        return late, covariance
    place = {view: at for at, view in enumerate(group)}
    rows = np.zeros((len(pairs), len(group)))
    for row, (a, b, _, _) in enumerate(pairs):
        if a in place:
            rows[row, place[b]], rows[row, place[a]] = 1, -1
    weight = np.array([1 / sigma**2 for *_, sigma in pairs])
    normal = rows.T @ (weight[:, None] * rows)
    gauge = np.ones(normal.shape) * normal.max()
    inverse = np.linalg.inv(normal + gauge)
    late[group] = inverse @ rows.T @ (weight * np.array([delay for _, _, delay, _ in pairs]))
    covariance[np.ix_(group, group)] = inverse
    return late, covariance


def _largest_group(links: list[tuple[int, int]], views: int) -> list[int]:
    label = list(range(views))
    for _ in range(views):
        for a, b in links:
            label[a] = label[b] = min(label[a], label[b])
    groups = [[view for view in range(views) if label[view] == one] for one in set(label)]
    most = max(len(group) for group in groups)
    return next(group for group in groups if len(group) == most)


def evidence_of_pairs(
    lines: Mapping[tuple[int, int], PairLine | str], views: int, refused: Mapping[int, str], lost: str,
    curves: tuple[PairCurve, ...],
) -> SyncEvidence:  # fmt: skip
    """Return the delays of views from the lines of pairs, or why a pair has none; lost: reason of views without pairs.

    refused: views that are in no pair, and why.
    """
    good = {pair: one for pair, one in lines.items() if not isinstance(one, str)}
    late, spread = views_from_pairs([(a, b, one.level_s, one.level_sigma_s) for (a, b), one in good.items()], views)
    drift, turning = views_from_pairs([(a, b, one.drift, one.drift_sigma) for (a, b), one in good.items()], views)
    covariance = np.zeros((2 * views, 2 * views))
    covariance[:views, :views], covariance[views:, views:] = spread, turning
    reasons = dict(refused)
    for view in np.flatnonzero(np.isnan(late)).tolist():
        told = [one for pair, one in lines.items() if view in pair and isinstance(one, str)]
        reasons.setdefault(view, told[0] if told else lost)
    return SyncEvidence(late, drift, covariance, reasons, curves)


def combine(found: Mapping[str, SyncEvidence], views: int) -> tuple[Floats, Floats, Floats, dict[int, str]]:
    """Return late_s (C,), drift (C,), covariance (2C, 2C) of all methods together, and contradictions by view.

    Each method has a gauge of its own: only differences between its views count. NaN where no method knows a view.
    """
    normal, right = np.zeros((2 * views, 2 * views)), np.zeros(2 * views)
    known: set[int] = set()
    links = []
    for one in found.values():
        mine = np.flatnonzero(np.isfinite(one.late_s))
        if len(mine) < 2:
            continue
        known |= set(mine.tolist())
        links += [(int(mine[0]), int(view)) for view in mine[1:]]
        both = np.concatenate([mine, views + mine])
        # Differences against the method's first view have a proper covariance.
        half = len(mine)
        differ = np.kron(np.eye(2), np.hstack([-np.ones((half - 1, 1)), np.eye(half - 1)]))
        information = np.linalg.inv(differ @ one.covariance[np.ix_(both, both)] @ differ.T)
        values = differ @ np.concatenate([one.late_s[mine], one.drift[mine]])
        normal[np.ix_(both, both)] += differ.T @ information @ differ
        right[both] += differ.T @ information @ values
    group = _largest_group(links, views)
    late, drift = np.full(views, np.nan), np.full(views, np.nan)
    covariance = np.full((2 * views, 2 * views), np.nan)
    if not known or len(group) < 2:
        return late, drift, covariance, {}
    both = np.concatenate([group, views + np.array(group)])
    part = normal[np.ix_(both, both)]
    half = len(group)
    scale = np.kron(np.diag([np.trace(part[:half, :half]), np.trace(part[half:, half:])]), np.ones((half, half)))
    inverse = np.linalg.inv(part + scale)
    solved = inverse @ right[both]
    late[group], drift[group] = solved[:half], solved[half:]
    covariance[np.ix_(both, both)] = inverse
    return late, drift, covariance, _contradictions(found, views)


def _contradictions(found: Mapping[str, SyncEvidence], views: int) -> dict[int, str]:
    """Views that two methods place apart by more than their standard deviations allow."""
    out: dict[int, str] = {}
    names = list(found)
    for at, name in enumerate(names):
        for other in names[at + 1 :]:
            one, two = found[name], found[other]
            shared = np.flatnonzero(np.isfinite(one.late_s) & np.isfinite(two.late_s))
            if len(shared) < 2:
                continue
            apart = one.late_s[shared] - two.late_s[shared]
            apart = apart - np.median(apart)
            sigma = np.sqrt(np.diag(one.covariance)[shared] + np.diag(two.covariance)[shared])
            for view, gap, spread in zip(shared.tolist(), apart, sigma, strict=True):
                if abs(gap) > _CONTRADICTION * spread:
                    out[view] = f"{name} and {other} differ by {1e3 * abs(gap):.1f} ms, {abs(gap) / spread:.0f} sigma"
    return out
