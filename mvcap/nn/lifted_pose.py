"""What networks of lifters have in common: their last step, from features of joints to a pose with covariances.

The 2D joint, seen by a camera turned to the person, fixes the pose but for its depth and the person's distance: a
point at depth z + z0 on the ray (x, y, 1) is at (x (z + z0), y (z + z0), z + z0). So a network gives a depth for each
joint, a factor on the distance for each moment, and small offsets that undo errors of the 2D joints or stand for
missing ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NUMBERS = 9
"""Numbers of a joint that the last step takes: offset (3) and triangle (6)."""


class PoseOutput(nn.Module):
    """Pose and covariance factors from features of joints, about the middle of the hips."""

    def __init__(self, hips: tuple[int, int], body_m: float) -> None:
        """``hips``: indices of the two joints; ``body_m``: m for each unit of the 2D joints at factor 1."""
        super().__init__()
        self.hips, self.body_m = hips, body_m

    def forward(self, raw: Tensor, growth: Tensor, node: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, T, J, 3) m and lower triangles (B, T, J, 3, 3) m.

        raw (B, T, J, 9); growth (B, T, 1), the logarithm of the factor; node (B, T, J, F): x, y in body metres first,
        whether the joint is known last; frame (B, T, G): the logarithm of the size in the picture last.
        """
        flat = node[..., :2] * node[..., -1:]
        size = torch.exp(frame[..., -1:].clamp(-4, 1))[..., None]
        factor = self.body_m * torch.exp(growth.clamp(-1, 1))[..., None]
        depth = raw[..., 2:3]
        joints = torch.cat([flat * (factor + size * depth) + raw[..., :2], depth], -1)
        left, right = self.hips
        return joints - (joints[..., left : left + 1, :] + joints[..., right : right + 1, :]) / 2, _triangles(raw)


def _triangles(raw: Tensor) -> Tensor:
    """Lower triangles (..., 3, 3) m with a positive diagonal from the last six of the numbers (..., 9)."""
    diagonal = 0.05 * torch.exp(raw[..., 3:6].clamp(-3, 3))
    zero = torch.zeros_like(raw[..., 0])
    aside = 0.05 * raw[..., 6:9]
    rows = [
        torch.stack([diagonal[..., 0], zero, zero], -1),
        torch.stack([aside[..., 0], diagonal[..., 1], zero], -1),
        torch.stack([aside[..., 1], aside[..., 2], diagonal[..., 2]], -1),
    ]
    return torch.stack(rows, -2)


def shifted(h: Tensor, step: int) -> Tensor:
    """Features (B, T, ...) of the moments before, at and after each moment by ``step``, joined in the last axis.

    Beyond the ends they are zero.
    """
    room = torch.zeros_like(h[:, :1]).expand(-1, step, *h.shape[2:])
    wide = torch.cat([room, h, room], 1)
    moments = h.shape[1]
    return torch.cat([wide[:, :moments], h, wide[:, 2 * step : 2 * step + moments]], -1)
