"""Cluster detections by pairwise evidence so that the result is consistent over all views.

Correlation clustering (minimum-cost multicut) by greedy additive edge contraction (Keuper et al., ICCV 2015): the two
groups with the most evidence for a common person are merged until no pair has positive evidence. Evidence adds up, so a
pair that agrees by chance is kept apart by the views that contradict it, and any three members of a group are
consistent by construction. The cost is at most cubic in the number of nodes and does not depend on the evidence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats


def contract_edges(evidence: Floats) -> NDArray[np.int64]:
    """Group number (N,) of each node from symmetric evidence (N, N) nats; -inf: the two are never merged."""
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
    """Group (N,) of each row, -1 = none, from scores (N, G) nats: a group gets each joint of a view at most once.

    The best one-to-one assignment, view by view (Hungarian method). Then each row left over joins its best group if it
    shares no joint of ``seen`` (N, J) with the group's rows of that view, except with rows that are ``alike`` (N, N).
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
                holders = mine[out[mine] == group]
                overlap = (seen[holders] & seen[row]).any(1)
                if not (overlap if alike is None else overlap & ~alike[row, holders]).any():
                    out[row] = group
                    break
    return out


def swapped_rows(alike: Floats) -> NDArray[np.bool_]:
    """Which rows (N,) of one body have left and right swapped: the minority; in a tie, the later rows.

    alike (N, N), symmetric: what each pair gains if both or neither are swapped. The candidates are the choices that
    follow from each single row's pairs.
    """
    best, most = np.zeros(len(alike), np.bool_), alike.sum()
    for reference in alike:
        flags = reference < 0
        signs = np.where(flags, -1.0, 1.0)
        if (trial := signs @ alike @ signs) > most:
            best, most = flags, trial
    twice = 2 * int(best.sum())
    return np.asarray(~best if twice > len(best) or (twice == len(best) and best[:1].any()) else best)
