"""The root-depth network: limits of its answers, fresh weights, a batch is its rows."""

import pytest

torch = pytest.importorskip("torch")

from mvcap.nn.root_depth import RootDepthNet  # noqa: E402
from mvcap.training.onnx_export import weights_of  # noqa: E402
from mvcap.weights import networks  # noqa: E402


def made():
    torch.manual_seed(0)
    return RootDepthNet(26, 4, width=32, blocks=2).eval()


def test_a_fresh_network_answers_with_k_itself():
    ratio, sigma = made()(torch.randn(5, 26, 4))
    assert ratio.shape == sigma.shape == (5,)
    assert (ratio == 0).all() and torch.allclose(sigma, sigma[0].expand(5))


def test_deviations_stay_within_limits_and_rows_are_independent():
    network = made()
    with torch.no_grad():
        network.head.weight.normal_(0, 30)
        node = torch.randn(64, 26, 4)
        ratio, sigma = network(node)
        assert sigma.min() >= -4.5 and sigma.max() <= 0.5 and sigma.std() > 1
        one, other = network(node[7:8])
        torch.testing.assert_close(torch.cat([one, other]), torch.stack([ratio[7], sigma[7]]), rtol=1e-4, atol=1e-4)


def test_the_shipped_network_gives_what_torch_gives_and_is_small():
    shipped, torch_net = networks.load_network("depth"), RootDepthNet(26, 4).eval()
    torch_net.load_state_dict(weights_of(shipped.path, torch_net))
    for rows in (1, 7):
        node = torch.randn(rows, 26, 4)
        with torch.inference_mode():
            expected = torch_net(node)
        for one, other in zip(shipped(node.numpy()), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-4, atol=1e-4)
    assert shipped.path.stat().st_size <= 500_000
