"""The graph of joints as a network: what its answer may not depend on, and what leaves it out."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mvcap.refiners.graph_features import STEPS_S  # noqa: E402
from mvcap.tasks.prg import PoseTask  # noqa: E402


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = PoseTask().network().eval()
    with torch.no_grad():  # a fresh one answers with zeros
        network.head[-1].weight.normal_(0, 0.3)
    return network


def window(moments=7, views=4, seed=0, batch=2):
    rng = np.random.default_rng(seed)
    task = PoseTask()
    node, view, build = task.features
    steps = len(STEPS_S)
    at = np.clip(np.arange(moments)[:, None] + np.array([-3, -2, -1, 1, 2, 3]), 0, moments - 1)
    near = (at != np.arange(moments)[:, None]).astype(np.float32)
    arrays = {
        "node": rng.normal(0, 1, (batch, moments, 26, node)),
        "view": rng.normal(0, 1, (batch, moments, 26, views, view)),
        "sees": (rng.random((batch, moments, 26, views)) < 0.7),
        "there": np.ones((batch, moments, 26)),
        "build": rng.normal(0, 1, (batch, build)),
        "step": rng.normal(0, 0.1, (batch, moments, 26, steps, 3)),
        "at": np.broadcast_to(at, (batch, *at.shape)),
        "near": np.broadcast_to(near, (batch, *near.shape)),
        "late": rng.normal(0, 0.3, (batch, moments, steps)),
    }
    return {k: torch.from_numpy(np.ascontiguousarray(v if v.dtype == np.int64 else v.astype(np.float32)))
            for k, v in arrays.items()}  # fmt: skip


def answer(network, arrays):
    with torch.no_grad():
        return [one.numpy() for one in network(*(arrays[name] for name in PoseTask.sizes.inputs))]


def same(one, other, tolerance=1e-4):
    assert all(np.abs(a - b).max() < tolerance for a, b in zip(one, other, strict=True))


def test_order_of_views_and_of_windows_does_not_matter(network):
    arrays = window()
    order = torch.tensor([2, 0, 3, 1])
    turned = {**arrays, "view": arrays["view"][:, :, :, order], "sees": arrays["sees"][:, :, :, order]}
    same(answer(network, arrays), answer(network, turned))
    flipped = {name: value.flip(0) for name, value in arrays.items()}
    same([one[::-1] for one in answer(network, arrays)], answer(network, flipped))


def test_views_that_see_nothing_change_nothing(network):
    arrays = window()
    blank = {
        name: torch.cat([arrays[name], torch.zeros_like(arrays[name][:, :, :, :2])], 3) for name in ("view", "sees")
    }
    same(answer(network, arrays), answer(network, {**arrays, **blank}))


def test_padded_moments_and_joints_that_are_not_there_change_nothing(network):
    arrays = window()
    there = arrays["there"].clone()
    there[:, :, [3, 4]] = 0
    arrays["there"] = there
    other = {**arrays, "node": arrays["node"].clone()}
    other["node"][:, :, [3, 4]] += 1
    keep = [j for j in range(26) if j not in (3, 4)]
    one, two = answer(network, arrays), answer(network, other)
    same([one[0][:, :, keep], one[1][:, :, keep], one[2]], [two[0][:, :, keep], two[1][:, :, keep], two[2]])
    padded = {}
    for name, value in arrays.items():
        padded[name] = value if name == "build" else torch.cat([value, torch.zeros_like(value[:, :3])], 1)
    long = answer(network, padded)
    same(one, [long[0][:, :7], long[1][:, :7], long[2]])


def test_a_fresh_network_says_what_bones_said():
    offset, factor, _ = answer(PoseTask().network().eval(), window(views=2))
    assert not offset.any() and np.allclose(factor, np.eye(3))


def test_small_enough(network):
    assert 4 * sum(value.numel() for value in network.state_dict().values()) < 1.5e6


@pytest.fixture(scope="module")
def samples():
    from mvcap.datasets.people import TakeConfig, make_take

    take = make_take(3, TakeConfig(people=(2, 2), cameras=(3, 3), frames=16, rate_hz=(12.0, 12.1)))
    return PoseTask().samples(take, 5), PoseTask().samples(take, 5)


def test_samples_are_the_same_every_time_and_can_be_learned_from(samples):
    task, (some, again) = PoseTask(), samples
    assert some and all(np.array_equal(one[name], other[name]) for one, other in zip(some, again, strict=True)
                        for name in one)  # fmt: skip
    assert all(np.isfinite(value).all() for one in some for value in one.values())
    batch = {name: torch.from_numpy(value) for name, value in task.batch(some).items()}
    network = task.network()
    loss = task.loss(network, batch)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(one.grad).all() for one in network.parameters())
    figures = task.metrics(network, some)
    assert {"loss", "graph_mm_2", "graph_inside_68_2", "person_right"} <= set(figures)
    limits = task.limits(some)
    assert len(limits["node_low"]) == task.features[0] and (limits["view_high"] > limits["view_low"]).all()


def test_what_two_views_saw_is_counted_in_smaller_units_than_what_they_did_not(samples):
    sizes = {few: [] for few in (True, False)}
    for one in samples[0]:
        deviation = np.trace(one["unit"], axis1=-2, axis2=-1) / 3
        for few, held in sizes.items():
            held.append(deviation[(one["there"] > 0) & ((one["views"] < 2) == few)])
    assert np.median(np.concatenate(sizes[False])) < 0.5 * np.median(np.concatenate(sizes[True]))
