"""Joints by name, recipes for joints that the networks lack, and the stature of a straight body."""

import numpy as np
import pytest

from mvcap.lifting.body_joints import BODY, HIPS, STATURE_SIGMA, body_joints, joints_from_body, straight_stature
from mvcap.structures.skeleton import SKELETONS, Skeleton, skeleton
from mvcap.synthesis.bodies import JOINTS, assemble, carry_forward, random_build


@pytest.mark.parametrize("name", SKELETONS)
def test_joints_are_found_by_name_in_every_skeleton(name):
    kind = skeleton(name)
    at = body_joints(kind)
    for joint, index in zip(BODY.joints, at, strict=True):
        assert index == -1 or kind.joints[index] in (joint, "thorax")
    assert (at[list(HIPS)] >= 0).all()


@pytest.mark.parametrize("name", SKELETONS)
def test_every_joint_follows_from_those_of_the_network(name):
    matrix, extra = joints_from_body(skeleton(name))
    np.testing.assert_allclose(matrix.sum(-1), 1, atol=1e-9)
    assert (extra >= 0).all() and (extra < 0.1).all()
    own = [row for row, joint in enumerate(skeleton(name).joints) if joint in BODY.joints]
    assert (extra[own] == 0).all() and (np.sort(matrix[own], -1)[:, -1] == 1).all()


def test_joints_that_are_no_part_of_the_body_are_unknown():
    kind = Skeleton("studio", ("left_hip", "racket"), np.zeros((0, 2), np.int64), labels=("a", "b"))
    matrix, _ = joints_from_body(kind)
    assert np.isfinite(matrix[0]).all() and np.isnan(matrix[1]).all()


def test_stature_is_that_of_the_straight_body():
    rng = np.random.default_rng(0)
    for _ in range(5):
        build = random_build(rng)
        turns = np.tile(np.eye(3), (4, 13, 1, 1))
        xyz = assemble(np.zeros((4, 3)), carry_forward(build, turns))
        assert len(JOINTS) == 27 and straight_stature(BODY, xyz) == pytest.approx(build.stature_m, rel=0.06)
    assert np.isnan(straight_stature(BODY, np.full((3, 26, 3), np.nan)))
    assert 0.05 < STATURE_SIGMA < 0.12
