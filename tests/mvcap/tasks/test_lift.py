"""The tasks of lifters: true tracks, samples, how batches are varied, the loss and the metrics."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.lifting.body_joints import BODY, HIPS, MIRROR, TYPICAL_STATURE_M, straight_stature
from mvcap.tasks.lift import LiftTask, TemporalLiftTask, lift_loss, lift_samples, true_tracks, vary

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def tracks():
    return true_tracks(detected_take(people=2, cameras=2, frames=45, rate_hz=20.0, model=CLEAR))


@pytest.fixture(scope="module")
def samples(tracks):
    return [sample for track, truth in tracks for sample in lift_samples(track, truth)]


def tensors(task, samples):
    return {name: torch.from_numpy(value) for name, value in task.batch(samples).items()}


def test_tracks_are_people_of_one_stature_about_their_hips(tracks):
    assert len(tracks) == 4
    for track, truth in tracks:
        assert truth.shape == (len(track.time_s), 26, 3)
        assert np.abs(truth[:, HIPS].mean(1)).max() < 1e-6
        assert straight_stature(BODY, truth) == pytest.approx(TYPICAL_STATURE_M, rel=1e-3)
        rays = track.rays()
        assert (truth[..., 1][:, BODY.index("head_top")] < truth[..., 1][:, BODY.index("left_ankle")]).all()
        head, ankle = (rays[:, BODY.index(name), 1] for name in ("head_top", "left_ankle"))
        both = np.isfinite(head) & np.isfinite(ankle)
        assert both.any() and (head[both] < ankle[both]).all()


def test_samples_agree_with_what_is_seen(samples):
    assert samples and all(one["node"].shape == (24, 26, 5) for one in samples)
    for one in samples:
        some = one["known"][0] * one["node"][0, :, -1] > 0
        seen, true = one["node"][0, some, :2], one["joints"][0, some, :2]
        across = np.corrcoef(np.ravel(seen - seen.mean(0)), np.ravel(true - true.mean(0)))[0, 1]
        assert across > 0.95


def test_variation_keeps_what_belongs_together(samples):
    """Seen and true joints are still turned, mirrored and cut the same way."""
    task = LiftTask()
    batch = tensors(task, samples * 4)
    torch.manual_seed(1)
    lengths = set()
    for _ in range(8):
        varied = vary(batch)
        lengths.add(varied["node"].shape[1])
        assert len({varied[name].shape[1] for name in varied}) == 1
        some = (varied["known"] * varied["node"][..., -1]) > 0
        seen, true = varied["node"][..., :2][some], varied["joints"][..., :2][some]
        assert np.corrcoef(seen.flatten(), true.flatten())[0, 1] > 0.9
    assert len(lengths) > 1
    assert torch.equal(batch["node"], tensors(task, samples * 4)["node"])  # the batch itself is as it was


def test_the_loss_is_least_at_the_truth(samples):
    batch = tensors(LiftTask(), samples)
    factor = 0.05 * torch.eye(3).expand(*batch["joints"].shape, 3)
    exact = lift_loss(batch["joints"], factor, batch["joints"], batch["known"])
    off = lift_loss(batch["joints"] + 0.1, factor, batch["joints"], batch["known"])
    gone = lift_loss(batch["joints"] + 5.0 * (1 - batch["known"][..., None]), factor, batch["joints"], batch["known"])
    assert exact < off and torch.isclose(exact, gone, atol=0.2)


@pytest.mark.parametrize("task", [LiftTask(), TemporalLiftTask()], ids=lambda task: task.name)
def test_a_network_learns_and_its_metrics_are_those_of_its_answers(task, samples):
    torch.manual_seed(0)
    network, samples = task.network(), samples[:4]
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    batch = tensors(task, samples)
    before = task.metrics(network.eval(), samples)
    network.train()
    for _ in range(8):
        optimiser.zero_grad()
        loss = task.loss(network, batch)
        loss.backward()
        optimiser.step()
    after = task.metrics(network.eval(), samples)
    assert after["loss"] < before["loss"] and after["mpjpe_mm"] < before["mpjpe_mm"]
    with torch.no_grad():
        joints, _ = network(batch["node"], batch["frame"])
    some = batch["known"] > 0
    assert after["mpjpe_mm"] == pytest.approx(
        1000 * float((joints - batch["joints"]).norm(dim=-1)[some].mean()), rel=1e-3
    )
    assert 0 <= after["inside_68"] <= after["inside_95"] <= 1 and after["across_mm"] < after["mpjpe_mm"]


def test_mirror_partners_are_those_of_the_skeleton():
    assert BODY.joints[MIRROR[BODY.index("left_wrist")]] == "right_wrist"
