"""Networks of lifters: geometry of their output, what the affinities hear, fresh weights, lengths of windows."""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mvcap.nn.dynamic_graph import AFFINITIES, DynamicGraph, normalised_skeleton  # noqa: E402
from mvcap.nn.lifted_pose import NUMBERS, PoseOutput, shifted  # noqa: E402
from mvcap.nn.temporal_lift import GRAPHS, TemporalLift  # noqa: E402

JOINTS, FEATURES, HIPS = 6, (5, 3), (0, 1)
BONES = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5)]
SIZES = (JOINTS, FEATURES, BONES, HIPS, 1.0, 16)
NETWORKS = {
    **{name: partial(DynamicGraph, *SIZES, 2, 2, name) for name in AFFINITIES},
    **{f"graph {name}": partial(TemporalLift, *SIZES, 4, 2, name) for name in GRAPHS},
}


def fresh(name):
    torch.manual_seed(0)
    return NETWORKS[name]().eval()


def taught(name):
    network = fresh(name)
    with torch.no_grad():  # a fresh one answers with its input
        getattr(network.head, "weight", network.head).normal_(0, 0.3)
    return network


def window(moments=7, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    node = rng.normal(0, 0.5, (batch, moments, JOINTS, FEATURES[0])).astype(np.float32)
    node[..., 3], node[..., 4] = 0.8, 1
    return torch.from_numpy(node), torch.from_numpy(
        rng.normal(0, 0.5, (batch, moments, FEATURES[1])).astype(np.float32)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_roots_and_covariances(name):
    network = taught(name)
    for moments in (1, 2, 7):
        with torch.no_grad():
            joints, factor = network(*window(moments))
        assert joints.shape == (2, moments, JOINTS, 3) and factor.shape == (2, moments, JOINTS, 3, 3)
        assert joints[..., HIPS, :].mean(-2).abs().max() < 1e-5
        assert np.linalg.eigvalsh((factor @ factor.transpose(-1, -2)).numpy()).min() > 0
        assert (np.triu(factor.numpy(), 1) == 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fresh_network_answers_with_the_joints_in_the_plane_of_the_root(name):
    node, frame = window()
    with torch.no_grad():
        joints, _ = fresh(name)(node, frame)
    flat = node[..., :2] - node[..., HIPS, :2].mean(-2, keepdim=True)
    torch.testing.assert_close(joints[..., :2], flat)
    assert joints[..., 2].abs().max() == 0


def test_a_depth_moves_a_joint_along_its_ray():
    output = PoseOutput(HIPS, 1.0)
    node, frame = window(1, 1)
    raw = torch.zeros(1, 1, JOINTS, NUMBERS)
    raw[..., 5, 2] = 0.4
    joints, _ = output(raw, torch.zeros(1, 1, 1), node, frame)
    distance = torch.exp(-frame[0, 0, -1])  # of the root: a metre over its size
    root = node[0, 0, HIPS, :2].mean(0)
    whole = torch.cat([joints[0, 0, 5, :2] + root, distance[None] + joints[0, 0, 5, 2:]])
    ray = torch.cat([node[0, 0, 5, :2] / distance, torch.ones(1)])
    torch.testing.assert_close(whole / whole[2], ray)


@pytest.mark.parametrize("name", NETWORKS)
def test_moments_hear_their_neighbours(name):
    network = taught(name)
    node, frame = window(9)
    changed = node.clone()
    changed[:, 3, 2, :2] += 1
    with torch.no_grad():
        moved = (network(changed, frame)[0] - network(node, frame)[0]).abs().amax((0, 2, 3))
    assert moved[3] > 1e-4 and moved[2] > 1e-6 and moved[4] > 1e-6


def test_the_fixed_affinity_hears_bones_only():
    near = normalised_skeleton(JOINTS, BONES)
    assert (near.sum(1) - 1).abs().max() < 1e-6 and near[0, 5] == 0 and near[3, 5] > 0
    with pytest.raises(ValueError, match="fixed, static"):
        DynamicGraph(JOINTS, FEATURES, BONES, HIPS, 1.0, 16, 1, 2, "other")
    with pytest.raises(ValueError, match="none, fixed"):
        TemporalLift(JOINTS, FEATURES, BONES, HIPS, 1.0, 16, 4, 1, "other")


def test_joints_of_no_confidence_send_nothing():
    network = taught("graph confidence")
    node, _ = window()
    node[:, :, 2, 3] = 0
    affinity = network._affinity(node[..., 3] * node[..., 4])
    assert (affinity[..., 2] == 0).all() and affinity[:, :, 4].sum(-1).allclose(torch.ones(2, 7))
    everywhere = taught("graph fixed")._affinity(node[..., 3] * node[..., 4])
    assert (everywhere[..., 4, 2] > 0).all()


def test_shifted_moments_are_zero_beyond_the_ends():
    h = torch.arange(1.0, 5.0).reshape(1, 4, 1)
    assert shifted(h, 1)[0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0]]
    assert shifted(h, 3)[0, :, 0].tolist() == [0, 0, 0, 1]
