"""How far two readings of a person's joints are to be trusted: factors on their covariances."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST = 2.5
"""Largest logarithm of a factor on a standard deviation."""


class ReadingMix(nn.Module):
    """Logarithms (B, J, 6) of factors on standard deviations, from features (B, J, F) of the joints of one body.

    They are for the first reading across and along the ray, the second, and the combination. Joints exchange messages
    by a learned matrix, the same for every body, and by their mean. A fresh network returns zeros.
    """

    def __init__(self, joints: int, features: int, width: int = 48, rounds: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Parameter(0.1 * torch.randn(joints, width))
        self.enter = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width), nn.ReLU())
        self.affinity = nn.ParameterList(nn.Parameter(2.0 * torch.eye(joints)) for _ in range(rounds))
        self.rounds = nn.ModuleList(
            nn.Sequential(nn.Linear(3 * width, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))
            for _ in range(rounds)
        )
        self.leave = nn.Linear(width, 6)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, joint: Tensor, there: Tensor) -> Tensor:
        """``there`` (B, J): 1 where a joint has a reading, else 0."""
        x = self.enter(joint) + self.embedding
        mask = there[..., None]
        for affinity, layer in zip(self.affinity, self.rounds, strict=True):
            near = (affinity.exp() @ (x * mask)) / (affinity.exp() @ mask).clamp_min(1e-3)
            mean = (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp_min(1.0)
            x = x + layer(torch.cat([x, near, mean.expand_as(x)], -1))
        return MOST * torch.tanh(self.leave(x) / MOST)
