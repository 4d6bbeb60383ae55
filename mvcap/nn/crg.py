"""CRG, the centre refinement graph: log-odds of places to be the centre of a person."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mvcap.nn.edge_conv import EdgeConv


class CentreGraph(nn.Module):
    """Log-odds of queries from features of views (B, Q, C, F), of pairs (B, C, C, E) and of queries (B, Q, S).

    Views exchange messages for each query and are pooled by maximum and by mean, so their number is arbitrary.
    """

    def __init__(self, view: int, pair: int, spot: int, width: int = 32, rounds: int = 2) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(view, width), nn.LayerNorm(width), nn.ReLU())
        self.rounds = nn.ModuleList(EdgeConv(width, pair) for _ in range(rounds))
        self.leave = nn.Sequential(
            nn.Linear(2 * width + spot, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.odds, self.spread = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, view: Tensor, pair: Tensor, spot: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds (B, Q) that a person's centre is there, and the logarithm (B, Q) of its standard deviation, m.

        ``there`` (B, C): the views that see the place.
        """
        x, seen = self.enter(view), there[:, None, :, None]
        pairs = (there[:, :, None] & there[:, None, :])[:, None].expand(-1, x.shape[1], -1, -1)
        edge = pair[:, None].expand(-1, x.shape[1], -1, -1, -1)
        for layer in self.rounds:
            x = layer(x, x[:, :, None], edge, pairs)
        most = torch.where(seen, x, x.new_full((), -1e4)).amax(2).clamp_min(-10.0)
        mean = (x * seen).sum(2) / seen.sum(2).clamp_min(1)
        mixed = self.leave(torch.cat([most, mean, spot], -1))
        return self.odds(mixed)[..., 0], self.spread(mixed)[..., 0].clamp(-5.0, 1.0)
