"""PRG, the graph of one person's joints, across views, along bones and along time: offsets with covariances.

After the pose regression graph of S. Wu et al., "Graph-Based 3D Multi-Person Pose Estimation Using Multi-View Images",
ICCV 2021, which pools over views by a sum, uses world coordinates and a single moment, and gives no uncertainty. Here
views are pooled by the maximum and by a weighted mean, which do not grow with their number; all lengths are in body
sizes or in standard deviations; a joint receives messages from itself at other moments; and the output is a normal
distribution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST = -1e4


class PoseGraph(nn.Module):
    """Offsets of joints, their covariance factors, and the logit of being one person."""

    def __init__(
        self,
        joints: int,
        features: tuple[int, int, int],
        steps: int,
        width: int = 48,
        view_width: int = 24,
        rounds: int = 3,
    ) -> None:
        """``features``: numbers of features of a node, of a view, of the body's proportions."""
        super().__init__()
        node, view, build = features
        self.start = nn.Linear(node, width)
        self.build = nn.Linear(build, width, bias=False)
        self.name = nn.Parameter(0.1 * torch.randn(joints, width))
        self.view, self.to_view = nn.Linear(view, view_width), nn.Linear(width, view_width, bias=False)
        self.others = nn.Sequential(nn.Linear(3 * view_width, view_width), nn.ReLU())
        self.weigh = nn.Linear(view_width, 1)
        self.from_views = nn.Linear(2 * view_width, width)
        self.rounds = nn.ModuleList([_Round(width, joints, steps, 8) for _ in range(rounds)])
        self.last = nn.LayerNorm(width)
        answer = nn.Linear(width, 9)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), answer)
        self.whole = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        nn.init.zeros_(answer.weight)
        nn.init.zeros_(answer.bias)

    def forward(
        self, node: Tensor, view: Tensor, sees: Tensor, there: Tensor, build: Tensor, step: Tensor, at: Tensor,
        near: Tensor, late: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Offset (B, T, J, 3), lower triangle (B, T, J, 3, 3) and logit (B,) of windows.

        node (B, T, J, F), view (B, T, J, C, G), sees (B, T, J, C), there (B, T, J), build (B, N), step (B, T, J, K, 3),
        at (B, T, K), near (B, T, K), late (B, T, K); masks are 1 or 0.
        """
        x = torch.relu(self.start(node) + self.name + self.build(build)[:, None, None])
        x = (x + self._seen(x, view, sees)) * there[..., None]
        time = torch.cat([step, late[:, :, None, :, None].expand(*step.shape[:-1], 1)], -1)
        time = torch.cat([time, near[:, :, None, :, None].expand(*step.shape[:-1], 1)], -1).flatten(-2)
        for round_ in self.rounds:
            x = round_(x, there, at, near, time)
        x = self.last(x)
        out = self.head(x)
        pooled = torch.cat([_mean(x, there), (x + _LEAST * (1 - there[..., None])).amax((1, 2))], -1)
        return out[..., :3], _triangle(out[..., 3:]), self.whole(pooled)[:, 0]

    def _seen(self, x: Tensor, view: Tensor, sees: Tensor) -> Tensor:
        """Messages from the views to each joint (B, T, J, C)."""
        v = torch.relu(self.view(view) + self.to_view(x)[..., None, :])
        hidden = _LEAST * (1 - sees[..., None])
        both = torch.cat(self._pooled(v, hidden, sees), -1)
        v = v + self.others(torch.cat([v, both[..., None, :].expand(*v.shape[:-1], -1)], -1))
        return torch.relu(self.from_views(torch.cat(self._pooled(v, hidden, sees), -1)))

    def _pooled(self, v: Tensor, hidden: Tensor, sees: Tensor) -> tuple[Tensor, Tensor]:
        """Maximum and weighted mean (B, T, J, C) over views (B, T, J, V, C)."""
        weight = torch.softmax(self.weigh(v) + hidden, dim=-2) * sees[..., None]
        return torch.relu((v + hidden).amax(-2)), (weight * v).sum(-2)


class _Round(nn.Module):
    """Messages between joints and between moments, and the update of the nodes.

    The neighbouring joints and moments of a node are always the same, so each has weights of its own, and messages are
    summed; the maximum is needed only among views.
    """

    def __init__(self, width: int, joints: int, steps: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.to_joints, self.to_times = nn.Linear(width, width), nn.Linear(width, width)
        self.joints = nn.Parameter(torch.randn(heads, joints, joints) / joints**0.5)
        self.times = nn.Parameter(torch.randn(steps, width) / steps**0.5)
        self.of_step = nn.Linear(5 * steps, width)
        self.mix = nn.Sequential(nn.Linear(4 * width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, there: Tensor, at: Tensor, near: Tensor, step: Tensor) -> Tensor:
        """Nodes (B, T, J, C) after one round; there (B, T, J), at and near (B, T, K), step (B, T, J, 5 K)."""
        h = self.norm(x)
        windows, frames, joints, _ = h.shape
        sent = (self.to_joints(h) * there[..., None]).reshape(windows, frames, joints, self.heads, -1)
        heard = torch.einsum("hij,btjhc->btihc", self.joints, sent).reshape(h.shape)
        before = _gather(self.to_times(h), at)
        then = torch.einsum("btjkc,btk,kc->btjc", before, near, self.times)
        change: Tensor = self.mix(torch.cat([h, heard, then, self.of_step(step)], -1))
        return x + change


def _gather(h: Tensor, at: Tensor) -> Tensor:
    """Nodes (B, T, J, K, C) of h (B, T, J, C) at the frames ``at`` (B, T, K)."""
    windows, frames, joints, width = h.shape
    rows = at + frames * torch.arange(windows, device=at.device)[:, None, None]
    found = h.reshape(windows * frames, joints * width)[rows.reshape(-1)]
    return found.reshape(windows, frames, at.shape[2], joints, width).transpose(2, 3)


def _mean(x: Tensor, there: Tensor) -> Tensor:
    return (x * there[..., None]).sum((1, 2)) / there.sum((1, 2)).clamp(min=1)[:, None]


def _triangle(raw: Tensor) -> Tensor:
    """Lower triangles (..., 3, 3) with a positive diagonal from six numbers."""
    diagonal = torch.exp(raw[..., :3].clamp(-4, 3))
    zero = torch.zeros_like(raw[..., 0])
    rows = [
        torch.stack([diagonal[..., 0], zero, zero], -1),
        torch.stack([raw[..., 3], diagonal[..., 1], zero], -1),
        torch.stack([raw[..., 4], raw[..., 5], diagonal[..., 2]], -1),
    ]
    return torch.stack(rows, -2)
