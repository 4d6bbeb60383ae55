"""Joints that change rows: what moves and what stays, and that no joint is lost or doubled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.association.joint_reassignment import JointMoves, apply_moves, joint_moves
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import skeleton

COCO, HALPE = skeleton("coco17"), skeleton("halpe26")
UNSEEN = np.nan
seeds = st.integers(0, 2**32 - 1)


def moves_of(made):
    return sorted(zip(made.row.tolist(), made.joint.tolist(), made.to.tolist(), made.group.tolist(), strict=True))


def table(kind, view, seed=0, missing=0.2):
    """Rows whose places are all different, so that a joint can be recognised."""
    rng = np.random.default_rng(seed)
    rows = len(view)
    xy = np.arange(rows * len(kind) * 2, dtype=float).reshape(rows, len(kind), 2)
    seen = rng.random((rows, len(kind))) >= missing
    zero = np.zeros(rows)
    return Detections2D(
        kind, zero, view, zero - 1, zero - 1, np.zeros((rows, 4)), np.where(seen[..., None], xy, np.nan),
        np.where(seen, rng.uniform(0.1, 1, seen.shape), 0), np.where(seen, 1 + xy[..., 0] % 7, np.nan),
    )  # fmt: skip


def joints_of(rows):
    """Every joint that is seen: view, joint, place, score and noise."""
    row, joint = np.nonzero(rows.score > 0)
    columns = rows.view[row], joint, *rows.xy[row, joint].T, rows.score[row, joint], rows.noise_px[row, joint]
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


# --- which joints move -----------------------------------------------------------------------------------------------


def evidence(rows, groups, joints, value=3.0):
    """Evidence (M, G, J) of rows that fit their own group (M,) and no other."""
    out = np.full((rows, groups, joints), -2.0)
    out[np.arange(rows), np.arange(rows) % groups] = value
    return out


def test_nothing_moves_where_every_joint_fits():
    made = joint_moves(evidence(4, 2, 5), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    assert moves_of(made) == []
    assert moves_of(joint_moves(np.zeros((0, 2, 5)), np.zeros(0, int), np.zeros(0, int))) == []
    assert moves_of(joint_moves(np.full((2, 2, 5), np.nan), np.array([0, 1]), np.array([0, 0]))) == []


def test_two_rows_of_a_view_exchange_a_joint_that_each_fits_the_other():
    nats = evidence(2, 2, 5)
    nats[:, :, 3] = nats[:, ::-1, 3]
    made = joint_moves(nats, np.array([0, 1]), np.array([0, 0]))
    assert len(made.row) == 1, "one exchange moves both"
    assert moves_of(made)[0][1] == 3 and {moves_of(made)[0][0], moves_of(made)[0][2]} == {0, 1}


@pytest.mark.parametrize(("own", "other", "moves"), [(-1.5, 1.5, 1), (-0.5, 5.0, 0), (-5.0, 0.5, 0)])
def test_a_joint_goes_where_it_does_not_fit_and_another_body_clearly_does(own, other, moves):
    nats = evidence(2, 2, 5)
    nats[0, :, 2] = own, other
    nats[1, :, 2] = UNSEEN  # the other body's row lacks it
    assert len(joint_moves(nats, np.array([0, 1]), np.array([0, 0])).row) == moves


@pytest.mark.parametrize(("held", "moves"), [(-0.5, 1), (2.0, 0)])
def test_a_joint_that_is_held_is_given_up_only_for_a_much_better_one(held, moves):
    nats = evidence(2, 2, 5)
    nats[0, :, 2] = -2.0, 3.0
    nats[1, :, 2] = -2.0, held
    assert len(joint_moves(nats, np.array([0, 1]), np.array([0, 0])).row) == moves


def test_a_single_joint_makes_no_new_row_and_two_do():
    nats = evidence(1, 2, 5)
    nats[0, :, 2] = -2.0, 3.0
    assert moves_of(joint_moves(nats, np.array([0]), np.array([0]))) == []
    nats[0, :, 4] = -2.0, 2.0
    assert moves_of(joint_moves(nats, np.array([0]), np.array([0]))) == [(0, 2, -1, 1), (0, 4, -1, 1)]


def test_an_unassigned_row_gives_joints_that_a_body_lacks():
    nats = evidence(2, 2, 5)
    nats[1, 1] = UNSEEN
    nats[0, 0] = -2.0
    nats[0, 1, :2] = 3.0
    made = joint_moves(nats, np.array([-1, 1]), np.array([0, 0]))
    assert {move[1] for move in moves_of(made)} == {0, 1} and set(made.to.tolist()) == {1}


@given(seeds, st.integers(1, 8), st.integers(1, 4), st.integers(1, 3))
@settings(derandomize=True, max_examples=60)
def test_a_joint_moves_once_and_a_body_gets_it_once_a_view(seed, rows, groups, views):
    rng = np.random.default_rng(seed)
    nats = rng.normal(0, 2.5, (rows, groups, 6))
    nats[np.broadcast_to(rng.random((rows, 1, 6)) < 0.3, nats.shape)] = UNSEEN
    group, view = rng.integers(-1, groups, rows), rng.integers(0, views, rows)
    made = joint_moves(nats, group, view)
    touched = [(row, joint) for row, joint, to, _ in moves_of(made)] + [
        (to, joint) for _, joint, to, _ in moves_of(made) if to >= 0
    ]
    assert len(touched) == len(set(touched))
    gets = [(int(view[row]), who, joint) for row, joint, _, who in moves_of(made)]
    assert len(gets) == len(set(gets))
    for row, joint, to, who in moves_of(made):
        assert nats[row, who, joint] > 1 and who != group[row]
        assert group[row] < 0 or nats[row, group[row], joint] < -1
        mates = np.flatnonzero((group == who) & (view == view[row]))
        assert to in mates.tolist() if len(mates) else to == -1


# --- applying them ---------------------------------------------------------------------------------------------------


def moves(*each):
    return JointMoves(*np.array(each, np.int64).reshape(-1, 4).T)


def test_without_moves_rows_have_their_persons():
    rows = table(COCO, np.array([0, 0, 1]))
    out = apply_moves(rows, JointMoves.none(), np.array([4, -1, 2]))
    assert out.person.tolist() == [4, -1, 2] and joints_of(out) == joints_of(rows)


def test_an_exchange_swaps_place_score_and_noise():
    rows = table(COCO, np.array([0, 0]), missing=0)
    joint = COCO.body.tolist().index(COCO.index("left_wrist"))
    out = apply_moves(rows, moves((0, joint, 1, 5)), np.array([3, 5]))
    wrist = COCO.index("left_wrist")
    for name in ("xy", "score", "noise_px"):
        before, after = getattr(rows, name), getattr(out, name)
        np.testing.assert_array_equal(after[0, wrist], before[1, wrist])
        np.testing.assert_array_equal(after[1, wrist], before[0, wrist])
        np.testing.assert_array_equal(np.delete(after, wrist, 1), np.delete(before, wrist, 1))


def test_joints_become_a_row_of_their_own_beside_the_one_they_come_from():
    rows = table(COCO, np.array([0, 1]), missing=0)
    arm = [COCO.body.tolist().index(COCO.index(f"left_{part}")) for part in ("elbow", "wrist")]
    out = apply_moves(rows, moves((0, arm[0], -1, 9), (0, arm[1], -1, 9)), np.array([3, 4]))
    assert out.person.tolist() == [3, 9, 4] and out.view.tolist() == [0, 0, 1]
    own = np.isin(np.arange(17), COCO.body[arm])
    np.testing.assert_array_equal(out.score[1] > 0, own)
    np.testing.assert_array_equal(out.score[0] > 0, ~own)
    assert joints_of(out) == joints_of(rows)


def test_feet_go_with_their_ankle():
    rows = table(HALPE, np.array([0, 0]), missing=0)
    ankle = HALPE.body.tolist().index(HALPE.index("right_ankle"))
    out = apply_moves(rows, moves((0, ankle, 1, 1)), np.array([0, 1]))
    moved = np.flatnonzero((out.xy[0] != rows.xy[0]).any(-1))
    foot = {"right_ankle", "right_heel", "right_big_toe", "right_small_toe"}
    assert {HALPE.joints[at] for at in moved} == foot
    nose = HALPE.body.tolist().index(HALPE.index("nose"))
    out = apply_moves(rows, moves((0, nose, 1, 1)), np.array([0, 1]))
    moved = {HALPE.joints[at] for at in np.flatnonzero((out.xy[0] != rows.xy[0]).any(-1))}
    assert moved == {"nose", "left_eye", "right_eye"}


@given(seeds, st.integers(1, 6))
@settings(derandomize=True, max_examples=40, deadline=None)
def test_no_joint_is_lost_or_doubled(seed, count):
    rng = np.random.default_rng(seed)
    view = np.sort(rng.integers(0, 2, count))
    rows = table(COCO, view, seed % 1000)
    body = len(COCO.body)
    nats = rng.normal(0, 3, (count, 3, body))
    nats[np.broadcast_to((rows.score[:, COCO.body] == 0)[:, None], nats.shape)] = UNSEEN
    group = rng.integers(-1, 3, count)
    out = apply_moves(rows, joint_moves(nats, group, view), group)
    assert joints_of(out) == joints_of(rows)


def test_moves_of_frames_are_put_together_under_the_rows_of_the_take():
    one = moves((0, 3, 1, 7), (1, 2, -1, 8)).of_rows(np.array([10, 12]))
    assert moves_of(one) == [(10, 3, 12, 7), (12, 2, -1, 8)]
    both = JointMoves.all([one, JointMoves.none(), moves((5, 1, -1, 0))])
    assert moves_of(both) == [(5, 1, -1, 0), (10, 3, 12, 7), (12, 2, -1, 8)]
    assert moves_of(JointMoves.all([])) == []
