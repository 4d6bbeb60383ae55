"""Metrics: hand-made cases with known answers, and what must hold of any table."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking_take import rig

from mvcap.evaluation.benchmark_clip import truth_table
from mvcap.metrics.association import actors, project_poses, row_pairs
from mvcap.metrics.covariance import QUANTILES, ellipsoid_shares, squared_mahalanobis
from mvcap.metrics.identity import identity
from mvcap.metrics.matching import GATE_M, assign, joint_distances, match, nearest_people
from mvcap.metrics.pcp import PARTS, pcp_4da, pcp_voxelpose
from mvcap.metrics.pose_error import pose_error, precision_recall, recall
from mvcap.metrics.scores import pose_scores
from mvcap.metrics.smoothness import bone_spread, jitter
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D, packed_covariance
from mvcap.structures.skeleton import skeleton

SHELF = skeleton("shelf15")
# A standing person who faces +x; left is +y.
BODY = np.array(
    [
        [0, -0.1, 0.1], [0, -0.1, 0.5], [0, -0.1, 0.9], [0, 0.1, 0.9], [0, 0.1, 0.5], [0, 0.1, 0.1], [0, -0.25, 0.85],
        [0, -0.22, 1.1], [0, -0.2, 1.4], [0, 0.2, 1.4], [0, 0.22, 1.1], [0, 0.25, 0.85], [0, 0, 1.5], [0, 0, 1.75],
        [0, 0, 0.9],
    ]
)  # fmt: skip


def people(*rows, kind=SHELF, body=BODY):
    """Poses of rows (frame, person, x): the body standing x metres along."""
    places = np.array([np.add(body, [x, 0, 0]) for _, _, x in rows]).reshape(-1, len(kind), 3)
    return truth_table(kind, [row[0] for row in rows], [row[1] for row in rows], places)


def moved(table, offset):
    return table.with_columns(xyz=table.xyz + np.asarray(offset, np.float32))


def without(table, *joints):
    xyz, score = table.xyz.copy(), table.score.copy()
    xyz[:, list(joints)], score[:, list(joints)] = np.nan, 0
    return table.with_columns(xyz=xyz, score=score)


TRUTH = people(*((frame, person, 2.0 * person + 0.1 * frame) for frame in range(6) for person in (1, 2, 3)))


# Who is whom


def test_people_are_matched_one_to_one_and_not_beyond_the_gate():
    truth, found = people((0, 1, 0.0), (0, 2, 0.4)), people((0, 7, 0.1), (0, 8, 0.3), (0, 9, 5.0), (1, 7, 0.0))
    matching = match(truth, found)
    assert matching.truth.tolist() == [0, 1] and matching.found.tolist() == [0, 1]
    np.testing.assert_allclose(matching.distance_m, 0.1, atol=1e-6)
    assert not len(match(truth, moved(found, [0, 3, 0])).truth)
    assert nearest_people(truth, people((0, 7, 0.1)))[0].tolist() == [0, 0]


def test_most_pairs_come_before_the_nearest():
    row, column = assign(np.array([[0.1, 0.2], [0.2, 9.0]]))
    assert sorted(zip(row, column, strict=True)) == [(0, 1), (1, 0)]
    assert len(assign(np.empty((0, 3)))[0]) == len(assign(np.full((2, 2), np.inf))[0]) == 0


def test_a_fragment_in_the_right_place_is_not_a_better_person_than_a_body():
    truth, whole = people((0, 1, 0.0)), people((0, 1, 0.05))
    fragment = without(people((0, 2, 0.0)), *range(2, 15))
    found = Poses3D.concatenate([fragment, whole], SHELF)
    assert match(truth, found).found.tolist() == [1]
    assert joint_distances(truth.xyz, fragment.xyz)[0, 0] == pytest.approx(GATE_M * 13 / 15)
    assert np.isinf(joint_distances(truth.xyz, without(whole, *range(15)).xyz)).all()


def test_tables_of_two_skeletons_are_refused():
    with pytest.raises(ValueError, match="convert"):
        match(TRUTH, people((0, 1, 0), kind=skeleton("shelf14"), body=BODY[:14]))


# PCP


@pytest.mark.parametrize("rule", [pcp_4da, pcp_voxelpose])
def test_pcp_of_the_truth_itself_and_of_nobody(rule):
    whole = rule(TRUTH, TRUTH)
    assert whole.percent.tolist() == [100, 100, 100] and whole.average == 100 and set(whole.groups.values()) == {100.0}
    empty = rule(TRUTH, Poses3D.empty(SHELF))
    assert empty.average == 0 and empty.counted.sum() == 18 * 10
    assert np.isnan(rule(Poses3D.empty(SHELF), TRUTH).average)


def test_pcp_threshold_is_half_the_length_of_mean_or_the_length_of_the_sum():
    truth = people((0, 1, 0.0))
    length = np.linalg.norm(BODY[PARTS[:, 0]] - BODY[PARTS[:, 1]], axis=-1)
    for shift in (0.1, 0.14, 0.19, 0.21, 0.29):
        found = moved(truth, [0, 0, shift])
        expected = (2 * shift < length).sum()
        assert pcp_4da(truth, found).right.sum() == pcp_voxelpose(truth, found).right.sum() == expected
    one_end = truth.xyz.copy()
    one_end[0, 0, 0] += 0.39  # the ankle alone: the mean of both ends is below half of 0.4 m
    assert pcp_voxelpose(truth, truth.with_columns(xyz=one_end)).right[0, 0] == 1


def test_pcp_choices_differ_as_their_programs_do():
    truth, found = people((0, 1, 0.0), (0, 2, 0.05)), people((0, 1, 0.0))
    assert pcp_voxelpose(truth, found).percent.tolist() == [100, 100]  # one found person serves both
    assert pcp_4da(truth, found).percent.tolist() == [100, 0]  # one to one; who is left over is wrong here


def test_a_missing_joint_makes_its_parts_wrong_and_unknown_truth_does_not_count():
    found = without(TRUTH, 1)
    assert pcp_4da(TRUTH, found).right[0].tolist() == [0, 0, 6, 6, 6, 6, 6, 6, 6, 6]
    counted = pcp_4da(without(TRUTH, 1), TRUTH)
    assert counted.counted[0].tolist() == [0, 0, 6, 6, 6, 6, 6, 6, 6, 6] and counted.average == 100


# Distances


def test_errors_of_shifts_and_similarities():
    found = moved(TRUTH, [0.03, 0, 0.04])
    error = pose_error(TRUTH, found, match(TRUTH, found))
    assert error.mpjpe_mm == pytest.approx(50, rel=1e-4) and error.pa_mpjpe_mm < 0.01
    np.testing.assert_allclose(error.per_joint_mm, 50, rtol=1e-4)
    nobody = pose_error(TRUTH, Poses3D.empty(SHELF), match(TRUTH, Poses3D.empty(SHELF)))
    assert np.isnan(nobody.mpjpe_mm) and np.isnan(nobody.per_joint_mm).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.7, 1.4), st.floats(-0.1, 0.1))
def test_alignment_takes_any_similarity_away(seed, scale, shift):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-0.2, 0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    truth = people((0, 1, 0.0))
    found = truth.with_columns(xyz=scale * truth.xyz @ turn.T + shift)
    one = np.array([0])
    matching = dataclasses.replace(match(truth, truth), truth=one, found=one)
    assert pose_error(truth, found, matching).pa_mpjpe_mm < 0.05
    noisy = truth.with_columns(xyz=truth.xyz + rng.normal(0, 0.02, truth.xyz.shape))
    error = pose_error(truth, noisy, matching)
    assert error.pa_mpjpe_mm <= error.mpjpe_mm * 1.05


def test_recall_and_average_precision():
    found = moved(TRUTH, [0.06, 0, 0])
    scores = precision_recall(TRUTH, found)
    assert scores["ap"]["50"] == 0 and scores["ap"]["75"] == pytest.approx(100)
    assert scores["ar"]["50"] == 0 and scores["ar"]["75"] == 100
    assert recall(TRUTH, found) == 100 and recall(TRUTH, found[:9]) == 50
    surer_phantoms = Poses3D.concatenate([moved(TRUTH, [0, 9, 0]), _half(TRUTH)], SHELF)
    assert precision_recall(TRUTH, surer_phantoms)["ap"]["25"] == pytest.approx(50, abs=1)
    twice = Poses3D.concatenate([TRUTH, _half(TRUTH)], SHELF)
    assert precision_recall(TRUTH, twice)["ap"]["25"] == pytest.approx(100)  # doubles come after, as they are less sure
    assert precision_recall(TRUTH, Poses3D.empty(SHELF))["ar"]["150"] == 0


def _half(table):
    return table.with_columns(score=table.score / 2)


# Identity


def test_identity_counts_by_hand():
    truth = people(*((frame, 1, 0.0) for frame in range(10)))
    numbers = [5, 5, 5, None, None, 6, 6, 6, 6, 5]
    found = people(*((frame, number, 0.1) for frame, number in enumerate(numbers) if number))
    counted = identity(truth, found)
    assert (counted.missed, counted.false, counted.switches, counted.same) == (2, 0, 2, 4)
    assert counted.mota == pytest.approx(1 - 4 / 10) and counted.idf1 == pytest.approx(8 / 18)
    assert counted.coverage == pytest.approx(80)


def test_a_number_is_kept_while_it_is_within_the_gate():
    truth = people(*((frame, person, 0.3 * person) for frame in range(4) for person in (1, 2)))
    found = people(
        *((frame, 10 + person, 0.3 * person + 0.16 * (frame == 2)) for frame in range(4) for person in (1, 2))
    )
    assert identity(truth, found).switches == 0
    swapped = found.with_columns(person=np.where(found.frame >= 2, 23 - found.person, found.person))
    assert identity(truth, swapped).switches == 0  # both still within 0.5 m: no evidence of a switch
    apart = people(*((frame, person, 2.0 * person) for frame in range(4) for person in (1, 2)))
    swapped = apart.with_columns(person=np.where(apart.frame >= 2, 3 - apart.person, apart.person))
    assert identity(apart, swapped).switches == 2


@settings(max_examples=40, deadline=None)
@given(st.permutations([4, 5, 6]))
def test_names_do_not_matter(names):
    renamed = TRUTH.with_columns(person=np.array(names)[TRUTH.person - 1])
    counted = identity(TRUTH, renamed)
    assert counted.switches == 0 and counted.mota == counted.idf1 == 1
    assert np.isnan(identity(Poses3D.empty(SHELF), Poses3D.empty(SHELF)).mota)


# Association


def test_pairs_by_hand():
    rows = seen([(0, 0, 7), (0, 1, 7), (0, 2, 8), (0, 2, 7), (1, 0, 7), (1, 1, -1)])
    counted = row_pairs(rows, np.array([1, 1, 1, 2, 1, 1]))
    # Frame 0: actor 1 in views 0, 1, 2 makes 3 true pairs; 7 in views 0, 1, 2 makes 3 told, one of them right.
    assert (counted.true, counted.predicted, counted.right) == (4, 3, 1)
    assert counted.precision == pytest.approx(1 / 3) and counted.recall == pytest.approx(1 / 4)
    assert counted.f1 == pytest.approx(2 / 7)
    fragments = row_pairs(seen([(0, 0, 1), (0, 0, 1), (0, 1, 1)]), np.array([4, 4, 4]))
    assert (fragments.true, fragments.predicted, fragments.right) == (2, 2, 2)
    nothing = row_pairs(seen([(0, 0, 1), (0, 1, 1)]), np.array([-1, -1]))
    assert np.isnan(nothing.f1) and np.isnan(nothing.precision)


def seen(rows):
    frame, view, person = np.array(rows).T
    xy = np.zeros((len(rows), len(SHELF), 2))
    ones = np.ones(xy.shape[:2])
    return Detections2D(SHELF, frame, view, person, -np.ones(len(rows)), np.zeros((len(rows), 4)), xy, ones, ones)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(-1, 3), st.integers(-1, 2)), max_size=14))
def test_pairs_equal_a_double_loop(rows):
    table = seen([row[:3] for row in rows] or [(0, 0, 0)])
    actor = np.array([row[3] for row in rows] or [-1])
    true = predicted = right = 0
    for a in range(len(table)):
        for b in range(a):
            if table.frame[a] == table.frame[b] and table.view[a] != table.view[b] and min(actor[a], actor[b]) >= 0:
                same, joined = actor[a] == actor[b], table.person[a] == table.person[b] >= 0
                true, predicted, right = true + same, predicted + joined, right + (same and joined)
    counted = row_pairs(table, actor)
    assert (counted.true, counted.predicted, counted.right) == (true, predicted, right)


def test_rows_are_labelled_with_the_nearest_actor_within_a_share_of_its_height():
    truth, cameras = people((0, 1, -0.6), (0, 2, 0.6)), rig()
    there = project_poses(truth, cameras)
    assert actors(there, there).tolist() == there.person.tolist()
    height = there.box[:, 3] - there.box[:, 1]
    for share, labelled in ((0.14, True), (0.16, False)):
        xy = there.xy + (np.array([0, 1]) * share * height[:, None])[:, None]
        assert (actors(there.with_columns(xy=xy), there) >= 0).all() == labelled
    few = without2d(there, *range(3, 15))
    assert actors(few, there).tolist() == there.person.tolist()
    assert (actors(without2d(there, *range(15)), there) == -1).all()


def without2d(rows, *joints):
    xy, score = rows.xy.copy(), rows.score.copy()
    xy[:, list(joints)], score[:, list(joints)] = np.nan, 0
    return rows.with_columns(xy=xy, score=score)


# Motion and honesty


def test_bone_spread_and_jitter():
    assert bone_spread(TRUTH) == pytest.approx(0, abs=1e-4)
    grown = TRUTH.with_columns(xyz=TRUTH.xyz * np.where(TRUTH.frame % 2, 1.1, 0.9)[:, None, None].astype(np.float32))
    assert bone_spread(grown) == pytest.approx(10, rel=1e-3)
    found = moved(TRUTH, [0.02, 0, 0])
    assert jitter(TRUTH, found, match(TRUTH, found), 25) == pytest.approx(0, abs=0.01)
    shake = np.where(TRUTH.frame % 2, 0.01, -0.01)[:, None, None] * np.array([1, 0, 0])
    found = moved(TRUTH, shake)
    assert jitter(TRUTH, found, match(TRUTH, found), 25) == pytest.approx(0.04 * 625, rel=1e-3)
    assert np.isnan(jitter(TRUTH[:3], TRUTH[:3], match(TRUTH[:3], TRUTH[:3]), 25))


def test_honest_covariances_hold_their_share_and_others_do_not():
    truth = people(*((frame, 1, 0.0) for frame in range(400)))
    rng = np.random.default_rng(0)
    root = np.array([[0.02, 0, 0], [0.01, 0.01, 0], [0, 0.005, 0.03]])
    found = moved(truth, rng.standard_normal(truth.xyz.shape) @ root.T)
    cov = np.broadcast_to(packed_covariance(root @ root.T), (*truth.score.shape, 6))
    matching = match(truth, found)
    share = ellipsoid_shares(truth, found.with_columns(cov=cov), matching)
    assert share["68"] == pytest.approx(0.68, abs=0.02) and share["95"] == pytest.approx(0.95, abs=0.01)
    proud = ellipsoid_shares(truth, found.with_columns(cov=cov / 4), matching)
    assert proud["68"] < 0.4
    assert np.isnan(ellipsoid_shares(truth, found, matching)["68"]) and set(QUANTILES) == {"68", "95"}
    assert np.isnan(squared_mahalanobis(truth, found.with_columns(cov=0 * cov), matching)).all()


# All in one


def test_scores_have_every_key_and_no_nan():
    phantoms = moved(TRUTH[:6], [0, 9, 0]).with_columns(views=np.full((6, 15), 3))
    found = Poses3D.concatenate([TRUTH.with_columns(views=np.full(TRUTH.score.shape, 2)), phantoms], SHELF)
    scores = pose_scores(TRUTH, found, 6, 25.0)
    assert scores["unmatched_people_per_frame"] == scores["unmatched_three_views_per_frame"] == 1
    assert scores["recall_500"] == 100 and scores["mpjpe_mm"] == 0 and scores["id_switches"] == 0
    assert scores["covariance_68"] is None and scores["coverage"] == 100
    moments = pose_scores(TRUTH, found, 6, None)
    assert moments["id_switches"] is None and set(moments) == set(scores)
    nobody = pose_scores(TRUTH, Poses3D.empty(SHELF), 6, 25.0)
    assert nobody["mpjpe_mm"] is None and nobody["coverage"] == 0 and nobody["mota"] == 0
    assert pose_scores(Poses3D.empty(SHELF), found, 6, 25.0)["recall_500"] is None
