"""The task of the graph of joints: cases of one person or of two mixed, targets, the loss and the metrics."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.refiners.graph_features import BODY, STEPS_S
from mvcap.tasks.prg import PoseTask, person_cases, window_of

torch = pytest.importorskip("torch")

TASK = PoseTask()


@pytest.fixture(scope="module")
def take():
    return detected_take(people=2, cameras=3, frames=10, rate_hz=12.0, calibration="fair")


@pytest.fixture(scope="module")
def samples(take):
    return TASK.samples(take, 5)


class Answer(torch.nn.Module):
    """A network with the same output for every joint: an offset, the scale of the covariance, the logit of a person."""

    def __init__(self, offset=(0.0, 0.0, 0.0), wide=1.0, person=0.0):
        super().__init__()
        self.offset, self.wide, self.person = torch.tensor(offset), wide, person

    def forward(self, node, *rest):
        shape = node.shape[:3]
        factor = self.wide * (torch.eye(3) + 0.5 * torch.tril(torch.ones(3, 3), -1))
        return self.offset.expand(*shape, 3), factor.expand(*shape, 3, 3), torch.full(shape[:1], self.person)


def tensors(batch):
    return {name: torch.from_numpy(value) for name, value in batch.items()}


# Cases


def test_cases_are_the_people_of_the_take(take):
    cases = person_cases(take, 5)
    assert 1 <= len(cases) <= 2
    for poses, evidence, truth, _ in cases:
        (person,) = np.unique(truth.person)
        mine = take.truth[take.truth.person == person]
        assert poses.skeleton == truth.skeleton == evidence.rows.skeleton
        np.testing.assert_array_equal(truth.frame, mine.frame)
        shared = [joint for joint in truth.skeleton.joints if joint in mine.skeleton.joints]
        for joint in shared:
            np.testing.assert_array_equal(
                truth.xyz[:, truth.skeleton.index(joint)], mine.xyz[:, mine.skeleton.index(joint)]
            )
        assert evidence.rig is take.rig and evidence.rate_hz == take.rate_hz
        assert np.isfinite(evidence.limb_length_m).all() and len(evidence.calibration_px) == len(take.rig)


def test_limb_lengths_are_nearly_those_of_the_person(take):
    for seed in range(6):
        for _, evidence, truth, _ in person_cases(take, seed):
            ends = truth.xyz[:, truth.skeleton.limbs].astype(float)
            true = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1).mean(0)
            assert np.abs(np.log(evidence.limb_length_m / true)).max() < 0.08
            assert (evidence.limb_sigma > 0).all() and (evidence.limb_sigma < 0.05).all()


def test_joints_vanish_and_none_appear():
    """With exact rows, joints of a case are those of the take, with some dropped."""
    take = detected_take(people=2, cameras=3, frames=10, model=CLEAR)
    left, whole = 0, 0
    for seed in range(8):
        for _, evidence, truth, genuine in person_cases(take, seed):
            rows = evidence.rows
            (person,) = np.unique(truth.person)
            mine = take.truth[take.truth.person == person]
            if genuine:
                for joint in set(rows.skeleton.joints) & set(mine.skeleton.joints):
                    xyz = mine.xyz[np.searchsorted(mine.frame, rows.frame), mine.skeleton.index(joint)].astype(float)
                    seen = take.seen_by.project(xyz)[rows.view, np.arange(len(rows))]
                    xy = rows.xy[:, rows.skeleton.index(joint)]
                    there = np.isfinite(xy).all(-1)
                    assert np.abs(xy[there] - seen[there]).max(initial=0) < 0.01
            assert (rows.score > 0).any(1).all()
            left += (rows.score > 0).sum()
            whole += (take.person == person).sum() * len(rows.skeleton)
    assert 0.4 < left / whole < 0.95


def test_now_and_then_two_people_are_mixed():
    """A case that is no person has joints of another, or rows of another in some views, and of no third person."""
    take = detected_take(people=3, cameras=3, frames=8, rate_hz=12.0, model=CLEAR)
    mixed = [case for seed in range(20) for case in person_cases(take, seed) if not case[3]]
    taken = []
    for _, evidence, truth, _ in mixed:
        (person,) = np.unique(truth.person)
        whose = {
            tuple(point): one for one in (1, 2, 3) for point in take.rows.xy[take.person == one].reshape(-1, 2).tolist()
        }
        found = [whose.get(tuple(point), 0) for point in evidence.rows.xy.reshape(-1, 2).tolist()]
        assert len(set(found) - {0, person}) <= 1
        taken.append(sum(one not in (0, person) for one in found))
    assert len(taken) > 2 and np.mean(np.array(taken) > 5) > 0.6


def test_cases_and_samples_are_the_same_for_the_same_seed(take, samples):
    again = TASK.samples(take, 5)
    assert len(samples) == len(again) > 0
    for one, other in zip(samples, again, strict=True):
        assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# Samples


def test_the_target_leads_from_where_bones_has_a_joint_to_the_truth(take):
    """The offset in its unit, in the body's frame, added to the joint: the person's true joint in the room."""
    from mvcap.refiners.bones import solve_window
    from mvcap.refiners.graph import GraphRefinerConfig
    from mvcap.refiners.graph_features import window_features

    count = 0
    for poses, evidence, truth, genuine in person_cases(take, 5):
        sample = window_of(poses, evidence, truth, genuine)
        posture = window_features(solve_window(poses, evidence, GraphRefinerConfig()), evidence)
        metres = np.einsum("tjab,tjb->tja", sample["unit"].astype(float), sample["offset"].astype(float))
        found = posture.x + np.einsum("tba,tjb->tja", posture.body_from_world, metres)
        first = evidence.rows.frame.min()
        for moment, joint in zip(*np.nonzero(sample["known"] > 0), strict=True):
            row = truth.frame == first + posture.frame[moment]
            true = truth.xyz[row, posture.joint[joint]][0]
            np.testing.assert_allclose(found[moment, joint], true, atol=2e-3)
            count += 1
        assert bool(sample["genuine"]) == genuine
    assert count > 100


def test_samples_have_the_features_that_the_network_takes(samples):
    node, view, build = TASK.features
    for one in samples:
        moments, joints, views = one["sees"].shape
        assert joints == len(BODY) and one["node"].shape == (moments, joints, node) and one["build"].shape == (build,)
        assert one["view"].shape == (moments, joints, views, view) and one["at"].shape == (moments, len(STEPS_S))
        assert all(np.isfinite(value).all() for value in one.values())
        assert (one["start_m"] >= 0).all() and (one["known"][one["there"] == 0] == 0).all()


def test_what_two_views_saw_is_counted_in_smaller_units_than_what_they_did_not(samples):
    sizes = {few: [] for few in (True, False)}
    for one in samples:
        deviation = np.trace(one["unit"], axis1=-2, axis2=-1) / 3
        for few, held in sizes.items():
            held.append(deviation[(one["there"] > 0) & ((one["views"] < 2) == few)])
    assert np.median(np.concatenate(sizes[False])) < 0.5 * np.median(np.concatenate(sizes[True]))


def shortened(sample, moments, views):
    """A window's first moments and views."""
    out = {name: value if name in ("build", "genuine") else value[:moments] for name, value in sample.items()}
    return {**out, "view": out["view"][:, :, :views], "sees": out["sees"][:, :, :views]}


def test_a_batch_is_padded_with_nothing(samples):
    long, short = samples[0], shortened(samples[0], 5, 1)
    batch = TASK.batch([long, short])
    moments, views = len(long["node"]), long["sees"].shape[2]
    for name, value in batch.items():
        np.testing.assert_array_equal(value[0], long[name])
        if name in ("build", "genuine"):
            np.testing.assert_array_equal(value[1], short[name])
            continue
        assert value.shape[1] == moments
        assert not value[1, 5:].any()
        inner = value[1, :5, :, :1] if name in ("view", "sees") else value[1, :5]
        np.testing.assert_array_equal(inner, short[name])
    assert batch["sees"].shape[3] == views and not batch["sees"][1, :, :, 1:].any()


# Loss and figures


def counted(batch, answer):
    """Squared distances, metres and log determinants (B, T, J) of an output that is the same everywhere."""
    offset, factor, _ = (value.numpy() for value in answer(torch.from_numpy(batch["node"])))
    off = batch["offset"] - offset
    square = (np.linalg.solve(factor, off[..., None])[..., 0] ** 2).sum(-1)
    metres = np.linalg.norm((batch["unit"] @ off[..., None])[..., 0], axis=-1)
    return square, metres, np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)


@pytest.mark.parametrize("answer", [Answer(), Answer((0.3, -0.2, 0.1), 0.05, 2.0), Answer((5.0, 5.0, 5.0), 3.0, -1.0)])
def test_the_loss_is_likelihood_distance_and_whether_this_is_a_person(samples, answer):
    batch = TASK.batch(samples)
    square, metres, logs = counted(batch, answer)
    far = np.where(square > 25, 25 * (1 + np.log(np.maximum(square, 25) / 25)), square)
    each = 0.5 * far + logs + 40 * np.minimum(metres, 0.5)
    weight = batch["known"] * np.where(batch["views"] < 2, 1, 0.15) * batch["genuine"][:, None, None]
    share = 1 / (1 + np.exp(-answer.person))
    person = -np.log(np.where(batch["genuine"] > 0, share, 1 - share)).mean()
    expected = (each * weight).sum() / weight.sum() + 0.2 * person
    assert TASK.loss(answer, tensors(batch)).item() == pytest.approx(expected, rel=1e-4)


def test_joints_that_are_unknown_and_people_who_are_mixed_count_for_nothing(samples):
    batch = TASK.batch(samples)
    loss = TASK.loss(Answer(), tensors(batch)).item()
    unknown = {**batch, "offset": batch["offset"] + 7 * (batch["known"] == 0)[..., None].astype(np.float32)}
    assert TASK.loss(Answer(), tensors(unknown)).item() == pytest.approx(loss)
    mixed = {**batch, "genuine": 0 * batch["genuine"]}
    moved = {**mixed, "offset": mixed["offset"] + 7}
    assert TASK.loss(Answer(), tensors(moved)).item() == TASK.loss(Answer(), tensors(mixed)).item()


def test_figures_are_mean_distances_by_the_number_of_views(samples):
    answer = Answer((0.1, 0.2, -0.1), 0.7, 1.0)
    found = TASK.metrics(answer, samples)
    batch = TASK.batch(samples)
    square, metres, _ = counted(batch, answer)
    known = (batch["known"] > 0) & (batch["genuine"] > 0)[:, None, None]
    for name, which in (("0", batch["views"] == 0), ("1", batch["views"] == 1), ("2", batch["views"] >= 2)):
        mine = known & which
        if not mine.any():
            assert f"graph_mm_{name}" not in found
            continue
        assert found[f"graph_mm_{name}"] == pytest.approx(1000 * metres[mine].mean(), rel=1e-4)
        assert found[f"start_mm_{name}"] == pytest.approx(1000 * batch["start_m"][mine].mean(), rel=1e-4)
        for share, limit in ((68, 3.506), (95, 7.815)):
            assert found[f"graph_inside_{share}_{name}"] == pytest.approx((square[mine] < limit).mean(), abs=1e-6)
        kept = mine & (batch["kept"] > 0)
        if kept.any():
            assert found[f"graph_mm_{name}_kept"] == pytest.approx(1000 * metres[kept].mean(), rel=1e-4)
    assert found["person_right"] == pytest.approx((batch["genuine"] > 0).mean())
    assert {"graph_mm_2", "graph_mm_1"} <= set(found)


def test_figures_of_nothing(samples):
    assert TASK.metrics(Answer(), []) == {"loss": 0}
    doubted = [{**one, "genuine": np.float32(0)} for one in samples]
    assert TASK.metrics(Answer(person=-1.0), doubted).keys() == {"loss", "person_right"}


def test_limits_hold_nearly_all_features_that_are_there(samples):
    limits = TASK.limits(samples)
    for name, mask in (("node", "there"), ("view", "sees")):
        values = np.concatenate([one[name][one[mask] > 0] for one in samples])
        low, high = limits[f"{name}_low"], limits[f"{name}_high"]
        assert low.shape == values.shape[1:] and (low < high).all()
        assert ((values < low) | (values > high)).mean() < 0.002


def test_a_fresh_network_learns_from_a_batch(samples):
    torch.manual_seed(0)
    network, batch = TASK.network(), tensors(TASK.batch(samples))
    losses = []
    for _ in range(4):
        loss = TASK.loss(network, batch)
        network.zero_grad()
        loss.backward()
        assert all(torch.isfinite(weight.grad).all() for weight in network.parameters())
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 2e-3 * weight.grad.sign()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert 4 * sum(value.numel() for value in network.state_dict().values()) < 1.5e6  # bytes: it ships with the package
