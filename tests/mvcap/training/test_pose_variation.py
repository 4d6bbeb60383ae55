"""Varied poses of training windows: bones keep their length, detections stay on their joints, odd windows stay."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.lifting.body_joints import BODY
from mvcap.tasks.lift import BODY_M, LiftTask, lift_samples, true_tracks

torch = pytest.importorskip("torch")

from mvcap.training.pose_variation import varied_poses  # noqa: E402


@pytest.fixture(scope="module")
def batch():
    tracks = true_tracks(detected_take(people=2, cameras=2, frames=45, rate_hz=20.0, model=CLEAR))
    samples = [sample for track, truth in tracks for sample in lift_samples(track, truth)]
    return {name: torch.from_numpy(value) for name, value in LiftTask().batch(samples * 2).items()}


def test_bones_keep_their_lengths_and_poses_change(batch):
    torch.manual_seed(0)
    varied = varied_poses(batch)
    limbs = BODY.limbs
    before, after = (torch.linalg.norm(one["joints"][:, :, limbs[:, 0]] - one["joints"][:, :, limbs[:, 1]], dim=-1)
                     for one in (batch, varied))  # fmt: skip
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-3)
    moved = (varied["joints"] - batch["joints"]).norm(dim=-1).mean((1, 2))
    assert (moved > 0.03).float().mean() > 0.4 and (moved == 0).any()


def test_detections_stay_on_their_joints(batch):
    """Seen joints agree with the plane of the varied pose as they did before."""
    torch.manual_seed(1)
    varied = varied_poses(batch)
    for one in (batch, varied):
        some = (one["known"] * one["node"][..., 4]) > 0
        seen, true = one["node"][..., :2] * BODY_M, one["joints"][..., :2]
        away = (seen - seen[:, :, [11, 12]].mean(2, keepdim=True)) - (true - true[:, :, [11, 12]].mean(2, keepdim=True))
        assert away.norm(dim=-1)[some].median() < 0.15
        assert np.isfinite(one["node"].numpy()).all()


def test_windows_without_enough_joints_stay(batch):
    bare = dict(batch)
    bare["node"] = batch["node"].clone()
    bare["node"][:, 3, 5:] = 0
    varied = varied_poses(bare)
    assert torch.equal(varied["node"], bare["node"]) and torch.equal(varied["joints"], bare["joints"])
