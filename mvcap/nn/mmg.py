"""MMG, the multi-view matching graph: log-odds of pairs of rows and bodies to be one person."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mvcap.nn.edge_conv import EdgeConv


class MatchingGraph(nn.Module):
    """Nodes (B, N, F) and edges (B, N, N, E) to log-odds (B, N, N) that two nodes are one person, symmetric.

    The geometric evidence (``prior``, nats) is added to the output, so the network learns a correction of it.
    """

    def __init__(self, node: int, edge: int, width: int = 40, rounds: int = 2) -> None:
        super().__init__()
        self.enter_node = nn.Sequential(nn.Linear(node, width), nn.LayerNorm(width), nn.ReLU())
        self.enter_edge = nn.Sequential(nn.Linear(edge, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))
        self.rounds = nn.ModuleList(EdgeConv(width, width) for _ in range(rounds))
        self.of_sum, self.of_gap = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.of_edge = nn.Linear(width, width, bias=False)
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.odds = nn.Linear(width, 1)
        nn.init.zeros_(self.odds.weight)
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, node: Tensor, edge: Tensor, prior: Tensor, there: Tensor) -> Tensor:
        """Log-odds of each pair; ``there`` (B, N) masks the real nodes."""
        x, e = self.enter_node(node), self.enter_edge(edge)
        pairs = there[:, :, None] & there[:, None, :]
        for layer in self.rounds:
            x = layer(x, x[:, None], e, pairs)
        both, gap = x[:, :, None] + x[:, None], (x[:, :, None] - x[:, None]).abs()
        mixed = self.leave(self.of_sum(both) + self.of_gap(gap) + self.of_edge(e))
        odds: Tensor = self.odds(mixed)[..., 0]
        return odds + self.gain * prior.clamp(-10.0, 10.0)
