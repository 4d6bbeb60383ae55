"""Groups from pairwise evidence: who belongs together, consistently over all views.

Correlation clustering (minimum-cost multicut) by greedy additive edge contraction (Keuper et al., ICCV 2015): the two
groups with the most evidence for each other are joined until none is left with evidence for any. Evidence adds up, so
a pair that agrees by chance is kept apart by the views that contradict it, and any three of a group are consistent by
construction. The work is cubic in the number of nodes at most and does not depend on how good the evidence is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats


def contract_edges(evidence: Floats) -> NDArray[np.int64]:
    """Group number (N,) of each node from evidence (N, N) nats, symmetric; -inf keeps two nodes apart for good."""
    nodes = len(evidence)
    group = np.arange(nodes)
    weight = evidence.copy()
    np.fill_diagonal(weight, -np.inf)
    best = weight.max(1, initial=-np.inf)
    while nodes:
        a = int(np.argmax(best))
        if not best[a] > 0:
            break
        b = int(np.argmax(weight[a]))
        weight[a] += weight[b]
        weight[:, a] = weight[a]
        weight[a, a] = -np.inf
        weight[b], weight[:, b] = -np.inf, -np.inf
        group[group == b] = a
        best = weight.max(1)
    return group


def pairs_within(group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs (P,), (P,) of members (N,) of the same group, the earlier member first."""
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.diff(first, append=len(order))
    one, other = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for count in np.unique(size[size > 1]).tolist():
        a, b = np.triu_indices(count, 1)
        start = first[size == count, None]
        one.append(order[start + a].ravel())
        other.append(order[start + b].ravel())
    return np.concatenate(one), np.concatenate(other)


def assign_rows(
    score: Floats, view: NDArray[np.integer], seen: NDArray[np.bool_], alike: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Group (N,) of each row, -1 = none, from scores (N, G) nats: of a view a group has each joint once.

    The best one-to-one assignment view by view (Hungarian method); rows left over then join the group that they fit
    best if they share no joint of ``seen`` (N, J) with its rows of their view, or are ``alike`` (N, N).
    """
    from scipy.optimize import linear_sum_assignment

    out = np.full(len(score), -1, np.int64)
    for one in np.unique(view):
        mine = np.flatnonzero(view == one)
        gain = np.maximum(score[mine], 0)
        for row, group in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if gain[row, group] > 0:
                out[mine[row]] = group
        for row in mine[(out[mine] < 0) & (gain.max(1, initial=0) > 0)]:
            for group in np.argsort(-score[row], kind="stable"):
                if not score[row, group] > 0:
                    break
                there = mine[out[mine] == group]
                shares = (seen[there] & seen[row]).any(1)
                if not (shares if alike is None else shares & ~alike[row, there]).any():
                    out[row] = group
                    break
    return out


def swapped_rows(alike: Floats) -> NDArray[np.bool_]:
    """Which rows (N,) of one body have left and right exchanged: the fewer, of a tie the later ones.

    alike (N, N), symmetric: what each pair gains by both or neither being exchanged. Tried are the choices that follow
    from each row's own pairs.
    """
    best, worth = np.zeros(len(alike), np.bool_), alike.sum()
    for reference in alike:
        flags = reference < 0
        signs = np.where(flags, -1.0, 1.0)
        if (trial := signs @ alike @ signs) > worth:
            best, worth = flags, trial
    many = 2 * int(best.sum())
    return np.asarray(~best if many > len(best) or (many == len(best) and best[:1].any()) else best)
