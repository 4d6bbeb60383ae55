"""The network of two readings: fresh it changes nothing, joints that are not there have no influence, bounds."""

import pytest

torch = pytest.importorskip("torch")

from mvcap.nn.reading_mix import MOST, ReadingMix  # noqa: E402


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = ReadingMix(6, 5, width=16).eval()
    with torch.no_grad():
        made.leave.weight.normal_(0, 1.0)
    return made


def test_a_fresh_network_gives_factors_of_one():
    torch.manual_seed(0)
    assert not ReadingMix(6, 5)(torch.randn(3, 6, 5), torch.ones(3, 6)).any()


def test_factors_are_bounded_and_bodies_do_not_influence_each_other(network):
    joint, there = 9 * torch.randn(4, 6, 5), torch.ones(4, 6)
    out = network(joint, there)
    assert out.shape == (4, 6, 6) and out.abs().max() <= MOST
    torch.testing.assert_close(network(joint[:1], there[:1]), out[:1])


def test_joints_that_are_not_there_have_no_influence(network):
    joint, there = torch.randn(2, 6, 5), torch.ones(2, 6)
    there[:, 2] = 0
    other = joint.clone()
    other[:, 2] = 7.0
    rest = [0, 1, 3, 4, 5]
    torch.testing.assert_close(network(joint, there)[:, rest], network(other, there)[:, rest])
    assert network(joint, torch.zeros(2, 6)).isfinite().all()
