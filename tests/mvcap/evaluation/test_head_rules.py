"""People read as the joints of Shelf, Campus and MVOR: heads by each rule's formula, whole or with parts missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.geometry import rotation_from_vector
from mvcap.evaluation.benchmark_clip import truth_table
from mvcap.evaluation.head_rules import read_as_mvor, read_as_shelf, read_as_shelf14
from mvcap.structures.skeleton import SKELETONS, skeleton

COCO, SHELF, MVOR = skeleton("coco17"), skeleton("shelf15"), skeleton("mvor10")
RULES = ("4da", "voxelpose", "voxelpose-campus")
# A standing person who faces +x; left is +y.
BODY = {
    "nose": (0.11, 0, 1.6), "left_eye": (0.08, 0.03, 1.64), "left_ear": (0, 0.08, 1.6), "left_shoulder": (0, 0.2, 1.4),
    "left_elbow": (0, 0.22, 1.1), "left_wrist": (0, 0.25, 0.85), "left_hip": (0, 0.1, 0.9),
    "left_knee": (0, 0.1, 0.5), "left_ankle": (0, 0.1, 0.1),
}  # fmt: skip


def place(joint):
    if joint.startswith("right_"):
        return np.array(BODY[joint.replace("right", "left")]) * (1, -1, 1)
    return np.array(BODY[joint])


STANDING = np.array([place(joint) for joint in COCO.joints])


def person(xyz=STANDING, *lost):
    xyz = np.array(xyz, float)[None]
    xyz[:, [COCO.index(joint) for joint in lost]] = np.nan
    return truth_table(COCO, [3], [2], xyz)


def test_heads_by_their_formulas():
    head = read_as_shelf(person(), "4da").xyz[0]
    np.testing.assert_allclose(head[12], [0, 0, 1.5], atol=1e-6)
    np.testing.assert_allclose(head[13], [0.125, 0, 1.645], atol=1e-6)
    np.testing.assert_allclose(head[14], [0, 0, 0.9], atol=1e-6)
    campus = read_as_shelf(person(), "voxelpose-campus").xyz[0, 12:14]
    np.testing.assert_allclose(campus, [[0, 0, 1.5], [0, 0, 1.7]], atol=1e-6)
    voxel = read_as_shelf(person(), "voxelpose").xyz[0, 12:14]
    top = 0.75 * np.array([0.11 * 0.75, 0, 1.4 + 0.2 * 1.5]) + 0.25 * campus[1]
    np.testing.assert_allclose(voxel, [0.75 * np.array([0.055, 0, 1.5]) + 0.25 * campus[0], top], atol=1e-6)
    np.testing.assert_allclose(read_as_mvor(person()).xyz[0, 0], [0, 0, 1.6], atol=1e-6)


@settings(max_examples=40)
@given(angle=st.floats(-np.pi, np.pi), x=st.floats(-5, 5), y=st.floats(-5, 5), rule=st.sampled_from(RULES))
def test_rules_do_not_depend_on_place_and_heading(angle, x, y, rule):
    R = rotation_from_vector(np.array([0, 0, angle]))
    there = read_as_shelf(person(STANDING @ R.T + (x, y, 0)), rule).xyz[0]
    here = read_as_shelf(person(), rule).xyz[0].astype(float)
    np.testing.assert_allclose(there, here @ R.T + (x, y, 0), atol=1e-5)


def test_the_head_of_a_lying_body_points_up():
    lying = STANDING @ rotation_from_vector(np.array([0, -np.pi / 2, 0])).T + (0, 0, 0.2)
    bottom, top = read_as_shelf(person(lying), "4da").xyz[0, 12:14]
    np.testing.assert_allclose(top - bottom, [0, 0, 0.125 + 0.145], atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lost", [("left_ear",), ("right_ear",), ("left_ear", "right_ear"), ("nose",)])
def test_a_head_is_completed_from_what_is_left(rule, lost):
    np.testing.assert_allclose(
        read_as_shelf(person(STANDING, *lost), rule).xyz, read_as_shelf(person(), rule).xyz, atol=1e-5
    )
    np.testing.assert_allclose(read_as_mvor(person(STANDING, *lost)).xyz[0, 0], [0, 0, 1.6], atol=1e-5)


def test_one_ear_is_moved_to_the_middle_plane_of_the_body():
    lopsided = STANDING.copy()
    lopsided[COCO.index("left_ear")] = (0.02, 0.11, 1.63)
    head = read_as_mvor(person(lopsided, "right_ear")).xyz[0, 0]
    np.testing.assert_allclose(head, [0.02, 0, 1.63], atol=1e-6)


def test_without_hips_a_body_faces_as_if_upright():
    np.testing.assert_allclose(
        read_as_shelf(person(STANDING, "left_hip"), "4da").xyz[0, 12:14],
        read_as_shelf(person(), "4da").xyz[0, 12:14],
        atol=1e-5,
    )


@pytest.mark.parametrize("rule", RULES)
def test_without_a_face_or_shoulders_there_is_no_head(rule):
    face = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    for lost, missing in ((face, [12, 13]), (("left_shoulder",), [9, 12, 13])):
        read = read_as_shelf(person(STANDING, *lost), rule)
        assert np.flatnonzero(read.score[0] == 0).tolist() == missing
        assert np.isnan(read.xyz[0, missing]).all()


@pytest.mark.parametrize("kind", SKELETONS.values(), ids=SKELETONS)
@pytest.mark.parametrize("rule", RULES)
def test_no_people_and_a_body_without_joints_have_no_head(kind, rule):
    for rows in (0, 2):
        nothing = truth_table(kind, [0] * rows, [1] * rows, np.full((rows, len(kind), 3), np.nan))
        for read, name in (
            (read_as_shelf(nothing, rule), "shelf15"), (read_as_shelf14(nothing, rule), "shelf14"),
            (read_as_mvor(nothing), "mvor10"),
        ):  # fmt: skip
            assert len(read) == rows and read.skeleton.name == name and not read.score.any()


def test_ends_that_a_skeleton_has_stay():
    xyz = np.random.default_rng(0).normal(size=(2, 15, 3))
    table = truth_table(SHELF, [0, 1], [1, 1], xyz)
    np.testing.assert_array_equal(read_as_shelf(table, "4da").xyz, table.xyz)
    again = read_as_shelf14(table, "voxelpose")
    assert again.skeleton.name == "shelf14"
    np.testing.assert_array_equal(again.xyz, table.xyz[:, :14])
    for rule in ("voxelpose", "voxelpose-campus"):  # here the pelvis is the middle of the hips
        read = read_as_shelf(table, rule)
        np.testing.assert_allclose(read.xyz[:, 14], table.xyz[:, 2:4].mean(1), rtol=1e-5)
        np.testing.assert_array_equal(read.xyz[:, :14], table.xyz[:, :14])


def test_columns_follow_their_joints():
    """A joint of both skeletons keeps its columns; one that is made of others has their mean and no covariance."""
    rng = np.random.default_rng(1)
    score = rng.uniform(0.2, 1, (1, 17))
    table = person().with_columns(
        score=score,
        error_px=rng.uniform(1, 5, (1, 17)),
        views=rng.integers(2, 6, (1, 17)),
        cov=rng.uniform(0, 1, (1, 17, 6)),
        provenance=np.full((1, 17), 3),
    )
    read = read_as_shelf(table, "4da")
    for at, joint in enumerate(SHELF.joints):
        if joint in COCO.joints:
            own = COCO.index(joint)
            for name in ("score", "error_px", "views", "cov", "provenance"):
                np.testing.assert_array_equal(getattr(read, name)[0, at], getattr(table, name)[0, own])
        else:
            assert read.score[0, at] == pytest.approx(score.mean(), rel=1e-5)
            assert read.error_px[0, at] == pytest.approx(table.error_px.mean(), rel=1e-5)
            assert read.views[0, at] == round(float(table.views.mean())) and np.isnan(read.cov[0, at]).all()
    assert (read.frame, read.person) == (3, 2)


def test_a_joint_that_is_given_is_there_whatever_its_score():
    empty = truth_table(COCO, [0], [1], np.full((1, 17, 3), np.nan))
    xyz = np.full((1, 10, 3), np.nan)
    xyz[0, 0] = 1, 2, 3
    made = empty.with_joints(MVOR, xyz)
    assert made.score[0, 0] > 0 and not made.score[0, 1:].any()
    np.testing.assert_array_equal(made.xyz[0, 0], [1, 2, 3])
