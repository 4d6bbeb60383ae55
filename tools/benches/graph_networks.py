"""Networks of the ablation: the matching graph without its way through for geometry, and pooled as was published."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mvcap.nn.edge_conv import EdgeConv
from mvcap.nn.mmg import MatchingGraph


class WithoutPrior(MatchingGraph):
    """Evidence of a pair does not go through to the end; where it is an edge's feature it is one still."""

    def forward(self, node: Tensor, edge: Tensor, prior: Tensor, there: Tensor) -> Tensor:
        """See ``MatchingGraph``; ``prior`` is not looked at."""
        return super().forward(node, edge, torch.zeros_like(prior), there)


class SumConv(EdgeConv):
    """Messages are summed: a node of a large rig hears louder than one of a small rig."""

    def forward(self, x: Tensor, neighbour: Tensor, edge: Tensor | None, there: Tensor) -> Tensor:
        """See ``EdgeConv``."""
        sent = self.messages(x, neighbour, edge).masked_fill(~there[..., None], 0.0)
        return x + torch.relu(sent.sum(-2))


class Summed(WithoutPrior):
    """As was published for pooling: sums instead of maxima, nothing goes through to the end."""

    def __init__(self, node: int, edge: int, width: int = 40, rounds: int = 2) -> None:
        super().__init__(node, edge, width, rounds)
        self.rounds = nn.ModuleList(SumConv(width, width) for _ in range(rounds))
