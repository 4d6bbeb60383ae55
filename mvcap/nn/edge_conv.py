"""The building block of the graph networks: EdgeConv with edge features, max aggregation, residual.

Y. Wang et al., "Dynamic Graph CNN for Learning on Point Clouds", 2019, as in S. Wu et al., "Graph-Based 3D Multi-Person
Pose Estimation Using Multi-View Images", ICCV 2021: message = MLP([x_i, x_j - x_i, e_ij]), MLP = (Linear, LayerNorm,
ReLU) twice. The first Linear is applied to nodes before pairing, which is equivalent and much cheaper. The maximum does
not grow with the number of neighbours, so weights trained on few cameras work for many.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST = -1e4


class EdgeConv(nn.Module):
    """One round of messages between nodes of width ``width`` along edges of ``edge`` features."""

    def __init__(self, width: int, edge: int) -> None:
        super().__init__()
        self.of_self = nn.Linear(width, width)
        self.of_other = nn.Linear(width, width, bias=False)
        self.of_edge = nn.Linear(edge, width, bias=False) if edge else None
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)

    def messages(self, x: Tensor, neighbour: Tensor, edge: Tensor | None) -> Tensor:
        """Messages (..., N, K, C) to nodes x (..., N, C) from neighbours (..., N, K, C) with edges (..., N, K, E).

        ``neighbour`` may be (..., 1, N, C): all nodes are neighbours of each other.
        """
        sent = self.of_self(x)[..., :, None, :] + self.of_other(neighbour)
        if self.of_edge is not None and edge is not None:
            sent = sent + self.of_edge(edge)
        return torch.relu(self.second(self.mix(torch.relu(self.first(sent)))))

    def forward(self, x: Tensor, neighbour: Tensor, edge: Tensor | None, there: Tensor) -> Tensor:
        """Nodes (..., N, C) after one round; ``there`` (..., N, K) masks edges, a node without any keeps its state."""
        sent = self.messages(x, neighbour, edge).masked_fill(~there[..., None], _LEAST)
        return x + torch.relu(sent.amax(-2))
