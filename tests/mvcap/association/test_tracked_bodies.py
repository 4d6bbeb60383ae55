"""Bodies tracked from frame to frame: the update against dense least squares, prediction, the calibration's error."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import (
    ACCELERATION_MPS2,
    LIMB_SPEED_MPS,
    BodyEstimates,
    TrackedBodies,
    estimate_bodies,
    unknown_bodies,
)

JOINTS, VIEWS = 4, 5
TORSO = np.array([0, 1])
seeds = st.integers(0, 2**32 - 1)
ORIGIN = np.stack([6 * np.cos(np.arange(VIEWS) * 1.25), 6 * np.sin(np.arange(VIEWS) * 1.25), np.full(VIEWS, 2.4)], 1)


def bodies_of(rng, count):
    """Joints (count, J, 3) m of bodies somewhere in the room."""
    return rng.uniform((-1.5, -1.5, 0.9), (1.5, 1.5, 0.9), (count, 1, 3)) + rng.normal(0, 0.3, (count, JOINTS, 3))


def rays_to(xyz, view, sigma_rad=2e-3, seen=None):
    """Rays (M, J) of views (M,) to bodies (M, J, 3)."""
    seen = np.ones(xyz.shape[:2], bool) if seen is None else seen
    direction = xyz - ORIGIN[view, None]
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    variance = np.where(seen, sigma_rad**2, 0)
    return BodyRays(view, ORIGIN[view], np.where(seen[..., None], direction, 0), variance, seen)


def everybody(rng, people, seen_share=1.0):
    """Every view's rays to every body, whose they are, and the bodies."""
    xyz = bodies_of(rng, people)
    view, group = np.repeat(np.arange(VIEWS), people), np.tile(np.arange(people), VIEWS)
    return rays_to(xyz[group], view, seen=rng.random((len(view), JOINTS)) < seen_share), group, xyz


def prior_at(xyz, sigma_m):
    cov = np.broadcast_to(np.eye(3) * sigma_m**2, (*xyz.shape, 3)).copy()
    known = np.full(xyz.shape[:2], 3 * sigma_m**2 < 2 * 0.6**2)
    return BodyEstimates(xyz, cov, known, (xyz[:, None], cov[:, None], known[:, None]))


def dense(rays, group, one, joint, prior, at, left_out=None):
    """Joint of a body by least squares over stacked equations: two across each ray, three of the prior."""
    root = np.linalg.cholesky(np.linalg.inv(prior.cov[one, joint])).T
    rows, right = [root], [root @ prior.xyz[one, joint]]
    for row in np.flatnonzero((group == one) & rays.seen[:, joint]):
        if row == left_out:
            continue
        d, depth = rays.direction[row, joint], (at - rays.origin[row]) @ rays.direction[row, joint]
        across = np.linalg.svd(d[None])[2][1:] / (depth * np.sqrt(rays.variance[row, joint]))
        rows.append(across)
        right.append(across @ rays.origin[row])
    A, b = np.concatenate(rows), np.concatenate(right)
    return np.linalg.lstsq(A, b, rcond=None)[0], np.linalg.inv(A.T @ A)


# --- the update ------------------------------------------------------------------------------------------------------


@given(seeds, st.integers(1, 3), st.floats(0.3, 1))
@settings(derandomize=True, max_examples=20, deadline=None)
def test_the_update_is_a_dense_least_squares(seed, people, share):
    rng = np.random.default_rng(seed)
    rays, group, xyz = everybody(rng, people, share)
    prior = prior_at(xyz + rng.normal(0, 0.01, xyz.shape), 0.2)
    found = estimate_bodies(rays, group, prior)
    for one in range(people):
        for joint in range(JOINTS):
            x, cov = dense(rays, group, one, joint, prior, xyz[one, joint])
            np.testing.assert_allclose(found.xyz[one, joint], x, atol=3e-4)
            np.testing.assert_allclose(found.cov[one, joint], cov, rtol=0.02, atol=1e-8)
    for row in rng.permutation(len(group))[:3]:
        x, cov = dense(rays, group, group[row], 0, prior, xyz[group[row], 0], left_out=row)
        np.testing.assert_allclose(found.without[0][row, 0, 0], x, atol=5e-4)
        np.testing.assert_allclose(found.without[1][row, 0, 0], cov, rtol=0.05, atol=1e-7)


def test_more_rays_never_know_less():
    rng = np.random.default_rng(0)
    rays, _, _ = everybody(rng, 1)
    spread = []
    for count in range(VIEWS + 1):
        group = np.where(np.arange(VIEWS) < count, 0, -1)
        spread.append(estimate_bodies(rays, group, unknown_bodies(1, JOINTS)).cov[0])
    for less, more in pairwise(spread):
        assert (np.linalg.eigvalsh(less - more) > -1e-3 * np.trace(less, axis1=1, axis2=2)[:, None]).all()


def test_without_rays_a_body_is_what_was_predicted():
    rng = np.random.default_rng(1)
    rays, group, xyz = everybody(rng, 2)
    prior = prior_at(xyz + 0.1, 0.05)
    for found in (estimate_bodies(rays, np.full_like(group, -1), prior), estimate_bodies(rays[:0], group[:0], prior)):
        np.testing.assert_allclose(found.xyz, prior.xyz, atol=1e-9)
        np.testing.assert_allclose(found.cov, prior.cov, atol=1e-12)
        assert found.known.all() and not found.without[2].any()


def test_a_wrong_ray_pulls_hardly_and_less_than_its_share():
    rng = np.random.default_rng(2)
    rays, group, xyz = everybody(rng, 1)
    off = xyz[group].copy()
    off[0] += np.array([0, 0, 0.6])
    wrong = rays_to(off, rays.view)
    found = estimate_bodies(wrong, group, unknown_bodies(1, JOINTS))
    assert np.linalg.norm(found.xyz - xyz, axis=-1).max() < 0.03
    alone = found.without[0][0, 0]
    np.testing.assert_allclose(alone, xyz[0], atol=0.01)


def test_what_is_unknown_stays_unknown_and_known_is_a_matter_of_its_size():
    nothing = unknown_bodies(2, JOINTS)
    assert not nothing.known.any() and (nothing.variance > 1e3).all()
    rng = np.random.default_rng(3)
    rays, group, _ = everybody(rng, 1)
    one_view = estimate_bodies(rays, np.where(rays.view == 0, group, -1), unknown_bodies(1, JOINTS))
    two_views = estimate_bodies(rays, np.where(rays.view < 2, group, -1), unknown_bodies(1, JOINTS))
    assert not one_view.known.any() and two_views.known.all()
    assert not two_views.without[2].any(), "without one of two views nothing is known"
    np.testing.assert_allclose(two_views.variance, np.trace(two_views.cov, axis1=-2, axis2=-1) / 3)


def test_without_can_be_left_out():
    rng = np.random.default_rng(4)
    rays, group, _ = everybody(rng, 2)
    whole, part = (estimate_bodies(rays, group, unknown_bodies(2, JOINTS), without=way) for way in (True, False))
    np.testing.assert_array_equal(whole.xyz, part.xyz)
    assert whole.without[2].all() and not part.without[2].any()


# --- from frame to frame ---------------------------------------------------------------------------------------------


def tracked(xyz, sigma_m=0.02, time_s=1.0, velocity=None):
    """Bodies tracked since now."""
    people = TrackedBodies.empty(JOINTS, np.zeros(VIEWS))
    count = len(xyz)
    _, people = replace(people, time_s=time_s).updated(np.full(count, 3), prior_at(xyz, sigma_m), TORSO, 1.0)
    return replace(people, velocity=np.zeros((count, 3)) if velocity is None else np.asarray(velocity, float))


def test_prediction_is_at_constant_velocity_and_less_sure():
    xyz = bodies_of(np.random.default_rng(5), 2)
    people = tracked(xyz, velocity=[[1.0, 0.5, 0], [0, 0, 0]])
    ahead = people.predicted(1.25, TORSO)
    np.testing.assert_allclose(ahead.xyz - people.xyz, [[[0.25, 0.125, 0]] * JOINTS, [[0, 0, 0]] * JOINTS])
    grown = ahead.cov - people.cov
    limb, shared = (LIMB_SPEED_MPS * 0.25) ** 2, (0.5 * ACCELERATION_MPS2 * 0.25**2) ** 2
    expected = np.where(np.isin(np.arange(JOINTS), TORSO), limb / 4, limb) + shared
    np.testing.assert_allclose(grown, expected[None, :, None, None] * np.broadcast_to(np.eye(3), grown.shape))
    assert ahead.time_s == 1.25 and ahead.frames == people.frames + 1
    same = people.predicted(1.0, TORSO)
    np.testing.assert_array_equal(same.cov, people.cov)


def test_new_bodies_have_new_numbers_and_unseen_ones_minus_one():
    xyz = bodies_of(np.random.default_rng(6), 3)
    people = tracked(xyz[:1])
    assert people.ident.tolist() == [0] and people.next_ident == 1
    numbers, after = people.predicted(1.1, TORSO).updated(np.array([2, 0, 3]), prior_at(xyz, 0.02), TORSO, 1.0)
    assert numbers.tolist() == [0, -1, 1, -1]
    assert after.ident.tolist() == [0, 1] and after.next_ident == 2 and len(after) == 2
    np.testing.assert_allclose(after.xyz, xyz[[0, 2]])
    np.testing.assert_array_equal(after.seen_s, [1.1, 1.1])


@pytest.mark.parametrize(("away_s", "kept"), [(0.9, True), (1.1, False)])
def test_who_is_not_seen_is_waited_for(away_s, kept):
    people = tracked(bodies_of(np.random.default_rng(7), 1))
    ahead = people.predicted(1.0 + away_s, TORSO)
    numbers, after = ahead.updated(np.array([0]), ahead.as_prior(0), TORSO, 1.0)
    assert len(after) == kept and numbers.tolist() == [0, -1] and after.next_ident == 1
    assert not kept or after.seen_s.tolist() == [1.0]


def test_velocity_converges_to_that_of_the_torso():
    xyz = bodies_of(np.random.default_rng(8), 1)
    people, speed = tracked(xyz), np.array([0.8, -0.6, 0.0])
    for frame in range(1, 60):
        ahead = people.predicted(1.0 + 0.04 * frame, TORSO)
        seen = prior_at(xyz + speed * 0.04 * frame, 0.01)
        _, people = ahead.updated(np.array([3]), seen, TORSO, 1.0)
    np.testing.assert_allclose(people.velocity[0], speed, atol=0.01)


def test_a_joint_never_seen_is_somewhere_about_the_body():
    xyz = bodies_of(np.random.default_rng(9), 1)
    one = prior_at(xyz, 0.01)
    known = np.array([[True, True, True, False]])
    one = replace(one, known=known, xyz=np.where(known[..., None], xyz, 77.0))
    _, people = TrackedBodies.empty(JOINTS, np.zeros(VIEWS)).updated(np.array([2]), one, TORSO, 1.0)
    np.testing.assert_allclose(people.xyz[0, 3], xyz[0, :3].mean(0))
    assert people.cov[0, 3, 0, 0] > 1 > 100 * people.cov[0, 0, 0, 0]


def test_lost_bodies_are_those_with_an_unknown_depth():
    people = tracked(bodies_of(np.random.default_rng(10), 2))
    cov = people.cov.copy()
    cov[1, TORSO, 0, 0] = 0.7**2
    assert replace(people, cov=cov).lost(TORSO).tolist() == [False, True]


def test_bodies_are_taken_out_by_their_place_and_rows_left_out_are_counted():
    people = tracked(bodies_of(np.random.default_rng(11), 3))
    rest = people.without(np.array([1]))
    assert rest.ident.tolist() == [0, 2] and rest.next_ident == 3
    np.testing.assert_array_equal(rest.xyz, people.xyz[[0, 2]])
    assert people.leaving(5).leaving(2).left_out == 7 and people.leaving(0) is people


def test_state_is_arrays_and_comes_back():
    people = tracked(bodies_of(np.random.default_rng(12), 2), velocity=[[1, 0, 0], [0, 1, 0]]).leaving(4)
    state = people.state()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    again = TrackedBodies.of_state(state)
    assert (again.time_s, again.frames, again.left_out, again.next_ident) == (1.0, 0, 4, 2)
    for name, value in state.items():
        np.testing.assert_array_equal(getattr(again, name), value)
    prior = again.as_prior(2)
    assert prior.xyz.shape == (4, JOINTS, 3) and prior.known.tolist() == [[True] * JOINTS] * 2 + [[False] * JOINTS] * 2


# --- what the calibration's error is ---------------------------------------------------------------------------------


def turned(rays, view, angle):
    """The rays with those of a view turned about the vertical."""
    cos, sin = np.cos(angle), np.sin(angle)
    R = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    direction = np.where((rays.view == view)[:, None, None], rays.direction @ R.T, rays.direction)
    return replace(rays, direction=direction)


def learned(angle, frames=40):
    rng = np.random.default_rng(13)
    people = TrackedBodies.empty(JOINTS, np.zeros(VIEWS))
    for frame in range(frames):
        rays, group, _ = everybody(rng, 3)
        rays = turned(replace(rays, variance=rays.variance / 100), 2, angle)
        bodies = estimate_bodies(rays.widened(people.calibration), group, unknown_bodies(3, JOINTS))
        people = replace(people, frames=4 * frame).recalibrated(rays, group, bodies)
    return np.sqrt(people.calibration)


def test_the_error_of_a_calibration_is_learned_and_put_on_the_view_that_has_it():
    none, some = learned(0.0), learned(0.004)
    assert none.max() < 2e-4
    assert some.argmax() == 2 and some[2] > 2 * np.delete(some, 2).max()
    assert 0.25 < some[2] / 0.004 < 1.5


def test_without_rows_nothing_is_learned():
    people = replace(TrackedBodies.empty(JOINTS, np.full(VIEWS, 1e-5)), frames=8)
    rays, group, _ = everybody(np.random.default_rng(14), 2)
    bodies = estimate_bodies(rays, group, unknown_bodies(2, JOINTS))
    found = people.recalibrated(rays, np.full_like(group, -1), bodies)
    np.testing.assert_array_equal(found.calibration, people.calibration)
    alone = rays.view == 0
    one_view = estimate_bodies(rays[np.flatnonzero(alone)], group[alone], unknown_bodies(2, JOINTS))
    again = people.recalibrated(rays[np.flatnonzero(alone)], group[alone], one_view)
    np.testing.assert_array_equal(again.calibration, people.calibration)
