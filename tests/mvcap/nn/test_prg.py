"""The graph of joints as a network: invariances, the reach of messages, limits of the output, fresh weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mvcap.nn.prg import PoseGraph  # noqa: E402

JOINTS, FEATURES, STEPS = 6, (5, 4, 3), 4
INPUTS = ("node", "view", "sees", "there", "build", "step", "at", "near", "late")


def fresh(**sizes):
    torch.manual_seed(0)
    return PoseGraph(JOINTS, FEATURES, STEPS, **{"width": 16, "view_width": 8, "rounds": 2, **sizes}).eval()


@pytest.fixture(scope="module")
def network():
    made = fresh()
    with torch.no_grad():  # a fresh one answers with zeros
        made.head[-1].weight.normal_(0, 0.3)
    return made


def window(moments=7, views=4, seed=0, batch=2):
    rng = np.random.default_rng(seed)
    node, view, build = FEATURES
    at = np.clip(np.arange(moments)[:, None] + np.array([-2, -1, 1, 2]), 0, moments - 1)
    near = (at != np.arange(moments)[:, None]).astype(np.float32)
    arrays = {
        "node": rng.normal(0, 1, (batch, moments, JOINTS, node)),
        "view": rng.normal(0, 1, (batch, moments, JOINTS, views, view)),
        "sees": rng.random((batch, moments, JOINTS, views)) < 0.7,
        "there": np.ones((batch, moments, JOINTS)),
        "build": rng.normal(0, 1, (batch, build)),
        "step": rng.normal(0, 0.1, (batch, moments, JOINTS, STEPS, 3)),
        "at": np.broadcast_to(at, (batch, *at.shape)),
        "near": np.broadcast_to(near, (batch, *near.shape)),
        "late": rng.normal(0, 0.3, (batch, moments, STEPS)),
    }
    return {k: torch.from_numpy(np.ascontiguousarray(v if v.dtype == np.int64 else v.astype(np.float32)))
            for k, v in arrays.items()}  # fmt: skip


def answer(network, arrays):
    with torch.no_grad():
        return [one.numpy() for one in network(*(arrays[name] for name in INPUTS))]


def same(one, other, tolerance=1e-4):
    assert all(np.abs(a - b).max() < tolerance for a, b in zip(one, other, strict=True))


def test_shapes_and_covariances_that_are_ones(network):
    offset, factor, person = answer(network, window(moments=5, views=3))
    assert offset.shape == (2, 5, JOINTS, 3) and factor.shape == (2, 5, JOINTS, 3, 3) and person.shape == (2,)
    assert (np.triu(factor, 1) == 0).all() and (np.diagonal(factor, axis1=-2, axis2=-1) > 0).all()
    assert np.linalg.eigvalsh(factor @ factor.swapaxes(-1, -2)).min() > 0


def test_covariances_stay_within_limits_whatever_comes_in_and_out():
    wild, arrays = fresh(), window()
    with torch.no_grad():
        wild.head[-1].weight.normal_(0, 1e3)
    offset, factor, person = answer(wild, {**arrays, "node": 1e4 * arrays["node"], "view": 1e4 * arrays["view"]})
    diagonal = np.log(np.diagonal(factor, axis1=-2, axis2=-1))
    assert np.isfinite(offset).all() and np.isfinite(person).all()
    assert diagonal.min() == pytest.approx(-4, abs=1e-4) and diagonal.max() == pytest.approx(3, abs=1e-4)


def test_order_of_views_and_of_windows_does_not_matter(network):
    arrays = window()
    order = torch.tensor([2, 0, 3, 1])
    turned = {**arrays, "view": arrays["view"][:, :, :, order], "sees": arrays["sees"][:, :, :, order]}
    same(answer(network, arrays), answer(network, turned))
    flipped = {name: value.flip(0) for name, value in arrays.items()}
    same([one[::-1] for one in answer(network, arrays)], answer(network, flipped))


def test_windows_of_a_batch_are_independent(network):
    arrays = window(batch=3)
    whole = answer(network, arrays)
    for one in range(3):
        alone = answer(network, {name: value[one : one + 1] for name, value in arrays.items()})
        same([value[one : one + 1] for value in whole], alone)


def test_views_that_see_nothing_change_nothing(network):
    arrays = window()
    blank = {
        name: torch.cat([arrays[name], torch.zeros_like(arrays[name][:, :, :, :2])], 3) for name in ("view", "sees")
    }
    same(answer(network, arrays), answer(network, {**arrays, **blank}))
    blank["view"][:, :, :, 4:] = 9  # whatever their features
    same(answer(network, arrays), answer(network, {**arrays, **blank}))


def test_duplicated_views_change_nothing(network):
    """Maximum and weighted mean do not grow with the number of cameras; a sum would."""
    arrays = window()
    twice = {name: torch.cat([arrays[name], arrays[name]], 3) for name in ("view", "sees")}
    same(answer(network, arrays), answer(network, {**arrays, **twice}))


def test_a_joint_that_no_view_sees_has_a_finite_output(network):
    arrays = window()
    arrays["sees"] = torch.zeros_like(arrays["sees"])
    assert all(np.isfinite(value).all() for value in answer(network, arrays))


def test_joints_that_are_not_there_change_nothing(network):
    arrays = window()
    there = arrays["there"].clone()
    there[:, :, [3, 4]] = 0
    arrays["there"] = there
    other = {**arrays, "node": arrays["node"].clone()}
    other["node"][:, :, [3, 4]] += 1
    keep = [j for j in range(JOINTS) if j not in (3, 4)]
    one, two = answer(network, arrays), answer(network, other)
    same([one[0][:, :, keep], one[1][:, :, keep], one[2]], [two[0][:, :, keep], two[1][:, :, keep], two[2]])
    one_there = answer(network, window())
    assert np.abs(one_there[0][:, :, keep] - one[0][:, :, keep]).max() > 1e-3  # visible ones count


def test_padded_moments_change_nothing(network):
    arrays = window()
    padded = {
        name: value if name == "build" else torch.cat([value, torch.zeros_like(value[:, :3])], 1)
        for name, value in arrays.items()
    }
    long = answer(network, padded)
    same(answer(network, arrays), [long[0][:, :7], long[1][:, :7], long[2]])


@pytest.mark.parametrize("moment", [0, 5])
def test_messages_reach_the_other_joints_and_the_moments_near(network, moment):
    """Steps reach two moments to either side, so two rounds reach four."""
    arrays = window(moments=12)
    other = {**arrays, "node": arrays["node"].clone()}
    other["node"][:, moment, 2] += 3
    moved = np.abs(answer(network, other)[0] - answer(network, arrays)[0]).max((0, 3))
    assert moved[moment].min() > 1e-5  # every joint of that moment
    reached = np.abs(np.arange(12) - moment) <= 4
    assert moved[reached].max(1).min() > 1e-6 and not moved[~reached].any()


def test_a_moment_that_is_masked_sends_no_message(network):
    arrays = window(moments=12)
    deaf = {**arrays, "near": torch.zeros_like(arrays["near"])}
    other = {**deaf, "node": deaf["node"].clone()}
    other["node"][:, 5] += 3
    moved = np.abs(answer(network, other)[0] - answer(network, deaf)[0]).max((0, 2, 3))
    assert moved[5] > 1e-3 and np.delete(moved, 5).max() < 1e-6


def test_a_fresh_network_returns_zero_offsets_and_unit_covariances():
    offset, factor, _ = answer(fresh(), window(views=2))
    assert not offset.any() and np.allclose(factor, np.eye(3))


def test_every_weight_is_learned():
    network, arrays = fresh(), window()
    with torch.no_grad():
        network.head[-1].weight.normal_(0, 0.3)
    offset, factor, person = network(*(arrays[name] for name in INPUTS))
    (offset.square().sum() + factor.square().sum() + person.square().sum()).backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A bias before a softmax shifts all alike.
    assert [name for name in still if not name.startswith("weigh.bias")] == []
