"""Varied poses for training lifters: limbs turned and bodies turned, seen with the same errors of the estimator.

Clips hold few motions, and networks learn them by heart. So limbs are turned by a random angle, constant over a window,
and the body about the vertical of the picture; the joints are projected again and the errors of their detections kept.
After K. Gong et al., "PoseAug: A Differentiable Pose Augmentation Framework for 3D Human Pose Estimation", CVPR 2021,
which learns such variations; here they are drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mvcap.lifting.body_joints import BODY
from mvcap.structures.body_frame import CORNERS

if TYPE_CHECKING:
    import torch

_ARM, _LEG = ("elbow", "wrist"), ("knee", "ankle", "big_toe", "small_toe", "heel")
_HEAD = tuple(name for name in BODY.joints if name.endswith(("nose", "eye", "ear", "head_top")))
_UPPER = (*_HEAD, "neck", *(f"{side}_{name}" for side in ("left", "right") for name in ("shoulder", *_ARM)))
_TURNED: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("pelvis", _UPPER, 0.15),
    ("neck", _HEAD, 0.15),
    *((f"{side}_shoulder", tuple(f"{side}_{one}" for one in _ARM), 0.4) for side in ("left", "right")),
    *((f"{side}_elbow", (f"{side}_wrist",), 0.4) for side in ("left", "right")),
    *((f"{side}_hip", tuple(f"{side}_{one}" for one in _LEG), 0.2) for side in ("left", "right")),
    *((f"{side}_knee", tuple(f"{side}_{one}" for one in _LEG[1:]), 0.2) for side in ("left", "right")),
)
"""Joint, the joints that turn about it, standard deviation rad about each axis."""
_YAW_RAD, _SHARE = 0.35, 0.7  # turn of the whole body; share of windows that are varied
_LEAST_JOINTS, _NEAR_M, _FAR_M = 6, 0.6, 40.0  # for the distance of a moment; distances that are possible


def varied_poses(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Windows with other poses: node, frame, joints and known as in the task ``lift``; others stay as they are.

    A window in which a moment has too few joints, or no possible distance, stays as it is.
    """
    import torch

    node, frame, joints, known = (batch[name] for name in ("node", "frame", "joints", "known"))
    size = torch.exp(frame[..., 2])[..., None, None]
    flat = node[..., :2] * size
    seen = (node[..., 4] * known)[..., None]
    distance, root, fits = _placed(flat, joints, seen)
    turned = _turned(joints)
    off = flat - (joints[..., :2] + root) / (distance + joints[..., 2:]).clamp(min=0.2)
    again = (turned[..., :2] + root) / (distance + turned[..., 2:]).clamp(min=0.2) + off
    again = torch.where(seen > 0, again, flat)
    trunk = seen[:, :, [BODY.index(name) for name in CORNERS]]
    moved = (again - flat)[:, :, [BODY.index(name) for name in CORNERS]]
    again = again - seen * ((moved * trunk).sum(2) / trunk.sum(2).clamp(min=1))[:, :, None]
    before, after = ((one**2 * seen).sum((2, 3)).clamp(min=1e-8) for one in (flat, again))
    growth = 0.5 * torch.log(after / before).mean(1)
    use = fits & (growth.abs() < 1) & (torch.rand(len(node), device=node.device) < _SHARE)
    use = use & torch.isfinite(again).flatten(1).all(1)
    growth = torch.where(use, growth, 0.0)[:, None, None]
    pick = use[:, None, None, None]
    made = node.clone()
    made[..., :2] = torch.where(pick, (again / size * torch.exp(-growth)[..., None]).clamp(-3, 3), node[..., :2])
    made[..., 2] = node[..., 2] - growth / 1.5 * node[..., 4]
    wide = frame.clone()
    wide[..., 2] = frame[..., 2] + growth[..., 0]
    return {**batch, "node": made, "frame": wide, "joints": torch.where(pick, turned * known[..., None], joints)}


def _placed(
    flat: torch.Tensor, joints: torch.Tensor, seen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Distance (B, T, 1, 1) m and place aside (B, T, 1, 2) m of the root at which joints fall on the plane z = 1.

    By linear least squares; also whether all moments of a window (B,) have possible ones.
    """
    aside = seen * (joints[..., :2] - flat * joints[..., 2:])
    count = seen.sum(2).clamp(min=1)
    mean, other = (flat * seen).sum(2) / count, aside.sum(2) / count
    square = (flat**2 * seen).sum((2, 3)) / count[..., 0] - (mean**2).sum(-1)
    cross = (flat * aside).sum((2, 3)) / count[..., 0] - (mean * other).sum(-1)
    distance = cross / square.clamp(min=1e-8)
    possible = (distance > _NEAR_M) & (distance < _FAR_M) & (seen.sum((2, 3)) >= _LEAST_JOINTS)
    distance = distance.clamp(_NEAR_M, _FAR_M)[..., None]
    return distance[..., None], (mean * distance - other)[:, :, None], possible.all(1)


def _turned(joints: torch.Tensor) -> torch.Tensor:
    """Joints (B, T, J, 3) with limbs turned and the body turned about the picture's vertical."""
    import torch

    out = joints.clone()
    for pivot, moving, spread in _TURNED:
        at = [BODY.index(name) for name in moving]
        turn = _rotations(spread * torch.randn(len(out), 3, device=out.device))
        centre = out[:, :, BODY.index(pivot)][:, :, None]
        out[:, :, at] = torch.einsum("bac,btjc->btja", turn, out[:, :, at] - centre) + centre
    yaw = torch.zeros(len(out), 3, device=out.device)
    yaw[:, 1] = _YAW_RAD * torch.randn(len(out), device=out.device)
    turned: torch.Tensor = torch.einsum("bac,btjc->btja", _rotations(yaw), out)
    return turned


def _rotations(vector: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (B, 3, 3) of rotation vectors (B, 3) rad."""
    import torch

    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    made: torch.Tensor = torch.linalg.matrix_exp(torch.stack(rows, -2))
    return made
