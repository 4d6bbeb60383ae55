"""Frame-to-frame tracking: the filter against a dense one, the gate, the assignment, and lost tracklets."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO, RATE_HZ
from tracked_walkers import figure, line, table, walkers, within

from mvcap.tracking.kalman_tracker import FrameInput, KalmanTracker, cheapest_pairs, torso_weights
from mvcap.tracking.motion_model import predict_states
from mvcap.tracking.tracklets import TrackConfig

CONFIG = TrackConfig()
BODY = figure(0.0, (0.0, 0.0))
seeds = st.integers(0, 2**32 - 1)


def tracker(follows=False, **settings):
    return KalmanTracker(COCO, TrackConfig(**settings), RATE_HZ, follows)


def at(frame, *places, groups=None, body=BODY, noise_m=0.01):
    """Rows of one frame: the same body at places (x, y, z)."""
    xyz = np.array([body + place for place in places]).reshape(-1, len(COCO), 3)
    rows = table(np.full(len(xyz), frame), np.arange(len(xyz)), xyz, noise_m)
    return rows if groups is None else rows.with_columns(group=np.asarray(groups))


def followed(walk, frames, **settings):
    """A tracker after so many frames of a body that moves without turning: place by frame."""
    made = tracker(**settings)
    for frame in range(frames):
        assert made.link(at(frame, walk(frame))).tolist() == [0]
    return made


# --- one frame as the filter takes it --------------------------------------------------------------------------------


def test_the_middle_of_a_body_is_that_of_its_torso():
    rows = at(0, (1.0, 2.0, 0.0))
    frame = FrameInput.of(rows)
    np.testing.assert_allclose(frame.middle[0], rows.xyz[0, COCO.torso].mean(0), atol=1e-6)
    hidden = rows.xyz.copy()
    hidden[:, COCO.torso] = np.nan
    rest = np.setdiff1d(np.arange(len(COCO)), COCO.torso)
    np.testing.assert_allclose(FrameInput.of(table([0], [0], hidden)).middle[0], rows.xyz[0, rest].mean(0), atol=1e-6)


@given(seeds)
@settings(derandomize=True, max_examples=30)
def test_weights_of_a_torso_sum_to_one_or_nothing(seed):
    seen = np.random.default_rng(seed).random((5, len(COCO))) < 0.3
    weight = torso_weights(seen, COCO)
    np.testing.assert_allclose(weight.sum(1), seen.any(1))
    assert not weight[~seen].any()
    torso = np.isin(np.arange(len(COCO)), COCO.torso)
    some = (seen & torso).any(1)
    assert not weight[some][:, ~torso].any()


def test_joints_that_are_no_places_are_not_seen():
    xyz = np.repeat(BODY[None], 4, axis=0)
    xyz[0, 3], xyz[1, 3], xyz[2] = np.nan, 1e6, np.nan
    frame = FrameInput.of(table(np.zeros(4), np.arange(4), xyz))
    assert frame.seen.sum(1).tolist() == [16, 16, 0, 17] and frame.there.tolist() == [True, True, False, True]
    assert not frame.middle[2].any() and np.isfinite(frame.xyz).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_a_joint_without_a_covariance_has_a_usual_one(wrong):
    rows = at(0, (0, 0, 0))
    frame = FrameInput.of(rows.with_columns(cov=np.full_like(rows.cov, wrong)))
    assert (np.linalg.eigvalsh(frame.cov) > 0.05**2).all() and (np.linalg.eigvalsh(frame.cov) < 0.2**2).all()
    assert (np.linalg.eigvalsh(FrameInput.of(rows).cov) < 0.03**2).all()


# --- the filter ------------------------------------------------------------------------------------------------------


def test_the_velocity_of_a_steady_walk_is_found_and_that_of_a_standing_body_is_none():
    for speed in (np.array([1.1, -0.4, 0.0]), np.zeros(3)):
        made = followed(lambda frame, speed=speed: speed * frame / RATE_HZ, 60, acceleration_mps2=0.05)
        np.testing.assert_allclose(made.mean[0, 3:], speed, atol=0.02)
        middle = BODY[COCO.torso].mean(0)
        np.testing.assert_allclose(made.mean[0, :3], middle + speed * 59 / RATE_HZ, atol=0.06)
        ahead, _ = predict_states(made.mean, made.cov, 0.4, 1.5, 0.05)
        np.testing.assert_allclose(ahead[0, :3] - made.mean[0, :3], 0.4 * speed, atol=0.02)


def test_uncertainty_falls_with_observations_and_grows_in_gaps():
    made = followed(lambda frame: (0, 0, 0), 2)
    first = made.cov[0].copy()
    made = followed(lambda frame: (0, 0, 0), 30)
    assert np.trace(made.cov[0]) < 0.5 * np.trace(first)
    noise = FrameInput.of(at(0, (0, 0, 0))).cov[0, 0]
    assert (np.linalg.eigvalsh(noise - made.cov[0, :3, :3]) > 0).all()  # many frames know more than one
    bare = table([50], [0], np.full((1, len(COCO), 3), np.nan))
    before = np.trace(made.cov[0, :3, :3])
    made.link(bare)
    assert np.trace(made.cov[0, :3, :3]) > 10 * before


def test_joints_that_are_hidden_move_with_the_torso():
    made = followed(lambda frame: (0.04 * frame, 0, 0), 20)
    hidden = BODY + np.array([0.04 * 20, 0, 0])
    hidden[COCO.index("left_wrist")] = np.nan
    assert made.link(table([20], [0], hidden[None], 0.01)).tolist() == [0]
    wrist = made.xyz[0, COCO.index("left_wrist")]
    np.testing.assert_allclose(wrist, BODY[COCO.index("left_wrist")] + [0.8, 0, 0], atol=0.02)
    assert made.joint_seen[0, COCO.index("left_wrist")] == 19 and made.joint_seen[0, 0] == 20


# --- the gate --------------------------------------------------------------------------------------------------------


def gate_m(made, rows, away_s):
    """How far along x the whole body may be off where it is predicted, m: gate times the deviation of a coordinate."""
    _, cov = predict_states(made.mean, made.cov, away_s, CONFIG.speed_mps, CONFIG.acceleration_mps2)
    own = FrameInput.of(rows).cov[0, 0, 0, 0]
    loose = min(CONFIG.limb_speed_mps * away_s, 0.5)
    return made.config.gate_sigma * np.sqrt(3 * (cov[0, 0, 0] + made.joint_cov[0, 0, 0, 0] + own + loose**2))


@pytest.mark.parametrize("frames_away", [1, 5])
@pytest.mark.parametrize("share", [0.95, 1.05])
def test_the_gate_is_at_the_stated_distance(frames_away, share):
    made = followed(lambda frame: (0, 0, 0), 20, gate_sigma=1.5)
    far = share * gate_m(made, at(0, (0, 0, 0)), frames_away / RATE_HZ)
    found = made.link(at(19 + frames_away, (far, 0, 0)))
    assert found.tolist() == ([0] if share < 1 else [1])


def test_a_few_wrong_joints_do_not_make_another_person():
    made = followed(lambda frame: (0, 0, 0), 20)
    wrong = BODY.copy()
    wrong[[0, 3, 7, 9, 14, 15]] += np.array([0.0, 2.0, 0.0])
    assert made.link(table([20], [0], wrong[None], 0.01)).tolist() == [0]


def test_the_top_speed_limits_the_gate():
    """A body of which little is known is still not one that would have had to move at 25 m/s."""
    made = followed(lambda frame: (0, 0, 0), 20, gate_sigma=50.0, speed_mps=50.0, acceleration_mps2=500.0)
    assert made.link(at(20, (2.0, 0, 0), noise_m=0.01)).tolist() == [1]


# --- assignment ------------------------------------------------------------------------------------------------------


def brute_force(cost, gate):
    """Least sum of a one-to-one assignment of as many as can be, costs above four gates counting as four gates."""
    rows, columns = np.flatnonzero((cost < gate).any(1)), np.flatnonzero((cost < gate).any(0))
    inner = np.minimum(cost[np.ix_(rows, columns)], 4 * gate)
    if inner.shape[0] > inner.shape[1]:
        inner = inner.T
    if not inner.size:
        return 0.0
    return min(
        sum(inner[row, column] for row, column in enumerate(order))
        for order in permutations(range(inner.shape[1]), inner.shape[0])
    )


@given(seeds, st.integers(0, 5), st.integers(0, 5), st.floats(0, 0.7))
@settings(derandomize=True, max_examples=60)
def test_assignment_is_the_cheapest_and_respects_the_gate(seed, people, rows, shut):
    rng, gate = np.random.default_rng(seed), 3.0
    cost = rng.uniform(-3, 8, (people, rows))
    cost[rng.random(cost.shape) < shut] = np.inf
    pairs = cheapest_pairs(cost, gate)
    assert all(cost[pair] < gate for pair in pairs)
    assert all(len(set(side)) == len(side) for side in zip(*pairs, strict=True))
    feasible = [np.flatnonzero((cost < gate).any(axis)) for axis in (1, 0)]
    missing = min(map(len, feasible)) - len(pairs)
    total = sum(cost[pair] for pair in pairs)
    assert total <= brute_force(cost, gate) + 1e-9 - gate * missing  # pairs beyond the gate cost a gate at least


def test_two_who_pass_each_other_are_not_mixed_up_whatever_the_order_of_rows():
    ways = (lambda f: (-1 + 0.05 * f, 0.0, 0.0), lambda f: (1 - 0.05 * f, 0.4, 0.0))
    for seed in range(3):
        made, rng, given_ = tracker(), np.random.default_rng(seed), []
        for frame in range(40):
            order = rng.permutation(2) if frame else np.arange(2)
            found = made.link(at(frame, *(ways[who](frame) for who in order)))
            given_.append(found[np.argsort(order)].tolist())
        assert given_ == [[0, 1]] * 40


def test_established_tracklets_are_assigned_before_new_ones():
    """The uncertain prediction of a new tracklet lies nearer to the only row; the established tracklet gets it."""
    made = tracker(min_seconds=0.25)
    for frame in range(20):
        made.link(at(frame, (0, 0, 0)) if frame < 19 else at(frame, (0, 0, 0), (0.9, 0, 0)))
    assert made.ident.tolist() == [0, 1] and made.count.tolist() == [20, 1]
    assert made.link(at(21, (0.30, 0, 0))).tolist() == [0]


# --- who comes and goes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames_away", "same"), [(24, True), (27, False)])
def test_a_person_is_waited_for_as_long_as_is_stated(frames_away, same):
    made = followed(lambda frame: (0, 0, 0), 60, occlusion_s=1.0)
    assert made.link(at(59 + frames_away, (0, 0, 0))).tolist() == [0 if same else 1]
    assert made.ident.tolist() == [0 if same else 1]


def test_short_tracklets_are_kept_for_a_short_time_only():
    made = followed(lambda frame: (0, 0, 0), 2, occlusion_s=5.0)
    assert made.link(at(20, (0, 0, 0))).tolist() == [1]


def test_numbers_are_never_given_again():
    made, given_ = tracker(occlusion_s=0.2), []
    for spell in range(6):
        given_ += made.link(at(100 * spell, (0, 0, 0), (3, 0, 0))).tolist()
    assert given_ == list(range(12)) and made.next_ident == 12 and len(made.ident) == 2


def test_two_joints_start_no_track():
    few = np.where(np.isin(np.arange(len(COCO)), [5, 6])[:, None], BODY, np.nan)
    made = tracker()
    assert made.link(table([0], [0], few[None])).tolist() == [-1] and not len(made.ident)
    three = np.where(np.isin(np.arange(len(COCO)), [5, 6, 11])[:, None], BODY, np.nan)
    assert made.link(table([1], [0], three[None])).tolist() == [0]


def test_rows_without_joints_are_unassigned_where_the_associator_does_not_track():
    made = followed(lambda frame: (0, 0, 0), 10)
    bare = table([10], [0], np.full((1, len(COCO), 3), np.nan))
    assert made.link(bare).tolist() == [-1] and made.ident.tolist() == [0]


# --- numbers of an associator that follows ---------------------------------------------------------------------------


@pytest.mark.parametrize(("gates", "same"), [(1.9, True), (2.1, False)])
def test_a_number_counts_for_a_whole_gate(gates, same):
    made = tracker(follows=True, gate_sigma=1.0)
    for frame in range(20):
        made.link(at(frame, (0, 0, 0), groups=[7]))
    far = gates * gate_m(made, at(0, (0, 0, 0)), 3 / RATE_HZ)
    assert made.link(at(22, (far, 0, 0), groups=[7])).tolist() == ([0] if same else [1])
    assert [(one.group, one.before) for one in made.switches] == ([] if same else [(7, 0)])
    deaf = followed(lambda frame: (0, 0, 0), 20, gate_sigma=1.0)
    assert deaf.link(at(22, (far, 0, 0))).tolist() == [1]


def test_a_number_that_jumps_to_another_body_is_overruled_and_noted():
    made = tracker(follows=True)
    for frame in range(20):
        assert made.link(at(frame, (0, 0, 0), (2, 0, 0), groups=[7, 8])).tolist() == [0, 1]
    assert made.link(at(20, (0, 0, 0), (2, 0, 0), groups=[8, 7])).tolist() == [0, 1]
    assert [(one.frame, one.group, one.before, one.after) for one in made.switches] == [(20, 7, 0, 1), (20, 8, 1, 0)]
    assert all(one.sigma > made.config.gate_sigma for one in made.switches)
    assert made.link(at(21, (0, 0, 0), (2, 0, 0), groups=[8, 7])).tolist() == [0, 1] and len(made.switches) == 2


def test_a_row_without_joints_gets_the_person_of_its_number_once_a_frame():
    made = tracker(follows=True)
    for frame in range(10):
        made.link(at(frame, (0, 0, 0), groups=[7]))
    nothing = np.full((3, len(COCO), 3), np.nan)
    bare = table(np.full(3, 10), np.zeros(3), nothing).with_columns(group=np.array([7, 7, 9]))
    assert made.link(bare).tolist() == [0, -1, -1]


@given(seeds)
@settings(derandomize=True, max_examples=15, deadline=None)
def test_no_tracklet_has_two_rows_of_a_frame(seed):
    rng, made = np.random.default_rng(seed), tracker(follows=bool(seed % 2))
    for frame in range(6):
        count = rng.integers(0, 6)
        xyz = BODY + rng.normal(0, 0.5, (count, 1, 3))
        xyz[rng.random(xyz.shape[:2]) < 0.5] = np.nan
        if count:
            rows = table(np.full(count, frame), np.zeros(count), xyz)
            found = made.link(rows.with_columns(group=rng.integers(-1, 4, count)))
            mine = found[found >= 0]
            assert len(found) == count and len(set(mine.tolist())) == len(mine)
            np.testing.assert_array_equal(made.ident[made.where(mine)], mine)
            assert np.isfinite(made.mean).all() and (np.linalg.eigvalsh(made.cov) > -1e-9).all()


def test_a_walk_behind_a_pillar_is_one_tracklet():
    path = within(line((-2, 0), (1.0, 0)), (0, 1.6), (2.2, 4))
    rows, made = walkers(100, (path, 1.0)), tracker()
    given_ = {int(one) for frame in np.unique(rows.frame) for one in made.link(rows[rows.frame == frame])}
    assert given_ == {0}
