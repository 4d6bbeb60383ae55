"""The least-squares problem of one person in a window: joints that leave their views are held there or rejected."""

from dataclasses import replace

import numpy as np
import pytest
from refined_walk import case, walk
from synthetic_take import COCO

from mvcap.refiners.bones import BonesConfig
from mvcap.refiners.bones_problem import WindowProblem

WRIST = COCO.index("left_wrist")


@pytest.fixture(scope="module")
def problem():
    return WindowProblem.of(*case(walk(40)), BonesConfig())


def moved_away(problem, metres):
    x = problem.observations.point.copy()
    x[10, WRIST, 0] += metres
    return x


def test_points_where_views_agree_have_lost_nothing(problem):
    assert problem.measured.all() and not problem.held.any()
    assert not problem.lost_agreement(problem.residuals(problem.observations.point)).any()


def test_a_joint_that_is_drawn_away_has_lost_its_views(problem):
    lost = problem.lost_agreement(problem.residuals(moved_away(problem, 0.5)))
    assert np.argwhere(lost).tolist() == [[10, WRIST]]


def test_a_joint_within_reach_is_held_and_may_move_fast(problem):
    x = moved_away(problem, 0.5)
    held = problem.holding(problem.lost_agreement(problem.residuals(x)), x)
    assert np.argwhere(held.held).tolist() == [[10, WRIST]] and not held.rejected.any()
    assert held.stiffness[10, WRIST] < problem.stiffness[10, WRIST]
    others = np.delete(np.arange(len(COCO)), WRIST)
    np.testing.assert_array_equal(held.stiffness[:, others], problem.stiffness[:, others])


def test_a_joint_beyond_the_limbs_is_rejected(problem):
    point = problem.observations.point.copy()
    point[10, WRIST] += [1.5, 0, 0]
    far = replace(problem, observations=replace(problem.observations, point=point))
    joints = np.zeros(problem.measured.shape, bool)
    joints[10, WRIST] = True
    made = far.holding(joints, problem.observations.point)
    assert made.rejected[10, WRIST] and not made.held.any() and not made.measured[10, WRIST]


def test_what_is_put_back_is_where_its_views_agree_with_their_covariance(problem):
    x = moved_away(problem, 0.5)
    joints = problem.lost_agreement(problem.residuals(x))
    cov = np.tile(np.eye(3), (*x.shape[:2], 1, 1))
    point, stated = problem.put_back(x, cov, joints)
    np.testing.assert_array_equal(point, problem.observations.point)
    assert np.linalg.eigvalsh(stated[10, WRIST])[-1] < 0.02**2
    np.testing.assert_array_equal(stated[~joints], cov[~joints])


def test_the_solution_stays_near_the_truth(problem):
    x, cov = problem.solved(problem.start.copy(), range(10), range(10))
    assert np.linalg.norm(x - walk(40), axis=-1).mean() < 0.01
    assert (np.linalg.eigvalsh(cov) > 0).all()
