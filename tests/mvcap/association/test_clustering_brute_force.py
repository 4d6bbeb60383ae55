"""Groups against every way there is to group: on small graphs all of them can be tried."""

from functools import cache
from itertools import permutations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.association.correlation_clustering import assign_rows, contract_edges, swapped_rows

seeds = st.integers(0, 2**32 - 1)


@cache
def partitions(nodes):
    """All ways to group so many nodes, as labels that count up from 0 (restricted growth strings)."""
    if nodes == 0:
        return [()]
    return [(*rest, label) for rest in partitions(nodes - 1) for label in range(max(rest, default=-1) + 2)]


def evidence_within(evidence, label):
    """Evidence within groups, each pair once."""
    label = np.asarray(label)
    together = np.triu(label[:, None] == label, 1)
    return float(evidence[together].sum())


def graph(rng, nodes, scale=2.0, apart=0.0):
    half = np.triu(rng.normal(-0.5, scale, (nodes, nodes)), 1)
    half[np.triu(rng.random((nodes, nodes)) < apart, 1)] = -np.inf
    return half + half.T


def best_of(evidence):
    return max(evidence_within(evidence, label) for label in partitions(len(evidence)))


def test_the_number_of_partitions_is_the_bell_number():
    assert [len(partitions(nodes)) for nodes in range(8)] == [1, 1, 2, 5, 15, 52, 203, 877]


@given(seeds, st.integers(0, 6), st.sampled_from([0.0, 0.3]))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_no_grouping_is_better_than_the_best_and_no_single_change_improves_on_ours(seed, nodes, apart):
    evidence = graph(np.random.default_rng(seed), nodes, apart=apart)
    label = contract_edges(evidence)
    ours = evidence_within(evidence, label)
    assert 0 <= ours <= best_of(evidence) + 1e-9
    for one, other in product(np.unique(label), repeat=2):
        if one < other:
            assert evidence_within(evidence, np.where(label == other, one, label)) <= ours + 1e-9, "joining two groups"


@given(seeds, st.integers(2, 6))
@settings(derandomize=True, max_examples=30, deadline=None)
def test_where_people_are_clear_ours_is_the_best_grouping(seed, nodes):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, nodes)
    evidence = np.where(true[:, None] == true, 3.0, -3.0) + graph(rng, nodes, 0.6)
    assert evidence_within(evidence, contract_edges(evidence)) >= best_of(evidence) - 1e-9


def test_on_graphs_without_structure_little_is_lost():
    rng, ours, best, same = np.random.default_rng(0), 0.0, 0.0, 0
    for _ in range(60):
        evidence = graph(rng, 6)
        mine, most = evidence_within(evidence, contract_edges(evidence)), best_of(evidence)
        ours, best, same = ours + mine, best + most, same + (mine >= most - 1e-9)
    assert ours > 0.97 * best and same >= 45


@given(seeds, st.integers(0, 4), st.integers(0, 4))
@settings(derandomize=True, max_examples=50)
def test_rows_of_a_view_are_assigned_at_the_greatest_evidence(seed, rows, groups):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 3, (rows, groups))
    out = assign_rows(score, np.zeros(rows, int), np.ones((rows, 3), bool))
    ours = sum(score[row, group] for row, group in enumerate(out) if group >= 0)
    padded = np.concatenate([np.maximum(score, 0), np.zeros((rows, rows))], axis=1)
    best = max(
        sum(padded[row, at] for row, at in enumerate(order)) for order in permutations(range(groups + rows), rows)
    )
    assert np.isclose(ours, best)


def test_views_do_not_compete_and_rows_that_are_alike_may_share_a_group():
    score = np.array([[5.0], [4.0], [3.0]])
    whole = np.ones((3, 2), bool)
    assert assign_rows(score, np.array([0, 1, 1]), whole).tolist() == [0, 0, -1]
    alike = np.ones((3, 3), bool)
    assert assign_rows(score, np.array([0, 1, 1]), whole, alike).tolist() == [0, 0, 0]
    assert assign_rows(np.zeros((0, 2)), np.zeros(0, int), whole[:0]).tolist() == []


@given(seeds, st.integers(1, 6))
@settings(derandomize=True, max_examples=60)
def test_swapped_rows_are_found_where_one_choice_agrees_with_all(seed, rows):
    """All pairs agree with the truth: the swap is exact; of both halves the smaller one counts as swapped."""
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < 0.4
    signs = np.where(truth, -1.0, 1.0)
    alike = np.outer(signs, signs) * rng.uniform(0.5, 3, (1, 1))
    found = swapped_rows(alike)
    fewer = truth if 2 * truth.sum() < rows else ~truth
    if 2 * truth.sum() == rows:
        fewer = truth if not truth[0] else ~truth
    np.testing.assert_array_equal(found, fewer)


@given(seeds, st.integers(1, 6))
@settings(derandomize=True, max_examples=60)
def test_swapped_rows_never_lose_against_none_and_are_seldom_beaten(seed, rows):
    rng = np.random.default_rng(seed)
    half = np.triu(rng.normal(1, 2, (rows, rows)), 1)
    alike = half + half.T
    signs = np.where(swapped_rows(alike), -1.0, 1.0)
    best = max(np.array(one) @ alike @ np.array(one) for one in product([-1.0, 1.0], repeat=rows))
    assert alike.sum() - 1e-9 <= signs @ alike @ signs <= best + 1e-9
    assert 2 * (signs < 0).sum() <= rows
