"""Terms of the covariance of refined joints."""

import numpy as np
import pytest
from synthetic_take import ring_rig

from mvcap.refinement import joint_covariance
from mvcap.refinement.body_constraints import BoneLengths
from mvcap.refinement.joint_covariance import (
    ONE_VIEW,
    TWO_VIEWS,
    compose_covariance,
    contradiction,
    depth_variance,
    viewing_rays,
)

RATE_HZ = 25.0
BONE = BoneLengths(np.array([[0, 1]]), np.array([0.3]), np.array([0.03]))


def chain(length):
    return np.array([[[0.0, 0, 0], [0.0, 0, length]]])


def test_what_fits_contradicts_nothing():
    off = np.full((3, 1, 2), 0.8)
    assert (contradiction(off, 3.5, chain(0.3), BONE, np.full((1, 2), 3)) == 1).all()


def test_a_limb_of_the_wrong_length_contradicts_both_ends():
    off = np.zeros((2, 1, 2))
    found = contradiction(off, 3.5, chain(0.6), BONE, np.full((1, 2), 2))
    assert found == pytest.approx(100 / 5)


def test_a_limb_to_a_joint_without_views_says_nothing_about_a_measured_one():
    off = np.zeros((2, 1, 2))
    off[:, :, 1] = np.nan
    found = contradiction(off, 3.5, chain(0.6), BONE, np.array([[2, 0]]))
    assert found[0, 0] == 1 and found[0, 1] == 100


def test_an_outlier_counts_up_to_the_limit():
    off = np.zeros((4, 1, 2))
    off[0] = 1000.0
    nothing = BoneLengths(np.zeros((0, 2), int), np.zeros(0), np.zeros(0))
    assert contradiction(off, 3.5, chain(0.3), nothing, np.full((1, 2), 3)) == pytest.approx(3.5**2 / 8)


def test_the_ray_is_that_of_the_view_that_sees_the_joint_best():
    rig = ring_rig(4)
    x = np.zeros((1, 3, 3))
    seen, off = np.zeros((4, 1, 3), bool), np.full((4, 1, 3), np.nan)
    seen[[1, 2], 0, 0], off[[1, 2], 0, 0] = True, [3.0, 1.0]
    seen[1, 0, 1], off[1, 0, 1] = True, 1.0
    ray, distance = viewing_rays(rig, seen, off, x)
    for joint, view in ((0, 2), (1, 1), (2, 1)):  # the last one is unseen: the view that sees most of the person
        position = np.asarray(rig[view].position)
        np.testing.assert_allclose(ray[0, joint], -position / np.linalg.norm(position))
        assert distance[0, joint] == pytest.approx(np.linalg.norm(position))
    assert not viewing_rays(rig, np.zeros((4, 1, 3), bool), off, x)[1].any(), "no view sees the person"


def test_the_depth_of_one_view_grows_with_the_time_since_two():
    two = np.ones((100, 4), bool)
    two[50:] = False
    found = np.sqrt(depth_variance(two, np.arange(4), np.full((100, 4), 5.0), RATE_HZ))
    assert not found[:50].any()
    assert (np.diff(found[50:], axis=0) >= 0).all()
    assert found[52, 0] < 0.05 and found[62, 0] > 0.12 and 0.5 < found[-1, 0] < 1.0


def test_between_two_views_it_is_known_better_than_after_them():
    two = np.ones((100, 1), bool)
    two[40:60] = False
    later = np.ones((100, 1), bool)
    later[40:] = False
    distance = np.full((100, 1), 5.0)
    between, after = (depth_variance(which, np.arange(1), distance, RATE_HZ) for which in (two, later))
    assert (between[45:60] < after[45:60]).all() and between[50] == between.max()


def test_a_hidden_limb_of_a_body_of_two_views_keeps_its_length():
    two = np.ones((200, 10), bool)
    two[:, 9] = False
    found = np.sqrt(depth_variance(two, np.arange(10), np.full((200, 10), 20.0), RATE_HZ))
    assert found.max() < 0.1, "whatever the distance"


def test_terms_are_along_and_across_the_ray():
    linear = np.broadcast_to(np.diag([1.0, 4.0, 9.0]) * 1e-4, (1, 2, 3, 3))
    ray = np.broadcast_to([1.0, 0, 0], (1, 2, 3))
    views = np.array([[1, 2]])
    found = compose_covariance(linear, np.zeros((1, 2, 3, 3)), ray, np.array([[0.01, 0.0]]), np.ones((1, 2)), views)
    expected = [1e-4 * ONE_VIEW.along + 0.01, 4e-4 * ONE_VIEW.across, 9e-4 * ONE_VIEW.across]
    np.testing.assert_allclose(np.diag(found[0, 0]), expected)
    np.testing.assert_allclose(found[0, 1], linear[0, 1] * TWO_VIEWS.along)


def test_covariances_are_positive_definite():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((50, 5, 3, 3))
    ray = rng.standard_normal((50, 5, 3))
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    views = rng.integers(-1, 6, (50, 5))
    linear = root @ root.swapaxes(-1, -2)
    found = compose_covariance(linear, linear, ray, rng.random((50, 5)), 1 + rng.random((50, 5)), views)
    np.testing.assert_allclose(found, found.swapaxes(-1, -2))
    assert (np.linalg.eigvalsh(found) > 0).all()
    assert joint_covariance.LEARNED_DEPTH < 1
