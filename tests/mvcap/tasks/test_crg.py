"""The task of the centre graph: labels and centres of groups, the loss and the metrics."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.association.centre_proposals import GRID, PAIR_NAMES, SPOT_NAMES, VIEW_NAMES
from mvcap.tasks.crg import CentreTask

torch = pytest.importorskip("torch")

TASK = CentreTask()
MIDDLE = len(GRID) // 2


@pytest.fixture(scope="module")
def take():
    return detected_take(people=3, cameras=4, frames=4, model=CLEAR)


@pytest.fixture(scope="module")
def samples(take):
    return [one for seed in range(6) for one in TASK.samples(take, seed)]


def made(views, person, seed=0, near=0.1):
    """A sample with random features, of a person whose middle is about ``near`` m from the places, or of no person."""
    rng = np.random.default_rng(seed)
    return {
        "view": rng.normal(size=(len(GRID), views, len(VIEW_NAMES))).astype(np.float16),
        "pair": rng.normal(size=(views, views, len(PAIR_NAMES))).astype(np.float16),
        "spot": rng.normal(size=(len(GRID), len(SPOT_NAMES))).astype(np.float16),
        "there": np.arange(views) != 1,
        "off_m": (near * rng.normal(size=(len(GRID), 3)) * person).astype(np.float32),
        "person": np.array(person, np.float32),
    }  # fmt: skip


MIXED = [made(3, 1), made(5, 0, seed=1), made(2, 1, seed=2), made(4, 1, seed=3, near=2.0)]


class Spot(torch.nn.Module):
    """A network that returns the first two features of the places, times a number."""

    def __init__(self, odds=1.0, spread=0.5):
        super().__init__()
        self.odds, self.spread = (torch.nn.Parameter(torch.tensor(value)) for value in (odds, spread))

    def forward(self, view, pair, spot, there):
        return self.odds * spot[..., 0], self.spread * spot[..., 1]


def output(sample, odds=1.0, spread=0.5):
    spot = sample["spot"].astype(np.float32)
    return odds * spot[:, 0], spread * spot[:, 1]


def middle_of(sample):
    """Error (3,) m of the centre of all queries, and its log deviation."""
    odds, spread = output(sample)
    weight = np.exp(odds) / np.exp(odds).sum()
    return weight @ sample["off_m"], weight @ spread


def test_samples_are_queries_of_groups_with_their_truth(samples):
    assert len(samples) > 20 and {float(one["person"]) for one in samples} == {0, 1}
    for one in samples:
        views = len(one["there"])
        assert one["view"].shape == (len(GRID), views, len(VIEW_NAMES)) and one["off_m"].shape == (len(GRID), 3)
        assert one["pair"].shape == (views, views, len(PAIR_NAMES)) and one["spot"].shape == (
            len(GRID),
            len(SPOT_NAMES),
        )
        assert 2 <= views <= 4 and all(np.isfinite(value).all() for value in one.values())


def test_a_take_gives_no_more_samples_than_it_may_and_the_same_every_time(take):
    one, two = TASK.samples(take, 4), TASK.samples(take, 4)
    assert 1 < len(one) == len(two) <= 24
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(one, two, strict=True) for name in a)


def test_places_stand_on_the_grid_and_the_middle_of_a_person_is_near(samples):
    for one in samples:
        away = one["off_m"] - one["off_m"][MIDDLE]
        if one["person"] == 1:
            step = np.linalg.norm(away[0]) / np.sqrt(3)
            np.testing.assert_allclose(away, step * GRID, atol=1e-5)
            assert 0.04 < step < 0.31
            # Without errors the group's own centre is that of the torso, but for how joints are defined.
            assert np.linalg.norm(one["off_m"][MIDDLE]) < 0.1


def test_rows_of_two_people_are_none(samples):
    wrong = [one for one in samples if not one["off_m"].any()]
    assert len(wrong) > 10 and all(one["person"] == 0 for one in wrong)
    for one in wrong:
        assert (one["view"][MIDDLE, :, VIEW_NAMES.index("has_row")] == 1).sum() == 2


def test_a_batch_is_padded_to_the_largest_rig():
    batch = TASK.batch(MIXED)
    assert batch["view"].shape == (4, len(GRID), 5, len(VIEW_NAMES)) and batch["pair"].shape == (
        4,
        5,
        5,
        len(PAIR_NAMES),
    )
    for at, one in enumerate(MIXED):
        views = len(one["there"])
        np.testing.assert_array_equal(batch["view"][at, :, :views], one["view"])
        np.testing.assert_array_equal(batch["pair"][at, :views, :views], one["pair"])
        np.testing.assert_array_equal(batch["there"][at, :views], one["there"])
        assert not batch["view"][at, :, views:].any() and not batch["there"][at, views:].any()
        assert not batch["pair"][at, views:].any() and not batch["pair"][at, :, views:].any()
        for name in ("spot", "off_m", "person"):
            np.testing.assert_array_equal(batch[name][at], one[name].astype(np.float32))


def test_the_loss_is_that_of_the_heat_and_of_the_middle():
    entropy, fit = [], []
    for one in MIXED:
        odds, _ = output(one)
        heat = one["person"] * np.exp(-0.5 * (one["off_m"] ** 2).sum(-1) / 0.2**2)
        share = 1 / (1 + np.exp(-odds))
        entropy.append(-(heat * np.log(share) + (1 - heat) * np.log(1 - share)).mean())
        if one["person"]:
            middle, deviation = middle_of(one)
            fit.append(0.5 * min((middle**2).sum() * np.exp(-2 * deviation), 50) + 3 * deviation)
    batch = {name: torch.from_numpy(value) for name, value in TASK.batch(MIXED).items()}
    assert TASK.loss(Spot(), batch).item() == pytest.approx(np.mean(entropy) + 0.02 * np.mean(fit), rel=1e-4)


def test_the_loss_without_people_is_finite():
    batch = {name: torch.from_numpy(value) for name, value in TASK.batch([made(3, 0)]).items()}
    assert np.isfinite(TASK.loss(Spot(), batch).item())


def test_figures_count_groups_and_measure_middles():
    found = TASK.metrics(Spot(), MIXED)
    right = [(output(one)[0].max() > 0) == one["person"] for one in MIXED]
    far = [np.linalg.norm(middle_of(one)[0]) for one in MIXED if one["person"]]
    start = [np.linalg.norm(one["off_m"][MIDDLE]) for one in MIXED if one["person"]]
    assert found["right"] == pytest.approx(np.mean(right))
    assert found["centre_mm"] == pytest.approx(1000 * np.median(far), rel=1e-4)
    assert found["start_mm"] == pytest.approx(1000 * np.median(start), rel=1e-4)
    batch = {name: torch.from_numpy(value) for name, value in TASK.batch(MIXED).items()}
    assert found["loss"] == pytest.approx(TASK.loss(Spot(), batch).item(), rel=1e-4)


def test_figures_of_nothing_and_of_more_than_a_batch():
    assert TASK.metrics(Spot(), []) == {"loss": 0, "right": 0, "centre_mm": 0, "start_mm": 0}
    many = [made(2 + seed % 3, seed % 2, seed) for seed in range(TASK.batch_size + 5)]
    found = TASK.metrics(Spot(), many)
    assert found["right"] == np.mean([(output(one)[0].max() > 0) == one["person"] for one in many])


def test_a_few_steps_learn_a_batch(samples):
    torch.manual_seed(0)
    network, batch = TASK.network(), {name: torch.from_numpy(v) for name, v in TASK.batch(samples[:8]).items()}
    losses = []
    for _ in range(8):
        loss = TASK.loss(network, batch)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 5e-3 * weight.grad.sign()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]  # a heat that is neither 0 nor 1 has an entropy of its own
