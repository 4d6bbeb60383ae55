"""Frames of the associator on a take: rows and bodies have their true person, also of a part of the views."""

from dataclasses import replace

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.structures.skeleton import skeleton
from mvcap.training.association_frames import collect_questions

HALPE = skeleton("halpe26")
SEEDS = range(12)


@pytest.fixture(scope="module")
def clear():
    """Three people seen by four exact cameras without errors, and the questions for each seed."""
    take = detected_take(model=CLEAR)
    return take, [collect_questions(take, seed, expert_share=0.0) for seed in SEEDS]


@pytest.fixture(scope="module")
def rough():
    """The same with the errors of an estimator and of a bad calibration."""
    take = detected_take(calibration="bad")
    return take, [collect_questions(take, seed, expert_share=0.0) for seed in SEEDS]


BOTH = pytest.mark.parametrize("kind", ["clear", "rough"])


def frame_of(take, question):
    """The frame whose people the question's truth are."""
    wanted, truth = question.truth.astype(np.float32), take.truth
    where = [at for at in np.unique(truth.frame) if np.array_equal(truth.xyz[truth.frame == at], wanted)]
    assert len(where) == 1
    return where[0]


@BOTH
def test_rows_are_those_of_the_frame_and_of_the_cameras_that_are_left(request, kind):
    take, asked = request.getfixturevalue(kind)
    body, camera = take.rows.of_body().xy, np.array(take.rig.names)[take.rows.view]
    for one in (question for questions in asked for question in questions[::2]):  # the others have the same rows
        names = np.array(one.seen.rig.names)
        mine = (take.rows.frame == frame_of(take, one)) & np.isin(camera, names)
        assert len(one.row_is) == len(one.rays.view) == len(one.group) == mine.sum()
        same = (np.nan_to_num(body[mine][None]) == np.nan_to_num(one.seen.seen.xy.astype(np.float32))[:, None]).all(
            (2, 3)
        )
        right = (take.person[mine] == one.row_is[:, None]) & (camera[mine] == names[one.rays.view][:, None])
        assert (same & right).any(1).all()


@BOTH
def test_the_truth_is_that_of_the_frame(request, kind):
    take, asked = request.getfixturevalue(kind)
    for questions in asked:
        for one in questions:
            there = take.truth.frame == frame_of(take, one)
            assert one.truth_is.tolist() == take.truth.person[there].tolist()


@BOTH
def test_a_body_is_the_nearest_person_within_the_gate(request, kind):
    _, asked = request.getfixturevalue(kind)
    count = 0
    for questions in asked:
        for one in questions:
            for body, who in enumerate(one.body_is):
                away = {}
                for person, xyz in zip(one.truth_is.tolist(), one.truth, strict=True):
                    apart = [
                        min(np.linalg.norm(one.bodies.xyz[body, at] - xyz[HALPE.index(joint)]), 1.0)
                        for at, joint in enumerate(one.skeleton.joints)
                        if one.bodies.known[body, at]
                    ]
                    away[person] = np.mean(apart) if apart else np.inf
                nearest = min(away, key=away.get)
                assert who == (nearest if away[nearest] < 0.4 else -1)
                count += 1
    assert count > 50


def test_without_errors_groups_are_people(clear):
    take, asked = clear
    for questions in asked:
        for one in filter(lambda question: question.grouped, questions):
            assert (one.row_is > 0).all()
            for row, group in enumerate(one.group):
                assert group < 0 or one.body_is[group] == one.row_is[row]
            if len(one.seen.rig) == len(take.rig):
                assert (one.group >= 0).all() and sorted(one.body_is) == sorted(one.truth_is)


def test_every_frame_is_asked_about_twice_before_and_after_its_rows_are_grouped(clear):
    take, asked = clear
    for questions in asked:
        assert [one.grouped for one in questions] == [False, True] * (len(questions) // 2)
        frames = [frame_of(take, one) for one in questions]
        assert frames[::2] == frames[1::2] == sorted(set(frames))
        for before, after in zip(questions[::2], questions[1::2], strict=True):
            assert before.seen is after.seen and np.array_equal(before.row_is, after.row_is)


def test_views_and_frames_are_subsampled_in_several_ways(clear, rough):
    take, asked = rough
    cameras = {len(questions[0].seen.rig) for questions in asked}
    assert max(cameras) == len(take.rig) and min(cameras) < len(take.rig)
    moments = [questions for questions in asked if len(questions) > 4 and not len(questions[-1].people)]
    tracked = [questions for questions in asked if len(questions) > 4 and len(questions[-1].people)]
    assert moments and tracked  # frames each for itself, and people over time
    for questions in tracked:
        assert len(questions[0].people) == 0 and len(questions[2].people) > 1
    # Frames after the first are unambiguous and cause no question.
    assert {len(questions) for questions in clear[1]} == {2, 12}


def test_the_same_seed_asks_the_same(rough):
    take, asked = rough
    for questions, again in zip(asked[:3], (collect_questions(take, seed, 0.0) for seed in SEEDS[:3]), strict=True):
        assert len(questions) == len(again)
        for one, two in zip(questions, again, strict=True):
            np.testing.assert_array_equal(one.evidence, two.evidence)
            np.testing.assert_array_equal(one.group, two.group)
            np.testing.assert_array_equal(one.bodies.xyz, two.bodies.xyz)


def test_an_expert_takes_the_associator_to_other_states(rough):
    """Mostly true answers give mostly pure groups, with some mistakes that geometry does not make; repeatable ones."""
    take, asked = rough

    def impure(runs):
        found = [
            (one.row_is[:, None] != one.row_is[None])[one.group[:, None] == one.group[None]].mean()
            for questions in runs
            for one in questions
            if one.grouped and len(one.group)
        ]
        return np.mean(found)

    expert = [collect_questions(take, seed, expert_share=1.0) for seed in SEEDS]
    again = collect_questions(take, SEEDS[0], expert_share=1.0)
    assert impure(asked) == 0 < impure(expert) < 0.15
    assert [one.group.tolist() for one in again] == [one.group.tolist() for one in expert[0]]
    mixed = [collect_questions(take, seed) for seed in SEEDS]
    as_geometry = [
        [one.group.tolist() for one in some] == [one.group.tolist() for one in plain]
        for some, plain in zip(mixed, asked, strict=True)
    ]
    assert 0 < sum(as_geometry) < len(SEEDS)


def test_empty_takes_and_single_views_give_no_groups_of_people():
    take = detected_take(people=2, cameras=3, frames=2, model=CLEAR)
    none = np.zeros(len(take.rows), bool)
    assert collect_questions(replace(take, rows=take.rows[none], whose=take.whose[none]), 0) == []
    alone = take.rows.view == 1
    for seed in SEEDS[:4]:
        for one in collect_questions(replace(take, rows=take.rows[alone], whose=take.whose[alone]), seed):
            assert (one.body_is == -1).all() or not one.grouped
            assert len(np.unique(one.rays.view)) == 1


def test_false_positives_are_no_person():
    take = detected_take(people=2, cameras=3, frames=3, model=replace(CLEAR, phantoms=1.0), seed=2)
    rows = [one.row_is for seed in SEEDS[:4] for one in collect_questions(take, seed)]
    assert (np.concatenate(rows) == -1).any() and (np.concatenate(rows) > 0).any()
    assert set(np.concatenate(rows).tolist()) == {-1, 1, 2}
