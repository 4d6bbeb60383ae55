"""The network of root depths: from a person's joints in the crop to the distance over k, with a standard deviation.

After RootNet (G. Moon, J. Y. Chang, K. M. Lee, "Camera Distance-Aware Top-Down Approach for 3D Multi-Person Pose
Estimation From a Single RGB Image", ICCV 2019), which reads the correction of k from the picture. Here the input is the
2D pose in the crop, and the output is the logarithm of the correction with its standard deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST, _MOST = -4.5, 0.5  # logarithms of the standard deviation: 1.1 % to 165 %


class RootDepthNet(nn.Module):
    """Logarithm of distance over k, in units of body size, and the logarithm of its standard deviation."""

    def __init__(self, joints: int, features: int, width: int = 128, blocks: int = 3) -> None:
        super().__init__()
        self.start = nn.Linear(joints * features, width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(blocks)])
        self.last = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, node: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of distance over k (B,) and of its standard deviation (B,); node (B, J, F)."""
        x = self.start(node.flatten(1))
        for block in self.blocks:
            x = block(x)
        out = self.head(torch.relu(self.last(x)))
        middle, reach = (_LEAST + _MOST) / 2, (_MOST - _LEAST) / 2
        return out[:, 0], middle + reach * torch.tanh((out[:, 1] - 0.5) / reach)


class _Block(nn.Module):
    """A residual block of two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.one, self.two = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C) after the block."""
        change: Tensor = self.two(torch.relu(self.one(self.norm(x))))
        return x + change
