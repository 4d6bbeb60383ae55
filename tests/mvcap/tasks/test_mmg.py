"""The task of the matching graph: samples with the true person of each node, the loss and metrics of pairs."""

import itertools

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.association.graph_features import EDGE_NAMES, NODE_NAMES
from mvcap.tasks.mmg import MatchingTask

torch = pytest.importorskip("torch")

TASK = MatchingTask()
TOGETHER = EDGE_NAMES.index("together")


@pytest.fixture(scope="module")
def samples():
    take = detected_take(people=3, cameras=3, frames=3, calibration="bad")
    return TASK.samples(take, 4)


def made(who, rows, seed=0):
    """A sample with random features of nodes that are these people, the first of them rows."""
    rng, nodes = np.random.default_rng(seed), len(who)
    pairs = nodes * (nodes - 1) // 2
    return {
        "node": rng.normal(size=(nodes, len(NODE_NAMES))).astype(np.float16),
        "edge": rng.normal(size=(pairs, len(EDGE_NAMES))).astype(np.float16),
        "prior": rng.normal(0, 3, pairs).astype(np.float16),
        "who": np.array(who), "rows": np.array(rows),
    }  # fmt: skip


SMALL, LARGE = made([1, 1, -1, 2, 1], 4), made([1, -1, 2, 2, -1, 3, 1, 2, -1], 6, seed=1)


class Prior(torch.nn.Module):
    """A network that returns the prior of geometry, times a number."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, node, edge, prior, there):
        return self.factor * prior


def asked_pairs(sample):
    """Ordered pairs that count, and whether they are one person: at least one is a row and at least one a person."""
    who, rows = sample["who"], int(sample["rows"])
    for i, j in itertools.permutations(range(len(who)), 2):
        if (i < rows or j < rows) and (who[i] >= 0 or who[j] >= 0):
            yield i, j, who[i] == who[j]


def prior_of(sample):
    nodes = len(sample["who"])
    out = np.zeros((nodes, nodes))
    first, second = np.triu_indices(nodes, 1)
    out[first, second] = out[second, first] = sample["prior"]
    return out


def test_samples_are_graphs_of_frames_with_their_truth(samples):
    assert 1 < len(samples) <= 8
    for one in samples:
        nodes, rows = len(one["who"]), int(one["rows"])
        assert one["node"].shape == (nodes, len(NODE_NAMES)) and 0 < rows <= nodes
        assert one["edge"].shape == (nodes * (nodes - 1) // 2, len(EDGE_NAMES)) and len(one["prior"]) == len(
            one["edge"]
        )
        assert set(one["who"].tolist()) <= {-1, 1, 2, 3} and all(np.isfinite(value).all() for value in one.values())


def test_samples_are_the_same_for_the_same_seed(samples):
    again = TASK.samples(detected_take(people=3, cameras=3, frames=3, calibration="bad"), 4)
    assert len(samples) == len(again)
    for one, two in zip(samples, again, strict=True):
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_the_prior_of_exact_rows_is_right():
    """On exact rows of one frame, geometry's evidence alone is right about nearly every pair of rows."""
    take = detected_take(people=3, cameras=3, frames=2, model=CLEAR)
    right = []
    for one in TASK.samples(take, 4):
        prior = prior_of(one)
        right += [
            (prior[i, j] > 0) == same
            for i, j, same in asked_pairs(one)
            if max(i, j) < int(one["rows"]) and prior[i, j] != 0
        ]
    assert len(right) > 30 and np.mean(right) > 0.9


def test_a_batch_has_every_pair_both_ways_and_nothing_beyond_a_frame():
    batch = TASK.batch([SMALL, LARGE])
    assert batch["node"].shape == (2, 9, len(NODE_NAMES)) and batch["edge"].shape == (2, 9, 9, len(EDGE_NAMES))
    for at, one in enumerate((SMALL, LARGE)):
        nodes = len(one["who"])
        first, second = np.triu_indices(nodes, 1)
        np.testing.assert_array_equal(batch["node"][at, :nodes], one["node"])
        for name in ("edge", "prior"):
            np.testing.assert_array_equal(batch[name][at][first, second], one[name])
            np.testing.assert_array_equal(batch[name][at], batch[name][at].swapaxes(0, 1))
        assert batch["there"][at].tolist() == [True] * nodes + [False] * (9 - nodes)
        weight, same = np.zeros((9, 9)), np.zeros((9, 9))
        for i, j, one_person in asked_pairs(one):
            weight[i, j], same[i, j] = 1 / nodes, one_person
        np.testing.assert_allclose(batch["weight"][at], weight)
        np.testing.assert_array_equal(batch["same"][at] * (weight > 0), same)
        for name in ("node", "edge", "prior", "same", "weight"):
            assert not batch[name][at, nodes:].any()


def test_the_loss_is_the_entropy_of_the_pairs_by_the_size_of_their_frames():
    batch = {name: torch.from_numpy(value) for name, value in TASK.batch([SMALL, LARGE]).items()}
    expected = 0.0
    for one in (SMALL, LARGE):
        prior = prior_of(one)
        for i, j, same in asked_pairs(one):
            share = 1 / (1 + np.exp(-prior[i, j]))
            expected -= np.log(share if same else 1 - share) / len(one["who"]) / 2
    assert TASK.loss(Prior(), batch).item() == pytest.approx(expected, rel=1e-4)


def test_figures_count_pairs():
    found = TASK.metrics(Prior(), [SMALL, LARGE])
    found_pairs = true = both = found_by_geometry = both_by_geometry = 0
    for one in (SMALL, LARGE):
        prior, together = prior_of(one), TASK.batch([one])["edge"][0, ..., TOGETHER]
        for i, j, same in asked_pairs(one):
            true += same
            found_pairs, both = found_pairs + (prior[i, j] > 0), both + (same and prior[i, j] > 0)
            found_by_geometry += together[i, j] > 0
            both_by_geometry += same and together[i, j] > 0
    assert found["f1"] == pytest.approx(2 * both / (found_pairs + true))
    assert found["f1_geometry"] == pytest.approx(2 * both_by_geometry / (found_by_geometry + true))
    losses = [
        TASK.loss(Prior(), {name: torch.from_numpy(value) for name, value in TASK.batch([one]).items()}).item()
        for one in (SMALL, LARGE)
    ]
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_figures_of_the_best_the_worst_and_of_nothing():
    who = LARGE["who"]
    first, second = np.triu_indices(len(who), 1)
    same = (who[first] == who[second]) & (who[first] >= 0)
    exact = {**LARGE, "prior": np.where(same, 9.0, -9.0)}
    assert TASK.metrics(Prior(), [exact])["f1"] == 1 and TASK.metrics(Prior(-1.0), [exact])["f1"] == 0
    assert TASK.metrics(Prior(), []) == {"loss": 0, "f1": 0, "f1_geometry": 0}


def test_figures_do_not_depend_on_how_samples_are_batched():
    many = [made([1, 1, 2, -1], 3, seed) for seed in range(40)]  # more than a batch
    whole = TASK.metrics(Prior(), many)
    parts = [TASK.metrics(Prior(), many[start : start + 10])["loss"] for start in range(0, 40, 10)]
    assert whole["loss"] == pytest.approx(np.mean(parts), rel=1e-4)


def test_limits_hold_all_but_the_outermost():
    many = [made(list(range(1, 20)), 12, seed) for seed in range(20)]
    many[0]["node"][0, 0] = 1000
    limits = TASK.limits(many)
    for name in ("node", "edge"):
        values = np.concatenate([one[name] for one in many])
        outside = (values < limits[f"{name}_low"]) | (values > limits[f"{name}_high"])
        assert limits[f"{name}_low"].shape == values.shape[1:] and outside.mean() < 0.006
    assert limits["node_high"][0] < 1000


def test_a_few_steps_learn_a_batch(samples):
    torch.manual_seed(0)
    network, batch = TASK.network(), {name: torch.from_numpy(v) for name, v in TASK.batch(samples).items()}
    losses = []
    for _ in range(12):
        loss = TASK.loss(network, batch)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 3e-3 * weight.grad.sign()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
