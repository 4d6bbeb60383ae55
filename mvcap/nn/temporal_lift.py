"""A graph network of joints weighted by their confidence, and a temporal convolution network that lifts them.

After Y. Cheng et al., "Monocular 3D Multi-Person Pose Estimation by Integrating Top-Down and Bottom-Up Networks", CVPR
2021: joints of low confidence send little to their neighbours, so what is hidden is filled in from what is seen; every
joint has weights of its own. Then dilated convolutions over time, as in D. Pavllo et al., "3D Human Pose Estimation in
Video with Temporal Convolutions and Semi-Supervised Training", CVPR 2019, here for all moments of a window at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mvcap.nn.dynamic_graph import normalised_skeleton
from mvcap.nn.lifted_pose import NUMBERS, PoseOutput, shifted

GRAPHS = ("none", "fixed", "confidence")
"""No graph; neighbours up to two bones away; the same weighted by the confidence of both joints."""


class TemporalLift(nn.Module):
    """Joints about the middle of the hips, and factors of their covariances, of every moment of a window."""

    def __init__(
        self,
        joints: int,
        features: tuple[int, int],
        bones: Sequence[tuple[int, int]],
        hips: tuple[int, int],
        body_m: float,
        width: int = 96,
        joint_width: int = 8,
        blocks: int = 3,
        graph: str = "confidence",
    ) -> None:
        """``features``: numbers of features of a joint and of a moment."""
        super().__init__()
        if graph not in GRAPHS:
            raise ValueError(f"graph is one of {', '.join(GRAPHS)}, not {graph!r}")
        node, frame = features
        self.near: Tensor
        self.joints, self.graph = joints, graph
        near = (normalised_skeleton(joints, bones) > 0).float()
        self.register_buffer("near", ((near @ near) > 0).float(), persistent=False)
        sent = 0 if graph == "none" else joint_width
        self.rounds = nn.ModuleList([_JointRound(joints, node + index * sent, sent) for index in range(2 * (sent > 0))])
        self.start = nn.Linear(joints * (node + 2 * sent) + frame, width)
        self.blocks = nn.ModuleList([_TimeBlock(width, 2**index) for index in range(blocks)])
        self.last = nn.LayerNorm(width)
        self.head, self.grow = nn.Linear(width, joints * NUMBERS), nn.Linear(width, 1)
        for layer in (self.head, self.grow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.output = PoseOutput(hips, body_m)

    def forward(self, node: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, T, J, 3) m and lower triangles (B, T, J, 3, 3) m from node (B, T, J, F) and frame (B, T, G).

        Of the features of a joint, the last but one is its score and the last whether it is known.
        """
        x = node
        if self.graph != "none":
            affinity = self._affinity(node[..., -2] * node[..., -1])
            for one in self.rounds:
                x = torch.cat([x, one(affinity @ x)], -1)
        h = self.start(torch.cat([x.flatten(2), frame], -1))
        for block in self.blocks:
            h = block(h)
        h = torch.relu(self.last(h))
        raw = self.head(h).reshape(*h.shape[:2], self.joints, NUMBERS)
        joints, triangles = self.output(raw, self.grow(h), node, frame)
        return joints, triangles

    def _affinity(self, confidence: Tensor) -> Tensor:
        """Affinity (B, T, J, J) of joints with a confidence (B, T, J), rows of sum 1 or, where all are lost, 0."""
        if self.graph == "fixed":
            confidence = torch.ones_like(confidence)
        weight = self.near * confidence[..., None, :]  # the receiver's own confidence cancels in the sum of the row
        return weight / weight.sum(-1, keepdim=True).clamp(min=1e-4)


class _JointRound(nn.Module):
    """Two layers with weights of its own for each joint."""

    def __init__(self, joints: int, width: int, out: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(joints, width, out) * (2 / width) ** 0.5)
        self.second = nn.Parameter(torch.randn(joints, out, out) * (2 / out) ** 0.5)
        self.bias, self.shift = nn.Parameter(torch.zeros(joints, out)), nn.Parameter(torch.zeros(joints, out))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, T, J, C) of joints, of x (B, T, J, F)."""
        h = torch.relu(torch.einsum("btjf,jfc->btjc", x, self.first) + self.bias)
        return torch.relu(torch.einsum("btjf,jfc->btjc", h, self.second) + self.shift)


class _TimeBlock(nn.Module):
    """A dilated convolution over time and a linear layer, with a residual connection around both."""

    def __init__(self, width: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.norm, self.kernel, self.mix = nn.LayerNorm(width), nn.Linear(3 * width, width), nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, T, C) after the block."""
        changed: Tensor = self.mix(torch.relu(self.kernel(shifted(torch.relu(self.norm(h)), self.step))))
        return h + changed
