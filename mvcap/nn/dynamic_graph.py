"""A graph network that lifts 2D joints over time, with one of four kinds of affinity between joints.

After X. Zhang et al., "Learning Dynamical Human-Joint Affinity for 3D Pose Estimation in Videos", IEEE Transactions on
Image Processing, 2021: blocks of a spatial and a temporal graph convolution whose affinities follow from the clip, by
distances of joints within a moment and by similarity of their movements. The paper compares with the affinity of a
fixed skeleton; a free matrix, learned and the same for all clips, is the comparison that tells what the clip adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mvcap.nn.lifted_pose import NUMBERS, PoseOutput, shifted

AFFINITIES = ("fixed", "static", "dynamic", "both")
"""The skeleton; a learned matrix; the clip's, blended with the skeleton; a learned matrix plus the clip's."""
_LEAST = 1e-6


class DynamicGraph(nn.Module):
    """Joints about the middle of the hips, and factors of their covariances, of every moment of a window."""

    def __init__(
        self,
        joints: int,
        features: tuple[int, int],
        bones: Sequence[tuple[int, int]],
        hips: tuple[int, int],
        body_m: float,
        width: int = 48,
        blocks: int = 3,
        heads: int = 4,
        affinity: str = "static",
    ) -> None:
        """``features``: numbers of features of a joint and of a moment."""
        super().__init__()
        node, frame = features
        self.start, self.moment = nn.Linear(node, width), nn.Linear(frame, width, bias=False)
        self.name = nn.Parameter(0.1 * torch.randn(joints, width))
        skeleton = normalised_skeleton(joints, bones)
        self.blocks = nn.ModuleList(
            [_Block(width, heads, skeleton, affinity, 2**index) for index in range(blocks)]
        )  # kernels reach 1, 2, 4 ... moments
        self.last = nn.LayerNorm(width)
        self.head = nn.Parameter(torch.zeros(joints, width, NUMBERS))
        self.shift = nn.Parameter(torch.zeros(joints, NUMBERS))
        self.grow = nn.Linear(width, 1)
        nn.init.zeros_(self.grow.weight)
        nn.init.zeros_(self.grow.bias)
        self.output = PoseOutput(hips, body_m)

    def forward(self, node: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, T, J, 3) m and lower triangles (B, T, J, 3, 3) m from node (B, T, J, F) and frame (B, T, G)."""
        h = torch.relu(self.start(node) + self.name + self.moment(frame)[:, :, None])
        for block in self.blocks:
            h = block(h)
        h = self.last(h)
        raw = torch.einsum("btjc,jcn->btjn", h, self.head) + self.shift  # each joint has a last layer of its own
        joints, triangles = self.output(raw, self.grow(h.mean(2)), node, frame)
        return joints, triangles


def normalised_skeleton(joints: int, bones: Sequence[tuple[int, int]]) -> Tensor:
    """Adjacency (J, J) of a skeleton with self loops, rows of sum 1."""
    near = torch.eye(joints)
    for one, other in bones:
        near[one, other] = near[other, one] = 1
    return near / near.sum(1, keepdim=True)


class _Block(nn.Module):
    """A spatial and a temporal graph convolution, with a residual connection around both.

    Beside its neighbours a joint hears the mean of all joints, whatever the affinity: which way a body faces, on which
    all depths depend, is known by all of it only.
    """

    def __init__(self, width: int, heads: int, skeleton: Tensor, affinity: str, step: int) -> None:
        super().__init__()
        self.step, self.heads = step, heads
        self.norm, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.space, self.time = (_Affinity(width, heads, skeleton, affinity, kind) for kind in ("near", "alike"))
        self.own, self.sent = nn.Linear(width, width), nn.Linear(width, width)
        self.whole = nn.Linear(width, width, bias=False)
        self.kernel, self.moved = nn.Linear(3 * width, width), nn.Linear(width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, T, J, C) after the block."""
        x = self.norm(h)
        x = torch.relu(self.own(x) + self.space(x, self.sent(x)) + self.whole(x.mean(2, keepdim=True)))
        y = self.between(x)
        change: Tensor = self.mix(torch.relu(self.kernel(shifted(y, self.step)) + self.time(y, self.moved(y))))
        return h + change


class _Affinity(nn.Module):
    """Messages between the joints of a moment, weighted by an affinity; each head weighs a share of the channels."""

    skeleton: Tensor

    def __init__(self, width: int, heads: int, skeleton: Tensor, affinity: str, kind: str) -> None:
        super().__init__()
        if affinity not in AFFINITIES:
            raise ValueError(f"affinity is one of {', '.join(AFFINITIES)}, not {affinity!r}")
        self.heads, self.affinity, self.kind = heads, affinity, kind
        self.register_buffer("skeleton", skeleton, persistent=False)
        if affinity in ("static", "both"):
            start = torch.log(skeleton + 0.02).expand(heads, -1, -1)
            self.free = nn.Parameter(start + 0.1 * torch.randn_like(start))
        if affinity in ("dynamic", "both"):
            self.embed = nn.Linear(width, heads * 8)
            self.sharp = nn.Parameter(torch.zeros(heads))
        if affinity == "dynamic":
            self.blend = nn.Parameter(torch.zeros(heads))

    def forward(self, h: Tensor, sent: Tensor) -> Tensor:
        """Messages (B, T, J, C) of sent (B, T, J, C), with affinities by the features h (B, T, J, C)."""
        batch, moments, joints, width = sent.shape
        parts = sent.reshape(batch, moments, joints, self.heads, width // self.heads)
        if self.affinity == "fixed":
            return torch.einsum("ij,btjhc->btihc", self.skeleton, parts).reshape(sent.shape)
        if self.affinity == "static":
            return torch.einsum("hij,btjhc->btihc", torch.softmax(self.free, -1), parts).reshape(sent.shape)
        logits = self._logits(h) * torch.exp(self.sharp)[:, None, None]
        if self.affinity == "both":
            weight = torch.softmax(self.free + logits, -1)
        else:
            share = torch.sigmoid(self.blend)[:, None, None]
            weight = (1 - share) * torch.softmax(logits, -1) + share * self.skeleton
        return torch.einsum("bthij,btjhc->btihc", weight.expand(-1, moments, -1, -1, -1), parts).reshape(sent.shape)

    def _logits(self, h: Tensor) -> Tensor:
        """Affinity (B, T or 1, H, J, J) before the softmax: of places in a moment, or of movements over the window."""
        e: Tensor = self.embed(h).reshape(*h.shape[:3], self.heads, -1)  # (B, T, J, H, E)
        if self.kind == "near":
            e = e.transpose(2, 3)
            square = (e**2).sum(-1)
            inner = e @ e.transpose(-1, -2)
            return -torch.sqrt((square[..., :, None] + square[..., None, :] - 2 * inner).clamp(min=0) + _LEAST)
        move = (e[:, 1:] - e[:, :-1]).permute(0, 3, 2, 1, 4).flatten(3)
        move = move / torch.sqrt((move**2).sum(-1, keepdim=True) + _LEAST)
        return (move @ move.transpose(-1, -2))[:, None]
