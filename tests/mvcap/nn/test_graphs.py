"""The networks of matching and centres: what must not matter to them does not."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mvcap.nn.crg import CentreGraph  # noqa: E402
from mvcap.nn.edge_conv import EdgeConv  # noqa: E402
from mvcap.nn.mmg import MatchingGraph  # noqa: E402


def symmetric(values):
    return values + values.transpose(1, 2)


@pytest.fixture
def matching():
    torch.manual_seed(1)
    network = MatchingGraph(5, 4).eval()
    torch.nn.init.normal_(network.odds.weight)
    return network


@pytest.fixture
def frame():
    torch.manual_seed(2)
    node, edge, prior = torch.randn(1, 7, 5), symmetric(torch.randn(1, 7, 7, 4)), symmetric(torch.randn(1, 7, 7))
    return node, edge, prior, torch.ones(1, 7, dtype=torch.bool)


def test_matching_does_not_depend_on_the_order_of_nodes(matching, frame):
    node, edge, prior, there = frame
    order = torch.randperm(7)
    whole = matching(*frame)
    mixed = matching(node[:, order], edge[:, order][:, :, order], prior[:, order][:, :, order], there)
    torch.testing.assert_close(mixed, whole[:, order][:, :, order])
    torch.testing.assert_close(whole, whole.transpose(1, 2))


def test_padding_of_a_batch_changes_nothing(matching, frame):
    node, edge, prior, there = frame
    wide = torch.nn.functional.pad
    padded = matching(
        wide(node, (0, 0, 0, 3), value=9.0), wide(edge, (0, 0, 0, 3, 0, 3), value=9.0),
        wide(prior, (0, 3, 0, 3), value=9.0), wide(there, (0, 3)),
    )  # fmt: skip
    torch.testing.assert_close(padded[:, :7, :7], matching(*frame))


def test_a_node_alone_has_odds_too(matching):
    odds = matching(torch.randn(1, 1, 5), torch.randn(1, 1, 1, 4), torch.zeros(1, 1, 1), torch.ones(1, 1).bool())
    assert odds.isfinite().all()


@pytest.fixture
def centres():
    torch.manual_seed(3)
    return CentreGraph(6, 3, 2).eval()


@pytest.fixture
def places():
    torch.manual_seed(4)
    return torch.randn(2, 9, 5, 6), symmetric(torch.randn(2, 5, 5, 3)), torch.randn(2, 9, 2), torch.ones(2, 5).bool()


def test_centres_do_not_depend_on_the_order_of_views(centres, places):
    view, pair, spot, there = places
    order = torch.randperm(5)
    for whole, mixed in zip(
        centres(*places), centres(view[:, :, order], pair[:, order][:, :, order], spot, there), strict=True
    ):
        torch.testing.assert_close(whole, mixed)


def test_views_that_see_nothing_count_for_nothing(centres, places):
    view, pair, spot, there = places
    there = there.clone()
    there[:, 3:] = False
    for whole, less in zip(
        centres(*(view, pair, spot, there)), centres(view[:, :, :3], pair[:, :3, :3], spot, there[:, :3]), strict=True
    ):
        torch.testing.assert_close(whole, less)


def test_the_same_views_twice_say_the_same(centres, places):
    """Maximum and mean do not grow with the number of cameras; a sum would."""
    view, pair, spot, there = places
    once = centres(*places)
    twice = centres(view.repeat(1, 1, 2, 1), pair.repeat(1, 2, 2, 1), spot, there.repeat(1, 2))
    for a, b in zip(once, twice, strict=True):
        torch.testing.assert_close(a, b)


def test_the_first_linear_may_be_applied_before_nodes_meet():
    """The block is MLP([x_i, x_j - x_i, e_ij]) of the publication, written so that it costs less."""
    torch.manual_seed(5)
    block = EdgeConv(8, 3)
    x, edge = torch.randn(1, 4, 8), torch.randn(1, 4, 4, 3)
    there = torch.ones(1, 4, 4, dtype=torch.bool)
    # W [x_i, x_j - x_i, e] = (A - B) x_i + B x_j + C e, where W = [A, B, C].
    B, C = block.of_other.weight, block.of_edge.weight
    A = block.of_self.weight + B
    joined = torch.cat([x[:, :, None].expand(-1, -1, 4, -1), x[:, None] - x[:, :, None], edge], -1)
    first = joined @ torch.cat([A, B, C], 1).T + block.of_self.bias
    sent = torch.relu(block.second(block.mix(torch.relu(block.first(first)))))
    torch.testing.assert_close(block(x, x[:, None], edge, there), x + torch.relu(sent.amax(-2)))


def test_a_node_without_edges_keeps_its_state():
    block = EdgeConv(8, 0)
    x = torch.randn(1, 3, 8)
    np.testing.assert_array_equal(
        block(x, x[:, None], None, torch.zeros(1, 3, 3, dtype=torch.bool)).detach().numpy(), x.numpy()
    )
