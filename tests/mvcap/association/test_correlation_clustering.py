"""Groups of graphs whose parts are known, and graphs of nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.association.correlation_clustering import assign_rows, contract_edges, pairs_within

seeds = st.integers(0, 2**32 - 1)


def graph(rng, nodes, scale=3.0):
    """Symmetric evidence (N, N)."""
    half = np.triu(rng.normal(-1, scale, (nodes, nodes)), 1)
    return half + half.T


def partition(group):
    """The groups as a set of sets."""
    return {frozenset(np.flatnonzero(group == one).tolist()) for one in np.unique(group)}


@given(seeds, st.integers(0, 25), st.floats(0, 0.6))
@settings(max_examples=60)
def test_who_cannot_be_together_never_is(seed, nodes, share):
    rng = np.random.default_rng(seed)
    evidence = graph(rng, nodes)
    apart = np.triu(rng.random((nodes, nodes)) < share, 1)
    evidence[apart | apart.T] = -np.inf
    given_ = evidence.copy()
    group = contract_edges(evidence)
    np.testing.assert_array_equal(evidence, given_)
    together = group[:, None] == group[None]
    assert not (together & (apart | apart.T)).any()
    between = [
        evidence[np.ix_(list(a), list(b))].sum() for a in partition(group) for b in partition(group) if min(a) < min(b)
    ]
    assert all(gain <= 1e-9 for gain in between), "two groups with evidence for each other were left apart"


@given(seeds, st.lists(st.integers(1, 6), min_size=1, max_size=6))
@settings(max_examples=60)
def test_blocks_are_found(seed, sizes):
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(len(sizes)), sizes)
    evidence = np.where(true[:, None] == true[None], 4.0, -4.0) + graph(rng, len(true), 0.5)
    assert partition(contract_edges(evidence)) == partition(true)


@given(seeds, st.integers(1, 20))
@settings(max_examples=40)
def test_the_order_of_nodes_does_not_matter(seed, nodes):
    rng = np.random.default_rng(seed)
    evidence, order = graph(rng, nodes), rng.permutation(nodes)
    one, other = contract_edges(evidence), contract_edges(evidence[np.ix_(order, order)])
    assert partition(one) == {frozenset(order[list(part)].tolist()) for part in partition(other)}


def test_a_chance_agreement_is_outvoted():
    """Two triples; one node of each agree by chance, the rest do not."""
    true = np.repeat([0, 1], 3)
    evidence = np.where(true[:, None] == true[None], 3.0, -3.0)
    evidence[0, 3] = evidence[3, 0] = 2.9
    assert partition(contract_edges(evidence)) == partition(true)


def test_nothing_is_grouped_without_evidence():
    assert len(contract_edges(np.zeros((0, 0)))) == 0
    assert len(set(contract_edges(np.zeros((5, 5))))) == 5
    assert len(set(contract_edges(np.full((5, 5), -np.inf)))) == 5


@given(st.lists(st.integers(0, 5), max_size=25))
def test_pairs_are_all_pairs_of_a_group(group):
    group = np.array(group, np.int64)
    first, second = pairs_within(group)
    found = {tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(found) == len(first)
    every = {(a, b) for a in range(len(group)) for b in range(a + 1, len(group)) if group[a] == group[b]}
    assert found == every


@given(seeds, st.integers(0, 14), st.integers(0, 5), st.integers(1, 4))
@settings(max_examples=60)
def test_a_group_has_a_joint_of_a_view_once(seed, rows, groups, views):
    rng = np.random.default_rng(seed)
    score, view, seen = rng.normal(0, 2, (rows, groups)), rng.integers(0, views, rows), rng.random((rows, 6)) < 0.4
    out = assign_rows(score, view, seen)
    for row in np.flatnonzero(out >= 0):
        assert score[row, out[row]] > 0
    for one in {*zip(view.tolist(), out.tolist(), strict=True)}:
        if one[1] >= 0:
            assert (seen[(view == one[0]) & (out == one[1])].sum(0) <= 1).all()


def test_the_best_assignment_is_found_and_fragments_join():
    score = np.array([[5.0, 4.0], [4.0, -1.0], [3.0, -2.0]])
    seen = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], bool)
    assert assign_rows(score, np.zeros(3, int), seen).tolist() == [1, 0, 0]
    assert assign_rows(score, np.arange(3), seen).tolist() == [0, 0, 0]
    assert assign_rows(-score[:, 1:] - 10, np.zeros(3, int), seen).tolist() == [-1, -1, -1]
