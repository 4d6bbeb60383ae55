"""The task of the integration of two readings: samples, the loss, the metrics and their controls."""

import numpy as np
import pytest
from detected_take import detected_take

from mvcap.integration.reading_mix import BODY, FEATURE_NAMES
from mvcap.tasks.integrate import IntegrateTask, mix_figures, sample_arrays
from mvcap.training.reading_models import random_errors, reading_pair

torch = pytest.importorskip("torch")

TASK = IntegrateTask()


@pytest.fixture(scope="module")
def take():
    return detected_take(people=4, cameras=3, frames=4)


@pytest.fixture(scope="module")
def samples(take):
    return [one for seed in range(2) for one in TASK.samples(take, seed)]


class Given(torch.nn.Module):
    """A network with the same factors for every joint."""

    def __init__(self, *log):
        super().__init__()
        self.log = torch.nn.Parameter(torch.tensor(log))

    def forward(self, joint, there):
        return self.log.expand(*joint.shape[:2], 6)


MEAN, FIRST = Given(*[0.0] * 6), Given(-2.0, -2.0, 2.0, 2.0, 0.0, 0.0)


def test_samples_are_bodies_and_the_same_every_time(take, samples):
    assert len(samples) > 15 and sum(one["hidden"].any() for one in samples) > 5
    for one in samples:
        assert one["joint"].shape == (len(BODY), len(FEATURE_NAMES)) and one["known"].shape == (len(BODY), 2)
        assert all(np.isfinite(value).all() for value in one.values())
    again = TASK.samples(take, 0)
    assert len(again) <= 40 and all(np.array_equal(a[name], b[name])
                                    for a, b in zip(again, samples, strict=False) for name in a)  # fmt: skip


def test_distances_do_not_change_along_the_ray(take):
    pair = reading_pair(take, 0, 2, random_errors(np.random.default_rng(1)), np.random.default_rng(1))
    arrays = sample_arrays(pair)
    there = pair.first.known
    np.testing.assert_allclose(np.linalg.norm(arrays["first"] - arrays["truth"], axis=-1)[there],
                               np.linalg.norm(pair.first.joints - pair.truth, axis=-1)[there], rtol=1e-4)  # fmt: skip
    variance = np.diagonal(arrays["first_cov"], axis1=-2, axis2=-1)[there]
    assert np.median(variance[:, 2] / variance[:, 0]) > 2  # a lifter is less sure along the ray


def test_the_loss_prefers_what_is_right(samples):
    batch = {name: torch.from_numpy(value) for name, value in TASK.batch(samples).items()}
    right = {**batch, "truth": torch.where(batch["known"][..., :1] > 0, batch["first"], batch["truth"])}
    assert TASK.loss(FIRST, right) < TASK.loss(MEAN, right)
    loss = TASK.loss(MEAN, batch)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(MEAN.log.grad).all()


def test_metrics_of_the_mean_are_those_of_the_control(samples):
    found = TASK.metrics(MEAN, samples)
    for part in ("all", "hidden"):
        assert found[f"mixed_mm_{part}"] == pytest.approx(found[f"mean_mm_{part}"], rel=1e-3)
        assert found[f"mixed_inside_68_{part}"] == pytest.approx(found[f"mean_inside_68_{part}"], abs=0.01)
        least = min(found[f"first_mm_{part}"], found[f"second_mm_{part}"])
        assert found[f"oracle_mm_{part}"] < least
    one = TASK.metrics(FIRST, samples)
    assert one["mixed_mm_all"] == pytest.approx(found["first_mm_all"], rel=0.05)
    assert mix_figures([]) == {} and TASK.metrics(MEAN, []) == {"loss": 0}


def test_limits_hold_nearly_all_features(samples):
    limits = TASK.limits(samples)
    values = np.concatenate([one["joint"][one["there"] > 0] for one in samples])
    inside = (values >= limits["joint_low"]) & (values <= limits["joint_high"])
    assert inside.mean() > 0.999 and limits["joint_low"].shape == (len(FEATURE_NAMES),)


def test_a_few_steps_learn_a_batch(samples):
    torch.manual_seed(0)
    network, batch = TASK.network(), {name: torch.from_numpy(v) for name, v in TASK.batch(samples[:16]).items()}
    losses = []
    for _ in range(8):
        loss = TASK.loss(network, batch)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 5e-3 * weight.grad.sign()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
