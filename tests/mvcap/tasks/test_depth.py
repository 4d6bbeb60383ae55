"""The task of root depths: cameras that see people, targets that do not tell the stature, loss and metrics."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.root_depths.distance_aware_features import JOINTS
from mvcap.structures.anthropometry import body_scale
from mvcap.tasks import depth
from mvcap.tasks.depth import DepthTask, common_spread, deviation_factor, seen_tracks

torch = pytest.importorskip("torch")

TASK = DepthTask()


@pytest.fixture(scope="module")
def take():
    return detected_take(people=2, cameras=2, frames=10, rate_hz=12.0)


@pytest.fixture(scope="module")
def samples(take):
    return TASK.samples(take, 5)


def tensors(batch):
    return {name: torch.from_numpy(value) for name, value in batch.items()}


class Answer(torch.nn.Module):
    """A network with one answer to all."""

    def __init__(self, ratio, log_sigma):
        super().__init__()
        self.ratio, self.log_sigma = torch.as_tensor(ratio), torch.as_tensor(log_sigma)

    def forward(self, node):
        return self.ratio.expand(len(node)), self.log_sigma.expand(len(node))


def test_tracks_are_of_people_in_front_of_cameras_of_any_place(take):
    fields, heights, seen = [], [], 0
    for seed in range(12):
        for person, track, root in seen_tracks(take.truth, take.rate_hz, np.random.default_rng(seed)):
            seen += 1
            assert person in take.truth.person and len(root) == len(track.xy) and (root[:, 2] > 0).any()
            fields.append(2 * np.rad2deg(np.arctan(max(track.lens.size) / 2 / track.lens.K[0, 0])))
            heights.append(np.linalg.norm(root[0]))
            flat = track.lens.distort(root[:, :2] / root[:, 2:])
            low, high = np.nanmin(track.xy, axis=1), np.nanmax(track.xy, axis=1)
            room = (high - low).max(-1, keepdims=True)  # its root is not far from its joints
            inside = ((flat > low - room) & (flat < high + room)).all(-1)
            assert inside.mean() > 0.7
    assert seen > 10 and 35 <= min(fields) < 60 < 85 < max(fields) <= 110.1
    assert max(heights) > 2.5 * min(heights)


def test_a_scene_without_people_gives_nothing(take):
    assert seen_tracks(take.truth[take.truth.frame < 0], 10.0, np.random.default_rng(0)) == []


def test_the_target_is_the_distance_over_k_and_over_the_size_of_the_body(take, monkeypatch):
    """The same scene twice as large, seen from twice as far, gives the same samples but for the size."""
    monkeypatch.setattr(depth, "simulate_detector", exact_detector)
    twice = take.truth.with_columns(xyz=2 * take.truth.xyz)
    monkeypatch.setattr(depth, "_DISTANCE_M", (3.0, 6.0))
    one = sample_of(take.truth, 3)
    monkeypatch.setattr(depth, "_DISTANCE_M", (6.0, 12.0))
    monkeypatch.setattr(depth, "_HEIGHT_M", tuple((2 * low, 2 * high) for low, high in depth._HEIGHT_M))
    other = sample_of(twice, 3)
    np.testing.assert_allclose(other["log_ratio"], one["log_ratio"], atol=1e-3)
    place_and_mask = [0, 1, 3]  # the noise depends on what is hidden, which is not scaled here
    np.testing.assert_allclose(other["node"][..., place_and_mask], one["node"][..., place_and_mask], atol=1e-3)
    np.testing.assert_allclose(other["size"], 2 * one["size"], rtol=1e-5)


def exact_detector(model, truth, rig, rng, rate_hz):
    from mvcap.synthesis.detector_simulator import simulate_detector

    return simulate_detector(CLEAR, truth, rig, np.random.default_rng(0), rate_hz)


def sample_of(truth, seed):
    tracks = seen_tracks(truth, 12.0, np.random.default_rng(seed))
    person, track, root = tracks[0]
    return depth._sample(track, root, truth[truth.person == person], np.random.default_rng(0))


def test_samples_hold_frames_of_people_with_their_sizes(take, samples):
    sizes = [float(np.median(body_scale(take.truth.skeleton, take.truth[take.truth.person == p].xyz))) for p in (1, 2)]
    assert samples and len({int(one["who"][0]) for one in samples}) <= 2
    for one in samples:
        frames = len(one["log_ratio"])
        assert one["node"].shape == (frames, len(JOINTS), 4) and 1 <= frames <= 5
        assert np.isfinite(one["log_ratio"]).all() and np.abs(one["log_ratio"]).max() < 2.5
        assert min(abs(float(one["size"][0]) - size) for size in sizes) < 1e-5
    again = TASK.samples(take, 5)
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(samples, again, strict=True) for name in a)


def test_limits_are_the_range_of_the_features_of_detected_joints(samples):
    limits, node = TASK.limits(samples), np.concatenate([one["node"] for one in samples])
    seen = node[node[..., 3] > 0]
    assert (limits["node_low"] >= seen.min(0)).all() and (limits["node_high"] <= seen.max(0)).all()
    assert limits["node_low"].shape == (4,) and limits["node_low"][3] == limits["node_high"][3] == 1


def test_the_loss_is_least_for_the_truth_with_its_own_deviation(samples):
    batch = tensors(TASK.batch(samples))
    assert batch["node"].shape[0] == batch["log_ratio"].shape[0] == sum(len(one["log_ratio"]) for one in samples)
    middle, spread = float(batch["log_ratio"].mean()), float(batch["log_ratio"].std())
    losses = [float(TASK.loss(Answer(middle + off, np.log(spread * wide)), batch))
              for off, wide in ((0, 1), (0.5, 1), (-0.5, 1), (0, 4), (0, 0.25))]  # fmt: skip
    assert losses[0] == min(losses)


def test_metrics_are_those_of_the_errors(samples):
    ratio = np.concatenate([one["log_ratio"] for one in samples])
    middle = float(np.median(ratio))
    found = TASK.metrics(Answer(middle, np.log(0.2)), samples)
    assert found["error_share"] == pytest.approx(np.abs(ratio - middle).mean(), rel=1e-5)
    assert found["constant_share"] == pytest.approx(found["error_share"], rel=1e-5)
    assert 0 <= found["inside_68"] <= found["inside_95"] <= 1 and found["deviation_factor"] > 0
    assert set(TASK.better) <= set(found)


def test_the_factor_makes_normal_errors_fit_their_deviations():
    off = np.abs(np.random.default_rng(0).normal(0, 1.4, 20000))
    assert deviation_factor(off) == pytest.approx(1.4, rel=0.03)
    assert deviation_factor(np.zeros(0)) == 1.0


def test_what_all_tracks_of_a_person_share_is_told_from_the_rest():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(400), 12)
    track = np.repeat(np.arange(1600), 3)
    own, of_track = rng.normal(0, 0.05, 400)[person], rng.normal(0, 0.1, 1600)[track]
    assert common_spread(own + of_track + rng.normal(0, 0.1, 4800), person, track) == pytest.approx(0.05, rel=0.2)
    assert common_spread(of_track, person, track) < 0.025
