"""Generated takes: complete, within the requested ranges, repeatable, and rows with the right person."""

from dataclasses import replace

import numpy as np
import pytest
from generated_people import crossing
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.datasets.people import TakeConfig, make_take
from mvcap.structures.skeleton import skeleton
from mvcap.synthesis.detector_errors import GROUPS, OPENPOSE
from mvcap.synthesis.detector_joints import joint_matrix
from mvcap.synthesis.random_rigs import in_picture, shared_volume

HALPE = skeleton("halpe26")
_, RIG, _ = crossing(people=4, cameras=5, frames=2, rate_hz=20)
NEVER = -30.0
# An estimator that errs in nothing.
CLEAR = replace(
    OPENPOSE, skeleton="halpe26", noise=(0.0,) * len(GROUPS), floor_px=0.0, outliers=0.0, hidden_outliers=0.0,
    defined_m=0.0, score_lies=0.0, missed=(NEVER,) * len(GROUPS), missed_hidden=0.0, missed_turned=0.0,
    missed_small=0.0, person_missed=NEVER, person_small=0.0, person_hidden=0.0, person_cut=0.0, body_swaps=0.0,
    leg_swaps=0.0, arm_swaps=0.0, merges=0.0, splits=0.0, lone_joints=0.0, duplicates=0.0, furniture=0.0, phantoms=0.0,
    screens=0.0,
)  # fmt: skip
SMALL = TakeConfig(people=(1, 3), cameras=(2, 4), frames=8)


def seen_at(take):
    """Where each joint (P, M, J, 2) px of every person is in the view and the frame of each row; NaN if away."""
    people = np.arange(1, take.truth.person.max(initial=1) + 1)
    frames = 1 + max(take.truth.frame.max(initial=0), take.rows.frame.max(initial=0))
    dense = take.truth.dense(frames, people).astype(float)
    weight, _ = joint_matrix(HALPE, take.rows.skeleton)
    xy = take.seen_by.project(np.einsum("kj,tpjd->tpkd", weight, dense))
    return np.moveaxis(xy[take.rows.view, take.rows.frame], 1, 0)


def off(take):
    """Distance (M, J) px of each joint from where its person has it; NaN where it is no person's."""
    row, joint = np.indices(take.whose.shape)
    own = seen_at(take)[np.maximum(take.whose, 1) - 1, row, joint]
    return np.linalg.norm(take.rows.xy - np.where((take.whose > 0)[..., None], own, np.nan), axis=-1)


def test_takes_are_the_same_for_the_same_seed():
    one, two, other = make_take(5, SMALL), make_take(5, SMALL), make_take(6, SMALL)
    assert np.array_equal(one.rows.xy, two.rows.xy, equal_nan=True) and np.array_equal(one.whose, two.whose)
    assert np.array_equal(one.rig.P, two.rig.P) and one.rate_hz == two.rate_hz != other.rate_hz
    assert np.array_equal(one.truth.xyz, two.truth.xyz) and np.array_equal(one.seen_by.P, two.seen_by.P)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**31), people=st.integers(1, 4), cameras=st.integers(2, 6), frames=st.integers(1, 10),
    rate=st.sampled_from((10.0, 30.0, 60.0)),
)  # fmt: skip
def test_takes_are_whole_and_within_what_was_asked(seed, people, cameras, frames, rate):
    least = max(people - 1, 1)
    config = TakeConfig(people=(least, people), cameras=(cameras, cameras), frames=frames, rate_hz=(rate, rate))
    take = make_take(seed, config)
    assert len(take.rig) == cameras and take.rate_hz == pytest.approx(rate)
    assert take.rig.names == take.seen_by.names and not np.allclose(take.rig.P, take.seen_by.P)
    assert set(take.truth.frame.tolist()) <= set(range(frames)) and set(take.truth.person.tolist()) <= set(
        range(1, people + 1)
    )
    assert take.truth.skeleton is HALPE and np.isfinite(take.truth.xyz).all()
    rows = take.rows
    assert take.whose.shape == rows.score.shape and ((take.whose == -1) | (take.whose >= 1)).all()
    assert (take.whose[rows.score == 0] == -1).all() and take.whose.max(initial=0) <= people
    assert (np.diff(rows.frame) >= 0).all() and (rows.person == -1).all() and (rows.carried == -1).all()
    assert set(rows.frame.tolist()) <= set(range(frames)) and set(rows.view.tolist()) <= set(range(cameras))


def test_people_and_cameras_are_as_many_as_asked():
    takes = [make_take(seed, TakeConfig(people=(2, 3), cameras=(3, 5), frames=2)) for seed in range(14)]
    assert {len(np.unique(take.truth.person)) for take in takes} == {2, 3}
    assert {len(take.rig) for take in takes} == {3, 4, 5}


def test_most_people_are_where_the_cameras_look():
    takes = [make_take(seed, TakeConfig(people=(2, 5), cameras=(3, 6), frames=4)) for seed in range(8)]
    shares = [in_picture(take.rig, take.truth.xyz[:, HALPE.index("pelvis")].astype(float)).mean() for take in takes]
    assert np.mean(shares) > 0.6


def test_people_stand_in_the_middle_of_a_given_rig_wherever_it_is():
    move = np.eye(4)
    move[:2, 3] = 5.0, -7.0
    here, there = (make_take(0, TakeConfig(rig=rig, detector=CLEAR, people=(3, 3))) for rig in (RIG, RIG.moved(move)))
    assert here.rig is RIG and not np.allclose(here.seen_by.P, RIG.P)
    np.testing.assert_allclose(
        there.truth.xyz - here.truth.xyz, np.broadcast_to((5, -7, 0), here.truth.xyz.shape), atol=1e-4
    )
    away = here.truth.xyz[:, HALPE.index("pelvis"), :2] - shared_volume(RIG)[0]
    assert np.linalg.norm(np.median(away, axis=0)) < 2
    assert -0.05 < here.truth.xyz[..., 2].min() < 0.1  # the floor stays the floor


def test_people_stand_now_here_and_now_there():
    config = TakeConfig(rig=RIG, detector=CLEAR, people=(1, 1), frames=2)
    takes = [make_take(seed, config) for seed in range(12)]
    away = np.array([take.truth.xyz[0, HALPE.index("pelvis"), :2] for take in takes]) - shared_volume(RIG)[0]
    assert (away < -0.1).any(0).all() and (away > 0.1).any(0).all() and np.abs(away).max() < 3
    heading = [np.subtract(*take.truth.xyz[0, [HALPE.index(f"{side}_hip") for side in ("left", "right")], :2])
               for take in takes]  # fmt: skip
    angle = np.arctan2(*np.transpose(heading))
    assert np.ptp(angle) > 3  # and look in any direction


def test_an_estimator_without_errors_sees_all_people_where_they_are():
    """The projection uses the true cameras, not the calibration."""
    take = make_take(0, TakeConfig(rig=RIG, detector=CLEAR, people=(3, 3)))
    assert np.nanmax(off(take)) < 1e-2 and np.isfinite(off(take)[take.rows.score > 0]).all()
    assert np.nanmax(off(replace(take, seen_by=RIG))) > 0.1


def test_joints_lie_nearer_to_their_own_person_than_to_others():
    right = []
    for seed in range(6):
        take = make_take(seed, replace(SMALL, people=(3, 3)))
        apart = np.linalg.norm(take.rows.xy - seen_at(take), axis=-1)
        apart = np.where(np.isfinite(apart), apart, np.inf)
        assigned = (take.whose > 0) & np.isfinite(apart).any(0)
        right += (apart.argmin(0) + 1 == take.whose)[assigned].tolist()
    assert np.mean(right) > 0.9


def test_views_lose_frames_now_and_then():
    """Rows of an estimator without missed detections are complete except in frames that their view lost."""
    config = TakeConfig(rig=RIG, detector=CLEAR, people=(2, 2), frames=12, rate_hz=(20.0, 20.0))
    gaps = []
    for seed in range(8):
        take = make_take(seed, config)
        seen = np.zeros((len(RIG), 12), int)
        np.add.at(seen, (take.rows.view, take.rows.frame), 1)
        gaps.append((seen == 0).mean(1))
    share = (np.array(gaps) > 0).mean()
    assert 0.05 < share < 0.4 and np.array(gaps).max() > 0.2


def test_splits_of_takes_differ():
    one, two = ([make_take(seed, replace(SMALL, split=split)) for seed in range(4)] for split in ("train", "held_out"))
    assert not all(np.array_equal(a.truth.xyz, b.truth.xyz) for a, b in zip(one, two, strict=True))


def test_people_evenly_and_hard_takes_change_what_they_say_and_no_other_take():
    usual = [make_take(seed, SMALL) for seed in range(40)]
    hard = [make_take(seed, replace(SMALL, hard_share=0.5)) for seed in range(40)]
    changed = [not np.array_equal(a.truth.xyz, b.truth.xyz, True) or len(a.rows) != len(b.rows)
               or [c.cam_from_world.tolist() for c in a.seen_by] != [c.cam_from_world.tolist() for c in b.seen_by]
               for a, b in zip(usual, hard, strict=True)]  # fmt: skip
    assert 8 <= sum(changed) <= 32  # the others are the takes that they were
    shares = [
        np.mean([len(make_take(seed, TakeConfig(people=(1, 2), cameras=(3, 12), frames=1, hard_share=share)).rig) == 3
                 for seed in range(60)])
        for share in (0.0, 1.0)
    ]  # fmt: skip
    assert shares[1] > shares[0] + 0.1
    evenly = TakeConfig(people=(1, 12), cameras=(2, 2), frames=1, people_evenly=True)
    count = [len(make_take(seed, evenly).truth.persons) for seed in range(60)]
    assert max(count) > 9 and np.mean(count) > 4.5
